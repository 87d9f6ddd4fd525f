//! All lanes of an app together: their books, and what an earlier process wrote down for them.

use std::sync::Arc;

use tokio::sync::Notify;

use super::books::Balance;
use super::event::Event;
use super::house::House;
use super::lanes::Entry;
use crate::plan::App;
use crate::report::Report;
use crate::store::StoreError;

/// The lanes of an app, and what they have in common.
pub struct Lanes {
    pub(crate) app: Arc<App>,
    pub(crate) house: Arc<House>,
    pub(crate) entries: Vec<Entry>,
    /// Told when an event is settled.
    pub(crate) settled: Arc<Notify>,
}

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
        let app = &self.app;
        for event in waiting {
            let known = (0..).zip(&app.triggers).find(|(_, trigger)| {
                let component = app.components.get(trigger.component).map(|plan| plan.id.as_str());
                trigger.id == event.trigger && component == Some(&*event.component)
            });
            let to = known
                .and_then(|(number, trigger)| Some((number, self.entries.get(trigger.component)?)));
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

    async fn bury_orphan(&self, row: i64) -> Result<(), StoreError> {
        let store = self.house.store();
        if let Some(kept) = store.kept_event(row).await? {
            let reason = "it waited for a trigger that the app no longer has";
            let (component, attempts) = (kept.component.clone(), kept.attempts);
            if let Some(event) = Event::of_kept(kept, Arc::clone(&self.settled)) {
                store.bury(event.letter(&component, attempts, reason)).await?;
            }
        }
        store.forget_events(vec![row]).await
    }
}
