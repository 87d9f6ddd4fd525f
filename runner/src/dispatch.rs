//! From an event to its final outcome: one lane per component. A lane's events run in order; lanes
//! run at the same time, up to the board's `instances_max`. A component that failed rests, then is
//! tried again; an event that could not be handled is kept aside as a dead letter.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pirn_triggers::mqtt::Qos;
use tokio::sync::{Mutex as AsyncMutex, Semaphore, mpsc};
use tokio::time::{Instant, sleep, sleep_until};

use crate::app::ComponentLimits;
use crate::engine::{Allowance, Component};
use crate::event::{Event, Happening, Waiting};
use crate::host::receipts::{NotDelivered, Receipt};
use crate::host::{Grants, Host};
use crate::limits::dispatch as limits;
use crate::limits::gpio::FAILURES_BEFORE_SAFE;
use crate::report::{Report, Reporter};
use crate::status::ComponentCounters;
use crate::store::DeadLetter;
use crate::worlds::{Outcome, Worlds};

/// What runs a component: loaded, linked, granted.
pub struct Unit {
    /// The component; others may be made from the same artifact.
    pub code: Arc<Component>,
    /// What its triggers call.
    pub worlds: Worlds,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What it may use.
    pub limits: ComponentLimits,
    /// What it did.
    pub counters: Arc<ComponentCounters>,
}

impl Unit {
    /// One try at an event, on a fresh instance. Receipts are of what it published.
    pub async fn invoke(&self, event: &Event) -> (Outcome, Vec<Receipt>) {
        let host = Host::new(Arc::clone(&self.grants));
        let allowance = Allowance {
            memory_bytes_max: usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX),
            deadline: self.limits.deadline,
        };
        let outcome = self.worlds.handle(&self.code, host.clone(), allowance, event).await;
        (outcome, host.take_receipts())
    }

    fn reporter(&self) -> &dyn Reporter {
        &*self.grants.reporter
    }
}

/// An event on its way through a lane.
struct Queued {
    event: Arc<Event>,
    /// Told when it is taken out of the queue.
    waiting: Option<Arc<Waiting>>,
}

/// The sending end of a lane.
#[derive(Clone)]
pub struct LaneEntry {
    queue: mpsc::Sender<Queued>,
    counters: Arc<ComponentCounters>,
}

impl LaneEntry {
    /// Hands an event to the lane. A full lane drops QoS 0 and counts it; for all else this waits, and
    /// with it whoever brings events, so that the backlog stays with the broker or the kernel. Dropped
    /// while waiting, a message stays unacknowledged.
    pub async fn push(&self, event: Arc<Event>) {
        match self.queue.try_send(Queued { event, waiting: None }) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(queued)) => match queued.event.what {
                Happening::Message { qos: Qos::AtMostOnce, .. } => {
                    self.counters.dropped.fetch_add(1, Relaxed);
                }
                _ => drop(self.queue.send(queued).await),
            },
        }
    }

    /// Hands over a tick, unless one of the same trigger waits already: the two are then one, and
    /// counted, so that ticks never pile up before a busy component.
    pub fn tick(&self, waiting: &Arc<Waiting>, event: impl FnOnce() -> Event) {
        if !waiting.begin() {
            self.counters.coalesced.fetch_add(1, Relaxed);
            return;
        }
        let queued = Queued { event: Arc::new(event()), waiting: Some(Arc::clone(waiting)) };
        if self.queue.try_send(queued).is_err() {
            waiting.end();
            self.counters.coalesced.fetch_add(1, Relaxed);
        }
    }

    /// Counts ticks that were due while nobody could look: they are one with the next.
    pub fn count_coalesced(&self, ticks: u32) {
        self.counters.coalesced.fetch_add(ticks.into(), Relaxed);
    }

    /// Counts edges that were lost before they reached us.
    pub fn count_missed(&self, edges: u32) {
        self.counters.missed.fetch_add(edges.into(), Relaxed);
    }
}

