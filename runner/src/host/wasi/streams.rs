//! `wasi:io/error` and `wasi:io/streams`: how bytes flow in and out of a guest, whatever is behind the
//! stream. Nothing here waits but the functions whose name says `blocking`, and those wait for the
//! stream's pollable, never on the thread.

use std::io;
use std::sync::{Arc, Mutex};

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::filesystem::FileReader;
use super::http::{BodyReader, BodyWriter, Printed};
use super::poll::Pollable;
use super::sockets::{TcpReader, TcpWriter};
use super::{Door, Host, Interface, interface, interface_of_draft};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::host::locked;
use crate::host::log::LineBuffer;
use crate::limits::wasi::{LOG_WRITE_BYTES_MAX, READ_BYTES_MAX};

/// `resource error`: why a stream failed.
#[derive(Debug)]
pub(super) struct IoError {
    pub(super) origin: Origin,
    pub(super) error: io::Error,
}

/// What failed: only its own interface can say more than the error's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    File,
    Socket,
    Http,
}

/// Why a stream gives or takes nothing any more.
#[derive(Debug)]
pub(super) enum Ended {
    /// It is at its end.
    Closed,
    /// It broke.
    Failed(IoError),
}

wire! {
    /// `variant stream-error`, cases in the order of the WIT.
    #[derive(ComponentType, Lift, Lower)]
    #[component(variant)]
    enum StreamError {
        #[component(name = "last-operation-failed")]
        LastOperationFailed(Resource<IoError>),
        #[component(name = "closed")]
        Closed,
    }
}

/// `resource input-stream`
pub(super) enum InputStream {
    /// Nothing ever comes.
    Empty,
    /// From a file.
    File(FileReader),
    /// From a connection.
    Tcp(TcpReader),
    /// Of a request or an answer.
    Body(BodyReader),
}

impl InputStream {
    /// What is there now, at most `bytes_max`; nothing if there is nothing yet.
    pub(super) fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, Ended> {
        match self {
            Self::Empty => Err(Ended::Closed),
            Self::File(reader) => reader.read(bytes_max),
            Self::Tcp(reader) => reader.read(bytes_max),
            Self::Body(reader) => reader.read(bytes_max),
        }
    }

    /// Ready when `read` has something to say.
    pub(super) fn pollable(&self) -> Pollable {
        match self {
            Self::Empty => Pollable::now(),
            Self::File(reader) => reader.pollable(),
            Self::Tcp(reader) => reader.pollable(),
            Self::Body(reader) => reader.pollable(),
        }
    }
}

/// `resource output-stream`
pub(super) enum OutputStream {
    /// The component's log.
    Log(Arc<Mutex<LineBuffer>>),
    /// To a connection.
    Tcp(TcpWriter),
    /// Of a request or an answer.
    Body(BodyWriter),
    /// What a program answers.
    Printed(Printed),
}

impl OutputStream {
    /// How many bytes may be written now; 0 while earlier ones are still under way.
    pub(super) fn room(&mut self) -> Result<usize, Ended> {
        match self {
            Self::Log(_) => Ok(LOG_WRITE_BYTES_MAX),
            Self::Tcp(writer) => writer.room(),
            Self::Body(writer) => writer.room(),
            Self::Printed(printed) => printed.room(),
        }
    }

    /// Takes bytes, at most as many as there is room for.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        match self {
            Self::Log(buffer) => {
                locked(buffer).write(bytes);
                Ok(())
            }
            Self::Tcp(writer) => writer.write(bytes),
            Self::Body(writer) => writer.write(bytes),
            Self::Printed(printed) => printed.write(bytes),
        }
    }

    /// Ready when there is room again, or when it ended.
    pub(super) fn pollable(&self) -> Pollable {
        match self {
            Self::Log(_) => Pollable::now(),
            Self::Tcp(writer) => writer.pollable(),
            Self::Body(writer) => writer.pollable(),
            Self::Printed(printed) => printed.pollable(),
        }
    }
}

