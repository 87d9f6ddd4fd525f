//! Packet identifiers: which is given out next. QoS 2 has the first few for itself, all else the rest; both go round
//! before one is used again.

use crate::limits::mqtt::QOS2_IDENTIFIERS;

/// QoS 2 messages of an earlier process that the broker may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strangers {
    /// It holds none.
    None,
    /// Nobody knows.
    Perhaps,
    /// They are released; what the broker receives from here on is ours.
    Released,
}

/// Those given out last.
#[derive(Debug)]
pub(super) struct Identifiers {
    qos2: u16,
    other: u16,
}

impl Identifiers {
    pub(super) fn new() -> Self {
        Self { qos2: 0, other: QOS2_IDENTIFIERS }
    }

    /// All that QoS 2 has.
    pub(super) fn all_of_qos2() -> impl Iterator<Item = u16> {
        1..=QOS2_IDENTIFIERS
    }

    /// The next for QoS 2. There are more of them than may be on the wire.
    pub(super) fn next_of_qos2(&mut self, is_used: impl Fn(u16) -> bool) -> u16 {
        loop {
            self.qos2 = self.qos2 % QOS2_IDENTIFIERS + 1;
            if !is_used(self.qos2) {
                return self.qos2;
            }
        }
    }

    /// The next for anything else.
    pub(super) fn next(&mut self, is_used: impl Fn(u16) -> bool) -> u16 {
        loop {
            self.other = self.other.checked_add(1).unwrap_or(QOS2_IDENTIFIERS + 1);
            if !is_used(self.other) {
                return self.other;
            }
        }
    }
}
