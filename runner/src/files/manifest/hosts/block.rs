//! `block_networks`: addresses that nobody reaches, whatever the manifest grants.

use std::net::IpAddr;

use super::network::{Network, embedded_v4};

/// IPv4 blocks that are not globally reachable (IANA's special-purpose registry, RFC 6890 and after).
const PRIVATE_V4: &[Network] = &[
    Network::v4(0, 0, 0, 0, 8),
    Network::v4(10, 0, 0, 0, 8),
    Network::v4(100, 64, 0, 0, 10),
    Network::v4(127, 0, 0, 0, 8),
    Network::v4(169, 254, 0, 0, 16),
    Network::v4(172, 16, 0, 0, 12),
    Network::v4(192, 0, 0, 0, 24),
    Network::v4(192, 0, 2, 0, 24),
    Network::v4(192, 168, 0, 0, 16),
    Network::v4(198, 18, 0, 0, 15),
    Network::v4(198, 51, 100, 0, 24),
    Network::v4(203, 0, 113, 0, 24),
    Network::v4(224, 0, 0, 0, 4),
    Network::v4(240, 0, 0, 0, 4),
];

/// Global unicast IPv6 is `2000::/3`; these are the blocks within it that are not globally reachable.
const PRIVATE_WITHIN_GLOBAL_V6: &[Network] =
    &[Network::v6(0x2001, 0, 23), Network::v6(0x2001, 0xdb8, 32), Network::v6(0x3fff, 0, 20)];
const GLOBAL_V6: Network = Network::v6(0x2000, 0, 3);

/// What the operator's `[outbound_networking] block_networks` says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BlockedNetworks {
    /// Blocks named one by one.
    pub networks: Vec<Network>,
    /// Whether `"private"` is named: every address that is not global.
    pub private: PrivateNetworks,
}

/// What happens to addresses that are not globally reachable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PrivateNetworks {
    /// Nothing special.
    #[default]
    Reachable,
    /// Refused.
    Blocked,
}

impl BlockedNetworks {
    /// Whether `ip` is out of reach. IPv6 addresses that carry an IPv4 address count as both.
    pub fn blocks(&self, ip: IpAddr) -> bool {
        let carried = match ip {
            IpAddr::V6(v6) => embedded_v4(v6).map(IpAddr::V4),
            IpAddr::V4(_) => None,
        };
        self.blocks_exactly(ip, carried) || carried.is_some_and(|v4| self.blocks_exactly(v4, None))
    }

    fn blocks_exactly(&self, ip: IpAddr, carried: Option<IpAddr>) -> bool {
        // A mapped address is as global as what it carries.
        let private =
            self.private == PrivateNetworks::Blocked && carried.is_none() && !is_global(ip);
        private || self.networks.iter().any(|network| network.contains(ip))
    }
}

fn is_global(ip: IpAddr) -> bool {
    let within = |networks: &[Network]| networks.iter().any(|network| network.contains(ip));
    match ip {
        IpAddr::V4(_) => !within(PRIVATE_V4),
        IpAddr::V6(_) => GLOBAL_V6.contains(ip) && !within(PRIVATE_WITHIN_GLOBAL_V6),
    }
}
