//! Events: what happened, on the way to one component or several. An event knows who is to be told when everybody is
//! done with it, and how it is written down.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use pirn_triggers::gpio::{Edge, EdgeKind};
use pirn_triggers::mqtt::{Delivery, Message, Qos};
use tokio::sync::{Notify, OwnedSemaphorePermit};

use crate::happening::{Happening, Urgency};
use crate::limits::dispatch::EVENT_OVERHEAD_BYTES;
use crate::store::{DeadLetter, Kept, KeptEvent, LetterKind};

/// One event, shared by the lanes that it matches. A message is acknowledged when the last of them is
/// done with it, and stays unacknowledged if one of them lets go of it before.
#[derive(Debug)]
pub struct Event {
    /// Where it came from: a topic, a line's name, a trigger's id.
    pub source: Arc<str>,
    /// What it is.
    pub what: Happening,
    /// How safe must be what is published for it.
    urgency: Urgency,
    /// How long the message was, if this is only the beginning of it.
    whole_bytes: Option<u64>,
    /// The dead letter that it is, if it is tried again as one.
    letter: Option<i64>,
    /// What is left to do.
    open: Mutex<Open>,
    /// Told when it is done.
    settled: Arc<Notify>,
    /// What it takes of the memory for events that wait.
    _room: Option<OwnedSemaphorePermit>,
}

struct Open {
    lanes: usize,
    then: Then,
    /// What lanes that are done remember of their attempts, and may forget then.
    tried: Vec<Forget>,
}

/// Forgets how often a lane tried an event. Each lane's app has a memory of its own.
pub type Forget = Box<dyn FnOnce() + Send>;

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open").field("lanes", &self.lanes).field("then", &self.then).finish()
    }
}

/// What follows when all lanes are done.
#[derive(Debug)]
enum Then {
    Nothing,
    Acknowledge(Delivery),
}

impl Event {
    /// A message for so many lanes. `settled` is told when all of them are done with it.
    pub fn message(
        message: Message,
        lanes: usize,
        settled: Arc<Notify>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let Message { topic, payload, qos, delivery, oversize, .. } = message;
        // At QoS 0 nobody sends it again.
        let urgency = match qos {
            Qos::AtMostOnce => Urgency::Lasting,
            _ => Urgency::Redelivered,
        };
        let open = Mutex::new(Open { lanes, then: Then::Acknowledge(delivery), tried: Vec::new() });
        let what = Happening::Message { payload, qos };
        Self {
            source: topic.into(),
            what,
            urgency,
            whole_bytes: oversize,
            letter: None,
            open,
            settled,
            _room: room,
        }
    }

    /// Something that nobody waits for an answer to, and that nobody sends again.
    pub fn local(source: Arc<str>, what: Happening, lanes: usize, settled: Arc<Notify>) -> Self {
        let open = Mutex::new(Open { lanes, then: Then::Nothing, tried: Vec::new() });
        let urgency = Urgency::Lasting;
        let (whole_bytes, letter) = (None, None);
        Self { source, what, urgency, whole_bytes, letter, open, settled, _room: None }
    }

    /// A message that nobody sends again, and that takes so much of the memory for events that wait.
    pub fn heard(
        source: Arc<str>,
        payload: Bytes,
        lanes: usize,
        settled: Arc<Notify>,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        let what = Happening::Message { payload, qos: Qos::AtMostOnce };
        Self { _room: room, ..Self::local(source, what, lanes, settled) }
    }

