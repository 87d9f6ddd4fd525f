//! The rest of WASI 0.3 that components of HTTP and of Spin 4 import: clocks, output, randomness, what they were started
//! with. The same as its 0.2, said in `async` functions and streams.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use wasmtime::component::{ComponentType, Lift, Lower};

use super::clocks::monotonic_ns;
use super::{Door, interface_of_3, random};
use crate::engine::door::{Answer, Twin};
use crate::engine::fault::Fault;
use crate::engine::streams::{Promise, Stream, promise};
use crate::engine::wire::wire;
use crate::host::locked;
use crate::host::log::LineBuffer;
use crate::limits::engine::PIPE_BYTES;
use crate::limits::wasi::TIMER_MAX;

wire! {
    /// `record instant`: seconds and nanoseconds since 1970.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    struct Instant {
        seconds: i64,
        nanoseconds: u32,
    }
}

wire! {
    /// `enum error-code` of `wasi:cli/types`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    enum ErrorCode {
        #[component(name = "io")]
        Io,
        #[component(name = "illegal-byte-sequence")]
        IllegalByteSequence,
        #[component(name = "pipe")]
        Pipe,
    }
}

pub(super) fn offer(door: &mut Door, version: &str) -> Answer<()> {
    offer_clocks(door, version)?;
    offer_cli(door, version)?;
    offer_random(door, version)
}

fn offer_clocks(door: &mut Door, version: &str) -> Answer<()> {
    let mut system = interface_of_3(door, "clocks/system-clock", version)?;
    system.at_once("now", |_, (): ()| Ok((Instant::now(),)))?;
    system.at_once("get-resolution", |_, (): ()| Ok((1_u64,)))?;

    let mut monotonic = interface_of_3(door, "clocks/monotonic-clock", version)?;
    monotonic.at_once("now", |_, (): ()| Ok((monotonic_ns(),)))?;
    monotonic.at_once("get-resolution", |_, (): ()| Ok((1_u64,)))?;
    monotonic.waiting(Twin::Async, "wait-until", |_, (when_ns,): (u64,)| async move {
        wait(when_ns.saturating_sub(monotonic_ns())).await
    })?;
    monotonic.waiting(Twin::Async, "wait-for", |_, (ns,): (u64,)| wait(ns))
}

impl Instant {
    fn now() -> Self {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Self {
                seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: since.subsec_nanos(),
            },
            // A board without a battery may believe anything.
            Err(_) => Self { seconds: 0, nanoseconds: 0 },
        }
    }
}

async fn wait(ns: u64) -> Answer<()> {
    tokio::time::sleep(Duration::from_nanos(ns).min(TIMER_MAX)).await;
    Ok(())
}

fn offer_cli(door: &mut Door, version: &str) -> Answer<()> {
    let mut environment = interface_of_3(door, "cli/environment", version)?;
    environment
        .at_once("get-environment", |host, (): ()| Ok((host.wasi_grant().environment.clone(),)))?;
    environment
        .at_once("get-arguments", |host, (): ()| Ok((host.wasi_grant().arguments.clone(),)))?;
    environment.at_once("get-initial-cwd", |_, (): ()| Ok((None::<String>,)))?;

    let mut exit = interface_of_3(door, "cli/exit", version)?;
    exit.at_once("exit", |_, (status,): (Result<(), ()>,)| -> Answer<()> {
        Fault::Exit(if status.is_ok() { 0 } else { 1 }).end()
    })?;
    exit.at_once("exit-with-code", |_, (code,): (u8,)| -> Answer<()> { Fault::Exit(code).end() })?;

    interface_of_3(door, "cli/stdin", version)?.at_once("read-via-stream", |_, (): ()| {
        let end: Result<(), ErrorCode> = Ok(());
        Ok(((Stream::<u8>::of(Vec::new()), Promise::ready(end)),))
    })?;
    interface_of_3(door, "cli/stdout", version)?
        .at_once("write-via-stream", |host, (data,): (Stream<u8>,)| {
            Ok((written(host.wasi().out.clone(), data),))
        })?;
    interface_of_3(door, "cli/stderr", version)?
        .at_once("write-via-stream", |host, (data,): (Stream<u8>,)| {
            Ok((written(host.wasi().err.clone(), data),))
        })
}

/// To the component's log, line by line, as it comes.
fn written(log: Arc<Mutex<LineBuffer>>, mut data: Stream<u8>) -> Promise<Result<(), ErrorCode>> {
    let (resolver, end) = promise();
    tokio::spawn(async move {
        let end = loop {
            match data.chunk(PIPE_BYTES).await {
                Ok(Some(bytes)) => locked(&log).write(&bytes),
                Ok(None) => break Ok(()),
                Err(_) => break Err(ErrorCode::Pipe),
            }
        };
        resolver.resolve(end);
    });
    end
}

fn offer_random(door: &mut Door, version: &str) -> Answer<()> {
    let mut secure = interface_of_3(door, "random/random", version)?;
    secure.waiting(Twin::Sync, "get-random-bytes", random::bytes)?;
    secure.waiting(Twin::Sync, "get-random-u64", random::word)?;

    let mut insecure = interface_of_3(door, "random/insecure", version)?;
    insecure.waiting(Twin::Sync, "get-insecure-random-bytes", random::bytes)?;
    insecure.waiting(Twin::Sync, "get-insecure-random-u64", random::word)?;

    let mut seed = interface_of_3(door, "random/insecure-seed", version)?;
    seed.waiting(Twin::Sync, "get-insecure-seed", random::words)
}
