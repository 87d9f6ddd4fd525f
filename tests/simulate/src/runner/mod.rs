//! The process: the real machines, driven as the adapters drive them. What is an async function there is a chain of
//! tasks here, each at a time of its own, so that anything may happen between two of them; a crash too.
//!
//! `session` is the connection's task, `outlet` the outbox's, `lanes` the workers and the feeds, `guest` the
//! components, `settling` what follows when a run has ended, `keeper` the keeper.

mod guest;
mod keeper;
mod lanes;
mod outlet;
mod session;
mod settling;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_runner::flow::books::Book;
use pirn_runner::flow::lane::{Lane, Parked};
use pirn_runner::flow::pace::Pace;
use pirn_runner::flow::tries::Tries;
use pirn_runner::happening::{Urgency, Worth};
use pirn_runner::limits::outbox as limits;
use pirn_runner::outbox::machine::{Outbox, Ticket};
use pirn_triggers::mqtt::core::{Core, Ending};
use pirn_triggers::mqtt::packet::Incoming;
use pirn_triggers::mqtt::{Address, Options, Protocol, Qos, Security, Subscription};

use crate::disk::{Answer, Op};
use crate::plan::Plan;
use crate::world::{Out, World};
use guest::Run;
use keeper::Keeper;
use outlet::{Receipt, Task as OutletTask};
use session::Flying;
use settling::Finish;

/// The largest publish of any component, with all that it takes.
const LARGEST: usize = 41_000;

/// What the process does next.
#[derive(Debug)]
pub enum Task {
    Connect,
    Opened,
    Lost,
    Pump,
    Clock,
    Feed,
    Edges,
    Work(usize),
    Guest(u32),
    Outlet,
    Restore(u32),
    Finish(u32),
    Keeper,
    KeeperRests(u32),
    WorkerRested(usize),
    Answer(u64, Answer),
}

/// Whom an answer of the disk is for.
#[derive(Debug)]
enum Waits {
    Attempts,
    WaitingEvents,
    Totals(u32),
    Store(Vec<Ticket>, Vec<(Ticket, i64)>),
    Load(u32),
    ForgetOuts(Vec<i64>),
    Park { lane: usize, parked: Vec<Parked<Rc<Event>>> },
    ForgetEvents(Vec<i64>),
    Event { lane: usize, key: u64 },
    Bury(u32),
    Nobody,
}

/// Bytes of events that wait in memory.
pub type Memory = Rc<Cell<usize>>;

/// An event in the process.
#[derive(Debug)]
pub struct Event {
    pub number: usize,
    /// To be settled with the session.
    key: Option<u64>,
    lanes: Cell<usize>,
    /// Under what lanes that are done remember their attempts.
    tried: RefCell<Vec<u64>>,
    worth: Worth,
    urgency: Urgency,
    bytes: usize,
    poison: bool,
    room: Option<(Memory, usize)>,
    /// Keys that were let go of without being settled.
    abandoned: Rc<RefCell<Vec<u64>>>,
    settled: Cell<bool>,
}

impl Drop for Event {
    fn drop(&mut self) {
        if let Some((memory, bytes)) = &self.room {
            memory.set(memory.get() - bytes);
        }
        if let Some(key) = self.key.filter(|_| !self.settled.get()) {
            self.abandoned.borrow_mut().push(key);
        }
    }
}

/// A component's lane with its books and its idle workers.
pub struct LaneOf {
    pub lane: Lane<Rc<Event>>,
    books: Vec<Book>,
    idle: u32,
    poked: bool,
}