    /// One that was written down; `None` if this version does not know its kind.
    pub fn of_kept(kept: KeptEvent, settled: Arc<Notify>) -> Option<Self> {
        let KeptEvent { kind, source, payload, detail, .. } = kept;
        let what = match kind.as_str() {
            "mqtt" => {
                let qos = if detail == "2" { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                Happening::Message { payload: payload.into(), qos }
            }
            "cron" => {
                Happening::Time { timestamp: std::str::from_utf8(&payload).ok()?.parse().ok()? }
            }
            "gpio" => Happening::Edge(edge_of(&detail)?),
            _ => return None,
        };
        let mut event = Self::local(source.into(), what, 1, settled);
        event.urgency = Urgency::Redelivered;
        Some(event)
    }

    /// A dead letter that is tried again; `None` if it is no event, or only the beginning of one.
    pub fn of_letter(kept: Kept, settled: Arc<Notify>) -> Option<Self> {
        let Kept { id, letter, .. } = kept;
        if letter.payload_bytes > letter.payload.len() as u64 {
            return None;
        }
        let what = match letter.kind {
            LetterKind::Mqtt => {
                let qos = if letter.qos == 2 { Qos::ExactlyOnce } else { Qos::AtLeastOnce };
                Happening::Message { payload: letter.payload.into(), qos }
            }
            LetterKind::Gpio => Happening::Edge(edge_of_words(&letter.payload)?),
            LetterKind::Timer => Happening::Tick,
            LetterKind::Cron => {
                let timestamp = std::str::from_utf8(&letter.payload).ok()?.parse().ok()?;
                Happening::Time { timestamp }
            }
            LetterKind::Publish => return None,
        };
        let mut event = Self::local(letter.source.into(), what, 1, settled);
        // The letter stays until it is handled.
        (event.urgency, event.letter) = (Urgency::Redelivered, Some(id));
        Some(event)
    }

    /// The dead letter that it is.
    pub fn letter_id(&self) -> Option<i64> {
        self.letter
    }

    /// The dead letter that it becomes.
    pub fn letter(&self, component: &str, attempts: u32, reason: &str) -> DeadLetter {
        let (kind, qos) = match &self.what {
            Happening::Message { qos, .. } => (LetterKind::Mqtt, *qos as u8),
            // Requests and runs are never kept; like a tick they promise nothing.
            Happening::Tick | Happening::Request | Happening::Run => (LetterKind::Timer, 0),
            Happening::Time { .. } => (LetterKind::Cron, 0),
            Happening::Edge(_) => (LetterKind::Gpio, 0),
        };
        let payload = self.what.payload().into_owned();
        let payload_bytes = self.whole_bytes.unwrap_or(payload.len() as u64);
        let letter = DeadLetter::new(component, &*self.source, payload, reason);
        DeadLetter { kind, qos, payload_bytes, attempts, ..letter }
    }

    /// The same, to be written down for a component.
    pub fn kept(&self, component: &str, trigger: &str, attempts: u32) -> KeptEvent {
        let (kind, detail) = match &self.what {
            Happening::Message { qos, .. } => ("mqtt", (*qos as u8).to_string()),
            Happening::Tick | Happening::Request | Happening::Run => ("timer", String::new()),
            Happening::Time { .. } => ("cron", String::new()),
            Happening::Edge(edge) => ("gpio", detail_of(edge)),
        };
        KeptEvent {
            component: component.into(),
            trigger: trigger.into(),
            kind: kind.into(),
            source: self.source.to_string(),
            payload: self.what.payload().into_owned(),
            detail,
            attempts,
        }
    }

    /// What is published for it need not be on disk before its component goes on.
    #[must_use]
    pub fn late(mut self) -> Self {
        self.urgency = Urgency::Redelivered;
        self
    }

    /// How safe must be what is published for it, before its component goes on.
    pub fn urgency(&self) -> Urgency {
        self.urgency
    }

    /// What it takes in memory.
    pub fn bytes(&self) -> usize {
        let payload = match &self.what {
            Happening::Message { payload, .. } => payload.len(),
            _ => 0,
        };
        EVENT_OVERHEAD_BYTES + self.source.len() + payload
    }

    /// Tells it from others, for a component, over a restart.
    pub fn digest(&self, component: &str) -> u64 {
        digest(&[component.as_bytes(), self.source.as_bytes(), &self.what.payload()])
    }

    /// One lane is done with it. `tried` forgets its attempts, if they are remembered. All that may be forgotten comes
    /// back when the last lane is done: if the runner dies before, the event comes again to all of them, and one that
    /// was tried as often as it may must not begin anew.
    pub fn settle(&self, tried: Option<Forget>) -> Vec<Forget> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.lanes = open.lanes.saturating_sub(1);
        open.tried.extend(tried);
        if open.lanes > 0 {
            return Vec::new();
        }
        if let Then::Acknowledge(delivery) = std::mem::replace(&mut open.then, Then::Nothing) {
            delivery.settle();
        }
        self.settled.notify_one();
        std::mem::take(&mut open.tried)
    }
}

/// The same for the same bytes, on every machine and after every restart of this version.
pub(crate) fn digest(parts: &[&[u8]]) -> u64 {
    use std::hash::Hasher as _;
    // Its keys are constant, which the standard library promises for one of its versions.
    #[allow(deprecated, reason = "the hasher that may be asked for constant keys")]
    let mut hasher = std::hash::SipHasher::new_with_keys(0, 0);
    for part in parts {
        hasher.write(part);
        hasher.write_u8(0xFF);
    }
    hasher.finish()
}