type Input = Resource<InputStream>;
type Output = Resource<OutputStream>;
type Of<T> = Answer<(Result<T, StreamError>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    offer_error(&mut interface(door, "io/error")?)?;
    let mut streams = interface(door, "io/streams")?;
    offer_input(&mut streams)?;
    offer_output(&mut streams)?;

    let mut draft = interface_of_draft(door, "io/streams")?;
    offer_error(&mut draft)?;
    offer_input(&mut draft)?;
    offer_output(&mut draft)
}

fn offer_error(errors: &mut Interface<'_>) -> Answer<()> {
    errors.resource::<IoError>("error")?;
    errors.at_once("[method]error.to-debug-string", |host, (error,): (Resource<IoError>,)| {
        Ok((host.with(&error, |e| e.error.to_string())?,))
    })
}

fn offer_input(streams: &mut Interface<'_>) -> Answer<()> {
    streams.resource::<InputStream>("input-stream")?;
    streams.at_once("[method]input-stream.read", |host, (input, len): (Input, u64)| {
        let bytes = read(host, &input, len)?;
        told(host, bytes)
    })?;
    streams.waiting(Twin::Sync, "[method]input-stream.blocking-read", blocking_read)?;
    streams.at_once("[method]input-stream.skip", |host, (input, len): (Input, u64)| {
        let bytes = read(host, &input, len)?;
        told(host, bytes.map(|bytes| bytes.len() as u64))
    })?;
    streams.waiting(Twin::Sync, "[method]input-stream.blocking-skip", blocking_skip)?;
    streams.at_once("[method]input-stream.subscribe", |host, (input,): (Input,)| {
        let pollable = host.with(&input, |i| i.pollable())?;
        Ok((host.push(pollable)?,))
    })
}

fn offer_output(streams: &mut Interface<'_>) -> Answer<()> {
    streams.resource::<OutputStream>("output-stream")?;
    streams.at_once("[method]output-stream.check-write", |host, (output,): (Output,)| {
        let room = host.with(&output, |o| o.room())?;
        told(host, room.map(|bytes| bytes as u64))
    })?;
    streams.at_once(
        "[method]output-stream.write",
        |host, (output, bytes): (Output, Vec<u8>)| {
            let written = write(host, &output, &bytes)?;
            told(host, written)
        },
    )?;
    streams.waiting(
        Twin::Sync,
        "[method]output-stream.blocking-write-and-flush",
        blocking_write,
    )?;
    // Whatever is written is on its way at once; `flush` has nothing to start.
    streams.at_once("[method]output-stream.flush", |host, (output,): (Output,)| {
        let room = host.with(&output, |o| o.room())?;
        told(host, room.map(|_| ()))
    })?;
    streams.waiting(Twin::Sync, "[method]output-stream.blocking-flush", blocking_flush)?;
    streams.at_once("[method]output-stream.subscribe", |host, (output,): (Output,)| {
        let pollable = host.with(&output, |o| o.pollable())?;
        Ok((host.push(pollable)?,))
    })?;
    streams.at_once(
        "[method]output-stream.write-zeroes",
        |host, (output, len): (Output, u64)| {
            let zeroes = zeroes(len)?;
            let written = write(host, &output, &zeroes)?;
            told(host, written)
        },
    )?;
    streams.waiting(
        Twin::Sync,
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |host, (output, len): (Output, u64)| async move {
            blocking_write(host, (output, zeroes(len)?)).await
        },
    )?;
    streams.at_once("[method]output-stream.splice", |host, params: (Output, Input, u64)| {
        let moved = splice(host, &params)?;
        told(host, moved)
    })?;
    streams.waiting(Twin::Sync, "[method]output-stream.blocking-splice", blocking_splice)
}

/// Puts a stream's result in the guest's terms: a failure becomes an object to ask.
fn told<T>(host: &Host, result: Result<T, Ended>) -> Of<T> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(Ended::Closed) => Err(StreamError::Closed),
        Err(Ended::Failed(error)) => Err(StreamError::LastOperationFailed(host.push(error)?)),
    },))
}

