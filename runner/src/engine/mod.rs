//! Artifacts become instances here. One engine today (`compiled`, for native code and Pulley
//! bytecode); capabilities reach it through [`door`] alone, so that a second engine can serve them.

pub mod artifact;
pub mod canonical;
pub mod compiled;
pub mod config;
pub mod door;
pub mod fault;
pub mod interpreted;
mod limiter;
pub mod ticker;
pub mod wire;

pub use compiled::{Compiled, Engine, Guest};
pub use fault::Fault;
