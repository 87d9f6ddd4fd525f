//! One app of a set: loaded, and at work or not. One that is not at work still has its lanes: what comes for it is
//! written down, for when it is started again.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pirn_triggers::gpio::Chips;

use crate::flow::all::Lanes;
use crate::plan::App;
use crate::serve::at_work::{AtWork, Outside};
use crate::serve::control::Control;
use crate::serve::gate::Kept;
use crate::serve::link::{Link, Links};
use crate::serve::runner::Runner;
use crate::serve::status::{Seen, Source};

/// An app that is loaded.
pub(super) struct Seat {
    runner: Runner,
    lanes: Arc<Lanes>,
    link: Option<Arc<Link>>,
    seen: Mutex<Seen>,
    work: Mutex<Work>,
}

/// What an app of the set does.
pub(super) enum Work {
    /// It handles its events.
    Running(AtWork),
    /// Somebody stopped it.
    Stopped,
    /// Why it does not run.
    Wrong(String),
}

impl Seat {
    /// An app that is not at work yet, and whose messages go nowhere.
    pub(super) async fn new(runner: Runner, links: &Links) -> Result<Self, String> {
        let link = links.of(runner.app()).map_err(|error| error.to_string())?;
        let lanes = Arc::new(runner.lanes().await);
        let (seen, work) = (Mutex::default(), Mutex::new(Work::Stopped));
        Ok(Self { runner, lanes, link, seen, work })
    }

    pub(super) fn app(&self) -> &App {
        self.runner.app()
    }

    pub(super) fn runner(&self) -> &Runner {
        &self.runner
    }

    /// Its messages go to its lanes from here on.
    pub(super) fn join(&self) {
        if let Some(link) = &self.link {
            link.join(&self.lanes);
        }
    }

    /// What came for the other version comes here, and what waits there goes on here. In one step: no message falls
    /// between, and none overtakes another.
    pub(super) fn replace(&self, old: &Self) {
        self.lanes.take_over(&old.lanes);
        match (&old.link, &self.link) {
            (Some(before), Some(link)) if Arc::ptr_eq(before, link) => {
                link.replace(&old.lanes, &self.lanes);
            }
            _ => {
                self.join();
                old.leave();
            }
        }
    }

    fn leave(&self) {
        if let Some(link) = &self.link {
            link.leave(&self.lanes);
        }
    }

    /// Connects it to what it needs. Nothing of its lanes is touched: that is for [`Self::begin`].
    pub(super) fn connect(&self, chips: &Chips) -> Result<Outside, String> {
        let outside = self.runner.connect(chips, self.link.clone());
        let outside = outside.map_err(|error| error.to_string())?;
        *locked(&self.seen) = Seen::of(&outside);
        Ok(outside)
    }

    /// Begins to work.
    pub(super) fn begin(&self, outside: Outside) -> Result<(), String> {
        let begun = self.runner.begin(outside, &self.lanes).map_err(|error| error.to_string())?;
        *self.work() = Work::Running(begun);
        Ok(())
    }

    /// It is about to be replaced: who asks it something meanwhile waits for the next version.
    pub(super) fn keep_gate(&self) -> Option<Kept> {
        match &*self.work() {
            Work::Running(at_work) => at_work.keep_gate(),
            Work::Stopped | Work::Wrong(_) => None,
        }
    }

    /// Stops its work, if it works; events wait in its lanes.
    pub(super) async fn rest(&self) {
        let work = std::mem::replace(&mut *self.work(), Work::Stopped);
        if let Work::Running(at_work) = work {
            self.runner.rest(at_work, &self.lanes).await;
        }
    }

    /// Writes nothing any more.
    pub(super) async fn close(&self) {
        self.lanes.close().await;
        self.runner.close_store().await;
    }

    /// Is not at work from here on: what comes is written down.
    pub(super) fn hold(&self, work: Work) {
        *self.work() = work;
        self.lanes.hold();
    }

    /// Leaves the set: what waits is written down, and nothing comes any more.
    pub(super) async fn go(&self) {
        self.leave();
        self.lanes.write_down().await;
        self.close().await;
    }

    pub(super) fn is_running(&self) -> bool {
        matches!(&*self.work(), Work::Running(_))
    }

    pub(super) fn make_lines_safe(&self) {
        if let Work::Running(at_work) = &*self.work() {
            at_work.make_lines_safe();
        }
    }

    /// `running`, `stopped` or `wrong`, and its components or what is wrong.
    pub(super) fn shown(&self) -> (&'static str, String) {
        match &*self.work() {
            Work::Running(_) => ("running", self.runner.described()),
            Work::Stopped => ("stopped", String::new()),
            Work::Wrong(error) => ("wrong", error.clone()),
        }
    }

    /// For those who ask how it is, and about its dead letters.
    pub(super) fn control(&self) -> Control {
        Control {
            status: Source::new(&self.runner, &locked(&self.seen), &self.lanes),
            store: self.runner.store().clone(),
            lanes: self.is_running().then(|| Arc::clone(&self.lanes)),
        }
    }

    fn work(&self) -> MutexGuard<'_, Work> {
        locked(&self.work)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
