//! What requests of guests have in common, whichever version of `wasi:http` they are made through: whom they are for, and
//! that they end when nobody wants their answer any more.

use std::sync::Arc;

use http::uri::Authority;
use pirn_triggers::net::http::{HttpError, Response};
use tokio::task::JoinHandle;

use super::words::Scheme;
use crate::host::Grants;
use crate::host::outbound::{Ask, AskError, Url};

/// A request under way; it ends when nobody wants its answer any more.
pub(super) struct Asked(JoinHandle<Result<Response, AskError>>);

impl Asked {
    /// Sent from here on. It does not hold the host, which may hold it.
    pub(super) fn of(grants: Arc<Grants>, ask: Ask) -> Self {
        Self(tokio::spawn(async move { grants.ask(ask).await }))
    }

    pub(super) async fn answer(mut self) -> Result<Response, AskError> {
        (&mut self.0).await.unwrap_or(Err(AskError::Http(HttpError::Cut)))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Whom it is for. Without an authority it is for the app itself.
pub(super) fn url(
    scheme: Option<&Scheme>,
    authority: Option<&str>,
    path: Option<&str>,
) -> Option<Url> {
    let (host, port) = match authority {
        None => (String::new(), None),
        Some(authority) => place(authority)?,
    };
    let scheme = match scheme {
        Some(Scheme::Http) => "http".to_owned(),
        // An app asks itself without TLS, whatever it would be asked with.
        None if host.is_empty() => "http".to_owned(),
        Some(Scheme::Https) | None => "https".to_owned(),
        Some(Scheme::Other(other)) => other.to_ascii_lowercase(),
    };
    let path = path.unwrap_or("/");
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    Some(Url { scheme, host, port, path })
}

/// A host and perhaps a port; credentials have no place in it.
pub(super) fn place(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    let (host, port) = (authority.host(), authority.port_u16());
    if text.contains('@') || host.is_empty() || (port.is_none() && text.len() != host.len()) {
        return None;
    }
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    Some((bare.to_owned(), port))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_a_port_and_nothing_else() {
        for (text, host, port) in [
            ("example.com", "example.com", None),
            ("example.com:8080", "example.com", Some(8080)),
            ("[::1]:80", "::1", Some(80)),
        ] {
            assert_eq!(place(text), Some((host.to_owned(), port)), "{text}");
        }
        for text in ["", "a b", "user@example.com", "example.com:", "example.com:99999", ":80"] {
            assert_eq!(place(text), None, "{text}");
        }
    }

    #[test]
    fn whom_a_request_is_for_is_put_together_from_its_parts() {
        let of = |scheme, authority, path| {
            let url = url(scheme, authority, path).unwrap();
            (url.scheme, url.host, url.port, url.path)
        };
        assert_eq!(of(None, None, None), ("http".into(), String::new(), None, "/".into()));
        let (at, path) = (Some("example.com"), Some("?x=1"));
        assert_eq!(
            of(None, at, path),
            ("https".into(), "example.com".into(), None, "/?x=1".into())
        );
        assert_eq!(of(Some(&Scheme::Http), at, path).0, "http");
    }
}
