//! What a component instance may wait for (`CanonicalABI.md`: waitables): calls under way, which are its
//! subtasks, and copies at the ends of streams and futures; and the sets in which it waits.
//! Who does what is waited for, and when, is the engine's business.

use super::ends::{Held, in_a_set};
use super::handles::{Entry, Handles};
use super::link::Way;
use super::types::Shape;
use super::{Fault, trap};
use crate::limits::engine::CALLS_UNDERWAY_MAX;

/// A call under way.
#[derive(Debug)]
pub(super) struct Subtask {
    status: Status,
    /// The component does not know of this status yet.
    news: bool,
    /// It was told how the call ended.
    told: bool,
    /// It asked that the call be given up.
    cancelled: bool,
    set: Option<u32>,
    /// The task of the guest that does it; `None` if the host does.
    task: Option<usize>,
}

/// How far a subtask is. The numbers are the canonical ABI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It could not begin yet.
    Starting = 0,
    /// It runs.
    Started = 1,
    /// Its result is where the caller wanted it.
    Returned = 2,
    /// It was cancelled before it began.
    NeverStarted = 3,
    /// It was cancelled; there is no result.
    Cancelled = 4,
}

impl Status {
    /// Nothing more will happen to it.
    pub fn is_last(self) -> bool {
        !matches!(self, Self::Starting | Self::Started)
    }
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
    /// The task is asked to end.
    pub const CANCELLED: Self = Self { code: 6, index: 0, payload: 0 };
    const SUBTASK: u32 = 1;
}

/// A copy was done.
pub const COMPLETED: u32 = 0;
/// The other end is gone.
pub const DROPPED: u32 = 1;
/// It was given up.
pub const CANCELLED: u32 = 2;
/// It waits.
pub const BLOCKED: u32 = u32::MAX;

/// What a copy came to, with how many values were copied.
pub const fn packed(result: u32, count: u32) -> u32 {
    result | count << 4
}

/// What became of a call that is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cancel {
    /// It had ended in this way, which the guest knows now.
    Was(Status),
    /// The host does it.
    Host,
    /// This task does it.
    Task(usize),
}

impl Held {
    /// The number of what happens at it.
    fn event_code(&self) -> u32 {
        match (self.ty.shape(), self.way) {
            (Shape::Future(_), Way::Read) => 4,
            (Shape::Future(_), Way::Write) => 5,
            (_, Way::Read) => 2,
            (_, Way::Write) => 3,
        }
    }
}

impl Handles {
    /// A call is under way that did not end at once.
    pub fn start(&mut self, status: Status, task: Option<usize>) -> Result<u32, Fault> {
        if self.underway >= CALLS_UNDERWAY_MAX {
            let sentence = format!("it had more than {CALLS_UNDERWAY_MAX} calls under way at once");
            return Err(Fault::Limit(sentence));
        }
        let (news, told, cancelled, set) = (false, false, false, None);
        let subtask = Subtask { status, news, told, cancelled, set, task };
        let index = self.table.add(Entry::Subtask(subtask));
        self.underway += usize::from(index.is_ok());
        index
    }

    /// That call is as far as this.
    pub fn progress(&mut self, index: u32, to: Status) {
        if let Ok(Entry::Subtask(subtask)) = self.table.get(index) {
            subtask.status = to;
            let known = std::mem::replace(&mut subtask.news, true);
            if to.is_last() {
                subtask.task = None;
                self.underway = self.underway.saturating_sub(1);
            }
            if !known {
                self.events.push_back(index);
            }
        }
    }

    /// The guest gives a call up. What goes on is to be ended by the caller, and [`Self::progress`] to be told.
    pub fn cancel(&mut self, index: u32, waits: bool) -> Result<Cancel, Fault> {
        let Entry::Subtask(subtask) = self.table.get(index)? else {
            return Err(not_a("subtask", index));
        };
        if waits && subtask.set.is_some() {
            return Err(in_a_set(index));
        }
        if subtask.told || std::mem::replace(&mut subtask.cancelled, true) {
            return Err(trap(format!("it cancelled call {index}, of whose end it knew")));
        }
        Ok(match (subtask.status, subtask.task) {
            (status, _) if status.is_last() => {
                self.ended(index);
                Cancel::Was(status)
            }
            (_, Some(task)) => Cancel::Task(task),
            (_, None) => Cancel::Host,
        })
    }

