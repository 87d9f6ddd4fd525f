//! WASI 0.2 for guests: what a program's standard library imports. Files are read-only, output goes
//! to the component's log, sockets reach what the manifest grants and never listen.
//!
//! Our own implementation, because the usual one brings a thread pool and 1.2 MB, and because the
//! same functions must serve an engine that knows nothing of wasmtime.

mod cli;
mod clocks;
mod poll;
mod random;
mod streams;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;

use std::sync::{Arc, Mutex};

use super::Host;
use super::log::{LineBuffer, Log, Stream};
use crate::engine::door::{Answer, Door, Interface};

/// The newest version whose shapes are offered. Guests built for an older 0.2.x link to it.
const VERSION: &str = "0.2.12";

/// What one component is granted of WASI.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Environment variables, as the manifest has them.
    pub environment: Vec<(String, String)>,
    /// What the guest finds as its arguments, the program's name first.
    pub arguments: Vec<String>,
}

/// What one invocation has of WASI beside the objects behind its handles.
pub(super) struct State {
    out: Arc<Mutex<LineBuffer>>,
    err: Arc<Mutex<LineBuffer>>,
}

impl State {
    /// Fresh state, its output going to `log`. Dropping it writes what has no line's end yet.
    pub(super) fn new(log: &Log) -> Self {
        let buffer = |stream| Arc::new(Mutex::new(LineBuffer::new(log.clone(), stream)));
        Self { out: buffer(Stream::Out), err: buffer(Stream::Err) }
    }
}

impl Host {
    fn wasi(&self) -> &State {
        &self.0.wasi
    }

    fn wasi_grant(&self) -> &Grant {
        &self.grants().wasi
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    poll::offer(door)?;
    streams::offer(door)?;
    cli::offer(door)?;
    clocks::offer(door)?;
    random::offer(door)
}

/// Opens one of WASI's interfaces, such as `io/poll`.
fn interface<'a>(door: &'a mut Door, name: &str) -> Answer<Interface<'a>> {
    door.interface(&format!("wasi:{name}@{VERSION}"))
}
