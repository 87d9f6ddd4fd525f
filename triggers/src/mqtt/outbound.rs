//! Outbound messages from their acceptance to their acknowledgement. Pure: decides what is sent
//! next, sends nothing.
//!
//! A message stays in this record until the broker has acknowledged it, by its packet identifier and in
//! whatever order. After a reconnect, what was on the wire goes first and in order: in a resumed session
//! under its old identifier and with DUP [MQTT-4.4.0-1] (QoS 2 depends on that: under a new one the
//! broker would deliver it twice, and keep the old one for ever); otherwise as new.
//!
//! An acknowledgement that matches nothing is counted and otherwise ignored: clusters and bridges repeat
//! them. It cannot be mistaken for one of a later message, since identifiers go round before one is used again.
//!
//! QoS 2 has few identifiers of its own. In a session of an earlier process the broker may still hold messages of it:
//! it would take a new one under the same identifier for its copy, and drop it. So all of these are released before the
//! first such message leaves.

mod identifiers;

use self::identifiers::{Identifiers, Strangers};
use super::inbound::keep_few;
use super::message::{DeliveryError, Publish, Qos};
use super::packet::{Accepted, AckKind, Outgoing, Retain};
use crate::limits::mqtt as limits;
use std::collections::VecDeque;
use std::fmt;
use tokio::sync::oneshot;

/// How a message ended.
pub type Ending = Result<(), DeliveryError>;

/// What to do with how it ended.
pub type Then = Box<dyn FnOnce(Ending) + Send>;

/// Who learns how a message ended.
pub enum Done {
    /// A [`Receipt`](super::Receipt).
    Receipt(oneshot::Sender<Ending>),
    /// This is called, once the core is left: see [`News::ended`](super::core::News::ended).
    Call(Then),
}

impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Done")
    }
}

/// An accepted message.
#[derive(Debug)]
struct Entry {
    publish: Publish,
    done: Option<Done>,
    kind: Kind,
}

/// Messages finished, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) acknowledged: u64,
    pub(super) failed: u64,
    pub(super) resent: u64,
    /// QoS 0, for which there was no connection.
    pub(super) dropped: u64,
    /// Acknowledgements that matched nothing.
    pub(super) ignored: u64,
}

/// What an acknowledgement was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meaning {
    /// For nothing.
    None,
    /// For the message that is under way the longest.
    Oldest,
    /// For another.
    Later,
}

/// The record.
pub(super) struct Outbound {
    waiting: VecDeque<Entry>,
    /// The session's own word (online, offline): goes before the others, made anew at each connect.
    status: Option<Publish>,
    /// QoS 1 and 2, in the order in which they were first sent.
    flying: VecDeque<Flying>,
    /// Identifiers whose PUBREL is to be sent.
    releases: VecDeque<u16>,
    /// There may be something in `flying` that is to be sent again.
    resending: bool,
    accepted: Accepted,
    strangers: Strangers,
    ids: Identifiers,
    /// Of messages, and of their topics and payloads, in `waiting` and `flying`.
    messages: usize,
    bytes: usize,
    /// To be called.
    pub(super) ended: Vec<(Then, Ending)>,
    pub(super) tally: Tally,
}

#[derive(Debug)]
struct Flying {
    entry: Entry,
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
    /// Of an earlier connection: PUBLISH is to be sent again.
    Again,
    /// PUBLISH is on the wire.
    Sent,
    /// QoS 2 of an earlier connection: PUBREL is to be sent again.
    ReleaseAgain,
    /// QoS 2: PUBREC has come, so only PUBREL may be sent from here on.
    Received,
}

impl Outbound {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            status: None,
            flying: VecDeque::new(),
            releases: VecDeque::new(),
            resending: false,
            accepted: Accepted::plain(false),
            strangers: Strangers::Perhaps,
            ids: Identifiers::new(),
            messages: 0,
            bytes: 0,
            ended: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Whether a message fits. One alone always does.
    pub(super) fn has_room(&self, publish: &Publish) -> bool {
        self.messages == 0
            || self.messages < limits::OUTBOUND_MESSAGES_MAX
                && self.bytes + size(publish) <= limits::OUTBOUND_BYTES_MAX
    }

    /// Takes a message.
    pub(super) fn push(&mut self, publish: Publish, done: Option<Done>) {
        self.messages += 1;
        self.bytes += size(&publish);
        self.waiting.push_back(Entry { publish, done, kind: Kind::Message });
    }

