//! The address of a broker: `mqtt://host:port?client_id=…` or `mqtts://…`.

use std::fmt;

/// Where a broker is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    /// With or without TLS.
    pub transport: Transport,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port; 1883, or 8883 with TLS, if the address names none.
    pub port: u16,
    /// `?client_id=`.
    pub client_id: Option<String>,
}

/// How the bytes travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `mqtt://`.
    Plain,
    /// `mqtts://`.
    Tls,
}

/// Why a text is no broker's address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Neither `mqtt://` nor `mqtts://`.
    #[error("a broker's address starts with mqtt:// or mqtts://")]
    Scheme,
    /// A user's name in the address, which would end up in logs.
    #[error("user name and password have their own keys; they cannot stand in the address")]
    Credentials,
    /// No host.
    #[error("there is no host after the scheme")]
    NoHost,
    /// A host with impossible characters.
    #[error("{0:?} is no host")]
    Host(String),
    /// A port that is none.
    #[error("{0:?} is no port; expected a number from 1 to 65535")]
    Port(String),
    /// MQTT has no paths.
    #[error("a broker's address has no path; remove {0:?}")]
    Path(String),
    /// Something else than `client_id`.
    #[error("{0:?} is not understood after \"?\"; only client_id=NAME is")]
    Query(String),
}

impl BrokerAddress {
    /// Parses an address.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.trim().split_once("://").ok_or(AddressError::Scheme)?;
        let transport = match scheme.to_ascii_lowercase().as_str() {
            "mqtt" => Transport::Plain,
            "mqtts" => Transport::Tls,
            _ => return Err(AddressError::Scheme),
        };
        let (rest, query) =
            rest.split_once('?').map_or((rest, None), |(rest, query)| (rest, Some(query)));
        let (host, port) = authority(rest)?;
        let client_id = query.map(client_id).transpose()?.flatten();
        Ok(Self { transport, host, port: port.unwrap_or(transport.default_port()), client_id })
    }
}

impl Transport {
    /// The port that IANA gave it.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Plain => 1883,
            Self::Tls => 8883,
        }
    }

    /// The scheme, for [`crate::files::manifest::Hosts::permits`].
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Plain => "mqtt",
            Self::Tls => "mqtts",
        }
    }
}

fn authority(text: &str) -> Result<(String, Option<u16>), AddressError> {
    if text.contains('@') {
        return Err(AddressError::Credentials);
    }
    let (text, path) = text.find('/').map_or((text, ""), |slash| text.split_at(slash));
    if !matches!(path, "" | "/") {
        return Err(AddressError::Path(path.to_owned()));
    }
    match text.strip_prefix('[') {
        Some(inner) => bracketed(text, inner),
        None => named(text),
    }
}

fn bracketed(text: &str, inner: &str) -> Result<(String, Option<u16>), AddressError> {
    let (address, after) =
        inner.split_once(']').ok_or_else(|| AddressError::Host(text.to_owned()))?;
    if address.parse::<std::net::Ipv6Addr>().is_err() {
        return Err(AddressError::Host(text.to_owned()));
    }
    match (after, after.strip_prefix(':')) {
        ("", _) => Ok((address.to_owned(), None)),
        (_, Some(number)) => Ok((address.to_owned(), Some(port(number)?))),
        _ => Err(AddressError::Host(text.to_owned())),
    }
}

fn named(text: &str) -> Result<(String, Option<u16>), AddressError> {
    let (host, number) =
        text.split_once(':').map_or((text, None), |(host, number)| (host, Some(number)));
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match host {
        "" => Err(AddressError::NoHost),
        _ if host.len() > 253 || !host.chars().all(plain) => {
            Err(AddressError::Host(host.to_owned()))
        }
        _ => Ok((host.to_owned(), number.map(port).transpose()?)),
    }
}

fn port(text: &str) -> Result<u16, AddressError> {
    let digits = text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|port| digits && *port > 0);
    number.ok_or_else(|| AddressError::Port(text.to_owned()))
}

fn client_id(query: &str) -> Result<Option<String>, AddressError> {
    let mut found = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let error = || AddressError::Query(pair.to_owned());
        let encoded = pair.strip_prefix("client_id=").ok_or_else(error)?;
        let id = percent_decoded(encoded).ok_or_else(error)?;
        found = Some(id).filter(|id| !id.is_empty()).or(found);
    }
    Ok(found)
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                u8::try_from(digit()? * 16 + digit()?).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Display for BrokerAddress {
    /// Without the client id: what a person needs to find the broker.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.transport.scheme();
        match self.host.contains(':') {
            true => write!(f, "{scheme}://[{}]:{}", self.host, self.port),
            false => write!(f, "{scheme}://{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_their_defaults() {
        for (text, printed, client_id) in [
            ("mqtt://localhost", "mqtt://localhost:1883", None),
            ("mqtts://broker.example.com", "mqtts://broker.example.com:8883", None),
            ("mqtt://10.0.0.1:1884/", "mqtt://10.0.0.1:1884", None),
            ("MQTT://host?client_id=pi-7", "mqtt://host:1883", Some("pi-7")),
            ("mqtt://host:1?client_id=a%20b", "mqtt://host:1", Some("a b")),
            ("mqtt://host?client_id=", "mqtt://host:1883", None),
            ("mqtt://[::1]", "mqtt://[::1]:1883", None),
            ("mqtts://[fe80::1]:99", "mqtts://[fe80::1]:99", None),
            (" mqtt://host ", "mqtt://host:1883", None),
        ] {
            let address = BrokerAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), printed, "{text}");
            assert_eq!(address.client_id.as_deref(), client_id, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        use AddressError::*;
        for (text, error) in [
            ("", Scheme),
            ("localhost:1883", Scheme),
            ("http://localhost", Scheme),
            ("tcp://localhost:1883", Scheme),
            ("mqtt://", NoHost),
            ("mqtt://:1883", NoHost),
            ("mqtt://user:pw@host", Credentials),
            ("mqtt://host:0", Port("0".into())),
            ("mqtt://host:65536", Port("65536".into())),
            ("mqtt://host:+1", Port("+1".into())),
            ("mqtt://host:", Port("".into())),
            ("mqtt://host/path", Path("/path".into())),
            ("mqtt://host?x=1", Query("x=1".into())),
            ("mqtt://host?client_id=%zz", Query("client_id=%zz".into())),
            ("mqtt://ho st", Host("ho st".into())),
            ("mqtt://[::1", Host("[::1".into())),
            ("mqtt://[x]", Host("[x]".into())),
            ("mqtt://[::1]1883", Host("[::1]1883".into())),
        ] {
            assert_eq!(BrokerAddress::parse(text), Err(error), "{text}");
        }
    }
}
