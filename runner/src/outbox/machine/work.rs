//! What is to be done next: sent, written, read, forgotten.

use std::time::{Duration, Instant};

use super::{Action, Entry, Keeping, Outbox, Queue, Ticket, Urgency, limits};

impl<P: Clone, W> Outbox<P, W> {
    /// The next thing to write, read or forget. Repeat until `None`; then again at `deadline`, or when something
    /// happened.
    pub fn next_work(&mut self, now: Instant) -> Option<Action<P>> {
        self.store(now).or_else(|| self.load(now)).or_else(|| self.forget(now))
    }

    /// Whether there is something to read now.
    pub fn wants_load(&self, now: Instant) -> bool {
        let wants = |queue: &Queue<P, W>| queue.wants_load_at(now);
        self.rows > 0 && self.has_memory_to_load() && self.queues.values().any(wants)
    }

    /// When `next` has something to do, if nothing happens before.
    pub fn deadline(&self) -> Option<Instant> {
        let write = self.due.filter(|_| !self.writing && self.restored);
        let write = write.map(|due| due.max(self.write_not_before.unwrap_or(due)));
        let may_load = self.rows > 0 && self.has_memory_to_load();
        let on_disk = self.queues.values().filter(|_| may_load);
        let loads = on_disk.filter(|queue| queue.wants_load());
        let forget = self.forget_since.map(|since| since + limits::FORGET_AFTER);
        let loads = loads.filter_map(|queue| queue.load_not_before);
        loads.chain(write).chain(forget).min()
    }

    /// How long a publish of this urgency may wait for its acknowledgement before it is written.
    pub(super) fn patience(&self, urgency: Urgency) -> Duration {
        let soon = urgency == Urgency::Lasting || self.slow;
        match (self.connected && !self.hurried, soon) {
            (false, _) => Duration::ZERO,
            (true, false) => self.bounds.slow_after,
            (true, true) => limits::GRACE.min(self.bounds.slow_after),
        }
    }

    fn store(&mut self, now: Instant) -> Option<Action<P>> {
        if self.writing
            || !self.restored
            || self.due.is_none_or(|at| at > now)
            || self.write_not_before.is_some_and(|at| at > now)
        {
            return None;
        }
        self.due = None;
        let patience =
            [Urgency::Redelivered, Urgency::Lasting].map(|urgency| self.patience(urgency));
        let due_at = |entry: &Entry<P, W>| {
            entry.since + patience[usize::from(entry.urgency == Urgency::Lasting)]
        };
        let (slow_after, mut slow) = (self.bounds.slow_after, self.slow);
        let mut writing = Vec::new();
        let mut bytes = 0;
        for queue in self.queues.values_mut() {
            let unkept = |entry: &Entry<P, W>| entry.keeping == Keeping::Memory;
            let is_due = |entry: &Entry<P, W>| unkept(entry) && due_at(entry) <= now;
            // Up to the last that is due, all: rows must be in the order of the queue.
            let due = match queue.incoming.iter().any(unkept) {
                true => queue.head.len(),
                false => queue.head.iter().rposition(is_due).map_or(0, |last| last + 1),
            };
            let later = queue.head.iter().skip(due).filter(|entry| unkept(entry)).map(due_at).min();
            self.due = self.due.into_iter().chain(later).min();
            let head = queue.head.iter_mut().take(due);
            for entry in head.chain(&mut queue.incoming).filter(|entry| unkept(entry)) {
                let enough = limits::ROWS_PER_WRITE_MAX;
                if writing.len() >= enough || bytes > limits::BYTES_PER_WRITE_MAX {
                    break;
                }
                entry.keeping = Keeping::Writing;
                slow |= entry.since + slow_after <= now;
                bytes += entry.bytes;
                writing.push((entry.ticket, entry.publish.clone()));
            }
        }
        if writing.is_empty() {
            return None;
        }
        // What comes until the broker acknowledges something again need not wait as long to learn the same.
        (self.writing, self.slow) = (true, slow);
        Some(Action::Store(writing))
    }

    /// The next to send: then `acked`, `refused` or `unsent`. Repeat until `None`.
    pub fn next_send(&mut self) -> Option<(Ticket, P)> {
        if !self.connected || self.sending >= limits::SENDING_MAX {
            return None;
        }
        let has = |queue: &Queue<P, W>| queue.head.iter().any(|entry| !entry.sent);
        let component = self.queues.next_after(self.last, has)?;
        self.last = component;
        let entry = self.queues.get_mut(component)?.head.iter_mut().find(|e| !e.sent)?;
        entry.sent = true;
        self.sending += 1;
        Some((entry.ticket, entry.publish.clone()))
    }

    fn load(&mut self, now: Instant) -> Option<Action<P>> {
        if self.rows == 0 || !self.has_memory_to_load() {
            return None;
        }
        let wants = |queue: &Queue<P, W>| queue.wants_load_at(now);
        let component = self.queues.next_after(u32::MAX, wants)?;
        let queue = self.queues.get_mut(component)?;
        queue.loading = true;
        Some(Action::Load(component, queue.loaded_to))
    }

    fn forget(&mut self, now: Instant) -> Option<Action<P>> {
        let since = self.forget_since?;
        let many = self.forget.len() >= limits::FORGET_BATCH && since <= now;
        if !many && !self.hurried && since + limits::FORGET_AFTER > now {
            return None;
        }
        self.forget_since = None;
        Some(Action::Forget(std::mem::take(&mut self.forget)))
    }

    fn has_memory_to_load(&self) -> bool {
        self.memory_bytes <= limits::MEMORY_BYTES_MAX / 2
    }
}
