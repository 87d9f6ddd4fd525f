//! The outside world, turned into events. This crate knows no WebAssembly and no manifest.

pub mod limits;
pub mod mqtt;
pub mod time;
