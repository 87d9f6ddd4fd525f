//! `allowed_outbound_hosts` and `block_networks`: who a component may talk to.
//!
//! Patterns are parsed here once and asked by every capability that opens a connection. This module
//! resolves no name and opens nothing.

use std::fmt;
use std::net::IpAddr;

mod block;
mod network;
mod pattern;
#[cfg(test)]
mod tests;

pub use block::{BlockedNetworks, PrivateNetworks};
pub use network::Network;
pub use pattern::{HostError, HostPattern};

/// Everything that decides whether a component may reach an address.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Hosts {
    granted: Vec<HostPattern>,
    /// What the device grants at most; `None` is no opinion.
    policy: Option<Vec<HostPattern>>,
    blocked: BlockedNetworks,
}

impl Hosts {
    /// What the manifest grants, within what the operator allows.
    pub fn new(
        granted: Vec<HostPattern>,
        policy: Option<Vec<HostPattern>>,
        blocked: BlockedNetworks,
    ) -> Self {
        Self { granted, policy, blocked }
    }

    /// Everything that the operator allows: for what needs no grant of a component's.
    pub fn within(policy: Option<Vec<HostPattern>>, blocked: BlockedNetworks) -> Self {
        Self { granted: vec![HostPattern::any()], policy, blocked }
    }

    /// Whether a connection by this scheme to this host and port may be opened. `port` is `None` when the
    /// address names none; then the scheme's default counts. Names are compared as they are written:
    /// after resolving, ask [`permits_address`](Self::permits_address) for each address.
    pub fn permits(&self, scheme: &str, host: &str, port: Option<u16>) -> bool {
        let address = pattern::bare_address(host);
        address.is_none_or(|ip| self.permits_address(ip))
            && self.each(|pattern| pattern.permits(scheme, host, port))
    }

    /// Whether this name may be looked up: some entry grants the host, by whatever scheme and port. Any
    /// other look-up could carry data out, in the name, to whoever answers for the domain.
    pub fn permits_name(&self, name: &str) -> bool {
        self.each(|pattern| pattern.permits_name(name))
    }

    /// Whether a raw TCP connection to exactly this address may be opened. Entries with a domain never match.
    pub fn permits_socket(&self, ip: IpAddr, port: u16) -> bool {
        self.permits_address(ip) && self.each(|pattern| pattern.permits_socket("tcp", ip, port))
    }

    /// The same for UDP, which has its own scheme.
    pub fn permits_datagram(&self, ip: IpAddr, port: u16) -> bool {
        self.permits_address(ip) && self.each(|pattern| pattern.permits_socket("udp", ip, port))
    }

    /// Whether the operator's `block_networks` leaves this address reachable, whatever the scheme.
    pub fn permits_address(&self, ip: IpAddr) -> bool {
        !self.blocked.blocks(ip)
    }

    /// Whether nothing at all is granted.
    pub fn is_empty(&self) -> bool {
        self.granted.is_empty()
    }

    fn each(&self, permits: impl Fn(&HostPattern) -> bool) -> bool {
        let by_policy = self.policy.as_ref().is_none_or(|policy| policy.iter().any(&permits));
        by_policy && self.granted.iter().any(&permits)
    }
}

impl fmt::Display for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for pattern in &self.granted {
            write!(f, "{separator}{pattern}")?;
            separator = ", ";
        }
        Ok(())
    }
}
