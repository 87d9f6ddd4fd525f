//! How bodies of `wasi:http` 0.3 flow: from a client into a guest's stream, from a guest's stream to the client. Each in a
//! task of its own, which takes no more than there is room for, and ends when nobody is there on one side.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode};
use pirn_triggers::http::pipe::{Room, Writer as ReplyWriter, pipe};
use pirn_triggers::http::{Answer as Reply, Outgoing, Responder, Source, Taken};
use wasmtime::component::Resource;

use super::Host;
use super::fields::Fields;
use super::service::{Body, Message};
use super::words::ErrorCode;
use crate::engine::streams::{Cut, Promise, Resolver, Stream, Writer, promise, stream};
use crate::limits::engine::PIPE_BYTES;

/// `result<option<trailers>, error-code>`
pub(super) type Trailers = Result<Option<Resource<Fields>>, ErrorCode>;
/// `result<_, error-code>`
pub(super) type Sent = Result<(), ErrorCode>;

/// A body for a guest that reads it, and what follows it.
pub(super) fn consumed(host: &Host, message: Message) -> (Stream<u8>, Promise<Trailers>) {
    let Message { body, trailers, .. } = message;
    let trailers = || trailers.unwrap_or_else(|| Promise::ready(Ok(None)));
    match body {
        Body::Nothing => (Stream::of(Vec::new()), trailers()),
        Body::Guest(stream) => (stream, trailers()),
        Body::Client(source) => {
            let (writer, read) = stream();
            let (resolver, trailers) = promise();
            tokio::spawn(take_in(host.clone(), source, writer, resolver));
            (read, trailers)
        }
    }
}

/// From a client to a guest.
async fn take_in(
    host: Host,
    source: Arc<Source>,
    writer: Writer<u8>,
    trailers: Resolver<Trailers>,
) {
    let moves = host.moves();
    while let Ok(room) = poll_fn(|cx| writer.poll_room(cx)).await {
        match source.take(room) {
            Taken::Piece(piece) => {
                moves.note();
                writer.put(piece);
            }
            Taken::Nothing => tokio::select! {
                biased;
                () = source.ready() => {}
                () = writer.unread() => break,
            },
            Taken::End => break,
            Taken::Broken(broken) => return trailers.resolve(Err((&broken).into())),
        }
    }
    writer.finish();
    // Whether anybody waits for these or not: the rest of the body is read for them.
    let end = tokio::select! {
        biased;
        end = source.trailers() => end,
        () = trailers.unread() => return,
    };
    trailers.resolve(match end {
        Ok(None) => Ok(None),
        Ok(Some(map)) => match host.push(Fields::frozen(map)) {
            Ok(fields) => Ok(Some(fields)),
            Err(_) => Err(ErrorCode::HttpRequestTrailerSectionSize(None)),
        },
        Err(broken) => Err((&broken).into()),
    });
}

/// From a guest that has answered to the client.
pub(super) fn pass_on(
    host: Host,
    responder: Responder,
    head: (StatusCode, HeaderMap),
    message: Message,
) {
    let Message { body, trailers, sent } = message;
    let stream = match body {
        Body::Nothing => Stream::of(Vec::new()),
        Body::Guest(stream) => stream,
        Body::Client(source) => consumed_alone(&host, source),
    };
    let trailers = trailers.unwrap_or_else(|| Promise::ready(Ok(None)));
    tokio::spawn(async move {
        let passed = Passing { host, stream, trailers }.to(responder, head).await;
        if let Some(sent) = sent {
            sent.resolve(passed);
        }
    });
}

fn consumed_alone(host: &Host, source: Arc<Source>) -> Stream<u8> {
    let message = Message { body: Body::Client(source), trailers: None, sent: None };
    consumed(host, message).0
}

/// What is passed on.
struct Passing {
    host: Host,
    stream: Stream<u8>,
    trailers: Promise<Trailers>,
}

impl Passing {
    async fn to(mut self, responder: Responder, (status, fields): (StatusCode, HeaderMap)) -> Sent {
        let (begun, end) = self.begin().await;
        if let Some(Ok(Some(Ok(None)) | None)) = &end {
            responder.answer(Reply { status, fields, body: Outgoing::Whole(begun) });
            return Ok(());
        }
        let (mut writer, reader) = pipe();
        self.host.exchange().takes(writer.waits());
        responder.answer(Reply { status, fields, body: Outgoing::Piped(reader) });
        let moves = self.host.moves();
        let unread = |_| ErrorCode::ConnectionTerminated;
        writer.write(begun).map_err(unread)?;
        match end {
            Some(Ok(trailers)) => return self.finish(writer, trailers),
            Some(Err(Cut)) => return Err(ErrorCode::HttpResponseIncomplete),
            None => {}
        }
        loop {
            let room = room(&writer).await.ok_or(ErrorCode::ConnectionTerminated)?;
            match self.stream.chunk(room).await {
                Ok(Some(bytes)) => writer.write(bytes).map_err(unread)?,
                Ok(None) => break,
                Err(Cut) => return Err(ErrorCode::HttpResponseIncomplete),
            }
            moves.note();
        }
        let trailers = poll_fn(|cx| self.trailers.poll_wait(cx)).await;
        self.finish(writer, trailers)
    }

    /// What is there of a body already, and its end if that is there too: an answer that is short goes out in one piece.
    async fn begin(&mut self) -> (Bytes, Option<Result<Option<Trailers>, Cut>>) {
        let mut begun = BytesMut::new();
        let end = poll_fn(|cx| {
            while begun.len() < PIPE_BYTES {
                match self.stream.poll_chunk(cx, PIPE_BYTES) {
                    Poll::Ready(Ok(Some(bytes))) => begun.extend_from_slice(&bytes),
                    Poll::Ready(Err(cut)) => return Poll::Ready(Some(Err(cut))),
                    Poll::Pending => return Poll::Ready(None),
                    Poll::Ready(Ok(None)) => {
                        return Poll::Ready(match self.trailers.poll_wait(cx) {
                            Poll::Ready(trailers) => Some(Ok(trailers)),
                            Poll::Pending => None,
                        });
                    }
                }
            }
            Poll::Ready(None)
        });
        let end = end.await;
        (begun.freeze(), end)
    }

    /// A guest that says nothing of trailers has none.
    fn finish(&self, writer: ReplyWriter, trailers: Option<Trailers>) -> Sent {
        match trailers {
            None | Some(Ok(None)) => writer.finish(None),
            Some(Ok(Some(fields))) => {
                let fields = self.host.take(fields).map(Fields::into_map);
                writer.finish(fields.ok());
            }
            // The body is not whole: dropped, the writer says so.
            Some(Err(code)) => return Err(code),
        }
        Ok(())
    }
}

/// How much room there is, once there is some; `None` if nobody reads any more.
async fn room(writer: &ReplyWriter) -> Option<usize> {
    loop {
        match writer.room()? {
            0 => Room::wait(writer.waits()).await,
            room => return Some(room),
        }
    }
}
