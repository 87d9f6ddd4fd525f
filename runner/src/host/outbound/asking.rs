//! A request of a guest's on its way to whoever it is for. One way for every interface that sends requests, so that
//! none of them grants what another refuses.

use std::future::Future;
use std::pin::Pin;

use pirn_triggers::net::Target;
use pirn_triggers::net::http::header::HeaderMap;
use pirn_triggers::net::http::{HttpError, Method, Outgoing, Request, Response, Timeouts};

use super::Url;
use crate::host::{Grants, locked};

/// What a guest asks.
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Whom.
    pub url: Url,
    /// Headers, as the guest has them.
    pub headers: HeaderMap,
    /// The body.
    pub body: Outgoing,
    /// How long things may take.
    pub timeouts: Timeouts,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// The component is not granted whom it asks.
    #[error("{0} is not permitted: see allowed_outbound_hosts")]
    Denied(String),
    /// No scheme that requests go by.
    #[error("requests go by http or https, not by {0:?}")]
    Scheme(String),
    /// Nothing within this process answers requests.
    #[error("nothing in this app answers requests")]
    NobodyInside,
    /// The request or its answer failed.
    #[error(transparent)]
    Http(#[from] HttpError),
}

/// Whom a request within the process is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inside {
    /// Whoever the app's routes say.
    Routes,
    /// This component: service chaining.
    Component(String),
}

/// The way back into the app: whoever serves its requests from outside fills this, with
/// [`Outbound::open_inward`](super::Outbound::open_inward).
pub trait Inward: Send + Sync {
    /// Has a request answered as if it had come from outside. `None` if there is no such component or route. Dropped
    /// half-way, as if a client had gone.
    fn ask(&self, to: Inside, request: Request) -> Option<Answering>;
}

/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response, HttpError>> + Send>>;

/// Names below this are components of the app.
const CHAINED: &str = ".spin.internal";

impl Grants {
    /// Whom a request is sent to, if it may be sent.
    pub(in crate::host) fn permits(&self, ask: &Ask) -> Result<Target, AskError> {
        let url = &ask.url;
        let secure = match url.scheme.as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(AskError::Scheme(url.scheme.clone())),
        };
        let asked = if url.host.is_empty() { "self" } else { &url.host };
        // The port that the scheme implies is what the grant is compared with, too.
        let port = url.port.unwrap_or(if secure { 443 } else { 80 });
        let named = if inside(&url.host).is_some() { url.port } else { Some(port) };
        match self.hosts.permits(&url.scheme, asked, named) {
            true => Ok(Target { host: asked.to_owned(), port, secure }),
            false => Err(AskError::Denied(format!("{}://{asked}:{port}", url.scheme))),
        }
    }

    /// Sends a guest's request, if it may be sent, and waits for the head of the answer.
    pub(in crate::host) async fn ask(&self, ask: Ask) -> Result<Response, AskError> {
        let target = self.permits(&ask)?;
        let Ask { method, url, headers, body, timeouts } = ask;
        let inside = inside(&url.host);
        let request = Request { method, target, path: url.path, headers, body, timeouts };
        match inside {
            Some(to) => {
                let inward = locked(&self.outbound.inward).clone();
                let answer = inward.and_then(|inward| inward.ask(to, request));
                Ok(answer.ok_or(AskError::NobodyInside)?.await?)
            }
            None => Ok(self.outbound.http.send(request, Some(&self.address_filter())).await?),
        }
    }
}

/// Whether a host is this app, and what of it. No such name ever reaches a resolver.
fn inside(host: &str) -> Option<Inside> {
    let plain = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    match plain.strip_suffix(CHAINED) {
        Some(component) => Some(Inside::Component(component.to_owned())),
        None => matches!(plain.as_str(), "" | "self").then_some(Inside::Routes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_app_itself_and_its_components_are_told_from_other_machines() {
        assert_eq!(inside(""), Some(Inside::Routes));
        assert_eq!(inside("self"), Some(Inside::Routes));
        assert_eq!(inside("Log.SPIN.internal."), Some(Inside::Component("log".into())));
        for other in ["self.example", "spin.internal", "127.0.0.1", "myself"] {
            assert_eq!(inside(other), None, "{other}");
        }
    }
}
