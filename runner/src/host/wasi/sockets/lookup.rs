//! `wasi:sockets/ip-name-lookup`: names become addresses. Only names of hosts that the component is
//! granted: any other look-up would carry what a guest puts into the name to whoever answers for it.
//! Addresses that the operator blocked are left out; which of the others may be connected to is
//! checked, for the very address that is connected to, when the guest tries. So it makes no difference
//! what the name means by then.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::time::timeout;
use wasmtime::component::Resource;

use super::network::{ErrorCode, IpAddress, Network};
use super::{Door, Host, Of, interface};
use crate::engine::door::Answer;
use crate::files::manifest::Hosts;
use crate::host::wasi::poll::Pollable;
use crate::host::wasi::underway::Underway;
use crate::limits::wasi::{LOOKUP_ADDRESSES_MAX, LOOKUP_TIMEOUT, NAME_BYTES_MAX};

type Found = Result<Vec<IpAddr>, ErrorCode>;

/// `resource resolve-address-stream`
pub(super) struct Addresses {
    underway: Arc<Underway<Found>>,
    /// What was found, last first, once it was.
    found: Option<Found>,
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut lookup = interface(door, "sockets/ip-name-lookup")?;
    lookup.resource::<Addresses>("resolve-address-stream")?;
    lookup.at_once(
        "[method]resolve-address-stream.resolve-next-address",
        |host, (addresses,): (Resource<Addresses>,)| Ok((host.with(&addresses, Addresses::next)?,)),
    )?;
    lookup.at_once(
        "[method]resolve-address-stream.subscribe",
        |host, (addresses,): (Resource<Addresses>,)| {
            let pollable = host.with(&addresses, |a| a.pollable())?;
            Ok((host.push(pollable)?,))
        },
    )?;
    lookup.at_once("resolve-addresses", resolve)
}

pub(super) fn resolve(
    host: &Host,
    (network, name): (Resource<Network>, String),
) -> Of<Resource<Addresses>> {
    host.with(&network, |_| ())?;
    if host.grants().hosts.is_empty() {
        return Ok((Err(ErrorCode::AccessDenied),));
    }
    let is_address = name.parse::<IpAddr>().is_ok();
    if !is_address && is_name(&name) && !host.grants().hosts.permits_name(&name) {
        return Ok((Err(ErrorCode::AccessDenied),));
    }
    // Not the host itself: it would hold the work that holds it, for ever.
    let hosts = host.grants().hosts.clone();
    let underway = match (name.parse::<IpAddr>(), is_name(&name)) {
        (Ok(ip), _) => Underway::new(async move { permitted(&hosts, vec![ip]) }),
        (_, true) => {
            let slots = Arc::clone(&host.wasi_grant().slots.lookups);
            Underway::new(async move {
                let found = timeout(LOOKUP_TIMEOUT, look_up(name, slots)).await;
                permitted(&hosts, found.unwrap_or(Err(ErrorCode::TemporaryResolverFailure))?)
            })
        }
        _ => return Ok((Err(ErrorCode::InvalidArgument),)),
    };
    Ok((Ok(host.push(Addresses { underway, found: None })?),))
}

/// What could be the name of a host: ASCII letters, digits, hyphens and dots (an underscore is
/// common on home networks).
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed)
}

/// Asks the system's resolver, which blocks, on a thread of its own. The slot is given back when that
/// thread is done, even if nobody waits for it any more.
async fn look_up(name: String, slots: Arc<Semaphore>) -> Found {
    let slot = slots.acquire_owned().await;
    let ask = tokio::task::spawn_blocking(move || {
        let found = (name.as_str(), 0).to_socket_addrs();
        drop(slot);
        found.map(|addresses| addresses.map(|a| a.ip()).collect())
    });
    match ask.await {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) => Err(ErrorCode::NameUnresolvable),
        Err(_) => Err(ErrorCode::TemporaryResolverFailure),
    }
}

/// The addresses that the operator leaves reachable, each once, last first.
pub(super) fn permitted(hosts: &Hosts, found: Vec<IpAddr>) -> Found {
    let mut addresses: Vec<IpAddr> = Vec::new();
    for ip in found {
        let new = !addresses.contains(&ip) && addresses.len() < LOOKUP_ADDRESSES_MAX;
        if new && hosts.permits_address(ip) {
            addresses.push(ip);
        }
    }
    if addresses.is_empty() {
        return Err(ErrorCode::NameUnresolvable);
    }
    addresses.reverse();
    Ok(addresses)
}

impl Addresses {
    pub(super) fn pollable(&self) -> Pollable {
        self.underway.pollable()
    }

    pub(super) fn next(&mut self) -> Result<Option<IpAddress>, ErrorCode> {
        if self.found.is_none() {
            self.found = self.underway.take();
        }
        match &mut self.found {
            None => Err(ErrorCode::WouldBlock),
            Some(Err(error)) => Err(*error),
            Some(Ok(addresses)) => Ok(addresses.pop().map(IpAddress::from)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_what_a_resolver_may_be_asked_for() {
        for name in ["localhost", "a.example.com.", "my_pi.local", "xn--bcher-kva.example"] {
            assert!(is_name(name), "{name}");
        }
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        for name in ["", "a b", "a/b", "ä.example", "a\0b", "[::1]", "a:80", &long] {
            assert!(!is_name(name), "{name}");
        }
    }
}
