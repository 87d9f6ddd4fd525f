//! One component's lane: what waits for it, what runs, what is tried again, what is written down so that it
//! need not wait in the broker's window. Pure: time is an argument, an event is whatever the driver says.
//!
//! Events run in the order in which they came (with `instances_max` above one they start in that order). One that
//! failed stands at the head until it is tried again, so a component's own events wait for it; nobody else's do.
//!
//! # Stuck lanes
//!
//! A broker has so many messages under way to us (20 in mosquitto, whoever they are for). Those of a component
//! that rests, or that is slow, would fill that window, and its neighbours would get nothing. So a lane that makes
//! no progress worth the name while events wait in it, or that has far more to do than it does, is *stuck*: until it
//! is empty, what waits in it is written to disk and settled. How much of that there may be is bounded; what goes
//! beyond is kept aside as a dead letter.

mod words;

use crate::happening::Worth;
use std::collections::VecDeque;
use std::time::Instant;

use super::pace::Pace;
use super::strikes::Strikes;
use crate::limits::dispatch as limits;

pub use words::{Arrival, Bounds, Left, Loaded, Next, Offer, Parked, Then};

#[derive(Debug)]
struct Item<E> {
    key: u64,
    /// `None`: only on disk.
    event: Option<E>,
    trigger: u32,
    bytes: usize,
    worth: Worth,
    attempts: u32,
    came: Instant,
    parking: Parking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parking {
    /// Only here.
    No,
    /// Being written.
    Writing,
    /// In this row.
    Row(i64),
}

/// The lane.
#[derive(Debug)]
pub struct Lane<E> {
    bounds: Bounds,
    waiting: VecDeque<Item<E>>,
    running: Vec<Item<E>>,
    /// Left the lane, not settled: key, trigger.
    open: Vec<(u64, u32)>,
    strikes: Strikes,
    pace: Pace,
    next_key: u64,
    fleeting: usize,
    parked: usize,
    parked_bytes: usize,
    stuck: bool,
    /// Events that ended since then, for judging progress.
    ended: u32,
    ended_since: Option<Instant>,
}

impl<E: Clone> Lane<E> {
    /// An empty lane.
    pub fn new(bounds: Bounds, pace: Pace) -> Self {
        Self {
            bounds,
            waiting: VecDeque::new(),
            running: Vec::new(),
            open: Vec::new(),
            strikes: Strikes::default(),
            pace,
            next_key: 0,
            fleeting: 0,
            parked: 0,
            parked_bytes: 0,
            stuck: false,
            ended: 0,
            ended_since: None,
        }
    }

    /// An event comes.
    pub fn offer(&mut self, arrival: Arrival<E>, now: Instant) -> Offer<E> {
        let Arrival { event, trigger, bytes, worth, attempts } = arrival;
        let waits = |item: &Item<E>| item.worth.is_tick() && item.trigger == trigger;
        if worth.is_tick() && self.waiting.iter().any(waits) {
            return Offer::Coalesced;
        }
        if !worth.is_kept() && self.fleeting >= limits::FLEETING_MAX {
            return Offer::Dropped;
        }
        let key = self.key();
        if worth.is_kept() && attempts >= self.bounds.attempts_max {
            return Offer::Spent(self.left_at_once(key, trigger, event, attempts));
        }
        if worth.is_kept() && self.stuck && !self.has_room_to_park(bytes) {
            return Offer::Behind(self.left_at_once(key, trigger, event, attempts));
        }
        self.fleeting += usize::from(!worth.is_kept());
        if self.waiting.is_empty() && self.running.is_empty() {
            // The clock of progress starts with the first that waits.
            (self.ended, self.ended_since) = (0, Some(now));
        }
        let parking = Parking::No;
        let came = now;
        let event = Some(event);
        self.waiting.push_back(Item { key, event, trigger, bytes, worth, attempts, came, parking });
        Offer::Taken
    }

