//! A request that came in, and its answer: `incoming-request`, `outgoing-response`, `response-outparam`.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use pirn_triggers::http::pipe::{Reader, Room};
use pirn_triggers::http::{Answer as Reply, Head, Outgoing, Request, Responder, Source};
use tokio::time::Instant;
use wasmtime::component::Resource;

use super::bodies::{IncomingBody, Moves, OutgoingBody};
use super::fields::Fields;
use super::words::{ErrorCode, Method, Scheme};
use super::{Host, Interface};
use crate::engine::door::Answer;
use crate::host::locked;

/// What is known of a request while its guest runs, by whoever runs it; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Exchange {
    pub(super) moves: Moves,
    is_answered: Arc<AtomicBool>,
    /// What the client sends, and what it is to take.
    ways: Arc<Mutex<Ways>>,
}

#[derive(Debug, Default)]
struct Ways {
    body: Option<Arc<Source>>,
    answer: Option<Room>,
}

impl Exchange {
    /// When something last moved, the guest's answer or a body.
    pub fn moved(&self) -> Instant {
        self.moves.last()
    }

    /// Since when the guest cannot go on because its client sends nothing or takes nothing.
    pub fn client_is_late_since(&self) -> Option<Instant> {
        let ways = locked(&self.ways);
        let sends = ways.body.as_ref().and_then(|body| body.waits_since());
        sends.or_else(|| ways.answer.as_ref().and_then(Room::full_since))
    }

    /// What the client sends.
    pub(super) fn asks(&self, body: &Arc<Source>) {
        locked(&self.ways).body = Some(Arc::clone(body));
    }

    /// Where it is to take the answer.
    pub(super) fn takes(&self, room: Room) {
        locked(&self.ways).answer = Some(room);
    }

    /// The guest has given its answer.
    pub(super) fn answered(&self) {
        self.moves.note();
        self.is_answered.store(true, Relaxed);
    }

    /// Whether the guest has given an answer.
    pub fn is_answered(&self) -> bool {
        self.is_answered.load(Relaxed)
    }
}

/// `resource incoming-request`
pub struct IncomingRequest {
    head: Head,
    body: Option<Arc<Source>>,
    moves: Moves,
}

/// `resource response-outparam`
pub struct ResponseOutparam {
    responder: Responder,
    exchange: Exchange,
}

/// `resource outgoing-response`
pub(crate) struct OutgoingResponse {
    status: StatusCode,
    fields: HeaderMap,
    body: Option<Reader>,
    is_body_taken: bool,
}

impl Host {
    /// What is known of the request that the guest answers.
    pub fn exchange(&self) -> &Exchange {
        self.wasi().exchange.get_or_init(Exchange::default)
    }

    pub(crate) fn moves(&self) -> Moves {
        self.exchange().moves.clone()
    }

    /// A request for the guest, and where its answer goes.
    pub fn receive(
        &self,
        request: Request,
    ) -> Answer<(Resource<IncomingRequest>, Resource<ResponseOutparam>)> {
        let Request { head, body, responder } = request;
        let moves = self.moves();
        locked(&self.exchange().ways).body = Some(Arc::clone(&body));
        let request = self.push(IncomingRequest { head, body: Some(body), moves })?;
        let exchange = self.exchange().clone();
        Ok((request, self.push(ResponseOutparam { responder, exchange })?))
    }
}

type Asked = Resource<IncomingRequest>;
pub(super) type Response = Resource<OutgoingResponse>;

pub(super) fn offer(types: &mut Interface<'_>) -> Answer<()> {
    offer_request(types)?;
    offer_response(types)?;
    types.resource::<ResponseOutparam>("response-outparam")?;
    types.at_once("[static]response-outparam.set", set)
}

