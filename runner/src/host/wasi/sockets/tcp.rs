//! `wasi:sockets/tcp`: a client's socket, from its making over connecting to its two streams.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;

use tokio::net::{TcpSocket as NewSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::connection::{Connection, TcpReader, TcpWriter};
use super::network::{ErrorCode, Family, Network, SocketAddress, peer};
use super::{Door, Host, Of, Protocol, interface, options};
use crate::engine::door::Answer;
use crate::engine::wire::wire;
use crate::host::Interface;
use crate::host::wasi::Slots;
use crate::host::wasi::poll::Pollable;
use crate::host::wasi::streams::{InputStream, OutputStream};
use crate::host::wasi::underway::Underway;
use crate::limits::wasi::CONNECT_TIMEOUT;

/// `resource tcp-socket`
pub(super) struct TcpSocket {
    family: Family,
    state: State,
    /// Shared with the connection, which may live a little longer.
    slot: Arc<OwnedSemaphorePermit>,
}

enum State {
    New(NewSocket),
    Connecting(Arc<Underway<io::Result<TcpStream>>>),
    Connected(Arc<Connection>),
    /// Connecting failed; the guest makes a new one.
    Spent,
}

wire! {
    /// `enum shutdown-type`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "guests make them")]
    enum ShutdownType {
        #[component(name = "receive")]
        Receive,
        #[component(name = "send")]
        Send,
        #[component(name = "both")]
        Both,
    }
}

type Handle = Resource<TcpSocket>;
type Streams = (Resource<InputStream>, Resource<OutputStream>);
type Result<T> = std::result::Result<T, ErrorCode>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    interface(door, "sockets/tcp-create-socket")?.at_once("create-tcp-socket", create)?;
    let mut tcp = interface(door, "sockets/tcp")?;
    tcp.resource::<TcpSocket>("tcp-socket")?;
    offer_connecting(&mut tcp)?;
    offer_listening(&mut tcp)?;
    offer_questions(&mut tcp)?;
    offer_options(&mut tcp)
}

pub(super) fn create(host: &Host, (family,): (Family,)) -> Of<Handle> {
    Ok((match TcpSocket::new(family, &host.wasi_grant().slots) {
        Ok(socket) => Ok(host.push(socket)?),
        Err(error) => Err(error),
    },))
}

fn offer_connecting(tcp: &mut Interface<'_>) -> Answer<()> {
    tcp.at_once("[method]tcp-socket.start-connect", start_connect)?;
    tcp.at_once("[method]tcp-socket.finish-connect", finish_connect)?;
    tcp.at_once("[method]tcp-socket.subscribe", |host, (socket,): (Handle,)| {
        let pollable = host.with(&socket, |s| s.pollable())?;
        Ok((host.push(pollable)?,))
    })?;
    tcp.at_once("[method]tcp-socket.shutdown", |host, (socket, what): (Handle, ShutdownType)| {
        Ok((host.with(&socket, |s| s.shutdown(what))?,))
    })
}

pub(super) fn start_connect(
    host: &Host,
    (socket, network, address): (Handle, Resource<Network>, SocketAddress),
) -> Of<()> {
    host.with(&network, |_| ())?;
    let permits = |address| host.permits(Protocol::Tcp, address);
    Ok((host.with(&socket, |s| s.start_connect(address, permits))?,))
}

pub(super) fn finish_connect(host: &Host, (socket,): (Handle,)) -> Of<Streams> {
    let connection = match host.with(&socket, |s| s.finish_connect())? {
        Ok(connection) => connection,
        Err(error) => return Ok((Err(error),)),
    };
    let input = host.push(InputStream::Tcp(TcpReader(Arc::clone(&connection))))?;
    let output = host.push(OutputStream::Tcp(TcpWriter(connection)))?;
    Ok((Ok((input, output)),))
}