    /// An event that an earlier process wrote down; before anything else comes, in the order of their rows.
    pub fn restore(&mut self, row: i64, trigger: u32, bytes: usize, attempts: u32, now: Instant) {
        let key = self.key();
        self.parked += 1;
        self.parked_bytes += bytes;
        let (worth, parking) = (Worth::Kept, Parking::Row(row));
        let (came, event) = (now, None);
        self.waiting.push_back(Item { key, event, trigger, bytes, worth, attempts, came, parking });
        self.stuck = true;
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Next<E> {
        let Some(head) = self.waiting.front() else { return Next::Idle };
        if self.running.len() >= self.bounds.instances_max.max(1) as usize {
            return Next::Idle;
        }
        if let Some(until) = self.strikes.resting(now).max(self.pace.wait(now)) {
            return Next::At(until);
        }
        let Some(event) = head.event.clone() else {
            return match head.parking {
                Parking::Row(row) => Next::Load { key: head.key, row },
                _ => Next::Idle,
            };
        };
        self.pace.take(now);
        let Some(mut item) = self.waiting.pop_front() else { return Next::Idle };
        item.attempts += 1;
        let (key, attempt) = (item.key, item.attempts);
        self.fleeting -= usize::from(!item.worth.is_kept());
        self.running.push(item);
        Next::Run { key, event, attempt }
    }

    /// A row was read; `None` if there is no such row any more, which ends that event. `attempts` is how often a run
    /// of it was begun whose end nobody saw, which the row cannot know.
    pub fn loaded(&mut self, key: u64, event: Option<E>, attempts: u32, now: Instant) -> Loaded<E> {
        let Some(at) = self.waiting.iter().position(|item| item.key == key) else {
            return Loaded::Waits;
        };
        let item = &mut self.waiting[at];
        let gone = event.is_none();
        (item.event, item.attempts) = (event, item.attempts.max(attempts));
        if !gone && item.attempts < self.bounds.attempts_max {
            return Loaded::Waits;
        }
        let Some(item) = self.waiting.remove(at) else { return Loaded::Waits };
        let trigger = item.trigger;
        if gone {
            self.unpark(&item);
            return Loaded::Gone(trigger);
        }
        self.leave(item, now).map_or(Loaded::Waits, |left| Loaded::Spent(left, trigger))
    }

    /// A run ended; `Ok` if the component took the event.
    pub fn ended(&mut self, key: u64, result: Result<(), ()>, now: Instant) -> Option<Then<E>> {
        let at = self.running.iter().position(|item| item.key == key)?;
        let item = self.running.remove(at);
        if result.is_ok() {
            self.strikes.clear_half(now);
            return self.leave(item, now).map(Then::Finish);
        }
        let (strikes, until) = self.strikes.hit(now);
        if item.worth.is_kept() && item.attempts < self.bounds.attempts_max {
            self.waiting.push_front(item);
            return Some(Then::Again(until, strikes));
        }
        self.leave(item, now).map(|left| Then::GiveUp(left, strikes))
    }

    /// An event that is not to run at all: it passes, to be kept aside.
    pub fn pass(&mut self, trigger: u32, event: E) -> Left<E> {
        let key = self.key();
        self.left_at_once(key, trigger, event, 0)
    }

    /// Which trigger an event that runs is of.
    pub fn trigger_of(&self, key: u64) -> Option<u32> {
        self.running.iter().find(|item| item.key == key).map(|item| item.trigger)
    }

    /// Events that wait in memory.
    pub fn in_memory(&self) -> usize {
        self.waiting.iter().filter(|item| item.event.is_some()).count()
    }

    /// An event that had left is settled: it is nobody's any more.
    pub fn settled(&mut self, key: u64) {
        self.open.retain(|(open, _)| *open != key);
    }

    /// Whether somebody should look at the lane from time to time, since events wait in it.
    pub fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether what comes now has to be written down at once.
    pub fn is_stuck(&self) -> bool {
        self.stuck
    }

    /// Judges the lane's progress. True if it is stuck and something in it has to be written down.
    pub fn check(&mut self, now: Instant) -> bool {
        if self.waiting.is_empty() {
            self.stuck = false;
            return false;
        }
        let since = *self.ended_since.get_or_insert(now);
        let period = limits::PARK_AFTER;
        if now.saturating_duration_since(since) >= period {
            let waited = |item: &Item<E>| now.saturating_duration_since(item.came) >= period;
            let slow = self.ended < limits::PARK_UNLESS_ENDED;
            let far_behind = self.waiting.len() / limits::PARK_PERIODS_BEHIND > self.ended as usize;
            let waits = self.waiting.front().is_some_and(waited);
            self.stuck |= waits && (slow || far_behind);
            (self.ended, self.ended_since) = (0, Some(now));
        }
        self.stuck && self.waiting.iter().any(Item::is_to_be_parked)
    }

    /// What to write down now, in order, of what `which` picks. Each is then either `parked` or `not_parked`.
    pub fn park(&mut self, most: usize, which: impl Fn(&E) -> bool) -> Vec<Parked<E>> {
        let mut writing = Vec::new();
        for item in self.waiting.iter_mut().filter(|item| item.is_to_be_parked()) {
            let Some(event) = item.event.clone().filter(&which) else { continue };
            if writing.len() >= most {
                break;
            }
            item.parking = Parking::Writing;
            self.parked += 1;
            self.parked_bytes += item.bytes;
            let Item { key, trigger, attempts, .. } = *item;
            writing.push(Parked { key, trigger, attempts, event });
        }
        writing
    }

    /// An event is on disk: it can be settled, and its copy in memory goes if there are many. False if it has
    /// left meanwhile: then the row is to be deleted, and it is settled as it would be without.
    pub fn parked(&mut self, key: u64, row: i64) -> bool {
        let kept = limits::PARKED_EVENTS_KEPT;
        if let Some(item) = self.running.iter_mut().find(|item| item.key == key) {
            item.parking = Parking::Row(row);
            return true;
        }
        let Some(at) = self.waiting.iter().position(|item| item.key == key) else { return false };
        self.waiting[at].parking = Parking::Row(row);
        if at >= kept {
            self.waiting[at].event = None;
        }
        true
    }

    /// An event could not be written down: it waits in memory alone, as before.
    pub fn not_parked(&mut self, key: u64) {
        let all = self.waiting.iter_mut().chain(&mut self.running);
        for item in all.filter(|item| item.key == key && item.parking == Parking::Writing) {
            item.parking = Parking::No;
            self.parked = self.parked.saturating_sub(1);
            self.parked_bytes = self.parked_bytes.saturating_sub(item.bytes);
        }
    }

    /// Events of a trigger that are here and not settled.
    pub fn pending(&self, trigger: u32) -> usize {
        let here = self.waiting.iter().chain(&self.running);
        here.filter(|item| item.trigger == trigger).count()
            + self.open.iter().filter(|(_, of)| *of == trigger).count()
    }

    /// Events that are here and not settled.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.running.len() + self.open.len()
    }

    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Events that wait or run on disk as well, and their bytes.
    pub fn on_disk(&self) -> (usize, usize) {
        (self.parked, self.parked_bytes)
    }

