//! All lanes of an app together: their books, and what an earlier process wrote down for them.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::books::Balance;
use super::event::Event;
use super::house::House;
use super::keeper;
use super::lane::Arrival;
use super::lanes::Entry;
use crate::plan::App;
use crate::report::Report;
use crate::store::StoreError;

/// The lanes of an app, and what they have in common.
pub struct Lanes {
    pub(crate) app: Arc<App>,
    pub(crate) house: Arc<House>,
    pub(crate) entries: Vec<Entry>,
}

const GONE: &str = "it waited for a trigger that the app no longer has";

impl Lanes {
    /// The books of every trigger: the component's place in the plan, the trigger's id, its balance.
    pub fn balances(&self) -> Vec<(usize, Arc<str>, Balance)> {
        let of = |(index, entry): (usize, &Entry)| {
            entry.balances().into_iter().map(move |(id, balance)| (index, id, balance))
        };
        self.entries.iter().enumerate().flat_map(of).collect()
    }

    /// Events that ended and that the disk does not take as dead letters now.
    pub fn unburied(&self) -> u64 {
        self.house.unburied()
    }

    /// Events that wait on disk.
    pub fn on_disk(&self) -> usize {
        self.entries.iter().map(Entry::on_disk).sum()
    }

    /// Puts what an earlier process wrote down into the lanes; what is of a trigger that is gone becomes a dead letter.
    pub(crate) async fn restore(&self) {
        let warn = |error: &dyn std::fmt::Display| {
            let sentence = format!(
                "events that an earlier run wrote down cannot be read; they wait for the next start: {error}"
            );
            self.house.reporter().report(&Report::Warning(&sentence));
        };
        if !self.house.store().has_kept() {
            return;
        }
        let waiting = match self.house.store().waiting_events().await {
            Ok(waiting) => waiting,
            Err(error) => return warn(&error),
        };
        if waiting.is_empty() {
            // If that fails, the next start looks again.
            let _ = self.house.store().nothing_is_kept().await;
            return;
        }
        for event in waiting {
            let to = self.trigger(&event.component, &event.trigger);
            match to {
                Some((number, entry)) => {
                    entry.restore(event.row, number, event.bytes, event.attempts);
                }
                None => {
                    if let Err(error) = self.bury_orphan(event.row).await {
                        warn(&error);
                    }
                }
            }
        }
    }

    /// What waits begins to run.
    pub(crate) fn open(&self) {
        self.house.stopping.store(false, Relaxed);
        self.entries.iter().for_each(Entry::call);
    }

    /// Nothing new runs. Waits for what runs, for as long as `grace`; then it is dropped, and waits again. Whether all of
    /// it ended.
    pub(crate) async fn stop(&self, grace: Duration) -> bool {
        // Who waits for an answer does not wait for the rest to end.
        self.house.stopping.store(true, Relaxed);
        self.entries.iter().for_each(Entry::send_away);
        let ended = self.house.stop(grace).await;
        self.entries.iter().for_each(|entry| entry.lane().halted(None));
        ended
    }

    /// Nothing is written down by itself from here on.
    pub(crate) async fn close(&self) {
        self.house.closing.store(true, Relaxed);
        loop {
            let rested = self.house.rested.notified();
            self.entries.iter().for_each(|entry| entry.0.urgent.notify_one());
            if !self.entries.iter().any(|entry| entry.0.is_kept.load(Relaxed)) {
                return;
            }
            rested.await;
        }
    }

    /// Writes down what waits in memory, for whoever starts the app again.
    pub(crate) async fn write_down(&self) {
        for entry in &self.entries {
            keeper::write_down(&self.house, entry, |_| true).await;
        }
        keeper::forget(&self.house).await;
    }

    /// Nothing runs in lanes that are stopped: what comes for them is written down, for whoever starts them again.
    pub(crate) fn hold(&self) {
        self.house.closing.store(false, Relaxed);
        for entry in &self.entries {
            entry.lane().hold();
            entry.0.urgent.notify_one();
            entry.call_keeper();
        }
    }

    /// Takes over what waits in memory in the lanes of another version of the app, in order; what that wrote down was
    /// restored before. What is of a trigger that is gone becomes a dead letter.
    pub(crate) fn take_over(&self, old: &Self) {
        let known = |trigger: u32| {
            let its = old.app.triggers.get(trigger as usize)?;
            let of = old.app.components.get(its.component)?;
            self.trigger(&of.id, &its.id)
        };
        for entry in &old.entries {
            let waiting = entry.lane().drain();
            for arrival in waiting {
                match known(arrival.trigger) {
                    Some((trigger, to)) => to.put(Arrival { trigger, ..arrival }),
                    None => {
                        let letter =
                            arrival.event.letter(entry.component(), arrival.attempts, GONE);
                        let house = Arc::clone(&self.house);
                        tokio::spawn(async move {
                            match house.store().bury(letter).await {
                                Ok(_) => house.forget_tries(arrival.event.settle(None)),
                                // It stays with the broker.
                                Err(error) => house.reporter().report(&Report::Warning(&format!(
                                    "an event of a trigger that is gone cannot be kept aside: {error}"
                                ))),
                            }
                        });
                    }
                }
            }
        }
    }

    /// The number and the lane of a trigger.
    fn trigger(&self, component: &str, id: &str) -> Option<(u32, &Entry)> {
        let mut all = (0..).zip(&self.app.triggers);
        let (number, trigger) = all.find(|(_, trigger)| {
            let of = self.app.components.get(trigger.component);
            trigger.id == id && of.is_some_and(|plan| plan.id == component)
        })?;
        Some((number, self.entries.get(trigger.component)?))
    }

    async fn bury_orphan(&self, row: i64) -> Result<(), StoreError> {
        let store = self.house.store();
        if let Some(kept) = store.kept_event(row).await? {
            let (component, attempts) = (kept.component.clone(), kept.attempts);
            if let Some(event) = Event::of_kept(kept, Arc::clone(self.house.settled())) {
                store.bury(event.letter(&component, attempts, GONE)).await?;
            }
        }
        store.forget_events(vec![row]).await
    }
}
