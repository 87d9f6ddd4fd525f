//! The world of one history: its clock, its queue of what is going to happen, and what happens outside of the process.
//! One thing happens at a time, and the books are checked after each.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::time::{Duration, Instant};

use bytes::Bytes;
use pirn_runner::limits::outbox::PUBLISH_OVERHEAD_BYTES;
use pirn_triggers::mqtt::packet::{Incoming, Outgoing};
use pirn_triggers::mqtt::{Publish, Qos, Subscription};

use crate::books::Books;
use crate::broker::{Broker, Message, Seen};
use crate::disk::{Answer, Disk, Op};
use crate::mutant::Mutant;
use crate::plan::{Arrival, Fault, Health, Plan};
use crate::rng::Rng;
use crate::runner::{Runner, Task};
use crate::{MILLI, SECOND};

/// Which process.
pub type Life = u32;

/// From when faults stop: how long healthy components may take for what is theirs, whatever ails their neighbours.
const NEIGHBOURS_WITHIN: u64 = 150 * SECOND;
/// From when components are healed too: how long until nothing is left.
const DRAINED_WITHIN: u64 = 900 * SECOND;
/// More steps than any history takes that gets anywhere.
const STEPS_MAX: u64 = 400_000;

/// A publish of a component.
#[derive(Clone, Debug)]
pub struct Out {
    pub id: u32,
    pub publish: Publish,
}

impl Out {
    pub fn bytes(&self) -> usize {
        PUBLISH_OVERHEAD_BYTES + self.publish.topic.len() + self.publish.payload.len()
    }
}

/// A payload that carries a number.
pub fn payload(number: u32, bytes: usize) -> Bytes {
    let mut payload = number.to_le_bytes().to_vec();
    payload.resize(bytes.max(4), 0);
    payload.into()
}

