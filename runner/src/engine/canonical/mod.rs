//! The canonical ABI of the component model (`CanonicalABI.md`): how values cross the border of a
//! component as core values and bytes in linear memory. It knows no engine: memory is a slice,
//! `realloc` a method, and a guest's mistake is a [`Fault`].
//!
//! Synchronous functions only. Strings are copied to exactly as much room as they need, where the
//! specification lets an implementation guess and shrink.

mod handles;
mod lift;
mod lower;
mod text;
mod types;
mod value;
mod words;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use handles::{Dropped, Handles};
pub use lift::Lift;
pub use lower::{Heap, Lower};
pub use text::Encoding;
pub use types::{Flat, FuncType, ResourceId, Shape, Type, TypeError};
pub use value::{Handle, Value};

use super::fault::Fault;

/// A guest's mistake, in a sentence that goes on after "it trapped: ".
pub fn trap(message: impl Into<String>) -> Fault {
    Fault::Trap { message: message.into(), backtrace: Vec::new() }
}
