//! Rules on one timer: waits for whichever is due next, and says which it was. Others may change the rules meanwhile.

use super::belief::ClockNotice;
use super::plan::{Moment, Plan, Rule, RuleId, ScheduleError, Step, Tick};
use super::wall::WallClock;
use embassy_time::{Instant, Timer};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Where notices about the clock go. Must not block.
type NoticeHandler = Box<dyn Fn(ClockNotice) + Send + Sync>;

/// Thousands of rules, and one timer for the earliest.
///
/// It runs in whoever awaits [`next`](Self::next), without a task or a thread, and is awake only when a
/// rule is due or the wall clock was set; while cron waits for a believable clock, every 30 s.
pub struct Schedule {
    shared: Arc<Shared>,
    on_notice: Option<NoticeHandler>,
}

/// The rules of a [`Schedule`], to be changed from wherever, also while somebody waits for its next tick. Cheap to
/// clone.
#[derive(Clone)]
pub struct Rules(Arc<Shared>);

struct Shared {
    plan: Mutex<Plan>,
    clock: WallClock,
    /// The rules are others: what is waited for may be another.
    changed: Notify,
}

impl Schedule {
    /// A schedule that begins now: intervals count from here. Ticks name these rules by their index.
    ///
    /// # Errors
    /// If an interval cannot be kept, or there are too many rules.
    pub fn new(rules: Vec<Rule>, clock: WallClock) -> Result<Self, ScheduleError> {
        let plan = Plan::new(rules, clock.not_before(), Instant::now().as_micros(), random())?;
        let shared = Shared { plan: Mutex::new(plan), clock, changed: Notify::new() };
        Ok(Self { shared: Arc::new(shared), on_notice: None })
    }

    /// The rules, to add to them and to remove some.
    pub fn rules(&self) -> Rules {
        Rules(Arc::clone(&self.shared))
    }

    /// Has what happens to the clock told to somebody: that cron waits for it, that it does no longer,
    /// that the clock was set. Only rules of cron make these.
    #[must_use]
    pub fn on_notice(mut self, handler: impl Fn(ClockNotice) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Box::new(handler));
        self
    }

    /// Whether there are cron rules that wait for a believable clock. True before the first
    /// [`next`](Self::next), which looks at it.
    pub fn waiting_for_clock(&self) -> bool {
        self.shared.plan().is_waiting_for_clock()
    }

    /// The next tick, when it is due. For ever, if none is to come.
    ///
    /// Rules that are due at the same time come in the order of their ids. A rule that nobody
    /// asked for in time comes once, and says how often it was missed.
    ///
    /// Safe to drop: a tick is taken off the plan only in the moment in which it is returned, so
    /// dropping this half-way (in a `select!`, at a deadline) loses and doubles none.
    pub async fn next(&mut self) -> Tick {
        loop {
            let now = self.shared.now();
            let step = self.shared.plan().step(now);
            match step {
                Step::Tick(tick) => return tick,
                Step::Notice(notice) => {
                    if let Some(handler) = &self.on_notice {
                        handler(notice);
                    }
                }
                Step::Wait(until) => self.shared.wait(until).await,
            }
        }
    }
}

impl Rules {
    /// Adds a rule, which begins now: an interval counts from here, and cron comes after now. Its ticks name it by
    /// this id.
    ///
    /// # Errors
    /// If an interval cannot be kept, or there are too many rules.
    pub fn add(&self, rule: Rule) -> Result<RuleId, ScheduleError> {
        let now = self.0.now();
        let added = self.0.plan().add(rule, now);
        self.0.changed.notify_one();
        added
    }

    /// Removes a rule. Says whether there was one. A tick that was returned before may still be with who waited.
    pub fn remove(&self, rule: RuleId) -> bool {
        let is_removed = self.0.plan().remove(rule);
        self.0.changed.notify_one();
        is_removed
    }
}

impl Shared {
    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        let wall = self.clock.read();
        Moment { mono: Instant::now().as_micros(), wall, random: random() }
    }

    async fn wait(&self, until: Option<u64>) {
        let timer = async {
            match until {
                Some(at) => Timer::at(Instant::from_micros(at)).await,
                None => std::future::pending().await,
            }
        };
        let has_cron = self.plan().has_cron();
        tokio::select! {
            () = timer => {}
            () = self.clock.set(), if has_cron => {}
            () = self.changed.notified() => {}
        }
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule").field("clock", &self.shared.clock).finish_non_exhaustive()
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").finish_non_exhaustive()
    }
}

/// Randomness that is good enough to spread timers: the standard library's hash keys.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
