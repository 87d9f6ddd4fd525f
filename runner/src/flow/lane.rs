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
//! no progress worth the name while events wait in it, that has far more to do than it does, or that beside neighbours has
//! had a crowd waiting for long or has one while it rests, is *stuck*: until it is empty, what waits in it is written to disk and settled.
//! How much of that there may be is bounded. What goes beyond waits with the broker as long as the lane makes progress,
//! and is kept aside as a dead letter if it makes none.

mod waiting;
mod words;

use std::time::Instant;

use self::waiting::{Item, Parking, Waiting};
use super::pace::Pace;
use super::strikes::Strikes;
use crate::limits::dispatch as limits;

pub use words::{Arrival, Bounds, Left, Loaded, Next, Offer, Parked, Then};

/// The lane.
#[derive(Debug)]
pub struct Lane<E> {
    bounds: Bounds,
    waiting: Waiting<E>,
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
    /// Nothing runs here: it stays stuck.
    held: bool,
    /// Since when something waits all the time.
    crowded_since: Option<Instant>,
    /// It made some progress when that was judged last.
    progresses: bool,
    /// Events that ended since then, for judging progress.
    ended: u32,
    ended_since: Option<Instant>,
}

impl<E: Clone> Lane<E> {
    /// An empty lane.
    pub fn new(bounds: Bounds, pace: Pace) -> Self {
        Self {
            bounds,
            waiting: Waiting::new(),
            running: Vec::new(),
            open: Vec::new(),
            strikes: Strikes::default(),
            pace,
            next_key: 0,
            fleeting: 0,
            parked: 0,
            parked_bytes: 0,
            stuck: false,
            held: false,
            crowded_since: None,
            progresses: false,
            ended: 0,
            ended_since: None,
        }
    }

    /// An event comes.
    pub fn offer(&mut self, arrival: Arrival<E>, now: Instant) -> Offer<E> {
        let Arrival { event, trigger, bytes, worth, attempts } = arrival;
        if worth.is_tick() && self.waiting.has_tick_of(trigger) {
            return Offer::Coalesced;
        }
        if !worth.is_kept() && self.fleeting >= limits::FLEETING_MAX {
            return Offer::Dropped;
        }
        let key = self.key();
        if worth.is_kept() && attempts >= self.bounds.attempts_max {
            return Offer::Spent(self.left_at_once(key, trigger, event, attempts));
        }
        let behind = self.stuck && !self.progresses && !self.has_room_to_park(bytes);
        if worth.is_kept() && behind {
            return Offer::Behind(self.left_at_once(key, trigger, event, attempts));
        }
        self.fleeting += usize::from(!worth.is_kept());
        if self.waiting.is_empty() && self.running.is_empty() {
            // The clock of progress starts with the first that waits.
            (self.ended, self.ended_since) = (0, Some(now));
        }
        self.crowded_since.get_or_insert(now);
        let parking = Parking::No;
        let came = now;
        let event = Some(event);
        self.waiting.push(Item { key, event, trigger, bytes, worth, attempts, came, parking });
        // It will do nothing for a while, and what is behind this crowd cannot come.
        self.stuck |= self.held
            || self.bounds.has_neighbours
                && self.waiting.len() >= limits::CROWD
                && self.strikes.resting(now).is_some();
        Offer::Taken
    }

    /// An event that an earlier process wrote down; before anything else comes, in the order of their rows.
    pub fn restore(&mut self, row: i64, trigger: u32, bytes: usize, attempts: u32, now: Instant) {
        self.parked += 1;
        self.parked_bytes += bytes;
        self.waiting.restore(row, trigger, bytes, attempts);
        self.crowded_since.get_or_insert(now);
        self.stuck = true;
    }

    /// What to do now.
    pub fn next(&mut self, now: Instant) -> Next<E> {
        if self.running.len() >= self.bounds.instances_max.max(1) as usize {
            return Next::Idle;
        }
        let next_key = &mut self.next_key;
        let key = || {
            *next_key += 1;
            *next_key
        };
        let Some(head) = self.waiting.front(now, key) else { return Next::Idle };
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
        let Some(mut item) = self.waiting.pop() else { return Next::Idle };
        if self.waiting.is_empty() {
            self.crowded_since = None;
        }
        item.attempts += 1;
        let (key, attempt) = (item.key, item.attempts);
        self.fleeting -= usize::from(!item.worth.is_kept());
        self.running.push(item);
        Next::Run { key, event, attempt }
    }

    /// Whether [`Self::next`] may have something to do, now or at some time.
    pub fn wants_turn(&self) -> bool {
        self.running.len() < self.bounds.instances_max.max(1) as usize && !self.waiting.is_empty()
    }

