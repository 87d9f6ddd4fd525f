//! MQTT 3.1.1 and 5 on the wire, as far as a server needs it: reads what clients send
//! (`read`), writes what servers send (`write`). It knows no session and does no I/O.

mod properties;
mod read;
mod write;

pub(super) use properties::Properties;
pub(super) use read::{next, next_connect};
pub(super) use write::{
    ConnAck, PublishOut, write_ack, write_connack, write_disconnect, write_pingresp, write_publish,
    write_suback, write_unsuback,
};

use bytes::Bytes;

use crate::mqtt::{Protocol, Qos};

fn qos_from_bits(bits: u8) -> Result<Qos, WireError> {
    match bits {
        0 => Ok(Qos::AtMostOnce),
        1 => Ok(Qos::AtLeastOnce),
        2 => Ok(Qos::ExactlyOnce),
        _ => Err(WireError::Malformed("a QoS of 3")),
    }
}

/// A QoS as it stands in packets.
pub(super) fn qos_bits(qos: Qos) -> u8 {
    match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce => 1,
        Qos::ExactlyOnce => 2,
    }
}

/// What is wrong with the bytes that a client sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("malformed packet: {0}")]
    Malformed(&'static str),
    #[error("protocol error: {0}")]
    Forbidden(&'static str),
    #[error("a packet of {0} bytes, more than are taken here")]
    TooLarge(usize),
    #[error("protocol level {0}, neither 4 (MQTT 3.1.1) nor 5")]
    UnsupportedVersion(u8),
    #[error("topic aliases are not offered here")]
    TopicAlias,
    #[error("enhanced authentication is not offered here")]
    EnhancedAuthentication,
}

impl WireError {
    /// The reason code of MQTT 5, table 2-6.
    pub(super) fn reason_code(&self) -> u8 {
        match self {
            WireError::Malformed(_) => reason::MALFORMED_PACKET,
            WireError::Forbidden(_) => reason::PROTOCOL_ERROR,
            WireError::TooLarge(_) => 0x95,
            WireError::UnsupportedVersion(_) => 0x84,
            WireError::TopicAlias => 0x94,
            WireError::EnhancedAuthentication => 0x8C,
        }
    }
}

/// Reason codes of MQTT 5 that are used in more than one place.
pub(super) mod reason {
    pub(crate) const SUCCESS: u8 = 0x00;
    pub(crate) const DISCONNECT_WITH_WILL: u8 = 0x04;
    pub(crate) const NO_SUBSCRIPTION_EXISTED: u8 = 0x11;
    pub(crate) const UNSPECIFIED: u8 = 0x80;
    pub(crate) const MALFORMED_PACKET: u8 = 0x81;
    pub(crate) const PROTOCOL_ERROR: u8 = 0x82;
    pub(crate) const SERVER_UNAVAILABLE: u8 = 0x88;
    pub(crate) const CLIENT_ID_NOT_VALID: u8 = 0x85;
    pub(crate) const KEEP_ALIVE_TIMEOUT: u8 = 0x8D;
    pub(crate) const SESSION_TAKEN_OVER: u8 = 0x8E;
    pub(crate) const FILTER_INVALID: u8 = 0x8F;
    pub(crate) const PACKET_ID_NOT_FOUND: u8 = 0x92;
    pub(crate) const RECEIVE_MAXIMUM_EXCEEDED: u8 = 0x93;
    pub(crate) const QUOTA_EXCEEDED: u8 = 0x97;
}

/// A packet from a client that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    Publish(Publish),
    Ack(Ack),
    Subscribe(Subscribe),
    Unsubscribe { id: u16, filters: Vec<String> },
    PingReq,
    Disconnect { reason: u8, session_expiry_secs: Option<u32> },
}

/// CONNECT (section 3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Connect {
    pub(super) version: Protocol,
    /// Clean session (3.1.1) or clean start (5).
    pub(super) clean: bool,
    pub(super) keep_alive_secs: u16,
    pub(super) client_id: String,
    pub(super) will: Option<Will>,
    pub(super) properties: Properties,
}

/// The message that a client leaves for when it is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Will {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
    /// MQTT 5 properties to pass on, encoded, without their length.
    pub(super) forward: Bytes,
}

/// PUBLISH (section 3.3), from a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Publish {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) topic: String,
    /// 0 for QoS 0.
    pub(super) id: u16,
    /// MQTT 5 properties to pass on, encoded, without their length.
    pub(super) forward: Bytes,
    pub(super) payload: Bytes,
}

/// The four packets that acknowledge (sections 3.4 to 3.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) kind: AckKind,
    pub(super) id: u16,
    pub(super) reason: u8,
}

/// Which of the four it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckKind {
    /// PUBACK, for QoS 1.
    Ack,
    /// PUBREC: a QoS 2 message was received.
    Rec,
    /// PUBREL: it may be forgotten.
    Rel,
    /// PUBCOMP: it is.
    Comp,
}

/// SUBSCRIBE (section 3.8).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subscribe {
    pub(super) id: u16,
    pub(super) filters: Vec<Request>,
}

/// One filter of a SUBSCRIBE with its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) filter: String,
    pub(super) options: Options,
}

/// Subscription options (MQTT 5 section 3.8.3.1; 3.1.1 has the QoS only).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Options {
    pub(super) qos: Qos,
    /// Do not send me what I published.
    pub(super) no_local: bool,
    /// Keep the retain flag as the publisher set it.
    pub(super) retain_as_published: bool,
    pub(super) retained: RetainHandling,
}

/// When a new subscription is sent the retained messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RetainHandling {
    Always,
    IfNew,
    Never,
}
