//! Bodies as guests see them: `incoming-body` with its stream and its trailers, `outgoing-body` with its stream. They are
//! the same for requests and answers, in and out.

use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, header};
use pirn_triggers::http::pipe::{Reader, Room, Writer, pipe};
use pirn_triggers::http::{Broken, Source, Taken};
use tokio::time::Instant;
use wasmtime::component::Resource;

use super::fields::Fields;
use super::words::ErrorCode;
use super::{Host, Interface};
use crate::engine::door::Answer;
use crate::host::locked;
use crate::host::wasi::poll::Pollable;
use crate::host::wasi::streams::{Ended, InputStream, IoError, Origin, OutputStream};
use crate::host::wasi::underway::Underway;

/// When something of a request or its answer last moved: who waits for its client is not late itself.
#[derive(Clone, Debug)]
pub(crate) struct Moves(Arc<Mutex<Instant>>);

impl Default for Moves {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Moves {
    pub(crate) fn note(&self) {
        *locked(&self.0) = Instant::now();
    }

    /// When it last did.
    pub(crate) fn last(&self) -> Instant {
        *locked(&self.0)
    }
}

/// `resource incoming-body`
pub(crate) struct IncomingBody {
    source: Arc<Source>,
    moves: Moves,
    is_streamed: bool,
}

impl IncomingBody {
    pub(crate) fn new(source: Arc<Source>, moves: Moves) -> Self {
        Self { source, moves, is_streamed: false }
    }

    /// Its stream, once.
    fn stream(&mut self) -> Option<BodyReader> {
        let first = !std::mem::replace(&mut self.is_streamed, true);
        let (source, moves) = (Arc::clone(&self.source), self.moves.clone());
        first.then_some(BodyReader { source, moves })
    }
}

/// The stream of a body that comes in.
pub(in crate::host::wasi) struct BodyReader {
    source: Arc<Source>,
    moves: Moves,
}

impl BodyReader {
    pub(super) fn new(source: Arc<Source>, moves: Moves) -> Self {
        Self { source, moves }
    }

    pub(in crate::host::wasi) fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, Ended> {
        match self.source.take(bytes_max) {
            Taken::Piece(piece) => {
                self.moves.note();
                Ok(piece.into())
            }
            Taken::Nothing => Ok(Vec::new()),
            Taken::End => Err(Ended::Closed),
            Taken::Broken(broken) => Err(failed(broken)),
        }
    }

    pub(in crate::host::wasi) fn pollable(&self) -> Pollable {
        let source = Arc::clone(&self.source);
        Pollable::new(move || {
            let source = Arc::clone(&source);
            async move { source.ready().await }
        })
    }
}

/// The error is found again behind its `io-error`.
fn failed(broken: Broken) -> Ended {
    Ended::Failed(IoError { origin: Origin::Http, error: io::Error::other(broken) })
}

/// What an `io-error` of a body says of HTTP.
fn error_code(error: &IoError) -> Option<ErrorCode> {
    let broken = error.error.get_ref()?.downcast_ref::<Broken>()?;
    (error.origin == Origin::Http).then(|| broken.into())
}

/// `resource future-trailers`
pub(crate) struct FutureTrailers {
    coming: Arc<Underway<Result<Option<HeaderMap>, Broken>>>,
}

/// `resource outgoing-body`
pub(crate) struct OutgoingBody {
    written: Arc<Mutex<Written>>,
    is_streamed: bool,
}

/// What both the body and its stream know.
struct Written {
    /// `None` once the body is finished.
    writer: Option<Writer>,
    bytes: u64,
    /// What was announced.
    length: Option<u64>,
    moves: Moves,
}

/// The stream of a body that goes out.
pub(in crate::host::wasi) struct BodyWriter(Arc<Mutex<Written>>);

impl OutgoingBody {
    /// A body of which the fields may say how long it is, and where it comes out.
    pub(crate) fn of(fields: &HeaderMap, moves: &Moves) -> (Self, Reader) {
        let (writer, reader) = pipe();
        let length = fields.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.trim().parse().ok());
        let written = Written { writer: Some(writer), bytes: 0, length, moves: moves.clone() };
        (Self { written: Arc::new(Mutex::new(written)), is_streamed: false }, reader)
    }

    /// Its stream, once.
    fn stream(&mut self) -> Option<BodyWriter> {
        let first = !std::mem::replace(&mut self.is_streamed, true);
        first.then(|| BodyWriter(Arc::clone(&self.written)))
    }

    /// What waits for room in it, for who looks at it from outside.
    pub(crate) fn room(&self) -> Option<Room> {
        locked(&self.written).writer.as_ref().map(Writer::waits)
    }

    /// It is complete, unless it has another length than it said: then it is broken.
    fn finish(self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        let mut written = locked(&self.written);
        let (bytes, length, writer) = (written.bytes, written.length, written.writer.take());
        if length.is_some_and(|length| length != bytes) {
            return Err(ErrorCode::HttpResponseBodySize(Some(bytes)));
        }
        if let Some(writer) = writer {
            writer.finish(trailers);
        }
        Ok(())
    }
}