    fn key(&mut self) -> u64 {
        self.next_key += 1;
        self.next_key
    }

    fn left_at_once(&mut self, key: u64, trigger: u32, event: E, attempts: u32) -> Left<E> {
        self.open.push((key, trigger));
        Left { key, event, row: None, attempts }
    }

    fn leave(&mut self, item: Item<E>, now: Instant) -> Option<Left<E>> {
        self.ended = self.ended.saturating_add(1);
        self.ended_since.get_or_insert(now);
        self.unpark(&item);
        if self.waiting.is_empty() {
            self.stuck = false;
        }
        self.open.push((item.key, item.trigger));
        let row = match item.parking {
            Parking::Row(row) => Some(row),
            Parking::No | Parking::Writing => None,
        };
        Some(Left { key: item.key, event: item.event?, row, attempts: item.attempts })
    }

    fn unpark(&mut self, item: &Item<E>) {
        if item.parking != Parking::No {
            self.parked = self.parked.saturating_sub(1);
            self.parked_bytes = self.parked_bytes.saturating_sub(item.bytes);
        }
    }

    fn has_room_to_park(&self, bytes: usize) -> bool {
        self.parked < self.bounds.parked_max
            && self.parked_bytes + bytes <= self.bounds.parked_bytes_max
    }
}

impl<E> Item<E> {
    fn is_to_be_parked(&self) -> bool {
        self.worth.is_kept() && self.parking == Parking::No
    }
}

#[cfg(test)]
mod tests;
