//! What all lanes of an app have in common: instances, memory, the store, and what is known of tries whose end nobody
//! saw.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::timeout;

use super::crew::Crew;
use super::event::{Forget, digest};
use super::fair::Bounds;
use super::lanes::locked;
use super::pace::Pace;
use super::running::Running;
use super::tries::Tries;
use crate::heap;
use crate::plan::AppLimits;
use crate::report::{Report, Reporter};
use crate::store::Store;

/// What all lanes of an app have in common.
pub(crate) struct House {
    pub(super) store: Store,
    pub(super) reporter: Arc<dyn Reporter>,
    /// Whose hands run its events, beside those of other apps.
    pub(super) crew: Arc<Crew>,
    /// By which the crew knows it.
    pub(super) number: u32,
    /// What all its lanes may use together.
    limits: AppLimits,
    /// Its rate, if it has one.
    pace: Option<Mutex<Pace>>,
    /// Under which what runs is written down.
    pub(super) id: u32,
    pub(super) running: Option<Arc<Running>>,
    /// Tries whose end nobody saw, by the events' digests.
    pub(super) tries: Mutex<Tries>,
    /// Nothing begins to run: so it is before everything that runs need is there, too.
    pub(super) stopping: AtomicBool,
    /// Nothing is written down by itself any more.
    pub(super) closing: AtomicBool,
    /// Events that run.
    pub(super) busy: AtomicUsize,
    /// One ended.
    pub(super) rested: Notify,
    /// They are to be dropped where they stand.
    pub(super) halt: Notify,
    /// Events that ended and are not settled.
    pub(super) open: AtomicUsize,
    pub(super) closed: Notify,
    /// Dead letters that the disk does not take now.
    pub(super) unburied: AtomicU64,
    /// Rows to be deleted.
    pub(super) forget: Mutex<Vec<i64>>,
    /// They could not be the last time: that has been said.
    pub(super) unforgotten: AtomicBool,
}

impl House {
    /// Before the lanes: reads what ran of this app when an earlier process died. `root` is the state folder of the
    /// process, which may be another than the app's.
    pub(crate) async fn new(
        (app, root): (&str, &Path),
        limits: AppLimits,
        store: Store,
        crew: Arc<Crew>,
        reporter: Arc<dyn Reporter>,
    ) -> Arc<Self> {
        let digest = digest(&[app.as_bytes()]);
        let id = (digest ^ (digest >> 32)) as u32;
        let (running, tries) = unseen((id, root), &crew, &store, &*reporter).await;
        crew.give_back();
        Arc::new(Self {
            store,
            reporter,
            number: crew.number(),
            limits,
            pace: limits.rate.map(|rate| Mutex::new(Pace::new(rate.events, rate.period))),
            crew,
            id,
            running,
            tries: Mutex::new(tries),
            stopping: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            busy: AtomicUsize::new(0),
            rested: Notify::new(),
            halt: Notify::new(),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            unburied: AtomicU64::new(0),
            forget: Mutex::default(),
            unforgotten: AtomicBool::new(false),
        })
    }

    /// By what the crew knows the app, and what that may have at the same time.
    pub(super) fn app(&self) -> (u32, Bounds) {
        let AppLimits { instances_max, memory_bytes_max, .. } = self.limits;
        (self.number, Bounds { turns_max: instances_max, bytes_max: memory_bytes_max })
    }

    /// What all its lanes may use together.
    pub(crate) fn limits(&self) -> AppLimits {
        self.limits
    }

    /// Instances that it has now, and what they may take.
    pub(crate) fn in_use(&self) -> (u32, u64) {
        self.crew.in_use(self.number)
    }

    /// When the app's next event may run, if that is not now.
    pub(super) fn wait(&self, now: Instant) -> Option<Instant> {
        locked(self.pace.as_ref()?).wait(now)
    }

    /// An event of the app runs.
    pub(super) fn count(&self, now: Instant) {
        if let Some(pace) = &self.pace {
            locked(pace).take(now);
        }
    }

