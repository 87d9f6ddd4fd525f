//! The workbench's caps, each with its reason.

use std::time::Duration;

/// A component's file. The largest guests we know (interpreters of other languages) have 15 MB; a
/// larger file is a mistake, and compiling it would take all memory.
pub(crate) const COMPONENT_BYTES_MAX: u64 = 128 << 20;

/// A payload that `publish` sends or `subscribe` shows: what the embedded broker takes in one packet,
/// with room for the topic.
pub(crate) const PAYLOAD_BYTES_MAX: usize = (1 << 20) - (64 << 10) - 16;

/// How long `publish` and `subscribe` look for the broker, unless told otherwise.
pub(crate) const BROKER_WAIT_SECS: u64 = 5;

/// How long a command that is done may take to say goodbye to the broker.
pub(crate) const GOODBYE_WAIT: Duration = Duration::from_secs(2);

/// Characters of a payload that are shown on one line.
pub(crate) const SHOWN_CHARS_MAX: usize = 200;

/// Caps of the simulated lines' socket.
pub(crate) mod pins {
    use std::time::Duration;

    /// How long `pirn pin press` holds a line, if it is not told: as long as a finger.
    pub(crate) const HOLD_MS: u64 = 100;
    /// The longest press: whoever wants more has `pirn pin set`.
    pub(crate) const PRESS_MAX: Duration = Duration::from_secs(3600);
    /// A request holds one name.
    pub(crate) const REQUEST_BYTES_MAX: u64 = 1024;
    /// Commands that may talk to the app at the same time.
    pub(crate) const CLIENTS_MAX: usize = 32;
    /// After a connection that could not be accepted: descriptors are short, which passes.
    pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
    /// Between two pictures of `pirn pins --watch`: faster than anybody reads.
    pub(crate) const FRAME: Duration = Duration::from_millis(50);
}
