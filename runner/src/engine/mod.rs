//! Components become instances here, by one of two engines: `compiled`, for native code and Pulley
//! bytecode, and `interpreted`, for components as their compiler left them. Capabilities reach both
//! through [`door`] alone, worlds through [`component`].
//!
//! Nothing here knows what guests may do or what calls them: of what is outside this folder it names the limits, and
//! what capabilities live in is a type parameter, [`Holds`].

pub mod artifact;
pub mod canonical;
pub mod compiled;
pub mod component;
pub mod config;
mod crossing;
mod described;
pub mod door;
pub mod fault;
pub mod interpreted;
mod limiter;
mod offered;
pub mod outcome;
pub mod private;
pub mod streams;
pub mod ticker;
pub mod turns;
pub mod wire;

pub use compiled::{Compiled, Engine, Guest};
pub use component::{Allowance, Component, Export, Form};
pub use door::Holds;
pub use fault::Fault;
