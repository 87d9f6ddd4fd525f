//! A component instance's table of handles: what a guest's small numbers stand for. Handles are owned
//! or lent for one call; the table knows which, and refuses what a guest may not do with them.

use super::types::ResourceId;
use super::{Fault, trap};
use crate::limits::engine::HANDLES_MAX;

/// One component instance's handles. Index 0 is never given out.
#[derive(Debug, Default)]
pub struct Handles {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

#[derive(Debug)]
enum Slot {
    Free,
    Held { resource: ResourceId, rep: u32, hold: Hold },
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
    /// A handle that owns.
    pub fn own(&mut self, resource: ResourceId, rep: u32) -> Result<u32, Fault> {
        self.add(Slot::Held { resource, rep, hold: Hold::Own { lent: 0 } })
    }

    /// A handle lent to a call.
    pub fn borrow(&mut self, resource: ResourceId, rep: u32, call: u32) -> Result<u32, Fault> {
        self.add(Slot::Held { resource, rep, hold: Hold::Borrow { call } })
    }

    fn add(&mut self, slot: Slot) -> Result<u32, Fault> {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize - 1] = slot;
            return Ok(index);
        }
        if self.slots.len() >= HANDLES_MAX {
            return Err(Fault::Limit(format!("it held more than {HANDLES_MAX} handles")));
        }
        self.slots.push(slot);
        Ok(self.slots.len() as u32)
    }

    fn held(&mut self, resource: ResourceId, index: u32) -> Result<(u32, &mut Hold), Fault> {
        let slot = (index as usize).checked_sub(1).and_then(|at| self.slots.get_mut(at));
        match slot {
            Some(Slot::Held { resource: found, rep, hold }) if *found == resource => {
                Ok((*rep, hold))
            }
            Some(Slot::Held { .. }) => {
                Err(trap(format!("it used handle {index} for a resource of another type")))
            }
            Some(Slot::Free) | None => {
                Err(trap(format!("it used handle {index}, which it does not have")))
            }
        }
    }

    fn free(&mut self, index: u32) {
        self.slots[index as usize - 1] = Slot::Free;
        self.free.push(index);
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
        self.free(index);
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
        let slot = (index as usize).checked_sub(1).and_then(|at| self.slots.get_mut(at));
        if let Some(Slot::Held { hold: Hold::Own { lent }, .. }) = slot {
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
        self.free(index);
        Ok(dropped)
    }
}