    /// A row was read; `None` if there is no such row any more, which ends that event. `attempts` is how often a run
    /// of it was begun whose end nobody saw, which the row cannot know.
    pub fn loaded(&mut self, key: u64, event: Option<E>, attempts: u32, now: Instant) -> Loaded<E> {
        let Some(item) = self.waiting.find(key) else { return Loaded::Waits };
        let gone = event.is_none();
        (item.event, item.attempts) = (event, item.attempts.max(attempts));
        if !gone && item.attempts < self.bounds.attempts_max {
            return Loaded::Waits;
        }
        let Some(item) = self.waiting.remove(key) else { return Loaded::Waits };
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
        if self.running.is_empty() {
            self.running = Vec::new();
        }
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

    /// Runs were dropped where they stood, all or this one: their events wait again, in their order, as if they had not
    /// begun.
    pub fn halted(&mut self, which: Option<u64>) {
        self.running.sort_unstable_by_key(|item| item.key);
        let dropped = |item: &mut Item<E>| which.is_none_or(|key| item.key == key);
        let dropped: Vec<_> = self.running.extract_if(.., dropped).collect();
        for mut item in dropped.into_iter().rev() {
            item.attempts = item.attempts.saturating_sub(1);
            self.fleeting += usize::from(!item.worth.is_kept());
            self.waiting.push_front(item);
        }
    }

    /// Nothing runs here from now on: what comes is written down.
    pub fn hold(&mut self) {
        (self.held, self.stuck, self.progresses) = (true, true, false);
    }

    /// What waits in memory alone, in order, to go on elsewhere; what is on disk is for whoever reads that.
    pub fn drain(&mut self) -> Vec<Arrival<E>> {
        self.fleeting = 0;
        let items = std::mem::replace(&mut self.waiting, Waiting::new()).into_items();
        let alone = items.filter(|item| item.parking == Parking::No);
        let arrival = |item: Item<E>| {
            let Item { event, trigger, bytes, worth, attempts, .. } = item;
            Some(Arrival { event: event?, trigger, bytes, worth, attempts })
        };
        alone.filter_map(arrival).collect()
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
        self.waiting.at_hand().filter(|item| item.event.is_some()).count()
    }

    /// An event that had left is settled: it is nobody's any more.
    pub fn settled(&mut self, key: u64) {
        self.open.retain(|(open, _)| *open != key);
        if self.open.is_empty() {
            self.open = Vec::new();
        }
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
            (self.stuck, self.progresses) = (self.held, false);
            return false;
        }
        let since = *self.ended_since.get_or_insert(now);
        let period = limits::PARK_AFTER;
        if now.saturating_duration_since(since) >= period {
            let long = |since: Instant| now.saturating_duration_since(since) >= period;
            self.progresses = self.ended >= limits::PARK_UNLESS_ENDED;
            let far_behind = self.waiting.len() / limits::PARK_PERIODS_BEHIND > self.ended as usize;
            let waits = self.waiting.at_hand().next().is_some_and(|item| long(item.came));
            let crowds = self.bounds.has_neighbours
                && self.waiting.len() >= limits::CROWD
                && self.crowded_since.is_some_and(long)
                && self.ended < limits::CROWD_UNLESS_ENDED;
            self.stuck |= waits && (!self.progresses || far_behind) || crowds;
            (self.ended, self.ended_since) = (0, Some(now));
        }
        self.stuck && self.has_to_park()
    }

    /// What to write down now, in order, of what `which` picks. Each is then either `parked` or `not_parked`.
    pub fn park(&mut self, most: usize, which: impl Fn(&E) -> bool) -> Vec<Parked<E>> {
        let mut writing = Vec::new();
        let Bounds { parked_max, parked_bytes_max, .. } = self.bounds;
        for item in self.waiting.at_hand_mut().filter(|item| item.is_to_be_parked()) {
            let Some(event) = item.event.clone().filter(&which) else { continue };
            let full =
                self.parked >= parked_max || self.parked_bytes + item.bytes > parked_bytes_max;
            if writing.len() >= most || self.progresses && full {
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
        if let Some(item) = self.running.iter_mut().find(|item| item.key == key) {
            item.parking = Parking::Row(row);
            return true;
        }
        let Some(item) = self.waiting.find(key) else { return false };
        item.parking = Parking::Row(row);
        self.waiting.shelve();
        true
    }

    /// An event could not be written down: it waits in memory alone, as before.
    pub fn not_parked(&mut self, key: u64) {
        let all = self.waiting.at_hand_mut().chain(&mut self.running);
        for item in all.filter(|item| item.key == key && item.parking == Parking::Writing) {
            item.parking = Parking::No;
            self.parked = self.parked.saturating_sub(1);
            self.parked_bytes = self.parked_bytes.saturating_sub(item.bytes);
        }
    }

    /// Events of a trigger that are here and not settled.
    pub fn pending(&self, trigger: u32) -> usize {
        let running = self.running.iter().filter(|item| item.trigger == trigger).count();
        self.waiting.of(trigger)
            + running
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
            self.stuck = self.held;
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

    /// Whether something is to be written down, and may be. What waits without any progress may, all of it: it is no
    /// more than the broker's window.
    fn has_to_park(&self) -> bool {
        let first = self.waiting.at_hand().find(|item| item.is_to_be_parked());
        first.is_some_and(|item| !self.progresses || self.has_room_to_park(item.bytes))
    }

    fn has_room_to_park(&self, bytes: usize) -> bool {
        self.parked < self.bounds.parked_max
            && self.parked_bytes + bytes <= self.bounds.parked_bytes_max
    }
}

#[cfg(test)]
mod tests;
