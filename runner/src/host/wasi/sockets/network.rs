//! `wasi:sockets/network`: addresses, error codes, and the one network there is.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use rustix::io::Errno;
use wasmtime::component::{ComponentType, Lift, Lower};

use super::{Door, interface};
use crate::engine::door::Answer;
use crate::engine::wire::wire;

/// `resource network`: every guest's is the same, and grants nothing.
pub(super) struct Network;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    interface(door, "sockets/network")?.resource::<Network>("network")?;
    interface(door, "sockets/instance-network")?
        .at_once("instance-network", |host, (): ()| Ok((host.push(Network)?,)))
}

wire! {
    /// `enum error-code`, cases in the order of the WIT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "the guest's type has them all; some belong to servers")]
    pub(super) enum ErrorCode {
        #[component(name = "unknown")]
        Unknown,
        #[component(name = "access-denied")]
        AccessDenied,
        #[component(name = "not-supported")]
        NotSupported,
        #[component(name = "invalid-argument")]
        InvalidArgument,
        #[component(name = "out-of-memory")]
        OutOfMemory,
        #[component(name = "timeout")]
        Timeout,
        #[component(name = "concurrency-conflict")]
        ConcurrencyConflict,
        #[component(name = "not-in-progress")]
        NotInProgress,
        #[component(name = "would-block")]
        WouldBlock,
        #[component(name = "invalid-state")]
        InvalidState,
        #[component(name = "new-socket-limit")]
        NewSocketLimit,
        #[component(name = "address-not-bindable")]
        AddressNotBindable,
        #[component(name = "address-in-use")]
        AddressInUse,
        #[component(name = "remote-unreachable")]
        RemoteUnreachable,
        #[component(name = "connection-refused")]
        ConnectionRefused,
        #[component(name = "connection-reset")]
        ConnectionReset,
        #[component(name = "connection-aborted")]
        ConnectionAborted,
        #[component(name = "datagram-too-large")]
        DatagramTooLarge,
        #[component(name = "name-unresolvable")]
        NameUnresolvable,
        #[component(name = "temporary-resolver-failure")]
        TemporaryResolverFailure,
        #[component(name = "permanent-resolver-failure")]
        PermanentResolverFailure,
    }
}

impl From<Errno> for ErrorCode {
    fn from(error: Errno) -> Self {
        match error {
            Errno::ACCESS | Errno::PERM => Self::AccessDenied,
            Errno::INVAL | Errno::DESTADDRREQ => Self::InvalidArgument,
            Errno::NOMEM | Errno::NOBUFS => Self::OutOfMemory,
            Errno::TIMEDOUT => Self::Timeout,
            Errno::AGAIN => Self::WouldBlock,
            Errno::NOTCONN | Errno::ISCONN => Self::InvalidState,
            Errno::MFILE | Errno::NFILE => Self::NewSocketLimit,
            Errno::ADDRNOTAVAIL => Self::AddressNotBindable,
            Errno::ADDRINUSE => Self::AddressInUse,
            Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::NETDOWN => {
                Self::RemoteUnreachable
            }
            Errno::CONNREFUSED => Self::ConnectionRefused,
            Errno::CONNRESET | Errno::PIPE => Self::ConnectionReset,
            Errno::CONNABORTED => Self::ConnectionAborted,
            Errno::MSGSIZE => Self::DatagramTooLarge,
            Errno::AFNOSUPPORT | Errno::PROTONOSUPPORT | Errno::NOPROTOOPT | Errno::OPNOTSUPP => {
                Self::NotSupported
            }
            _ => Self::Unknown,
        }
    }
}

impl From<io::Error> for ErrorCode {
    fn from(error: io::Error) -> Self {
        match (Errno::from_io_error(&error), error.kind()) {
            (Some(errno), _) => errno.into(),
            // Not the kernel's word but tokio's.
            (None, io::ErrorKind::TimedOut) => Self::Timeout,
            (None, io::ErrorKind::WouldBlock) => Self::WouldBlock,
            (None, _) => Self::Unknown,
        }
    }
}

wire! {
    /// `enum ip-address-family`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    pub(super) enum Family {
        #[component(name = "ipv4")]
        V4,
        #[component(name = "ipv6")]
        V6,
    }
}

