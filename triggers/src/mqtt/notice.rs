//! What a session tells the operator: states, counters and single notices. Only data.

use std::sync::Arc;
use std::time::Instant;

/// Where the session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// No connection: trying, or waiting before the next try.
    Connecting {
        /// Attempts since the last stable connection, the one under way included.
        attempt: u32,
        /// Why there is none.
        last_error: Option<Arc<str>>,
    },
    /// Connected and subscribed.
    Connected {
        /// Whether the broker had kept the session.
        session_present: bool,
        /// When the broker accepted us.
        since: Instant,
        /// Subscriptions that the broker refused; they are tried again from time to time.
        refused: Arc<[RefusedSubscription]>,
    },
    /// Stopped for good.
    Stopped,
}

/// A subscription that the broker did not grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSubscription {
    /// As in the options.
    pub filter: String,
    /// The broker's reason code, 0x80 or above.
    pub code: u8,
}

/// What has happened so far. Each only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Messages put into the inbox.
    pub received: u64,
    /// Redeliveries of a message that was still queued or being handled: not put there again.
    pub redelivered: u64,
    /// QoS 0 messages that found the inbox full.
    pub dropped_queue_full: u64,
    /// Messages larger than the payload limit, of which the first bytes were put into the inbox.
    pub oversize: u64,
    /// Messages whose topic was none.
    pub dropped_malformed: u64,
    /// Inbound messages acknowledged to the broker.
    pub settled: u64,
    /// Outbound messages accepted.
    pub published: u64,
    /// Outbound messages finished: acknowledged, or written if QoS 0.
    pub acknowledged: u64,
    /// Outbound messages sent once more after a reconnect.
    pub resent: u64,
    /// Outbound messages that the broker refused or that ended otherwise.
    pub failed: u64,
    /// Of those, QoS 0 for which there was no connection or no room.
    pub qos0_dropped: u64,
    /// Acknowledgements that came twice, or for what was never sent.
    pub acks_ignored: u64,
    /// Connections that the broker accepted.
    pub connects: u64,
    /// Connections that broke.
    pub disconnects: u64,
    /// Attempts that led to no connection.
    pub connect_failures: u64,
    /// Times that the inbox overflowed with QoS 1 or 2 messages. The connection is then renewed
    /// once the inbox is empty, so that the broker sends them again.
    pub overflows: u64,
    /// Packets, not messages, so large that they cost the connection.
    pub packets_too_large: u64,
    /// Times that the broker refused a subscription.
    pub subscriptions_refused: u64,
}

/// Something that happened and that someone may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The broker accepted us, and the subscriptions are made.
    Connected {
        /// Whether the broker had kept the session.
        session_present: bool,
    },
    /// The connection broke or could not be made.
    Disconnected {
        /// Why, in one sentence.
        reason: Arc<str>,
        /// Until the next attempt.
        retry_ms: u64,
    },
    /// The broker will not deliver what this filter asks for: an alarm.
    SubscriptionRefused {
        /// As in the options.
        filter: String,
        /// The broker's reason code, 0x80 or above.
        code: u8,
    },
    /// A refused subscription was granted at last.
    SubscriptionGranted {
        /// As in the options.
        filter: String,
    },
    /// A message was larger than the payload limit: the program gets its first bytes only.
    Oversize {
        /// Where it came from.
        topic: String,
        /// Its payload.
        bytes: u64,
    },
    /// For the first time on this connection, acknowledgements matched nothing. Some clusters and bridges
    /// do this; it is harmless, and counted.
    AcksIgnored,
}
