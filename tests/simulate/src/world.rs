//! The world of one history: its clock, its queue of what is going to happen, and what happens outside of the process.
//! One thing happens at a time, and the books are checked after each.

mod disk_work;
mod end;
mod faults;
mod outside;

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
        let runner = Runner::new(&plan, &[]);
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