/// The reverse of an edge's payload, as far as it goes: when it was is not among them.
fn edge_of_words(words: &[u8]) -> Option<Edge> {
    let words = std::str::from_utf8(words).ok()?;
    let (way, missed) = match words.split_once(", ") {
        Some((way, rest)) => (way, rest.strip_suffix(" missed")?.parse().ok()?),
        None => (words, 0),
    };
    edge_of(&format!("{way} 0 1 {missed} 1"))
}

fn detail_of(edge: &Edge) -> String {
    let Edge { edge: kind, timestamp_ns, sequence, missed, epoch } = edge;
    let way = match kind {
        EdgeKind::Rising => "rising",
        EdgeKind::Falling => "falling",
    };
    format!("{way} {timestamp_ns} {sequence} {missed} {epoch}")
}

fn edge_of(detail: &str) -> Option<Edge> {
    let mut parts = detail.split(' ');
    let edge = match parts.next()? {
        "rising" => EdgeKind::Rising,
        "falling" => EdgeKind::Falling,
        _ => return None,
    };
    Some(Edge {
        edge,
        timestamp_ns: parts.next()?.parse().ok()?,
        sequence: parts.next()?.parse().ok()?,
        missed: parts.next()?.parse().ok()?,
        epoch: parts.next()?.parse().ok()?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn again(what: Happening) -> Event {
        let event = Event::local("source".into(), what, 1, Arc::default());
        let kept = event.kept("component", "trigger", 2);
        assert_eq!((kept.component.as_str(), kept.attempts), ("component", 2));
        Event::of_kept(kept, Arc::default()).unwrap()
    }

    #[test]
    fn what_is_written_down_is_the_same_when_it_is_read() {
        let payload = bytes::Bytes::from_static(b"\x00\xFFx");
        let message = again(Happening::Message { payload: payload.clone(), qos: Qos::ExactlyOnce });
        let Happening::Message { payload: read, qos } = &message.what else { unreachable!() };
        assert_eq!((read, *qos, &*message.source), (&payload, Qos::ExactlyOnce, "source"));
        let edge =
            Edge { edge: EdgeKind::Falling, timestamp_ns: 5, sequence: 6, missed: 7, epoch: 8 };
        assert!(matches!(again(Happening::Edge(edge)).what, Happening::Edge(read) if read == edge));
        let time = again(Happening::Time { timestamp: 9 });
        assert!(matches!(time.what, Happening::Time { timestamp: 9 }));
    }

    #[test]
    fn attempts_are_remembered_until_the_last_lane_is_done() {
        let event = Event::local("source".into(), Happening::Tick, 3, Arc::default());
        let forgotten = Arc::<Mutex<Vec<u32>>>::default();
        let forget = |which: u32| -> Option<Forget> {
            let forgotten = Arc::clone(&forgotten);
            Some(Box::new(move || forgotten.lock().unwrap().push(which)))
        };
        assert!(event.settle(forget(1)).is_empty());
        assert!(event.settle(None).is_empty());
        event.settle(forget(2)).into_iter().for_each(|forget| forget());
        assert_eq!(*forgotten.lock().unwrap(), [1, 2]);
    }

    #[test]
    fn a_dead_letter_is_tried_again_as_what_it_was() {
        let edge =
            Edge { edge: EdgeKind::Rising, timestamp_ns: 5, sequence: 6, missed: 7, epoch: 8 };
        let event = Event::local("BUTTON".into(), Happening::Edge(edge), 1, Arc::default());
        let letter = event.letter("component", 3, "no");
        assert_eq!((letter.kind, letter.attempts, &*letter.reason), (LetterKind::Gpio, 3, "no"));
        let kept = Kept { id: 4, retry: crate::store::Retry::Underway, kept_bytes: 0, letter };
        let again = Event::of_letter(kept, Arc::default()).unwrap();
        assert_eq!(again.letter_id(), Some(4));
        let Happening::Edge(read) = again.what else { unreachable!() };
        assert_eq!((read.edge, read.missed), (EdgeKind::Rising, 7));
    }

    #[test]
    fn digests_tell_components_and_borders_apart() {
        assert_ne!(digest(&[b"a", b"bc"]), digest(&[b"ab", b"c"]));
        assert_eq!(digest(&[b"a", b"bc"]), digest(&[b"a", b"bc"]));
    }
}
