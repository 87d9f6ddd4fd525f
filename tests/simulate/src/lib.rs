//! Histories of faults for the runner's state machines: the session's core, the outbox and the lanes, driven as their
//! adapters drive them, by a simulator that owns time, the network, the broker, the disk and the power. A seed decides
//! everything, so a history that went wrong can be had again.
//!
//! It is no test of the adapters: [`runner`] says once more what they do, in small steps between which anything may
//! happen. Nor is it a test of the codec or of SQLite.
//!
//! [`world`] owns everything and lets time pass; [`plan`] is what a seed decides; [`broker`] and [`disk`] are the
//! outside; [`runner`] is the process; [`books`] judge; [`mutant`] names the guards that can be taken away.

pub mod books;
pub mod broker;
pub mod disk;
pub mod mutant;
pub mod plan;
pub mod rng;
pub mod runner;
pub mod world;

pub use mutant::Mutant;
pub use world::{Outcome, run};

/// Time is counted in these.
pub const MILLI: u64 = 1_000;
/// The same.
pub const SECOND: u64 = 1_000_000;

mod search;
pub use search::{Found, explain, search};
