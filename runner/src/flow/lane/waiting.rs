//! What waits for a component, in order: what is at hand, then what is on disk alone, then what came after that. A
//! long queue costs little memory: of an event that is far from its turn only its row is known.

use std::collections::VecDeque;
use std::time::Instant;

use crate::happening::Worth;
use crate::heap;
use crate::limits::dispatch::PARKED_EVENTS_KEPT;

/// An event in the lane.
#[derive(Debug)]
pub(super) struct Item<E> {
    pub(super) key: u64,
    /// `None`: only on disk.
    pub(super) event: Option<E>,
    pub(super) trigger: u32,
    pub(super) bytes: usize,
    pub(super) worth: Worth,
    pub(super) attempts: u32,
    pub(super) came: Instant,
    pub(super) parking: Parking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parking {
    /// Only here.
    No,
    /// Being written.
    Writing,
    /// In this row.
    Row(i64),
}

impl<E> Item<E> {
    pub(super) fn is_to_be_parked(&self) -> bool {
        self.worth.is_kept() && self.parking == Parking::No
    }
}

/// An event that is on disk alone.
#[derive(Clone, Copy, Debug)]
struct Shelved {
    row: i64,
    trigger: u32,
    bytes: u32,
    attempts: u32,
    is_tick: bool,
}

impl Shelved {
    /// Of an item that is in a row.
    fn of<E>(item: &Item<E>) -> Option<Self> {
        let Parking::Row(row) = item.parking else { return None };
        let bytes = u32::try_from(item.bytes).unwrap_or(u32::MAX);
        let (trigger, attempts, is_tick) = (item.trigger, item.attempts, item.worth.is_tick());
        Some(Self { row, trigger, bytes, attempts, is_tick })
    }
}

/// All that waits.
#[derive(Debug)]
pub(super) struct Waiting<E> {
    first: VecDeque<Item<E>>,
    shelf: VecDeque<Shelved>,
    last: VecDeque<Item<E>>,
}

impl<E> Waiting<E> {
    pub(super) fn new() -> Self {
        Self { first: VecDeque::new(), shelf: VecDeque::new(), last: VecDeque::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.first.len() + self.shelf.len() + self.last.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that are at hand.
    pub(super) fn at_hand(&self) -> impl Iterator<Item = &Item<E>> {
        self.first.iter().chain(&self.last)
    }

    pub(super) fn at_hand_mut(&mut self) -> impl Iterator<Item = &mut Item<E>> {
        self.first.iter_mut().chain(&mut self.last)
    }

    /// Events of a trigger.
    pub(super) fn of(&self, trigger: u32) -> usize {
        self.at_hand().filter(|item| item.trigger == trigger).count()
            + self.shelf.iter().filter(|shelved| shelved.trigger == trigger).count()
    }

    /// Whether a tick of a trigger waits.
    pub(super) fn has_tick_of(&self, trigger: u32) -> bool {
        self.at_hand().any(|item| item.worth.is_tick() && item.trigger == trigger)
            || self.shelf.iter().any(|shelved| shelved.is_tick && shelved.trigger == trigger)
    }

    /// The newest.
    pub(super) fn push(&mut self, item: Item<E>) {
        match self.shelf.is_empty() && self.last.is_empty() {
            true => self.first.push_back(item),
            false => self.last.push_back(item),
        }
    }

    /// One that is to be tried again.
    pub(super) fn push_front(&mut self, item: Item<E>) {
        self.first.push_front(item);
    }

    /// One that an earlier process wrote down: the last of those.
    pub(super) fn restore(&mut self, row: i64, trigger: u32, bytes: usize, attempts: u32) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.shelf.push_back(Shelved { row, trigger, bytes, attempts, is_tick: false });
    }

    /// The first. `key` is for one that comes from the shelf, if it is used.
    pub(super) fn front(&mut self, now: Instant, key: impl FnOnce() -> u64) -> Option<&Item<E>> {
        if self.first.is_empty() {
            match self.shelf.pop_front() {
                Some(Shelved { row, trigger, bytes, attempts, is_tick }) => {
                    let worth = if is_tick { Worth::KeptTick } else { Worth::Kept };
                    let (parking, came, bytes) = (Parking::Row(row), now, bytes as usize);
                    let (key, event) = (key(), None);
                    let item = Item { key, event, trigger, bytes, worth, attempts, came, parking };
                    self.first.push_back(item);
                }
                None => std::mem::swap(&mut self.first, &mut self.last),
            }
        }
        self.first.front()
    }

    /// Takes the first of those that [`Self::front`] shows.
    pub(super) fn pop(&mut self) -> Option<Item<E>> {
        let item = self.first.pop_front();
        heap::keep_nothing(&mut self.first);
        item
    }

    /// All that is at hand, in order.
    pub(super) fn into_items(self) -> impl Iterator<Item = Item<E>> {
        self.first.into_iter().chain(self.last)
    }

    pub(super) fn find(&mut self, key: u64) -> Option<&mut Item<E>> {
        self.at_hand_mut().find(|item| item.key == key)
    }

    pub(super) fn remove(&mut self, key: u64) -> Option<Item<E>> {
        for part in [&mut self.first, &mut self.last] {
            if let Some(at) = part.iter().position(|item| item.key == key) {
                return part.remove(at);
            }
        }
        None
    }

    /// What is on disk and far from its turn leaves memory.
    pub(super) fn shelve(&mut self) {
        if self.shelf.is_empty() && self.last.is_empty() && self.first.len() > PARKED_EVENTS_KEPT {
            self.last = self.first.split_off(PARKED_EVENTS_KEPT);
        }
        while let Some(item) = self.last.pop_front() {
            match (Shelved::of(&item), item.worth.is_kept()) {
                (Some(shelved), _) => self.shelf.push_back(shelved),
                // It promised nothing, order neither.
                (None, false) => self.first.push_back(item),
                (None, true) => return self.last.push_front(item),
            }
        }
        heap::keep_nothing(&mut self.last);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn item(number: u64, parking: Parking, worth: Worth) -> Item<u64> {
        let (event, came) = (Some(number), Instant::now());
        Item { key: number, event, trigger: 0, bytes: 10, worth, attempts: 0, came, parking }
    }

    /// Takes all, as numbers or rows.
    fn drain(waiting: &mut Waiting<u64>) -> Vec<i64> {
        let mut came = Vec::new();
        while waiting.front(Instant::now(), || 0).is_some() {
            let item = waiting.pop().unwrap();
            came.push(match (item.event, item.parking) {
                (None, Parking::Row(row)) => row,
                (event, _) => i64::try_from(event.unwrap()).unwrap(),
            });
        }
        came
    }

    #[test]
    fn order_is_kept_over_hand_and_shelf_and_what_came_after() {
        let mut waiting = Waiting::new();
        for number in 0..30 {
            waiting.push(item(number, Parking::No, Worth::Kept));
        }
        waiting.shelve();
        for number in 0..25 {
            let row = i64::try_from(number).unwrap();
            waiting.find(number).unwrap().parking = Parking::Row(row);
            waiting.shelve();
        }
        for number in 30..40 {
            waiting.push(item(number, Parking::No, Worth::Kept));
        }
        let kept = PARKED_EVENTS_KEPT;
        assert_eq!((waiting.len(), waiting.at_hand().count(), waiting.of(0)), (40, kept + 15, 40));
        assert_eq!(drain(&mut waiting), (0..40).collect::<Vec<_>>());
    }

    #[test]
    fn what_promises_nothing_does_not_hold_up_the_shelf() {
        let mut waiting = Waiting::new();
        for number in 0..40 {
            let kept = if number % 2 == 0 { Worth::Kept } else { Worth::Fleeting };
            let parking = if number % 2 == 0 { Parking::Row(1) } else { Parking::No };
            waiting.push(item(number, parking, kept));
        }
        waiting.shelve();
        assert_eq!((waiting.len(), waiting.shelf.len(), waiting.last.len()), (40, 12, 0));
    }

    #[test]
    fn what_was_written_down_earlier_comes_first() {
        let mut waiting = Waiting::new();
        (1..=3).for_each(|row| waiting.restore(row, 0, 10, 0));
        waiting.push(item(9, Parking::No, Worth::Kept));
        assert_eq!(waiting.of(0), 4);
        assert_eq!(drain(&mut waiting), [1, 2, 3, 9]);
    }
}
