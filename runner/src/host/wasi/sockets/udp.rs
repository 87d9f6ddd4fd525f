//! `wasi:sockets/udp`: datagrams to granted addresses, and their answers.
//!
//! A datagram socket must have a local address before it can do anything, so binding to "any address,
//! any port" is taken as a part of sending. Whatever else a guest would bind to is denied, and what
//! arrives from an address that is not granted is dropped.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use tokio::net::UdpSocket as Datagrams;
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::network::{ErrorCode, Family, Network, SocketAddress, peer};
use super::{Door, Host, Of, Protocol, interface, options};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::host::Interface;
use crate::host::wasi::Slots;
use crate::host::wasi::poll::Pollable;
use crate::limits::wasi::{DATAGRAM_BYTES_PER_CALL, DATAGRAMS_PER_CALL_MAX};

type Result<T> = std::result::Result<T, ErrorCode>;
type Handle = Resource<UdpSocket>;
type Streams = (Resource<Incoming>, Resource<Outgoing>);

/// `resource udp-socket`
pub(super) struct UdpSocket {
    shared: Arc<Shared>,
    state: State,
    remote: Option<SocketAddr>,
}

/// What a socket and its streams share.
struct Shared {
    socket: Datagrams,
    family: Family,
    _slot: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Binding,
    Bound,
}

/// `resource incoming-datagram-stream`
pub(super) struct Incoming(Arc<Shared>);

/// `resource outgoing-datagram-stream`
pub(super) struct Outgoing {
    shared: Arc<Shared>,
    remote: Option<SocketAddr>,
}

wire! {
    /// `record incoming-datagram`
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct IncomingDatagram {
        pub(super) data: Vec<u8>,
        #[component(name = "remote-address")]
        remote_address: SocketAddress,
    }
}

