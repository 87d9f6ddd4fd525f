//! pirn's runner: from an event to its outcome, without a compiler.

pub mod engine;
pub mod host;
pub mod limits;
pub mod store;
