//! `wasi:http/types@0.3`: requests and answers whose bodies are streams, and whose ends are futures. The guest returns its
//! answer; what it still has to write, it writes while the answer is on its way (`flows.rs`).

use std::sync::Arc;

use http::{HeaderMap, Method as HttpMethod, StatusCode};
use pirn_triggers::http::{Request, Responder, Source};
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::fields::{Entry, Fields, HeaderError};
use super::flows::{self, Sent, Trailers};
use super::options::RequestOptions;
use super::words::{ErrorCode, Method, Scheme};
use super::{Door, Host, Interface};
use crate::engine::door::Answer;
use crate::engine::streams::{Promise, Resolver, Stream, promise};
use crate::engine::wire::wire;
use crate::host::wasi::interface_of_3;

/// `resource request`
pub struct ServiceRequest {
    pub(super) method: HttpMethod,
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Option<String>,
    pub(super) path_and_query: Option<String>,
    pub(super) fields: HeaderMap,
    pub(super) options: Option<RequestOptions>,
    pub(super) message: Message,
}

/// `resource response`
pub struct ServiceResponse {
    pub(super) status: StatusCode,
    pub(super) fields: HeaderMap,
    pub(super) message: Message,
}

/// What comes with a head.
pub(super) struct Message {
    pub(super) body: Body,
    pub(super) trailers: Option<Promise<Trailers>>,
    /// Who is told how it was sent.
    pub(super) sent: Option<Resolver<Sent>>,
}

/// Where a body comes from.
pub(super) enum Body {
    /// There is none.
    Nothing,
    /// From a guest.
    Guest(Stream<u8>),
    /// From a client.
    Client(Arc<Source>),
}

wire! {
    /// `variant header-error`, cases in the order of the WIT of 0.3.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum FieldError {
        #[component(name = "invalid-syntax")]
        InvalidSyntax,
        #[component(name = "forbidden")]
        Forbidden,
        #[component(name = "immutable")]
        Immutable,
        #[component(name = "size-exceeded")]
        SizeExceeded,
        #[component(name = "other")]
        Other(Option<String>),
    }
}

impl From<HeaderError> for FieldError {
    fn from(error: HeaderError) -> Self {
        match error {
            HeaderError::InvalidSyntax => Self::InvalidSyntax,
            HeaderError::Forbidden => Self::Forbidden,
            HeaderError::Immutable => Self::Immutable,
        }
    }
}

impl Host {
    /// A request for the guest, which returns its answer; and who is to be answered.
    pub fn receive_for_service(
        &self,
        request: Request,
    ) -> Answer<(Resource<ServiceRequest>, Responder)> {
        let Request { head, body, responder } = request;
        self.exchange().asks(&body);
        let message = Message { body: Body::Client(body), trailers: None, sent: None };
        let request = ServiceRequest {
            scheme: Some(Scheme::from(&head.scheme)),
            authority: Some(head.authority.to_string()),
            path_and_query: Some(head.path_and_query),
            method: head.method,
            fields: head.fields,
            options: None,
            message,
        };
        Ok((self.push(request)?, responder))
    }

    /// The guest has answered. What it writes from now on is passed on as it comes.
    pub fn respond(
        &self,
        responder: Responder,
        answer: Result<Resource<ServiceResponse>, ErrorCode>,
    ) {
        self.exchange().answered();
        match answer.map(|response| self.take(response)) {
            Ok(Ok(ServiceResponse { status, fields, message })) => {
                flows::pass_on(self.clone(), responder, (status, fields), message);
            }
            Ok(Err(_)) => super::incoming::fail(self, responder, "with nothing of its own"),
            Err(code) => {
                super::incoming::fail(self, responder, &format!("with an error: {code:?}"));
            }
        }
    }
}

type Headers = Resource<Fields>;
type Asked = Resource<ServiceRequest>;
type Told = Resource<ServiceResponse>;
type Coming = (Stream<u8>, Promise<Trailers>);

pub(super) fn offer(door: &mut Door, version: &str) -> Answer<()> {
    let mut types = interface_of_3(door, "http/types", version)?;
    offer_fields(&mut types)?;
    super::options::offer(&mut types)?;
    offer_request(&mut types)?;
    offer_response(&mut types)
}

