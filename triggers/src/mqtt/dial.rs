//! From the options to a connection, on which nothing has been said yet.
//!
//! The name is looked up once for each attempt, and what is connected to is an address, so that no
//! second look-up can lead elsewhere. Of what it resolves to, the addresses that the filter allows may be
//! tried, and nothing else.
//!
//! The C library looks names up in its own time, and nothing can hurry it. So it does that on a thread
//! of its own, which nobody waits for at the end (the runtime waits for those of its pool), one at a
//! time: an attempt that finds the last one's look-up still under way waits for that.

use super::options::{Options, Security};
use super::stream::Stream;
use super::tls::{Tls, TlsConfigError};
use crate::limits::mqtt as limits;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// Makes connections.
pub(super) struct Dialer {
    tls: Option<Tls>,
    lookup: Option<Lookup>,
}

type Lookup = oneshot::Receiver<io::Result<Vec<SocketAddr>>>;

impl Dialer {
    /// Reads certificates, if there are any to read.
    pub(super) fn new(options: &Options) -> Result<Self, TlsConfigError> {
        Ok(Self { tls: load(options)?, lookup: None })
    }

    /// The addresses that may be tried, in the resolver's order. Dropped half-way, the look-up goes on
    /// and serves the next call.
    pub(super) async fn addresses(&mut self, options: &Options) -> Result<Vec<SocketAddr>, String> {
        let (host, port) = (options.address.host.as_str(), options.address.port);
        let found = match host.parse::<IpAddr>() {
            Ok(ip) => vec![SocketAddr::new(ip, port)],
            Err(_) => self.look_up(host, port).await?,
        };
        let mut allowed = Vec::new();
        let mut refused = None;
        for address in found {
            let filter = options.address_filter.as_ref();
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
            (true, Some(ip)) => Err(format!("address {ip} of `{host}` is not permitted")),
            (true, None) => Err(format!("`{host}` has no address")),
        }
    }

    async fn look_up(&mut self, host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
        let lookup = match self.lookup.take() {
            Some(under_way) => under_way,
            None => start_lookup(host.to_owned(), port)
                .map_err(|error| format!("cannot look up `{host}`: {error}"))?,
        };
        let answer = timeout(limits::RESOLVE_TIMEOUT, &mut *self.lookup.insert(lookup)).await;
        match answer {
            Err(_) => Err(format!("looking up `{host}` took too long")),
            Ok(answer) => {
                self.lookup = None;
                let gone = |_| io::Error::other("the look-up broke down");
                let found = answer.map_err(gone).and_then(|found| found);
                found.map_err(|error| format!("cannot look up `{host}`: {error}"))
            }
        }
    }

    /// Connects to one address, and shakes hands if that is asked for. Dropped half-way, what was begun is
    /// closed.
    pub(super) async fn connect(
        &mut self,
        options: &Options,
        address: SocketAddr,
    ) -> Result<Stream, String> {
        let tcp = match timeout(limits::CONNECT_TIMEOUT, TcpStream::connect(address)).await {
            Ok(tcp) => tcp.map_err(|error| error.to_string())?,
            Err(_) => return Err("no answer in time".into()),
        };
        tcp.set_nodelay(true).map_err(|error| error.to_string())?;
        if options.address.security == Security::Plain {
            return Ok(Stream::Plain(tcp));
        }
        // Taken, and put back only when it has served: after a failed handshake the files are read
        // again, since there may be a new authority or a renewed certificate in them.
        let tls = match self.tls.take() {
            Some(tls) => tls,
            None => load(options).map_err(|e| e.to_string())?.ok_or("TLS is not set up")?,
        };
        let stream = tls.handshake(tcp).await?;
        self.tls = Some(tls);
        Ok(Stream::Tls(Box::new(stream)))
    }
}

fn load(options: &Options) -> Result<Option<Tls>, TlsConfigError> {
    match &options.address.security {
        Security::Plain => Ok(None),
        Security::Tls(tls) => Tls::load(tls, &options.address.host).map(Some),
    }
}

fn start_lookup(host: String, port: u16) -> io::Result<Lookup> {
    let (answer, lookup) = oneshot::channel();
    let work = move || {
        let found = (host.as_str(), port).to_socket_addrs();
        // Nobody waits for it if the session has stopped.
        let _ = answer.send(found.map(|found| found.take(limits::ADDRESSES_SEEN_MAX).collect()));
    };
    std::thread::Builder::new().name("mqtt look-up".into()).spawn(work)?;
    Ok(lookup)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mqtt::options::Address;

    fn options(host: &str) -> Options {
        let address = Address { host: host.into(), port: 1883, security: Security::Plain };
        Options::new(address, "device")
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_up_that_hangs_is_waited_for_by_one_attempt_after_the_other() {
        let options = options("broker.example");
        let (answer, lookup) = oneshot::channel();
        let mut dialer = Dialer { tls: None, lookup: Some(lookup) };
        for _ in 0..3 {
            let why = dialer.addresses(&options).await.unwrap_err();
            assert_eq!(why, "looking up `broker.example` took too long");
        }
        let found = SocketAddr::from(([192, 0, 2, 1], 1883));
        answer.send(Ok(vec![found, found])).unwrap();
        assert_eq!(dialer.addresses(&options).await, Ok(vec![found]));
        assert!(dialer.lookup.is_none(), "the next attempt asks anew");
    }

    #[tokio::test]
    async fn an_address_needs_no_look_up_and_a_name_gets_one() {
        let mut dialer = Dialer { tls: None, lookup: None };
        let local = SocketAddr::from(([127, 0, 0, 1], 1883));
        assert_eq!(dialer.addresses(&options("127.0.0.1")).await, Ok(vec![local]));
        assert!(dialer.addresses(&options("localhost")).await.unwrap().contains(&local));
        let mut refusing = options("localhost");
        refusing.address_filter = Some(std::sync::Arc::new(|_| false));
        let why = dialer.addresses(&refusing).await.unwrap_err();
        assert!(why.ends_with("of `localhost` is not permitted"), "{why}");
    }
}