/// One worker of a component: as many as it may have instances share its queue.
pub struct Lane {
    unit: Arc<Unit>,
    queue: Arc<AsyncMutex<mpsc::Receiver<Queued>>>,
    /// Shared by all lanes: live instances.
    slots: Arc<Semaphore>,
    pace: Arc<AsyncMutex<Pace>>,
    /// Failures in a row.
    strikes: u32,
}

impl Lane {
    /// The lanes of a component and their common entry.
    pub fn of(unit: &Arc<Unit>, slots: &Arc<Semaphore>) -> (LaneEntry, Vec<Self>) {
        let (sender, queue) = mpsc::channel(limits::LANE_EVENTS_MAX);
        let queue = Arc::new(AsyncMutex::new(queue));
        let rate = unit.limits.rate;
        let pace = Pace::new(rate.events, rate.period, Instant::now());
        let pace = Arc::new(AsyncMutex::new(pace));
        let lane = || Self {
            unit: Arc::clone(unit),
            queue: Arc::clone(&queue),
            slots: Arc::clone(slots),
            pace: Arc::clone(&pace),
            strikes: 0,
        };
        let lanes = (0..unit.limits.instances_max.max(1)).map(|_| lane()).collect();
        (LaneEntry { queue: sender, counters: Arc::clone(&unit.counters) }, lanes)
    }

    /// Runs until every entry is dropped and the queue is empty. Dropped half-way, the event in work
    /// stays unacknowledged.
    pub async fn run(mut self) {
        while let Some(event) = self.next().await {
            self.handle(event).await;
        }
    }

    /// The next event, not before the component's rate lets it.
    async fn next(&self) -> Option<Arc<Event>> {
        let Queued { event, waiting } = self.queue.lock().await.recv().await?;
        let ready = self.pace.lock().await.step(Instant::now());
        if let Some(ready) = ready {
            sleep_until(ready).await;
        }
        if let Some(waiting) = waiting {
            waiting.end();
        }
        Some(event)
    }

    async fn handle(&mut self, event: Arc<Event>) {
        let attempts_max = event.attempts(self.unit.limits.attempts_max);
        for attempt in 1..=attempts_max {
            let (outcome, receipts) = self.attempt(&event, attempt, attempts_max).await;
            match outcome {
                Outcome::Done => {
                    self.strikes = 0;
                    return finish(&self.unit, event, receipts);
                }
                failed if attempt == attempts_max => {
                    bury(&self.unit, &event, &failed).await;
                    // The next tick is the next try, so it is what has to wait.
                    if matches!(event.what, Happening::Tick) {
                        sleep(rest(self.strikes)).await;
                    }
                    return;
                }
                _ => sleep(rest(self.strikes)).await,
            }
        }
    }

    async fn attempt(
        &mut self,
        event: &Event,
        attempt: u32,
        attempts_max: u32,
    ) -> (Outcome, Vec<Receipt>) {
        let _slot = self.slots.acquire().await;
        let (unit, component, source) = (&self.unit, &self.unit.grants.component, &*event.source);
        let payload = event.payload();
        let what = &event.what;
        unit.reporter().report(&Report::Event { component, source, payload: &payload, what });
        let begun = Instant::now();
        let (outcome, receipts) = unit.invoke(event).await;
        let took = begun.elapsed();
        unit.counters.count(&outcome, took);
        if outcome != Outcome::Done {
            self.strikes = self.strikes.saturating_add(1);
        }
        let again = outcome != Outcome::Done && attempt < attempts_max;
        let retry_in = again.then(|| rest(self.strikes));
        unit.reporter().report(&Report::Outcome {
            component,
            source,
            what,
            outcome: &outcome,
            took,
            attempt,
            retry_in,
        });
        if outcome != Outcome::Done && self.strikes == FAILURES_BEFORE_SAFE {
            unit.grants.pins.make_safe(component, unit.reporter());
        }
        (outcome, receipts)
    }
}

/// How long a component rests after so many failures in a row.
fn rest(strikes: u32) -> Duration {
    let doublings = strikes.saturating_sub(1).min(16);
    (limits::REST_FIRST * (1 << doublings)).min(limits::REST_MAX)
}

