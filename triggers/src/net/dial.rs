//! From a host and a port to a connection, on which nothing has been said yet.

use super::lookup::{self, on_a_thread};
use super::stream::Stream;
use super::tls::{Tls, TlsConfigError, TlsFailure, server_name};
use super::{AddressFilter, TlsOptions};
use crate::limits::net as limits;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The name has no meaning, or nobody can say which.
    #[error("cannot look up `{host}`: {why}")]
    Unknown {
        /// The name.
        host: String,
        /// The resolver's reason.
        why: String,
    },
    /// Nobody said in time.
    #[error("looking up `{host}` took too long")]
    LookupTimeout {
        /// The name.
        host: String,
    },
    /// It was looked up, and there is nothing.
    #[error("`{host}` has no address")]
    NoAddress {
        /// The name.
        host: String,
    },
    /// The filter lets none of its addresses through.
    #[error("address {ip} of `{host}` is not permitted")]
    NotPermitted {
        /// One of them.
        ip: IpAddr,
        /// The name.
        host: String,
    },
    /// No connection came about.
    #[error("{address}: {why}")]
    Failed {
        /// The address that was tried last.
        address: SocketAddr,
        /// What the kernel says.
        kind: io::ErrorKind,
        /// The same, for people.
        why: String,
    },
    /// Nobody answered in time.
    #[error("{address}: no answer in time")]
    Timeout {
        /// The address that was tried last.
        address: SocketAddr,
    },
    /// The handshake failed.
    #[error("{address}: {why}")]
    Tls {
        /// The address that was tried last.
        address: SocketAddr,
        /// Why.
        why: TlsFailure,
    },
    /// Certificates cannot be used.
    #[error(transparent)]
    TlsConfig(#[from] TlsConfigError),
}

impl DialError {
    pub(super) fn unknown(host: &str, why: &io::Error) -> Self {
        Self::Unknown { host: host.into(), why: why.to_string() }
    }
}

/// Of what was found, the addresses that may be tried, each once, in the resolver's order.
pub(crate) fn permitted(
    found: Vec<SocketAddr>,
    host: &str,
    filter: Option<&AddressFilter>,
) -> Result<Vec<SocketAddr>, DialError> {
    let mut allowed = Vec::new();
    let mut refused = None;
    for address in found {
        match filter.is_none_or(|allows| allows(address.ip())) {
            false => refused = Some(address.ip()),
            true if allowed.len() < limits::ADDRESSES_MAX && !allowed.contains(&address) => {
                allowed.push(address);
            }
            true => {}
        }
    }
    match (allowed.is_empty(), refused) {
        (false, _) => Ok(allowed),
        (true, Some(ip)) => Err(DialError::NotPermitted { ip, host: host.into() }),
        (true, None) => Err(DialError::NoAddress { host: host.into() }),
    }
}

/// Connects to one address. Dropped half-way, what was begun is closed.
pub(crate) async fn tcp(address: SocketAddr, within: Duration) -> Result<TcpStream, DialError> {
    let failed = |error: io::Error| DialError::Failed {
        address,
        kind: error.kind(),
        why: error.to_string(),
    };
    match timeout(within, TcpStream::connect(address)).await {
        Err(_) => Err(DialError::Timeout { address }),
        Ok(tcp) => {
            let tcp = tcp.map_err(failed)?;
            tcp.set_nodelay(true).map_err(failed)?;
            Ok(tcp)
        }
    }
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name or an address; an IPv6 address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Whether TLS is spoken.
    pub secure: bool,
}

/// Makes connections for one app; cheap to clone.
#[derive(Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    options: TlsOptions,
    /// Read when it is needed, and as long as a connection needs it: the system's authorities take 300 KiB.
    tls: Mutex<Weak<Tls>>,
    /// Threads that look names up, or read certificates.
    threads: Arc<Semaphore>,
}

impl Connector {
    /// Connects to nothing yet, and reads nothing.
    pub fn new(options: TlsOptions) -> Self {
        let threads = Arc::new(Semaphore::new(limits::THREADS_MAX));
        Self(Arc::new(Inner { options, tls: Mutex::default(), threads }))
    }

