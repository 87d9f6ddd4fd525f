//! Outbound messages from their acceptance to their acknowledgement. Pure: decides what is sent
//! next, sends nothing.
//!
//! This record, not rumqttc's, is what counts. A message stays in it until the broker has
//! acknowledged it. After a reconnect, what was on the wire goes first: in a resumed session under
//! its old packet identifier and with DUP (QoS 2 depends on that: under a new one the broker would
//! deliver it twice, and keep the old one for ever); otherwise as new. Only when all of that is
//! acknowledged do new messages follow, since rumqttc numbers those from 1 again and would collide.

use super::link::{Accepted, Freed, Resend, Retain};
use super::message::{DeliveryError, Publish, Qos};
use crate::limits::mqtt as limits;
use heapless::Vec;
use std::collections::VecDeque;
use tokio::sync::{OwnedSemaphorePermit, oneshot};

/// Tells a [`Receipt`](super::Receipt).
pub(super) type Done = oneshot::Sender<Result<(), DeliveryError>>;

/// The room that a message takes in the record: given back when this is dropped.
pub(super) type Room = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// An accepted message.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) publish: Publish,
    pub(super) done: Option<Done>,
    pub(super) _room: Option<Room>,
}

/// Messages finished, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
    pub(super) resent: u64,
}

/// The record.
#[derive(Debug)]
pub(super) struct Outbound {
    waiting: VecDeque<Entry>,
    /// The session's own word (online, offline): goes before the others, made anew at each connect.
    status: Option<Publish>,
    flying: Vec<Flying, { limits::WINDOW }>,
    accepted: Accepted,
    /// The packet identifier that rumqttc gave last.
    last_id: u16,
    /// Places that rumqttc has lost on this connection.
    leaked: u16,
    pub(super) tally: Tally,
}

