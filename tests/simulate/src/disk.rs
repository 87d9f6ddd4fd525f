//! The disk with the database on it: transactions in order, each of them there or not when the power goes, answered
//! when it is on the disk. It can be slow, and it can fail for a time.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use pirn_runner::limits::outbox::BYTES_PER_READ_MAX;

use crate::world::{Life, Out};

/// A publish in a row.
#[derive(Clone)]
pub struct KeptOut {
    pub component: u32,
    pub out: Out,
    pub at_secs: i64,
}

impl fmt::Debug for KeptOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "out {} of {}", self.out.id, self.component)
    }
}

/// An event in a row.
#[derive(Clone, Copy, Debug)]
pub struct KeptEvent {
    pub component: usize,
    pub trigger: u32,
    pub event: usize,
    pub attempts: u32,
}

/// What is asked of it.
#[derive(Clone, Debug)]
pub enum Op {
    KeepOuts(Vec<KeptOut>),
    ForgetOuts(Vec<i64>),
    Totals,
    ReadOuts {
        component: u32,
        after: i64,
        most: usize,
    },
    KeepEvents(Vec<KeptEvent>),
    ForgetEvents(Vec<i64>),
    Waiting,
    ReadEvent(i64),
    /// Of an event, for a component.
    Bury {
        event: usize,
        component: usize,
    },
    /// Of a publish.
    BuryOut(u32),
    CountAttempts(Vec<(u64, u32)>),
    ForgetAttempts(u64),
}

impl Op {
    /// What a process reads when it starts. If that cannot be read, the runner says so and leaves it for the next
    /// start, which is no history of ours.
    fn begins(&self) -> bool {
        matches!(self, Self::Totals | Self::Waiting)
    }