fn read(host: &Host, input: &Input, len: u64) -> Answer<Result<Vec<u8>, Ended>> {
    let bytes_max = usize::try_from(len).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
    host.with(input, |i| if bytes_max == 0 { Ok(Vec::new()) } else { i.read(bytes_max) })
}

async fn read_some(host: &Host, input: &Input, len: u64) -> Answer<Result<Vec<u8>, Ended>> {
    loop {
        let bytes = read(host, input, len)?;
        if len == 0 || !matches!(&bytes, Ok(bytes) if bytes.is_empty()) {
            return Ok(bytes);
        }
        host.with(input, |i| i.pollable())?.wait().await;
    }
}

async fn blocking_read(host: Host, (input, len): (Input, u64)) -> Of<Vec<u8>> {
    let bytes = read_some(&host, &input, len).await?;
    told(&host, bytes)
}

async fn blocking_skip(host: Host, (input, len): (Input, u64)) -> Of<u64> {
    let bytes = read_some(&host, &input, len).await?;
    told(&host, bytes.map(|bytes| bytes.len() as u64))
}

fn write(host: &Host, output: &Output, bytes: &[u8]) -> Answer<Result<(), Ended>> {
    host.with(output, |o| match o.room() {
        Ok(room) if bytes.len() > room => {
            Err(wasmtime::Error::msg("it wrote more to a stream than `check-write` permitted"))
        }
        Ok(_) => Ok(o.write(bytes)),
        Err(ended) => Ok(Err(ended)),
    })?
}

fn zeroes(len: u64) -> Answer<Vec<u8>> {
    match usize::try_from(len) {
        Ok(len) if len <= LOG_WRITE_BYTES_MAX => Ok(vec![0; len]),
        _ => Err(wasmtime::Error::msg("it wrote more zeroes to a stream than any may take")),
    }
}

/// Waits until the stream takes bytes, and answers how many.
async fn room(host: &Host, output: &Output) -> Answer<Result<usize, Ended>> {
    loop {
        match host.with(output, |o| o.room())? {
            Ok(0) => host.with(output, |o| o.pollable())?.wait().await,
            other => return Ok(other),
        }
    }
}

async fn blocking_write(host: Host, (output, bytes): (Output, Vec<u8>)) -> Of<()> {
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let written = match room(&host, &output).await? {
            Ok(room) => {
                let (now, later) = rest.split_at(room.min(rest.len()));
                rest = later;
                write(&host, &output, now)?
            }
            Err(ended) => Err(ended),
        };
        if written.is_err() {
            return told(&host, written);
        }
    }
    blocking_flush(host, (output,)).await
}

async fn blocking_flush(host: Host, (output,): (Output,)) -> Of<()> {
    let flushed = room(&host, &output).await?;
    told(&host, flushed.map(|_| ()))
}

fn splice(host: &Host, (output, input, len): &(Output, Input, u64)) -> Answer<Result<u64, Ended>> {
    let room = match host.with(output, |o| o.room())? {
        Ok(room) => room,
        Err(ended) => return Ok(Err(ended)),
    };
    let bytes = match read(host, input, (*len).min(room as u64))? {
        Ok(bytes) => bytes,
        Err(ended) => return Ok(Err(ended)),
    };
    let written = write(host, output, &bytes)?;
    Ok(written.map(|()| bytes.len() as u64))
}

async fn blocking_splice(host: Host, params: (Output, Input, u64)) -> Of<u64> {
    let (output, input, len) = &params;
    loop {
        if let Err(ended) = room(&host, output).await? {
            return told(&host, Err(ended));
        }
        match splice(&host, &params)? {
            Ok(0) if *len > 0 => host.with(input, |i| i.pollable())?.wait().await,
            moved => return told(&host, moved),
        }
    }
}

#[cfg(test)]
#[path = "streams_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
