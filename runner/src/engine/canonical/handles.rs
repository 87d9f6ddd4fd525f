//! A component instance's table of handles: what a guest's small numbers stand for. Here are those of resources, which
//! are owned or lent for one call; the table knows which, and refuses what a guest may not do with them. What it may wait
//! for is in `waitables.rs`, its ends of streams in `ends.rs`.

use std::collections::VecDeque;

use super::table::Table;
use super::types::ResourceId;
use super::waitables::{Subtask, not_a};
use super::{Fault, ends, trap};

/// One component instance's handles.
#[derive(Debug, Default)]
pub struct Handles {
    /// Whose they are.
    pub(super) component: usize,
    pub(super) table: Table<Entry>,
    /// What happened to waitables and its component was not told yet, in that order.
    pub(super) events: VecDeque<u32>,
    /// Subtasks that have not ended.
    pub(super) underway: usize,
}

/// What one number stands for.
#[derive(Debug)]
pub(super) enum Entry {
    Resource(Held),
    /// A set of waitables, in which so many wait.
    Set {
        waiting: u32,
    },
    Subtask(Subtask),
    End(ends::Held),
}

#[derive(Debug)]
pub(super) struct Held {
    resource: ResourceId,
    rep: u32,
    hold: Hold,
}

/// How a handle is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Owned, and lent to so many calls under way.
    Own { lent: u32 },
    /// Lent to the call of this number.
    Borrow { call: u32 },
}

/// What dropping a handle leaves to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The resource ends: its destructor gets this.
    Own(u32),
    /// It was lent to the call of this number, which has one less to give back.
    Borrow(u32),
}

impl Handles {
    /// None yet, of this component.
    pub fn of(component: usize) -> Self {
        Self { component, ..Self::default() }
    }

    /// A handle that owns.
    pub fn own(&mut self, resource: ResourceId, rep: u32) -> Result<u32, Fault> {
        self.table.add(Entry::Resource(Held { resource, rep, hold: Hold::Own { lent: 0 } }))
    }

    /// A handle lent to a call.
    pub fn borrow(&mut self, resource: ResourceId, rep: u32, call: u32) -> Result<u32, Fault> {
        self.table.add(Entry::Resource(Held { resource, rep, hold: Hold::Borrow { call } }))
    }

    fn held(&mut self, resource: ResourceId, index: u32) -> Result<(u32, &mut Hold), Fault> {
        let Entry::Resource(Held { resource: found, rep, hold }) = self.table.get(index)? else {
            return Err(not_a("resource", index));
        };
        if *found != resource {
            return Err(trap(format!("it used handle {index} for a resource of another type")));
        }
        Ok((*rep, hold))
    }

    /// What an owned or lent handle stands for.
    pub fn rep(&mut self, resource: ResourceId, index: u32) -> Result<u32, Fault> {
        Ok(self.held(resource, index)?.0)
    }

    /// Gives an owned handle away.
    pub fn give(&mut self, resource: ResourceId, index: u32) -> Result<u32, Fault> {
        let (rep, hold) = self.held(resource, index)?;
        match hold {
            Hold::Own { lent: 0 } => {}
            Hold::Own { .. } => {
                return Err(trap(format!("it gave away handle {index} while it was lent")));
            }
            Hold::Borrow { .. } => {
                return Err(trap(format!("it gave away handle {index}, which it only borrowed")));
            }
        }
        self.table.remove(index);
        Ok(rep)
    }

    /// Lends a handle to a call; [`Self::give_back`] ends that. Returns what it stands for, and
    /// whether there is something to give back.
    pub fn lend(&mut self, resource: ResourceId, index: u32) -> Result<(u32, bool), Fault> {
        let (rep, hold) = self.held(resource, index)?;
        Ok(match hold {
            Hold::Own { lent } => {
                *lent += 1;
                (rep, true)
            }
            Hold::Borrow { .. } => (rep, false),
        })
    }

    /// The call to which an owned handle was lent has returned.
    pub fn give_back(&mut self, index: u32) {
        if let Ok(Entry::Resource(Held { hold: Hold::Own { lent }, .. })) = self.table.get(index) {
            *lent = lent.saturating_sub(1);
        }
    }

    /// The guest drops a handle.
    pub fn drop(&mut self, resource: ResourceId, index: u32) -> Result<Dropped, Fault> {
        let (rep, hold) = self.held(resource, index)?;
        let dropped = match *hold {
            Hold::Own { lent: 0 } => Dropped::Own(rep),
            Hold::Own { .. } => {
                return Err(trap(format!("it dropped handle {index} while it was lent")));
            }
            Hold::Borrow { call } => Dropped::Borrow(call),
        };
        self.table.remove(index);
        Ok(dropped)
    }
}