/// The process.
pub struct Runner {
    pub started: bool,
    core: Core,
    pub connection: Option<u32>,
    unread: VecDeque<Incoming>,
    pump_due: bool,
    clock_at: u64,
    attempts: u32,
    accepted_at: Option<u64>,
    connected: bool,
    /// A CONNECT went out and no answer came.
    pub unanswered: bool,
    ended: Arc<Mutex<Vec<(Ticket, Ending)>>>,
    /// Publishes on the wire, oldest first, and those that are not to be sent again: for mutants.
    flying: VecDeque<Flying>,
    dropped: BTreeSet<u32>,
    /// Identifiers that PUBREC came for: for a mutant.
    received: BTreeSet<u16>,
    pub outbox: Outbox<Out, usize>,
    outlet: OutletTask,
    receipts: Vec<Receipt>,
    wait_for_room: Vec<u32>,
    pub lanes: Vec<LaneOf>,
    memory: Memory,
    abandoned: Rc<RefCell<Vec<u64>>>,
    held: Option<Rc<Event>>,
    held_edge: Option<usize>,
    feed_due: bool,
    slots: usize,
    wait_for_slot: VecDeque<u32>,
    runs: BTreeMap<u32, Run>,
    next_run: u32,
    finishes: BTreeMap<u32, Finish>,
    next_finish: u32,
    tries: Tries,
    forget: Vec<i64>,
    keeper: Keeper,
    waits: BTreeMap<u64, Waits>,
    /// Publishes given up by policy that the books know of.
    given_up: u64,
}

impl Runner {
    /// A process that has done nothing yet.
    pub fn new(plan: &Plan, granted: &[Subscription]) -> Self {
        let options = options(plan, granted);
        let lane = |one: &crate::plan::Component| LaneOf {
            lane: Lane::new(one.bounds, Pace::new(100_000, Duration::from_secs(1))),
            books: (0..4).map(|_| Book::default()).collect(),
            idle: one.bounds.instances_max.max(1),
            poked: false,
        };
        Self {
            started: false,
            core: Core::new(&options),
            connection: None,
            unread: VecDeque::new(),
            pump_due: false,
            clock_at: u64::MAX,
            attempts: 0,
            accepted_at: None,
            connected: false,
            unanswered: false,
            ended: Arc::default(),
            flying: VecDeque::new(),
            dropped: BTreeSet::new(),
            received: BTreeSet::new(),
            outbox: Outbox::new(plan.outbox),
            outlet: OutletTask::default(),
            receipts: Vec::new(),
            wait_for_room: Vec::new(),
            lanes: plan.components.iter().map(lane).collect(),
            memory: Memory::default(),
            abandoned: Rc::default(),
            held: None,
            held_edge: None,
            feed_due: false,
            slots: plan.slots,
            wait_for_slot: VecDeque::new(),
            runs: BTreeMap::new(),
            next_run: 0,
            finishes: BTreeMap::new(),
            next_finish: 0,
            tries: Tries::default(),
            forget: Vec::new(),
            keeper: Keeper::default(),
            waits: BTreeMap::new(),
            given_up: 0,
        }
    }

    /// Whether nothing is left to do.
    pub fn is_drained(&self) -> bool {
        self.started
            && self.held.is_none()
            && self.held_edge.is_none()
            && self.outbox.pending() == 0
            && self.lanes.iter().all(|lane| lane.lane.is_empty())
            && self.forget.is_empty()
    }
}

fn options(plan: &Plan, granted: &[Subscription]) -> Options {
    let address = Address { host: "broker".into(), port: 1883, security: Security::Plain };
    let mut options = Options::new(address, "board");
    options.keep_alive = plan.keep_alive;
    options.protocol = if plan.five { Protocol::V5 } else { Protocol::V311 };
    options.kept = granted.to_vec();
    let own = (0..plan.components.len()).map(|one| format!("in/{one}"));
    let filters = own.chain(["all".to_owned()]);
    options.subscriptions =
        filters.map(|filter| Subscription { filter, qos: Qos::ExactlyOnce }).collect();
    options
}

impl World {
    /// The start: sessions and outboxes at once; lanes when what an earlier process left is known.
    pub(crate) fn begin(&mut self) {
        self.soon(Task::Connect);
        self.soon(Task::Restore(0));
        let died = self.marks.values().copied().collect();
        self.ask_for(Op::CountAttempts(died), Waits::Attempts);
    }

    /// One task.
    pub(crate) fn process(&mut self, task: Task) {
        match task {
            Task::Connect => self.connect(),
            Task::Opened => self.opened(),
            Task::Lost => self.lost("cut"),
            Task::Pump => {
                self.runner.pump_due = false;
                self.pump();
            }
            Task::Clock => self.clock(),
            Task::Feed => {
                self.runner.feed_due = false;
                self.feed();
            }
            Task::Edges => self.edges(),
            Task::Work(lane) => {
                self.runner.lanes[lane].poked = false;
                self.work(lane);
            }
            Task::WorkerRested(lane) => {
                self.runner.lanes[lane].idle += 1;
                self.work(lane);
            }
            Task::Guest(run) => self.guest(run),
            Task::Outlet => self.outlet(),
            Task::Restore(again) => self.restore_outs(again),
            Task::Finish(finish) => self.finish(finish),
            Task::Keeper => self.keeper(),
            Task::KeeperRests(number) => self.keeper_rested(number),
            Task::Answer(number, answer) => self.answered(number, answer),
        }
        self.let_go();
    }