/// Nothing listens, and so nothing has an address of its own to choose.
fn offer_listening(tcp: &mut Interface<'_>) -> Answer<()> {
    tcp.at_once(
        "[method]tcp-socket.start-bind",
        |_, _: (Handle, Resource<Network>, SocketAddress)| -> Of<()> {
            Ok((Err(ErrorCode::AccessDenied),))
        },
    )?;
    tcp.at_once("[method]tcp-socket.finish-bind", |_, _: (Handle,)| -> Of<()> {
        Ok((Err(ErrorCode::NotInProgress),))
    })?;
    tcp.at_once("[method]tcp-socket.start-listen", |_, _: (Handle,)| -> Of<()> {
        Ok((Err(ErrorCode::AccessDenied),))
    })?;
    tcp.at_once("[method]tcp-socket.finish-listen", |_, _: (Handle,)| -> Of<()> {
        Ok((Err(ErrorCode::NotInProgress),))
    })?;
    tcp.at_once(
        "[method]tcp-socket.accept",
        |_, _: (Handle,)| -> Of<(Handle, Resource<InputStream>, Resource<OutputStream>)> {
            Ok((Err(ErrorCode::InvalidState),))
        },
    )?;
    tcp.at_once("[method]tcp-socket.is-listening", |_, _: (Handle,)| Ok((false,)))?;
    tcp.at_once("[method]tcp-socket.set-listen-backlog-size", |_, _: (Handle, u64)| -> Of<()> {
        Ok((Err(ErrorCode::NotSupported),))
    })
}

fn offer_questions(tcp: &mut Interface<'_>) -> Answer<()> {
    tcp.at_once("[method]tcp-socket.local-address", |host, (socket,): (Handle,)| {
        Ok((host.with(&socket, |s| s.address(TcpStream::local_addr))?,))
    })?;
    tcp.at_once("[method]tcp-socket.remote-address", |host, (socket,): (Handle,)| {
        Ok((host.with(&socket, |s| s.address(TcpStream::peer_addr))?,))
    })?;
    tcp.at_once("[method]tcp-socket.address-family", |host, (socket,): (Handle,)| {
        Ok((host.with(&socket, |s| s.family)?,))
    })
}

fn offer_options(tcp: &mut Interface<'_>) -> Answer<()> {
    tcp.at_once("[method]tcp-socket.keep-alive-enabled", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::keep_alive(fd))
    })?;
    tcp.at_once(
        "[method]tcp-socket.set-keep-alive-enabled",
        |host, (socket, value): (Handle, bool)| {
            option(host, &socket, |fd, _| options::set_keep_alive(fd, value))
        },
    )?;
    tcp.at_once("[method]tcp-socket.keep-alive-idle-time", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::keep_alive_idle(fd))
    })?;
    tcp.at_once(
        "[method]tcp-socket.set-keep-alive-idle-time",
        |host, (socket, value): (Handle, u64)| {
            option(host, &socket, |fd, _| options::set_keep_alive_idle(fd, value))
        },
    )?;
    tcp.at_once("[method]tcp-socket.keep-alive-interval", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::keep_alive_interval(fd))
    })?;
    tcp.at_once(
        "[method]tcp-socket.set-keep-alive-interval",
        |host, (socket, value): (Handle, u64)| {
            option(host, &socket, |fd, _| options::set_keep_alive_interval(fd, value))
        },
    )?;
    tcp.at_once("[method]tcp-socket.keep-alive-count", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::keep_alive_count(fd))
    })?;
    tcp.at_once(
        "[method]tcp-socket.set-keep-alive-count",
        |host, (socket, value): (Handle, u32)| {
            option(host, &socket, |fd, _| options::set_keep_alive_count(fd, value))
        },
    )?;
    tcp.at_once("[method]tcp-socket.hop-limit", |host, (socket,): (Handle,)| {
        option(host, &socket, options::hop_limit)
    })?;
    tcp.at_once("[method]tcp-socket.set-hop-limit", |host, (socket, value): (Handle, u8)| {
        option(host, &socket, |fd, family| options::set_hop_limit(fd, family, value))
    })?;
    tcp.at_once("[method]tcp-socket.receive-buffer-size", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::receive_buffer(fd))
    })?;
    tcp.at_once(
        "[method]tcp-socket.set-receive-buffer-size",
        |host, (socket, value): (Handle, u64)| {
            option(host, &socket, |fd, _| options::set_receive_buffer(fd, value))
        },
    )?;
    tcp.at_once("[method]tcp-socket.send-buffer-size", |host, (socket,): (Handle,)| {
        option(host, &socket, |fd, _| options::send_buffer(fd))
    })?;
    tcp.at_once(
        "[method]tcp-socket.set-send-buffer-size",
        |host, (socket, value): (Handle, u64)| {
            option(host, &socket, |fd, _| options::set_send_buffer(fd, value))
        },
    )?;
    Ok(())
}

