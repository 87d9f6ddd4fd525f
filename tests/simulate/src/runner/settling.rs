//! What follows when a run has ended: the event is settled once what was published for it is safe, or kept aside.

use std::collections::VecDeque;
use std::rc::Rc;

use pirn_runner::flow::books::Book;
use pirn_runner::flow::lane::Left;
use pirn_runner::limits::dispatch as limits;
use pirn_runner::outbox::machine::Told;

use super::lanes::digest;
use super::outlet::Waiter;
use super::{Event, Task, Waits};
use crate::disk::{Answer, Op};
use crate::mutant::Mutant;
use crate::world::World;

/// An event that left its lane and is not settled.
#[derive(Debug)]
pub(super) struct Finish {
    component: usize,
    trigger: u32,
    left: Left<Rc<Event>>,
    receipts: VecDeque<usize>,
    /// It is to be kept aside; so many tries failed, and whether one is under way.
    burying: Option<(u32, bool)>,
}

impl World {
    /// Settles an event once everything published for it is safe.
    pub(super) fn begin_to_finish(
        &mut self,
        component: usize,
        trigger: u32,
        left: Left<Rc<Event>>,
        receipts: Vec<usize>,
    ) {
        if receipts.is_empty() {
            return self.settle(component, trigger, &left, Book::deliver);
        }
        let number = self.runner.next_finish;
        for receipt in &receipts {
            self.runner.receipts[*receipt].waiter = Waiter::Finish(number);
        }
        let receipts = receipts.into();
        self.add(Finish { component, trigger, left, receipts, burying: None });
    }

    /// Keeps an event aside, then settles it.
    pub(super) fn begin_to_bury(&mut self, component: usize, trigger: u32, left: Left<Rc<Event>>) {
        let (receipts, burying) = (VecDeque::new(), Some((0, false)));
        self.add(Finish { component, trigger, left, receipts, burying });
    }

    fn add(&mut self, finish: Finish) {
        let number = self.runner.next_finish;
        self.runner.next_finish += 1;
        self.runner.finishes.insert(number, finish);
        self.soon(Task::Finish(number));
    }

    /// Looks what has become of it.
    pub(super) fn finish(&mut self, number: u32) {
        let Some(finish) = self.runner.finishes.get_mut(&number) else { return };
        while finish.burying.is_none() {
            let Some(first) = finish.receipts.front() else {
                let Some(finish) = self.runner.finishes.remove(&number) else { return };
                return self.settle(finish.component, finish.trigger, &finish.left, Book::deliver);
            };
            match &self.runner.receipts[*first].told {
                None => return,
                Some(Told::Safe | Told::Dropped) => drop(finish.receipts.pop_front()),
                Some(Told::Refused(_)) => finish.burying = Some((0, false)),
            }
        }
        if let Some((_, under_way @ false)) = &mut finish.burying {
            *under_way = true;
            let (event, component) = (finish.left.event.number, finish.component);
            self.ask_for(Op::Bury { event, component }, Waits::Bury(number));
        }
    }

    /// The disk took a dead letter, or did not.
    pub(super) fn buried(&mut self, number: u32, answer: &Answer) {
        if matches!(answer, Answer::Done) {
            if let Some(finish) = self.runner.finishes.remove(&number) {
                self.settle(finish.component, finish.trigger, &finish.left, Book::bury);
            }
            return;
        }
        let Some(finish) = self.runner.finishes.get_mut(&number) else { return };
        let failed = finish.burying.map_or(0, |(failed, _)| failed);
        finish.burying = Some((failed + 1, false));
        if self.has(Mutant::BuryOnce) {
            return;
        }
        let pause = limits::BURY_AGAIN_FIRST * (1 << failed.min(16));
        let pause = pause.min(limits::BURY_AGAIN_MAX);
        self.after(pause.as_micros() as u64, Task::Finish(number));
    }

    /// The event is nobody's any more.
    pub(super) fn settle(
        &mut self,
        component: usize,
        trigger: u32,
        left: &Left<Rc<Event>>,
        count: impl FnOnce(&Book),
    ) {
        self.say(|| format!("component {component} settles event {}", left.event.number));
        let digest = digest(component, left.event.number);
        let tried = self.runner.tries.digest(|| digest);
        match left.row {
            None => self.settle_event(&left.event, tried),
            Some(row) => {
                self.runner.forget.push(row);
                self.keeper_is_urgent();
                self.call_keeper();
                self.forget_tries(tried.into_iter().collect());
            }
        }
        let lane = &mut self.runner.lanes[component];
        lane.lane.settled(left.key);
        count(&lane.books[trigger as usize]);
    }
}