#[derive(Debug)]
struct Flying {
    entry: Entry,
    kind: Kind,
    /// 0 until rumqttc has numbered it.
    id: u16,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Message,
    Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// To be handed to rumqttc as a new message.
    Unsent,
    /// Handed to rumqttc, not yet written.
    Submitted,
    /// Written, as a new message.
    Sent,
    /// Of an earlier connection: PUBLISH to be sent again.
    Again,
    /// QoS 2: PUBREC has come, so only PUBREL may be sent from here on.
    Received,
    /// The same, of an earlier connection.
    ReceivedBefore,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            status: None,
            flying: Vec::new(),
            accepted: Accepted {
                session_present: false,
                packet_ids: limits::PACKET_IDS,
                packet_bytes_max: None,
                qos_max: Qos::ExactlyOnce,
                retain: Retain::Supported,
            },
            last_id: 0,
            leaked: 0,
            tally: Tally::default(),
        }
    }

    /// Takes a message, whose room was reserved.
    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// Says this before anything that waits.
    pub(super) fn set_status(&mut self, status: Option<Publish>) {
        self.status =
            status.map(|publish| Publish { qos: publish.qos.min(Qos::AtLeastOnce), ..publish });
    }

    /// Whether everything is acknowledged.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.flying.is_empty() && self.status.is_none()
    }

    /// Whether something is on the wire.
    pub(super) fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }

    /// Whether rumqttc has forgotten so many places that the window no longer fits.
    pub(super) fn is_worn(&self) -> bool {
        self.leaked > 0 && self.leaked + self.window() >= self.accepted.packet_ids
    }

    /// A connection broke.
    pub(super) fn lost(&mut self) {
        for mut flying in std::mem::take(&mut self.flying) {
            flying.stage = match (flying.kind, flying.stage, flying.entry.publish.qos) {
                (Kind::Status, ..) => continue,
                (_, Stage::Submitted, Qos::AtMostOnce) => {
                    // Perhaps written, perhaps not: at most once means not again.
                    self.finish(flying.entry, Err(DeliveryError::ConnectionLost));
                    continue;
                }
                (_, Stage::Unsent | Stage::Submitted, _) => Stage::Unsent,
                (_, Stage::Sent | Stage::Again, _) => Stage::Again,
                (_, Stage::Received | Stage::ReceivedBefore, _) => Stage::ReceivedBefore,
            };
            // As many as before fit again.
            let _ = self.flying.push(flying);
        }
    }

    /// A connection is made: what is to be sent again, in order.
    pub(super) fn connected(&mut self, accepted: Accepted) -> std::vec::Vec<Resend> {
        (self.accepted, self.last_id, self.leaked) = (accepted, 0, 0);
        let again = self.flying.iter().filter(|flying| flying.is_resent()).count();
        self.tally.resent += u64::try_from(again).unwrap_or(0);
        if !accepted.session_present {
            for flying in &mut self.flying {
                (flying.id, flying.stage) = (0, Stage::Unsent);
            }
        }
        self.flying.iter().filter_map(Flying::resend).collect()
    }

    /// The next message to hand to rumqttc now. Repeat until `None`.
    pub(super) fn next(&mut self) -> Option<Publish> {
        loop {
            if self.flying.iter().any(Flying::is_resent) || self.next_id_is_taken() {
                return None;
            }
            let at = self.next_unsent()?;
            match self.fit(&self.flying[at].entry.publish) {
                Ok(qos) => {
                    let flying = &mut self.flying[at];
                    flying.stage = Stage::Submitted;
                    flying.entry.publish.qos = qos;
                    return Some(flying.entry.publish.clone());
                }
                Err(error) => {
                    let flying = self.flying.remove(at);
                    self.finish(flying.entry, Err(error));
                }
            }
        }
    }

    /// rumqttc did not take what `next` gave last: it is next again.
    pub(super) fn not_taken(&mut self) {
        if let Some(last) = self.flying.iter_mut().rfind(|f| f.stage == Stage::Submitted) {
            last.stage = Stage::Unsent;
        }
    }

    /// A PUBLISH was written.
    pub(super) fn sent(&mut self, id: u16) {
        if id != 0 && self.flying.iter().any(|f| f.id == id && f.stage == Stage::Again) {
            return;
        }
        let Some(at) = self.flying.iter().position(|f| f.stage == Stage::Submitted) else {
            return;
        };
        if id == 0 {
            let flying = self.flying.remove(at);
            return self.finish(flying.entry, Ok(()));
        }
        self.last_id = id;
        (self.flying[at].id, self.flying[at].stage) = (id, Stage::Sent);
    }

    /// A SUBSCRIBE was written: it takes a packet identifier too.
    pub(super) fn numbered(&mut self, id: u16) {
        self.last_id = id;
    }

    /// PUBACK.
    pub(super) fn acked(&mut self, id: u16, refused: Option<u8>) {
        let result = refused.map_or(Ok(()), |code| Err(DeliveryError::Refused(code)));
        self.finish_id(id, result);
    }

    /// PUBREC.
    pub(super) fn received(&mut self, id: u16, refused: Option<u8>) {
        if let Some(code) = refused {
            self.leaked += 1;
            return self.finish_id(id, Err(DeliveryError::Refused(code)));
        }
        if let Some(flying) = self.flying.iter_mut().find(|f| f.id == id) {
            flying.stage = match flying.stage {
                Stage::Again | Stage::ReceivedBefore => Stage::ReceivedBefore,
                _ => Stage::Received,
            };
        }
    }

    /// PUBCOMP.
    pub(super) fn completed(&mut self, id: u16, freed: Freed) {
        if freed == Freed::Never {
            self.leaked += 1;
        }
        self.finish_id(id, Ok(()));
    }

    /// The session ends: every receipt learns it.
    pub(super) fn stop(&mut self) {
        self.status = None;
        for flying in std::mem::take(&mut self.flying) {
            self.finish(flying.entry, Err(DeliveryError::Stopped));
        }
        while let Some(entry) = self.waiting.pop_front() {
            self.finish(entry, Err(DeliveryError::Stopped));
        }
    }

    /// The first that is in the window and not handed over; brings one in if there is none.
    fn next_unsent(&mut self) -> Option<usize> {
        let on_wire = self.flying.iter().filter(|f| f.stage != Stage::Unsent).count();
        if on_wire >= usize::from(self.window()) {
            return None;
        }
        if let Some(at) = self.flying.iter().position(|f| f.stage == Stage::Unsent) {
            return Some(at);
        }
        let (entry, kind) = match self.status.take() {
            Some(publish) => (Entry { publish, done: None, _room: None }, Kind::Status),
            None => (self.waiting.pop_front()?, Kind::Message),
        };
        // Not full: fewer than the window are in it.
        let _ = self.flying.push(Flying { entry, kind, id: 0, stage: Stage::Unsent });
        Some(self.flying.len() - 1)
    }

    /// One less than rumqttc has places: it stops acknowledgements too when all are taken.
    fn window(&self) -> u16 {
        let places = self.accepted.packet_ids.saturating_sub(1).max(1);
        places.min(u16::try_from(limits::WINDOW).unwrap_or(1))
    }

    /// rumqttc numbers blindly, and stops everything when it meets a number in use.
    fn next_id_is_taken(&self) -> bool {
        let submitted =
            self.flying.iter().filter(|f| f.stage == Stage::Submitted && f.is_numbered());
        let steps = u32::try_from(submitted.count()).unwrap_or(0) + 1;
        let last = u32::from(self.last_id) % u32::from(self.accepted.packet_ids);
        let next = (last + steps - 1) % u32::from(self.accepted.packet_ids) + 1;
        self.flying.iter().any(|f| u32::from(f.id) == next)
    }

    /// Whether the broker takes the message, and at which QoS.
    fn fit(&self, publish: &Publish) -> Result<Qos, DeliveryError> {
        let bytes = publish.topic.len() + publish.payload.len() + PUBLISH_OVERHEAD_BYTES;
        match self.accepted {
            Accepted { packet_bytes_max: Some(max), .. } if bytes > max as usize => {
                Err(DeliveryError::TooLargeForBroker(max))
            }
            Accepted { retain: Retain::Unsupported, .. } if publish.retain => {
                Err(DeliveryError::RetainNotSupported)
            }
            Accepted { qos_max, .. } => Ok(publish.qos.min(qos_max)),
        }
    }

    fn finish_id(&mut self, id: u16, result: Result<(), DeliveryError>) {
        if let Some(at) = self.flying.iter().position(|f| f.id == id && id != 0) {
            let flying = self.flying.remove(at);
            if flying.kind == Kind::Message {
                self.finish(flying.entry, result);
            }
        }
    }

    fn finish(&mut self, entry: Entry, result: Result<(), DeliveryError>) {
        match result {
            Ok(()) => self.tally.acknowledged += 1,
            Err(_) => self.tally.failed += 1,
        }
        if let Some(done) = entry.done {
            // Nobody may be waiting.
            let _ = done.send(result);
        }
    }
}

impl Flying {
    fn resend(&self) -> Option<Resend> {
        match self.stage {
            Stage::Again => Some(Resend::Publish(self.id, self.entry.publish.clone())),
            Stage::ReceivedBefore => Some(Resend::Release(self.id)),
            _ => None,
        }
    }

    fn is_resent(&self) -> bool {
        matches!(self.stage, Stage::Again | Stage::ReceivedBefore)
    }

    fn is_numbered(&self) -> bool {
        self.entry.publish.qos != Qos::AtMostOnce
    }
}

/// Fixed header, topic length, packet identifier, empty properties: at most this much.
const PUBLISH_OVERHEAD_BYTES: usize = 5 + 2 + 2 + 1;
