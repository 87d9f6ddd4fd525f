//! Components become instances here, by one of two engines: `compiled`, for native code and Pulley
//! bytecode, and `interpreted`, for components as their compiler left them. Capabilities reach both
//! through [`door`] alone, worlds through [`component`].

pub mod artifact;
pub mod canonical;
pub mod compiled;
pub mod component;
pub mod config;
mod described;
pub mod door;
pub mod fault;
pub mod interpreted;
mod limiter;
pub mod outcome;
pub mod private;
pub mod ticker;
pub mod turns;
pub mod wire;

pub use compiled::{Compiled, Engine, Guest};
pub use component::{Allowance, Component, Export, Form};
pub use fault::Fault;
