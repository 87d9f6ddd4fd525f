//! Messages of channels, over a connection that is made again whenever it breaks: with the pauses that MQTT's has.
//!
//! Redis sends a message once, to whoever listens then. What is published while we are away does not come, and a
//! message that is taken and not handled is gone: at most once, whatever we do.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Address;
use super::connection::{Connection, RedisError};
use super::wire::Reply;
use crate::limits::redis as limits;
use crate::net::backoff::{Backoff, Input, now, random, step};
use crate::net::{AddressFilter, Connector};

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its channel.
    pub channel: Arc<str>,
    /// Its bytes.
    pub payload: Bytes,
}

/// What an operator may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The channels are subscribed to.
    Subscribed,
    /// The connection broke, or none came about.
    Lost {
        /// Why.
        reason: String,
        /// When the next attempt is.
        retry: Duration,
    },
}

/// Where notices go. Must not block.
pub type NoticeHandler = Box<dyn Fn(Notice) + Send + Sync>;

/// What a subscriber needs to know.
pub struct Subscriber {
    /// Makes its connections.
    pub connector: Connector,
    /// The server.
    pub address: Address,
    /// The channels, as they are.
    pub channels: Vec<Arc<str>>,
    /// `None` allows every address.
    pub address_filter: Option<AddressFilter>,
    /// Where notices go.
    pub on_notice: NoticeHandler,
}

/// Messages as they come. Dropped, the connection is closed.
pub struct Messages {
    queue: mpsc::Receiver<Message>,
    task: JoinHandle<()>,
}

impl Messages {
    /// The next message. Dropped half-way, nothing is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.queue.recv().await
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Subscriber {
    /// Begins. It goes on until what it returns is dropped.
    pub fn start(self) -> Messages {
        let (into, queue) = mpsc::channel(limits::MESSAGES_WAITING_MAX);
        Messages { queue, task: tokio::spawn(self.run(into)) }
    }

    async fn run(self, into: mpsc::Sender<Message>) {
        let mut backoff = Backoff::default();
        loop {
            let reason = match self.connection(&mut backoff, &into).await {
                Ok(()) => return,
                Err(error) => error.to_string(),
            };
            let (next, pause) = step(backoff, Input::Lost, now(), random());
            let retry = pause.unwrap_or_default();
            backoff = next;
            (self.on_notice)(Notice::Lost { reason, retry });
            sleep(retry).await;
        }
    }

    /// One connection, from its beginning to its end; `Ok` when nobody takes messages any more.
    async fn connection(
        &self,
        backoff: &mut Backoff,
        into: &mpsc::Sender<Message>,
    ) -> Result<(), RedisError> {
        let filter = self.address_filter.as_ref();
        let mut connection = Connection::open(&self.connector, &self.address, filter).await?;
        let channels = self.channels.iter().map(|channel| channel.as_bytes());
        let command: Vec<&[u8]> = [&b"SUBSCRIBE"[..]].into_iter().chain(channels).collect();
        connection.write(&command).await?;
        let mut missing = self.channels.len();
        let mut asked = false;
        loop {
            match timeout(limits::PULSE, connection.read()).await {
                Ok(reply) => match self.heard(reply?)? {
                    Heard::Subscribed => {
                        missing = missing.saturating_sub(1);
                        if missing == 0 {
                            (*backoff, _) = step(*backoff, Input::Connected, now(), 0);
                            (self.on_notice)(Notice::Subscribed);
                        }
                    }
                    Heard::Message(message) => {
                        if into.send(message).await.is_err() {
                            return Ok(());
                        }
                    }
                    Heard::Nothing => {}
                },
                Err(_) if asked => return Err(RedisError::Timeout),
                Err(_) => {
                    connection.write(&[b"PING"]).await?;
                    asked = true;
                    continue;
                }
            }
            asked = false;
        }
    }

    fn heard(&self, reply: Reply) -> Result<Heard, RedisError> {
        let strange = || RedisError::Broken("the server says what nobody asked for".into());
        let parts = match reply {
            Reply::List(parts) => parts,
            Reply::Error(complaint) => {
                return Err(RedisError::Server(super::connection::shortened(complaint)));
            }
            _ => return Err(strange()),
        };
        let mut parts = parts.into_iter();
        let (Some(Reply::Bytes(kind)), second, third) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(strange());
        };
        match (&kind[..], second, third) {
            (b"message", Some(Reply::Bytes(channel)), Some(Reply::Bytes(payload))) => {
                let known = self.channels.iter().find(|known| known.as_bytes() == &channel[..]);
                let message =
                    |channel: &Arc<str>| Message { channel: Arc::clone(channel), payload };
                Ok(known.map_or(Heard::Nothing, |channel| Heard::Message(message(channel))))
            }
            (b"subscribe", ..) => Ok(Heard::Subscribed),
            (b"pong", ..) => Ok(Heard::Nothing),
            _ => Err(strange()),
        }
    }
}

enum Heard {
    Subscribed,
    Message(Message),
    Nothing,
}
