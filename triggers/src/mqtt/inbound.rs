//! Inbound messages from their arrival to their acknowledgement. Pure: asks nobody, sends nothing.
//!
//! Two lists. The *queue* holds messages until the program takes them. The *ledger* holds one line
//! for each QoS 1 and 2 message that the broker still counts as under way, queued or taken.
//!
//! The ledger outlives connections. When the broker resumes a session it sends everything
//! unacknowledged once more, under the same packet identifier and with DUP [MQTT-4.4.0-1]. Such a
//! copy of a message that is still queued or being handled is *adopted*: its line gets the new
//! connection, the copy is dropped, and the acknowledgement goes to the new connection when
//! the program settles. A message settled while there was no connection, or whose acknowledgement had
//! not left when it broke, is acknowledged when its copy comes. Both are safe because we have never acknowledged such a message, so the broker cannot
//! have given its identifier to another. For the same reason nothing is purged when a connection
//! breaks: a broker that forgot the session has nothing to send again.
//!
//! Acknowledgements leave in the order in which messages are settled, not in which they came.
//! [MQTT-4.6.0-2] asks for the latter; we differ on purpose. One session serves many components,
//! and in order a slow one would hold back the acknowledgements of all its neighbours, fill the
//! broker's window and stop them. The rule lets a broker keep a client's messages in order;
//! each component still gets its own in order, and brokers match acknowledgements by identifier.

use super::message::Qos;
use super::packet::Arrival;
use crate::limits::mqtt as limits;
use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};

/// A message that waits to be taken. `key` finds its line in the ledger; 0 for QoS 0.
#[derive(Debug, PartialEq, Eq)]
pub struct Queued {
    /// To settle it with, or to abandon it.
    pub key: u64,
    /// The message.
    pub arrival: Arrival,
}

/// An acknowledgement to send on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ack {
    pub(super) id: u16,
    pub(super) qos: Qos,
}

/// What became of an arrival.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// In the queue.
    Queued,
    /// A copy of something known; acknowledged if that was settled already.
    Known,
    /// QoS 0, and no room for it.
    Dropped,
    /// QoS 1 or 2, and no room for it: nothing happened.
    Full(Arrival),
}

/// The queue and the ledger.
pub(super) struct Inbound {
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    queue_bytes_qos0: usize,
    queued_qos0: usize,
    /// By packet identifier: the broker uses one for one message at a time.
    ledger: BTreeMap<u16, Line>,
    /// Identifiers whose acknowledgement is to be sent on the present connection, in order.
    due: VecDeque<u16>,
    connection: u32,
    link: Link,
    next_key: u64,
    hasher: RandomState,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    key: u64,
    id: u16,
    qos: Qos,
    /// The connection on which the broker expects the acknowledgement.
    connection: u32,
    content: u64,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Up,
    Down,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Queued or with the program.
    Open,
    /// Settled, but there was no connection to say so on.
    Settled,
    /// Settled; the acknowledgement waits to be sent.
    Due,
    /// QoS 2: PUBREC is sent, PUBREL has not come.
    Received,
}