wire! {
    /// `record outgoing-datagram`
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct OutgoingDatagram {
        pub(super) data: Vec<u8>,
        #[component(name = "remote-address")]
        pub(super) remote_address: Option<SocketAddress>,
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    interface(door, "sockets/udp-create-socket")?.at_once("create-udp-socket", create)?;
    let mut udp = interface(door, "sockets/udp")?;
    udp.resource::<UdpSocket>("udp-socket")?;
    udp.resource::<Incoming>("incoming-datagram-stream")?;
    udp.resource::<Outgoing>("outgoing-datagram-stream")?;
    offer_socket(&mut udp)?;
    offer_streams(&mut udp)?;
    offer_options(&mut udp)
}

pub(super) fn create(host: &Host, (family,): (Family,)) -> Of<Handle> {
    Ok((match UdpSocket::new(family, &host.wasi_grant().slots) {
        Ok(socket) => Ok(host.push(socket)?),
        Err(error) => Err(error),
    },))
}

fn offer_socket(udp: &mut Interface<'_>) -> Answer<()> {
    udp.at_once(
        "[method]udp-socket.start-bind",
        |host, (socket, network, address): (Handle, Resource<Network>, SocketAddress)| {
            host.with(&network, |_| ())?;
            let closed = host.grants().hosts.is_empty();
            let bound = |s: &mut UdpSocket| match closed {
                true => Err(ErrorCode::AccessDenied),
                false => s.start_bind(address),
            };
            Ok((host.with(&socket, bound)?,))
        },
    )?;
    udp.at_once("[method]udp-socket.finish-bind", |host, (socket,): (Handle,)| {
        Ok((host.with(&socket, |s| s.finish_bind())?,))
    })?;
    udp.at_once("[method]udp-socket.stream", streams)?;
    udp.at_once("[method]udp-socket.local-address", |host, (socket,): (Handle,)| {
        Ok((host.with(&socket, |s| s.local_address())?,))
    })?;
    udp.at_once("[method]udp-socket.remote-address", |host, (socket,): (Handle,)| {
        let remote = host.with(&socket, |s| s.remote)?;
        Ok((remote.map(SocketAddress::from).ok_or(ErrorCode::InvalidState),))
    })?;
    udp.at_once("[method]udp-socket.address-family", |host, (socket,): (Handle,)| {
        Ok((host.with(&socket, |s| s.shared.family)?,))
    })?;
    // Binding is done when it starts, and nothing else of a socket's takes time.
    udp.at_once("[method]udp-socket.subscribe", |host, (socket,): (Handle,)| {
        let pollable = host.with(&socket, |_| Pollable::now())?;
        Ok((host.push(pollable)?,))
    })
}

pub(super) fn streams(
    host: &Host,
    (socket, remote): (Handle, Option<SocketAddress>),
) -> Of<Streams> {
    let permits = |address| host.permits(Protocol::Udp, address);
    if let Err(error) = host.with(&socket, |s| s.set_remote(remote, permits))? {
        return Ok((Err(error),));
    }
    let (shared, remote) = host.with(&socket, |s| (Arc::clone(&s.shared), s.remote))?;
    let incoming = host.push(Incoming(Arc::clone(&shared)))?;
    let outgoing = host.push(Outgoing { shared, remote })?;
    Ok((Ok((incoming, outgoing)),))
}

fn offer_streams(udp: &mut Interface<'_>) -> Answer<()> {
    udp.at_once(
        "[method]incoming-datagram-stream.receive",
        |host, (incoming, max): (Resource<Incoming>, u64)| {
            let permits = |address| host.permits(Protocol::Udp, address);
            Ok((host.with(&incoming, |i| i.receive(max, permits))?,))
        },
    )?;
    udp.at_once(
        "[method]incoming-datagram-stream.subscribe",
        |host, (incoming,): (Resource<Incoming>,)| {
            let pollable = host.with(&incoming, |i| i.pollable())?;
            Ok((host.push(pollable)?,))
        },
    )?;
    udp.waiting(Twin::Sync, "[method]outgoing-datagram-stream.check-send", check_send)?;
    udp.at_once(
        "[method]outgoing-datagram-stream.send",
        |host, (outgoing, datagrams): (Resource<Outgoing>, Vec<OutgoingDatagram>)| {
            let permits = |address| host.permits(Protocol::Udp, address);
            Ok((host.with(&outgoing, |o| o.send(&datagrams, permits))?,))
        },
    )?;
    udp.at_once(
        "[method]outgoing-datagram-stream.subscribe",
        |host, (outgoing,): (Resource<Outgoing>,)| {
            let pollable = host.with(&outgoing, |o| o.pollable())?;
            Ok((host.push(pollable)?,))
        },
    )
}

async fn check_send(host: Host, (outgoing,): (Resource<Outgoing>,)) -> Of<u64> {
    let pollable = host.with(&outgoing, |o| o.pollable())?;
    let now = if pollable.is_ready().await { DATAGRAMS_PER_CALL_MAX as u64 } else { 0 };
    Ok((Ok(now),))
}

fn offer_options(udp: &mut Interface<'_>) -> Answer<()> {
    udp.at_once("[method]udp-socket.unicast-hop-limit", |host, (socket,): (Handle,)| {
        option(host, &socket, options::hop_limit)
    })?;
    udp.at_once(
        "[method]udp-socket.set-unicast-hop-limit",
        |host, (socket, value): (Handle, u8)| {
            option(host, &socket, |fd, family| options::set_hop_limit(fd, family, value))
        },
    )?;
    udp.at_once("[method]udp-socket.receive-buffer-size", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::receive_buffer(fd))
    })?;
    udp.at_once(
        "[method]udp-socket.set-receive-buffer-size",
        |host, (socket, bytes): (Handle, u64)| {
            option(host, &socket, |fd, _| options::set_receive_buffer(fd, bytes))
        },
    )?;
    udp.at_once("[method]udp-socket.send-buffer-size", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::send_buffer(fd))
    })?;
    udp.at_once(
        "[method]udp-socket.set-send-buffer-size",
        |host, (socket, bytes): (Handle, u64)| {
            option(host, &socket, |fd, _| options::set_send_buffer(fd, bytes))
        },
    )
}

