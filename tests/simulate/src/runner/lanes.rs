//! The feeds and the workers, as `feeds.rs` and `flow/lanes.rs` in the runner have them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use pirn_runner::flow::books::Dropped;
use pirn_runner::flow::lane::{Arrival, Left, Loaded, Next, Offer};
use pirn_runner::flow::tries::Tries;
use pirn_runner::happening::{Urgency, Worth};
use pirn_runner::limits::dispatch as limits;
use pirn_triggers::mqtt::Qos;
use pirn_triggers::mqtt::core::Queued;

use super::{Event, Task, Waits};
use crate::disk::{Answer, KeptEvent, Op};
use crate::mutant::Mutant;
use crate::plan;
use crate::world::{World, number_of};

impl World {
    /// Tries that an earlier process did not see the end of are counted; then the lanes are filled.
    pub(super) fn attempts_counted(&mut self, answer: Answer) {
        if let Answer::Attempts(tries) = answer {
            self.marks.clear();
            if !self.has(Mutant::ForgetDeaths) {
                self.runner.tries = Tries::stored(tries);
            }
        }
        self.ask_for(Op::Waiting, Waits::WaitingEvents);
    }

    /// What an earlier process wrote down waits in the lanes before anything new does.
    pub(super) fn events_restored(&mut self, answer: Answer) {
        self.runner.started = true;
        if let Answer::Waiting(events) = answer
            && !self.has(Mutant::ForgetWaitingEvents)
        {
            for (row, KeptEvent { component, trigger, event, attempts }) in events {
                let (now, bytes) = (self.instant(), self.events[event].bytes + 10);
                let lane = &mut self.runner.lanes[component];
                lane.books[trigger as usize].accept();
                lane.lane.restore(row, trigger, bytes, attempts, now);
                self.poke(component);
            }
        }
        self.say(|| "the lanes are there".into());
        self.wake_feed();
    }

    pub(super) fn wake_feed(&mut self) {
        if self.runner.started && !std::mem::replace(&mut self.runner.feed_due, true) {
            self.soon(Task::Feed);
        }
    }

    /// Takes one message from the session, waits for memory, hands it to its lanes.
    pub(super) fn feed(&mut self) {
        let event = match self.runner.held.take() {
            Some(held) => held,
            None => {
                let now = self.instant();
                let Some(queued) = self.runner.core.take(now) else { return };
                self.wake_pump();
                let Some(event) = self.event_of(queued) else { return self.wake_feed() };
                event
            }
        };
        // One that is alone always fits.
        let taken = self.runner.memory.get();
        if taken > 0 && taken + event.bytes > limits::WAITING_BYTES_MAX {
            self.runner.held = Some(event);
            return self.after(1000, Task::Feed);
        }
        let event = self.make_room(event);
        for (component, trigger) in self.events[event.number].to.clone() {
            self.offer(component, trigger, Rc::clone(&event));
        }
        self.wake_feed();
    }

    fn make_room(&self, event: Rc<Event>) -> Rc<Event> {
        let Ok(mut event) = Rc::try_unwrap(event) else { return self.unreachable_event() };
        let memory = Rc::clone(&self.runner.memory);
        memory.set(memory.get() + event.bytes);
        event.room = Some((memory, event.bytes));
        Rc::new(event)
    }

    /// Nobody else has an event that was not handed on.
    fn unreachable_event(&self) -> Rc<Event> {
        Rc::new(self.bare(0, None, Worth::Fleeting, Urgency::Lasting))
    }

    fn event_of(&mut self, Queued { key, arrival }: Queued) -> Option<Rc<Event>> {
        let number = number_of(&arrival.payload)? as usize;
        let (worth, urgency) = match arrival.qos {
            Qos::AtMostOnce => (Worth::Fleeting, Urgency::Lasting),
            _ => (Worth::Kept, Urgency::Redelivered),
        };
        let event = self.bare(number, (key != 0).then_some(key), worth, urgency);
        event.lanes.set(self.events[number].to.len());
        Some(Rc::new(event))
    }

    fn bare(&self, number: usize, key: Option<u64>, worth: Worth, urgency: Urgency) -> Event {
        let of = &self.events[number];
        let poison = matches!(of.kind, plan::Arrival::Message { poison: true, qos: 1.., .. });
        Event {
            number,
            key,
            lanes: Cell::new(1),
            tried: RefCell::default(),
            worth,
            urgency,
            bytes: limits::EVENT_OVERHEAD_BYTES + 10 + of.bytes,
            poison,
            room: None,
            abandoned: Rc::clone(&self.runner.abandoned),
            settled: Cell::new(false),
        }
    }

    /// Edges come from the kernel one by one; more than a lane takes stay there.
    pub(super) fn edges(&mut self) {
        if self.runner.held_edge.is_none() {
            let Some(event) = self.kernel.pop_front() else { return };
            self.runner.held_edge = Some(event);
            let missed = std::mem::take(&mut self.kernel_dropped);
            if missed > 0 {
                let (component, trigger) = self.events[event].to[0];
                let books = &self.runner.lanes[component].books;
                books[trigger as usize].accept_and_drop(missed, Dropped::Missed);
            }
        }
        let Some(number) = self.runner.held_edge else { return };
        let (component, trigger) = self.events[number].to[0];
        if self.runner.lanes[component].lane.in_memory() >= limits::EDGES_WAITING_MAX {
            return self.after(1000, Task::Edges);
        }
        self.runner.held_edge = None;
        self.books.taken(number, self.life);
        let urgency = match self.plan.components[component].late {
            true => Urgency::Redelivered,
            false => Urgency::Lasting,
        };
        let event = Rc::new(self.bare(number, None, Worth::Kept, urgency));
        self.offer(component, trigger, event);
        self.soon(Task::Edges);
    }

