//! A small MQTT broker for the workbench: what answers when `pirn up` finds nothing listening on
//! the app's local broker address, so that a newcomer needs no other program.
//!
//! It speaks MQTT 3.1.1 and 5 over plain TCP: QoS 0, 1 and 2, retained messages, wildcards,
//! `$share/…`, wills, keep-alive, and sessions that outlive their connection (not the process).
//! Of MQTT 5 it leaves out topic aliases, subscription identifiers and enhanced authentication,
//! and says so in its CONNACK or refuses; a will is published without its delay, and a message's
//! expiry is passed on, not acted upon.
//!
//! It is not a broker for the field: it asks nobody for a password, writes nothing to disk, and
//! `pirnd` is never built with it (cargo feature `broker`). Everything it holds is capped in
//! [`limits`].
//!
//! Why our own: rumqttd 0.20, the one maintained broker library, brings about a hundred crates (an
//! HTTP server, a configuration loader, a metrics exporter), several threads and runtimes, TLS
//! dependencies with known advisories, and cannot say which port it bound. Why our own
//! `codec`: rumqttc's takes a version 5 DISCONNECT without a reason code for an error (and so
//! would fire a will that must not fire), cannot read a binary password, and has two unrelated
//! sets of types for the two versions; besides, a peer that shares the client's codec would hide
//! the client's mistakes.

mod codec;
mod connection;
mod event;
mod hub;
pub mod limits;
mod session;
mod topics;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

pub use event::{BrokerEvent, DropReason, EndReason};

use event::Observer;
use hub::Shared;

/// A broker that listens; [`Broker::run`] serves.
pub struct Broker {
    listener: TcpListener,
    observer: Observer,
}

impl Broker {
    /// Listens on `addr`; port 0 takes a free one, see [`Broker::local_addr`]. The caller decides
    /// who can reach it: [`Broker::bind_loopback`] is the one to use unless told otherwise.
    pub async fn bind(addr: SocketAddr) -> io::Result<Broker> {
        let listener = TcpListener::bind(addr).await?;
        Ok(Broker { listener, observer: Observer::none() })
    }

    /// Listens on 127.0.0.1 only.
    pub async fn bind_loopback(port: u16) -> io::Result<Broker> {
        Broker::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
    }

    /// The address that is listened on, with the port that port 0 became.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Calls `hook` with everything that happens. It runs inside the broker, between two packets:
    /// it must be quick and must not block.
    #[must_use]
    pub fn observe(mut self, hook: impl Fn(&BrokerEvent<'_>) + Send + Sync + 'static) -> Broker {
        self.observer = Observer::calling(hook);
        self
    }

    /// Serves until the future is dropped, which closes every connection and forgets everything.
    pub async fn run(self) -> io::Result<()> {
        let shared = Arc::new(Shared::new(self.observer));
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, peer)) => admit(&mut connections, &shared, stream, peer),
                    Err(error) => after_failed_accept(error).await?,
                },
                Some(_) = connections.join_next() => {}
            }
        }
    }
}

/// Starts serving a connection, or closes it at once when there are too many.
fn admit(connections: &mut JoinSet<()>, shared: &Arc<Shared>, stream: TcpStream, peer: SocketAddr) {
    // Those that ended and were not yet collected do not count.
    while connections.try_join_next().is_some() {}
    if connections.len() >= limits::CONNECTIONS_MAX {
        shared.lock().observer().tell(&BrokerEvent::TurnedAway { peer });
        return;
    }
    // Small packets both ways: waiting to fill a segment would cost 40 ms each.
    let _ = stream.set_nodelay(true);
    connections.spawn(connection::serve(stream, Arc::clone(shared)));
}

/// A peer that left before it was accepted, or a moment without file descriptors, is no reason to
/// stop; anything else is.
async fn after_failed_accept(error: io::Error) -> io::Result<()> {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, OutOfMemory};
    let no_descriptors = matches!(error.raw_os_error(), Some(23 | 24));
    match error.kind() {
        ConnectionAborted | ConnectionReset | Interrupted => Ok(()),
        kind if no_descriptors || kind == OutOfMemory => {
            tokio::time::sleep(Duration::from_millis(100)).await;
            Ok(())
        }
        _ => Err(error),
    }
}