impl Family {
    pub(super) fn of(address: &SocketAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

type Octets = (u8, u8, u8, u8);
type Segments = (u16, u16, u16, u16, u16, u16, u16, u16);

fn octets(ip: Ipv4Addr) -> Octets {
    let [a, b, c, d] = ip.octets();
    (a, b, c, d)
}

fn segments(ip: Ipv6Addr) -> Segments {
    let [a, b, c, d, e, f, g, h] = ip.segments();
    (a, b, c, d, e, f, g, h)
}

wire! {
    /// `variant ip-address`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum IpAddress {
        #[component(name = "ipv4")]
        V4(Octets),
        #[component(name = "ipv6")]
        V6(Segments),
    }
}

impl From<IpAddr> for IpAddress {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::V4(octets(ip)),
            IpAddr::V6(ip) => Self::V6(segments(ip)),
        }
    }
}

wire! {
    /// `record ipv4-socket-address`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct V4SocketAddress {
        port: u16,
        address: Octets,
    }
}

wire! {
    /// `record ipv6-socket-address`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct V6SocketAddress {
        port: u16,
        #[component(name = "flow-info")]
        flow_info: u32,
        address: Segments,
        #[component(name = "scope-id")]
        scope_id: u32,
    }
}

wire! {
    /// `variant ip-socket-address`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum SocketAddress {
        #[component(name = "ipv4")]
        V4(V4SocketAddress),
        #[component(name = "ipv6")]
        V6(V6SocketAddress),
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        match address {
            SocketAddr::V4(v4) => {
                Self::V4(V4SocketAddress { port: v4.port(), address: octets(*v4.ip()) })
            }
            SocketAddr::V6(v6) => Self::V6(V6SocketAddress {
                port: v6.port(),
                flow_info: v6.flowinfo(),
                address: segments(*v6.ip()),
                scope_id: v6.scope_id(),
            }),
        }
    }
}

impl From<SocketAddress> for SocketAddr {
    fn from(address: SocketAddress) -> Self {
        match address {
            SocketAddress::V4(V4SocketAddress { port, address: (a, b, c, d) }) => {
                SocketAddrV4::new(Ipv4Addr::new(a, b, c, d), port).into()
            }
            SocketAddress::V6(v6) => {
                let (a, b, c, d, e, f, g, h) = v6.address;
                let ip = Ipv6Addr::new(a, b, c, d, e, f, g, h);
                SocketAddrV6::new(ip, v6.port, v6.flow_info, v6.scope_id).into()
            }
        }
    }
}

/// A peer's address that a socket of this family can talk to: one host, one port, and not an IPv4
/// address in IPv6 clothes, which would be granted by other rules than it is reached by.
pub(super) fn peer(address: SocketAddress, family: Family) -> Result<SocketAddr, ErrorCode> {
    let address = SocketAddr::from(address);
    let ip = address.ip();
    let mapped = matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some());
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let no_host = ip.is_unspecified() || ip.is_multicast() || broadcast || mapped;
    if Family::of(&address) != family || no_host || address.port() == 0 {
        return Err(ErrorCode::InvalidArgument);
    }
    Ok(address)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn errors_keep_their_meaning_whoever_made_them() {
        for kind in [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut] {
            let errno =
                if kind == io::ErrorKind::TimedOut { Errno::TIMEDOUT } else { Errno::AGAIN };
            assert_eq!(ErrorCode::from(io::Error::from(kind)), ErrorCode::from(errno));
        }
        assert_eq!(ErrorCode::from(io::Error::other("x")), ErrorCode::Unknown);
    }

    #[test]
    fn addresses_survive_the_way_to_the_guest_and_back() {
        for text in ["10.1.2.3:80", "[2001:db8::1:2]:65535", "[fe80::1%7]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(SocketAddress::from(address)), address);
        }
    }

    #[test]
    fn a_peer_is_one_host_at_one_port_of_the_sockets_family() {
        for (text, family, good) in [
            ("127.0.0.1:80", Family::V4, true),
            ("[::1]:80", Family::V6, true),
            ("127.0.0.1:80", Family::V6, false),
            ("[::1]:80", Family::V4, false),
            ("127.0.0.1:0", Family::V4, false),
            ("0.0.0.0:80", Family::V4, false),
            ("[::]:80", Family::V6, false),
            ("224.0.0.1:80", Family::V4, false),
            ("255.255.255.255:80", Family::V4, false),
            ("[ff02::1]:80", Family::V6, false),
            ("[::ffff:127.0.0.1]:80", Family::V6, false),
        ] {
            let address = SocketAddress::from(text.parse::<SocketAddr>().unwrap());
            assert_eq!(peer(address, family).is_ok(), good, "{text} for {family:?}");
        }
    }
}
