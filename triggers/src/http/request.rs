//! One request and its answer. What is no proper request is answered here and reaches nobody.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, Method, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

use super::pipe::Reader;
use super::source::{Broken, Source};
use super::wire::Part;
use crate::limits::http::RETRY_AFTER_SECONDS;

/// A request whose head has come.
#[derive(Debug)]
pub struct Request {
    /// What is asked.
    pub head: Head,
    /// What comes with it; nothing of it has been read.
    pub body: Arc<Source>,
    /// Who is to be answered.
    pub responder: Responder,
}

/// A request's head.
#[derive(Clone, Debug)]
pub struct Head {
    /// What to do.
    pub method: Method,
    /// Over what.
    pub scheme: Scheme,
    /// On which host, as the client calls it.
    pub authority: Authority,
    /// With what, beginning with a slash.
    pub path_and_query: String,
    /// The fields, `host` among them as it came.
    pub fields: HeaderMap,
    /// Whose; `None` over a Unix socket.
    pub client: Option<SocketAddr>,
}

impl Head {
    /// The path alone.
    pub fn path(&self) -> &str {
        self.path_and_query.split('?').next().unwrap_or_default()
    }
}

/// What goes out with an answer.
#[derive(Debug)]
pub enum Outgoing {
    /// All of it.
    Whole(Bytes),
    /// As it is made.
    Piped(Reader),
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// How it went.
    pub status: StatusCode,
    /// The fields.
    pub fields: HeaderMap,
    /// The body.
    pub body: Outgoing,
}

impl Answer {
    /// A status and nothing else.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, fields: HeaderMap::new(), body: Outgoing::Whole(Bytes::new()) }
    }

    /// There is no room now, but there will be.
    pub fn busy() -> Self {
        let mut answer = Self::empty(StatusCode::SERVICE_UNAVAILABLE);
        answer.fields.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        answer
    }

    /// Of a request whose body is broken.
    pub fn broken(broken: &Broken) -> Self {
        Self::empty(match broken {
            Broken::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Broken::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Broken::Cut(_) => StatusCode::BAD_REQUEST,
        })
    }
}

/// Who waits for an answer. Dropped without one, the client gets 500 and nothing else.
pub struct Responder {
    answer: Option<oneshot::Sender<Answer>>,
    /// Whether the client wants no body, whatever the answer.
    is_head: bool,
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Responder")
    }
}

impl Responder {
    /// Who answers a request of this method, and where the answer comes out.
    pub fn new(method: &Method) -> (Self, oneshot::Receiver<Answer>) {
        let (answer, answered) = oneshot::channel();
        (Self { answer: Some(answer), is_head: method == Method::HEAD }, answered)
    }

    /// Answers. Nothing happens if the client has left.
    pub fn answer(mut self, mut answer: Answer) {
        let has_none = matches!(answer.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        if self.is_head || has_none {
            match answer.body {
                Outgoing::Piped(reader) => reader.drain(),
                // What a GET would have got, if nobody says otherwise.
                Outgoing::Whole(bytes) if self.is_head && !bytes.is_empty() => {
                    let length = HeaderValue::from(bytes.len());
                    answer.fields.entry(header::CONTENT_LENGTH).or_insert(length);
                }
                Outgoing::Whole(_) => {}
            }
            answer.body = Outgoing::Whole(Bytes::new());
        }
        if let Some(to) = self.answer.take() {
            // Who has left needs no answer.
            let _ = to.send(answer);
        }
    }

    /// Whether the client is still there.
    pub fn is_awaited(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| !answer.is_closed())
    }
}

/// The answer's body as hyper takes it.
pub(super) struct Given {
    body: Outgoing,
    is_broken: bool,
    _part: Part,
}

impl Given {
    pub(super) fn new(body: Outgoing, part: Part) -> Self {
        Self { body, is_broken: false, _part: part }
    }
}

