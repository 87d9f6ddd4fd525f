//! Requests of guests: `wasi:http/outgoing-handler`, and the types that only they have. They go the way of all requests
//! (`Grants::ask`), which asks for the grant first.
//!
//! A request runs in a task of its own from the moment it is handed over, because its guest may be busy writing its
//! body, and waits for that to be read. It ends with the guest, or when the guest drops what stands for its answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::uri::PathAndQuery;
use pirn_triggers::http::pipe::Reader;
use pirn_triggers::http::{Broken, Source};
use pirn_triggers::net::http::{Body, Frame, Outgoing, Response, SizeHint, Timeouts, empty};
use wasmtime::component::Resource;

use super::asked::{Asked, place, url};
use super::bodies::{IncomingBody, OutgoingBody};
use super::fields::Fields;
use super::words::{ErrorCode, Method, Scheme};
use super::{Door, Host, Interface};
use crate::engine::door::Answer;
use crate::host::outbound::{Ask, AskError};
use crate::host::wasi::underway::Underway;

/// `resource outgoing-request`
pub(super) struct OutgoingRequest {
    pub(super) method: Method,
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Option<String>,
    pub(super) path: Option<String>,
    fields: HeaderMap,
    body: Option<Reader>,
    is_body_taken: bool,
}

/// `resource request-options`
#[derive(Clone, Copy, Default)]
struct RequestOptions {
    connect: Option<u64>,
    first_byte: Option<u64>,
    between_bytes: Option<u64>,
}

/// `resource future-incoming-response`
pub(super) struct FutureResponse {
    coming: Arc<Underway<Result<Response, AskError>>>,
}

/// `resource incoming-response`
pub(super) struct IncomingResponse {
    status: u16,
    fields: HeaderMap,
    body: Option<Arc<Source>>,
}

/// A request's body on its way. When nobody reads it any more, for whatever reason, what the guest still writes goes
/// nowhere: why is told by the answer, or by what is there instead of it.
struct Sent(Option<Reader>);