    fn ask_for(&mut self, op: Op, waits: Waits) {
        let number = self.ask(op);
        self.runner.waits.insert(number, waits);
    }

    fn answered(&mut self, number: u64, answer: Answer) {
        let Some(waits) = self.runner.waits.remove(&number) else { return };
        match (waits, answer) {
            (Waits::Attempts, answer) => self.attempts_counted(answer),
            (Waits::WaitingEvents, answer) => self.events_restored(answer),
            (Waits::Totals(again), answer) => self.outs_restored(again, answer),
            (Waits::Store(tickets, guessed), answer) => self.stored(tickets, &guessed, answer),
            (Waits::Load(component), answer) => self.loaded(component, answer),
            (Waits::ForgetOuts(rows), answer) => self.outs_forgotten(rows, &answer),
            (Waits::Park { lane, parked }, answer) => self.parked(lane, parked, answer),
            (Waits::ForgetEvents(rows), answer) => self.forgotten(rows, &answer),
            (Waits::Event { lane, key }, answer) => self.event_read(lane, key, answer),
            (Waits::Bury(finish), answer) => self.buried(finish, &answer),
            (Waits::Nobody, _) => {}
        }
    }

    /// Events that nobody holds any more and that were not settled.
    fn let_go(&mut self) {
        let keys = std::mem::take(&mut *self.runner.abandoned.borrow_mut());
        for key in keys {
            self.runner.core.abandon(key);
        }
    }

    /// What the outbox has given up by policy, for the books; the counters begin anew with each process.
    pub(crate) fn note_given_up(&mut self) {
        let tally = self.runner.outbox.tally();
        let given_up = tally.dropped + tally.expired;
        self.books.given_up += given_up - self.runner.given_up;
        self.runner.given_up = given_up;
    }

    /// The runner's own counters, after each step.
    pub(crate) fn balance(&mut self) {
        self.note_given_up();
        for (component, LaneOf { lane, books, .. }) in self.runner.lanes.iter().enumerate() {
            for (trigger, book) in books.iter().enumerate() {
                let balance = book.balance(lane.pending(trigger as u32) as u64);
                if !balance.is_balanced() {
                    let text = format!(
                        "the book of component {component}, trigger {trigger} is {balance:?}"
                    );
                    self.books.problem.get_or_insert(text);
                }
            }
        }
        let (tally, pending) = (self.runner.outbox.tally(), self.runner.outbox.pending());
        let ended = tally.delivered + tally.refused + tally.dropped + tally.expired;
        if tally.accepted != ended + pending {
            let text = format!("the outbox counts {tally:?}, and {pending} are pending");
            self.books.problem.get_or_insert(text);
        }
        self.look_at_bounds();
    }

    /// Nothing grows beyond what it may, but by one, and by what is read at once.
    fn look_at_bounds(&mut self) {
        let (memory, kept) = self.runner.outbox.bytes();
        let in_memory = (limits::MEMORY_BYTES_MAX / limits::PUBLISH_OVERHEAD_BYTES) as u64;
        let memory_max = limits::MEMORY_BYTES_MAX + limits::BYTES_PER_READ_MAX + LARGEST;
        let rows = self.runner.outbox.rows();
        let kept_max = self.plan.outbox.bytes_max + LARGEST as u64;
        let rows_max = self.plan.outbox.rows_max + in_memory;
        // An earlier process left what it had and what it had not deleted yet, whatever the bounds are.
        let beyond = self.life == 0 && (rows > rows_max || kept > kept_max);
        if memory > memory_max || beyond {
            let text =
                format!("the outbox holds {memory} bytes in memory, {kept} in all, in {rows} rows");
            self.books.problem.get_or_insert(text);
        }
    }
}
