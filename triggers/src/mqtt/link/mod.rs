//! One connection, seen the same way whichever version of MQTT it speaks.
//!
//! rumqttc has two modules that look alike and share no type. [`v311`] and [`v5`] translate each to
//! the [`Signal`]s here and nothing more; they are the only files that name rumqttc. All that a
//! session decides is decided elsewhere, once.
//!
//! rumqttc's event loop is used for one connection and then thrown away. It reconnects by itself,
//! but loses what it had accepted on the way, so a link is never polled again after an error.
//! `poll` must not be dropped half-way either, unless the link is dropped with it.

mod v311;
mod v5;

use super::message::{Publish, Qos};
use super::options::{Options, Persistence, Protocol, Subscription};
use crate::limits::mqtt as limits;
use bytes::Bytes;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// How rumqttc reaches the broker.
#[derive(Debug, Clone)]
pub(super) enum Via {
    /// Over TCP, to exactly this address.
    Tcp(SocketAddr),
    /// Over a Unix socket whose other end is ours: see `tls`.
    Unix(String),
}

/// What came over a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Signal {
    /// CONNACK: always the first.
    Accepted(Accepted),
    /// PUBLISH to us.
    Arrived(Arrival),
    /// PUBREL to us: the broker is done with a QoS 2 message.
    Released(u16),
    /// PUBACK; the reason code if it is a refusal.
    Acked(u16, Option<u8>),
    /// PUBREC; the reason code if it is a refusal.
    Received(u16, Option<u8>),
    /// PUBCOMP, and whether rumqttc then freed its place for it.
    Completed(u16, Freed),
    /// Our PUBLISH was written, under this packet identifier; 0 for QoS 0.
    Sent(u16),
    /// Our SUBSCRIBE was written.
    SubscribeSent(u16),
    /// SUBACK: for each filter `None`, or the reason code of the refusal.
    Subscribed(u16, Vec<Option<u8>>),
    /// Our DISCONNECT was written.
    Left,
    /// Nothing that matters here.
    Other,
}

/// Whether rumqttc counts an outbound message as finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Freed {
    /// It does.
    Yes,
    /// It has forgotten to: one place less until the next connection.
    Never,
}

/// What the broker said when it accepted us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Accepted {
    /// It has kept our session.
    pub(super) session_present: bool,
    /// How many packet identifiers rumqttc goes round through.
    pub(super) packet_ids: u16,
    /// The largest packet that it takes.
    pub(super) packet_bytes_max: Option<u32>,
    /// The highest QoS that it takes.
    pub(super) qos_max: Qos,
    /// Whether it keeps retained messages.
    pub(super) retain: Retain,
}

/// Whether a broker keeps retained messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retain {
    /// It does.
    Supported,
    /// A message with the retain flag would cost the connection.
    Unsupported,
}

/// A message as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    /// Empty if it was no text.
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) dup: bool,
    pub(super) id: u16,
}

/// Something of the connection before, to be sent again under its old packet identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resend {
    /// PUBLISH with DUP.
    Publish(u16, Publish),
    /// PUBREL: the broker had the message already.
    Release(u16),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    /// It broke, was refused, or the broker broke the protocol.
    #[error("{0}")]
    Broken(String),
    /// A packet beyond what is read at all.
    #[error("the broker sent a packet of {0} bytes, more than this device reads")]
    PacketTooLarge(usize),
    /// PUBREL for a message that rumqttc does not know: from before this connection.
    #[error("the broker released a message of an earlier connection")]
    UnknownRelease,
}

/// The request channel to rumqttc is full or gone. What was asked for did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotTaken;

/// A connection: the half that is polled.
pub(super) enum Link {
    V311(Box<v311::Link>),
    V5(Box<v5::Link>),
}

/// A connection: the half that asks. Never waits.
pub(super) enum Requests {
    V311(v311::Requests),
    V5(v5::Requests),
}

