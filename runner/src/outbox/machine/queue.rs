//! The publishes of one component, in order: what is ready to be sent, what has to be written first, and how much is on
//! disk alone between the two.

use std::collections::VecDeque;
use std::time::Instant;

use super::{Ticket, Urgency, limits};

#[derive(Debug)]
pub(super) struct Queue<P, W> {
    /// To be sent, in order.
    pub(super) head: VecDeque<Entry<P, W>>,
    /// Behind the tail: to be written before it can be sent.
    pub(super) incoming: VecDeque<Entry<P, W>>,
    /// Rows on disk alone, all after `loaded_to`, and their bytes.
    pub(super) tail: (u64, u64),
    pub(super) loaded_to: i64,
    pub(super) loading: bool,
    pub(super) load_not_before: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Entry<P, W> {
    pub(super) ticket: Ticket,
    pub(super) publish: P,
    pub(super) bytes: usize,
    pub(super) since: Instant,
    pub(super) urgency: Urgency,
    pub(super) sent: bool,
    pub(super) keeping: Keeping,
    pub(super) waiter: Option<W>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    Memory,
    Writing,
    Row(i64),
}

impl<P, W> Default for Queue<P, W> {
    fn default() -> Self {
        Self {
            head: VecDeque::new(),
            incoming: VecDeque::new(),
            tail: (0, 0),
            loaded_to: 0,
            loading: false,
            load_not_before: None,
        }
    }
}

impl<P, W> Queue<P, W> {
    /// What comes next has to go to disk first.
    pub(super) fn has_tail(&self) -> bool {
        self.tail.0 > 0 || !self.incoming.is_empty()
    }

    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Entry<P, W>> {
        self.head.iter_mut().chain(&mut self.incoming)
    }
}

impl<P, W> Queue<P, W> {
    pub(super) fn wants_load(&self) -> bool {
        self.tail.0 > 0 && !self.loading && self.head.len() < limits::HEAD_MAX / 2
    }

    /// The same, and it may be asked for now.
    pub(super) fn wants_load_at(&self, now: Instant) -> bool {
        self.wants_load() && self.load_not_before.is_none_or(|at| at <= now)
    }
}

/// The queues of all components that ever published, by their numbers. Mostly there is one.
#[derive(Debug)]
pub(super) struct Queues<P, W>(Vec<(u32, Queue<P, W>)>);

impl<P, W> Queues<P, W> {
    pub(super) fn new() -> Self {
        Self(Vec::new())
    }

    /// The queue of a component, made if it is not there.
    pub(super) fn of(&mut self, component: u32) -> &mut Queue<P, W> {
        let at = match self.at(component) {
            Ok(at) => at,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, (component, Queue::default()));
                at
            }
        };
        &mut self.0[at].1
    }

    pub(super) fn get(&self, component: u32) -> Option<&Queue<P, W>> {
        self.at(component).ok().map(|at| &self.0[at].1)
    }

    pub(super) fn get_mut(&mut self, component: u32) -> Option<&mut Queue<P, W>> {
        self.at(component).ok().map(|at| &mut self.0[at].1)
    }

    pub(super) fn components(&self) -> Vec<u32> {
        self.0.iter().map(|(component, _)| *component).collect()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Queue<P, W>> {
        self.0.iter().map(|(_, queue)| queue)
    }

    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut Queue<P, W>> {
        self.0.iter_mut().map(|(_, queue)| queue)
    }

    /// The next component, in turn after this one, whose queue is as wanted.
    pub(super) fn next_after(
        &self,
        last: u32,
        wanted: impl Fn(&Queue<P, W>) -> bool,
    ) -> Option<u32> {
        let from = self.0.partition_point(|(component, _)| *component <= last);
        let (before, after) = self.0.split_at(from);
        let mut in_turn = after.iter().chain(before);
        in_turn.find(|(_, queue)| wanted(queue)).map(|(component, _)| *component)
    }

    fn at(&self, component: u32) -> Result<usize, usize> {
        self.0.binary_search_by_key(&component, |(of, _)| *of)
    }
}