    /// QoS 0, for which there is no connection or no room.
    pub(super) fn refuse(&mut self, done: Option<Done>, error: DeliveryError) {
        self.tally.failed += 1;
        self.tally.dropped += 1;
        self.tell(done, Err(error));
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

    /// Whether an acknowledgement is to come.
    pub(super) fn is_flying(&self) -> bool {
        !self.flying.is_empty()
    }

    /// Whether [`Self::next`] has something to give.
    pub(super) fn can_send(&self) -> bool {
        let waits = self.status.is_some() || !self.waiting.is_empty() || self.again().is_some();
        !self.releases.is_empty() || waits && !self.window_is_full()
    }

    /// A connection broke. What promised nothing is gone with it.
    pub(super) fn lost(&mut self) {
        self.releases.clear();
        self.flying.retain(|flying| flying.entry.kind == Kind::Message);
        if self.strangers == Strangers::Released {
            // Perhaps they were not, and what followed them was taken for theirs: once more, all of it.
            self.strangers = Strangers::Perhaps;
            self.renew();
        }
        for flying in &mut self.flying {
            flying.stage = match flying.stage {
                Stage::Again | Stage::Sent => Stage::Again,
                Stage::ReleaseAgain | Stage::Received => Stage::ReleaseAgain,
            };
        }
        for entry in std::mem::take(&mut self.waiting) {
            match entry.publish.qos {
                Qos::AtMostOnce => {
                    self.tally.dropped += 1;
                    self.finish(entry, Err(DeliveryError::ConnectionLost));
                }
                _ => self.waiting.push_back(entry),
            }
        }
    }

    /// The session that is present may be a new one, whose broker has forgotten what it had received: a PUBREL alone would
    /// be answered, and the message be nowhere. Sent whole, under its identifier and with DUP, it comes once to a
    /// broker that has it, unless it was released before.
    pub(super) fn doubt(&mut self) {
        for flying in &mut self.flying {
            flying.stage = Stage::Again;
        }
    }

    /// A connection is made.
    pub(super) fn connected(&mut self, accepted: Accepted) {
        self.accepted = accepted;
        self.tally.resent += self.flying.len() as u64;
        if !accepted.session_present {
            self.strangers = Strangers::None;
            self.renew();
        }
        self.resending = !self.flying.is_empty();
    }

    /// What is on the wire is to be sent as new.
    fn renew(&mut self) {
        for flying in self.flying.drain(..).rev() {
            self.waiting.push_front(flying.entry);
        }
    }

    /// The next packet to send now. Repeat until `None`.
    pub(super) fn next(&mut self, is_used: impl Fn(u16) -> bool) -> Option<Outgoing> {
        if let Some(id) = self.releases.pop_front() {
            return Some(Outgoing::Ack { kind: AckKind::Release, id });
        }
        if self.window_is_full() {
            return None;
        }
        if let Some(at) = self.again() {
            return Some(self.resend(at));
        }
        self.resending = false;
        self.next_new(is_used)
    }

    fn next_new(&mut self, is_used: impl Fn(u16) -> bool) -> Option<Outgoing> {
        loop {
            let waits = self.waiting.front().is_some_and(|first| self.must_wait(&first.publish));
            let mut entry = match self.status.take() {
                Some(publish) => Entry { publish, done: None, kind: Kind::Status },
                None if waits => return None,
                None => self.waiting.pop_front()?,
            };
            keep_few(&mut self.waiting, limits::OUTBOUND_KEPT);
            match self.fit(&entry.publish) {
                Ok(qos) => entry.publish.qos = qos,
                Err(error) => {
                    self.finish(entry, Err(error));
                    continue;
                }
            }
            let publish = entry.publish.clone();
            let id = match publish.qos {
                Qos::AtMostOnce => {
                    self.finish(entry, Ok(()));
                    return Some(Outgoing::Publish { id: 0, dup: false, publish });
                }
                Qos::AtLeastOnce => self.free_id(&is_used),
                Qos::ExactlyOnce if self.strangers == Strangers::Perhaps => {
                    self.waiting.push_front(entry);
                    self.strangers = Strangers::Released;
                    self.releases.extend(Identifiers::all_of_qos2());
                    let id = self.releases.pop_front()?;
                    return Some(Outgoing::Ack { kind: AckKind::Release, id });
                }
                Qos::ExactlyOnce => self.ids.next_of_qos2(|id| is_flying(&self.flying, id)),
            };
            self.flying.push_back(Flying { entry, id, stage: Stage::Sent });
            return Some(Outgoing::Publish { id, dup: false, publish });
        }
    }

    fn resend(&mut self, at: usize) -> Outgoing {
        let flying = &mut self.flying[at];
        let id = flying.id;
        match flying.stage {
            Stage::ReleaseAgain | Stage::Received => {
                flying.stage = Stage::Received;
                Outgoing::Ack { kind: AckKind::Release, id }
            }
            Stage::Again | Stage::Sent => {
                flying.stage = Stage::Sent;
                Outgoing::Publish { id, dup: true, publish: flying.entry.publish.clone() }
            }
        }
    }

    /// A packet identifier that is not in use, here or by a SUBSCRIBE, for anything but QoS 2.
    pub(super) fn free_id(&mut self, is_used: &impl Fn(u16) -> bool) -> u16 {
        let flying = &self.flying;
        self.ids.next(|id| is_used(id) || is_flying(flying, id))
    }

    /// PUBACK, PUBREC or PUBCOMP.
    pub(super) fn acked(&mut self, kind: AckKind, id: u16, refused: Option<u8>) -> Meaning {
        let found = self.flying.iter().position(|flying| flying.id == id);
        let known = found.filter(|&at| self.flying[at].expects(kind));
        let Some(at) = known else {
            if kind == AckKind::Complete && self.strangers == Strangers::Released {
                return Meaning::Later;
            }
            self.tally.ignored += 1;
            if kind == AckKind::Received && found.is_none() {
                // The broker still holds what we have forgotten: let it finish [MQTT-4.3.3].
                self.releases.push_back(id);
            }
            return Meaning::None;
        };
        match (kind, refused) {
            (AckKind::Received, None) => {
                self.strangers = Strangers::None;
                self.flying[at].stage = Stage::Received;
                self.releases.push_back(id);
            }
            // A PUBCOMP that says "unknown": the broker has finished with it before.
            (AckKind::Complete, _) | (_, None) => self.finish_at(at, Ok(())),
            (_, Some(code)) => self.finish_at(at, Err(DeliveryError::Refused(code))),
        }
        match at {
            0 => Meaning::Oldest,
            _ => Meaning::Later,
        }
    }

    /// Replies that wait to be sent: more are caused by what is read, so reading stops at some number.
    pub(super) fn replies(&self) -> usize {
        self.releases.len()
    }

    /// The session ends: every receipt learns why.
    pub(super) fn end(&mut self, error: &DeliveryError) {
        self.status = None;
        self.releases.clear();
        while let Some(flying) = self.flying.pop_front() {
            self.finish(flying.entry, Err(error.clone()));
        }
        while let Some(entry) = self.waiting.pop_front() {
            self.finish(entry, Err(error.clone()));
        }
    }

    /// The first that is to be sent again.
    fn again(&self) -> Option<usize> {
        let again = |flying: &Flying| matches!(flying.stage, Stage::Again | Stage::ReleaseAgain);
        self.resending.then(|| self.flying.iter().position(again)).flatten()
    }

    fn window_is_full(&self) -> bool {
        let window = usize::from(self.accepted.receive_max).min(limits::WINDOW);
        self.flying.len() >= window && {
            let on_wire = |flying: &&Flying| matches!(flying.stage, Stage::Sent | Stage::Received);
            self.flying.iter().filter(on_wire).count() >= window
        }
    }

    /// Brokers of 3.1.1 drop QoS 2 messages beyond a number that they do not tell.
    fn must_wait(&self, publish: &Publish) -> bool {
        let two = |flying: &&Flying| flying.entry.publish.qos == Qos::ExactlyOnce;
        publish.qos == Qos::ExactlyOnce
            && self.flying.iter().filter(two).count() >= limits::WINDOW_QOS2
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

    fn finish_at(&mut self, at: usize, result: Result<(), DeliveryError>) {
        if let Some(flying) = self.flying.remove(at) {
            self.finish(flying.entry, result);
        }
    }

    fn finish(&mut self, entry: Entry, result: Result<(), DeliveryError>) {
        if entry.kind == Kind::Status {
            return;
        }
        self.messages -= 1;
        self.bytes -= size(&entry.publish);
        match result {
            Ok(()) => self.tally.acknowledged += 1,
            Err(_) => self.tally.failed += 1,
        }
        self.tell(entry.done, result);
    }

    fn tell(&mut self, done: Option<Done>, ending: Ending) {
        match done {
            // Nobody may be waiting.
            Some(Done::Receipt(receipt)) => drop(receipt.send(ending)),
            Some(Done::Call(then)) => self.ended.push((then, ending)),
            None => {}
        }
    }
}

impl Flying {
    /// Whether an acknowledgement of this kind may come now. Of an earlier connection's too: a broker that
    /// resumes a session may go on where it was.
    fn expects(&self, kind: AckKind) -> bool {
        match kind {
            AckKind::Ack => self.entry.publish.qos == Qos::AtLeastOnce,
            AckKind::Received => self.entry.publish.qos == Qos::ExactlyOnce,
            AckKind::Complete => matches!(self.stage, Stage::Received | Stage::ReleaseAgain),
            AckKind::Release => false,
        }
    }
}

fn is_flying(flying: &VecDeque<Flying>, id: u16) -> bool {
    flying.iter().any(|flying| flying.id == id)
}

/// What a message takes of the record's bytes.
fn size(publish: &Publish) -> usize {
    publish.topic.len() + publish.payload.len()
}

/// Fixed header, topic length, packet identifier, empty properties: at most this much.
const PUBLISH_OVERHEAD_BYTES: usize = 5 + 2 + 2 + 1;

#[cfg(test)]
mod tests;
