//! Components: each run is a script of work and publishes, made up when it begins.

use std::collections::VecDeque;
use std::rc::Rc;

use pirn_runner::flow::lane::Then;
use pirn_runner::happening::{Urgency, Worth};
use pirn_runner::limits::dispatch::RUNNING_MAX;
use pirn_runner::limits::outbox as limits;
use pirn_runner::outbox::machine::{Full, Told};
use pirn_triggers::mqtt::{Publish, Qos};

use super::lanes::digest;
use super::outlet::{Receipt, Waiter};
use super::{Event, Task, Waits};
use crate::disk::Op;
use crate::mutant::Mutant;
use crate::plan::Health;
use crate::world::{Out, World, payload};
use crate::{MILLI, SECOND};

#[derive(Clone, Copy, Debug)]
enum Step {
    Work(u64),
    Publish { topic: usize, qos: Qos, bytes: usize },
    Die,
}

#[derive(Debug)]
enum Wait {
    Time { until: u64 },
    Room { out: Out, until: u64 },
    Safe { out: u32, receipt: usize, until: u64 },
}

/// A run under way.
#[derive(Debug)]
pub(super) struct Run {
    component: usize,
    key: u64,
    event: Rc<Event>,
    attempt: u32,
    /// It has a slot: it may run.
    begun: bool,
    mark: Option<usize>,
    steps: VecDeque<Step>,
    wait: Option<Wait>,
    receipts: Vec<usize>,
    fails: bool,
    record: usize,
}

impl World {
    /// A worker has taken an event; it waits for a slot.
    pub(super) fn begin_run(&mut self, component: usize, key: u64, event: Rc<Event>, attempt: u32) {
        let run = self.runner.next_run;
        self.runner.next_run += 1;
        let (steps, fails) = self.script(component, &event);
        let record = self.books.run(event.number, component);
        let (begun, mark, wait, receipts) = (false, None, None, Vec::new());
        self.say(|| {
            format!("run {run} of component {component} at event {}, try {attempt}", event.number)
        });
        let begins = Run {
            component,
            key,
            event,
            attempt,
            begun,
            mark,
            steps,
            wait,
            receipts,
            fails,
            record,
        };
        if self.has(Mutant::ForgetEventWhenRun) {
            self.forget_event(component, begins.event.number);
        }
        self.runner.runs.insert(run, begins);
        match self.runner.slots {
            0 => self.runner.wait_for_slot.push_back(run),
            _ => {
                self.runner.slots -= 1;
                self.soon(Task::Guest(run));
            }
        }
    }

    /// A mutant's mistake: the row of an event that has only begun to run is deleted.
    fn forget_event(&mut self, component: usize, event: usize) {
        let rows = self.disk.tables.events.iter();
        let of = rows.filter(|(_, kept)| (kept.component, kept.event) == (component, event));
        let rows = of.map(|(row, _)| *row).collect();
        self.ask_for(Op::ForgetEvents(rows), Waits::Nobody);
    }

    /// What a run is going to do.
    fn script(&mut self, component: usize, event: &Event) -> (VecDeque<Step>, bool) {
        let plan = &self.plan.components[component];
        let health = if self.healed { Health::Well } else { plan.health };
        let (outputs_max, twos, heavy) = (plan.outputs_max, plan.twos, self.plan.heavy);
        let rng = &mut self.rng;
        let (takes, fails) = match health {
            Health::Well => (rng.between(100, 20 * MILLI), false),
            Health::Flaky(percent) => (rng.between(100, 400 * MILLI), rng.percent(percent)),
            Health::Broken => (rng.between(100, 5 * MILLI), true),
            Health::Hanging => (rng.between(5 * SECOND, 30 * SECOND), true),
        };
        let mut steps = VecDeque::from([Step::Work(takes)]);
        if event.poison {
            steps.push_back(Step::Die);
        }
        for _ in 0..rng.below(outputs_max + 1) {
            let qos = match rng.below(100) {
                // They fill the session, so that it has no room for others.
                share if share < if heavy { 40 } else { 8 } => Qos::AtMostOnce,
                _ if rng.percent(twos) => Qos::ExactlyOnce,
                _ => Qos::AtLeastOnce,
            };
            let large = if heavy { 60 } else { 1 };
            let bytes = if rng.percent(large) { 40_000 } else { rng.between(8, 120) as usize };
            steps.push_back(Step::Publish { topic: rng.below(2) as usize, qos, bytes });
            if rng.percent(10) {
                steps.push_back(Step::Work(rng.between(100, 10 * MILLI)));
            }
        }
        (steps, fails)
    }

    /// A run goes on.
    pub(super) fn guest(&mut self, number: u32) {
        let Some(mut run) = self.runner.runs.remove(&number) else { return };
        if !std::mem::replace(&mut run.begun, true) {
            run.mark = self.mark(&run);
        }
        if self.go_on(number, &mut run) {
            self.runner.runs.insert(number, run);
        } else if self.alive {
            self.end_run(run);
        }
    }

    /// Writes down what runs. It survives the process and not the power.
    fn mark(&mut self, run: &Run) -> Option<usize> {
        if !matches!(run.event.worth, Worth::Kept | Worth::KeptTick) {
            return None;
        }
        let place = (0..RUNNING_MAX).find(|place| !self.marks.contains_key(place))?;
        self.marks.insert(place, (digest(run.component, run.event.number), run.attempt));
        Some(place)
    }

