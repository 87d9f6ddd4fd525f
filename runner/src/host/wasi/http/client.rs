//! `wasi:http/client@0.3`: requests of guests whose bodies are streams. They go the way of all requests (`Grants::ask`),
//! which asks for the grant first.
//!
//! The body is passed on by a task of its own, since the answer may come before its end, and the guest writes it while it
//! reads that. It takes a piece when the one before it is on its way.

use std::future::poll_fn;
use std::sync::Arc;

use http::{HeaderMap, header};
use pirn_triggers::http::Source;
use pirn_triggers::net::http::{Outgoing, Response, Sender, channel, empty};
use wasmtime::component::Resource;

use super::asked::{Asked, url};
use super::fields::Fields;
use super::flows::{self, Sent, Trailers};
use super::service::{Body, Message, ServiceRequest, ServiceResponse};
use super::words::ErrorCode;
use super::{Door, Host};
use crate::engine::door::{Answer, Twin};
use crate::engine::streams::{Cut, Promise, Resolver, Stream};
use crate::host::outbound::Ask;
use crate::host::wasi::interface_of_3;
use crate::limits::engine::PIPE_BYTES;

type Answered = Result<Resource<ServiceResponse>, ErrorCode>;

pub(super) fn offer(door: &mut Door, version: &str) -> Answer<()> {
    interface_of_3(door, "http/client", version)?.waiting(Twin::Async, "send", send)
}

async fn send(host: Host, (request,): (Resource<ServiceRequest>,)) -> Answer<(Answered,)> {
    let request = host.take(request)?;
    let (asked, sent) = match handed_over(&host, request) {
        Ok(handed_over) => handed_over,
        Err((code, sent)) => {
            told(sent, Err(code.clone()));
            return Ok((Err(code),));
        }
    };
    let answer = asked.answer().await;
    told(sent, answer.as_ref().map(|_| ()).map_err(ErrorCode::from));
    Ok((match answer {
        Ok(Response { status, headers, body }) => {
            let body = Body::Client(Arc::new(Source::patient(body)));
            let message = Message { body, trailers: None, sent: None };
            Ok(host.push(ServiceResponse { status, fields: headers, message })?)
        }
        Err(error) => Err((&error).into()),
    },))
}

/// Who waits to be told how a request was sent that has no body.
type Waiting = Option<Resolver<Sent>>;

fn told(sent: Waiting, how: Sent) {
    if let Some(sent) = sent {
        sent.resolve(how);
    }
}

/// The request is on its way, and its body with it.
fn handed_over(
    host: &Host,
    request: ServiceRequest,
) -> Result<(Asked, Waiting), (ErrorCode, Waiting)> {
    let ServiceRequest { method, scheme, authority, path_and_query, fields, options, message } =
        request;
    let Message { body, trailers, sent } = message;
    let Some(url) = url(scheme.as_ref(), authority.as_deref(), path_and_query.as_deref()) else {
        return Err((ErrorCode::HttpRequestUriInvalid, sent));
    };
    let timeouts = options.unwrap_or_default().timeouts();
    let mut ask = Ask { method, url, headers: fields, body: empty(), timeouts };
    let grants = Arc::clone(&host.0.grants);
    if let Err(error) = grants.permits(&ask) {
        return Err(((&error).into(), sent));
    }
    if matches!(body, Body::Nothing) {
        return Ok((Asked::of(grants, ask), sent));
    }
    let message = Message { body, trailers, sent: None };
    let (stream, trailers) = flows::consumed(host, message);
    let host = host.clone();
    let (passing, body) = Passing::of(host, stream, trailers, length(&ask.headers));
    tokio::spawn(async move { told(sent, passing.pass().await) });
    ask.body = body;
    Ok((Asked::of(grants, ask), None))
}

/// What was announced.
fn length(fields: &HeaderMap) -> Option<u64> {
    fields.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A body on its way out. Dropped before its end, the request fails.
struct Passing {
    host: Host,
    stream: Stream<u8>,
    trailers: Promise<Trailers>,
    sender: Sender,
    length: Option<u64>,
}

impl Passing {
    fn of(
        host: Host,
        stream: Stream<u8>,
        trailers: Promise<Trailers>,
        length: Option<u64>,
    ) -> (Self, Outgoing) {
        let (sender, body) = channel(length);
        (Self { host, stream, trailers, sender, length }, body)
    }

    async fn pass(mut self) -> Sent {
        let (moves, mut bytes) = (self.host.moves(), 0);
        let is_other = |bytes: u64| ErrorCode::HttpRequestBodySize(Some(bytes));
        loop {
            match self.stream.chunk(PIPE_BYTES).await {
                Ok(Some(piece)) => {
                    bytes += piece.len() as u64;
                    if self.length.is_some_and(|length| bytes > length) {
                        return Err(is_other(bytes));
                    }
                    if !self.sender.send(piece).await {
                        return Err(ErrorCode::ConnectionTerminated);
                    }
                    moves.note();
                }
                Ok(None) => break,
                Err(Cut) => return Err(is_other(bytes)),
            }
        }
        if self.length.is_some_and(|length| bytes != length) {
            return Err(is_other(bytes));
        }
        // A guest that says nothing of trailers has none.
        let trailers = poll_fn(|cx| self.trailers.poll_wait(cx)).await.unwrap_or(Ok(None))?;
        let trailers = trailers.and_then(|fields| self.host.take(fields).ok());
        match self.sender.finish(trailers.map(Fields::into_map)).await {
            true => Ok(()),
            false => Err(ErrorCode::ConnectionTerminated),
        }
    }
}
