//! What happened outside, in the words that everybody below the lanes has for it: what it is, what it is worth, how
//! safe must be what is published for it.

use std::borrow::Cow;

use bytes::Bytes;
use pirn_triggers::gpio::{Edge, EdgeKind};
use pirn_triggers::mqtt::Qos;

/// What happened.
#[derive(Debug)]
pub enum Happening {
    /// A message came.
    Message {
        /// Its bytes.
        payload: Bytes,
        /// How surely it was delivered.
        qos: Qos,
    },
    /// An interval went by.
    Tick,
    /// A time of the day came.
    Time {
        /// The second that was due, since the epoch.
        timestamp: u64,
    },
    /// A line changed.
    Edge(Edge),
    /// Somebody waits for an answer; what was asked goes another way than events do.
    Request,
    /// The app was started, or somebody asked for a run.
    Run,
}

impl Happening {
    /// Whether whoever sent it sends it again if it is not settled.
    pub fn is_sent_again(&self) -> bool {
        matches!(self, Self::Message { qos, .. } if *qos != Qos::AtMostOnce)
    }

    /// What it is worth. At most once means one try; of an interval the next tick is the next try, of a command the next
    /// start.
    pub fn worth(&self) -> Worth {
        match self {
            Self::Message { qos: Qos::AtMostOnce, .. } => Worth::Fleeting,
            Self::Request => Worth::Fleeting,
            Self::Tick | Self::Run => Worth::FleetingTick,
            Self::Time { .. } => Worth::KeptTick,
            Self::Message { .. } | Self::Edge(_) => Worth::Kept,
        }
    }

    /// What it says, for people and for dead letters.
    pub fn payload(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Message { payload, .. } => Cow::Borrowed(payload),
            Self::Tick | Self::Request | Self::Run => Cow::Borrowed(&[]),
            Self::Time { timestamp } => Cow::Owned(timestamp.to_string().into_bytes()),
            Self::Edge(edge) => Cow::Owned(words(edge).into_bytes()),
        }
    }
}

fn words(edge: &Edge) -> String {
    let way = match edge.edge {
        EdgeKind::Rising => "rising",
        EdgeKind::Falling => "falling",
    };
    match edge.missed {
        0 => way.to_string(),
        missed => format!("{way}, {missed} missed"),
    }
}

/// What an event is worth, and so what may become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worth {
    /// Tried again, written down when it waits for long, kept aside when all tries failed.
    Kept,
    /// The same, and one with another of its trigger that waits.
    KeptTick,
    /// Tried once; the oldest news of its kind, dropped when there is no room.
    Fleeting,
    /// Tried once, and one with another of its trigger that waits.
    FleetingTick,
}

impl Worth {
    /// Whether it is kept aside when all tries failed.
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Kept | Self::KeptTick)
    }

    /// Whether one of its trigger that waits is enough.
    pub fn is_tick(self) -> bool {
        matches!(self, Self::KeptTick | Self::FleetingTick)
    }
}

/// How safe a publish must be before its component is told that it is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Its cause is sent again if we die: no need to write while the broker answers.
    Redelivered,
    /// Nobody sends its cause again.
    Lasting,
}