    /// Goes on as far as it goes. False if it has ended.
    fn go_on(&mut self, number: u32, run: &mut Run) -> bool {
        loop {
            let told = match run.wait.take() {
                None => Ok(()),
                Some(Wait::Time { until }) if until > self.now => {
                    run.wait = Some(Wait::Time { until });
                    return true;
                }
                Some(Wait::Time { .. }) => Ok(()),
                Some(Wait::Room { out, until }) => match self.offer_out(number, run, out, until) {
                    Some(told) => told,
                    None => return true,
                },
                Some(Wait::Safe { out, receipt, until }) => {
                    match self.is_told(run, out, receipt, until) {
                        Some(told) => told,
                        None => return true,
                    }
                }
            };
            // Most components give up when a publish is not taken; those that are healed do not mind.
            if told.is_err() && !self.healed && self.rng.percent(70) {
                run.fails = true;
                return false;
            }
            if run.wait.is_some() {
                continue;
            }
            match run.steps.pop_front() {
                None => return false,
                Some(Step::Work(takes)) => {
                    run.wait = Some(Wait::Time { until: self.now + takes });
                    self.after(takes, Task::Guest(number));
                    return true;
                }
                Some(Step::Die) => {
                    self.say(|| "a component ends the process".into());
                    self.die(false);
                    return false;
                }
                Some(Step::Publish { topic, qos, bytes }) => {
                    self.begin_publish(number, run, topic, qos, bytes);
                }
            }
        }
    }

    fn begin_publish(&mut self, number: u32, run: &mut Run, topic: usize, qos: Qos, bytes: usize) {
        let name = format!("out/{}/{topic}", run.component);
        if qos == Qos::AtMostOnce {
            let payload = payload(u32::MAX, bytes);
            return self.publish_unpromised(Publish { topic: name, payload, qos, retain: false });
        }
        let id = self.books.offer(run.component, topic);
        let publish = Publish { topic: name, payload: payload(id, bytes), qos, retain: false };
        let until = self.now + limits::ROOM_TIMEOUT.as_micros() as u64;
        run.wait = Some(Wait::Room { out: Out { id, publish }, until });
        self.say(|| format!("run {number} publishes {id}"));
    }

    /// Offers a publish to the outbox; what the component is told, or nothing yet.
    fn offer_out(
        &mut self,
        number: u32,
        run: &mut Run,
        out: Out,
        until: u64,
    ) -> Option<Result<(), ()>> {
        let receipt = self.runner.receipts.len();
        self.runner.receipts.push(Receipt { told: None, waiter: Waiter::Run(number) });
        let id = out.id;
        let urgency = run.event.urgency;
        self.books.accepted(id, run.event.number, run.record);
        let refused = match self.accept(run.component, out, urgency, receipt) {
            Ok(()) => {
                if urgency == Urgency::Redelivered {
                    run.receipts.push(receipt);
                    return Some(Ok(()));
                }
                let until = self.now + limits::ROOM_TIMEOUT.as_micros() as u64;
                run.wait = Some(Wait::Safe { out: id, receipt, until });
                self.after(limits::ROOM_TIMEOUT.as_micros() as u64, Task::Guest(number));
                return Some(Ok(()));
            }
            Err(refused) => refused,
        };
        self.books.not_accepted(id, run.event.number, run.record);
        let (full, out) = refused;
        self.say(|| format!("publish {id} finds no room: {full:?}"));
        if full == Full::Kept || self.now >= until {
            return Some(Err(()));
        }
        run.wait = Some(Wait::Room { out, until });
        self.runner.wait_for_room.push(number);
        self.after(until - self.now, Task::Guest(number));
        None
    }

    fn is_told(
        &mut self,
        run: &mut Run,
        out: u32,
        receipt: usize,
        until: u64,
    ) -> Option<Result<(), ()>> {
        match &self.runner.receipts[receipt].told {
            Some(Told::Safe) => {
                self.books.promised(out, &self.disk.tables);
                Some(Ok(()))
            }
            Some(Told::Dropped) => Some(Ok(())),
            Some(Told::Refused(_)) => Some(Err(())),
            None if self.now >= until => Some(Err(())),
            None => {
                run.wait = Some(Wait::Safe { out, receipt, until });
                None
            }
        }
    }

    /// A run has ended: its worker and its slot are free.
    fn end_run(&mut self, run: Run) {
        let Run { component, key, event, mark, receipts, fails, record, .. } = run;
        if let Some(mark) = mark {
            self.marks.remove(&mark);
        }
        self.say(|| {
            format!("component {component} is through with event {}: fails {fails}", event.number)
        });
        if !fails {
            self.books.done(event.number, record);
        }
        let now = self.instant();
        let lane = &mut self.runner.lanes[component];
        let trigger = lane.lane.trigger_of(key);
        let then = lane.lane.ended(key, if fails { Err(()) } else { Ok(()) }, now);
        lane.idle += 1;
        match self.runner.wait_for_slot.pop_front() {
            Some(next) => self.soon(Task::Guest(next)),
            None => self.runner.slots += 1,
        }
        self.poke(component);
        let (Some(then), Some(trigger)) = (then, trigger) else { return };
        match then {
            Then::Finish(left) => {
                let safe = self.has(Mutant::AcknowledgeBeforeSafe);
                let receipts = if safe { Vec::new() } else { receipts };
                self.begin_to_finish(component, trigger, left, receipts);
            }
            Then::GiveUp(left, _) => self.give_up(component, trigger, left),
            Then::Again(..) => {}
        }
    }
}
