//! pirn's runner: from an event to its outcome, without a compiler.

// From files as written to the checked plan.
pub mod app;
pub mod board;
pub mod bundle;
pub mod config;
pub mod manifest;
pub mod pins;
pub mod runtime_config;
pub mod variables;

// From an event to its outcome.
pub mod engine;
mod feeds;
pub mod flow;
pub mod host;
mod loading;
pub mod outbox;
pub mod readiness;
pub mod runner;
pub mod session;
pub mod store;
pub mod worlds;

// What the rest leans on.
pub mod control;
pub mod happening;
pub mod limits;
pub mod log_files;
pub mod report;
pub mod shown;
pub mod state_folder;
pub mod status;
