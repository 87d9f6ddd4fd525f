//! `wasi:sockets`: outgoing TCP and UDP to what the manifest grants, and name lookup. Nothing listens:
//! whatever would accept from outside is `access-denied`.
//!
//! The grant is asked for each address, when a connection is opened and when a datagram goes or
//! comes. A name that was looked up grants nothing: its addresses are checked like any others.

mod connection;
mod lookup;
mod network;
mod options;
mod tcp;
mod udp;

use std::net::SocketAddr;

pub(super) use connection::{TcpReader, TcpWriter};

use self::network::ErrorCode;
use super::{Door, Host, interface};
use crate::engine::door::Answer;

type Of<T> = Answer<(Result<T, ErrorCode>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    network::offer(door)?;
    lookup::offer(door)?;
    tcp::offer(door)?;
    udp::offer(door)
}

/// Which of the two a socket speaks: they are granted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Tcp,
    Udp,
}

impl Host {
    /// Whether the component may exchange bytes with this address.
    fn permits(&self, protocol: Protocol, address: SocketAddr) -> bool {
        let hosts = &self.grants().hosts;
        match protocol {
            Protocol::Tcp => hosts.permits_socket(address.ip(), address.port()),
            Protocol::Udp => hosts.permits_datagram(address.ip(), address.port()),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
