//! A component instance's table of something: a guest holds small numbers, the table what they stand
//! for. Number 0 is never given out, numbers of what is gone are given out again.

use super::{Fault, trap};
use crate::limits::engine::HANDLES_MAX;

/// Things by their numbers.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Table<T> {
    /// Gives out a number.
    pub(super) fn add(&mut self, thing: T) -> Result<u32, Fault> {
        if let Some(index) = self.free.pop() {
            self.slots[index as usize - 1] = Some(thing);
            return Ok(index);
        }
        if self.slots.len() >= HANDLES_MAX {
            return Err(Fault::Limit(format!("it held more than {HANDLES_MAX} handles")));
        }
        self.slots.push(Some(thing));
        Ok(self.slots.len() as u32)
    }

    /// What a number stands for; a guest that makes numbers up ends.
    pub(super) fn get(&mut self, index: u32) -> Result<&mut T, Fault> {
        let slot = (index as usize).checked_sub(1).and_then(|at| self.slots.get_mut(at));
        let thing = slot.and_then(Option::as_mut);
        thing.ok_or_else(|| trap(format!("it used handle {index}, which it does not have")))
    }

    /// Takes a number back.
    pub(super) fn remove(&mut self, index: u32) -> Option<T> {
        let slot = (index as usize).checked_sub(1).and_then(|at| self.slots.get_mut(at));
        let thing = slot.and_then(Option::take)?;
        self.free.push(index);
        Some(thing)
    }

    /// Everything that is held.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten()
    }
}