/// Acknowledges the event once everything published for it is safe. The lane goes on meanwhile.
fn finish(unit: &Arc<Unit>, event: Arc<Event>, receipts: Vec<Receipt>) {
    if receipts.is_empty() {
        return event.settle();
    }
    let (unit, begun) = (Arc::clone(unit), Instant::now());
    tokio::spawn(async move {
        for receipt in receipts {
            match receipt.await {
                Ok(()) => {}
                // The runner is stopping: the broker sends the event again.
                Err(NotDelivered::Stopping) => return,
                Err(error) => {
                    let outcome = Outcome::Undelivered(error.to_string());
                    unit.counters.count(&outcome, Duration::ZERO);
                    unit.reporter().report(&Report::Outcome {
                        component: &unit.grants.component,
                        source: &event.source,
                        what: &event.what,
                        outcome: &outcome,
                        took: begun.elapsed(),
                        attempt: 1,
                        retry_in: None,
                    });
                    return bury(&unit, &event, &outcome).await;
                }
            }
        }
        event.settle();
    });
}

/// Keeps an event aside that could not be handled, then settles it. What cannot be kept is not
/// settled. What promised nothing is counted only.
async fn bury(unit: &Unit, event: &Event, outcome: &Outcome) {
    if event.is_kept() {
        let letter = DeadLetter {
            component: unit.grants.component.clone(),
            source: event.source.to_string(),
            payload: event.payload().into_owned(),
            reason: outcome.to_string(),
        };
        if let Err(error) = unit.grants.store.bury(letter).await {
            let sentence =
                format!("a dead letter from {} could not be kept: {error}", event.source);
            return unit.reporter().report(&Report::Warning(&sentence));
        }
        unit.counters.dead_letters.fetch_add(1, Relaxed);
    }
    event.settle();
}

/// Spreads events so that no period has more of them than its rate: a token bucket of one period.
struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the bucket would be full again.
    full_at: Instant,
}

impl Pace {
    fn new(events: u32, period: Duration, now: Instant) -> Self {
        Self { interval: period / events.max(1), burst: period, full_at: now }
    }

    /// Takes one token at `now`; `Some` is when it may be used.
    fn step(&mut self, now: Instant) -> Option<Instant> {
        self.full_at = self.full_at.max(now) + self.interval;
        let ready = self.full_at.checked_sub(self.burst)?;
        (ready > now).then_some(ready)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rests_double_and_end_at_the_cap() {
        assert_eq!(rest(1), limits::REST_FIRST);
        assert_eq!(rest(2), limits::REST_FIRST * 2);
        assert_eq!(rest(u32::MAX), limits::REST_MAX);
    }

    #[test]
    fn ticks_before_a_busy_component_are_one_and_counted() {
        let (queue, mut lane) = mpsc::channel(4);
        let counters = Arc::<ComponentCounters>::default();
        let entry = LaneEntry { queue, counters: Arc::clone(&counters) };
        let waiting = Arc::<Waiting>::default();
        let event = || Event::local("t".into(), Happening::Tick, 1, Arc::default());
        for _ in 0..5 {
            entry.tick(&waiting, event);
        }
        assert_eq!((lane.len(), counters.coalesced.load(Relaxed)), (1, 4));
        // The component takes it: while it works, one more may wait.
        lane.try_recv().unwrap().waiting.unwrap().end();
        entry.tick(&waiting, event);
        entry.tick(&waiting, event);
        assert_eq!((lane.len(), counters.coalesced.load(Relaxed)), (1, 5));
    }

    #[tokio::test]
    async fn a_rate_lets_a_burst_of_one_period_through_and_spreads_the_rest() {
        let start = Instant::now();
        let mut pace = Pace::new(4, Duration::from_secs(1), start);
        for _ in 0..4 {
            assert_eq!(pace.step(start), None);
        }
        assert_eq!(pace.step(start), Some(start + Duration::from_millis(250)));
        assert_eq!(pace.step(start), Some(start + Duration::from_millis(500)));
        assert_eq!(pace.step(start + Duration::from_secs(10)), None);
    }
}