impl Body for Given {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let given = self.get_mut();
        let reader = match &mut given.body {
            Outgoing::Whole(bytes) if bytes.is_empty() => return Poll::Ready(None),
            Outgoing::Whole(bytes) => {
                return Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes)))));
            }
            Outgoing::Piped(reader) => reader,
        };
        match Pin::new(reader).poll_frame(context) {
            // What was given before goes out first; hyper drops it with the connection.
            Poll::Ready(Some(Err(_))) if !std::mem::replace(&mut given.is_broken, true) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Outgoing::Whole(bytes) => bytes.is_empty(),
            Outgoing::Piped(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Outgoing::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Outgoing::Piped(_) => SizeHint::default(),
        }
    }
}

/// The target and the host of a request (RFC 9112, 3.2), or how one without is answered.
pub(super) fn target(
    method: &Method,
    uri: &Uri,
    version: Version,
    fields: &HeaderMap,
) -> Result<(Authority, String), StatusCode> {
    if *method == Method::CONNECT {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    if fields
        .get(header::EXPECT)
        .is_some_and(|it| !it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
    {
        return Err(StatusCode::EXPECTATION_FAILED);
    }
    // A host and nothing else is for CONNECT alone (3.2.3).
    if uri.authority().is_some() && uri.scheme().is_none() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let mut hosts = fields.get_all(header::HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(authority(host.as_bytes()).ok_or(StatusCode::BAD_REQUEST)?),
        (None, _) if version == Version::HTTP_10 => None,
        _ => return Err(StatusCode::BAD_REQUEST),
    };
    // A target that says its host goes before the field (3.2.2).
    let authority = uri.authority().cloned().or(host.flatten());
    let authority = authority.unwrap_or_else(|| Authority::from_static("localhost"));
    if authority.as_str().contains('@') || !has_port_or_none(&authority) {
        return Err(StatusCode::BAD_REQUEST);
    }
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match (path.starts_with('/'), path) {
        (true, _) => Ok((authority, path.to_owned())),
        // Of the server as a whole: it has nothing to say.
        (false, "*") if *method == Method::OPTIONS => Err(StatusCode::NO_CONTENT),
        (false, path) if path.starts_with('?') => Ok((authority, format!("/{path}"))),
        _ => Err(StatusCode::BAD_REQUEST),
    }
}

/// What a `host` field says; empty where a target has no host.
fn authority(host: &[u8]) -> Option<Option<Authority>> {
    match host.is_empty() {
        true => Some(None),
        false => Authority::try_from(host).ok().filter(has_port_or_none).map(Some),
    }
}

/// Whether what stands behind the host is a port.
fn has_port_or_none(authority: &Authority) -> bool {
    let behind = &authority.as_str()[authority.host().len().min(authority.as_str().len())..];
    match behind.strip_prefix(':') {
        Some(port) => port.is_empty() || port.parse::<u16>().is_ok_and(|_| !port.starts_with('+')),
        None => behind.is_empty(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(method: &str, uri: &str, hosts: &[&str]) -> Result<String, u16> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let uri: Uri = uri.parse().unwrap();
        let mut fields = HeaderMap::new();
        for host in hosts {
            fields.append(header::HOST, host.parse().unwrap());
        }
        let target = target(&method, &uri, Version::HTTP_11, &fields);
        target.map(|(host, path)| format!("{host}{path}")).map_err(|status| status.as_u16())
    }

    #[test]
    fn a_target_has_one_host_and_says_it_in_one_way() {
        for (method, uri, hosts, expected) in [
            ("GET", "/a?b=c", &["h:1"][..], Ok("h:1/a?b=c")),
            ("GET", "http://other/a", &["h"], Ok("other/a")),
            ("GET", "http://other?x", &["h"], Ok("other/?x")),
            ("GET", "/", &[""], Ok("localhost/")),
            ("GET", "/", &[], Err(400)),
            ("GET", "/", &["h", "h"], Err(400)),
            ("GET", "/", &["a b"], Err(400)),
            ("GET", "/", &["user@h"], Err(400)),
            ("GET", "http://user@other/a", &["h"], Err(400)),
            ("OPTIONS", "*", &["h"], Err(204)),
            ("GET", "*", &["h"], Err(400)),
            ("CONNECT", "other:443", &["h"], Err(501)),
        ] {
            assert_eq!(asked(method, uri, hosts), expected.map(str::to_owned), "{method} {uri}");
        }
    }
}
