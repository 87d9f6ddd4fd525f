//! What the recording broker keeps for one client: the subscriptions, what waits for it, what is under way to it, what
//! it has acknowledged. A plain value: nothing here knows of sockets or threads, and all of it is "on the disk", so it
//! is what the broker comes back with after its own end.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use super::packet::{self, Payload, Pieces};

/// A message that somebody published to the broker.
#[derive(Debug)]
pub struct Message {
    /// Its place among all messages of this broker.
    pub serial: u64,
    /// Its topic.
    pub topic: String,
    /// Its payload.
    pub payload: Payload,
    /// At which it was published.
    pub qos: u8,
    /// Whether it was kept for later subscribers before it was handed over.
    pub retained: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// PUBLISH is on its way.
    Sent,
    /// PUBREC came; PUBREL is on its way.
    Released,
}

#[derive(Clone, Debug)]
struct UnderWay {
    id: u16,
    qos: u8,
    message: Arc<Message>,
    stage: Stage,
}

/// A client's session.
#[derive(Debug)]
pub struct Session {
    /// Filters and what was granted for each.
    pub filters: Vec<(String, u8)>,
    /// Whether it goes with its connection.
    pub clean: bool,
    waiting: VecDeque<(Arc<Message>, u8)>,
    under_way: VecDeque<UnderWay>,
    last_id: u16,
    /// QoS 2 publishes of the client that were recorded and not yet released.
    pub received: BTreeSet<u16>,
    /// Each message at the moment that the client took it over, also again.
    pub accepted: Vec<Arc<Message>>,
}

impl Session {
    /// A new one.
    #[must_use]
    pub fn new(clean: bool) -> Self {
        Self {
            filters: Vec::new(),
            clean,
            waiting: VecDeque::new(),
            under_way: VecDeque::new(),
            last_id: 0,
            received: BTreeSet::new(),
            accepted: Vec::new(),
        }
    }

    /// The QoS granted to the filters that match a topic; `None` if none does.
    #[must_use]
    pub fn granted(&self, topic: &str) -> Option<u8> {
        let matching = self.filters.iter().filter(|(filter, _)| matches(filter, topic));
        matching.map(|(_, qos)| *qos).max()
    }

    /// Grants a filter.
    pub fn subscribe(&mut self, filter: &str, qos: u8) {
        self.filters.retain(|(known, _)| known != filter);
        self.filters.push((filter.to_owned(), qos));
    }

    /// Puts a message behind those that wait.
    pub fn push(&mut self, message: &Arc<Message>, granted: u8) {
        self.waiting.push_back((Arc::clone(message), message.qos.min(granted)));
    }

    /// Messages at QoS 1 and 2 that the client has not taken over.
    #[must_use]
    pub fn pending(&self) -> Vec<&Arc<Message>> {
        let sent = self.under_way.iter().filter(|one| one.stage == Stage::Sent);
        let waiting = self.waiting.iter().filter(|(_, qos)| *qos > 0).map(|(message, _)| message);
        sent.map(|one| &one.message).chain(waiting).collect()
    }

    /// How many those are, without making a list of them.
    #[must_use]
    pub fn pending_count(&self) -> usize {
        let sent = self.under_way.iter().filter(|one| one.stage == Stage::Sent).count();
        sent + self.waiting.iter().filter(|(_, qos)| *qos > 0).count()
    }

    /// What a resumed session begins with: all that is under way, once more and in its order [MQTT-4.4.0-1].
    #[must_use]
    pub fn again(&self) -> Pieces {
        const DUP: u8 = 8;
        let mut pieces = Pieces::new();
        for UnderWay { id, qos, message, stage } in &self.under_way {
            match stage {
                Stage::Sent => pieces.extend(publication(message, *qos, *id, DUP)),
                Stage::Released => pieces.push(packet::short(6, *id).into()),
            }
        }
        pieces
    }

    /// What may go out now: no more than `window` at QoS 1 and 2 are under way.
    pub fn next(&mut self, window: usize) -> Pieces {
        let mut pieces = Pieces::new();
        while let Some((message, qos)) = self.waiting.front() {
            let (message, qos) = (Arc::clone(message), *qos);
            if qos > 0 && self.under_way.len() >= window {
                break;
            }
            self.waiting.pop_front();
            let id = if qos > 0 { self.fresh_id() } else { 0 };
            pieces.extend(publication(&message, qos, id, 0));
            if qos > 0 {
                self.under_way.push_back(UnderWay { id, qos, message, stage: Stage::Sent });
            }
        }
        pieces
    }

    fn fresh_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if !self.under_way.iter().any(|one| one.id == self.last_id) {
                return self.last_id;
            }
        }
    }

    /// PUBACK: the message is the client's.
    pub fn acknowledged(&mut self, id: u16) {
        if let Some(place) = self.under_way.iter().position(|one| one.id == id && one.qos == 1)
            && let Some(one) = self.under_way.remove(place)
        {
            self.accepted.push(one.message);
        }
    }

    /// PUBREC: the message is the client's.
    pub fn taken(&mut self, id: u16) {
        let known = self.under_way.iter_mut().find(|one| one.id == id && one.qos == 2);
        if let Some(one) = known.filter(|one| one.stage == Stage::Sent) {
            one.stage = Stage::Released;
            self.accepted.push(Arc::clone(&one.message));
        }
    }

    /// PUBCOMP: the id is free.
    pub fn completed(&mut self, id: u16) {
        self.under_way.retain(|one| !(one.id == id && one.stage == Stage::Released));
    }
}

fn publication(message: &Message, qos: u8, id: u16, flags: u8) -> Pieces {
    let flags = flags | u8::from(message.retained);
    packet::publication(&message.topic, &message.payload, qos, id, flags)
}

/// Whether a filter matches a topic (4.7).
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    let (mut filter, mut topic) = (filter.split('/'), topic.split('/'));
    loop {
        match (filter.next(), topic.next()) {
            (Some("#"), _) | (None, None) => return true,
            (Some("+"), Some(_)) => {}
            (Some(level), Some(name)) if level == name => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(serial: u64) -> Arc<Message> {
        let payload = Payload { head: Arc::from(&b"1"[..]), zeros: 0 };
        Arc::new(Message { serial, topic: "a".into(), payload, qos: 1, retained: false })
    }

    #[test]
    fn what_was_not_acknowledged_is_sent_again_and_counts_as_pending() {
        let mut session = Session::new(false);
        (1..=3).for_each(|serial| session.push(&message(serial), 1));
        assert_eq!(session.next(2).len(), 2);
        session.acknowledged(1);
        assert_eq!(session.again().len(), 1);
        assert_eq!(session.pending_count(), 2);
        assert_eq!(session.accepted.len(), 1);
    }

    #[test]
    fn an_acknowledgement_of_nothing_changes_nothing() {
        let mut session = Session::new(false);
        session.push(&message(1), 1);
        let _ = session.next(1);
        session.acknowledged(9);
        session.taken(1);
        assert_eq!((session.pending_count(), session.accepted.len()), (1, 0));
    }

    #[test]
    fn filters_match_as_the_standard_s_examples_do() {
        for (filter, topic, expected) in [
            ("sport/tennis/#", "sport/tennis", true),
            ("sport/+", "sport/tennis/player1", false),
            ("+/+", "/finance", true),
            ("sport/+", "sport", false),
        ] {
            assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        }
    }
}
