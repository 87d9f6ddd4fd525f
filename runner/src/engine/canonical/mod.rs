//! The canonical ABI of the component model (`CanonicalABI.md`): how values cross the border of a
//! component as core values and bytes in linear memory. It knows no engine: memory is a slice,
//! `realloc` a method, and a guest's mistake is a [`Fault`].
//!
//! Nothing here waits: what a call that goes on in the background comes to is told to `waitables`, which
//! tells the guest when it asks. Strings are copied to exactly as much room as they need, where the
//! specification lets an implementation guess and shrink.

mod ends;
mod handles;
mod lift;
mod link;
mod lower;
mod pipe;
mod table;
mod text;
mod types;
mod value;
mod waitables;
mod words;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use handles::{Dropped, Handles};
pub use lift::Lift;
pub use link::{Copy, Link, Met, Shared, Side, Way};
pub use lower::{Heap, Lower};
pub use pipe::{End, Next, Sink, Source, pipe};
pub use text::Encoding;
pub use types::{Abi, Flat, FuncType, ResourceId, Shape, Type, TypeError};
pub use value::{Flow, Foreign, Handle, Value};
pub use waitables::{BLOCKED, CANCELLED, COMPLETED, Cancel, DROPPED, Event, Status, packed};

use super::fault::Fault;

/// A guest's mistake, in a sentence that goes on after "it trapped: ".
pub fn trap(message: impl Into<String>) -> Fault {
    Fault::Trap { message: message.into(), backtrace: Vec::new() }
}