    /// Who is told.
    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }

    /// Told when an event is settled.
    pub(crate) fn settled(&self) -> &Arc<Notify> {
        &self.crew.settled
    }

    /// Where things are kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Events that ended but could not be kept aside yet, since the disk does not take them.
    pub(crate) fn unburied(&self) -> u64 {
        self.unburied.load(Relaxed)
    }

    /// Nothing new begins. Waits for what runs, for as long as `grace`; then that is dropped. Whether all of it ended.
    pub(crate) async fn stop(&self, grace: Duration) -> bool {
        self.stopping.store(true, Relaxed);
        let ended = timeout(grace, self.at_rest()).await.is_ok();
        if !ended {
            self.halt.notify_waiters();
            self.at_rest().await;
        }
        ended
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Relaxed)
    }

    async fn at_rest(&self) {
        loop {
            let rested = self.rested.notified();
            if self.busy.load(Relaxed) == 0 {
                return;
            }
            rested.await;
        }
    }

    /// Waits until everything that ended is settled, for as long as `grace`.
    pub(crate) async fn all_settled(&self, grace: Duration) -> bool {
        let all = async {
            loop {
                let closed = self.closed.notified();
                if self.open.load(Relaxed) == 0 {
                    return;
                }
                closed.await;
            }
        };
        timeout(grace, all).await.is_ok()
    }

    /// Something was let go of: it may be so much that the kernel should have it again.
    pub(crate) fn look_for_spare(&self) {
        if heap::has_spare() {
            self.crew.spare.notify_one();
        }
    }

    /// An event is settled: how often its lanes tried it is nobody's business any more.
    pub(super) fn forget_tries(&self, tried: Vec<Forget>) {
        self.look_for_spare();
        tried.into_iter().for_each(|forget| forget());
    }

    /// Forgets how often an event was tried, if that is remembered.
    pub(super) fn tried(self: &Arc<Self>, digest: impl FnOnce() -> u64) -> Option<Forget> {
        let digest = locked(&self.tries).digest(digest)?;
        let house = Arc::clone(self);
        Some(Box::new(move || {
            if locked(&house.tries).settle(digest) {
                tokio::spawn(async move { house.store.forget_attempts(digest).await });
            }
        }))
    }
}

/// What ran when an earlier process died. Without it nothing is lost but the count.
async fn unseen(
    (id, root): (u32, &Path),
    crew: &Crew,
    store: &Store,
    reporter: &dyn Reporter,
) -> (Option<Arc<Running>>, Tries) {
    let warn = |error: &dyn std::fmt::Display| {
        let sentence = format!(
            "attempts at messages that end the runner are not counted over a restart: {error}"
        );
        reporter.report(&Report::Warning(&sentence));
    };
    let running = match crew.running(root) {
        Ok(running) => running,
        Err(error) => {
            warn(&error);
            return (None, Tries::default());
        }
    };
    let died = running.died(id);
    if died.is_empty() && !store.has_kept() {
        return (Some(running), Tries::default());
    }
    let counts = died.iter().map(|died| (died.digest, died.attempt)).collect();
    match store.count_attempts(counts).await {
        Ok(tries) => {
            if let Err(error) = running.clear(&died) {
                warn(&error);
            }
            (Some(running), Tries::stored(tries))
        }
        Err(error) => {
            warn(&error);
            (Some(running), Tries::default())
        }
    }
}

/// An event that runs, as long as this is not dropped.
pub(super) struct Busy<'a>(&'a House);

impl<'a> Busy<'a> {
    pub(super) fn new(house: &'a House) -> Self {
        house.busy.fetch_add(1, Relaxed);
        Self(house)
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Relaxed);
        self.0.rested.notify_waiters();
    }
}

/// An event that ended and is not settled, as long as this is not dropped.
pub(super) struct Open(Arc<House>);

impl Open {
    pub(super) fn new(house: &Arc<House>) -> Self {
        house.open.fetch_add(1, Relaxed);
        Self(Arc::clone(house))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Relaxed);
        self.0.closed.notify_waiters();
    }
}
