//! Publishes from the moment a component hands them over until the broker has acknowledged them. Pure: decides what
//! is sent, what is written down and what is forgotten; sends and writes nothing, and time is an argument.
//!
//! A publish is *safe* when the broker has acknowledged it or when it is on disk; whoever waits for that (the
//! inbound message that caused it, or the component itself) is told then. While the broker answers, nothing is
//! written: the acknowledgement comes first. A publish goes to disk when
//!
//! - the broker is away,
//! - it was not acknowledged for a time (`slow_after`),
//! - what caused it is not sent again by anybody (an edge, a tick): then at once, but with a moment's grace in which the
//!   acknowledgement may save the write,
//! - publishes of its component before it are on disk only: it must not overtake them.
//!
//! Each component has a queue of its own, in order; queues take turns, so a component with ten thousand publishes on
//! disk costs the others every other turn at most. The front of a queue is in memory, ready to be sent; its tail may
//! be on disk alone, and is read piece by piece.

mod queue;
mod words;
mod work;

use std::time::Instant;

use self::queue::{Entry, Keeping, Queue, Queues};
use crate::happening::Urgency;
use crate::heap;
use crate::limits::bounds::{OutboxBounds, WhenFull};
use crate::limits::outbox as limits;

pub use words::{Action, Full, Row, Tally, Ticket, Told};

/// The outbox of one broker. `P` is what is published, `W` whoever waits for it to be safe.
#[derive(Debug)]
pub struct Outbox<P, W> {
    bounds: OutboxBounds,
    queues: Queues<P, W>,
    /// Whose turn it was last.
    last: u32,
    connected: bool,
    restored: bool,
    /// The broker has not acknowledged anything since it took too long.
    slow: bool,
    /// The runner stops.
    hurried: bool,
    sending: usize,
    next_number: u64,
    memory_bytes: usize,
    kept_bytes: u64,
    rows: u64,
    writing: bool,
    /// Nothing is due to be written before; perhaps nothing then either.
    due: Option<Instant>,
    /// After a write that failed: not before.
    write_not_before: Option<Instant>,
    write_failures: u32,
    forget: Vec<i64>,
    forget_since: Option<Instant>,
    told: Vec<(W, Told)>,
    tally: Tally,
}

