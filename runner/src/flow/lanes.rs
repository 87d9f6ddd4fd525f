//! The lanes at work. Each component has one. When there is something to do in it, it calls the crew, and a hand gives
//! it a turn: takes an event, runs it, and sees to it that what ended is settled: acknowledged once what was published
//! is safe, or kept aside.
//!
//! Whoever brings events never waits for a lane. What happens to a lane concerns its own component alone.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::time::{Instant as TokioInstant, sleep, sleep_until};

use super::books::{Balance, Book, Dropped};
use super::event::Event;
use super::fair;
use super::house::{Busy, House};
use super::keeper;
use super::lane::{Arrival, Bounds, Lane, Left, Loaded, Next, Offer, Then};
use super::pace::Pace;
use super::requests::Requests;
use super::unit::Unit;
use crate::engine::outcome::Outcome;
use crate::limits::dispatch as limits;
use crate::limits::gpio::FAILURES_BEFORE_SAFE;
use crate::report::Report;

/// A component's lane, for those who bring events and those who look; cheap to clone.
#[derive(Clone)]
pub(crate) struct Entry(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) unit: Arc<Unit>,
    lane: Mutex<Lane<Arc<Event>>>,
    /// By trigger: its number in the plan, its id, its book.
    books: Box<[(u32, Arc<str>, Book)]>,
    /// It stands in line for a hand.
    in_line: AtomicBool,
    /// Its last run was long.
    is_slow: AtomicBool,
    /// It will call at its time: before that there is nothing to do.
    calls_later: AtomicBool,
    /// Its keeper looks from time to time.
    pub(super) is_kept: AtomicBool,
    /// Its keeper is to look now.
    pub(super) urgent: Notify,
    /// An event left.
    left: Notify,
    pub(super) requests: Requests,
    pub(super) house: Arc<House>,
}

impl Entry {
    /// An empty lane for a component and its triggers.
    pub(crate) fn new(
        unit: &Arc<Unit>,
        triggers: impl IntoIterator<Item = (u32, Arc<str>)>,
        has_neighbours: bool,
        house: &Arc<House>,
    ) -> Self {
        let may = &unit.limits;
        let bounds = Bounds {
            instances_max: may.instances_max,
            attempts_max: may.attempts_max,
            parked_max: limits::PARKED_MAX,
            parked_bytes_max: limits::PARKED_BYTES_MAX,
            has_neighbours,
        };
        let pace = Pace::new(may.rate.events, may.rate.period);
        let lane = Lane::new(bounds, pace);
        house.crew.lanes.fetch_add(1, Relaxed);
        let book = |(number, id)| (number, id, Book::default());
        Self(Arc::new(Inner {
            unit: Arc::clone(unit),
            lane: Mutex::new(lane),
            books: triggers.into_iter().map(book).collect(),
            in_line: AtomicBool::new(false),
            is_slow: AtomicBool::new(false),
            calls_later: AtomicBool::new(false),
            is_kept: AtomicBool::new(false),
            urgent: Notify::new(),
            left: Notify::new(),
            requests: Requests::new(unit.requests_max, pace),
            house: Arc::clone(house),
        }))
    }

    /// Whether both are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The component.
    pub(crate) fn component(&self) -> &str {
        &self.0.unit.grants.component
    }

    /// Hands an event to the lane. Never waits: what finds no room is dropped if it promised nothing, written down if
    /// the lane is stuck, or kept aside.
    pub(crate) fn offer(&self, event: Arc<Event>, trigger: u32) {
        let Inner { unit, house, .. } = &*self.0;
        let worth = event.what.worth();
        let digest = || event.digest(&unit.grants.component);
        if event.letter_id().is_some() {
            locked(&house.tries).pardon(digest);
        }
        let tries = locked(&house.tries).of(digest);
        let bytes = event.bytes();
        self.put(Arrival { event, trigger, bytes, worth, attempts: tries });
    }

    /// The same for an event of which it is known how often it was tried.
    pub(super) fn put(&self, arrival: Arrival<Arc<Event>>) {
        let Inner { house, .. } = &*self.0;
        let (event, trigger, tries) =
            (Arc::clone(&arrival.event), arrival.trigger, arrival.attempts);
        let (offer, stuck) = {
            let mut lane = self.lane();
            (lane.offer(arrival, now()), lane.is_stuck())
        };
        let Some(book) = self.book(trigger) else { return };
        match offer {
            Offer::Taken => {
                book.accept();
                self.call();
                if stuck {
                    self.0.urgent.notify_one();
                }
                self.call_keeper();
            }
            Offer::Coalesced => {
                book.accept_and_drop(1, Dropped::Coalesced);
                house.forget_tries(event.settle(None));
            }
            Offer::Dropped => {
                book.accept_and_drop(1, Dropped::NoRoom);
                house.forget_tries(event.settle(None));
            }
            Offer::Spent(left) => {
                book.accept();
                self.give_up_spent(left, trigger, tries);
            }
            Offer::Behind(left) => {
                book.accept();
                let reason = "its component does not keep up: too much waits for it".to_string();
                self.give_up(left, trigger, reason);
            }
        }
    }

