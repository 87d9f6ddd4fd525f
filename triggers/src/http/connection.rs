//! One connection, from its first byte to its last. While nothing is under way it keeps its socket and nothing else; hyper,
//! with its buffers, is there as long as requests follow each other.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::uri::Scheme;
use http::{StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use super::hall::Seat;
use super::request::{Answer, Given, Head, Request, Responder, target};
use super::source::Source;
use super::tls::Tls;
use super::wire::{Carrier, Pace, Part, Stage, Wire};
use crate::limits::http as limits;

/// Takes requests, each once. It must not wait.
pub type Handler = Arc<dyn Fn(Request) + Send + Sync>;

/// What all connections of a listener have in common.
#[derive(Clone)]
pub(super) struct Manner {
    pub(super) handler: Handler,
    pub(super) scheme: Scheme,
    pub(super) tls: Option<Tls>,
    pub(super) rested: Rested,
    pub(super) body_bytes_max: u64,
}

/// Who is told when a connection let go of its buffers.
#[derive(Clone, Default)]
pub(super) struct Rested(pub(super) Option<Arc<dyn Fn() + Send + Sync>>);

impl std::fmt::Debug for Rested {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rested")
    }
}

/// How a stretch of requests ended.
enum Ended {
    /// The connection is over, or broken.
    Over,
    /// Nothing is under way.
    Quiet,
    /// The client is late.
    Late,
}

/// Serves a connection to its end. Dropped half-way, the connection is cut.
pub(super) async fn serve(mut wire: Wire, client: Option<SocketAddr>, manner: Manner, seat: Seat) {
    let pace = Arc::clone(&seat.pace);
    let (mut patience, mut is_new) = (limits::HEAD_TIME, true);
    loop {
        let begins = tokio::select! {
            biased;
            begins = wire.begins() => matches!(begins, Ok(true)),
            () = sleep(patience) => false,
            () = seat.is_to_leave() => false,
            () = house_closes(&seat, is_new) => false,
        };
        if !begins {
            return;
        }
        (patience, is_new) = (limits::IDLE_TIME, false);
        pace.enter(Stage::Head(Instant::now()));
        // Apart, so that a connection that is idle is small.
        let next = Box::pin(requests(wire, client, &manner, &pace, &seat)).await;
        if let Some(tell) = &manner.rested.0 {
            tell();
        }
        match next {
            Some(quiet) => wire = quiet,
            None => return,
        }
    }
}

/// Waits until the house closes; who has just come may ask one thing before that.
async fn house_closes(seat: &Seat, is_new: bool) {
    seat.house_closes().await;
    if is_new {
        sleep(limits::DRAIN_TIME).await;
    }
}

/// Requests that follow each other. The connection, if it goes on.
async fn requests(
    wire: Wire,
    client: Option<SocketAddr>,
    manner: &Manner,
    pace: &Arc<Pace>,
    seat: &Seat,
) -> Option<Wire> {
    let service = Service { manner: manner.clone(), client, pace: Arc::clone(pace) };
    let mut connection = http1::Builder::new()
        .half_close(true)
        .header_read_timeout(None)
        .max_buf_size(limits::HEAD_BYTES_MAX)
        .max_header_size(limits::HEAD_BYTES_MAX)
        .serve_connection(wire, service);
    let ended = {
        let mut leave = pin!(seat.house_closes());
        let mut make_room = pin!(seat.is_to_leave());
        let mut is_leaving = false;
        let mut alarm = pin!(sleep_until(Instant::now() + limits::HEAD_TIME));
        poll_fn(|context| {
            if connection.poll_without_shutdown(context).is_ready() {
                return Poll::Ready(Ended::Over);
            }
            // Only now: hyper closes at once what it has read nothing of.
            if !is_leaving && leave.as_mut().poll(context).is_ready() {
                is_leaving = true;
                Pin::new(&mut connection).graceful_shutdown();
                context.waker().wake_by_ref();
            }
            if make_room.as_mut().poll(context).is_ready() {
                return Poll::Ready(Ended::Late);
            }
            ready!(poll_late(alarm.as_mut(), pace, context));
            Poll::Ready(match pace.stage() {
                Stage::Idle(_) => Ended::Quiet,
                _ => Ended::Late,
            })
        })
        .await
    };
    let stage = pace.stage();
    let parts = connection.into_parts();
    let mut wire = parts.io;
    match ended {
        Ended::Quiet if parts.read_buf.is_empty() => return Some(wire),
        Ended::Over if pace.is_at_end() => {}
        Ended::Over => linger(&mut wire).await,
        Ended::Late if matches!(stage, Stage::Idle(_)) && parts.read_buf.is_empty() => {}
        Ended::Quiet | Ended::Late if !matches!(stage, Stage::Request | Stage::Answered) => {
            let farewell = timeout(limits::LINGER_TIME, wire.carrier().write_all(LATE)).await;
            if matches!(farewell, Ok(Ok(()))) {
                linger(&mut wire).await;
            }
        }
        Ended::Quiet | Ended::Late => {}
    }
    None
}

