//! What all lanes of an app have in common: instances, memory, the store, and what is known of tries whose end nobody
//! saw.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::time::timeout;

use super::lanes::locked;
use super::running::Running;
use super::tries::Tries;
use crate::heap;
use crate::limits::dispatch as limits;
use crate::report::{Report, Reporter};
use crate::store::Store;

/// What all lanes of an app have in common.
pub(crate) struct House {
    pub(super) store: Store,
    pub(super) reporter: Arc<dyn Reporter>,
    /// Live instances of all components, of other apps too.
    pub(super) slots: Arc<Semaphore>,
    /// Bytes of events that wait in memory.
    pub(crate) memory: Arc<Semaphore>,
    pub(super) running: Option<Running>,
    /// Tries whose end nobody saw, by the events' digests.
    pub(super) tries: Mutex<Tries>,
    pub(super) stopping: AtomicBool,
    /// Events that ended and are not settled.
    pub(super) open: AtomicUsize,
    pub(super) closed: Notify,
    /// Dead letters that the disk does not take now.
    pub(super) unburied: AtomicU64,
    /// Rows to be deleted.
    pub(super) forget: Mutex<Vec<i64>>,
    /// They could not be the last time: that has been said.
    pub(super) unforgotten: AtomicBool,
    /// Somebody waits in a lane: the keeper is to look from time to time.
    pub(super) keeper: Notify,
    pub(super) keeper_looks: AtomicBool,
    /// The keeper is to look now.
    pub(super) urgent: Notify,
    pub(super) settled: Arc<Notify>,
    /// There is memory to give back.
    pub(super) spare: Notify,
}

impl House {
    /// Before the lanes: reads what ran when an earlier process died.
    pub(crate) async fn new(
        state_dir: &Path,
        store: Store,
        slots: Arc<Semaphore>,
        settled: Arc<Notify>,
        reporter: Arc<dyn Reporter>,
    ) -> Arc<Self> {
        let (running, tries) = unseen(state_dir, &store, &*reporter).await;
        Arc::new(Self {
            store,
            reporter,
            slots,
            memory: Arc::new(Semaphore::new(limits::WAITING_BYTES_MAX)),
            running,
            tries: Mutex::new(tries),
            stopping: AtomicBool::new(false),
            open: AtomicUsize::new(0),
            closed: Notify::new(),
            unburied: AtomicU64::new(0),
            forget: Mutex::default(),
            unforgotten: AtomicBool::new(false),
            keeper: Notify::new(),
            keeper_looks: AtomicBool::new(false),
            urgent: Notify::new(),
            settled,
            spare: Notify::new(),
        })
    }

    /// Who is told.
    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.reporter
    }

    /// Told when an event is settled.
    pub(crate) fn settled(&self) -> &Arc<Notify> {
        &self.settled
    }

    /// Where things are kept.
    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// Events that ended but could not be kept aside yet, since the disk does not take them.
    pub(crate) fn unburied(&self) -> u64 {
        self.unburied.load(Relaxed)
    }

    /// Nothing new begins.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Relaxed);
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

    /// Events are settled: how often they were tried is nobody's business any more.
    pub(super) fn forget_tries(&self, digests: Vec<u64>) {
        if heap::has_spare() {
            self.spare.notify_one();
        }
        for digest in digests {
            if locked(&self.tries).settle(digest) {
                let store = self.store.clone();
                tokio::spawn(async move { store.forget_attempts(digest).await });
            }
        }
    }
}

/// What ran when an earlier process died. Without it nothing is lost but the count.
async fn unseen(
    state_dir: &Path,
    store: &Store,
    reporter: &dyn Reporter,
) -> (Option<Running>, Tries) {
    let warn = |error: &dyn std::fmt::Display| {
        let sentence = format!(
            "attempts at messages that end the runner are not counted over a restart: {error}"
        );
        reporter.report(&Report::Warning(&sentence));
    };
    let (running, died) = match Running::open(state_dir) {
        Ok(opened) => opened,
        Err(error) => {
            warn(&error);
            return (None, Tries::default());
        }
    };
    if died.is_empty() && !store.has_kept() {
        return (Some(running), Tries::default());
    }
    match store.count_attempts(died).await {
        Ok(tries) => {
            if let Err(error) = running.clear() {
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
