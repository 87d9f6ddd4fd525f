//! Requests to HTTP servers: HTTP/1.1 over connections that go through the one [`Connector`].
//!
//! Bodies stream both ways, a piece at a time: whoever does not read stops the peer, and a peer that does not read stops
//! whoever writes. Connections are kept for a while when both sides are done with them, by (app, host, port, TLS): a
//! client belongs to one app. Nothing is retried that a server may have acted on; redirects are the asker's business.

mod body;
mod error;
mod io;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use hyper::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderValue, TRANSFER_ENCODING};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

pub use body::{Incoming, Outgoing, Piece, Sender, channel, empty, full};
pub use error::{HttpError, Phase};
pub use hyper::body::{Body, Bytes, Frame, SizeHint};
pub use hyper::{Method, StatusCode, Uri, header};

use self::pool::{Open, Pool};
use super::{AddressFilter, Connector, Target};
use crate::limits::asking as limits;
use crate::limits::net::CONNECT_TIMEOUT;

/// Sends requests for one app; cheap to clone.
#[derive(Clone)]
pub struct Client {
    connector: Connector,
    pool: Arc<Pool>,
    places: Arc<Semaphore>,
}

/// How long things may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// To connect: for TCP, and again for TLS.
    pub connect: Duration,
    /// Until the answer begins.
    pub first_byte: Duration,
    /// From one piece of the answer's body to the next.
    pub between_bytes: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: CONNECT_TIMEOUT,
            first_byte: limits::FIRST_BYTE_TIMEOUT,
            between_bytes: limits::BETWEEN_BYTES_TIMEOUT,
        }
    }
}

/// What is asked.
pub struct Request {
    /// The method.
    pub method: Method,
    /// Whom.
    pub target: Target,
    /// Path and query, as they go over the wire.
    pub path: String,
    /// Headers; `Host` is added if it is not there.
    pub headers: HeaderMap,
    /// The body.
    pub body: Outgoing,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// What is answered. Dropped before its body's end, the connection is closed.
#[derive(Debug)]
pub struct Response {
    /// 200 and so on.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Incoming,
}

impl Client {
    /// Connects to nothing yet.
    pub fn new(connector: Connector) -> Self {
        let places = Arc::new(Semaphore::new(limits::REQUESTS_MAX));
        Self { connector, pool: Arc::default(), places }
    }

    /// Sends a request to an address that the filter allows, and waits for the head of the answer. Dropped half-way, the
    /// connection is closed.
    pub async fn send(
        &self,
        request: Request,
        filter: Option<&AddressFilter>,
    ) -> Result<Response, HttpError> {
        let Request { method, target, path, headers, body, timeouts } = request;
        let place = self.place(&timeouts).await?;
        let is_empty = body.is_end_stream();
        let is_safe = method.is_safe() && is_empty;
        let headers = framed(with_host(headers, &target)?, &method, &body)?;
        let head = Head { method, path, headers };
        let mut body = Some(body);
        loop {
            let kept = self.pool.take(&target);
            let was_kept = kept.is_some();
            let open = match kept {
                Some(open) => open,
                None => self.open(&target, filter, &timeouts).await?,
            };
            // It was given back, or there was nothing in it.
            let request = head.with(body.take().unwrap_or_else(empty))?;
            match exchange(open, request, &timeouts).await {
                Ok((open, answer)) => {
                    let (head, incoming) = answer.into_parts();
                    let back = self.pool.place_for(target, open);
                    let incoming = Incoming::new(incoming, back, place, timeouts.between_bytes);
                    return Ok(Response {
                        status: head.status,
                        headers: head.headers,
                        body: incoming,
                    });
                }
                // The server closed a kept connection before it saw any of this.
                Err(Failed { unsent: Some(again), .. }) if was_kept => body = Some(again),
                // The same, but it may have seen it; nothing comes of asking twice.
                Err(Failed { error: HttpError::Cut, .. }) if was_kept && is_safe => {}
                Err(Failed { error, .. }) => return Err(error),
            }
        }
    }

    async fn place(&self, timeouts: &Timeouts) -> Result<OwnedSemaphorePermit, HttpError> {
        let place = Arc::clone(&self.places).acquire_owned();
        let place = timeout(timeouts.connect, place).await;
        place.ok().and_then(Result::ok).ok_or(HttpError::Busy)
    }

    async fn open(
        &self,
        target: &Target,
        filter: Option<&AddressFilter>,
        timeouts: &Timeouts,
    ) -> Result<Open, HttpError> {
        Open::over(self.connector.connect(target, filter, timeouts.connect).await?).await
    }
}

/// A request without its body, for more than one try.
struct Head {
    method: Method,
    path: String,
    headers: HeaderMap,
}

impl Head {
    fn with(&self, body: Outgoing) -> Result<hyper::Request<Outgoing>, HttpError> {
        let uri = Uri::try_from(&self.path).map_err(|why| HttpError::Request(why.to_string()))?;
        let mut request = hyper::Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

/// A try that failed.
struct Failed {
    error: HttpError,
    /// The body, if nothing of the request was sent.
    unsent: Option<Outgoing>,
}

async fn exchange(
    mut open: Open,
    request: hyper::Request<Outgoing>,
    timeouts: &Timeouts,
) -> Result<(Open, hyper::Response<hyper::body::Incoming>), Failed> {
    let by = Instant::now() + timeouts.first_byte;
    match timeout_at(by, open.sender.try_send_request(request)).await {
        Err(_) => Err(Failed { error: HttpError::Timeout(Phase::FirstByte), unsent: None }),
        Ok(Ok(answer)) => Ok((open, answer)),
        Ok(Err(mut failed)) => {
            let unsent = failed.take_message().map(hyper::Request::into_body);
            Err(Failed { error: HttpError::of(&failed.into_error()), unsent })
        }
    }
}

/// Says where the body ends in one way, and truly: whoever reads a kept connection must not take the next request for
/// the rest of this one (RFC 9112, 6.3).
fn framed(
    mut headers: HeaderMap,
    method: &Method,
    body: &Outgoing,
) -> Result<HeaderMap, HttpError> {
    headers.remove(TRANSFER_ENCODING);
    if headers.get_all(CONTENT_LENGTH).iter().count() > 1 {
        return Err(HttpError::Request("it has more than one content-length".into()));
    }
    if let Some(said) = headers.get(CONTENT_LENGTH).filter(|_| !body.is_end_stream()) {
        let digits = said.to_str().ok().filter(|said| said.bytes().all(|b| b.is_ascii_digit()));
        let said: Option<u64> = digits.and_then(|digits| digits.parse().ok());
        if said.is_none() || body.size_hint().exact().is_some_and(|length| said != Some(length)) {
            let sentence = "its body has another length than its content-length says";
            return Err(HttpError::Request(sentence.into()));
        }
    }
    if body.is_end_stream() {
        headers.remove(CONTENT_LENGTH);
        // Some servers want to be told that there is nothing.
        if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
    }
    Ok(headers)
}

/// With the `Host` that the target has, unless there is one.
fn with_host(mut headers: HeaderMap, target: &Target) -> Result<HeaderMap, HttpError> {
    if !headers.contains_key(HOST) {
        let host = match target.host.contains(':') {
            true => format!("[{}]", target.host),
            false => target.host.clone(),
        };
        let usual = if target.secure { 443 } else { 80 };
        let value = match target.port == usual {
            true => host,
            false => format!("{host}:{}", target.port),
        };
        let value = value.try_into();
        let value = value.map_err(|_| HttpError::Request("a host that is none".into()))?;
        headers.insert(HOST, value);
    }
    Ok(headers)
}
