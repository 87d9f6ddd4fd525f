//! The hands of a process: as many as there may be instances, for the lanes of all its apps. A lane with nothing to do
//! has no task and no place in a queue; one with work stands in line, fairly by app, until a hand takes it.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::{Notify, Semaphore};
use tokio::task::coop::consume_budget;

use super::fair::{Ask, Bounds, Fair, Turn};
use super::lanes::{Entry, locked};
use super::ledger::Ledger;
use super::running::Running;
use super::spare;
use crate::limits::dispatch as limits;

/// What a hand is wanted for: a turn of a component's lane, or one of its requests.
enum Work {
    Events(Entry),
    Request(Entry),
}

/// The hands, and what stands in line for them.
pub struct Crew {
    line: Mutex<Fair<Work>>,
    /// Told that somebody stands in line; an idle hand waits for it.
    called: Arc<Notify>,
    idle: AtomicU32,
    hands: AtomicU32,
    hands_max: u32,
    apps: AtomicU32,
    /// Of all apps.
    pub(super) lanes: AtomicU32,
    /// Memory of instances.
    pub ledger: Ledger,
    /// Bytes of messages that wait in memory, of all apps.
    pub(super) memory: Arc<Semaphore>,
    /// Told when an event is settled.
    pub settled: Arc<Notify>,
    /// What runs now, for the next process.
    running: Mutex<Option<Arc<Running>>>,
    /// There is memory to give back.
    pub(super) spare: Arc<Notify>,
    gives_back: AtomicBool,
}

impl Crew {
    /// No hand yet: each comes when it is needed.
    pub fn new(hands_max: u32, ledger: Ledger) -> Arc<Self> {
        Arc::new(Self {
            line: Mutex::new(Fair::new(hands_max)),
            called: Arc::default(),
            idle: AtomicU32::new(0),
            hands: AtomicU32::new(0),
            hands_max: hands_max.max(1),
            apps: AtomicU32::new(0),
            lanes: AtomicU32::new(0),
            ledger,
            memory: Arc::new(Semaphore::new(limits::WAITING_BYTES_MAX)),
            settled: Arc::default(),
            running: Mutex::default(),
            spare: Arc::default(),
            gives_back: AtomicBool::new(false),
        })
    }

    /// What runs, where the next process finds it. One file for all apps of a process.
    pub(super) fn running(&self, root: &Path) -> io::Result<Arc<Running>> {
        let mut running = locked(&self.running);
        if let Some(running) = &*running {
            return Ok(Arc::clone(running));
        }
        Ok(Arc::clone(running.insert(Arc::new(Running::open(root)?))))
    }

    /// A number for an app, as long as it is at work.
    pub(super) fn number(&self) -> u32 {
        self.apps.fetch_add(1, Relaxed)
    }

    /// The app's lane has work.
    pub(super) fn call(self: &Arc<Self>, app: (u32, Bounds), ask: Ask, lane: Entry) {
        self.enter(app, ask, Work::Events(lane));
    }

    /// Somebody waits for an answer of the app's component.
    pub(super) fn call_for_requests(self: &Arc<Self>, app: (u32, Bounds), ask: Ask, entry: Entry) {
        self.enter(app, ask, Work::Request(entry));
    }

    fn enter(self: &Arc<Self>, app: (u32, Bounds), ask: Ask, wanted: Work) {
        locked(&self.line).enter(app, ask, wanted);
        let one_less = |count: u32| count.checked_sub(1);
        if self.idle.fetch_update(Relaxed, Relaxed, one_less).is_ok() {
            return self.called.notify_one();
        }
        let one_more = |count: u32| (count < self.hands_max).then_some(count + 1);
        if self.hands.fetch_update(Relaxed, Relaxed, one_more).is_ok() {
            tokio::spawn(work(Arc::downgrade(self), Arc::clone(&self.called)));
        }
    }

    /// Instances that an app has now, and what they may take.
    pub(super) fn in_use(&self, app: u32) -> (u32, u64) {
        locked(&self.line).in_use(app)
    }

    /// Whether somebody waits for a hand, or for memory.
    pub(super) fn is_crowded(&self) -> bool {
        self.ledger.is_waited_for() || locked(&self.line).is_waited_for()
    }

    /// A run turns out to be long. Whether it may go on.
    fn is_long(&self, turn: &mut Turn) -> bool {
        // Nobody else is there who could wait.
        locked(&self.line).is_long(turn) || self.lanes.load(Relaxed) < 2
    }

    /// From here on what is free after a burst goes back to the kernel.
    pub(super) fn give_back(&self) {
        if !self.gives_back.swap(true, Relaxed) {
            tokio::spawn(spare::give_back(Arc::downgrade(&self.spare)));
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        self.called.notify_waiters();
        self.spare.notify_waiters();
    }
}

/// One hand, for as long as there is a crew.
async fn work(crew: Weak<Crew>, called: Arc<Notify>) {
    loop {
        let woken = called.notified();
        {
            let Some(crew) = crew.upgrade() else { return };
            while let Some((mut turn, work)) = { locked(&crew.line).take() } {
                let took = match work {
                    Work::Events(lane) => lane.turn(|| crew.is_long(&mut turn)).await,
                    Work::Request(entry) => entry.answer_one().await,
                };
                locked(&crew.line).ended(turn, took);
                consume_budget().await;
            }
            crew.idle.fetch_add(1, Relaxed);
        }
        woken.await;
    }
}
