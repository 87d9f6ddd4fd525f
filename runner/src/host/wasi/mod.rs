//! WASI 0.2 for guests: what a program's standard library imports. Files are read-only, output goes
//! to the component's log, sockets reach what the manifest grants and never listen.
//!
//! Our own implementation, because the usual one brings a thread pool and 1.2 MB, and because the
//! same functions must serve an engine that knows nothing of wasmtime.

mod cli;
mod clocks;
mod filesystem;
mod http;
mod poll;
mod random;
mod sockets;
mod streams;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod testing;
mod three;
mod underway;

use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::log::{LineBuffer, Log};
use super::{Door, Host, Interface};
use crate::engine::door::Answer;
use crate::limits::wasi as limits;
use crate::report::Stream;

pub use filesystem::{Files, FilesError};
use http::Program;
pub use http::{
    ErrorCode, Exchange, IncomingRequest, ProgramRequest, ResponseOutparam, ServiceRequest,
    ServiceResponse,
};

/// The newest version whose shapes are offered. Guests built for an older 0.2.x link to it.
const VERSION: &str = "0.2.12";
/// Those of 0.3, whose functions may be `async` and whose streams are the component model's own: the release, and its last
/// draft, which says the same and is what the SDK 6 knows.
const VERSIONS_OF_3: [&str; 2] = ["0.3.0", "0.3.0-rc-2026-03-15"];
/// The draft that components of Spin 2 were made for. It is offered as far as the SDK of Spin 2 needs it.
const VERSION_OF_DRAFT: &str = "0.2.0-rc-2023-10-18";

/// What one component is granted of WASI.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Environment variables, as the manifest has them.
    pub environment: Vec<(String, String)>,
    /// What the guest finds as its arguments, the program's name first.
    pub arguments: Vec<String>,
    /// Files that it may read.
    pub files: Files,
    /// What its invocations hold at the same time, all together.
    pub slots: Slots,
}

/// Counts what a component's invocations hold of the process: file descriptors and threads. For the
/// component and not the invocation, because some of it ends a little later than the guest.
#[derive(Clone, Debug)]
pub struct Slots {
    files: Arc<Semaphore>,
    sockets: Arc<Semaphore>,
    lookups: Arc<Semaphore>,
    disk: Arc<Semaphore>,
}

impl Default for Slots {
    fn default() -> Self {
        let slots = |max| Arc::new(Semaphore::new(max));
        Self {
            files: slots(limits::FILES_OPEN_MAX),
            sockets: slots(limits::SOCKETS_MAX),
            lookups: slots(limits::LOOKUPS_MAX),
            disk: slots(limits::DISK_JOBS_MAX),
        }
    }
}

impl Slots {
    /// Room for one more open file.
    fn file(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.files).try_acquire_owned().ok()
    }

    /// Room for one more socket.
    fn socket(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.sockets).try_acquire_owned().ok()
    }
}

/// What one invocation has of WASI beside the objects behind its handles.
pub(super) struct State {
    out: Arc<Mutex<LineBuffer>>,
    err: Arc<Mutex<LineBuffer>>,
    /// Of the request that it answers, if it answers one.
    exchange: OnceLock<Exchange>,
    /// Of the request that it answers as a program.
    program: OnceLock<Program>,
}

impl State {
    /// Fresh state, its output going to `log`. Dropping it writes what has no line's end yet.
    pub(super) fn new(log: &Log) -> Self {
        let buffer = |stream| Arc::new(Mutex::new(LineBuffer::new(log.clone(), stream)));
        let (exchange, program) = (OnceLock::new(), OnceLock::new());
        Self { out: buffer(Stream::Out), err: buffer(Stream::Err), exchange, program }
    }
}

impl Host {
    fn wasi(&self) -> &State {
        &self.0.wasi
    }

    fn program(&self) -> Option<&Program> {
        self.wasi().program.get()
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
    random::offer(door)?;
    filesystem::offer(door)?;
    sockets::offer(door)?;
    http::offer(door)?;
    for version in VERSIONS_OF_3 {
        three::offer(door, version)?;
        http::offer_of_3(door, version)?;
    }
    Ok(())
}

/// Opens one of WASI's interfaces, such as `io/poll`.
fn interface<'a>(door: &'a mut Door, name: &str) -> Answer<Interface<'a>> {
    door.interface(&format!("wasi:{name}@{VERSION}"))
}

/// The same in one of the versions of 0.3.
fn interface_of_3<'a>(door: &'a mut Door, name: &str, version: &str) -> Answer<Interface<'a>> {
    door.interface(&format!("wasi:{name}@{version}"))
}

/// The same of the draft.
fn interface_of_draft<'a>(door: &'a mut Door, name: &str) -> Answer<Interface<'a>> {
    door.interface(&format!("wasi:{name}@{VERSION_OF_DRAFT}"))
}
