//! One entry of `allowed_outbound_hosts`: `scheme://host[:port][/]`.

use std::fmt;
use std::net::IpAddr;

use super::network::Network;

/// Ports that a scheme implies. `mqtts` is deliberately not among them: Spin's grammar has no default for
/// it, and an app must mean the same here.
const DEFAULT_PORTS: &[(&str, u16)] = &[
    ("http", 80),
    ("https", 443),
    ("redis", 6379),
    ("mysql", 3306),
    ("postgres", 5432),
    ("mqtt", 1883),
];

/// A parsed entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    scheme: Scheme,
    host: Host,
    port: Port,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Scheme {
    Any,
    Exactly(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    Itself,
    Network(Network),
    /// With the leading dot.
    Below(Box<str>),
    Domain(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Port {
    Any,
    /// From, and up to but not including.
    Range(u16, u32),
    Exactly(u16),
}

/// Why a text is no entry; prints what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// `*` alone.
    #[error(r#""*" alone grants nothing; to allow every outbound connection write "*://*:*""#)]
    BareStar,
    /// Spin 1's spelling.
    #[error(r#""insecure:allow-all" is not accepted; to allow every outbound connection write "*://*:*""#)]
    AllowAll,
    /// No `://`.
    #[error(r#"{0:?} has no scheme; write "https://{0}", or "*://{0}:*" for any"#)]
    NoScheme(String),
    /// Something else than letters before `://`.
    #[error(r#"{0:?} is no scheme; a scheme is letters only, or "*""#)]
    Scheme(String),
    /// Nothing between `://` and the port.
    #[error("there is no host after \"://\"")]
    NoHost,
    /// A path, a query or a user's name.
    #[error("only scheme, host and port are allowed; remove {0:?}")]
    Path(String),
    /// A `*` in the middle.
    #[error(
        r#"{0:?}: "*" stands for a whole host, or for what is left of a domain: "*.example.com""#
    )]
    Star(String),
    /// Characters that no host name has.
    #[error("{0:?} is no host; expected a domain, an address, a CIDR, \"*\" or \"self\"")]
    Host(String),
    /// No port and no default for the scheme.
    #[error(r#"scheme {0:?} has no default port; write one, or ":*" for any"#)]
    NoPort(String),
    /// A port that is none.
    #[error(r#"{0:?} is no port; expected a number from 1 to 65535, a range like 8000..8010 (the end is not included) or "*""#)]
    Port(String),
    /// `{a,b}` lists.
    #[error("lists in braces are not supported; write one entry for each")]
    List,
}

impl HostPattern {
    /// Parses an entry.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let text = text.trim();
        match text {
            "*" => return Err(HostError::BareStar),
            "insecure:allow-all" => return Err(HostError::AllowAll),
            _ if text.contains(['{', '}']) => return Err(HostError::List),
            _ => {}
        }
        let (scheme, rest) =
            text.split_once("://").ok_or_else(|| HostError::NoScheme(text.to_owned()))?;
        let (host, port) = split_port(rest)?;
        Ok(Self {
            scheme: Scheme::parse(scheme)?,
            host: Host::parse(&host)?,
            port: Port::parse(port, scheme)?,
        })
    }

    pub(super) fn permits(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        self.scheme.permits(scheme)
            && self.host.permits(host)
            && self.port.permits(port.or_else(|| default_port(scheme)))
    }

    /// `*://*:*`
    pub(super) fn any() -> Self {
        Self { scheme: Scheme::Any, host: Host::Any, port: Port::Any }
    }

    /// Whether the host is this name; an address is none.
    pub(super) fn permits_name(&self, name: &str) -> bool {
        match self.host {
            Host::Any | Host::Below(_) | Host::Domain(_) => self.host.permits(name),
            Host::Itself | Host::Network(_) => false,
        }
    }

    pub(super) fn permits_socket(&self, scheme: &str, ip: IpAddr, port: u16) -> bool {
        self.scheme.permits(scheme)
            && self.host.permits_address(ip)
            && self.port.permits(Some(port))
    }
}

fn default_port(scheme: &str) -> Option<u16> {
    DEFAULT_PORTS.iter().find(|(name, _)| name.eq_ignore_ascii_case(scheme)).map(|(_, port)| *port)
}

/// Takes `host[:port][/]` apart. The colons of an IPv6 address are its own, and so is the slash of a CIDR.
fn split_port(rest: &str) -> Result<(String, Option<&str>), HostError> {
    let (host, after) = match rest.strip_prefix('[') {
        Some(inner) => bracketed(rest, inner)?,
        None => unbracketed(rest),
    };
    let Some(after) = after.strip_prefix(':') else {
        return Ok((host, None));
    };
    match after.split_once('/') {
        None | Some((_, "")) => Ok((host, Some(after.strip_suffix('/').unwrap_or(after)))),
        Some((_, path)) => Err(HostError::Path(format!("/{path}"))),
    }
}

/// `[fd00::1]` and `[fd00::]/8`, and what follows.
fn bracketed<'t>(rest: &str, inner: &'t str) -> Result<(String, &'t str), HostError> {
    let bad = || HostError::Host(rest.to_owned());
    let closed = inner.split_once(']').filter(|(address, _)| address.contains(':'));
    let (address, after) = closed.ok_or_else(bad)?;
    let end = after.find(':').unwrap_or(after.len());
    match after.split_at(end) {
        ("" | "/", port) => Ok((address.to_owned(), port)),
        (bits, port) if bits.starts_with('/') => Ok((format!("{address}{bits}"), port)),
        _ => Err(bad()),
    }
}

