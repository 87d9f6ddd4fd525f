//! pirn's runner: from an event to its outcome, without a compiler.
//!
//! Each room knows those above it in this list, and nobody below: `tests/tests/rooms.rs` holds the arrows.

pub mod features;
pub mod happening;
pub mod heap;
pub mod limits;

// From files as written to the checked plan.
pub mod files;

// From an event to its outcome.
pub mod engine;
pub mod report;
pub mod store;

pub mod outbox;
pub mod plan;

pub mod host;
pub mod worlds;

pub mod flow;
pub mod serve;