    /// A connection to one of the target's addresses that the filter allows, tried in turn, each for as long as
    /// `within`. Dropped half-way, what was begun is closed.
    pub(crate) async fn connect(
        &self,
        target: &Target,
        filter: Option<&AddressFilter>,
        within: Duration,
    ) -> Result<Stream, DialError> {
        let found = self.addresses(&target.host, target.port).await?;
        let mut last = DialError::NoAddress { host: target.host.clone() };
        for address in permitted(found, &target.host, filter)? {
            match self.connect_to(target, address, within).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(ip, port)]);
        }
        let slow = || DialError::LookupTimeout { host: host.into() };
        let slot = Arc::clone(&self.0.threads).acquire_owned();
        let slot = timeout(limits::RESOLVE_TIMEOUT, slot).await.map_err(|_| slow())?.ok();
        let lookup = lookup::start(host.to_owned(), port, slot);
        let mut lookup = lookup.map_err(|why| DialError::unknown(host, &why))?;
        lookup::within(&mut lookup, host).await
    }

    async fn connect_to(
        &self,
        target: &Target,
        address: SocketAddr,
        within: Duration,
    ) -> Result<Stream, DialError> {
        let tcp = tcp(address, within).await?;
        if !target.secure {
            return Ok(Stream::Plain(tcp));
        }
        let name = server_name(&target.host)?;
        let tls = self.tls().await?;
        match tls.handshake(name, tcp, within).await {
            Ok(stream) => Ok(Stream::Tls(Box::new((stream, Some(tls))))),
            Err(why) => {
                // There may be a new authority or a renewed certificate by the next time.
                *self.0.tls.lock().unwrap_or_else(PoisonError::into_inner) = Weak::new();
                Err(DialError::Tls { address, why })
            }
        }
    }

    async fn tls(&self) -> Result<Arc<Tls>, DialError> {
        let known = || self.0.tls.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        if let Some(tls) = known() {
            return Ok(tls);
        }
        let slot = Arc::clone(&self.0.threads).acquire_owned().await.ok();
        // Somebody else may have read it meanwhile.
        if let Some(tls) = known() {
            return Ok(tls);
        }
        let options = self.0.options.clone();
        let gone = || TlsConfigError::Client("no thread can read it".into());
        let read = on_a_thread("certificates", slot, move || Tls::load(&options));
        let tls = Arc::new(read.map_err(|_| gone())?.await.map_err(|_| gone())??);
        *self.0.tls.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&tls);
        Ok(tls)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use tokio::net::TcpListener;

    async fn connect(
        host: &str,
        port: u16,
        filter: Option<&AddressFilter>,
    ) -> Result<Stream, DialError> {
        let to = Target { host: host.into(), port, secure: false };
        let connector = Connector::new(TlsOptions::default());
        connector.connect(&to, filter, limits::CONNECT_TIMEOUT).await
    }

    async fn listener() -> (TcpListener, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        (listener, port)
    }

    #[tokio::test]
    async fn only_addresses_that_the_filter_allows_are_connected_to() {
        let (listener, port) = listener().await;
        let none: AddressFilter = Arc::new(|ip| !ip.is_loopback());
        for host in ["127.0.0.1", "localhost"] {
            let refused = connect(host, port, Some(&none)).await.err().unwrap();
            assert!(matches!(refused, DialError::NotPermitted { .. }), "{refused}");
        }
        let only_v4: AddressFilter = Arc::new(|ip| ip.is_ipv4());
        let connected = connect("localhost", port, Some(&only_v4));
        let (connected, accepted) = tokio::join!(connected, listener.accept());
        assert!(connected.is_ok() && accepted.is_ok());
    }

    #[tokio::test]
    async fn a_closed_port_and_an_unknown_name_are_told_apart() {
        let (listener, port) = listener().await;
        drop(listener);
        let closed = connect("127.0.0.1", port, None).await.err().unwrap();
        assert!(
            matches!(closed, DialError::Failed { kind: io::ErrorKind::ConnectionRefused, .. }),
            "{closed}"
        );
        let unknown = connect("no such name", 80, None).await.err().unwrap();
        assert!(matches!(unknown, DialError::Unknown { .. }), "{unknown}");
    }
}