const LATE: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Ready when the client is late. The alarm is set again only if it would come too late.
fn poll_late(
    mut alarm: Pin<&mut tokio::time::Sleep>,
    pace: &Pace,
    context: &mut Context<'_>,
) -> Poll<()> {
    loop {
        let Some(due) = pace.due() else { return Poll::Pending };
        if due < alarm.deadline() || alarm.is_elapsed() {
            alarm.as_mut().reset(due);
        }
        ready!(alarm.as_mut().poll(context));
        if pace.due().is_some_and(|due| due <= Instant::now()) {
            return Poll::Ready(());
        }
    }
}

/// Says that nothing more comes, and reads for a moment what the client still sends: to close at once would take the
/// answer away from under it (RFC 9112, 9.6).
async fn linger(wire: &mut Wire) {
    let rest = async {
        if wire.carrier().shutdown().await.is_err() {
            return;
        }
        let (mut room, mut left) = ([0; 1024], limits::LINGER_BYTES);
        while let Ok(count) = wire.carrier().read(&mut room).await {
            left = left.saturating_sub(count);
            if count == 0 || left == 0 {
                return;
            }
        }
    };
    // Who sends on after that has been told.
    let _ = timeout(limits::LINGER_TIME, rest).await;
}

/// Says to a client for which there is no room that it should come again.
pub(super) async fn turn_away(mut carrier: impl Carrier + Unpin) {
    let seconds = limits::RETRY_AFTER_SECONDS;
    let sentence = format!(
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: {seconds}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    );
    // Who does not take even that has no answer.
    let _ = timeout(limits::LINGER_TIME, carrier.write_all(sentence.as_bytes())).await;
}

/// Hands requests out and takes the answers.
struct Service {
    manner: Manner,
    client: Option<SocketAddr>,
    pace: Arc<Pace>,
}

type Answering = Pin<Box<dyn Future<Output = Result<http::Response<Given>, Infallible>> + Send>>;

impl hyper::service::Service<http::Request<Incoming>> for Service {
    type Response = http::Response<Given>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: http::Request<Incoming>) -> Answering {
        self.pace.enter(Stage::Request);
        let part = Part::of(&self.pace);
        let answered = self.hand_out(request);
        Box::pin(async move {
            let answer = match answered {
                Ok(answered) => answered
                    .await
                    .unwrap_or_else(|_| Answer::empty(StatusCode::INTERNAL_SERVER_ERROR)),
                Err(status) => Answer::empty(status),
            };
            let mut response = http::Response::new(Given::new(answer.body, part));
            *response.status_mut() = answer.status;
            *response.headers_mut() = answer.fields;
            Ok(response)
        })
    }
}

impl Service {
    /// Hands a request out; or how it is answered, if there is nothing to hand out.
    fn hand_out(
        &self,
        request: http::Request<Incoming>,
    ) -> Result<oneshot::Receiver<Answer>, StatusCode> {
        let (parts, body) = request.into_parts();
        let Manner { handler, scheme, body_bytes_max, .. } = &self.manner;
        let (authority, path_and_query) =
            target(&parts.method, &parts.uri, parts.version, &parts.headers)?;
        if body.size_hint().lower() > *body_bytes_max {
            return Err(StatusCode::PAYLOAD_TOO_LARGE);
        }
        let body = match body.is_end_stream() {
            true => Source::whole(Bytes::new()),
            false => {
                let (pace, part) = (Arc::clone(&self.pace), Part::of(&self.pace));
                Source::new(Coming { body, pace, _part: part }, *body_bytes_max)
            }
        };
        let (responder, answered) = Responder::new(&parts.method);
        let mut fields = parts.headers;
        if parts.version == Version::HTTP_10 && !fields.contains_key(header::HOST) {
            // Guests may rely on it.
            if let Ok(host) = authority.as_str().parse() {
                fields.insert(header::HOST, host);
            }
        }
        let (method, client) = (parts.method, self.client);
        let scheme = scheme.clone();
        let head = Head { method, scheme, authority, path_and_query, fields, client };
        handler(Request { head, body: Arc::new(body), responder });
        Ok(answered)
    }
}

/// A request's body, which keeps its connection from being idle.
struct Coming {
    body: Incoming,
    pace: Arc<Pace>,
    _part: Part,
}

impl Body for Coming {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.pace.body(frame.is_pending());
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
