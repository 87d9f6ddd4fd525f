//! Events: what the outside world did, on the way to one component or several. An event knows what it is
//! worth (how often it is tried, whether it is kept when all tries failed) and who is to be told when
//! everybody is done with it.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pirn_triggers::gpio::{Edge, EdgeKind};
use pirn_triggers::mqtt::{Delivery, Message, Qos};
use tokio::sync::Notify;

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
}

/// One event, shared by the lanes that it matches. A message is acknowledged when the last of them is
/// done with it, and stays unacknowledged if one of them lets go of it before.
#[derive(Debug)]
pub struct Event {
    /// Where it came from: a topic, a line's name, a trigger's id.
    pub source: Arc<str>,
    /// What it is.
    pub what: Happening,
    /// What is left to do.
    open: Mutex<Open>,
    /// Told when it is done.
    settled: Arc<Notify>,
}

#[derive(Debug)]
struct Open {
    lanes: usize,
    then: Then,
}

/// What follows when all lanes are done.
#[derive(Debug)]
enum Then {
    Nothing,
    Acknowledge(Delivery),
}

impl Event {
    /// A message for so many lanes. `settled` is told when all of them are done with it.
    pub fn message(message: Message, lanes: usize, settled: Arc<Notify>) -> Self {
        let Message { topic, payload, qos, delivery, .. } = message;
        let then = Then::Acknowledge(delivery);
        let what = Happening::Message { payload, qos };
        Self { source: topic.into(), what, open: Mutex::new(Open { lanes, then }), settled }
    }

    /// Something that nobody waits for an answer to.
    pub fn local(source: Arc<str>, what: Happening, lanes: usize, settled: Arc<Notify>) -> Self {
        let open = Mutex::new(Open { lanes, then: Then::Nothing });
        Self { source, what, open, settled }
    }

    /// How often it is tried. At most once means one try; of an interval the next tick is the next try.
    pub fn attempts(&self, attempts_max: u32) -> u32 {
        match self.what {
            Happening::Message { qos: Qos::AtMostOnce, .. } | Happening::Tick => 1,
            _ => attempts_max,
        }
    }

    /// Whether it is kept aside when all tries failed.
    pub fn is_kept(&self) -> bool {
        !matches!(self.what, Happening::Message { qos: Qos::AtMostOnce, .. } | Happening::Tick)
    }

    /// What it says, for people and for dead letters.
    pub fn payload(&self) -> Cow<'_, [u8]> {
        match &self.what {
            Happening::Message { payload, .. } => Cow::Borrowed(payload),
            Happening::Tick => Cow::Borrowed(&[]),
            Happening::Time { timestamp } => Cow::Owned(timestamp.to_string().into_bytes()),
            Happening::Edge(edge) => Cow::Owned(words(edge).into_bytes()),
        }
    }

    /// One lane is done with it.
    pub fn settle(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.lanes = open.lanes.saturating_sub(1);
        if open.lanes > 0 {
            return;
        }
        if let Then::Acknowledge(delivery) = std::mem::replace(&mut open.then, Then::Nothing) {
            delivery.settle();
        }
        self.settled.notify_one();
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

/// Whether an event of a trigger waits already. Ticks that come meanwhile are that one.
#[derive(Debug, Default)]
pub struct Waiting(AtomicBool);

impl Waiting {
    /// Takes the only place; `false` if it is taken.
    pub fn begin(&self) -> bool {
        !self.0.swap(true, Relaxed)
    }

    /// The event is being handled: the next one may wait.
    pub fn end(&self) {
        self.0.store(false, Relaxed);
    }
}
