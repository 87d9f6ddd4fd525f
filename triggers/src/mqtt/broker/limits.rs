//! What the embedded broker may hold at most. It lives on a developer's machine, so the caps are
//! generous; they exist so that a client in a loop ends as a message, not as a full memory.
//!
//! The worst case is a sum: sessions × (queue + unread input + unsent output + subscriptions) + retained, here
//! 64 × (4 + 1 + 1.25 + 3) + 16 MiB, about 608 MiB; an ordinary app holds a few KiB.

use std::time::Duration;

/// Connections at a time. An app, a few command-line clients and a test's crowd; more is turned
/// away before its first byte is read.
pub const CONNECTIONS_MAX: usize = 64;

/// Sessions, connected or waiting for their client. One more is refused (server unavailable):
/// evicting somebody's queue would lose messages in silence.
pub const SESSIONS_MAX: usize = 64;

/// Bytes of one packet in either direction. An app's payloads are far smaller on every board.
pub const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// Messages that wait for one session. The newest is dropped, and reported, when it is full.
pub const QUEUE_MESSAGES_MAX: usize = 4096;

/// Bytes (topic and payload) that wait for one session or are on their way to it.
pub const QUEUE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// QoS 1 and 2 messages sent to one session and not yet acknowledged. A version 5 client may ask
/// for less (receive maximum).
pub const IN_FLIGHT_MAX: usize = 64;

/// QoS 2 messages that one client has published and not yet released. Told to version 5 clients
/// as the receive maximum; a 3.1.1 client that goes over it is disconnected.
pub const INCOMING_QOS2_MAX: usize = 1024;

/// Subscriptions of one session; the next is refused in the SUBACK. As many as our own session may have, which
/// thousands of apps share; each message is compared with all of them.
pub const SUBSCRIPTIONS_MAX: usize = crate::limits::mqtt::SUBSCRIPTIONS_MAX;

/// Retained messages; another topic is not retained, and that is reported.
pub const RETAINED_MESSAGES_MAX: usize = 2048;

/// Bytes (topic and payload) of all retained messages.
pub const RETAINED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of a client id: a log line should be able to show it.
pub const CLIENT_ID_BYTES_MAX: usize = 256;

/// Bytes encoded and not yet taken by the peer before reading from it and delivering to it pause.
pub const OUTPUT_BYTES_MAX: usize = 256 * 1024;

/// How long a peer may take to send its CONNECT.
pub const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// How long a closing connection waits for its last bytes (a refusal, a DISCONNECT) to leave.
pub const FAREWELL_WAIT: Duration = Duration::from_secs(1);

// A subscription to `#` must be able to queue all retained messages at once.
const _: () = assert!(QUEUE_MESSAGES_MAX >= RETAINED_MESSAGES_MAX);
// Any packet that is accepted must fit an empty queue.
const _: () = assert!(QUEUE_BYTES_MAX >= PACKET_BYTES_MAX);
// Packet ids are 16 bits wide, and a free one must always be near.
const _: () = assert!(IN_FLIGHT_MAX <= 1024 && INCOMING_QOS2_MAX <= u16::MAX as usize);