fn option<T>(
    host: &Host,
    socket: &Handle,
    act: impl FnOnce(BorrowedFd<'_>, Family) -> Result<T>,
) -> Of<T> {
    Ok((host.with(socket, |s| act(s.fd()?, s.family))?,))
}

impl TcpSocket {
    fn new(family: Family, slots: &Slots) -> Result<Self> {
        let slot = Arc::new(slots.socket().ok_or(ErrorCode::NewSocketLimit)?);
        let socket = match family {
            Family::V4 => NewSocket::new_v4()?,
            Family::V6 => NewSocket::new_v6()?,
        };
        Ok(Self { family, state: State::New(socket), slot })
    }

    fn start_connect(
        &mut self,
        address: SocketAddress,
        permits: impl Fn(SocketAddr) -> bool,
    ) -> Result<()> {
        match &self.state {
            State::New(_) => {}
            State::Connecting(_) => return Err(ErrorCode::ConcurrencyConflict),
            State::Connected(_) | State::Spent => return Err(ErrorCode::InvalidState),
        }
        let address = peer(address, self.family)?;
        if !permits(address) {
            return Err(ErrorCode::AccessDenied);
        }
        if let State::New(socket) = std::mem::replace(&mut self.state, State::Spent) {
            self.state = State::Connecting(Underway::new(async move {
                timeout(CONNECT_TIMEOUT, socket.connect(address)).await?
            }));
        }
        Ok(())
    }

    fn finish_connect(&mut self) -> Result<Arc<Connection>> {
        let State::Connecting(underway) = &self.state else {
            return Err(ErrorCode::NotInProgress);
        };
        let result = underway.take().ok_or(ErrorCode::WouldBlock)?;
        self.state = State::Spent;
        let connection = Connection::new(result?, Arc::clone(&self.slot));
        self.state = State::Connected(Arc::clone(&connection));
        Ok(connection)
    }

    pub(super) fn pollable(&self) -> Pollable {
        match &self.state {
            State::Connecting(underway) => underway.pollable(),
            State::New(_) | State::Connected(_) | State::Spent => Pollable::now(),
        }
    }

    fn shutdown(&mut self, what: ShutdownType) -> Result<()> {
        let connection = self.connection()?;
        if matches!(what, ShutdownType::Receive | ShutdownType::Both) {
            connection.shut_receiving()?;
        }
        if matches!(what, ShutdownType::Send | ShutdownType::Both) {
            connection.shut_sending()?;
        }
        Ok(())
    }

    fn connection(&self) -> Result<&Arc<Connection>> {
        match &self.state {
            State::Connected(connection) => Ok(connection),
            State::New(_) | State::Connecting(_) | State::Spent => Err(ErrorCode::InvalidState),
        }
    }

    fn address(&self, of: fn(&TcpStream) -> io::Result<SocketAddr>) -> Result<SocketAddress> {
        Ok(of(self.connection()?.stream())?.into())
    }

    /// The socket, for its options; while it connects it is out of reach.
    pub(super) fn fd(&self) -> Result<BorrowedFd<'_>> {
        match &self.state {
            State::New(socket) => Ok(socket.as_fd()),
            State::Connected(connection) => Ok(connection.stream().as_fd()),
            State::Connecting(_) => Err(ErrorCode::ConcurrencyConflict),
            State::Spent => Err(ErrorCode::InvalidState),
        }
    }
}
