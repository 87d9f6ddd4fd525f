//! Requests of an app's components to the app itself: by its routes, or to one of its components (service chaining). They
//! stand in line like those from outside, and each is given a fresh instance; nothing of them goes over a socket.
//!
//! Who asks keeps its place meanwhile. Where a board has one place for all, nobody inside can answer before whoever
//! asks has ended.

use std::sync::{Arc, Weak};

use http::uri::{Authority, Scheme};
use http::{HeaderValue, header};
use pirn_triggers::http as inbound;
use pirn_triggers::net::http::{
    HttpError, Incoming, Outgoing, Phase, Request, Response, Timeouts, full,
};
use tokio::time::timeout;

use crate::flow::site::Site;
use crate::host::outbound::{Answering, Inside, Inward};

/// The app's site, for its own components. It does not keep the app at work.
pub(super) struct Within {
    site: Weak<Site>,
    /// How the app is called from outside.
    authority: Authority,
}

impl Within {
    pub(super) fn new(site: &Arc<Site>, address: &inbound::Address) -> Self {
        let authority = match address {
            inbound::Address::Tcp(address) => address.to_string().parse().ok(),
            inbound::Address::Unix(_) => None,
        };
        let authority = authority.unwrap_or(Authority::from_static("localhost"));
        Self { site: Arc::downgrade(site), authority }
    }
}

impl Inward for Within {
    fn ask(&self, to: Inside, request: Request) -> Option<Answering> {
        let site = self.site.upgrade()?;
        let Request { method, target, path, mut headers, body, timeouts } = request;
        let (responder, answered) = inbound::Responder::new(&method);
        let authority = match &to {
            Inside::Routes => self.authority.clone(),
            Inside::Component(_) => target.host.parse().ok()?,
        };
        if to == Inside::Routes
            && let Ok(host) = HeaderValue::from_bytes(authority.as_str().as_bytes())
        {
            headers.insert(header::HOST, host);
        }
        let head = inbound::Head {
            method,
            scheme: Scheme::HTTP,
            authority,
            path_and_query: path,
            fields: headers,
            client: None,
        };
        let body = Arc::new(inbound::Source::patient(body));
        let request = inbound::Request { head, body, responder };
        match to {
            Inside::Routes => site.take(request),
            Inside::Component(name) => site.ask(&name, request)?,
        }
        Some(Box::pin(async move {
            let answer = timeout(timeouts.first_byte, answered).await;
            let answer = answer.map_err(|_| HttpError::Timeout(Phase::FirstByte))?;
            // Whoever was to answer ended without a word.
            Ok(response(answer.unwrap_or_else(|_| failed()), &timeouts))
        }))
    }
}

fn failed() -> inbound::Answer {
    inbound::Answer::empty(http::StatusCode::INTERNAL_SERVER_ERROR)
}

fn response(answer: inbound::Answer, timeouts: &Timeouts) -> Response {
    let inbound::Answer { status, fields, body } = answer;
    let body = match body {
        inbound::Outgoing::Whole(bytes) => full(bytes),
        inbound::Outgoing::Piped(reader) => Outgoing::of(reader),
    };
    Response { status, headers: fields, body: Incoming::within(body, timeouts.between_bytes) }
}