/// The number that a payload carries.
pub fn number_of(payload: &[u8]) -> Option<u32> {
    payload.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// What is going to happen.
#[derive(Debug)]
pub enum Happening {
    Arrives(usize),
    Begins(usize),
    Ends(usize),
    Calm,
    Healed,
    Starts,
    Disk(Life),
    BrokerSays(u32, Incoming),
    ToBroker(u32, Outgoing),
    ToRunner(u32, Incoming),
    BrokerLost(u32),
    Process(Life, Task),
}

#[derive(Debug)]
struct Scheduled {
    at: u64,
    number: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    /// The earliest is the greatest, as the heap wants it.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// What happened outside.
#[derive(Clone, Debug)]
pub struct Event {
    pub kind: Arrival,
    /// Component and trigger.
    pub to: Vec<(usize, u32)>,
    pub bytes: usize,
}

/// The line between the runner and the broker.
#[derive(Debug, Default)]
pub struct Link {
    pub last: u32,
    pub reachable: bool,
    pub stalled_until: u64,
    up_free: u64,
    down_free: u64,
}

/// The world.
pub struct World {
    pub now: u64,
    base: Instant,
    queue: BinaryHeap<Scheduled>,
    scheduled: u64,
    pub rng: Rng,
    pub plan: Plan,
    pub broker: Broker,
    pub disk: Disk,
    pub books: Books,
    pub link: Link,
    pub events: Vec<Event>,
    /// Edges in the kernel, and how many it has dropped.
    pub kernel: VecDeque<usize>,
    pub kernel_dropped: u32,
    /// What runs, as the file in memory says.
    pub marks: BTreeMap<usize, (u64, u32)>,
    /// What the broker holds, as the runner wrote it down.
    pub granted: Vec<Subscription>,
    pub life: Life,
    pub alive: bool,
    starts: bool,
    pub runner: Runner,
    pub healed: bool,
    pub mutant: Option<Mutant>,
    pub steps: u64,
    trace: Option<VecDeque<String>>,
    words_max: usize,
}

/// How a history ended.
#[derive(Debug)]
pub struct Outcome {
    pub steps: u64,
    /// Seconds of the history's own time.
    pub seconds: u64,
    /// What went wrong.
    pub problem: Option<String>,
    /// The last steps, as many as were asked for.
    pub words: Vec<String>,
}

/// Runs the history of a seed. It remembers so many of its last steps, in words.
pub fn run(seed: u64, mutant: Option<Mutant>, words_max: usize) -> Outcome {
    let mut world = World::new(seed, mutant, words_max);
    let problem = world.pass();
    let words = world.trace.unwrap_or_default().into();
    Outcome { steps: world.steps, seconds: world.now / SECOND, problem, words }
}

impl World {
    fn new(seed: u64, mutant: Option<Mutant>, words_max: usize) -> Self {
        let mut rng = Rng::new(seed);
        let plan = Plan::of(&mut rng);
        let base = Instant::now();
        let runner = Runner::new(&plan, &[], 0);
        let mut world = Self {
            now: 0,
            base,
            queue: BinaryHeap::new(),
            scheduled: 0,
            rng,
            plan,
            broker: Broker::new(),
            disk: Disk::default(),
            books: Books::default(),
            link: Link { reachable: true, ..Link::default() },
            events: Vec::new(),
            kernel: VecDeque::new(),
            kernel_dropped: 0,
            marks: BTreeMap::new(),
            granted: Vec::new(),
            life: 0,
            alive: false,
            starts: false,
            runner,
            healed: false,
            mutant,
            steps: 0,
            trace: (words_max > 0).then(VecDeque::new),
            words_max,
        };
        if mutant == Some(Mutant::ForgetFsync) {
            world.disk.synced = Some(Box::default());
        }
        world.schedule_the_plan();
        world
    }

    fn schedule_the_plan(&mut self) {
        for at in 0..self.plan.arrivals.len() {
            self.at(self.plan.arrivals[at].0, Happening::Arrives(at));
        }
        for number in 0..self.plan.faults.len() {
            let (from, _, until) = self.plan.faults[number];
            self.at(from, Happening::Begins(number));
            self.at(until, Happening::Ends(number));
        }
        self.at(self.plan.calm_at, Happening::Calm);
        self.at(self.plan.calm_at + NEIGHBOURS_WITHIN, Happening::Healed);
        self.start_within(MILLI);
    }

    /// Lets time pass until nothing is left to do. What went wrong, if something did.
    fn pass(&mut self) -> Option<String> {
        let end = self.plan.calm_at + NEIGHBOURS_WITHIN + DRAINED_WITHIN;
        while let Some(Scheduled { at, what, .. }) = self.queue.pop() {
            self.now = at;
            self.steps += 1;
            self.happen(what);
            self.look_at_the_broker();
            if self.alive {
                self.balance();
            }
            if self.books.problem.is_some() {
                break;
            }
            if self.healed && self.is_drained() {
                self.books.close(self.life, &self.disk.tables);
                self.look_at_subscriptions();
                break;
            }
            if self.now > end || self.steps > STEPS_MAX {
                self.books.problem.get_or_insert(format!("it does not end: {}", self.left()));
                break;
            }
        }
        self.books.problem.take()
    }

    /// At the end the broker holds every subscription, or nothing would come any more.
    fn look_at_subscriptions(&mut self) {
        let own = (0..self.plan.components.len()).map(|one| format!("in/{one}"));
        for filter in own.chain(["all".to_owned()]) {
            if !self.broker.holds(&filter) {
                let text = format!(
                    "the broker holds no subscription to {filter}, and the runner believes it does"
                );
                self.books.problem.get_or_insert(text);
            }
        }
    }

    /// Remembers what was done, if somebody wants to know.
    pub fn say(&mut self, what: impl FnOnce() -> String) {
        let Some(trace) = &mut self.trace else { return };
        if trace.len() >= self.words_max {
            trace.pop_front();
        }
        trace.push_back(format!("{:>12.6} life {}: {}", self.now as f64 / 1e6, self.life, what()));
    }

    /// The time, as the machines want it.
    pub fn instant(&self) -> Instant {
        self.base + Duration::from_micros(self.now)
    }

    /// A machine's time, as the queue wants it.
    pub fn micros(&self, at: Instant) -> u64 {
        at.saturating_duration_since(self.base).as_micros() as u64
    }

    pub fn has(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub fn at(&mut self, at: u64, what: Happening) {
        self.scheduled += 1;
        let number = self.scheduled;
        self.queue.push(Scheduled { at: at.max(self.now), number, what });
    }

    /// The process does this soon: there is always a moment between two steps.
    pub fn soon(&mut self, task: Task) {
        let most = if self.rng.percent(5) { 5 * MILLI } else { 60 };
        let after = 1 + self.rng.below(most);
        self.after(after, task);
    }

    /// The process does this after so long, if it still lives.
    pub fn after(&mut self, micros: u64, task: Task) {
        self.at(self.now + micros, Happening::Process(self.life, task));
    }

    fn start_within(&mut self, most: u64) {
        if !std::mem::replace(&mut self.starts, true) {
            let after = self.rng.between(100, most.max(200));
            self.at(self.now + after, Happening::Starts);
        }
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Process(life, task) => {
                if self.alive && life == self.life {
                    self.process(task);
                }
            }
            Happening::Disk(life) => {
                if life == self.life && self.disk.busy {
                    self.disk_finished();
                }
            }
            Happening::BrokerSays(connection, packet) => {
                if self.broker.connection == Some(connection) {
                    let at = self.wire(true);
                    self.at(at, Happening::ToRunner(connection, packet));
                }
            }
            Happening::ToBroker(connection, packet) => self.towards_broker(connection, packet),
            Happening::ToRunner(connection, packet) => {
                if self.alive && self.runner.connection == Some(connection) {
                    self.received(packet);
                }
            }
            Happening::BrokerLost(connection) => {
                if self.broker.connection == Some(connection) {
                    self.broker.lost();
                }
            }
            Happening::Arrives(number) => self.arrives(number),
            Happening::Begins(number) => self.fault_begins(number),
            Happening::Ends(number) => self.fault_ends(number),
            Happening::Starts => self.start(),
            Happening::Calm => self.calm(),
            Happening::Healed => self.heal(),
        }
    }

    /// When a packet that is sent now comes out of the line: in order, later if it is stalled.
    pub fn wire(&mut self, down: bool) -> u64 {
        let takes = self.rng.between(50, 2 * MILLI);
        let free = if down { &mut self.link.down_free } else { &mut self.link.up_free };
        *free = (self.now + takes).max(*free + 1).max(self.link.stalled_until);
        *free
    }

    fn towards_broker(&mut self, connection: u32, packet: Outgoing) {
        if self.broker.up && self.broker.connection == Some(connection) {
            if packet != Outgoing::Ping {
                self.say(|| format!("broker gets {}", brief(&packet)));
            }
            self.broker.on_packet(packet, &self.plan, &mut self.rng);
        }
    }

    fn look_at_the_broker(&mut self) {
        for seen in std::mem::take(&mut self.broker.seen) {
            match seen {
                Seen::Out(out) => self.books.arrived(out),
                Seen::RefusedOut(out) => self.books.refused(out),
                Seen::Acked(event) => self.books.acked(event, &self.disk.tables),
            }
        }
        let Some(connection) = self.broker.connection else { return };
        for (after, packet) in std::mem::take(&mut self.broker.says) {
            self.at(self.now + after, Happening::BrokerSays(connection, packet));
        }
    }

    fn arrives(&mut self, number: usize) {
        let kind = self.plan.arrivals[number].1;
        match kind {
            Arrival::Message { component, qos, bytes, .. } => {
                let shares =
                    |at: &usize| component == Some(*at) || self.plan.components[*at].shares;
                let to: Vec<usize> = match component {
                    Some(one) => vec![one],
                    None => (0..self.plan.components.len()).filter(shares).collect(),
                };
                if to.is_empty() {
                    return;
                }
                let trigger = u32::from(component.is_none());
                let event = self.books.event(to.clone(), false, qos > 0);
                let to = to.into_iter().map(|one| (one, trigger)).collect();
                self.events.push(Event { kind, to, bytes });
                let topic = component.map_or("all".into(), |one| format!("in/{one}"));
                let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(qos)];
                let payload = payload(event as u32, bytes);
                let message = Message { event, topic, payload, qos };
                let taken = self.broker.up && self.broker.publish(message, self.plan.window);
                self.say(|| format!("event {event} for {kind:?}: broker takes it: {taken}"));
            }
            Arrival::Edge { component } => {
                let event = self.local(kind, component, 2);
                if !self.alive || !self.runner.started {
                    return;
                }
                if self.kernel.len() >= self.plan.kernel_max {
                    self.kernel.pop_front();
                    self.kernel_dropped += 1;
                }
                self.kernel.push_back(event);
                self.soon(Task::Edges);
            }
            Arrival::Tick { component } => {
                let event = self.local(kind, component, 3);
                if self.alive && self.runner.started {
                    self.tick(event);
                }
            }
        }
    }

    fn local(&mut self, kind: Arrival, component: usize, trigger: u32) -> usize {
        let edge = matches!(kind, Arrival::Edge { .. });
        let event = self.books.event(vec![component], true, edge);
        self.events.push(Event { kind, to: vec![(component, trigger)], bytes: 0 });
        event
    }

    fn fault_begins(&mut self, number: usize) {
        let (_, fault, until) = self.plan.faults[number];
        self.say(|| format!("fault begins: {fault:?}"));
        match fault {
            Fault::Cut => self.cut(),
            Fault::Stall => self.link.stalled_until = self.link.stalled_until.max(until),
            Fault::Unreachable => {
                self.link.reachable = false;
                self.cut();
            }
            Fault::BrokerDies => {
                let forgets = self.rng.percent(60);
                self.cut();
                self.broker.die(forgets);
            }
            Fault::Mute => self.broker.mute = true,
            Fault::DiskFails => {
                self.disk.failing = true;
                self.disk.unreadable = self.rng.percent(50);
            }
            Fault::DiskSlow => self.disk.slow = true,
            Fault::Kill => self.die(false),
            Fault::PowerCut => self.die(true),
        }
    }

    fn fault_ends(&mut self, number: usize) {
        match self.plan.faults[number].1 {
            Fault::Unreachable => self.link.reachable = true,
            Fault::BrokerDies => self.broker.up = true,
            Fault::Mute => self.broker.mute = false,
            Fault::DiskFails => self.disk.failing = false,
            Fault::DiskSlow => self.disk.slow = false,
            Fault::Cut | Fault::Stall | Fault::Kill | Fault::PowerCut => {}
        }
    }

    /// The connection breaks; both ends notice, each in its time.
    fn cut(&mut self) {
        if let Some(connection) = self.broker.connection {
            self.at(self.now + self.link.last as u64 % 3, Happening::BrokerLost(connection));
        }
        if self.alive && self.runner.connection.is_some() {
            self.soon(Task::Lost);
        }
    }

    fn calm(&mut self) {
        self.say(|| "faults stop".into());
        (self.broker.up, self.broker.mute, self.link.reachable) = (true, false, true);
        (self.disk.failing, self.disk.slow) = (false, false);
        self.plan.ack_spread = self.plan.ack_spread.min(20 * MILLI);
        if !self.alive {
            self.start_within(MILLI);
        }
    }

    /// What is of healthy components is done by now, whatever their neighbours do. From here on all are well.
    fn heal(&mut self) {
        let well = |one: &usize| {
            self.plan.components[*one].health == Health::Well && self.plan.drains_quickly()
        };
        let behind: Vec<usize> = (0..self.plan.components.len())
            .filter(well)
            .filter(|one| !self.is_done(*one))
            .collect();
        if !behind.is_empty() {
            self.books.problem.get_or_insert(format!(
                "components {behind:?} are well and have not done their work, long after faults stopped: {}",
                self.left()
            ));
        }
        self.say(|| "components are healed".into());
        self.healed = true;
    }

    /// Whether the broker and the lane have nothing more for a component.
    fn is_done(&self, component: usize) -> bool {
        let waits = |event: usize| {
            self.events[event].to.iter().any(|(to, _)| *to == component)
                && !self.books.is_handled(event, component, &self.disk.tables)
        };
        let idle = !self.alive || !self.runner.lanes[component].lane.is_waiting();
        idle && !self.broker.pending().any(waits)
    }

    fn is_drained(&self) -> bool {
        self.alive
            && self.runner.is_drained()
            && self.broker.is_idle()
            && self.kernel.is_empty()
            && self.disk.tables.outs.is_empty()
            && self.disk.tables.events.is_empty()
    }

    fn left(&self) -> String {
        let Self { runner, disk, broker, .. } = self;
        let lanes: Vec<usize> = runner.lanes.iter().map(|lane| lane.lane.len()).collect();
        format!(
            "alive {}, lanes {lanes:?}, outbox {}, rows of publishes {}, of events {}, broker idle {}, kernel {}, after {} steps",
            self.alive,
            runner.outbox.pending(),
            disk.tables.outs.len(),
            disk.tables.events.len(),
            broker.is_idle(),
            self.kernel.len(),
            self.steps,
        )
    }

    /// The process dies, now.
    pub fn die(&mut self, power: bool) {
        if !self.alive {
            return;
        }
        let there = self.rng.percent(50);
        self.say(|| {
            format!("the process dies; power cut: {power}; what is being written is there: {there}")
        });
        self.note_given_up();
        if self.runner.unanswered {
            // The file of what the broker holds cannot know that a CONNECT of this process may have made a new session.
            // That is a hole; here it is as if nothing had been written down.
            self.granted.clear();
        }
        self.alive = false;
        self.life += 1;
        self.disk.die(there);
        if power {
            self.disk.lose_power();
            self.marks.clear();
        }
        self.kernel.clear();
        self.kernel_dropped = 0;
        if let Some(connection) = self.broker.connection.filter(|_| !power) {
            let at = self.wire(false);
            self.at(at, Happening::BrokerLost(connection));
        }
        self.start_within(5 * SECOND);
    }

    fn start(&mut self) {
        self.starts = false;
        if !self.alive {
            self.alive = true;
            let after =
                if self.has(Mutant::NumberFromOne) { 0 } else { self.rng.below(65_536) as u16 };
            self.runner = Runner::new(&self.plan, &self.granted, after);
            self.say(|| "the process starts".into());
            self.begin();
        }
    }

    /// Asks the disk; the answer comes as a task.
    pub fn ask(&mut self, op: Op) -> u64 {
        let number = self.disk.ask(self.life, op);
        self.disk_works();
        number
    }

    fn disk_works(&mut self) {
        if self.disk.busy || self.disk.queue.is_empty() {
            return;
        }
        self.disk.busy = true;
        let takes = match self.disk.slow {
            true => self.rng.between(200 * MILLI, 4 * SECOND),
            false => self.rng.between(100, 12 * MILLI),
        };
        self.at(self.now + takes, Happening::Disk(self.life));
    }

    fn disk_finished(&mut self) {
        let gone = match self.disk.queue.front() {
            Some((_, _, Op::ForgetEvents(rows))) => {
                let kept = rows.iter().filter_map(|row| self.disk.tables.events.get(row));
                kept.map(|kept| (kept.event, kept.component)).collect()
            }
            _ => Vec::new(),
        };
        let Some((number, life, op, answer)) = self.disk.finish() else { return };
        self.say(|| format!("disk: {op:?} -> {answer:?}"));
        if let (Op::KeepEvents(list), Answer::Rows(_)) = (&op, &answer) {
            list.iter().for_each(|kept| self.books.event_row(kept.event, kept.component));
        }
        if matches!(answer, Answer::Done) {
            for (event, component) in gone {
                self.books.event_row_gone(event, component, &self.disk.tables);
            }
        }
        if self.disk.synced.is_some() && self.rng.percent(20) {
            self.disk.synced = Some(Box::new(self.disk.tables.clone()));
        }
        if self.alive && life == self.life {
            self.soon(Task::Answer(number, answer));
        }
        self.disk_works();
    }
}

/// An incoming packet without its payload.
pub fn brief_in(packet: &Incoming) -> String {
    match packet {
        Incoming::Publish(arrival) => {
            let event = number_of(&arrival.payload);
            format!(
                "PUBLISH {}, dup {}, {:?} event {event:?}",
                arrival.id, arrival.dup, arrival.qos
            )
        }
        other => format!("{other:?}"),
    }
}

fn brief(packet: &Outgoing) -> String {
    match packet {
        Outgoing::Publish { id, dup, publish } => {
            let number = number_of(&publish.payload);
            format!(
                "PUBLISH {id}, dup {dup}, {:?} out {number:?} to {}",
                publish.qos, publish.topic
            )
        }
        other => format!("{other:?}"),
    }
}
