//! From the options to a connection that the broker has accepted.
//!
//! The name is looked up once for each attempt. Of what it resolves to, the addresses that the
//! filter allows are tried in turn, and nothing else: rumqttc is given an address, never a name, so
//! that no second look-up can lead elsewhere.

use super::link::{Accepted, Link, Requests, Signal, Via};
use super::options::{Options, Security};
use super::tls::{Bridge, Tls, TlsConfigError};
use crate::limits::mqtt as limits;
use std::net::SocketAddr;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

/// Makes connections.
pub(super) struct Dialer {
    tls: Option<Tls>,
}

/// A connection that the broker has accepted.
pub(super) struct Dialed {
    pub(super) link: Link,
    pub(super) requests: Requests,
    pub(super) accepted: Accepted,
    pub(super) bridge: Option<Bridge>,
}

impl Dialer {
    /// Reads certificates, if there are any to read.
    pub(super) fn new(options: &Options) -> Result<Self, TlsConfigError> {
        Ok(Self { tls: load(options)? })
    }

    /// Tries each address. Dropped half-way, what was begun is closed; a look-up under way ends by
    /// itself, on a thread of tokio's pool.
    pub(super) async fn dial(&mut self, options: &Options) -> Result<Dialed, String> {
        let mut failure = String::new();
        for address in addresses(options).await? {
            match self.connect(options, address).await {
                Ok(dialed) => return Ok(dialed),
                Err(error) => failure = format!("{address}: {error}"),
            }
        }
        Err(failure)
    }

    async fn connect(&mut self, options: &Options, address: SocketAddr) -> Result<Dialed, String> {
        let (via, bridge) = match &options.address.security {
            Security::Plain => (Via::Tcp(address), None),
            Security::Tls(_) => {
                let (name, bridge) = self.secure(options, address).await?;
                (Via::Unix(name), Some(bridge))
            }
        };
        let (mut link, requests) = Link::open(options, via);
        let first = timeout(limits::CONNECT_TIMEOUT * 2, link.poll()).await;
        let why = match first {
            Ok(Ok(Signal::Accepted(accepted))) => {
                link.restore_keep_alive(options);
                return Ok(Dialed { link, requests, accepted, bridge });
            }
            Ok(Ok(_)) => "the broker's first packet was no CONNACK".into(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer in time".into(),
        };
        Err(bridge.and_then(|bridge| bridge.fault()).unwrap_or(why))
    }

    async fn secure(
        &mut self,
        options: &Options,
        address: SocketAddr,
    ) -> Result<(String, Bridge), String> {
        let tcp = match timeout(limits::CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(tcp) => tcp.map_err(|error| error.to_string())?,
            Err(_) => return Err("no answer in time".into()),
        };
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        // Taken, and put back only when it has served: after a failed handshake the files are read
        // again, since there may be a new authority or a renewed certificate in them.
        let tls = match self.tls.take() {
            Some(tls) => tls,
            None => load(options).map_err(|e| e.to_string())?.ok_or("TLS is not set up")?,
        };
        let stream = tls.handshake(tcp).await?;
        self.tls = Some(tls);
        Bridge::start(stream).map_err(|error| error.to_string())
    }
}

fn load(options: &Options) -> Result<Option<Tls>, TlsConfigError> {
    match &options.address.security {
        Security::Plain => Ok(None),
        Security::Tls(tls) => Tls::load(tls, &options.address.host).map(Some),
    }
}

/// The addresses that may be tried, in the resolver's order.
async fn addresses(options: &Options) -> Result<Vec<SocketAddr>, String> {
    let (host, port) = (options.address.host.as_str(), options.address.port);
    let found = match timeout(limits::RESOLVE_TIMEOUT, lookup_host((host, port))).await {
        Ok(found) => found.map_err(|error| format!("cannot look up `{host}`: {error}"))?,
        Err(_) => return Err(format!("looking up `{host}` took too long")),
    };
    let mut allowed = Vec::new();
    let mut refused = None;
    for address in found {
        let permitted = options.address_filter.as_ref().is_none_or(|allows| allows(address.ip()));
        match permitted {
            false => refused = Some(address.ip()),
            true if allowed.len() < limits::ADDRESSES_MAX && !allowed.contains(&address) => {
                allowed.push(address);
            }
            true => {}
        }
    }
    match (allowed.is_empty(), refused) {
        (false, _) => Ok(allowed),
        (true, Some(ip)) => Err(format!("address {ip} of `{host}` is not permitted")),
        (true, None) => Err(format!("`{host}` has no address")),
    }
}