pub(super) fn offer_request(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<IncomingRequest>("incoming-request")?;
    types.at_once("[method]incoming-request.method", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| Method::from(&asked.head.method))?,))
    })?;
    types.at_once(
        "[method]incoming-request.path-with-query",
        |host: &Host, (asked,): (Asked,)| {
            Ok((host.with(&asked, |asked| Some(asked.head.path_and_query.clone()))?,))
        },
    )?;
    types.at_once("[method]incoming-request.scheme", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| Some(Scheme::from(&asked.head.scheme)))?,))
    })?;
    types.at_once("[method]incoming-request.authority", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| Some(asked.head.authority.to_string()))?,))
    })?;
    types.at_once("[method]incoming-request.headers", |host: &Host, (asked,): (Asked,)| {
        let fields = host.with(&asked, |asked| Fields::frozen(asked.head.fields.clone()))?;
        Ok((host.push(fields)?,))
    })?;
    types.at_once("[method]incoming-request.consume", |host: &Host, (asked,): (Asked,)| {
        let body = host.with(&asked, |asked| {
            let source = asked.body.take()?;
            Some(IncomingBody::new(source, asked.moves.clone()))
        })?;
        Ok((match body {
            Some(body) => Ok(host.push(body)?),
            None => Err(()),
        },))
    })
}

fn offer_response(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<OutgoingResponse>("outgoing-response")?;
    types.at_once(
        "[constructor]outgoing-response",
        |host: &Host, (fields,): (Resource<Fields>,)| {
            let fields = host.take(fields)?.into_map();
            Ok((host.push(OutgoingResponse::of(StatusCode::OK, fields))?,))
        },
    )?;
    types.at_once(
        "[method]outgoing-response.status-code",
        |host: &Host, (response,): (Response,)| {
            Ok((host.with(&response, |response| response.status.as_u16())?,))
        },
    )?;
    types.at_once("[method]outgoing-response.set-status-code", set_status)?;
    types.at_once(
        "[method]outgoing-response.headers",
        |host: &Host, (response,): (Response,)| {
            let fields = host.with(&response, |response| response.fields.clone())?;
            Ok((host.push(Fields::frozen(fields))?,))
        },
    )?;
    types.at_once("[method]outgoing-response.body", body)
}

impl OutgoingResponse {
    pub(super) fn of(status: StatusCode, fields: HeaderMap) -> Self {
        Self { status, fields, body: None, is_body_taken: false }
    }
}

/// The body of an answer, once.
pub(super) fn body(
    host: &Host,
    (response,): (Response,),
) -> Answer<(Result<Resource<OutgoingBody>, ()>,)> {
    let moves = host.moves();
    let body = host.with(&response, |response| {
        if std::mem::replace(&mut response.is_body_taken, true) {
            return None;
        }
        let (body, reader) = OutgoingBody::of(&response.fields, &moves);
        locked(&host.exchange().ways).answer = body.room();
        response.body = Some(reader);
        Some(body)
    })?;
    Ok((match body {
        Some(body) => Ok(host.push(body)?),
        None => Err(()),
    },))
}

/// An answer is final: what only informs (1xx) is none.
pub(super) fn final_status(status: u16) -> Option<StatusCode> {
    StatusCode::from_u16(status).ok().filter(|status| !status.is_informational())
}

fn set_status(host: &Host, (response, status): (Response, u16)) -> Answer<(Result<(), ()>,)> {
    let status = final_status(status);
    let set = |response: &mut OutgoingResponse| {
        response.status = status?;
        Some(())
    };
    Ok((host.with(&response, set)?.ok_or(()),))
}

fn set(
    host: &Host,
    (outparam, response): (Resource<ResponseOutparam>, Result<Response, ErrorCode>),
) -> Answer<()> {
    answer(host, outparam, response)
}

/// The guest has given its answer, or an error of its version of the interface.
pub(super) fn answer(
    host: &Host,
    outparam: Resource<ResponseOutparam>,
    response: Result<Response, impl std::fmt::Debug>,
) -> Answer<()> {
    let ResponseOutparam { responder, exchange } = host.take(outparam)?;
    exchange.answered();
    match response {
        Ok(response) => {
            let OutgoingResponse { status, fields, body, .. } = host.take(response)?;
            let body = body.map_or(Outgoing::Whole(Bytes::new()), Outgoing::Piped);
            responder.answer(Reply { status, fields, body });
        }
        Err(code) => fail(host, responder, &format!("with an error: {code:?}")),
    }
    Ok(())
}

/// The guest has no answer for the client, which learns no more than that.
pub(super) fn fail(host: &Host, responder: Responder, how: &str) {
    let sentence = format!("it answered a request {how}");
    host.grants().reporter.report(&crate::report::Report::Warning(&sentence));
    responder.answer(Reply::empty(StatusCode::INTERNAL_SERVER_ERROR));
}
