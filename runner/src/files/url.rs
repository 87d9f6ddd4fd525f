//! Addresses as guests write them: a scheme, a host, perhaps a port, and what comes after.

use pirn_triggers::net::http::Uri;

/// An address, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// In small letters.
    pub scheme: String,
    /// A name or an address; an IPv6 address without brackets. Empty for a relative address.
    pub host: String,
    /// The port, if one is written.
    pub port: Option<u16>,
    /// Path and query, with a slash in front.
    pub path: String,
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: {1}")]
pub struct UrlError(String, &'static str);

impl Url {
    /// Takes it apart. Credentials have no place in it: they would end in logs.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let bad = |why| UrlError(text.chars().take(128).collect(), why);
        let uri: Uri = text.parse().map_err(|_| bad("it has a form that none has"))?;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        let Some(authority) = uri.authority() else {
            return match text.starts_with('/') {
                true => Ok(Self { scheme: "http".into(), host: String::new(), port: None, path }),
                false => Err(bad("it has no host")),
            };
        };
        let scheme = uri.scheme_str().ok_or_else(|| bad("it has no scheme"))?.to_ascii_lowercase();
        if authority.as_str().contains('@') {
            return Err(bad("user names and passwords belong in a header"));
        }
        let host = authority.host();
        let port = authority.port_u16().filter(|port| *port > 0);
        if port.is_none() && authority.as_str().len() != host.len() {
            return Err(bad("its port is none"));
        }
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.is_empty() {
            true => Err(bad("it has no host")),
            false => Ok(Self { scheme, host: bare.to_owned(), port, path }),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_taken_apart_as_they_are_written() {
        for (text, scheme, host, port, path) in [
            ("http://example.com", "http", "example.com", None, "/"),
            ("HTTPS://Example.com:8443/a?b=c", "https", "Example.com", Some(8443), "/a?b=c"),
            ("http://[::1]:80/", "http", "::1", Some(80), "/"),
            ("http://example.com?x=1", "http", "example.com", None, "/?x=1"),
            ("/own/path?x", "http", "", None, "/own/path?x"),
            ("http://self/a", "http", "self", None, "/a"),
        ] {
            let url = Url::parse(text).unwrap();
            let (host, path) = (host.to_owned(), path.to_owned());
            assert_eq!(url, Url { scheme: scheme.into(), host, port, path }, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_said_to_be_none() {
        for text in [
            "",
            "example.com",
            "http://",
            "http:///a",
            "http://a b/",
            "http://user:secret@example.com/",
            "http://example.com:0/",
            "http://example.com:/",
            "http://example.com:99999/",
            "http://example.com:80x/",
            "http://[::1/",
            "mailto:ann@example.com",
        ] {
            assert!(Url::parse(text).is_err(), "{text}: {:?}", Url::parse(text));
        }
    }
}
