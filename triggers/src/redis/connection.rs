//! One connection: a command, its reply, the next command.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead as _, AsyncReadExt as _, AsyncWriteExt as _, ReadBuf};
use tokio::time::timeout;

use super::Address;
use super::wire::{self, Reader, Reply, WireError};
use crate::limits::net::CONNECT_TIMEOUT;
use crate::limits::redis as limits;
use crate::net::{AddressFilter, Connector, DialError, Stream, explain};

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedisError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The app has as many connections as it may.
    #[error("the app has {max} connections with Redis servers, which is as many as it may", max = limits::CONNECTIONS_MAX)]
    TooMany,
    /// The server complains; the connection goes on.
    #[error("{0}")]
    Server(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// No reply in time.
    #[error("the server did not answer in time")]
    Timeout,
}

/// An open connection. A command that was not answered, for whatever reason, has it broken: what comes next would be
/// that command's reply.
pub(super) struct Connection {
    stream: Stream,
    reader: Reader,
    broken: bool,
}

impl Connection {
    /// Connects, says who we are and chooses the database.
    pub(super) async fn open(
        connector: &Connector,
        address: &Address,
        filter: Option<&AddressFilter>,
    ) -> Result<Self, RedisError> {
        let stream = connector.connect(&address.target, filter, CONNECT_TIMEOUT).await?;
        let mut this = Self { stream, reader: Reader::default(), broken: false };
        let (name, password) = (address.username.as_bytes(), address.password.as_bytes());
        match (name, password) {
            (b"", b"") => {}
            (b"", password) => this.greet(&[b"AUTH", password]).await?,
            (name, password) => this.greet(&[b"AUTH", name, password]).await?,
        }
        if address.database != 0 {
            this.greet(&[b"SELECT", address.database.to_string().as_bytes()]).await?;
        }
        Ok(this)
    }

    async fn greet(&mut self, command: &[&[u8]]) -> Result<(), RedisError> {
        match self.command(command, CONNECT_TIMEOUT).await? {
            Reply::Error(complaint) => Err(RedisError::Server(shortened(complaint))),
            _ => Ok(()),
        }
    }

    /// One command and its reply. Dropped half-way, the connection is broken.
    pub(super) async fn command(
        &mut self,
        parts: &[&[u8]],
        within: Duration,
    ) -> Result<Reply, RedisError> {
        if self.broken {
            return Err(RedisError::Broken("the connection is broken".into()));
        }
        self.broken = true;
        let exchange = async {
            self.write(parts).await?;
            self.read().await
        };
        let reply = timeout(within, exchange).await.map_err(|_| RedisError::Timeout)??;
        self.broken = false;
        Ok(reply)
    }

    /// Writes a command whose reply somebody else reads.
    pub(super) async fn write(&mut self, parts: &[&[u8]]) -> Result<(), RedisError> {
        let mut bytes = Vec::new();
        wire::command(parts, &mut bytes);
        self.stream.write_all(&bytes).await.map_err(|error| broken(&error))?;
        self.stream.flush().await.map_err(|error| broken(&error))
    }

    /// The next reply. Dropped half-way, nothing is lost.
    pub(super) async fn read(&mut self) -> Result<Reply, RedisError> {
        loop {
            if let Some(reply) = self.reader.next().map_err(nonsense)? {
                return Ok(reply);
            }
            let read = self.stream.read_buf(&mut self.reader.buffer).await;
            if read.map_err(|error| broken(&error))? == 0 {
                return Err(RedisError::Broken("the server closed the connection".into()));
            }
        }
    }

    /// Whether it can take another command: it is whole, and the server has said nothing since, not even goodbye.
    pub(super) fn is_usable(&mut self) -> bool {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let mut nobody = Context::from_waker(Waker::noop());
        let silent = Pin::new(&mut self.stream).poll_read(&mut nobody, &mut buffer);
        !self.broken && self.reader.buffer.is_empty() && matches!(silent, Poll::Pending)
    }
}

fn broken(error: &std::io::Error) -> RedisError {
    RedisError::Broken(explain(error))
}

fn nonsense(error: WireError) -> RedisError {
    RedisError::Broken(error.to_string())
}

/// A text that a server cannot make long.
pub(super) fn shortened(mut text: String) -> String {
    let end = (0..=limits::ERROR_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at));
    text.truncate(end.unwrap_or(0));
    text
}
