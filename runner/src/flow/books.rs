//! What became of every event of a trigger. At any moment: accepted = delivered + dead letters + dropped + pending.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Why an event was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// It promised nothing, and there was no room.
    NoRoom,
    /// It is one with another tick of its trigger.
    Coalesced,
    /// The kernel lost it before it reached us.
    Missed,
    /// It waited on disk, and somebody else deleted it there.
    Gone,
}

/// The book of one trigger. All of it is written on the loop's thread.
#[derive(Debug, Default)]
pub struct Book {
    accepted: AtomicU64,
    delivered: AtomicU64,
    dead_letters: AtomicU64,
    no_room: AtomicU64,
    coalesced: AtomicU64,
    missed: AtomicU64,
    gone: AtomicU64,
    /// Requests that came and are not over.
    open: AtomicU64,
}

/// A book at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Balance {
    /// Events that came, whatever became of them.
    pub accepted: u64,
    /// Handled.
    pub delivered: u64,
    /// Kept aside.
    pub dead_letters: u64,
    /// Dropped: there was no room, and they promised nothing.
    pub no_room: u64,
    /// Dropped: ticks that were one with another.
    pub coalesced: u64,
    /// Dropped by the kernel.
    pub missed: u64,
    /// Deleted on disk by somebody else.
    pub gone: u64,
    /// Not settled yet.
    pub pending: u64,
}

impl Balance {
    /// Dropped, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.no_room + self.coalesced + self.missed + self.gone
    }

    /// Whether nothing is unaccounted for.
    pub fn is_balanced(&self) -> bool {
        self.accepted == self.delivered + self.dead_letters + self.dropped() + self.pending
    }
}

impl std::ops::Add for Balance {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            delivered: self.delivered + other.delivered,
            dead_letters: self.dead_letters + other.dead_letters,
            no_room: self.no_room + other.no_room,
            coalesced: self.coalesced + other.coalesced,
            missed: self.missed + other.missed,
            gone: self.gone + other.gone,
            pending: self.pending + other.pending,
        }
    }
}

impl Book {
    /// A request came.
    pub fn open(&self) {
        self.open.fetch_add(1, Relaxed);
    }

    /// A request is over.
    pub fn close(&self) {
        self.open.fetch_sub(1, Relaxed);
    }

    /// An event came.
    pub fn accept(&self) {
        self.accepted.fetch_add(1, Relaxed);
    }

    /// A component took it, and what it published is safe.
    pub fn deliver(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    /// It is kept aside.
    pub fn bury(&self) {
        self.dead_letters.fetch_add(1, Relaxed);
    }

    /// So many came, and were dropped.
    pub fn accept_and_drop(&self, events: u32, why: Dropped) {
        self.accepted.fetch_add(events.into(), Relaxed);
        self.drop_accepted(events, why);
    }

    /// So many of those that were accepted are dropped.
    pub fn drop_accepted(&self, events: u32, why: Dropped) {
        let counter = match why {
            Dropped::NoRoom => &self.no_room,
            Dropped::Coalesced => &self.coalesced,
            Dropped::Missed => &self.missed,
            Dropped::Gone => &self.gone,
        };
        counter.fetch_add(events.into(), Relaxed);
    }

    /// The book now, with the events that are `pending`.
    pub fn balance(&self, pending: u64) -> Balance {
        Balance {
            accepted: self.accepted.load(Relaxed),
            delivered: self.delivered.load(Relaxed),
            dead_letters: self.dead_letters.load(Relaxed),
            no_room: self.no_room.load(Relaxed),
            coalesced: self.coalesced.load(Relaxed),
            missed: self.missed.load(Relaxed),
            gone: self.gone.load(Relaxed),
            pending: pending + self.open.load(Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_books_balance_whatever_becomes_of_an_event() {
        let book = Book::default();
        for _ in 0..3 {
            book.accept();
        }
        book.deliver();
        book.bury();
        book.accept_and_drop(4, Dropped::Missed);
        book.accept_and_drop(1, Dropped::NoRoom);
        let balance = book.balance(1);
        assert!(balance.is_balanced(), "{balance:?}");
        assert_eq!((balance.accepted, balance.dropped()), (8, 5));
        assert!(!book.balance(0).is_balanced());
    }
}
