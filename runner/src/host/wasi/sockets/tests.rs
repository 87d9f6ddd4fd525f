//! Sockets as a guest uses them, against real peers on loopback.

mod connecting;
mod datagrams;
mod lookups;

use std::net::{IpAddr, Ipv4Addr};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use wasmtime::component::Resource;

use super::network::{Family, Network, SocketAddress};
use super::*;
use crate::files::manifest::{BlockedNetworks, HostPattern, Hosts};
use crate::host::wasi::Grant;
use crate::host::wasi::testing::{host, host_with};
use crate::limits::wasi::SOCKETS_MAX;

pub(super) fn again<T: 'static>(handle: &Resource<T>) -> Resource<T> {
    Resource::new_borrow(handle.rep())
}

pub(super) fn network(host: &Host) -> Resource<Network> {
    host.push(Network).unwrap()
}

/// A host to which these entries of `allowed_outbound_hosts` are granted.
pub(super) fn granted(entries: &[&str]) -> Host {
    let patterns = entries.iter().map(|entry| HostPattern::parse(entry).unwrap()).collect();
    host_with(Grant::default(), Hosts::new(patterns, None, BlockedNetworks::default())).0
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