    fn writes(&self) -> bool {
        !matches!(self, Self::Totals | Self::ReadOuts { .. } | Self::Waiting | Self::ReadEvent(_))
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Answer {
    Rows(Vec<i64>),
    Done,
    /// Component, rows, bytes.
    Totals(Vec<(u32, u64, u64)>),
    Outs(Vec<(i64, KeptOut)>),
    Waiting(Vec<(i64, KeptEvent)>),
    Event(Option<KeptEvent>),
    Attempts(Vec<(u64, u32)>),
    Failed,
}

/// What is on it.
#[derive(Clone, Debug, Default)]
pub struct Tables {
    pub outs: BTreeMap<i64, KeptOut>,
    pub events: BTreeMap<i64, KeptEvent>,
    pub letters: BTreeMap<(usize, usize), u32>,
    pub attempts: BTreeMap<u64, u32>,
    last_out: i64,
    last_event: i64,
}

/// The disk.
#[derive(Debug, Default)]
pub struct Disk {
    pub tables: Tables,
    /// What is there when the power goes, if that is not the same.
    pub synced: Option<Box<Tables>>,
    pub queue: VecDeque<(u64, Life, Op)>,
    pub busy: bool,
    pub failing: bool,
    /// Reads fail too while it fails.
    pub unreadable: bool,
    pub slow: bool,
    /// A commit that failed half-way: the next process may find it, if nothing is written before.
    ghost: Option<Op>,
    next_op: u64,
}

impl Disk {
    /// Asks for something; the number of the answer.
    pub fn ask(&mut self, life: Life, op: Op) -> u64 {
        self.next_op += 1;
        self.queue.push_back((self.next_op, life, op));
        self.next_op
    }

    /// The work at the head of the queue is through, or has failed.
    pub fn finish(&mut self) -> Option<(u64, Life, Op, Answer)> {
        self.busy = false;
        let (number, life, op) = self.queue.pop_front()?;
        if self.failing && (op.writes() || self.unreadable && !op.begins()) {
            self.ghost = Some(op.clone()).filter(Op::writes).or(self.ghost.take());
            return Some((number, life, op, Answer::Failed));
        }
        if op.writes() {
            self.ghost = None;
        }
        let answer = self.tables.carry_out(&op);
        Some((number, life, op, answer))
    }

    /// The process dies. `there` says whether what is under way is there afterwards.
    pub fn die(&mut self, there: bool) {
        let under_way = self.queue.pop_front().map(|(.., op)| op);
        self.queue.clear();
        let under_way = under_way.filter(|op| self.busy && op.writes());
        let last = under_way.filter(|_| !self.failing).or(self.ghost.take());
        if let Some(op) = last.filter(|_| there) {
            self.tables.carry_out(&op);
        }
        self.busy = false;
    }

    /// The power goes: what was not synced is lost.
    pub fn lose_power(&mut self) {
        if let Some(synced) = &self.synced {
            self.tables = (**synced).clone();
        }
    }
}

impl Tables {
    /// Whether a publish is in a row.
    pub fn has_out(&self, id: u32) -> bool {
        self.outs.values().any(|kept| kept.out.id == id)
    }

    /// Whether an event is in a row for a component.
    pub fn has_event(&self, event: usize, component: usize) -> bool {
        self.events.values().any(|kept| (kept.event, kept.component) == (event, component))
    }

    /// Whether an event is a dead letter.
    pub fn has_letter(&self, event: usize, component: usize) -> bool {
        self.letters.contains_key(&(event, component))
    }

    /// The number of the last row of publishes.
    pub fn last_out(&self) -> i64 {
        self.last_out
    }

    fn carry_out(&mut self, op: &Op) -> Answer {
        match op {
            Op::KeepOuts(list) => Answer::Rows(list.iter().map(|one| self.keep_out(one)).collect()),
            Op::ForgetOuts(rows) => {
                self.outs.retain(|row, _| !rows.contains(row));
                Answer::Done
            }
            Op::Totals => Answer::Totals(self.totals()),
            Op::ReadOuts { component, after, most } => {
                let rows = self.outs.range(after + 1..);
                let of = rows.filter(|(_, kept)| kept.component == *component);
                let mut bytes = 0;
                let fits = |(_, kept): &(&i64, &KeptOut)| {
                    let before = bytes;
                    bytes += kept.out.bytes();
                    before <= BYTES_PER_READ_MAX
                };
                let of = of.take(*most).take_while(fits);
                Answer::Outs(of.map(|(row, kept)| (*row, kept.clone())).collect())
            }
            Op::KeepEvents(list) => {
                Answer::Rows(list.iter().map(|one| self.keep_event(*one)).collect())
            }
            Op::ForgetEvents(rows) => {
                self.events.retain(|row, _| !rows.contains(row));
                Answer::Done
            }
            Op::Waiting => Answer::Waiting(self.events.iter().map(|(k, v)| (*k, *v)).collect()),
            Op::ReadEvent(row) => Answer::Event(self.events.get(row).copied()),
            Op::Bury { event, component } => {
                *self.letters.entry((*event, *component)).or_default() += 1;
                Answer::Done
            }
            Op::BuryOut(_) => Answer::Done,
            Op::CountAttempts(died) => {
                for (digest, attempts) in died {
                    let known = self.attempts.entry(*digest).or_insert(*attempts - 1);
                    *known = (*known + 1).max(*attempts);
                }
                Answer::Attempts(self.attempts.iter().map(|(k, v)| (*k, *v)).collect())
            }
            Op::ForgetAttempts(digest) => {
                self.attempts.remove(digest);
                Answer::Done
            }
        }
    }

    fn keep_out(&mut self, kept: &KeptOut) -> i64 {
        self.last_out += 1;
        self.outs.insert(self.last_out, kept.clone());
        self.last_out
    }

    fn keep_event(&mut self, kept: KeptEvent) -> i64 {
        self.last_event += 1;
        self.events.insert(self.last_event, kept);
        self.last_event
    }

    fn totals(&self) -> Vec<(u32, u64, u64)> {
        let mut totals: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
        for kept in self.outs.values() {
            let total = totals.entry(kept.component).or_default();
            *total = (total.0 + 1, total.1 + kept.out.bytes() as u64);
        }
        totals.into_iter().map(|(component, (rows, bytes))| (component, rows, bytes)).collect()
    }
}
