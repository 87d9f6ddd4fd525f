//! The packets of MQTT, of both versions, as the session sees them. Only data: `codec` turns them to
//! bytes and back, [`core`](super::core) decides which come and go.

use super::message::{Publish, Qos};
use super::options::Subscription;
use bytes::Bytes;

/// What comes from a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// CONNACK that accepts us.
    Accepted(Accepted),
    /// CONNACK that does not, in words.
    Refused(String),
    /// PUBLISH.
    Publish(Arrival),
    /// One of the four packets that are an identifier and a reason.
    Ack {
        /// Which.
        kind: AckKind,
        /// The packet identifier.
        id: u16,
        /// MQTT 5: the reason code if it is a refusal.
        refused: Option<u8>,
    },
    /// SUBACK.
    Subscribed {
        /// The identifier of the SUBSCRIBE.
        id: u16,
        /// For each filter the code: up to 2 it is granted, from 0x80 on refused.
        codes: Vec<u8>,
    },
    /// UNSUBACK.
    Unsubscribed {
        /// The identifier of the UNSUBSCRIBE.
        id: u16,
    },
    /// PINGRESP.
    Pong,
    /// MQTT 5: the broker says good-bye, and why.
    Disconnect(String),
}

/// What goes to a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// CONNECT, of which everything stands in the options.
    Connect,
    /// PUBLISH.
    Publish {
        /// The packet identifier; 0 for QoS 0.
        id: u16,
        /// It was sent on an earlier connection.
        dup: bool,
        /// The message.
        publish: Publish,
    },
    /// One of the four packets that are an identifier.
    Ack {
        /// Which.
        kind: AckKind,
        /// The packet identifier.
        id: u16,
    },
    /// SUBSCRIBE.
    Subscribe {
        /// The packet identifier.
        id: u16,
        /// At least one.
        filters: Vec<Subscription>,
        /// What is wanted of the retained messages. MQTT 3.1.1 cannot be told, and always sends them.
        retained: Retained,
    },
    /// UNSUBSCRIBE.
    Unsubscribe {
        /// The packet identifier.
        id: u16,
        /// At least one.
        filters: Vec<String>,
    },
    /// PINGREQ.
    Ping,
    /// DISCONNECT: nothing comes after it.
    Disconnect,
}

/// Which subscriptions of a SUBSCRIBE the broker is to send its retained messages for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retained {
    /// Those that it did not have before.
    IfNew,
    /// All.
    Always,
}

/// The four packets of acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckKind {
    /// PUBACK: a QoS 1 message is taken over.
    Ack,
    /// PUBREC: a QoS 2 message is taken over.
    Received,
    /// PUBREL: the sender will not send it again.
    Release,
    /// PUBCOMP: the receiver has forgotten its identifier.
    Complete,
}

/// What the broker said when it accepted us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// It has kept our session.
    pub session_present: bool,
    /// QoS 1 and 2 messages that it takes at once. MQTT 3.1.1 cannot say.
    pub receive_max: u16,
    /// The largest packet that it takes.
    pub packet_bytes_max: Option<u32>,
    /// The highest QoS that it takes.
    pub qos_max: Qos,
    /// Whether it keeps retained messages.
    pub retain: Retain,
    /// The keep-alive in seconds that it asks for instead of ours; 0 for none.
    pub keep_alive_secs: Option<u16>,
}

impl Accepted {
    /// What a broker of MQTT 3.1.1 says.
    pub fn plain(session_present: bool) -> Self {
        Self {
            session_present,
            receive_max: u16::MAX,
            packet_bytes_max: None,
            qos_max: Qos::ExactlyOnce,
            retain: Retain::Supported,
            keep_alive_secs: None,
        }
    }
}

/// Whether a broker keeps retained messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// It does.
    Supported,
    /// A message with the retain flag would cost the connection.
    Unsupported,
}

/// A message as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Empty if it was no text.
    pub topic: String,
    /// Its content; of a message that is too large, the beginning.
    pub payload: Bytes,
    /// How long the content was, if it was too large.
    pub oversize: Option<u64>,
    /// As delivered.
    pub qos: Qos,
    /// Stored by the broker before we subscribed.
    pub retain: bool,
    /// The broker may have sent it before.
    pub dup: bool,
    /// The packet identifier; 0 for QoS 0.
    pub id: u16,
}

/// Why a connection ended against our will.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It broke, or was refused.
    #[error("{0}")]
    Broken(String),
    /// Bytes that are no packet.
    #[error("the broker sent a malformed packet: {0}")]
    Malformed(String),
    /// A packet that may not come from a broker, or not now.
    #[error("the broker broke the protocol: {0}")]
    Protocol(&'static str),
    /// Beyond what is read of anything but a message.
    #[error("the broker sent a packet of {0} bytes, more than this device reads")]
    PacketTooLarge(usize),
    /// No answer to what must be answered.
    #[error("the broker no longer answers")]
    Silent,
}