fn offer_fields(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<Fields>("fields")?;
    types.at_once("[constructor]fields", |host: &Host, ()| Ok((host.push(Fields::default())?,)))?;
    types.at_once("[static]fields.from-list", |host: &Host, (entries,): (Vec<Entry>,)| {
        Ok((match Fields::of(entries)? {
            Ok(fields) => Ok(host.push(fields)?),
            Err(error) => Err(FieldError::from(error)),
        },))
    })?;
    types.at_once("[method]fields.get", |host: &Host, (fields, name): (Headers, String)| {
        Ok((host.with(&fields, |fields| fields.get(&name))?,))
    })?;
    types.at_once("[method]fields.has", |host: &Host, (fields, name): (Headers, String)| {
        Ok((host.with(&fields, |fields| fields.has(&name))?,))
    })?;
    types.at_once("[method]fields.set", set)?;
    types.at_once("[method]fields.delete", |host: &Host, (fields, name): (Headers, String)| {
        let deleted = host.with(&fields, |fields| fields.delete(&name))?;
        Ok((deleted.map_err(FieldError::from),))
    })?;
    types.at_once(
        "[method]fields.get-and-delete",
        |host: &Host, (fields, name): (Headers, String)| {
            let taken = host.with(&fields, |fields| {
                let values = fields.get(&name);
                fields.delete(&name).map(|()| values)
            })?;
            Ok((taken.map_err(FieldError::from),))
        },
    )?;
    types.at_once("[method]fields.append", append)?;
    types.at_once("[method]fields.copy-all", |host: &Host, (fields,): (Headers,)| {
        Ok((host.with(&fields, |fields| fields.entries())?,))
    })?;
    types.at_once("[method]fields.clone", |host: &Host, (fields,): (Headers,)| {
        let copy = host.with(&fields, |fields| fields.thawed())?;
        Ok((host.push(copy)?,))
    })
}

type Written = Answer<(Result<(), FieldError>,)>;

fn set(host: &Host, (fields, name, values): (Headers, String, Vec<Vec<u8>>)) -> Written {
    let set = host.with(&fields, |fields| fields.set(&name, &values))??;
    Ok((set.map_err(FieldError::from),))
}

fn append(host: &Host, (fields, name, value): (Headers, String, Vec<u8>)) -> Written {
    let appended = host.with(&fields, |fields| fields.append(&name, &value))??;
    Ok((appended.map_err(FieldError::from),))
}

type NewRequest =
    (Headers, Option<Stream<u8>>, Promise<Trailers>, Option<Resource<RequestOptions>>);

fn offer_request(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<ServiceRequest>("request")?;
    types.at_once("[static]request.new", new_request)?;
    types.at_once("[method]request.get-method", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| Method::from(&asked.method))?,))
    })?;
    types.at_once(
        "[method]request.set-method",
        |host: &Host, (asked, method): (Asked, Method)| {
            let set = |asked: &mut ServiceRequest| {
                asked.method = method.token()?;
                Some(())
            };
            Ok((host.with(&asked, set)?.ok_or(()),))
        },
    )?;
    types.at_once("[method]request.get-path-with-query", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| asked.path_and_query.clone())?,))
    })?;
    types.at_once("[method]request.set-path-with-query", set_path)?;
    types.at_once("[method]request.get-scheme", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| asked.scheme.clone())?,))
    })?;
    types.at_once("[method]request.set-scheme", set_scheme)?;
    types.at_once("[method]request.get-authority", |host: &Host, (asked,): (Asked,)| {
        Ok((host.with(&asked, |asked| asked.authority.clone())?,))
    })?;
    types.at_once("[method]request.set-authority", set_authority)?;
    types.at_once("[method]request.get-options", |host: &Host, (asked,): (Asked,)| {
        let options =
            host.with(&asked, |asked| asked.options.as_ref().map(RequestOptions::frozen))?;
        Ok((options.map(|options| host.push(options)).transpose()?,))
    })?;
    types.at_once("[method]request.get-headers", |host: &Host, (asked,): (Asked,)| {
        let fields = host.with(&asked, |asked| Fields::frozen(asked.fields.clone()))?;
        Ok((host.push(fields)?,))
    })?;
    types.at_once(
        "[static]request.consume-body",
        |host: &Host, (asked, _): (Asked, Promise<Sent>)| {
            let ServiceRequest { message, .. } = host.take(asked)?;
            Ok((flows::consumed(host, message),))
        },
    )
}

