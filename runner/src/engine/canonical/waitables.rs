//! What a component instance may wait for (`CanonicalABI.md`: waitables): calls under way, which are its
//! subtasks, and the ends of streams and futures that it reads from; and the sets in which it waits.
//! Who does what is waited for, and when, is the engine's business.
//!
//! Streams and futures come from the host or another component with all that will ever be in them. So
//! reading never has to wait, and there are no ends to write to: a guest that makes a stream of its own
//! is told so.

use std::collections::VecDeque;

use super::lower::disagree;
use super::table::Table;
use super::types::{Shape, Type};
use super::value::Value;
use super::{Fault, trap};
use crate::limits::engine::CALLS_UNDERWAY_MAX;

/// Everything a component instance may wait for.
#[derive(Debug, Default)]
pub struct Waitables {
    table: Table<Slot>,
    /// Subtasks that have ended and whose component was not told so yet, in that order.
    ended: VecDeque<u32>,
    underway: usize,
}

#[derive(Debug)]
enum Slot {
    Set,
    Subtask { status: Status, told: bool, set: Option<u32> },
    Readable { ty: Type, from: Readable, set: Option<u32> },
}

/// What can still be read.
#[derive(Debug)]
enum Readable {
    Stream(VecDeque<Value>),
    Future(Value),
    /// The reader was told that there is no more.
    Done,
}

/// How far a subtask is. The numbers are the canonical ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It runs.
    Started = 1,
    /// Its result is where the caller wanted it.
    Returned = 2,
    /// It was cancelled; there is no result.
    Cancelled = 4,
}

/// What a waiting guest is told. The numbers are the canonical ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What kind of thing happened.
    pub code: u32,
    /// To which of its waitables.
    pub index: u32,
    /// What happened to it.
    pub payload: u32,
}

impl Event {
    /// Nothing happened.
    pub const NONE: Self = Self { code: 0, index: 0, payload: 0 };
    const SUBTASK: u32 = 1;
}

/// What a read came to. `dropped` says that there was nothing, and never will be.
#[derive(Debug, PartialEq)]
pub struct Taken {
    /// What was read.
    pub values: Vec<Value>,
    /// The other end is gone.
    pub dropped: bool,
}

impl Waitables {
    /// A call is under way.
    pub fn start(&mut self) -> Result<u32, Fault> {
        if self.underway >= CALLS_UNDERWAY_MAX {
            let sentence = format!("it had more than {CALLS_UNDERWAY_MAX} calls under way at once");
            return Err(Fault::Limit(sentence));
        }
        let index =
            self.table.add(Slot::Subtask { status: Status::Started, told: false, set: None });
        self.underway += usize::from(index.is_ok());
        index
    }

    /// That call has ended.
    pub fn end(&mut self, index: u32) {
        if let Ok(Slot::Subtask { status, .. }) = self.table.get(index) {
            *status = Status::Returned;
            self.ended.push_back(index);
            self.underway = self.underway.saturating_sub(1);
        }
    }

    /// The guest gives a call up. Returns how far it was; if that is [`Status::Started`], the call is
    /// to be dropped, and counts as cancelled from now on.
    pub fn cancel(&mut self, subtask: u32) -> Result<Status, Fault> {
        let Slot::Subtask { status, told, .. } = self.table.get(subtask)? else {
            return Err(not_a("subtask", subtask));
        };
        if std::mem::replace(told, true) {
            return Err(trap(format!("it cancelled call {subtask}, of whose end it knew")));
        }
        let was = *status;
        match was {
            Status::Started => {
                *status = Status::Cancelled;
                self.underway = self.underway.saturating_sub(1);
            }
            Status::Returned | Status::Cancelled => self.ended.retain(|ended| *ended != subtask),
        }
        Ok(was)
    }

    /// The guest drops a subtask, of whose end it must know.
    pub fn drop_subtask(&mut self, index: u32) -> Result<(), Fault> {
        match self.table.get(index)? {
            Slot::Subtask { told: true, .. } => {}
            Slot::Subtask { .. } => {
                return Err(trap(format!("it dropped call {index}, which was under way")));
            }
            _ => return Err(not_a("subtask", index)),
        }
        self.table.remove(index);
        Ok(())
    }

    /// A new set to wait in.
    pub fn new_set(&mut self) -> Result<u32, Fault> {
        self.table.add(Slot::Set)
    }