    pub(crate) fn tick(&mut self, number: usize) {
        let (component, trigger) = self.events[number].to[0];
        let event = Rc::new(self.bare(number, None, Worth::KeptTick, Urgency::Lasting));
        self.offer(component, trigger, event);
    }

    /// Hands an event to a lane.
    fn offer(&mut self, component: usize, trigger: u32, event: Rc<Event>) {
        let attempts = self.tries(component, event.number);
        let Event { bytes, worth, .. } = *event;
        let arrival = Arrival { event: Rc::clone(&event), trigger, bytes, worth, attempts };
        let now = self.instant();
        let lane = &mut self.runner.lanes[component];
        let offer = lane.lane.offer(arrival, now);
        let stuck = lane.lane.is_stuck();
        let book = &lane.books[trigger as usize];
        match offer {
            Offer::Taken => {
                book.accept();
                self.poke(component);
                match stuck {
                    true => self.keeper_is_urgent(),
                    false => self.call_keeper(),
                }
            }
            Offer::Coalesced => {
                book.accept_and_drop(1, Dropped::Coalesced);
                self.settle_event(&event, None);
            }
            Offer::Dropped => {
                book.accept_and_drop(1, Dropped::NoRoom);
                self.settle_event(&event, None);
            }
            Offer::Spent(left) => {
                book.accept();
                self.give_up_spent(component, trigger, left);
            }
            Offer::Behind(left) => {
                book.accept();
                self.give_up(component, trigger, left);
            }
        }
    }

    /// How often a run of an event was begun whose end nobody saw.
    fn tries(&self, component: usize, event: usize) -> u32 {
        self.runner.tries.of(|| digest(component, event))
    }

    /// One lane is done with an event.
    pub(super) fn settle_event(&mut self, event: &Event, tried: Option<u64>) {
        event.lanes.set(event.lanes.get().saturating_sub(1));
        event.tried.borrow_mut().extend(tried);
        if event.lanes.get() > 0 {
            return;
        }
        if let Some(key) = event.key.filter(|_| !event.settled.replace(true)) {
            self.runner.core.settle(key);
            self.wake_pump();
        }
        let tried = event.tried.take();
        self.forget_tries(tried);
    }

    /// Events are settled: how often they were tried is nobody's business any more.
    pub(super) fn forget_tries(&mut self, digests: Vec<u64>) {
        for digest in digests {
            if self.runner.tries.settle(digest) {
                self.ask_for(Op::ForgetAttempts(digest), Waits::Nobody);
            }
        }
    }

    /// A worker of this lane is to look.
    pub(super) fn poke(&mut self, lane: usize) {
        if self.runner.started && !std::mem::replace(&mut self.runner.lanes[lane].poked, true) {
            self.soon(Task::Work(lane));
        }
    }

    /// Workers that are idle take what there is.
    pub(super) fn work(&mut self, component: usize) {
        while self.runner.lanes[component].idle > 0 {
            let now = self.instant();
            let lane = &mut self.runner.lanes[component];
            match lane.lane.next(now) {
                Next::Run { key, event, attempt } => {
                    lane.idle -= 1;
                    self.begin_run(component, key, event, attempt);
                }
                Next::Load { key, row } => {
                    lane.idle -= 1;
                    self.ask_for(Op::ReadEvent(row), Waits::Event { lane: component, key });
                }
                Next::At(at) => {
                    let wait = self.micros(at).saturating_sub(self.now) + 1;
                    return self.after(wait, Task::Work(component));
                }
                Next::Idle => return,
            }
        }
    }

    /// A row of an event was read.
    pub(super) fn event_read(&mut self, component: usize, key: u64, answer: Answer) {
        let Answer::Event(kept) = answer else {
            let pause = limits::BURY_AGAIN_FIRST.as_micros() as u64;
            return self.after(pause, Task::WorkerRested(component));
        };
        let event = kept.map(|kept| {
            let worth = match self.events[kept.event].kind {
                plan::Arrival::Tick { .. } => Worth::KeptTick,
                _ => Worth::Kept,
            };
            Rc::new(self.bare(kept.event, None, worth, Urgency::Redelivered))
        });
        let tries = event.as_ref().map_or(0, |event| self.tries(component, event.number));
        let now = self.instant();
        let lane = &mut self.runner.lanes[component];
        lane.idle += 1;
        match lane.lane.loaded(key, event, tries, now) {
            Loaded::Waits => {}
            Loaded::Gone(trigger) => {
                lane.books[trigger as usize].drop_accepted(1, Dropped::Gone);
            }
            Loaded::Spent(left, trigger) => self.give_up_spent(component, trigger, left),
        }
        self.work(component);
    }

    /// An event that killed its runner as often as it was tried.
    fn give_up_spent(&mut self, component: usize, trigger: u32, left: Left<Rc<Event>>) {
        self.runner.tries.spend(digest(component, left.event.number));
        self.give_up(component, trigger, left);
    }

    /// Keeps an event aside that could not be handled. What promised nothing is counted only.
    pub(super) fn give_up(&mut self, component: usize, trigger: u32, left: Left<Rc<Event>>) {
        if !matches!(left.event.worth, Worth::Kept | Worth::KeptTick)
            || self.has(Mutant::ForgetDeadLetter)
        {
            return self.settle(component, trigger, &left, pirn_runner::flow::books::Book::bury);
        }
        self.begin_to_bury(component, trigger, left);
    }
}

/// Tells an event from others, for a component, over a restart.
pub(super) fn digest(component: usize, event: usize) -> u64 {
    (component as u64) << 32 | event as u64
}
