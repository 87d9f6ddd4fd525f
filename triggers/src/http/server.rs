//! A listener and its connections. One task accepts; each connection has a task of its own, which does no work of anybody
//! else's.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use http::uri::Scheme;
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

use super::address::Address;
use super::connection::{self, Handler, Manner, Rested};
use super::hall::{Hall, Seat};
use super::tls::{Tls, TlsError, TlsFiles};
use super::wire::Wire;
use crate::limits::http as limits;

/// A socket that listens. Connections wait in the kernel until it is served.
#[derive(Debug)]
pub struct Listener {
    socket: Arc<Socket>,
    address: Address,
    tls: Option<Tls>,
    rested: Rested,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code, reason = "for its drop")] Unlinked),
}

/// A socket's file, removed with its listener.
#[derive(Debug)]
struct Unlinked(PathBuf);

impl Drop for Unlinked {
    fn drop(&mut self) {
        // Whoever comes next removes it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Why nothing can listen there.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen at {address}: {error}")]
pub struct ListenError {
    /// Where.
    pub address: Address,
    /// Why not.
    pub error: io::Error,
}

impl ListenError {
    /// Whether somebody else listens there.
    pub fn is_taken(&self) -> bool {
        self.error.kind() == io::ErrorKind::AddrInUse
    }
}

/// What a listener may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Connections at the same time.
    pub connections_max: u32,
    /// A request's body.
    pub body_bytes_max: u64,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            connections_max: limits::CONNECTIONS_DEFAULT,
            body_bytes_max: limits::BODY_BYTES_DEFAULT,
        }
    }
}

impl Listener {
    /// Listens. Within a runtime.
    pub fn bind(address: &Address) -> Result<Self, ListenError> {
        let socket = match address {
            Address::Tcp(address) => tcp(*address),
            Address::Unix(path) => unix(path),
        };
        let failed = |error| ListenError { address: address.clone(), error };
        let socket = Arc::new(socket.map_err(failed)?);
        let address = match &*socket {
            Socket::Tcp(tcp) => Address::Tcp(tcp.local_addr().map_err(failed)?),
            Socket::Unix(..) => address.clone(),
        };
        Ok(Self { socket, address, tls: None, rested: Rested::default() })
    }

    /// Somebody wants to be told when a connection let go of its buffers.
    pub fn when_rested(self, tell: impl Fn() + Send + Sync + 'static) -> Self {
        Self { rested: Rested(Some(Arc::new(tell))), ..self }
    }

    /// Over TLS, with this certificate. A Unix socket stays as it is.
    pub fn with_tls(self, files: &TlsFiles) -> Result<Self, TlsError> {
        let tls = match *self.socket {
            Socket::Tcp(_) => Some(files.load()?),
            Socket::Unix(..) => None,
        };
        Ok(Self { tls, ..self })
    }

    /// Where it listens; with the port that the system chose, if it was to choose one.
    pub fn address(&self) -> &Address {
        &self.address
    }
}

fn tcp(address: SocketAddr) -> io::Result<Socket> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // After a restart the last connections are not in the way.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(limits::BACKLOG).map(Socket::Tcp)
}

fn unix(path: &Path) -> io::Result<Socket> {
    // What a process left that is gone is in nobody's way; what is no socket is somebody's.
    let is_socket = std::fs::symlink_metadata(path).is_ok_and(|file| file.file_type().is_socket());
    if is_socket {
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => return Err(io::ErrorKind::AddrInUse.into()),
            Err(_) => std::fs::remove_file(path)?,
        }
    }
    Ok(Socket::Unix(UnixListener::bind(path)?, Unlinked(path.to_owned())))
}

/// A listener that is served. Dropped, all its connections are cut.
#[derive(Debug)]
pub struct Server {
    hall: Arc<Hall>,
    socket: Weak<Socket>,
    address: Address,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves a listener's connections: each request goes to `handler`.
    pub fn start(listener: Listener, options: ServerOptions, handler: Handler) -> Self {
        let hall = Hall::new(options.connections_max as usize);
        let scheme = if listener.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let (tls, body_bytes_max) = (listener.tls.clone(), options.body_bytes_max);
        let rested = listener.rested.clone();
        let manner = Manner { handler, scheme, tls, rested, body_bytes_max };
        let (socket, address) = (Arc::downgrade(&listener.socket), listener.address.clone());
        let accepting = tokio::spawn(accept(listener, manner, Arc::clone(&hall)));
        Self { hall, socket, address, accepting }
    }

