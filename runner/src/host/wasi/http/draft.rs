//! `wasi:http` as it was in October 2023, for components made with the SDK of Spin 2. Requests, bodies and answers are those
//! of 0.2; only what is said about them differs: fewer results, an error with four cases, a request that is made at once.
//!
//! Where the draft has no way to refuse, and 0.2 would, the guest ends with a sentence.

use std::time::Duration;

use pirn_triggers::net::http::Timeouts;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::bodies::{self, FutureTrailers, OutgoingBody};
use super::fields::{self, Entry, Fields, HeaderError};
use super::incoming::{self, OutgoingResponse, Response, ResponseOutparam};
use super::outgoing::{self, FutureResponse, IncomingResponse, OutgoingRequest, Request};
use super::words::{ErrorCode, Method, Scheme};
use super::{Door, Host, Interface};
use crate::engine::door::Answer;
use crate::engine::wire::wire;
use crate::host::wasi::interface_of_draft;

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    enum Error {
        #[component(name = "invalid-url")]
        InvalidUrl(String),
        #[component(name = "timeout-error")]
        Timeout(String),
        #[component(name = "protocol-error")]
        Protocol(String),
        #[component(name = "unexpected-error")]
        Unexpected(String),
    }
}

wire! {
    /// `record request-options`.
    #[derive(Clone, Debug, ComponentType, Lift)]
    #[component(record)]
    struct RequestOptions {
        #[component(name = "connect-timeout-ms")]
        connect: Option<u32>,
        #[component(name = "first-byte-timeout-ms")]
        first_byte: Option<u32>,
        #[component(name = "between-bytes-timeout-ms")]
        between_bytes: Option<u32>,
    }
}

impl From<ErrorCode> for Error {
    fn from(code: ErrorCode) -> Self {
        let sentence = format!("{code:?}");
        match code {
            ErrorCode::HttpRequestUriInvalid => Self::InvalidUrl(sentence),
            ErrorCode::DnsTimeout
            | ErrorCode::ConnectionTimeout
            | ErrorCode::ConnectionReadTimeout
            | ErrorCode::ConnectionWriteTimeout => Self::Timeout(sentence),
            ErrorCode::HttpProtocolError | ErrorCode::HttpResponseIncomplete => {
                Self::Protocol(sentence)
            }
            _ => Self::Unexpected(sentence),
        }
    }
}