fn option<T>(
    host: &Host,
    socket: &Handle,
    act: impl FnOnce(BorrowedFd<'_>, Family) -> Result<T>,
) -> Of<T> {
    Ok((host.with(socket, |s| act(s.shared.socket.as_fd(), s.shared.family))?,))
}

impl UdpSocket {
    fn new(family: Family, slots: &Slots) -> Result<Self> {
        let slot = slots.socket().ok_or(ErrorCode::NewSocketLimit)?;
        let domain = match family {
            Family::V4 => AddressFamily::INET,
            Family::V6 => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = socket_with(domain, SocketType::DGRAM, flags, None)?;
        let socket = Datagrams::from_std(std::net::UdpSocket::from(socket))?;
        let shared = Arc::new(Shared { socket, family, _slot: slot });
        Ok(Self { shared, state: State::New, remote: None })
    }

    pub(super) fn start_bind(&mut self, address: SocketAddress) -> Result<()> {
        let address = SocketAddr::from(address);
        match self.state {
            State::New => {}
            State::Binding => return Err(ErrorCode::ConcurrencyConflict),
            State::Bound => return Err(ErrorCode::InvalidState),
        }
        if Family::of(&address) != self.shared.family {
            return Err(ErrorCode::InvalidArgument);
        }
        if !address.ip().is_unspecified() || address.port() != 0 {
            return Err(ErrorCode::AccessDenied);
        }
        let any: SocketAddr = match self.shared.family {
            Family::V4 => (Ipv4Addr::UNSPECIFIED, 0).into(),
            Family::V6 => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        rustix::net::bind(&self.shared.socket, &any)?;
        self.state = State::Binding;
        Ok(())
    }

    pub(super) fn finish_bind(&mut self) -> Result<()> {
        if self.state != State::Binding {
            return Err(ErrorCode::NotInProgress);
        }
        self.state = State::Bound;
        Ok(())
    }

    /// Connects the socket to one peer, or to none.
    fn set_remote(
        &mut self,
        remote: Option<SocketAddress>,
        permits: impl Fn(SocketAddr) -> bool,
    ) -> Result<()> {
        if self.state != State::Bound {
            return Err(ErrorCode::InvalidState);
        }
        let remote = remote.map(|address| peer(address, self.shared.family)).transpose()?;
        match remote {
            Some(address) if !permits(address) => return Err(ErrorCode::AccessDenied),
            Some(address) => rustix::net::connect(&self.shared.socket, &address)?,
            None if self.remote.is_some() => rustix::net::connect_unspec(&self.shared.socket)?,
            None => {}
        }
        self.remote = remote;
        Ok(())
    }

    pub(super) fn local_address(&self) -> Result<SocketAddress> {
        if self.state == State::New {
            return Err(ErrorCode::InvalidState);
        }
        Ok(self.shared.socket.local_addr()?.into())
    }
}

impl Incoming {
    /// What has arrived from granted addresses.
    pub(super) fn receive(
        &self,
        max: u64,
        permits: impl Fn(SocketAddr) -> bool,
    ) -> Result<Vec<IncomingDatagram>> {
        let max = usize::try_from(max).unwrap_or(usize::MAX).min(DATAGRAMS_PER_CALL_MAX);
        let mut datagrams = Vec::new();
        let mut buffer = vec![0; usize::from(u16::MAX)];
        let mut bytes = 0;
        // Dropped ones count, so that strangers cannot keep us here.
        for _ in 0..max {
            match self.0.socket.try_recv_from(&mut buffer) {
                Ok((count, from)) if permits(from) => {
                    let data = buffer[..count].to_vec();
                    datagrams.push(IncomingDatagram { data, remote_address: from.into() });
                    bytes += count;
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if datagrams.is_empty() => return Err(error.into()),
                Err(_) => break,
            }
            if bytes >= DATAGRAM_BYTES_PER_CALL {
                break;
            }
        }
        Ok(datagrams)
    }

    pub(super) fn pollable(&self) -> Pollable {
        let shared = Arc::clone(&self.0);
        Pollable::new(move || {
            let shared = Arc::clone(&shared);
            async move {
                // An error is for the next call to tell.
                let _ = shared.socket.readable().await;
            }
        })
    }
}

impl Outgoing {
    /// Sends as many as the kernel takes and answers how many; an error only if it took none.
    pub(super) fn send(
        &self,
        datagrams: &[OutgoingDatagram],
        permits: impl Fn(SocketAddr) -> bool,
    ) -> Result<u64> {
        let mut sent = 0;
        for datagram in datagrams.iter().take(DATAGRAMS_PER_CALL_MAX) {
            match self.send_one(datagram, &permits) {
                Ok(()) => sent += 1,
                Err(ErrorCode::WouldBlock) => break,
                Err(error) if sent == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(sent)
    }

    fn send_one(
        &self,
        datagram: &OutgoingDatagram,
        permits: &impl Fn(SocketAddr) -> bool,
    ) -> Result<()> {
        let given = datagram.remote_address.map(|address| peer(address, self.shared.family));
        let socket = &self.shared.socket;
        match (self.remote, given.transpose()?) {
            (None, None) => return Err(ErrorCode::InvalidArgument),
            (Some(remote), Some(other)) if remote != other => {
                return Err(ErrorCode::InvalidArgument);
            }
            (Some(_), _) => socket.try_send(&datagram.data)?,
            (None, Some(address)) if permits(address) => {
                socket.try_send_to(&datagram.data, address)?
            }
            (None, Some(_)) => return Err(ErrorCode::AccessDenied),
        };
        Ok(())
    }

    pub(super) fn pollable(&self) -> Pollable {
        let shared = Arc::clone(&self.shared);
        Pollable::new(move || {
            let shared = Arc::clone(&shared);
            async move {
                // An error is for the next call to tell.
                let _ = shared.socket.writable().await;
            }
        })
    }
}
