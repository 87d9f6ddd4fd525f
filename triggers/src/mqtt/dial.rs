//! From the options to a connection, on which nothing has been said yet: what [`net`](crate::net) does for
//! everybody, one step at a time, since each address is tried until the broker accepts us on it.
//!
//! One look-up at a time: an attempt that finds the last one's still under way waits for that.

use super::options::{Options, Security};
use crate::limits::mqtt as limits;
use crate::net::{
    DialError, Lookup, Stream, Tls, TlsConfigError, look_up, permitted, server_name, tcp,
};
use std::net::{IpAddr, SocketAddr};

/// Makes connections.
pub(super) struct Dialer {
    tls: Option<Tls>,
    lookup: Option<Lookup>,
}

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
            Ok(ip) => Ok(vec![SocketAddr::new(ip, port)]),
            Err(_) => look_up(&mut self.lookup, host, port).await,
        };
        let allowed =
            found.and_then(|found| permitted(found, host, options.address_filter.as_ref()));
        allowed.map_err(|error| error.to_string())
    }

    /// Connects to one address, and shakes hands if that is asked for. Dropped half-way, what was begun is
    /// closed.
    pub(super) async fn connect(
        &mut self,
        options: &Options,
        address: SocketAddr,
    ) -> Result<Stream, String> {
        let tcp = tcp(address, limits::CONNECT_TIMEOUT).await.map_err(|error| match error {
            // Whoever tries several says which.
            DialError::Failed { why, .. } => why,
            DialError::Timeout { .. } => "no answer in time".into(),
            other => other.to_string(),
        })?;
        if options.address.security == Security::Plain {
            return Ok(Stream::Plain(tcp));
        }
        // Taken, and put back only when it has served: after a failed handshake the files are read
        // again, since there may be a new authority or a renewed certificate in them.
        let tls = match self.tls.take() {
            Some(tls) => tls,
            None => load(options).map_err(|e| e.to_string())?.ok_or("TLS is not set up")?,
        };
        let host = server_name(&options.address.host).map_err(|error| error.to_string())?;
        let stream = tls.handshake(host, tcp, limits::CONNECT_TIMEOUT).await;
        let stream = stream.map_err(|error| error.to_string())?;
        self.tls = Some(tls);
        Ok(Stream::Tls(Box::new((stream, None))))
    }
}

fn load(options: &Options) -> Result<Option<Tls>, TlsConfigError> {
    match &options.address.security {
        Security::Plain => Ok(None),
        Security::Tls(tls) => {
            server_name(&options.address.host)?;
            Tls::load(tls).map(Some)
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mqtt::options::Address;
    use tokio::sync::oneshot;

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
