//! `fermyon:spin/http`: requests of components that were made for Spin 1. Whole in memory, both ways, and so with a cap;
//! what streams is `wasi:http`.

use bytes::Bytes;
use pirn_triggers::net::http::header::{HeaderMap, HeaderName, HeaderValue};
use pirn_triggers::net::http::{
    self, HttpError, Method as WireMethod, Response as WireResponse, Timeouts,
};
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Ask, AskError, Url};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::host::{Door, Host};
use crate::limits::outbound::FETCHED_BYTES_MAX;
use crate::report::Report;

wire! {
    /// `enum method`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    enum Method {
        #[component(name = "get")]
        Get,
        #[component(name = "post")]
        Post,
        #[component(name = "put")]
        Put,
        #[component(name = "delete")]
        Delete,
        #[component(name = "patch")]
        Patch,
        #[component(name = "head")]
        Head,
        #[component(name = "options")]
        Options,
    }
}

type Pairs = Vec<(String, String)>;

wire! {
    /// `record request`.
    #[derive(Clone, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct Request {
        method: Method,
        uri: String,
        headers: Pairs,
        params: Pairs,
        body: Option<Bytes>,
    }
}

wire! {
    /// `record response`.
    #[derive(Clone, Debug, ComponentType, Lift, Lower)]
    #[component(record)]
    struct Response {
        status: u16,
        headers: Option<Pairs>,
        body: Option<Bytes>,
    }
}

wire! {
    /// `enum http-error`, cases in the order of the WIT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "the guest's type has them all")]
    enum Code {
        #[component(name = "success")]
        Success,
        #[component(name = "destination-not-allowed")]
        DestinationNotAllowed,
        #[component(name = "invalid-url")]
        InvalidUrl,
        #[component(name = "request-error")]
        RequestError,
        #[component(name = "runtime-error")]
        RuntimeError,
        #[component(name = "too-many-requests")]
        TooManyRequests,
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    door.interface("fermyon:spin/http")?.waiting(Twin::Sync, "send-request", send_request)
}

async fn send_request(host: Host, (request,): (Request,)) -> Answer<(Result<Response, Code>,)> {
    Ok((send(&host, request).await,))
}

async fn send(host: &Host, request: Request) -> Result<Response, Code> {
    let uri = request.uri.clone();
    let answered = async {
        let answer = host.grants().ask(ask(request)?).await.map_err(Why::Asking)?;
        whole(answer).await.map_err(Why::Answer)
    };
    answered.await.map_err(|why| {
        // The guest's type has no words for it; the log has.
        if let Some(sentence) = why.sentence() {
            let grants = host.grants();
            let sentence = format!("{}: a request to {uri}: {sentence}", grants.component);
            grants.reporter.report(&Report::Note(&sentence));
        }
        why.code()
    })
}

/// What went wrong.
enum Why {
    Request(Code),
    Asking(AskError),
    Answer(HttpError),
}

impl Why {
    fn sentence(&self) -> Option<String> {
        match self {
            Self::Request(_) => None,
            Self::Asking(error) => Some(error.to_string()),
            Self::Answer(error) => Some(error.to_string()),
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Request(code) => *code,
            Self::Asking(AskError::Denied(_)) => Code::DestinationNotAllowed,
            Self::Asking(AskError::Scheme(_)) => Code::InvalidUrl,
            Self::Asking(AskError::NobodyInside) => Code::RuntimeError,
            Self::Asking(AskError::Http(error)) | Self::Answer(error) => of_http(error),
        }
    }
}

fn of_http(error: &HttpError) -> Code {
    use pirn_triggers::net::DialError;
    match error {
        HttpError::Dial(DialError::NotPermitted { .. }) => Code::DestinationNotAllowed,
        HttpError::Busy => Code::TooManyRequests,
        HttpError::Request(_) => Code::RequestError,
        _ => Code::RuntimeError,
    }
}

/// `params` is of no effect, as in Spin: a query is part of the address.
fn ask(request: Request) -> Result<Ask, Why> {
    let Request { method, uri, headers, params: _, body } = request;
    Ok(Ask {
        method: match method {
            Method::Get => WireMethod::GET,
            Method::Post => WireMethod::POST,
            Method::Put => WireMethod::PUT,
            Method::Delete => WireMethod::DELETE,
            Method::Patch => WireMethod::PATCH,
            Method::Head => WireMethod::HEAD,
            Method::Options => WireMethod::OPTIONS,
        },
        url: Url::parse(&uri).map_err(|_| Why::Request(Code::InvalidUrl))?,
        headers: header_map(headers).ok_or(Why::Request(Code::RequestError))?,
        body: http::full(body.unwrap_or_default()),
        timeouts: Timeouts::default(),
    })
}

/// What a guest may say about the connection or the body's length is ours to say.
fn header_map(pairs: Pairs) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    for (name, value) in pairs {
        let name = HeaderName::try_from(name).ok()?;
        if !super::is_hop_by_hop(&name) {
            headers.append(name, HeaderValue::try_from(value).ok()?);
        }
    }
    Some(headers)
}

async fn whole(answer: WireResponse) -> Result<Response, HttpError> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let pairs = answer.headers.iter().map(|(name, value)| (name.to_string(), text(value)));
    let (status, headers) = (answer.status.as_u16(), pairs.collect());
    let body = answer.body.all(FETCHED_BYTES_MAX).await?;
    Ok(Response { status, headers: Some(headers), body: Some(body) })
}
