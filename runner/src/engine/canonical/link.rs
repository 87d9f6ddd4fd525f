//! What both ends of a stream or a future share (`CanonicalABI.md`: `SharedStreamImpl`): who is at each end, and the
//! copy that waits there for the other. It decides what becomes of a copy when both are there; who moves the values
//! is the engine, which can reach the memories.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pipe::{Sink, Source};
use super::types::{Shape, Type};
use super::waitables::{COMPLETED, packed};
use crate::limits::engine::{PIPE_BYTES, PIPE_ITEMS};

/// One stream or future, which both of its ends hold.
#[derive(Clone, Debug)]
pub struct Link(Arc<Mutex<Shared>>);

/// What both ends see.
#[derive(Debug)]
pub struct Shared {
    /// It is a future: one value, once.
    pub once: bool,
    /// It is of bytes.
    bytes: bool,
    /// That value was copied.
    pub done: bool,
    /// Who reads.
    pub reader: Side,
    /// Who writes.
    pub writer: Side,
    /// Of the two ends, the component that has it, and its handle.
    holders: [Option<(usize, u32)>; 2],
}

/// One end.
#[derive(Debug)]
pub enum Side {
    /// A component has it, or it is on its way to one, and nothing waits.
    Idle,
    /// A component waits for the other end.
    Copying(Copy),
    /// The host reads here.
    Sink(Sink),
    /// The host writes here.
    Source(Source),
    /// It is gone.
    Dropped,
}

/// A copy from or to a component's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// The component, and its number for the end.
    pub component: usize,
    /// Its handle.
    pub handle: u32,
    /// Says how values cross its border: the engine's own number.
    pub by: usize,
    /// Where in its memory.
    pub at: u32,
    /// How many values may still be copied.
    pub left: u32,
    /// How many were copied already.
    pub done: u32,
}

/// Which end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Values are taken.
    Read,
    /// Values are given.
    Write,
}

/// What becomes of two copies that met.
#[derive(Debug, PartialEq, Eq)]
pub struct Met {
    /// So many values go from the writer's to the reader's memory.
    pub count: u32,
    /// What the one who came is told; `None` if it waits.
    pub mine: Option<u32>,
    /// What the one who waited is told.
    pub theirs: Option<u32>,
}

impl Way {
    /// The other end.
    pub fn other(self) -> Self {
        match self {
            Self::Read => Self::Write,
            Self::Write => Self::Read,
        }
    }
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Link {
    /// A stream or a future of this type, with these ends.
    pub fn new(ty: &Type, reader: Side, writer: Side) -> Self {
        let once = matches!(ty.shape(), Shape::Future(_));
        let bytes = matches!(ty.shape(), Shape::Stream(Some(item)) if *item.shape() == Shape::U8);
        Self(Arc::new(Mutex::new(Shared {
            once,
            bytes,
            done: false,
            reader,
            writer,
            holders: [None; 2],
        })))
    }

    /// What is shared. Never held while something waits.
    pub fn shared(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// The end of that way.
    pub fn side(&mut self, way: Way) -> &mut Side {
        match way {
            Way::Read => &mut self.reader,
            Way::Write => &mut self.writer,
        }
    }

    /// Which component has that end, and under which handle.
    pub fn holder(&mut self, way: Way) -> &mut Option<(usize, u32)> {
        match way {
            Way::Read => &mut self.holders[0],
            Way::Write => &mut self.holders[1],
        }
    }

    /// How much a pipe of it holds.
    pub fn room(&self) -> usize {
        match self.bytes {
            true => PIPE_BYTES,
            false if self.once => 1,
            false => PIPE_ITEMS,
        }
    }

    /// Forgets the copy that waits at that end.
    pub fn forget(&mut self, way: Way) {
        let side = self.side(way);
        if matches!(side, Side::Copying(_)) {
            *side = Side::Idle;
        }
    }

    /// What a component is told of so many values that were copied.
    pub fn completed(&self, count: u32) -> u32 {
        match self.once {
            true => COMPLETED,
            false => packed(COMPLETED, count),
        }
    }

    /// A copy came, and one waited at the other end, whose items have `item_bytes`. Afterwards each end has what still
    /// waits there. A copy of nothing asks whether the other end is ready: of two that meet, only the writer's is done.
    pub fn meet(&mut self, way: Way, mut mine: Copy, mut theirs: Copy, item_bytes: u32) -> Met {
        self.done |= self.once;
        let count = mine.left.min(theirs.left);
        let (write, read) = match way {
            Way::Write => (mine.left, theirs.left),
            Way::Read => (theirs.left, mine.left),
        };
        let (write_ends, read_ends) = (write == 0 || read > 0, write > 0);
        let (mine_ends, they_end) = match way {
            Way::Write => (write_ends, read_ends),
            Way::Read => (read_ends, write_ends),
        };
        theirs.moved(count, item_bytes);
        let told = self.completed(theirs.done);
        if theirs.left > 0 || !they_end {
            *self.side(way.other()) = Side::Copying(theirs);
        }
        let mine = match mine_ends {
            true => Some(self.completed(count)),
            false => {
                mine.moved(count, item_bytes);
                *self.side(way) = Side::Copying(mine);
                None
            }
        };
        Met { count, mine, theirs: they_end.then_some(told) }
    }
}

impl Copy {
    /// So many values were copied.
    pub fn moved(&mut self, count: u32, item_bytes: u32) {
        self.at = self.at.wrapping_add(count.wrapping_mul(item_bytes));
        self.left -= count;
        self.done += count;
    }
}