/// A body that is dropped before it is finished is broken, even if its stream is still there.
impl Drop for OutgoingBody {
    fn drop(&mut self) {
        locked(&self.written).writer = None;
    }
}

impl BodyWriter {
    pub(in crate::host::wasi) fn room(&mut self) -> Result<usize, Ended> {
        let written = locked(&self.0);
        written.writer.as_ref().and_then(Writer::room).ok_or(Ended::Closed)
    }

    pub(in crate::host::wasi) fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        let mut written = locked(&self.0);
        written.moves.note();
        written.bytes = written.bytes.saturating_add(bytes.len() as u64);
        if written.length.is_some_and(|length| written.bytes > length) {
            written.writer = None;
            let error = io::Error::other("the body has more bytes than its content-length says");
            return Err(Ended::Failed(IoError { origin: Origin::Http, error }));
        }
        let writer = written.writer.as_mut().ok_or(Ended::Closed)?;
        writer.write(Bytes::copy_from_slice(bytes)).map_err(|_| Ended::Closed)
    }

    pub(in crate::host::wasi) fn pollable(&self) -> Pollable {
        let written = Arc::clone(&self.0);
        Pollable::new(move || {
            let (room, moves) = {
                let written = locked(&written);
                (written.writer.as_ref().map(Writer::waits), written.moves.clone())
            };
            async move {
                if let Some(room) = room {
                    Room::wait(room).await;
                    moves.note();
                }
            }
        })
    }
}

pub(super) type Finished = Answer<(Result<(), ErrorCode>,)>;

pub(super) fn offer(types: &mut Interface<'_>) -> Answer<()> {
    offer_streams(types)?;
    types.at_once("[method]future-trailers.get", trailers)?;
    types.at_once("[static]outgoing-body.finish", finish)?;
    types.at_once("http-error-code", |host: &Host, (error,): (Resource<IoError>,)| {
        Ok((host.with(&error, |error| error_code(error))?,))
    })
}

/// What every version of them has.
pub(super) fn offer_streams(types: &mut Interface<'_>) -> Answer<()> {
    offer_incoming(types)?;
    offer_trailers(types)?;
    types.resource::<OutgoingBody>("outgoing-body")?;
    types.at_once(
        "[method]outgoing-body.write",
        |host: &Host, (body,): (Resource<OutgoingBody>,)| {
            Ok((match host.with(&body, |body| body.stream())? {
                Some(writer) => Ok(host.push(OutputStream::Body(writer))?),
                None => Err(()),
            },))
        },
    )
}

fn offer_incoming(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<IncomingBody>("incoming-body")?;
    types.at_once(
        "[method]incoming-body.stream",
        |host: &Host, (body,): (Resource<IncomingBody>,)| {
            Ok((match host.with(&body, |body| body.stream())? {
                Some(reader) => Ok(host.push(InputStream::Body(reader))?),
                None => Err(()),
            },))
        },
    )?;
    types.at_once(
        "[static]incoming-body.finish",
        |host: &Host, (body,): (Resource<IncomingBody>,)| {
            let source = Arc::clone(&host.take(body)?.source);
            let coming = Underway::new(async move { source.trailers().await });
            Ok((host.push(FutureTrailers { coming })?,))
        },
    )
}

pub(super) type Trailers = Result<Option<Resource<Fields>>, ErrorCode>;

fn offer_trailers(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<FutureTrailers>("future-trailers")?;
    types.at_once(
        "[method]future-trailers.subscribe",
        |host: &Host, (future,): (Resource<FutureTrailers>,)| {
            let pollable = host.with(&future, |future| future.coming.pollable())?;
            Ok((host.push(pollable)?,))
        },
    )
}

/// Once there, once.
pub(super) fn trailers(
    host: &Host,
    (future,): (Resource<FutureTrailers>,),
) -> Answer<(Option<Result<Trailers, ()>>,)> {
    let coming = host.with(&future, |future| Arc::clone(&future.coming))?;
    let answer = match coming.take() {
        Some(Ok(Some(map))) => Some(Ok(Ok(Some(host.push(Fields::frozen(map))?)))),
        Some(Ok(None)) => Some(Ok(Ok(None))),
        Some(Err(broken)) => Some(Ok(Err((&broken).into()))),
        None if coming.is_taken() => Some(Err(())),
        None => None,
    };
    Ok((answer,))
}

pub(super) fn finish(
    host: &Host,
    (body, trailers): (Resource<OutgoingBody>, Option<Resource<Fields>>),
) -> Finished {
    let trailers = trailers.map(|trailers| host.take(trailers)).transpose()?;
    let body = host.take(body)?;
    Ok((body.finish(trailers.map(Fields::into_map)),))
}
