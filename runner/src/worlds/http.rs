//! The HTTP world. Three interfaces: `wasi:http/incoming-handler@0.2`, whichever 0.2 a component was built for (the draft
//! of Spin 2 too), in which the guest is given a request and a place for its answer, both the host's;
//! `wasi:http/handler@0.3`, whose guest returns its answer; and `fermyon:spin/inbound-http` of old guests, in which both
//! are values, whole.

use bytes::Bytes;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Call, Outcome, WorldError};
use crate::engine::wire::{Wire, wire};
use crate::engine::{Component, Export, Holds};

/// A component that answers requests.
pub(super) enum HttpWorld {
    /// As WASI has it.
    Handler(Export),
    /// As WASI has it since 0.3.
    Service(Export),
    /// As Spin 1 had it.
    Whole(Export),
}

const HANDLER: &str = "wasi:http/incoming-handler@0.2.0";
/// The same in the draft that components of Spin 2 were made for.
const DRAFT: &str = "wasi:http/incoming-handler@0.2.0-rc-2023-10-18";
/// The release, and its last draft.
const SERVICES: [&str; 2] = ["wasi:http/handler@0.3.0", "wasi:http/handler@0.3.0-rc-2026-03-15"];
const WHOLE: &str = "fermyon:spin/inbound-http";

wire! {
    /// `enum method`, in the order of the WIT.
    #[derive(Clone, Copy, Debug, ComponentType, Lower)]
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
    #[derive(Clone, Debug, ComponentType, Lower)]
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
    #[derive(Clone, Debug, ComponentType, Lift)]
    #[component(record)]
    struct Response {
        status: u16,
        headers: Option<Pairs>,
        body: Option<Bytes>,
    }
}

/// A request as a whole, for guests that take it so.
#[derive(Clone, Debug)]
pub struct WholeRequest {
    /// What to do, in capitals.
    pub method: String,
    /// Path and query.
    pub uri: String,
    /// Fields that are text.
    pub fields: Vec<(String, String)>,
    /// What the query says.
    pub params: Vec<(String, String)>,
    /// All of it.
    pub body: Bytes,
}

/// The answer of such a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeAnswer {
    /// How it went.
    pub status: u16,
    /// Fields.
    pub fields: Vec<(String, String)>,
    /// All of it.
    pub body: Bytes,
}

impl HttpWorld {
    pub(super) fn of<H: Holds>(component: &Component<H>) -> Result<Self, WorldError> {
        let names = component.export_names();
        if names.iter().any(|name| name == WHOLE) {
            let shape = "func(record { method: enum { get, post, put, delete, patch, head, options }, uri: string, headers: list<tuple<string, string>>, params: list<tuple<string, string>>, body: option<list<u8>> }) -> record { status: u16, headers: option<list<tuple<string, string>>>, body: option<list<u8>> }";
            let export = super::member(component, "http", (WHOLE, "handle-request"), shape)?;
            return Ok(Self::Whole(export));
        }
        for service in SERVICES {
            if component.exported_member(service, "handle").is_some() {
                let export = super::member(component, "http", (service, "handle"), SERVICE_SHAPE)?;
                return Ok(Self::Service(export));
            }
        }
        let is_draft = names.iter().any(|name| name == DRAFT);
        let handler = if is_draft { DRAFT } else { HANDLER };
        super::member(component, "http", (handler, "handle"), "func(own, own)").map(Self::Handler)
    }
}

/// Calls a guest that is given a place for its answer. The answer is not in what this returns: the guest has given it
/// meanwhile, or has not.
pub(super) async fn handle<H, Q, A>(
    export: Export,
    call: Call<'_, H>,
    request: Resource<Q>,
    answer: Resource<A>,
) -> Outcome
where
    H: Holds,
    Q: Send + 'static,
    A: Send + 'static,
{
    let Call { component, host, allowance } = call;
    let ended = component.call::<_, ()>(export, host, allowance, (request, answer)).await;
    Outcome::of(ended.map(|()| Ok(())))
}

/// Calls a guest that takes a request whole. `None` is no answer.
pub(super) async fn handle_whole<H: Holds>(
    export: Export,
    call: Call<'_, H>,
    request: WholeRequest,
) -> (Outcome, Option<WholeAnswer>) {
    let method = match request.method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        // The interface has no word for any other.
        _ => {
            let answer = WholeAnswer { status: 405, fields: Vec::new(), body: Bytes::new() };
            return (Outcome::Done, Some(answer));
        }
    };
    let WholeRequest { uri, fields: headers, params, body, .. } = request;
    let request = Request { method, uri, headers, params, body: Some(body) };
    let Call { component, host, allowance } = call;
    let ended = component.call::<_, (Response,)>(export, host, allowance, (request,)).await;
    match ended {
        Ok((Response { status, headers, body },)) => {
            let (fields, body) = (headers.unwrap_or_default(), body.unwrap_or_default());
            (Outcome::Done, Some(WholeAnswer { status, fields, body }))
        }
        Err(fault) => (Outcome::of(Err(fault)), None),
    }
}

/// Calls a guest that returns its answer: `answered` is told as soon as it is there, and the guest goes on until all that
/// it does is done.
pub(super) async fn serve<H, Q, A, E>(
    export: Export,
    call: Call<'_, H>,
    request: Resource<Q>,
    answered: impl FnOnce(Result<Resource<A>, E>) + Send,
) -> Outcome
where
    H: Holds,
    Q: Send + 'static,
    A: Send + 'static,
    E: ComponentType + Lift + Wire + Send + Sync + 'static,
{
    let Call { component, host, allowance } = call;
    let told = |(result,): (Result<Resource<A>, E>,)| answered(result);
    let ended = component.call_and_go_on(export, host, allowance, (request,), told).await;
    Outcome::of(ended.map(|()| Ok(())))
}

/// `handle: async func(request: request) -> result<response, error-code>`
const SERVICE_SHAPE: &str = "func(own) -> result<own, variant { DNS-timeout, DNS-error(record { rcode: option<string>, info-code: \
    option<u16> }), destination-not-found, destination-unavailable, destination-IP-prohibited, \
    destination-IP-unroutable, connection-refused, connection-terminated, connection-timeout, \
    connection-read-timeout, connection-write-timeout, connection-limit-reached, TLS-protocol-error, \
    TLS-certificate-error, TLS-alert-received(record { alert-id: option<u8>, alert-message: \
    option<string> }), HTTP-request-denied, HTTP-request-length-required, \
    HTTP-request-body-size(option<u64>), HTTP-request-method-invalid, HTTP-request-URI-invalid, \
    HTTP-request-URI-too-long, HTTP-request-header-section-size(option<u32>), \
    HTTP-request-header-size(option<record { field-name: option<string>, field-size: option<u32> }>), \
    HTTP-request-trailer-section-size(option<u32>), HTTP-request-trailer-size(record { field-name: \
    option<string>, field-size: option<u32> }), HTTP-response-incomplete, \
    HTTP-response-header-section-size(option<u32>), HTTP-response-header-size(record { field-name: \
    option<string>, field-size: option<u32> }), HTTP-response-body-size(option<u64>), \
    HTTP-response-trailer-section-size(option<u32>), HTTP-response-trailer-size(record { field-name: \
    option<string>, field-size: option<u32> }), HTTP-response-transfer-coding(option<string>), \
    HTTP-response-content-coding(option<string>), HTTP-response-timeout, HTTP-upgrade-failed, \
    HTTP-protocol-error, loop-detected, configuration-error, internal-error(option<string>) }>";
