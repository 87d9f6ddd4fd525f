//! What goes in and out: messages, deliveries to settle, publishes and their receipts.

use super::shared::Shared;
use super::topic::TopicError;
use bytes::Bytes;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;

/// Quality of service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Qos {
    /// 0: may be lost.
    AtMostOnce,
    /// 1: may come twice.
    AtLeastOnce,
    /// 2: once, as far as both sides keep their session.
    ExactlyOnce,
}

/// A message from the broker.
#[derive(Debug)]
pub struct Message {
    /// Where it was published.
    pub topic: String,
    /// Its content. Of a message that is too large, the first bytes only, at most 1 KiB.
    pub payload: Bytes,
    /// How many bytes the content had, if it was larger than the payload limit. It is for the program to
    /// keep aside what it got of it before it settles.
    pub oversize: Option<u64>,
    /// As delivered.
    pub qos: Qos,
    /// It was stored by the broker before we subscribed.
    pub retain: bool,
    /// The broker says that it may have sent it before.
    pub dup: bool,
    /// To be settled when the message is done with.
    pub delivery: Delivery,
}

/// The right to acknowledge one inbound message, once.
///
/// Dropping it without settling leaves the message unacknowledged: a persistent session gets it
/// again after the next reconnect. It also leaves the broker's window that much smaller until then.
#[must_use = "a message whose delivery is dropped is never acknowledged"]
pub struct Delivery {
    pub(super) key: u64,
    pub(super) shared: Option<Arc<Shared>>,
}

impl Delivery {
    /// The same as [`Session::settle`](super::Session::settle).
    pub fn settle(mut self) {
        if let Some(shared) = self.shared.take() {
            shared.settle(self.key);
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.abandon(self.key);
        }
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Delivery").field(&self.key).finish()
    }
}

/// A message to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    /// Without wildcards.
    pub topic: String,
    /// Its content.
    pub payload: Bytes,
    /// Lowered to what an MQTT 5 broker offers.
    pub qos: Qos,
    /// The broker keeps it for later subscribers.
    pub retain: bool,
}

/// Why a publish was not accepted. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// A topic that is none.
    #[error("`{topic}` is not a topic to publish to: {why}")]
    Topic {
        /// As given.
        topic: String,
        /// The rule it breaks.
        why: TopicError,
    },
    /// Beyond the payload limit.
    #[error("the payload has {bytes} bytes, more than the limit of {max}")]
    TooLarge {
        /// Of the payload.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The session is stopping or stopped.
    #[error("the MQTT session is stopped")]
    Stopped,
}

/// Why [`Session::try_publish`](super::Session::try_publish) did not accept a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TryPublishError {
    /// There is no room now, or others wait for it; the message comes back.
    #[error("as many messages wait for the broker as may")]
    Full(Publish),
    /// It will never be accepted.
    #[error(transparent)]
    Refused(#[from] PublishError),
}

/// Why an accepted publish did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeliveryError {
    /// MQTT 5: the broker's reason code, 0x80 or above.
    #[error("the broker refused the message with reason code {0:#04x}")]
    Refused(u8),
    /// MQTT 5: the broker said at connect that it takes no packet this large.
    #[error("the message is larger than the {0} bytes that the broker accepts")]
    TooLargeForBroker(u32),
    /// MQTT 5: the broker said at connect that it keeps no messages.
    #[error("the broker does not support retained messages")]
    RetainNotSupported,
    /// QoS 0: the connection broke before it was written.
    #[error("the connection broke before the message was sent")]
    ConnectionLost,
    /// QoS 0: there is no connection, and nothing is promised.
    #[error("there is no connection to the broker, and QoS 0 does not wait for one")]
    NotConnected,
    /// QoS 0: more waits to be written than may, and nothing is promised.
    #[error("too much waits to be sent, and QoS 0 does not wait for room")]
    NoRoom,
    /// `stop` was called, or the last [`Session`](super::Session) dropped.
    #[error("the MQTT session was stopped before the message was acknowledged")]
    Stopped,
    /// The session ended by itself, without anybody's wish.
    #[error("the MQTT session broke down before the message was acknowledged")]
    Ended,
}

/// Resolves when a publish is done: acknowledged (QoS 1: PUBACK, QoS 2: PUBCOMP) or written (QoS 0).
///
/// Dropping it changes nothing: the message is sent all the same.
#[derive(Debug)]
pub struct Receipt(pub(super) oneshot::Receiver<Result<(), DeliveryError>>);

impl Future for Receipt {
    type Output = Result<(), DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = Pin::new(&mut self.0).poll(cx);
        answer.map(|answer| answer.unwrap_or(Err(DeliveryError::Ended)))
    }
}
