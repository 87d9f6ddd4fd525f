//! How an event ends that left its lane: it is settled once what was published for it is safe, or kept aside. Nobody
//! waits for it but its own acknowledgement.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::sleep;

use super::books::Book;
use super::event::Event;
use super::house::Open;
use super::lane::Left;
use super::lanes::{Entry, Inner, locked};
use crate::engine::outcome::Outcome;
use crate::limits::dispatch as limits;
use crate::outbox::{Ended, Receipt};
use crate::report::Report;
use crate::store::StoreError;

impl Entry {
    /// Settles an event once everything published for it is safe. The lane goes on meanwhile.
    pub(super) fn finish(&self, left: Left<Arc<Event>>, trigger: u32, receipts: Vec<Receipt>) {
        if receipts.is_empty() && left.event.letter_id().is_none() {
            return self.settle(&left, trigger, Book::deliver);
        }
        let (entry, open) = (self.clone(), Open::new(&self.0.house));
        tokio::spawn(async move {
            for receipt in receipts {
                match receipt.ended().await {
                    Ended::Safe => {}
                    // Whoever sent the event sends it again; or it is on disk and runs again.
                    Ended::Stopped => return,
                    Ended::Refused(why) => {
                        let outcome = Outcome::Undelivered(why);
                        entry.undelivered(&left, &outcome);
                        return entry.bury(left, trigger, outcome.to_string()).await;
                    }
                }
            }
            entry.handled(&left, trigger).await;
            drop(open);
        });
    }

    /// The component took the event: if it was a dead letter, that is gone first.
    async fn handled(&self, left: &Left<Arc<Event>>, trigger: u32) {
        if let Some(id) = left.event.letter_id()
            && let Err(error) = self.0.house.store.letter_handled(id).await
        {
            let sentence = format!(
                "dead letter {id} was handled and cannot be deleted; after a restart it is tried again: {error}"
            );
            self.0.unit.reporter().report(&Report::Warning(&sentence));
        }
        self.settle(left, trigger, Book::deliver);
    }

    fn undelivered(&self, left: &Left<Arc<Event>>, outcome: &Outcome) {
        let unit = &self.0.unit;
        unit.counters.count(outcome, Duration::ZERO);
        unit.reporter().report(&Report::Outcome {
            component: &unit.grants.component,
            source: &left.event.source,
            what: &left.event.what,
            outcome,
            took: Duration::ZERO,
            attempt: left.attempts,
            retry_in: None,
        });
    }

    /// Keeps an event aside that could not be handled. What promised nothing is counted only.
    pub(super) fn give_up(&self, left: Left<Arc<Event>>, trigger: u32, reason: String) {
        if !left.event.what.worth().is_kept() {
            return self.settle(&left, trigger, Book::bury);
        }
        let (entry, open) = (self.clone(), Open::new(&self.0.house));
        tokio::spawn(async move {
            entry.bury(left, trigger, reason).await;
            drop(open);
        });
    }

    /// Tries until the disk takes it; until then the event is not settled, and others go on.
    async fn bury(&self, left: Left<Arc<Event>>, trigger: u32, reason: String) {
        let Inner { unit, house, .. } = &*self.0;
        let mut pause = limits::BURY_AGAIN_FIRST;
        let mut failed = false;
        loop {
            match self.bury_once(&left, &reason).await {
                Ok(()) => break,
                Err(StoreError::Stopped) => return,
                Err(error) => {
                    if !std::mem::replace(&mut failed, true) {
                        house.unburied.fetch_add(1, Relaxed);
                        let source = &left.event.source;
                        let sentence = format!(
                            "a dead letter from {source} could not be kept, and is tried again: {error}"
                        );
                        unit.reporter().report(&Report::Warning(&sentence));
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(limits::BURY_AGAIN_MAX);
                }
            }
        }
        if failed {
            house.unburied.fetch_sub(1, Relaxed);
        }
        self.settle(&left, trigger, Book::bury);
    }

    async fn bury_once(&self, left: &Left<Arc<Event>>, reason: &str) -> Result<(), StoreError> {
        let Inner { unit, house, .. } = &*self.0;
        if let Some(id) = left.event.letter_id() {
            return house.store.letter_failed(id, left.attempts, reason.to_string()).await;
        }
        let letter = left.event.letter(&unit.grants.component, left.attempts, reason);
        house.store.bury(letter).await.map(drop)
    }

    /// The event is nobody's any more.
    fn settle(&self, left: &Left<Arc<Event>>, trigger: u32, count: impl FnOnce(&Book)) {
        let Inner { unit, house, .. } = &*self.0;
        let tried = house.tried(|| left.event.digest(&unit.grants.component));
        let forget = match left.row {
            None => left.event.settle(tried),
            Some(row) => {
                locked(&house.forget).push(row);
                self.0.urgent.notify_one();
                self.call_keeper();
                house.settled().notify_one();
                tried.into_iter().collect()
            }
        };
        house.forget_tries(forget);
        self.lane().settled(left.key);
        if let Some(book) = self.book(trigger) {
            count(book);
        }
    }
}
