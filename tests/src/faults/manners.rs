//! How the recording broker behaves: well, unless it is told otherwise. Each of these was seen from real brokers,
//! bridges and clusters, or is what a broken one could do.

use std::time::Duration;

/// How acknowledgements of what the client published leave. What they are for is in the record already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// At once, in order.
    Prompt,
    /// In the other order, once so many have gathered or a little later.
    Reversed(usize),
    /// One of so many comes late, behind those of younger packets.
    Late(usize),
    /// Each of them twice.
    Twice,
    /// With one for a packet that never was beside each.
    Strange,
    /// Not at all; after so many publishes the connection is cut, and then all is well.
    NoneThenCut(usize),
    /// Not at all.
    None,
}

/// The whole behaviour.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Of acknowledgements.
    pub acks: Acks,
    /// CONNACK's code: 0 accepts, 5 says "not authorized" (3.2.2.3).
    pub connack: u8,
    /// Filters that begin so are refused, with 0x80 in the SUBACK (3.9.3).
    pub refused: Option<&'static str>,
    /// Takes no publishes: neither records nor acknowledges them, while all else goes on. As if it ended each time
    /// before it had written one down.
    pub discards: bool,
    /// Does not read.
    pub deaf: bool,
    /// Messages at QoS 1 and 2 under way to a client at once: mosquitto's default.
    pub window: usize,
    /// Says nothing to the first packet, ever.
    pub silent: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self {
            acks: Acks::Prompt,
            connack: 0,
            refused: None,
            discards: false,
            deaf: false,
            window: 20,
            silent: false,
        }
    }
}

/// How long gathered acknowledgements wait for more.
pub const GATHER: Duration = Duration::from_millis(30);

/// How much longer one waits that comes late: more packets than a client has names for pass it meanwhile.
pub const LATE: Duration = Duration::from_millis(300);