    /// A message that is too large to be handled: kept aside at once.
    pub(crate) fn refuse(&self, event: Arc<Event>, trigger: u32, reason: String) {
        let Some(book) = self.book(trigger) else { return };
        book.accept();
        let left = self.lane().pass(trigger, event);
        self.give_up(left, trigger, reason);
    }

    /// An event that an earlier process wrote down.
    pub(crate) fn restore(&self, row: i64, trigger: u32, bytes: usize, attempts: u32) {
        if let Some(book) = self.book(trigger) {
            book.accept();
            self.lane().restore(row, trigger, bytes, attempts, now());
            self.call();
            self.call_keeper();
        }
    }

    /// Counts ticks that were due while nobody could look: they are one with the next.
    pub(crate) fn count_coalesced(&self, trigger: u32, ticks: u32) {
        self.count(trigger, ticks, Dropped::Coalesced);
    }

    /// Counts edges that were lost before they reached us.
    pub(crate) fn count_missed(&self, trigger: u32, edges: u32) {
        self.count(trigger, edges, Dropped::Missed);
    }

    fn count(&self, trigger: u32, events: u32, why: Dropped) {
        if let Some(book) = self.book(trigger).filter(|_| events > 0) {
            book.accept_and_drop(events, why);
        }
    }

    /// Waits until few enough edges wait in memory: more stay with the kernel.
    pub(crate) async fn has_room_for_edges(&self) {
        loop {
            let left = self.0.left.notified();
            if self.lane().in_memory() < limits::EDGES_WAITING_MAX {
                return;
            }
            left.await;
        }
    }

    /// The books of its triggers, each with the trigger's id.
    pub(crate) fn balances(&self) -> Vec<(Arc<str>, Balance)> {
        let lane = self.lane();
        let of = |(number, id, book): &(u32, Arc<str>, Book)| {
            (Arc::clone(id), book.balance(lane.pending(*number) as u64))
        };
        self.0.books.iter().map(of).collect()
    }

    /// Events that wait on disk.
    pub(crate) fn on_disk(&self) -> usize {
        self.lane().on_disk().0
    }

