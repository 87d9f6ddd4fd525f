//! The broker: one client's session, a window of messages under way, answers late, twice, in another order, refused, or
//! not at all. It may die, and may then have forgotten the session. It never lies about what it took.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use pirn_triggers::mqtt::Qos;
use pirn_triggers::mqtt::packet::{Accepted, AckKind, Arrival, Incoming, Outgoing};
use pirn_triggers::mqtt::topic_matches;

use crate::MILLI;
use crate::plan::Plan;
use crate::rng::Rng;
use crate::world::number_of;

/// What the broker saw, for the books.
#[derive(Debug)]
pub enum Seen {
    /// A publish of this number came.
    Out(u32),
    /// It was refused for good.
    RefusedOut(u32),
    /// This event was acknowledged.
    Acked(usize),
}

/// A message for the client.
#[derive(Clone, Debug)]
pub struct Message {
    pub event: usize,
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
}

#[derive(Clone, Debug)]
struct Flying {
    id: u16,
    message: Message,
    released: bool,
}

#[derive(Debug, Default)]
struct Session {
    filters: Vec<String>,
    waiting: VecDeque<Message>,
    flying: Vec<Flying>,
    last_id: u16,
    /// QoS 2 from the client: taken, not released.
    taken: BTreeSet<u16>,
}

/// The broker.
#[derive(Debug, Default)]
pub struct Broker {
    pub up: bool,
    pub mute: bool,
    pub connection: Option<u32>,
    greeted: bool,
    session: Option<Session>,
    /// To be said on the connection, each after so long.
    pub says: Vec<(u64, Incoming)>,
    pub seen: Vec<Seen>,
}

impl Broker {
    /// One that is up and knows nobody.
    pub fn new() -> Self {
        Self { up: true, ..Self::default() }
    }

    /// A message from somebody else. Whether the session takes it.
    pub fn publish(&mut self, message: Message, window: usize) -> bool {
        let connected = self.greeted;
        let Some(session) = &mut self.session else { return false };
        if !session.filters.iter().any(|filter| topic_matches(filter, &message.topic)) {
            return false;
        }
        if message.qos == Qos::AtMostOnce && !connected {
            return false;
        }
        session.waiting.push_back(message);
        self.send(window);
        true
    }

    /// Whether the session is subscribed to a filter.
    pub fn holds(&self, filter: &str) -> bool {
        self.session.as_ref().is_some_and(|session| session.filters.iter().any(|one| one == filter))
    }

    /// Everything that it has for us is acknowledged.
    pub fn is_idle(&self) -> bool {
        let idle = |session: &Session| session.waiting.is_empty() && session.flying.is_empty();
        self.session.as_ref().is_none_or(idle)
    }

    /// The events that it has for us and that are not acknowledged.
    pub fn pending(&self) -> impl Iterator<Item = usize> {
        let of = |session: &Session| {
            let flying = session.flying.iter().filter(|flying| !flying.released);
            let flying = flying.map(|flying| flying.message.event);
            flying.chain(session.waiting.iter().map(|message| message.event)).collect()
        };
        let pending: Vec<usize> = self.session.as_ref().map(of).unwrap_or_default();
        pending.into_iter()
    }

    /// A connection is there.
    pub fn opened(&mut self, connection: u32) {
        self.lost();
        self.connection = Some(connection);
    }

    /// It is gone.
    pub fn lost(&mut self) {
        (self.connection, self.greeted) = (None, false);
        self.says.clear();
    }

    /// It dies.
    pub fn die(&mut self, forgets: bool) {
        self.lost();
        self.up = false;
        if forgets {
            self.session = None;
        }
    }

    /// A packet came from the client.
    pub fn on_packet(&mut self, packet: Outgoing, plan: &Plan, rng: &mut Rng) {
        match packet {
            Outgoing::Connect => self.connect(plan, rng),
            Outgoing::Subscribe { id, filters, .. } => {
                let codes = vec![2; filters.len()];
                if let Some(session) = &mut self.session {
                    for filter in filters.into_iter().map(|one| one.filter) {
                        if !session.filters.contains(&filter) {
                            session.filters.push(filter);
                        }
                    }
                }
                self.says.push((rng.below(5 * MILLI), Incoming::Subscribed { id, codes }));
            }
            Outgoing::Unsubscribe { id, filters } => {
                if let Some(session) = &mut self.session {
                    session.filters.retain(|filter| !filters.contains(filter));
                }
                self.says.push((0, Incoming::Unsubscribed { id }));
            }
            Outgoing::Ping if !self.mute || rng.percent(50) => self.says.push((0, Incoming::Pong)),
            Outgoing::Ping => {}
            Outgoing::Disconnect => self.lost(),
            Outgoing::Publish { id, publish, .. } => {
                let number = number_of(&publish.payload);
                self.take(id, number, publish.qos, plan, rng);
            }
            Outgoing::Ack { kind, id } => self.acked(kind, id, plan, rng),
        }
    }