impl Inbound {
    pub(super) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            queue_bytes: 0,
            queue_bytes_qos0: 0,
            queued_qos0: 0,
            ledger: BTreeMap::new(),
            due: VecDeque::new(),
            connection: 0,
            link: Link::Down,
            next_key: 1,
            hasher: RandomState::new(),
        }
    }

    /// A new connection; whether the broker resumed the session decides what the ledger is worth.
    pub(super) fn connected(&mut self, session_present: bool) {
        self.lost();
        self.link = Link::Up;
        self.connection = self.connection.wrapping_add(1);
        if !session_present {
            self.ledger.clear();
        }
    }

    /// The connection is gone, and with it the acknowledgements that had not left.
    pub(super) fn lost(&mut self) {
        self.link = Link::Down;
        for id in self.due.drain(..) {
            if let Some(line) = self.ledger.get_mut(&id).filter(|line| line.stage == Stage::Due) {
                line.stage = Stage::Settled;
            }
        }
    }

    /// A message that arrived on the present connection.
    pub(super) fn offer(&mut self, arrival: Arrival) -> Offer {
        if arrival.qos == Qos::AtMostOnce {
            return self.offer_unpromised(arrival);
        }
        let Arrival { topic, payload, oversize, .. } = &arrival;
        let content = self.hasher.hash_one((topic, payload, oversize));
        if self.ledger.contains_key(&arrival.id) {
            if self.adopts(&arrival, content) {
                return Offer::Known;
            }
            // The broker uses the identifier for another message: this line has no future.
            self.ledger.remove(&arrival.id);
        }
        if !self.has_room(&arrival) {
            return Offer::Full(arrival);
        }
        let Arrival { id, qos, .. } = arrival;
        let key = self.next_key << 16 | u64::from(id);
        self.next_key += 1;
        let line = Line { key, id, qos, connection: self.connection, content, stage: Stage::Open };
        self.ledger.insert(id, line);
        self.enqueue(key, arrival);
        Offer::Queued
    }

    /// The next message, if there is one.
    pub(super) fn take(&mut self) -> Option<Queued> {
        let queued = self.queue.pop_front()?;
        keep_few(&mut self.queue, limits::INBOX_KEPT);
        let bytes = size(&queued.arrival);
        self.queue_bytes -= bytes;
        if queued.key == 0 {
            self.queued_qos0 -= 1;
            self.queue_bytes_qos0 -= bytes;
        }
        Some(queued)
    }

    /// The program is done with a message: its acknowledgement is due, if its connection still stands.
    /// Says whether that is so.
    pub(super) fn settle(&mut self, key: u64) -> bool {
        let present = self.link == Link::Up;
        let Some(line) = self.ledger.get_mut(&id_of(key)).filter(|line| line.key == key) else {
            return false;
        };
        if line.stage != Stage::Open {
            return false;
        }
        let present = present && line.connection == self.connection;
        line.stage = if present { Stage::Due } else { Stage::Settled };
        if present {
            self.due.push_back(line.id);
        }
        present
    }

    /// The next acknowledgement to send. It counts as sent.
    pub(super) fn next_ack(&mut self) -> Option<Ack> {
        loop {
            let id = self.due.pop_front()?;
            let Some(line) = self.ledger.get_mut(&id).filter(|line| line.stage == Stage::Due)
            else {
                continue;
            };
            let ack = Ack { id, qos: line.qos };
            match line.qos {
                Qos::ExactlyOnce => line.stage = Stage::Received,
                _ => drop(self.ledger.remove(&id)),
            }
            return Some(ack);
        }
    }

    /// Whether there is one.
    pub(super) fn has_ack(&self) -> bool {
        !self.due.is_empty()
    }

    /// The program dropped a message without settling it.
    pub(super) fn abandon(&mut self, key: u64) {
        if self.ledger.get(&id_of(key)).is_some_and(|line| line.key == key) {
            self.ledger.remove(&id_of(key));
        }
    }

    /// PUBREL: the broker will not send this message again.
    pub(super) fn released(&mut self, id: u16) {
        if self.ledger.get(&id).is_some_and(|line| line.stage == Stage::Received) {
            self.ledger.remove(&id);
        }
    }

    /// Whether a QoS 2 message is half acknowledged on the present connection.
    pub(super) fn awaits_release(&self) -> bool {
        let half =
            |line: &Line| line.stage == Stage::Received && line.connection == self.connection;
        self.ledger.values().any(half)
    }

    /// Whether nothing waits to be taken.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    fn offer_unpromised(&mut self, arrival: Arrival) -> Offer {
        let bytes = size(&arrival);
        let crowded = self.queued_qos0 >= limits::INBOX_QOS0_MAX
            || self.queued_qos0 > 0 && self.queue_bytes_qos0 + bytes > limits::INBOX_QOS0_BYTES_MAX;
        if crowded || self.queue.len() >= limits::INBOX_MESSAGES_MAX {
            return Offer::Dropped;
        }
        self.queued_qos0 += 1;
        self.queue_bytes_qos0 += bytes;
        self.enqueue(0, arrival);
        Offer::Queued
    }

    /// Takes an arrival as the copy of a line, if it is one.
    fn adopts(&mut self, arrival: &Arrival, content: u64) -> bool {
        let connection = self.connection;
        let Some(line) = self.ledger.get_mut(&arrival.id) else { return false };
        let same = line.content == content && line.qos == arrival.qos;
        let again = arrival.dup || line.connection == connection;
        if !(same && again) {
            return false;
        }
        line.connection = connection;
        if matches!(line.stage, Stage::Settled | Stage::Received) {
            line.stage = Stage::Due;
            self.due.push_back(arrival.id);
        }
        true
    }

    fn has_room(&mut self, arrival: &Arrival) -> bool {
        if self.ledger.len() >= limits::UNSETTLED_MAX {
            // A settled line only saves running a copy again, should one come.
            let connection = self.connection;
            let spare = |line: &&Line| line.connection != connection && line.stage != Stage::Open;
            if let Some(id) = self.ledger.values().find(spare).map(|line| line.id) {
                self.ledger.remove(&id);
            }
        }
        let bytes = self.queue_bytes + size(arrival);
        let fits = self.queue.is_empty() || bytes <= limits::INBOX_BYTES_MAX;
        fits && self.queue.len() < limits::INBOX_MESSAGES_MAX
            && self.ledger.len() < limits::UNSETTLED_MAX
    }

    fn enqueue(&mut self, key: u64, arrival: Arrival) {
        self.queue_bytes += size(&arrival);
        self.queue.push_back(Queued { key, arrival });
    }
}

/// Of a queue that is empty again after a burst, keeps so many places.
pub(super) fn keep_few<T>(queue: &mut VecDeque<T>, places: usize) {
    if queue.is_empty() && queue.capacity() > places {
        queue.shrink_to(places);
    }
}

/// What a message takes in the queue and the ledger.
fn size(arrival: &Arrival) -> usize {
    limits::MESSAGE_OVERHEAD_BYTES + arrival.topic.len() + arrival.payload.len()
}

/// A message's key ends with its packet identifier.
fn id_of(key: u64) -> u16 {
    (key & 0xFFFF) as u16
}

#[cfg(test)]
mod tests;