    fn set(&mut self, index: u32) -> Result<(), Fault> {
        match self.table.get(index)? {
            Slot::Set => Ok(()),
            _ => Err(not_a("waitable set", index)),
        }
    }

    /// The guest drops a set, which must be empty.
    pub fn drop_set(&mut self, index: u32) -> Result<(), Fault> {
        self.set(index)?;
        let member = |slot: &Slot| match slot {
            Slot::Set => false,
            Slot::Subtask { set, .. } | Slot::Readable { set, .. } => *set == Some(index),
        };
        if self.table.iter().any(member) {
            return Err(trap(format!("it dropped waitable set {index}, which was not empty")));
        }
        self.table.remove(index);
        Ok(())
    }

    /// Puts a waitable into a set, or, with 0, into none.
    pub fn join(&mut self, waitable: u32, to: u32) -> Result<(), Fault> {
        let to = match to {
            0 => None,
            index => {
                self.set(index)?;
                Some(index)
            }
        };
        match self.table.get(waitable)? {
            Slot::Set => Err(not_a("waitable", waitable)),
            Slot::Subtask { set, .. } | Slot::Readable { set, .. } => {
                *set = to;
                Ok(())
            }
        }
    }

    /// What happened first in a set, if anything did: the guest is told now.
    pub fn event(&mut self, in_set: u32) -> Result<Option<Event>, Fault> {
        self.set(in_set)?;
        for place in 0..self.ended.len() {
            let index = self.ended[place];
            if let Slot::Subtask { status, told, set } = self.table.get(index)?
                && *set == Some(in_set)
            {
                *told = true;
                let payload = *status as u32;
                self.ended.remove(place);
                return Ok(Some(Event { code: Event::SUBTASK, index, payload }));
            }
        }
        Ok(None)
    }

    /// The guest is given a stream or a future to read from.
    pub(super) fn give(&mut self, ty: &Type, value: Value) -> Result<u32, Fault> {
        let from = match (ty.shape(), value) {
            (Shape::Stream(_), Value::Stream(values)) => Readable::Stream(values.into()),
            (Shape::Future(_), Value::Future(value)) => Readable::Future(*value),
            _ => return Err(disagree()),
        };
        self.table.add(Slot::Readable { ty: ty.clone(), from, set: None })
    }

    /// The guest gives what it could read to somebody else.
    pub(super) fn take(&mut self, ty: &Type, index: u32) -> Result<Value, Fault> {
        let value = match std::mem::replace(self.readable(ty, index)?, Readable::Done) {
            Readable::Stream(values) => Value::Stream(values.into()),
            Readable::Future(value) => Value::Future(Box::new(value)),
            Readable::Done => return Err(read_out(index)),
        };
        self.drop_readable(ty, index)?;
        Ok(value)
    }

    fn readable(&mut self, ty: &Type, index: u32) -> Result<&mut Readable, Fault> {
        match self.table.get(index)? {
            Slot::Readable { ty: found, from, .. } if found == ty => Ok(from),
            _ => Err(not_a(&ty.to_string(), index)),
        }
    }

    /// The guest reads up to so many values.
    pub fn read(&mut self, ty: &Type, index: u32, most: u32) -> Result<Taken, Fault> {
        let from = self.readable(ty, index)?;
        match std::mem::replace(from, Readable::Done) {
            Readable::Stream(values) if values.is_empty() => {
                Ok(Taken { values: Vec::new(), dropped: true })
            }
            Readable::Stream(mut values) => {
                let rest = values.split_off(values.len().min(most as usize));
                *from = Readable::Stream(rest);
                Ok(Taken { values: values.into(), dropped: false })
            }
            Readable::Future(value) => Ok(Taken { values: vec![value], dropped: false }),
            Readable::Done => Err(read_out(index)),
        }
    }

    /// The guest drops the end that it read from.
    pub fn drop_readable(&mut self, ty: &Type, index: u32) -> Result<(), Fault> {
        self.readable(ty, index)?;
        self.table.remove(index);
        Ok(())
    }
}

fn not_a(kind: &str, index: u32) -> Fault {
    trap(format!("it used handle {index} as a {kind}, which it is not"))
}

fn read_out(index: u32) -> Fault {
    trap(format!("it read from handle {index} after its end"))
}
