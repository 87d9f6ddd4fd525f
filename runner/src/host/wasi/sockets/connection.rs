//! An open TCP connection and its two streams. Reading takes what the kernel has; writing hands over
//! what the kernel takes at once, and a task of its own sends the small rest, so that nothing depends
//! on the guest coming back for it.

use std::io;
use std::sync::{Arc, Mutex};

use rustix::net::Shutdown;
use tokio::net::TcpStream;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::timeout;

use crate::host::locked;
use crate::host::wasi::poll::Pollable;
use crate::host::wasi::streams::{Ended, IoError, Origin};
use crate::limits::wasi::{SEND_BYTES_MAX, SEND_TIMEOUT};

/// A connection, held by the socket, its streams and the task that sends. Closed with the last.
pub(super) struct Connection {
    stream: TcpStream,
    sending: Mutex<Sending>,
    /// Rung when what was under way is sent or has failed.
    sent: Notify,
    _slot: Arc<OwnedSemaphorePermit>,
}

#[derive(Default)]
struct Sending {
    /// What the kernel did not take at once; a task is at it.
    unsent: Vec<u8>,
    /// The guest is done writing.
    finished: bool,
    broken: Option<io::ErrorKind>,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, slot: Arc<OwnedSemaphorePermit>) -> Arc<Self> {
        // Guests send small messages; without this each waits for the answer to the one before.
        let _ = stream.set_nodelay(true);
        Arc::new(Self { stream, sending: Mutex::default(), sent: Notify::new(), _slot: slot })
    }

    pub(super) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Ends what the peer sends.
    pub(super) fn shut_receiving(&self) -> io::Result<()> {
        Ok(rustix::net::shutdown(&self.stream, Shutdown::Read)?)
    }

    /// Ends what we send, after what is still under way.
    pub(super) fn shut_sending(&self) -> io::Result<()> {
        let mut sending = locked(&self.sending);
        sending.finished = true;
        if sending.unsent.is_empty() {
            rustix::net::shutdown(&self.stream, Shutdown::Write)?;
        }
        Ok(())
    }

    fn write(self: &Arc<Self>, bytes: &[u8]) -> Result<(), Ended> {
        let mut sending = locked(&self.sending);
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.stream.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    sending.broken = Some(error.kind());
                    return Err(failed(error));
                }
            }
        }
        if !rest.is_empty() {
            sending.unsent = rest.to_vec();
            tokio::spawn(Arc::clone(self).send_rest());
        }
        Ok(())
    }

    /// Sends what is under way. It outlives the guest if it must, but not [`SEND_TIMEOUT`].
    async fn send_rest(self: Arc<Self>) {
        let result = timeout(SEND_TIMEOUT, self.send_all()).await;
        let mut sending = locked(&self.sending);
        sending.unsent = Vec::new();
        sending.broken = match result {
            Ok(Ok(())) => None,
            Ok(Err(error)) => Some(error.kind()),
            Err(_) => Some(io::ErrorKind::TimedOut),
        };
        if sending.finished {
            // A connection that is gone needs no farewell.
            let _ = rustix::net::shutdown(&self.stream, Shutdown::Write);
        }
        drop(sending);
        self.sent.notify_waiters();
    }

    async fn send_all(&self) -> io::Result<()> {
        let bytes = locked(&self.sending).unsent.clone();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.stream.writable().await?;
            match self.stream.try_write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sending_is_settled(&self) -> bool {
        locked(&self.sending).unsent.is_empty()
    }
}

fn failed(error: io::Error) -> Ended {
    Ended::Failed(IoError { origin: Origin::Socket, error })
}

/// The input stream of a connection.
pub(in crate::host::wasi) struct TcpReader(pub(super) Arc<Connection>);

impl TcpReader {
    pub(in crate::host::wasi) fn read(&mut self, bytes_max: usize) -> Result<Vec<u8>, Ended> {
        let mut bytes = vec![0; bytes_max];
        match self.0.stream.try_read(&mut bytes) {
            Ok(0) => Err(Ended::Closed),
            Ok(count) => {
                bytes.truncate(count);
                Ok(bytes)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Vec::new()),
            Err(error) => Err(failed(error)),
        }
    }

    pub(in crate::host::wasi) fn pollable(&self) -> Pollable {
        let connection = Arc::clone(&self.0);
        Pollable::new(move || {
            let connection = Arc::clone(&connection);
            async move {
                // An error is for the next read to tell.
                let _ = connection.stream.readable().await;
            }
        })
    }
}

/// The output stream of a connection.
pub(in crate::host::wasi) struct TcpWriter(pub(super) Arc<Connection>);

impl TcpWriter {
    pub(in crate::host::wasi) fn room(&mut self) -> Result<usize, Ended> {
        let sending = locked(&self.0.sending);
        match sending.broken {
            Some(kind) => Err(failed(kind.into())),
            None if sending.finished => Err(Ended::Closed),
            None if sending.unsent.is_empty() => Ok(SEND_BYTES_MAX),
            None => Ok(0),
        }
    }

    pub(in crate::host::wasi) fn write(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        self.0.write(bytes)
    }

    pub(in crate::host::wasi) fn pollable(&self) -> Pollable {
        let connection = Arc::clone(&self.0);
        Pollable::new(move || {
            let connection = Arc::clone(&connection);
            async move {
                loop {
                    // Listening first: what is sent between the look and the wait is not missed.
                    let sent = connection.sent.notified();
                    if connection.sending_is_settled() {
                        return;
                    }
                    sent.await;
                }
            }
        })
    }
}