    /// The same socket, for another server that takes over: who connects meanwhile waits in the kernel. `None` if this one
    /// is closed already.
    pub fn listener(&self) -> Option<Listener> {
        let (socket, address) = (self.socket.upgrade()?, self.address.clone());
        Some(Listener { socket, address, tls: None, rested: Rested::default() })
    }

    /// Accepts nobody any more; who is idle leaves.
    pub fn close(&self) {
        self.hall.close();
    }

    /// The same, and waits a moment for those who have just come.
    pub async fn drain(&mut self) {
        self.close();
        // Who takes longer is waited for in [`Self::stop`].
        let _ = timeout(2 * limits::DRAIN_TIME, &mut self.accepting).await;
    }

    /// Accepts nobody any more, and waits a moment for requests under way.
    pub async fn stop(mut self) {
        self.close();
        // What is not over by then is cut.
        if !self.accepting.is_finished() {
            let _ = timeout(limits::STOP_TIME, &mut self.accepting).await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Accepts until the house closes, then waits for who is there. Dropped half-way, everybody is cut.
async fn accept(listener: Listener, manner: Manner, hall: Arc<Hall>) {
    let mut guests = JoinSet::new();
    loop {
        tokio::select! {
            () = hall.house_closes() => break,
            Some(_) = guests.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok(accepted) => admit(accepted, &manner, &hall, &mut guests),
                Err(_) => {
                    hall.make_room();
                    sleep(limits::ACCEPT_AGAIN).await;
                }
            }
        }
    }
    drop(listener);
    while guests.join_next().await.is_some() {}
}

/// Who has connected.
enum Accepted {
    Tcp(TcpStream, SocketAddr),
    Unix(UnixStream),
}

impl Listener {
    /// Dropping it loses nobody.
    async fn accept(&self) -> io::Result<Accepted> {
        match &*self.socket {
            Socket::Tcp(socket) => {
                let (stream, client) = socket.accept().await?;
                // Answers are whole pieces; to wait for more of one makes a client wait.
                let _ = stream.set_nodelay(true);
                Ok(Accepted::Tcp(stream, client))
            }
            Socket::Unix(socket, _) => Ok(Accepted::Unix(socket.accept().await?.0)),
        }
    }
}

fn admit(accepted: Accepted, manner: &Manner, hall: &Arc<Hall>, guests: &mut JoinSet<()>) {
    match (accepted, hall.seat()) {
        (Accepted::Tcp(stream, client), Some(seat)) => {
            guests.spawn(greet(stream, client, manner.clone(), seat));
        }
        (Accepted::Unix(stream), Some(seat)) => {
            let wire = Wire::new(stream, &seat.pace);
            guests.spawn(connection::serve(wire, None, manner.clone(), seat));
        }
        // Beyond what is turned away with a word, the rest is without; and over TLS there are no words yet.
        _ if guests.len() >= 2 * hall.seats_max() || manner.tls.is_some() => {}
        (Accepted::Tcp(stream, _), None) => drop(guests.spawn(connection::turn_away(stream))),
        (Accepted::Unix(stream), None) => drop(guests.spawn(connection::turn_away(stream))),
    }
}

/// Serves a connection, after a handshake if there is to be one.
async fn greet(stream: TcpStream, client: SocketAddr, manner: Manner, seat: Seat) {
    let wire = match &manner.tls {
        None => Wire::new(stream, &seat.pace),
        // Apart, so that a connection that is idle is small.
        Some(tls) => match Box::pin(tls.accept(stream)).await {
            Ok(stream) => Wire::new(stream, &seat.pace),
            // Whoever cannot shake hands cannot be told.
            Err(_) => return,
        },
    };
    connection::serve(wire, Some(client), manner, seat).await;
}