    /// How that call ended, if it did: the guest knows now.
    pub fn ended(&mut self, index: u32) -> Option<Status> {
        let Ok(Entry::Subtask(subtask)) = self.table.get(index) else { return None };
        if !subtask.status.is_last() {
            return None;
        }
        (subtask.news, subtask.told) = (false, true);
        let status = subtask.status;
        self.events.retain(|event| *event != index);
        Some(status)
    }

    /// The guest drops a subtask, of whose end it must know.
    pub fn drop_subtask(&mut self, index: u32) -> Result<(), Fault> {
        match self.table.get(index)? {
            Entry::Subtask(Subtask { told: true, .. }) => {}
            Entry::Subtask(_) => {
                return Err(trap(format!("it dropped call {index}, which was under way")));
            }
            _ => return Err(not_a("subtask", index)),
        }
        self.table.remove(index);
        Ok(())
    }

    /// A copy at that end came to this. What the component was not told yet is told as one.
    pub fn tell(&mut self, index: u32, payload: u32) {
        if let Ok(Entry::End(held)) = self.table.get(index) {
            let payload = match held.event {
                // What was copied before the other end went.
                Some(before) if payload & 0xf == DROPPED => packed(DROPPED, before >> 4),
                _ => payload,
            };
            if held.event.replace(payload).is_none() {
                self.events.push_back(index);
            }
        }
    }

    /// What a copy at that end came to, for who waits for it alone: it knows now.
    pub fn copy_ended(&mut self, index: u32) -> Option<u32> {
        let Ok(Entry::End(held)) = self.table.get(index) else { return None };
        let payload = held.event.take()?;
        held.told(payload);
        self.events.retain(|event| *event != index);
        Some(payload)
    }

    /// A new set to wait in.
    pub fn new_set(&mut self) -> Result<u32, Fault> {
        self.table.add(Entry::Set { waiting: 0 })
    }

    /// Somebody begins to wait in a set, or ends it.
    pub fn wait_in(&mut self, set: u32, more: bool) -> Result<(), Fault> {
        let waiting = self.set(set)?;
        *waiting = if more { *waiting + 1 } else { waiting.saturating_sub(1) };
        Ok(())
    }

    fn set(&mut self, index: u32) -> Result<&mut u32, Fault> {
        match self.table.get(index)? {
            Entry::Set { waiting } => Ok(waiting),
            _ => Err(not_a("waitable set", index)),
        }
    }

    /// The guest drops a set, which must be empty.
    pub fn drop_set(&mut self, index: u32) -> Result<(), Fault> {
        if *self.set(index)? > 0 {
            return Err(trap(format!("it dropped waitable set {index}, in which it waits")));
        }
        let member = |entry: &Entry| match entry {
            Entry::Resource(_) | Entry::Set { .. } => false,
            Entry::Subtask(Subtask { set, .. }) | Entry::End(Held { set, .. }) => {
                *set == Some(index)
            }
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
            Entry::Subtask(Subtask { set, .. }) | Entry::End(Held { set, .. }) => {
                *set = to;
                Ok(())
            }
            _ => Err(not_a("waitable", waitable)),
        }
    }

    /// What happened first in a set, if anything did: the guest is told now.
    pub fn event(&mut self, in_set: u32) -> Result<Option<Event>, Fault> {
        self.set(in_set)?;
        for place in 0..self.events.len() {
            let index = self.events[place];
            let (code, payload) = match self.table.get(index)? {
                Entry::Subtask(subtask) if subtask.set == Some(in_set) => {
                    subtask.news = false;
                    subtask.told = subtask.status.is_last();
                    (Event::SUBTASK, subtask.status as u32)
                }
                Entry::End(held) if held.set == Some(in_set) => {
                    let Some(payload) = held.event.take() else { continue };
                    held.told(payload);
                    (held.event_code(), payload)
                }
                _ => continue,
            };
            self.events.remove(place);
            return Ok(Some(Event { code, index, payload }));
        }
        Ok(None)
    }
}

pub(super) fn not_a(kind: &str, index: u32) -> Fault {
    trap(format!("it used handle {index} as a {kind}, which it is not"))
}