impl<P: Clone, W> Outbox<P, W> {
    /// An empty outbox, its broker away.
    pub fn new(bounds: OutboxBounds) -> Self {
        Self {
            bounds,
            queues: Queues::new(),
            last: 0,
            connected: false,
            restored: false,
            slow: false,
            hurried: false,
            sending: 0,
            next_number: 0,
            memory_bytes: 0,
            kept_bytes: 0,
            rows: 0,
            writing: false,
            due: None,
            write_not_before: None,
            write_failures: 0,
            forget: Vec::new(),
            forget_since: None,
            told: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// What an earlier process left on disk for a component: so many rows of so many bytes.
    pub fn restore(&mut self, component: u32, rows: u64, bytes: u64) {
        let queue = self.queues.of(component);
        queue.tail = (queue.tail.0 + rows, queue.tail.1 + bytes);
        self.rows += rows;
        self.kept_bytes += bytes;
        self.tally.accepted += rows;
    }

    /// Takes a publish over, or says why not, and gives it back.
    pub fn accept(
        &mut self,
        component: u32,
        publish: P,
        bytes: usize,
        urgency: Urgency,
        waiter: Option<W>,
        now: Instant,
    ) -> Result<(), (Full, P, Option<W>)> {
        if self.memory_bytes > 0 && self.memory_bytes + bytes > limits::MEMORY_BYTES_MAX {
            return Err((Full::Memory, publish, waiter));
        }
        while self.is_full(bytes) {
            let gave_way = self.bounds.when_full == WhenFull::DropOldest && self.drop_oldest();
            if !gave_way {
                return Err((Full::Kept, publish, waiter));
            }
        }
        let ticket = self.ticket(component);
        self.memory_bytes += bytes;
        self.kept_bytes += bytes as u64;
        self.tally.accepted += 1;
        let (since, sent, keeping) = (now, false, Keeping::Memory);
        let entry = Entry { ticket, publish, bytes, since, urgency, sent, keeping, waiter };
        let queue = self.queues.of(component);
        let crowded = !self.connected && queue.head.len() >= limits::HEAD_MAX;
        match queue.has_tail() || crowded || !self.restored {
            true => {
                queue.incoming.push_back(entry);
                self.due = Some(now);
            }
            false => {
                queue.head.push_back(entry);
                let due = now + self.patience(urgency);
                self.due = Some(self.due.map_or(due, |earliest| earliest.min(due)));
            }
        }
        Ok(())
    }

    /// The broker is there, or away. What was being sent when it went is sent again by the session.
    pub fn set_connected(&mut self, connected: bool, now: Instant) {
        if std::mem::replace(&mut self.connected, connected) != connected {
            self.due = Some(now);
        }
    }

    /// All that an earlier process left is restored, or cannot be: what came meanwhile goes behind it.
    pub fn restored(&mut self, now: Instant) {
        self.restored = true;
        self.due = Some(now);
        for component in self.queues.components() {
            self.tidy(component);
        }
    }

    /// The broker acknowledged it.
    pub fn acked(&mut self, ticket: Ticket, now: Instant) {
        if let Some(entry) = self.take(ticket, now) {
            self.slow = false;
            self.tally.delivered += 1;
            self.tell(entry, Told::Safe);
        }
    }

    /// The broker will never have it. Gives it back if nobody waits for the news.
    pub fn refused(&mut self, ticket: Ticket, why: &str, now: Instant) -> Option<P> {
        let entry = self.take(ticket, now)?;
        self.tally.refused += 1;
        if entry.waiter.is_none() {
            return Some(entry.publish);
        }
        self.tell(entry, Told::Refused(why.into()));
        None
    }

    /// The session did not take it, or lost it: it is to be sent again.
    pub fn unsent(&mut self, ticket: Ticket) {
        if let Some(entry) = self.find(ticket)
            && std::mem::replace(&mut entry.sent, false)
        {
            self.sending = self.sending.saturating_sub(1);
        }
    }

    /// A write is on the disk: the rows of what was given, in its order.
    pub fn stored(&mut self, rows: &[(Ticket, i64)], now: Instant) {
        (self.writing, self.write_not_before, self.write_failures) = (false, None, 0);
        // There may be more to write.
        self.due = Some(now);
        for (ticket, row) in rows {
            self.tally.stored += 1;
            self.rows += 1;
            self.stored_one(*ticket, *row, now);
        }
        self.spill();
    }

    /// A write failed; it is tried again, later each time.
    pub fn not_stored(&mut self, now: Instant) {
        self.writing = false;
        self.due = Some(now);
        let doublings = self.write_failures.min(16);
        self.write_failures = self.write_failures.saturating_add(1);
        let pause = (limits::WRITE_AGAIN_FIRST * (1 << doublings)).min(limits::WRITE_AGAIN_MAX);
        self.write_not_before = Some(now + pause);
        for entry in self.queues.values_mut().flat_map(Queue::all) {
            if entry.keeping == Keeping::Writing {
                entry.keeping = Keeping::Memory;
            }
        }
    }

    /// Rows that were asked for; none means that there are no more.
    pub fn loaded(&mut self, component: u32, rows: Vec<Row<P>>, now: Instant) {
        let Some(queue) = self.queues.get_mut(component) else { return };
        queue.loading = false;
        queue.load_not_before = None;
        if rows.is_empty() {
            // Somebody else deleted them.
            self.rows = self.rows.saturating_sub(queue.tail.0);
            self.kept_bytes = self.kept_bytes.saturating_sub(queue.tail.1);
            self.tally.dropped += queue.tail.0;
            queue.tail = (0, 0);
        }
        for Row { row, bytes, publish, expired } in rows {
            let Some(queue) = self.queues.get_mut(component) else { return };
            queue.tail.0 = queue.tail.0.saturating_sub(1);
            queue.tail.1 = queue.tail.1.saturating_sub(bytes as u64);
            queue.loaded_to = row;
            self.memory_bytes += bytes;
            let ticket = self.ticket(component);
            let (urgency, keeping) = (Urgency::Redelivered, Keeping::Row(row));
            let (since, sent, waiter) = (now, false, None);
            let entry = Entry { ticket, publish, bytes, since, urgency, sent, keeping, waiter };
            match expired {
                true => {
                    self.tally.expired += 1;
                    self.release(&entry, now);
                }
                false => {
                    if let Some(queue) = self.queues.get_mut(component) {
                        queue.head.push_back(entry);
                    }
                }
            }
        }
        self.tidy(component);
    }

    /// Rows could not be read; they are asked for again, later.
    pub fn not_loaded(&mut self, component: u32, now: Instant) {
        if let Some(queue) = self.queues.get_mut(component) {
            queue.loading = false;
            queue.load_not_before = Some(now + limits::WRITE_AGAIN_MAX);
        }
    }

    /// Rows could not be deleted; that is tried again, later.
    pub fn not_forgotten(&mut self, rows: Vec<i64>, now: Instant) {
        self.forget.extend(rows);
        self.forget_since = Some(now + limits::WRITE_AGAIN_MAX);
    }

    /// Whom to tell what, since the last time.
    pub fn told(&mut self) -> Vec<(W, Told)> {
        std::mem::take(&mut self.told)
    }

    /// The runner stops: what is not safe is to be written now, and what is acknowledged to be forgotten, so that
    /// nothing is sent again after an orderly end. Whether anything of that is left.
    pub fn hurry(&mut self, now: Instant) -> bool {
        self.hurried = true;
        self.due = Some(now);
        let unsafe_yet = |entry: &mut Entry<P, W>| !matches!(entry.keeping, Keeping::Row(_));
        !self.forget.is_empty() || self.queues.values_mut().flat_map(Queue::all).any(unsafe_yet)
    }

    /// The session is given up: whoever waits for a publish that is not safe learns that it is lost.
    pub fn give_up(&mut self, why: &str) {
        for queue in self.queues.values_mut() {
            for entry in queue.head.iter_mut().chain(&mut queue.incoming) {
                if let Some(waiter) = entry.waiter.take() {
                    self.tally.refused += 1;
                    self.told.push((waiter, Told::Refused(why.into())));
                }
            }
            queue.head.clear();
            queue.incoming.clear();
        }
        (self.memory_bytes, self.sending) = (0, 0);
    }

    /// Publishes that are not acknowledged.
    pub fn pending(&self) -> u64 {
        let in_memory = |q: &Queue<P, W>| (q.head.len() + q.incoming.len()) as u64 + q.tail.0;
        self.queues.values().map(in_memory).sum()
    }

    /// Publishes of a component that are not acknowledged.
    pub fn pending_of(&self, component: u32) -> u64 {
        let queue = self.queues.get(component);
        queue.map_or(0, |q| (q.head.len() + q.incoming.len()) as u64 + q.tail.0)
    }

    /// Bytes of publishes in memory, and of all.
    pub fn bytes(&self) -> (usize, u64) {
        (self.memory_bytes, self.kept_bytes)
    }

    /// Publishes on disk.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How often writing failed since it last succeeded.
    pub fn write_failures(&self) -> u32 {
        self.write_failures
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    fn is_full(&self, bytes: usize) -> bool {
        self.kept_bytes > 0 && self.kept_bytes + bytes as u64 > self.bounds.bytes_max
            || self.rows >= self.bounds.rows_max
    }

    /// Of the component that has most, the oldest that is not being sent.
    fn drop_oldest(&mut self) -> bool {
        let size = |queue: &Queue<P, W>| {
            let here = queue.head.iter().chain(&queue.incoming).map(|e| e.bytes as u64);
            queue.tail.1 + here.sum::<u64>()
        };
        let Some(queue) = self.queues.values_mut().max_by_key(|queue| size(queue)) else {
            return false;
        };
        let Some(at) = queue.head.iter().position(|e| !e.sent && e.keeping != Keeping::Writing)
        else {
            return false;
        };
        let Some(entry) = queue.head.remove(at) else { return false };
        self.tally.dropped += 1;
        self.release(&entry, entry.since);
        self.tell(entry, Told::Dropped);
        true
    }

    fn stored_one(&mut self, ticket: Ticket, row: i64, now: Instant) {
        let Some(queue) = self.queues.get_mut(ticket.component) else { return };
        if let Some(mut entry) = queue.incoming.pop_front_if(|entry| entry.ticket == ticket) {
            // On disk alone from here on.
            self.memory_bytes = self.memory_bytes.saturating_sub(entry.bytes);
            queue.tail = (queue.tail.0 + 1, queue.tail.1 + entry.bytes as u64);
            return self.told.extend(entry.waiter.take().map(|waiter| (waiter, Told::Safe)));
        }
        queue.loaded_to = queue.loaded_to.max(row);
        match queue.head.iter_mut().find(|entry| entry.ticket == ticket) {
            Some(entry) => {
                entry.keeping = Keeping::Row(row);
                self.told.extend(entry.waiter.take().map(|waiter| (waiter, Told::Safe)));
            }
            // Acknowledged meanwhile.
            None => {
                self.rows = self.rows.saturating_sub(1);
                self.forget_row(row, now);
            }
        }
    }

    /// Publishes that are on disk and far from their turn leave memory.
    fn spill(&mut self) {
        let pressed = self.memory_bytes > limits::MEMORY_BYTES_MAX / 4 * 3;
        let keep = match (self.connected, pressed) {
            (_, true) => 1,
            (false, false) => limits::HEAD_MAX,
            (true, false) => return,
        };
        for queue in self.queues.values_mut().filter(|queue| queue.incoming.is_empty()) {
            while queue.head.len() > keep {
                let Some(Entry { sent: false, keeping: Keeping::Row(row), bytes, .. }) =
                    queue.head.back()
                else {
                    break;
                };
                queue.tail = (queue.tail.0 + 1, queue.tail.1 + *bytes as u64);
                queue.loaded_to = row - 1;
                self.memory_bytes = self.memory_bytes.saturating_sub(*bytes);
                queue.head.pop_back();
            }
        }
    }

    fn ticket(&mut self, component: u32) -> Ticket {
        self.next_number += 1;
        Ticket { component, number: self.next_number }
    }

    fn find(&mut self, ticket: Ticket) -> Option<&mut Entry<P, W>> {
        let queue = self.queues.get_mut(ticket.component)?;
        queue.all().find(|entry| entry.ticket == ticket)
    }

    /// Takes an entry out of its queue: it is done with.
    fn take(&mut self, ticket: Ticket, now: Instant) -> Option<Entry<P, W>> {
        let queue = self.queues.get_mut(ticket.component)?;
        let at = queue.head.iter().position(|entry| entry.ticket == ticket)?;
        let entry = queue.head.remove(at)?;
        heap::keep_nothing(&mut queue.head);
        self.tidy(ticket.component);
        self.sending = self.sending.saturating_sub(usize::from(entry.sent));
        self.release(&entry, now);
        Some(entry)
    }

    /// With nothing on disk alone, what came last can be sent from memory. An empty queue stays: it knows which rows
    /// it has seen.
    fn tidy(&mut self, component: u32) {
        let Some(queue) = self.queues.get_mut(component) else { return };
        while queue.tail.0 == 0
            && self.restored
            && let Some(entry) = queue.incoming.pop_front()
        {
            queue.head.push_back(entry);
        }
        heap::keep_nothing(&mut queue.incoming);
    }

    fn release(&mut self, entry: &Entry<P, W>, now: Instant) {
        self.memory_bytes = self.memory_bytes.saturating_sub(entry.bytes);
        self.kept_bytes = self.kept_bytes.saturating_sub(entry.bytes as u64);
        if let Keeping::Row(row) = entry.keeping {
            self.rows = self.rows.saturating_sub(1);
            self.forget_row(row, now);
        }
    }

    fn forget_row(&mut self, row: i64, now: Instant) {
        self.forget.push(row);
        self.forget_since.get_or_insert(now);
    }

    fn tell(&mut self, entry: Entry<P, W>, told: Told) {
        self.told.extend(entry.waiter.map(|waiter| (waiter, told)));
    }
}

#[cfg(test)]
mod tests;
