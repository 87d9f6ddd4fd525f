//! Where a server is: `redis://[user:password@]host[:port][/database]`, with `rediss` for TLS.

use std::fmt;

use crate::net::Target;

/// A server's address.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Address {
    /// Where.
    pub target: Target,
    /// Empty for the server's default user.
    pub username: String,
    /// Empty for none.
    pub password: String,
    /// The database's number.
    pub database: u32,
}

/// Why a text is no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Another scheme, or none.
    #[error("expected redis://host[:port][/database], or rediss:// with TLS")]
    Scheme,
    /// Nothing where the host should be, or something that is none.
    #[error("there is no host in it")]
    Host,
    /// A port that is none.
    #[error("its port is not a number from 1 to 65535")]
    Port,
    /// A database that is none.
    #[error("its database is not a number")]
    Database,
    /// A `%` that does not stand for a byte, or bytes that are no text.
    #[error("its user name or password cannot be read: write % as %25")]
    Escape,
}

/// The usual port.
const PORT: u16 = 6379;

impl Address {
    /// Takes it apart.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.split_once("://").ok_or(AddressError::Scheme)?;
        let secure = match scheme.to_ascii_lowercase().as_str() {
            "redis" => false,
            "rediss" => true,
            _ => return Err(AddressError::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (credentials, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (username, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        let (host, port) = place_of(place)?;
        let database = match path {
            "" => 0,
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| AddressError::Database)?
            }
            _ => return Err(AddressError::Database),
        };
        Ok(Self {
            target: Target { host: host.to_owned(), port, secure },
            username: unescaped(username)?,
            password: unescaped(password)?,
            database,
        })
    }

    /// Its scheme.
    pub fn scheme(&self) -> &'static str {
        if self.target.secure { "rediss" } else { "redis" }
    }
}

impl fmt::Display for Address {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Target { host, port, .. } = &self.target;
        match host.contains(':') {
            true => write!(f, "{}://[{host}]:{port}", self.scheme()),
            false => write!(f, "{}://{host}:{port}", self.scheme()),
        }
    }
}

impl fmt::Debug for Address {
    /// Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn place_of(place: &str) -> Result<(&str, u16), AddressError> {
    let (host, port) = match place.strip_prefix('[') {
        Some(inner) => {
            let (host, port) = inner.split_once(']').ok_or(AddressError::Host)?;
            (host, port.strip_prefix(':').or(port.is_empty().then_some("")))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port).filter(|port| !port.is_empty())),
            None => (place, Some("")),
        },
    };
    let bad = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '?' | '#' | '\\');
    if host.is_empty() || host.contains(bad) {
        return Err(AddressError::Host);
    }
    let port = match port.ok_or(AddressError::Port)? {
        "" => PORT,
        digits => digits.parse().ok().filter(|port| *port > 0).ok_or(AddressError::Port)?,
    };
    Ok((host, port))
}

/// `%40` is `@`, and so on.
fn unescaped(text: &str) -> Result<String, AddressError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let byte = match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16);
                let value = digit().zip(digit()).map(|(high, low)| high * 16 + low);
                value.and_then(|value| u8::try_from(value).ok()).ok_or(AddressError::Escape)?
            }
            byte => byte,
        };
        bytes.push(byte);
    }
    String::from_utf8(bytes).map_err(|_| AddressError::Escape)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_are_taken_apart_and_shown_without_credentials() {
        let a = Address::parse("redis://localhost").unwrap();
        assert_eq!((a.target.host.as_str(), a.target.port, a.database), ("localhost", 6379, 0));
        let a = Address::parse("REDISS://ann:p%40ss:word@[::1]:7000/3").unwrap();
        assert_eq!(a.to_string(), "rediss://[::1]:7000");
        assert_eq!(format!("{a:?}"), "rediss://[::1]:7000");
        assert_eq!((a.username.as_str(), a.password.as_str(), a.database), ("ann", "p@ss:word", 3));
        let a = Address::parse("redis://:secret@h/").unwrap();
        assert_eq!((a.username.as_str(), a.password.as_str()), ("", "secret"));
    }

    #[test]
    fn what_is_no_address_is_refused_with_its_reason() {
        for (text, why) in [
            ("localhost:6379", AddressError::Scheme),
            ("http://h", AddressError::Scheme),
            ("redis+unix:///run/redis.sock", AddressError::Scheme),
            ("redis://", AddressError::Host),
            ("redis://:6379", AddressError::Host),
            ("redis://a b", AddressError::Host),
            ("redis://[::1", AddressError::Host),
            ("redis://h:0", AddressError::Port),
            ("redis://h:", AddressError::Port),
            ("redis://h:x", AddressError::Port),
            ("redis://::1", AddressError::Host),
            ("redis://[::1]x", AddressError::Port),
            ("redis://h/x", AddressError::Database),
            ("redis://h/99999999999", AddressError::Database),
            ("redis://a%4@h", AddressError::Escape),
            ("redis://a%ff@h", AddressError::Escape),
        ] {
            assert_eq!(Address::parse(text), Err(why), "{text}");
        }
    }
}