impl Drop for Sent {
    fn drop(&mut self) {
        if let Some(reader) = self.0.take() {
            reader.drain();
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut self.0 {
            Some(reader) => Pin::new(reader).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

pub(super) type Request = Resource<OutgoingRequest>;
type Options = Resource<RequestOptions>;
type Done = Answer<(Result<(), ()>,)>;

pub(super) fn offer(types: &mut Interface<'_>) -> Answer<()> {
    offer_request(types)?;
    offer_options(types)?;
    offer_response(types)?;
    types.at_once("[method]future-incoming-response.get", get)
}

pub(super) fn offer_handler(door: &mut Door) -> Answer<()> {
    let mut handler = super::super::interface(door, "http/outgoing-handler")?;
    handler.at_once("handle", handle)
}

fn offer_request(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<OutgoingRequest>("outgoing-request")?;
    types.at_once(
        "[constructor]outgoing-request",
        |host: &Host, (fields,): (Resource<Fields>,)| {
            let fields = host.take(fields)?.into_map();
            Ok((host.push(OutgoingRequest::of(fields))?,))
        },
    )?;
    types.at_once("[method]outgoing-request.body", body)?;
    types.at_once("[method]outgoing-request.method", |host: &Host, (request,): (Request,)| {
        Ok((host.with(&request, |request| request.method.clone())?,))
    })?;
    types.at_once(
        "[method]outgoing-request.set-method",
        |host: &Host, (request, method): (Request, Method)| -> Done {
            let fits = method.token().is_some();
            set(host, &request, fits, |request| request.method = method)
        },
    )?;
    types.at_once(
        "[method]outgoing-request.path-with-query",
        |host: &Host, (request,): (Request,)| {
            Ok((host.with(&request, |request| request.path.clone())?,))
        },
    )?;
    types.at_once(
        "[method]outgoing-request.set-path-with-query",
        |host: &Host, (request, path): (Request, Option<String>)| -> Done {
            let fits = path.as_deref().is_none_or(|path| path.parse::<PathAndQuery>().is_ok());
            set(host, &request, fits, |request| request.path = path)
        },
    )?;
    types.at_once("[method]outgoing-request.scheme", |host: &Host, (request,): (Request,)| {
        Ok((host.with(&request, |request| request.scheme.clone())?,))
    })?;
    types.at_once(
        "[method]outgoing-request.set-scheme",
        |host: &Host, (request, scheme): (Request, Option<Scheme>)| -> Done {
            let fits = match &scheme {
                Some(Scheme::Other(other)) => other.parse::<http::uri::Scheme>().is_ok(),
                _ => true,
            };
            set(host, &request, fits, |request| request.scheme = scheme)
        },
    )?;
    types.at_once(
        "[method]outgoing-request.authority",
        |host: &Host, (request,): (Request,)| {
            Ok((host.with(&request, |request| request.authority.clone())?,))
        },
    )?;
    types.at_once(
        "[method]outgoing-request.set-authority",
        |host: &Host, (request, authority): (Request, Option<String>)| -> Done {
            let fits = authority.as_deref().is_none_or(|text| place(text).is_some());
            set(host, &request, fits, |request| request.authority = authority)
        },
    )?;
    types.at_once("[method]outgoing-request.headers", |host: &Host, (request,): (Request,)| {
        let fields = host.with(&request, |request| request.fields.clone())?;
        Ok((host.push(Fields::frozen(fields))?,))
    })
}

impl OutgoingRequest {
    pub(super) fn of(fields: HeaderMap) -> Self {
        Self {
            method: Method::Get,
            scheme: None,
            authority: None,
            path: None,
            fields,
            body: None,
            is_body_taken: false,
        }
    }
}

fn set(
    host: &Host,
    request: &Request,
    fits: bool,
    change: impl FnOnce(&mut OutgoingRequest),
) -> Done {
    host.with(request, |request| {
        if fits {
            change(request);
        }
    })?;
    Ok((if fits { Ok(()) } else { Err(()) },))
}

pub(super) fn body(
    host: &Host,
    (request,): (Request,),
) -> Answer<(Result<Resource<OutgoingBody>, ()>,)> {
    let moves = host.moves();
    let body = host.with(&request, |request| {
        if std::mem::replace(&mut request.is_body_taken, true) {
            return None;
        }
        let (body, reader) = OutgoingBody::of(&request.fields, &moves);
        request.body = Some(reader);
        Some(body)
    })?;
    Ok((match body {
        Some(body) => Ok(host.push(body)?),
        None => Err(()),
    },))
}

/// One of the three times, to be read or written.
type Time = fn(&mut RequestOptions) -> &mut Option<u64>;

fn offer_options(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<RequestOptions>("request-options")?;
    types.at_once("[constructor]request-options", |host: &Host, ()| {
        Ok((host.push(RequestOptions::default())?,))
    })?;
    fn read(host: &Host, options: &Options, time: Time) -> Answer<(Option<u64>,)> {
        Ok((host.with(options, |options| *time(options))?,))
    }
    fn write(host: &Host, options: &Options, time: Time, value: Option<u64>) -> Done {
        host.with(options, |options| *time(options) = value)?;
        Ok((Ok(()),))
    }
    types.at_once("[method]request-options.connect-timeout", |host, (options,): (Options,)| {
        read(host, &options, |options| &mut options.connect)
    })?;
    types.at_once(
        "[method]request-options.set-connect-timeout",
        |host, (options, time): (Options, Option<u64>)| {
            write(host, &options, |options| &mut options.connect, time)
        },
    )?;
    types
        .at_once("[method]request-options.first-byte-timeout", |host, (options,): (Options,)| {
            read(host, &options, |options| &mut options.first_byte)
        })?;
    types.at_once(
        "[method]request-options.set-first-byte-timeout",
        |host, (options, time): (Options, Option<u64>)| {
            write(host, &options, |options| &mut options.first_byte, time)
        },
    )?;
    types.at_once(
        "[method]request-options.between-bytes-timeout",
        |host, (options,): (Options,)| read(host, &options, |options| &mut options.between_bytes),
    )?;
    types.at_once(
        "[method]request-options.set-between-bytes-timeout",
        |host, (options, time): (Options, Option<u64>)| {
            write(host, &options, |options| &mut options.between_bytes, time)
        },
    )
}

impl RequestOptions {
    fn timeouts(self) -> Timeouts {
        let usual = Timeouts::default();
        let of = |time: Option<u64>, usual| time.map_or(usual, Duration::from_nanos);
        Timeouts {
            connect: of(self.connect, usual.connect),
            first_byte: of(self.first_byte, usual.first_byte),
            between_bytes: of(self.between_bytes, usual.between_bytes),
        }
    }
}

pub(super) fn offer_response(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<FutureResponse>("future-incoming-response")?;
    types.at_once(
        "[method]future-incoming-response.subscribe",
        |host: &Host, (future,): (Resource<FutureResponse>,)| {
            let pollable = host.with(&future, |future| future.coming.pollable())?;
            Ok((host.push(pollable)?,))
        },
    )?;
    types.resource::<IncomingResponse>("incoming-response")?;
    types.at_once(
        "[method]incoming-response.status",
        |host: &Host, (response,): (Resource<IncomingResponse>,)| {
            Ok((host.with(&response, |response| response.status)?,))
        },
    )?;
    types.at_once(
        "[method]incoming-response.headers",
        |host: &Host, (response,): (Resource<IncomingResponse>,)| {
            let fields = host.with(&response, |response| response.fields.clone())?;
            Ok((host.push(Fields::frozen(fields))?,))
        },
    )?;
    types.at_once(
        "[method]incoming-response.consume",
        |host: &Host, (response,): (Resource<IncomingResponse>,)| {
            let moves = host.moves();
            let body = host.with(&response, |response| response.body.take())?;
            Ok((match body {
                Some(source) => Ok(host.push(IncomingBody::new(source, moves))?),
                None => Err(()),
            },))
        },
    )
}

pub(super) type Got = Result<Resource<IncomingResponse>, ErrorCode>;

/// Once there, once.
pub(super) fn get(
    host: &Host,
    (future,): (Resource<FutureResponse>,),
) -> Answer<(Option<Result<Got, ()>>,)> {
    let coming = host.with(&future, |future| Arc::clone(&future.coming))?;
    let answer = match coming.take() {
        Some(Ok(response)) => {
            let Response { status, headers, body } = response;
            let body = Some(Arc::new(Source::patient(body)));
            let response = IncomingResponse { status: status.as_u16(), fields: headers, body };
            Some(Ok(Ok(host.push(response)?)))
        }
        Some(Err(error)) => Some(Ok(Err((&error).into()))),
        None if coming.is_taken() => Some(Err(())),
        None => None,
    };
    Ok((answer,))
}

pub(super) type Handled = Result<Resource<FutureResponse>, ErrorCode>;

fn handle(host: &Host, (request, options): (Request, Option<Options>)) -> Answer<(Handled,)> {
    let options = options.map(|options| host.take(options)).transpose()?.unwrap_or_default();
    Ok((hand_over(host, request, options.timeouts())?,))
}

pub(super) fn hand_over(host: &Host, request: Request, timeouts: Timeouts) -> Answer<Handled> {
    let request = host.take(request)?;
    let (scheme, authority) = (request.scheme.as_ref(), request.authority.as_deref());
    let Some(url) = url(scheme, authority, request.path.as_deref()) else {
        return Ok(Err(ErrorCode::HttpRequestUriInvalid));
    };
    let Some(method) = request.method.token() else {
        return Ok(Err(ErrorCode::HttpRequestMethodInvalid));
    };
    let ask = Ask {
        method,
        url,
        headers: request.fields,
        body: request.body.map_or_else(empty, |body| Outgoing::of(Sent(Some(body)))),
        timeouts,
    };
    let grants = Arc::clone(&host.0.grants);
    if let Err(error) = grants.permits(&ask) {
        return Ok(Err((&error).into()));
    }
    let coming = Underway::new(Asked::of(grants, ask).answer());
    Ok(Ok(host.push(FutureResponse { coming })?))
}