    pub(super) fn lane(&self) -> MutexGuard<'_, Lane<Arc<Event>>> {
        locked(&self.0.lane)
    }

    pub(super) fn trigger_id(&self, trigger: u32) -> &str {
        self.0.books.iter().find(|(number, ..)| *number == trigger).map_or("", |(_, id, _)| id)
    }

    /// Stands in line for a hand, if there is something to do.
    pub(super) fn call(&self) {
        let Inner { house, in_line, calls_later, is_slow, .. } = &*self.0;
        let may = !calls_later.load(Relaxed) && !house.stopping.load(Relaxed);
        if may && self.lane().wants_turn() && !in_line.swap(true, Relaxed) {
            let runs = match is_slow.load(Relaxed) && house.crew.lanes.load(Relaxed) > 1 {
                true => fair::Runs::Long,
                false => fair::Runs::Short,
            };
            let ask = fair::Ask { runs, bytes: self.0.unit.limits.instance_bytes() };
            house.crew.call(house.app(), ask, self.clone());
        }
    }

    /// The same then, and not before.
    fn call_at(&self, until: Instant) {
        if self.0.calls_later.swap(true, Relaxed) {
            return;
        }
        let lane = Arc::downgrade(&self.0);
        tokio::spawn(async move {
            sleep_until(TokioInstant::from_std(until)).await;
            if let Some(inner) = lane.upgrade() {
                inner.calls_later.store(false, Relaxed);
                Entry(inner).call();
            }
        });
    }

    /// There may be room in the lane.
    pub(super) fn left(&self) {
        self.0.left.notify_waiters();
    }

    pub(super) fn book(&self, trigger: u32) -> Option<&Book> {
        self.0.books.iter().find(|(number, ..)| *number == trigger).map(|(.., book)| book)
    }

    pub(super) fn call_keeper(&self) {
        if !self.0.is_kept.swap(true, Relaxed) {
            tokio::spawn(keeper::keep(self.clone()));
        }
    }

    /// One turn with a hand; how long an instance ran. A run that turns out to be long and may not is dropped: its
    /// event waits again, for a place that long runs may have. Dropped half-way, the event in work stays unsettled.
    pub(super) async fn turn(&self, may_be_long: impl FnOnce() -> bool) -> Duration {
        let Inner { house, in_line, is_slow, .. } = &*self.0;
        in_line.store(false, Relaxed);
        if house.stopping.load(Relaxed) {
            return Duration::ZERO;
        }
        if let Some(until) = house.wait(now()) {
            self.call_at(until);
            return Duration::ZERO;
        }
        let next = self.lane().next(now());
        match next {
            Next::Run { key, event, attempt } => {
                house.count(now());
                // Another instance may begin beside it.
                self.call();
                let _busy = Busy::new(house);
                let admitted = house.crew.ledger.admit(self.0.unit.limits.instance_bytes());
                let admitted = tokio::select! {
                    admitted = admitted => admitted,
                    () = house.halt.notified() => None,
                };
                if admitted.is_none() {
                    return Duration::ZERO;
                }
                let begun = now();
                let too_long = async {
                    sleep(limits::SLOW_FROM).await;
                    if may_be_long() {
                        std::future::pending::<()>().await;
                    }
                };
                tokio::select! {
                    biased;
                    () = self.run(key, &event, attempt) => {}
                    () = house.halt.notified() => {}
                    () = too_long => self.lane().halted(Some(key)),
                }
                let took = begun.elapsed();
                is_slow.store(took >= limits::SLOW_FROM, Relaxed);
                self.call();
                took
            }
            Next::Load { key, row } => {
                match self.load(key, row).await {
                    Ok(()) => self.call(),
                    Err(again) => self.call_at(again),
                }
                Duration::ZERO
            }
            Next::Idle => Duration::ZERO,
            Next::At(until) => {
                self.call_at(until);
                Duration::ZERO
            }
        }
    }

    async fn run(&self, key: u64, event: &Arc<Event>, attempt: u32) {
        let Inner { unit, house, .. } = &*self.0;
        let component = &unit.grants.component;
        let (source, what) = (&*event.source, &event.what);
        let payload = event.what.payload();
        unit.reporter().report(&Report::Event { component, source, payload: &payload, what });
        let mark = event.what.worth().is_kept().then(|| {
            let running = house.running.as_ref();
            running.and_then(|running| running.mark(house.id, event.digest(component), attempt))
        });
        let begun = now();
        let (outcome, receipts) = unit.invoke(event).await;
        drop(mark);
        let took = begun.elapsed();
        unit.counters.count(&outcome, took);
        let result = if outcome == Outcome::Done { Ok(()) } else { Err(()) };
        let ended_at = now();
        let (then, trigger) = {
            let mut lane = self.lane();
            let trigger = lane.trigger_of(key);
            (lane.ended(key, result, ended_at), trigger)
        };
        self.left();
        let (Some(then), Some(trigger)) = (then, trigger) else { return };
        let (retry_in, strikes) = match &then {
            Then::Again(until, strikes) => {
                (Some(until.saturating_duration_since(ended_at)), *strikes)
            }
            Then::GiveUp(_, strikes) => (None, *strikes),
            Then::Finish(_) => (None, 0),
        };
        unit.reporter().report(&Report::Outcome {
            component,
            source,
            what,
            outcome: &outcome,
            took,
            attempt,
            retry_in,
        });
        if strikes == FAILURES_BEFORE_SAFE {
            unit.grants.pins.make_safe(component, unit.reporter());
        }
        match then {
            Then::Finish(left) => self.finish(left, trigger, receipts),
            Then::GiveUp(left, _) => self.give_up(left, trigger, outcome.to_string()),
            Then::Again(..) => {}
        }
    }

    /// An event that killed its runner as often as it was tried.
    fn give_up_spent(&self, left: Left<Arc<Event>>, trigger: u32, tries: u32) {
        let Inner { unit, house, .. } = &*self.0;
        locked(&house.tries).spend(left.event.digest(&unit.grants.component));
        self.give_up(left, trigger, format!("the runner died {tries} times while it ran"));
    }

    /// Reads what waits on disk alone. If it cannot be read: when to try again.
    async fn load(&self, key: u64, row: i64) -> Result<(), Instant> {
        let Inner { unit, house, .. } = &*self.0;
        match house.store.kept_event(row).await {
            Ok(kept) => {
                let settled = Arc::clone(house.settled());
                let event = kept.and_then(|kept| Event::of_kept(kept, settled)).map(Arc::new);
                let tries = event.as_ref().map_or(0, |event| {
                    locked(&house.tries).of(|| event.digest(&unit.grants.component))
                });
                let loaded = self.lane().loaded(key, event, tries, now());
                match loaded {
                    Loaded::Waits => {}
                    Loaded::Gone(trigger) => {
                        self.book(trigger).inspect(|book| book.drop_accepted(1, Dropped::Gone));
                    }
                    Loaded::Spent(left, trigger) => self.give_up_spent(left, trigger, tries),
                }
                Ok(())
            }
            Err(error) => {
                let sentence =
                    format!("an event that waits on disk cannot be read; tried again: {error}");
                unit.reporter().report(&Report::Warning(&sentence));
                Err(now() + limits::BURY_AGAIN_FIRST)
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.house.crew.lanes.fetch_sub(1, Relaxed);
    }
}

/// By tokio's clock, which stands still for tests that ask.
pub(super) fn now() -> Instant {
    TokioInstant::now().into_std()
}

pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
