//! The outside world, turned into events. This crate knows no WebAssembly and no manifest.

pub mod gpio;
pub mod http;
pub mod limits;
pub mod mqtt;
pub mod net;
pub mod redis;
pub mod time;
