//! What the broker tells an observer. It decides nothing and nothing is decided by it: `pirn up`
//! prints it, tests look at it.

use std::fmt;
use std::net::SocketAddr;

use crate::mqtt::{Protocol, Qos};

/// Something that happened in the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BrokerEvent<'a> {
    /// A client was accepted.
    Connected {
        /// Its id, given or assigned.
        client_id: &'a str,
        /// The protocol version it speaks.
        version: Protocol,
        /// Whether an earlier session of the same id was taken up again.
        session_present: bool,
    },
    /// A client that had been accepted is gone.
    Disconnected {
        /// Its id.
        client_id: &'a str,
        /// How it went.
        reason: EndReason,
    },
    /// A client asked for messages.
    Subscribed {
        /// Its id.
        client_id: &'a str,
        /// The filter as written, `$share/…` included.
        filter: &'a str,
        /// The QoS that was granted.
        qos: Qos,
    },
    /// A message arrived and was handed on.
    Published {
        /// Who sent it.
        client_id: &'a str,
        /// Its topic.
        topic: &'a str,
        /// Its payload.
        payload: &'a [u8],
        /// The QoS that it was sent with.
        qos: Qos,
        /// Whether it was to be retained.
        retain: bool,
        /// How many sessions it was queued for.
        receivers: usize,
    },
    /// A message was not handed on, or not kept.
    Dropped {
        /// Whom it was for.
        client_id: &'a str,
        /// Its topic.
        topic: &'a str,
        /// Which cap it met.
        reason: DropReason,
    },
    /// A connection was closed at once because there are too many.
    TurnedAway {
        /// Where it came from.
        peer: SocketAddr,
    },
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The client said goodbye.
    Goodbye,
    /// The client said goodbye and asked for its will (version 5).
    GoodbyeWithWill,
    /// The connection broke without a goodbye.
    Lost,
    /// Nothing was heard for one and a half keep-alive intervals.
    KeepAlive,
    /// Another connection came with the same client id.
    TakenOver,
    /// The client sent what the protocol does not allow, or more than is allowed here.
    Misbehaved,
}

impl EndReason {
    /// Whether the client's will is to be published.
    pub(super) fn fires_will(self) -> bool {
        !matches!(self, EndReason::Goodbye)
    }
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            EndReason::Goodbye => "said goodbye",
            EndReason::GoodbyeWithWill => "said goodbye and left its will",
            EndReason::Lost => "connection lost",
            EndReason::KeepAlive => "silent for longer than its keep-alive",
            EndReason::TakenOver => "another client came with the same id",
            EndReason::Misbehaved => "broke the protocol or a limit",
        })
    }
}

/// Why a message was not handed on, or not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DropReason {
    /// The receiver's queue is full.
    QueueFull,
    /// The receiver said that it takes smaller packets only.
    TooLargeForClient,
    /// There are too many retained messages, or too many bytes of them.
    RetainedFull,
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DropReason::QueueFull => "its queue is full",
            DropReason::TooLargeForClient => "larger than the client takes",
            DropReason::RetainedFull => "no room to retain it",
        })
    }
}

type Hook = dyn Fn(&BrokerEvent<'_>) + Send + Sync;

/// The observer's callback, or none.
pub(super) struct Observer(Option<Box<Hook>>);

impl Observer {
    pub(super) fn none() -> Observer {
        Observer(None)
    }

    pub(super) fn calling(hook: impl Fn(&BrokerEvent<'_>) + Send + Sync + 'static) -> Observer {
        Observer(Some(Box::new(hook)))
    }

    pub(super) fn tell(&self, event: &BrokerEvent<'_>) {
        if let Some(hook) = &self.0 {
            hook(event);
        }
    }
}