/// Requests that may wait to be written: an acknowledgement for everything unsettled, the window,
/// SUBSCRIBE and DISCONNECT. Only a broker that ignores every limit fills it.
const REQUESTS_MAX: usize = limits::UNSETTLED_MAX + limits::WINDOW + 8;

impl Link {
    /// Prepares a connection. It is made by the first `poll`.
    pub(super) fn open(options: &Options, via: Via) -> (Link, Requests) {
        match options.protocol {
            Protocol::V311 => {
                let (link, requests) = v311::open(options, via);
                (Link::V311(Box::new(link)), Requests::V311(requests))
            }
            Protocol::V5 => {
                let (link, requests) = v5::open(options, via);
                (Link::V5(Box::new(link)), Requests::V5(requests))
            }
        }
    }

    /// Waits for the next signal. After an error, or when dropped half-way, the link is useless.
    pub(super) async fn poll(&mut self) -> Result<Signal, LinkError> {
        match self {
            Link::V311(link) => link.poll().await,
            Link::V5(link) => link.poll().await,
        }
    }

    /// What was read but not yet handed out when an error came.
    pub(super) fn rest(&mut self) -> Vec<Signal> {
        match self {
            Link::V311(link) => link.rest(),
            Link::V5(link) => link.rest(),
        }
    }

    /// Sends again, before anything that is requested.
    pub(super) fn resend(&mut self, resend: Resend) {
        match self {
            Link::V311(link) => link.resend(resend),
            Link::V5(link) => link.resend(resend),
        }
    }

    /// Lets the broker release messages of an earlier connection. Without this, rumqttc takes the
    /// PUBREL for a violation, on every connection again.
    pub(super) fn allow_releases(&mut self, ids: impl Iterator<Item = u16>) {
        match self {
            Link::V311(link) => link.allow_releases(ids),
            Link::V5(link) => link.allow_releases(ids),
        }
    }

    /// Undoes a keep-alive of nought that the broker asked for: rumqttc would ping without pause.
    pub(super) fn restore_keep_alive(&mut self, options: &Options) {
        if let Link::V5(link) = self {
            link.restore_keep_alive(options);
        }
    }
}

impl Requests {
    pub(super) fn publish(&self, publish: Publish) -> Result<(), NotTaken> {
        match self {
            Requests::V311(requests) => requests.publish(publish),
            Requests::V5(requests) => requests.publish(publish),
        }
    }

    /// PUBACK or PUBREC.
    pub(super) fn acknowledge(&self, id: u16, qos: Qos) -> Result<(), NotTaken> {
        match self {
            Requests::V311(requests) => requests.acknowledge(id, qos),
            Requests::V5(requests) => requests.acknowledge(id, qos),
        }
    }

    pub(super) fn subscribe(&self, filters: &[&Subscription]) -> Result<(), NotTaken> {
        match self {
            Requests::V311(requests) => requests.subscribe(filters),
            Requests::V5(requests) => requests.subscribe(filters),
        }
    }

    pub(super) fn disconnect(&self) -> Result<(), NotTaken> {
        match self {
            Requests::V311(requests) => requests.disconnect(),
            Requests::V5(requests) => requests.disconnect(),
        }
    }
}

/// Polls a future once: rumqttc's only way to publish `Bytes` without copying them is an async
/// function, which is ready at once while the channel has room.
fn at_once<T, E>(future: impl Future<Output = Result<T, E>>) -> Result<T, NotTaken> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(done)) => Ok(done),
        Poll::Ready(Err(_)) | Poll::Pending => Err(NotTaken),
    }
}

/// The host part for rumqttc, which joins host and port and parses that.
fn host(address: SocketAddr) -> String {
    match address {
        SocketAddr::V4(v4) => v4.ip().to_string(),
        SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
    }
}

fn is_clean(options: &Options) -> bool {
    matches!(options.persistence, Persistence::Clean)
}

/// A copy, so that a small payload does not keep a whole read buffer alive while it waits.
fn own(payload: &Bytes) -> Bytes {
    Bytes::copy_from_slice(payload)
}
