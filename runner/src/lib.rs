//! pirn's runner: from an event to its outcome.

// From files as written to the checked plan.
pub mod app;
pub mod board;
pub mod config;
pub mod limits;
pub mod manifest;
pub mod runtime_config;
pub mod variables;