fn new_request(
    host: &Host,
    (fields, body, trailers, options): NewRequest,
) -> Answer<((Asked, Promise<Sent>),)> {
    let (sent, told) = promise();
    let body = body.map_or(Body::Nothing, Body::Guest);
    let request = ServiceRequest {
        method: HttpMethod::GET,
        scheme: None,
        authority: None,
        path_and_query: None,
        fields: host.take(fields)?.into_map(),
        options: options.map(|options| host.take(options)).transpose()?,
        message: Message { body, trailers: Some(trailers), sent: Some(sent) },
    };
    Ok(((host.push(request)?, told),))
}

type Fits = Answer<(Result<(), ()>,)>;

fn set_path(host: &Host, (asked, path): (Asked, Option<String>)) -> Fits {
    let is_fine =
        path.as_deref().is_none_or(|path| path.parse::<http::uri::PathAndQuery>().is_ok());
    set_if(host, &asked, is_fine, |asked| asked.path_and_query = path)
}

fn set_scheme(host: &Host, (asked, scheme): (Asked, Option<Scheme>)) -> Fits {
    let is_fine = match &scheme {
        Some(Scheme::Other(name)) => name.parse::<http::uri::Scheme>().is_ok(),
        _ => true,
    };
    set_if(host, &asked, is_fine, |asked| asked.scheme = scheme)
}

fn set_authority(host: &Host, (asked, authority): (Asked, Option<String>)) -> Fits {
    let is_fine = authority.as_deref().is_none_or(|it| it.parse::<http::uri::Authority>().is_ok());
    set_if(host, &asked, is_fine, |asked| asked.authority = authority)
}

fn set_if(
    host: &Host,
    asked: &Asked,
    is_fine: bool,
    set: impl FnOnce(&mut ServiceRequest),
) -> Fits {
    if is_fine {
        host.with(asked, set)?;
    }
    Ok((is_fine.then_some(()).ok_or(()),))
}

fn offer_response(types: &mut Interface<'_>) -> Answer<()> {
    types.resource::<ServiceResponse>("response")?;
    types.at_once("[static]response.new", new_response)?;
    types.at_once("[method]response.get-status-code", |host: &Host, (told,): (Told,)| {
        Ok((host.with(&told, |told| told.status.as_u16())?,))
    })?;
    types.at_once(
        "[method]response.set-status-code",
        |host: &Host, (told, status): (Told, u16)| {
            // An answer is final: what only informs (1xx) is none.
            let status =
                StatusCode::from_u16(status).ok().filter(|status| !status.is_informational());
            let set = |told: &mut ServiceResponse| {
                told.status = status?;
                Some(())
            };
            Ok((host.with(&told, set)?.ok_or(()),))
        },
    )?;
    types.at_once("[method]response.get-headers", |host: &Host, (told,): (Told,)| {
        let fields = host.with(&told, |told| Fields::frozen(told.fields.clone()))?;
        Ok((host.push(fields)?,))
    })?;
    types.at_once(
        "[static]response.consume-body",
        |host: &Host, (told, _): (Told, Promise<Sent>)| -> Answer<(Coming,)> {
            let ServiceResponse { message, .. } = host.take(told)?;
            Ok((flows::consumed(host, message),))
        },
    )
}

fn new_response(
    host: &Host,
    (fields, body, trailers): (Headers, Option<Stream<u8>>, Promise<Trailers>),
) -> Answer<((Told, Promise<Sent>),)> {
    let (sent, told) = promise();
    let body = body.map_or(Body::Nothing, Body::Guest);
    let response = ServiceResponse {
        status: StatusCode::OK,
        fields: host.take(fields)?.into_map(),
        message: Message { body, trailers: Some(trailers), sent: Some(sent) },
    };
    Ok(((host.push(response)?, told),))
}