impl From<RequestOptions> for Timeouts {
    fn from(options: RequestOptions) -> Self {
        let usual = Self::default();
        let of = |ms: Option<u32>, usual| ms.map_or(usual, |ms| Duration::from_millis(ms.into()));
        Self {
            connect: of(options.connect, usual.connect),
            first_byte: of(options.first_byte, usual.first_byte),
            between_bytes: of(options.between_bytes, usual.between_bytes),
        }
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut types = interface_of_draft(door, "http/types")?;
    offer_fields(&mut types)?;
    bodies::offer_streams(&mut types)?;
    types.at_once("[method]future-trailers.get", trailers)?;
    types.at_once("[static]outgoing-body.finish", finish)?;
    incoming::offer_request(&mut types)?;
    offer_answer(&mut types)?;
    types.resource::<OutgoingRequest>("outgoing-request")?;
    types.at_once("[constructor]outgoing-request", new_request)?;
    types.at_once("[method]outgoing-request.write", outgoing::body)?;
    outgoing::offer_response(&mut types)?;
    types.at_once("[method]future-incoming-response.get", response)?;
    interface_of_draft(door, "http/outgoing-handler")?.at_once("handle", handle)
}

type Handle = Resource<Fields>;

fn offer_fields(types: &mut Interface<'_>) -> Answer<()> {
    fields::offer_reading(types)?;
    types.at_once("[constructor]fields", |host: &Host, (entries,): (Vec<Entry>,)| {
        let fields = written(Fields::of(entries)?)?;
        Ok((host.push(fields)?,))
    })?;
    types.at_once(
        "[method]fields.set",
        |host: &Host, (fields, name, values): (Handle, String, Vec<Vec<u8>>)| {
            written(host.with(&fields, |fields| fields.set(&name, &values))??)
        },
    )?;
    types.at_once("[method]fields.delete", |host: &Host, (fields, name): (Handle, String)| {
        written(host.with(&fields, |fields| fields.delete(&name))?)
    })?;
    types.at_once(
        "[method]fields.append",
        |host: &Host, (fields, name, value): (Handle, String, Vec<u8>)| {
            written(host.with(&fields, |fields| fields.append(&name, &value))??)
        },
    )
}

fn written<T>(result: Result<T, HeaderError>) -> Answer<T> {
    result.map_err(|error| {
        wasmtime::Error::msg(match error {
            HeaderError::InvalidSyntax => "it wrote a field that HTTP does not allow",
            HeaderError::Forbidden => "it wrote a field that only the connection decides",
            HeaderError::Immutable => "it wrote to fields that may only be read",
        })
    })
}

fn offer_answer(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<OutgoingResponse>("outgoing-response")?;
    types.at_once(
        "[constructor]outgoing-response",
        |host: &Host, (status, fields): (u16, Handle)| {
            let Some(status) = incoming::final_status(status) else {
                let sentence = format!("it answered with the status {status}, which is none");
                return Err(wasmtime::Error::msg(sentence));
            };
            let fields = host.with(&fields, |fields| fields.thawed().into_map())?;
            Ok((host.push(OutgoingResponse::of(status, fields))?,))
        },
    )?;
    types.at_once("[method]outgoing-response.write", incoming::body)?;
    types.resource::<ResponseOutparam>("response-outparam")?;
    types.at_once(
        "[static]response-outparam.set",
        |host: &Host, (outparam, answer): (Resource<ResponseOutparam>, Result<Response, Error>)| {
            incoming::answer(host, outparam, answer)
        },
    )
}

type Trailers = Option<Result<Handle, Error>>;

/// Once there, once. Where 0.2 has none, these are empty.
fn trailers(host: &Host, future: (Resource<FutureTrailers>,)) -> Answer<(Trailers,)> {
    let (answer,) = bodies::trailers(host, future)?;
    Ok((match answer {
        Some(Ok(Ok(trailers))) => Some(Ok(match trailers {
            Some(trailers) => trailers,
            None => host.push(Fields::frozen(http::HeaderMap::new()))?,
        })),
        Some(Ok(Err(code))) => Some(Err(code.into())),
        Some(Err(())) => Some(Err(Error::Unexpected("they were taken before".to_owned()))),
        None => None,
    },))
}

/// A body of another length than it said is cut, and the guest's log says so, since the guest cannot be told.
fn finish(host: &Host, params: (Resource<OutgoingBody>, Option<Handle>)) -> Answer<()> {
    let (finished,) = bodies::finish(host, params)?;
    if let Err(code) = finished {
        let sentence = format!("it finished a body that is none: {code:?}");
        host.grants().reporter.report(&crate::report::Report::Warning(&sentence));
    }
    Ok(())
}

type Parts = (Method, Option<String>, Option<Scheme>, Option<String>, Handle);

fn new_request(
    host: &Host,
    (method, path, scheme, authority, fields): Parts,
) -> Answer<(Request,)> {
    let fields = host.with(&fields, |fields| fields.thawed().into_map())?;
    let mut request = OutgoingRequest::of(fields);
    (request.method, request.path) = (method, path);
    (request.scheme, request.authority) = (scheme, authority);
    Ok((host.push(request)?,))
}

type Handled = Result<Resource<FutureResponse>, Error>;

fn handle(
    host: &Host,
    (request, options): (Request, Option<RequestOptions>),
) -> Answer<(Handled,)> {
    let timeouts = options.map_or_else(Timeouts::default, Timeouts::from);
    Ok((outgoing::hand_over(host, request, timeouts)?.map_err(Error::from),))
}

type Got = Option<Result<Result<Resource<IncomingResponse>, Error>, ()>>;

fn response(host: &Host, future: (Resource<FutureResponse>,)) -> Answer<(Got,)> {
    let (answer,) = outgoing::get(host, future)?;
    Ok((answer.map(|answer| answer.map(|response| response.map_err(Error::from))),))
}