    fn connect(&mut self, plan: &Plan, rng: &mut Rng) {
        if self.mute && rng.percent(50) {
            return;
        }
        if rng.percent(4) {
            return self.says.push((0, Incoming::Refused("not now".into())));
        }
        let session_present = self.session.is_some();
        let mut accepted = Accepted::plain(session_present);
        if plan.five {
            accepted.receive_max = rng.pick(&[1, 10, 100]);
        }
        self.says.push((0, Incoming::Accepted(accepted)));
        self.greeted = true;
        let session = self.session.get_or_insert_default();
        for flying in &session.flying {
            let packet = match flying.released {
                true => Incoming::Ack { kind: AckKind::Release, id: flying.id, refused: None },
                false => arrival(&flying.message, flying.id, true),
            };
            self.says.push((0, packet));
        }
        self.send(plan.window);
    }

    /// As much of what waits as the window takes.
    fn send(&mut self, window: usize) {
        let Some(session) = self.session.as_mut().filter(|_| self.greeted) else { return };
        while let Some(first) = session.waiting.front() {
            if first.qos == Qos::AtMostOnce {
                self.says.push((0, arrival(first, 0, false)));
                session.waiting.pop_front();
                continue;
            }
            if session.flying.len() >= window {
                return;
            }
            let Some(message) = session.waiting.pop_front() else { return };
            session.last_id = session.last_id % 200 + 1;
            while session.flying.iter().any(|flying| flying.id == session.last_id) {
                session.last_id = session.last_id % 200 + 1;
            }
            let id = session.last_id;
            self.says.push((0, arrival(&message, id, false)));
            session.flying.push(Flying { id, message, released: false });
        }
    }

    /// A publish of the client.
    fn take(&mut self, id: u16, number: Option<u32>, qos: Qos, plan: &Plan, rng: &mut Rng) {
        let Some(session) = &mut self.session else { return };
        if qos == Qos::AtMostOnce {
            return;
        }
        let Some(number) = number else { return };
        let known = qos == Qos::ExactlyOnce && session.taken.contains(&id);
        let refused = (!known && rng.percent(plan.refuses)).then_some(0x97);
        match refused {
            Some(_) => self.seen.push(Seen::RefusedOut(number)),
            // A copy is not looked at, or what the broker takes for one.
            None if known => {}
            None => self.seen.push(Seen::Out(number)),
        }
        if qos == Qos::ExactlyOnce && refused.is_none() {
            session.taken.insert(id);
        }
        let kind = match qos {
            Qos::ExactlyOnce => AckKind::Received,
            _ => AckKind::Ack,
        };
        self.answer(kind, id, refused, plan, rng);
    }

    fn answer(&mut self, kind: AckKind, id: u16, refused: Option<u8>, plan: &Plan, rng: &mut Rng) {
        if self.mute {
            return;
        }
        let after = rng.below(plan.ack_spread);
        self.says.push((after, Incoming::Ack { kind, id, refused }));
        if rng.percent(plan.repeats) {
            self.says
                .push((after + rng.below(plan.ack_spread), Incoming::Ack { kind, id, refused }));
        }
        if rng.percent(plan.repeats / 2) {
            let id = rng.between(30_000, 60_000) as u16;
            self.says.push((after, Incoming::Ack { kind: AckKind::Ack, id, refused: None }));
        }
    }

    fn acked(&mut self, kind: AckKind, id: u16, plan: &Plan, rng: &mut Rng) {
        let Some(session) = &mut self.session else { return };
        if kind == AckKind::Release {
            session.taken.remove(&id);
            return self.answer(AckKind::Complete, id, None, plan, rng);
        }
        let Some(at) = session.flying.iter().position(|flying| flying.id == id) else { return };
        let flying = &mut session.flying[at];
        match (kind, flying.message.qos) {
            (AckKind::Ack, Qos::AtLeastOnce) => {
                self.seen.push(Seen::Acked(flying.message.event));
                session.flying.remove(at);
            }
            (AckKind::Received, Qos::ExactlyOnce) => {
                self.seen.push(Seen::Acked(flying.message.event));
                flying.released = true;
                let release = Incoming::Ack { kind: AckKind::Release, id, refused: None };
                self.says.push((rng.below(MILLI), release));
            }
            (AckKind::Complete, Qos::ExactlyOnce) if flying.released => {
                session.flying.remove(at);
            }
            _ => {}
        }
        self.send(plan.window);
    }
}

fn arrival(message: &Message, id: u16, dup: bool) -> Incoming {
    Incoming::Publish(Arrival {
        topic: message.topic.clone(),
        payload: message.payload.clone(),
        oversize: None,
        qos: message.qos,
        retain: false,
        dup,
        id,
    })
}