/// An unbracketed IPv6 address or CIDR has more colons than one; the last is the port's, unless all of it
/// is an address.
fn unbracketed(rest: &str) -> (String, &str) {
    let whole = rest.strip_suffix('/').unwrap_or(rest);
    let colon = if Network::parse(whole).is_some() { None } else { rest.rfind(':') };
    match colon {
        Some(colon) => (rest[..colon].to_owned(), &rest[colon..]),
        None => (whole.to_owned(), ""),
    }
}

impl Scheme {
    fn parse(text: &str) -> Result<Self, HostError> {
        match text {
            "*" => Ok(Self::Any),
            _ if !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphabetic()) => {
                Ok(Self::Exactly(text.to_ascii_lowercase().into()))
            }
            _ => Err(HostError::Scheme(text.to_owned())),
        }
    }

    fn permits(&self, scheme: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(name) => name.eq_ignore_ascii_case(scheme),
        }
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, HostError> {
        match text {
            "" => return Err(HostError::NoHost),
            "*" => return Ok(Self::Any),
            "self" => return Ok(Self::Itself),
            _ => {}
        }
        if let Some(network) = Network::parse(text) {
            return Ok(Self::Network(network));
        }
        if let Some(at) = text.find(['/', '?', '#', '@']) {
            return Err(HostError::Path(text[at..].to_owned()));
        }
        let (below, domain) = match text.strip_prefix("*.") {
            Some(domain) => (true, domain),
            None => (false, text),
        };
        match domain {
            _ if domain.contains('*') => Err(HostError::Star(text.to_owned())),
            _ if !is_domain(domain) => Err(HostError::Host(text.to_owned())),
            _ if below => Ok(Self::Below(format!(".{}", normal(domain)).into())),
            _ => Ok(Self::Domain(normal(domain).into())),
        }
    }

    fn permits(&self, host: &str) -> bool {
        match self {
            Self::Any => !host.is_empty(),
            Self::Itself => host == "self",
            Self::Network(_) => bare_address(host).is_some_and(|ip| self.permits_address(ip)),
            // An address is below no domain and is none, whatever a resolver makes of it.
            Self::Below(_) | Self::Domain(_) if bare_address(host).is_some() => false,
            Self::Below(suffix) => {
                let host = normal(host);
                host.len() > suffix.len() && host.ends_with(&**suffix)
            }
            Self::Domain(domain) => normal(host) == **domain,
        }
    }

    fn permits_address(&self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Network(network) => {
                network.contains(ip) || mapped(ip).is_some_and(|v4| network.contains(v4))
            }
            Self::Itself | Self::Below(_) | Self::Domain(_) => false,
        }
    }
}

impl Port {
    fn parse(text: Option<&str>, scheme: &str) -> Result<Self, HostError> {
        let Some(text) = text else {
            return default_port(scheme)
                .map(Self::Exactly)
                .ok_or_else(|| HostError::NoPort(scheme.to_owned()));
        };
        if text == "*" {
            return Ok(Self::Any);
        }
        let parsed = match text.split_once("..") {
            Some((from, to)) => range(from, to),
            None => number(text).map(Self::Exactly),
        };
        parsed.ok_or_else(|| HostError::Port(text.to_owned()))
    }

    fn permits(&self, port: Option<u16>) -> bool {
        match (self, port) {
            (Self::Any, _) => true,
            (Self::Exactly(wanted), Some(port)) => *wanted == port,
            (Self::Range(from, to), Some(port)) => port >= *from && u32::from(port) < *to,
            (Self::Exactly(_) | Self::Range(..), None) => false,
        }
    }
}

/// The end is not included, so it may be one more than the last port.
fn range(from: &str, to: &str) -> Option<Port> {
    let last = |end: &str| {
        if end == "65536" { Some(65536) } else { number(end).map(u32::from) }
    };
    let (from, to) = (number(from)?, last(to)?);
    (u32::from(from) < to).then_some(Port::Range(from, to))
}

fn number(text: &str) -> Option<u16> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten().filter(|n| *n > 0)
}

/// The address that `host` spells, brackets or not.
pub(super) fn bare_address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.unwrap_or(host).parse().ok()
}

/// `::ffff:a.b.c.d` reaches the same machine as `a.b.c.d`, so a grant for the latter covers it.
fn mapped(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V6(v6) => v6.to_ipv4_mapped().map(IpAddr::V4),
        IpAddr::V4(_) => None,
    }
}

/// Names compare without case and without the root's dot.
fn normal(domain: &str) -> String {
    domain.strip_suffix('.').unwrap_or(domain).to_ascii_lowercase()
}

fn is_domain(domain: &str) -> bool {
    let label = |label: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
    };
    domain.len() <= 254 && domain.strip_suffix('.').unwrap_or(domain).split('.').all(label)
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.scheme {
            Scheme::Any => f.write_str("*://")?,
            Scheme::Exactly(name) => write!(f, "{name}://")?,
        }
        match &self.host {
            Host::Any => f.write_str("*")?,
            Host::Itself => f.write_str("self")?,
            Host::Network(network) => write!(f, "{network}")?,
            Host::Below(suffix) => write!(f, "*{suffix}")?,
            Host::Domain(domain) => f.write_str(domain)?,
        }
        match self.port {
            Port::Any => f.write_str(":*"),
            Port::Range(from, to) => write!(f, ":{from}..{to}"),
            Port::Exactly(port) => write!(f, ":{port}"),
        }
    }
}
