//! What all connections share: the sessions, the retained messages, and the way from a publisher
//! to its receivers. Plain data behind one lock, which is never held across a wait; a packet takes
//! microseconds, and a workbench has a handful of clients.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::codec::{self, Connect, Options, Request, RetainHandling, Will, reason};
use super::event::{BrokerEvent, DropReason, EndReason, Observer};
use super::limits;
use super::session::{
    Delivery, Expiry, IsPublisher, Link, Message, Session, Subscription, Terms, Was, deliver,
};
use super::topics::{self, Filter};
use crate::mqtt::Protocol;

/// The hub behind its lock.
pub(super) struct Shared(Mutex<Hub>);

impl Shared {
    pub(super) fn new(observer: Observer) -> Shared {
        Shared(Mutex::new(Hub {
            sessions: HashMap::new(),
            retained: BTreeMap::new(),
            retained_bytes: 0,
            connections: 0,
            turns: 0,
            observer,
        }))
    }

    /// A connection that panicked left whole packets behind: every change is made under the lock.
    pub(super) fn lock(&self) -> MutexGuard<'_, Hub> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Hub {
    sessions: HashMap<String, Session>,
    retained: BTreeMap<String, Arc<Message>>,
    retained_bytes: usize,
    /// Connections so far: their tokens, and the numbers of assigned client ids.
    connections: u64,
    /// Turns so far, of all `$share` groups.
    turns: u64,
    observer: Observer,
}

/// A connection's hold on its session, until another connection takes it over.
#[derive(Debug, Clone)]
pub(super) struct Attached {
    pub(super) client_id: String,
    pub(super) assigned: bool,
    pub(super) session_present: bool,
    pub(super) token: u64,
    pub(super) wake: Arc<Notify>,
}

/// Why a CONNECT is refused: a reason code of MQTT 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) u8);

impl Hub {
    pub(super) fn observer(&self) -> &Observer {
        &self.observer
    }

    /// The session, if this connection still holds it.
    pub(super) fn session(&mut self, client_id: &str, token: u64) -> Option<&mut Session> {
        self.sessions.get_mut(client_id).filter(
            |session| matches!(&session.link, Link::Connected { token: held, .. } if *held == token),
        )
    }

    pub(super) fn connect(&mut self, connect: Connect, now: Instant) -> Result<Attached, Refusal> {
        self.connections += 1;
        let token = self.connections;
        let assigned = connect.client_id.is_empty();
        let client_id = client_id(&connect, token)?;
        if connect.will.as_ref().is_some_and(|will| !topics::is_publishable(&will.topic)) {
            return Err(Refusal(reason::MALFORMED_PACKET));
        }
        self.take_over(&client_id, now);
        self.forget_expired(now);
        if connect.clean {
            self.sessions.remove(&client_id);
        }
        let session_present = self.sessions.contains_key(&client_id);
        if !session_present && self.sessions.len() >= limits::SESSIONS_MAX {
            return Err(Refusal(reason::SERVER_UNAVAILABLE));
        }
        let version = connect.version;
        let wake = Arc::new(Notify::new());
        self.attach(&client_id, terms(connect), Link::Connected { token, wake: Arc::clone(&wake) });
        self.observer.tell(&BrokerEvent::Connected {
            client_id: &client_id,
            version,
            session_present,
        });
        Ok(Attached { client_id, assigned, session_present, token, wake })
    }

    fn attach(&mut self, client_id: &str, terms: Terms, link: Link) {
        match self.sessions.get_mut(client_id) {
            Some(session) => session.resume(terms, link),
            None => {
                self.sessions.insert(client_id.to_owned(), Session::new(terms, link));
            }
        }
    }

    /// Section 3.1.4: the older connection of the same client ends.
    fn take_over(&mut self, client_id: &str, now: Instant) {
        let held = self.sessions.get(client_id).and_then(|session| match &session.link {
            Link::Connected { token, wake } => Some((*token, Arc::clone(wake))),
            Link::Away { .. } => None,
        });
        if let Some((token, wake)) = held {
            self.disconnect(client_id, token, EndReason::TakenOver, now);
            wake.notify_one();
        }
    }

    fn forget_expired(&mut self, now: Instant) {
        self.sessions.retain(|_, session| !session.is_over(now));
    }

    /// Ends a connection's hold on its session; nothing if it was taken over before.
    pub(super) fn disconnect(
        &mut self,
        client_id: &str,
        token: u64,
        reason: EndReason,
        now: Instant,
    ) {
        let Some(session) = self.session(client_id, token) else {
            return;
        };
        session.link = Link::Away { since: now };
        let will = session.terms.will.take();
        if session.terms.expiry == Expiry::WithConnection {
            self.sessions.remove(client_id);
        }
        self.observer.tell(&BrokerEvent::Disconnected { client_id, reason });
        if let Some(will) = will.filter(|_| reason.fires_will()) {
            self.publish(client_id, testament(will));
        }
    }

    /// Hands a message to everybody who wants it, and retains it if asked to.
    pub(super) fn publish(&mut self, client_id: &str, message: Message) {
        let message = Arc::new(message);
        if message.retain {
            self.retain(client_id, &message);
        }
        let mut receivers = 0;
        for (id, session) in &mut self.sessions {
            let is_publisher = if id == client_id { IsPublisher::Yes } else { IsPublisher::No };
            if let Some(delivery) = session.wants(&message, is_publisher) {
                receivers += hand_over(&self.observer, id, session, delivery);
            }
        }
        receivers += self.publish_shared(&message);
        self.observer.tell(&BrokerEvent::Published {
            client_id,
            topic: &message.topic,
            payload: &message.payload,
            qos: message.qos,
            retain: message.retain,
            receivers,
        });
    }

    /// Each `$share` group gets the message once: by the member that is there and has waited
    /// longest for its turn, or, when nobody is there, in the queue of one that will be back.
    fn publish_shared(&mut self, message: &Arc<Message>) -> usize {
        let mut chosen: BTreeMap<String, ((bool, u64), String)> = BTreeMap::new();
        for (id, session) in &self.sessions {
            for Subscription { filter, last_turn, .. } in &session.subscriptions {
                if filter.group.is_none() || !filter.matches(&message.topic) {
                    continue;
                }
                let rank = ((!session.is_connected(), *last_turn), id.clone());
                let best = chosen.entry(filter.written.clone()).or_insert_with(|| rank.clone());
                if rank < *best {
                    *best = rank;
                }
            }
        }
        chosen.into_iter().map(|(filter, (_, id))| self.give_turn(&id, &filter, message)).sum()
    }

    fn give_turn(&mut self, client_id: &str, filter: &str, message: &Arc<Message>) -> usize {
        self.turns += 1;
        let turn = self.turns;
        let Some(session) = self.sessions.get_mut(client_id) else {
            return 0;
        };
        let Some(subscription) =
            session.subscriptions.iter_mut().find(|held| held.filter.written == filter)
        else {
            return 0;
        };
        subscription.last_turn = turn;
        let delivery = deliver(message, subscription.options);
        hand_over(&self.observer, client_id, session, delivery)
    }

    /// An empty payload clears the topic (section 3.3.1.3).
    fn retain(&mut self, client_id: &str, message: &Arc<Message>) {
        let before = self.retained.get(&message.topic).map_or(0, |kept| kept.bytes());
        if message.payload.is_empty() {
            self.retained.remove(&message.topic);
            self.retained_bytes -= before;
            return;
        }
        let bytes = self.retained_bytes - before + message.bytes();
        let is_new = before == 0;
        if bytes > limits::RETAINED_BYTES_MAX
            || (is_new && self.retained.len() >= limits::RETAINED_MESSAGES_MAX)
        {
            let reason = DropReason::RetainedFull;
            self.observer.tell(&BrokerEvent::Dropped { client_id, topic: &message.topic, reason });
            return;
        }
        self.retained_bytes = bytes;
        self.retained.insert(message.topic.clone(), Arc::clone(message));
    }

    /// Adds or replaces subscriptions; the answer is one code for each, as SUBACK wants it.
    pub(super) fn subscribe(
        &mut self,
        client_id: &str,
        token: u64,
        requests: &[Request],
    ) -> Vec<u8> {
        requests.iter().map(|request| self.subscribe_one(client_id, token, request)).collect()
    }

    fn subscribe_one(&mut self, client_id: &str, token: u64, request: &Request) -> u8 {
        let Some(filter) = Filter::parse(&request.filter) else {
            return reason::FILTER_INVALID;
        };
        let options = request.options;
        if filter.group.is_some() && options.no_local {
            return reason::PROTOCOL_ERROR;
        }
        let Some(session) = self.session(client_id, token) else {
            return reason::UNSPECIFIED;
        };
        let Some(was) = session.subscribe(&filter, options) else {
            return reason::QUOTA_EXCEEDED;
        };
        self.observer.tell(&BrokerEvent::Subscribed {
            client_id,
            filter: &filter.written,
            qos: options.qos,
        });
        if wants_retained(&filter, options, was) {
            self.send_retained(client_id, &filter, options);
        }
        codec::qos_bits(options.qos)
    }

    fn send_retained(&mut self, client_id: &str, filter: &Filter, options: Options) {
        let Some(session) = self.sessions.get_mut(client_id) else {
            return;
        };
        for message in self.retained.values().filter(|kept| filter.matches(&kept.topic)) {
            let delivery = Delivery { retain: true, ..deliver(message, options) };
            hand_over(&self.observer, client_id, session, delivery);
        }
    }

    /// Removes subscriptions; the answer is one code for each, as version 5's UNSUBACK wants it.
    pub(super) fn unsubscribe(
        &mut self,
        client_id: &str,
        token: u64,
        filters: &[String],
    ) -> Vec<u8> {
        let Some(session) = self.session(client_id, token) else {
            return Vec::new();
        };
        let mut remove = |filter: &String| {
            let before = session.subscriptions.len();
            session.subscriptions.retain(|held| held.filter.written != *filter);
            let removed = session.subscriptions.len() < before;
            if removed { reason::SUCCESS } else { reason::NO_SUBSCRIPTION_EXISTED }
        };
        filters.iter().map(&mut remove).collect()
    }
}

fn wants_retained(filter: &Filter, options: Options, was: Was) -> bool {
    filter.group.is_none()
        && match options.retained {
            RetainHandling::Always => true,
            RetainHandling::IfNew => was == Was::Absent,
            RetainHandling::Never => false,
        }
}

/// Queues a delivery, or reports that it could not be; how many sessions got it.
fn hand_over(
    observer: &Observer,
    client_id: &str,
    session: &mut Session,
    delivery: Delivery,
) -> usize {
    let message = Arc::clone(&delivery.message);
    match session.enqueue(delivery) {
        Ok(()) => 1,
        Err(reason) => {
            observer.tell(&BrokerEvent::Dropped { client_id, topic: &message.topic, reason });
            0
        }
    }
}

/// Section 3.1.3.1: a client without an id gets one, but in 3.1.1 only for a clean session.
fn client_id(connect: &Connect, token: u64) -> Result<String, Refusal> {
    let id = &connect.client_id;
    match (id.is_empty(), connect.version) {
        (true, Protocol::V311) if !connect.clean => Err(Refusal(reason::CLIENT_ID_NOT_VALID)),
        (true, _) => Ok(format!("auto-{token}")),
        (false, _) if id.len() > limits::CLIENT_ID_BYTES_MAX => {
            Err(Refusal(reason::CLIENT_ID_NOT_VALID))
        }
        (false, _) => Ok(id.clone()),
    }
}

fn terms(connect: Connect) -> Terms {
    let properties = connect.properties;
    let window = properties.receive_max.map_or(limits::IN_FLIGHT_MAX, usize::from);
    let packet = properties.packet_bytes_max.map_or(usize::MAX, |bytes| bytes as usize);
    let expiry = match connect.version {
        Protocol::V311 if connect.clean => Expiry::WithConnection,
        Protocol::V311 => Expiry::Never,
        Protocol::V5 => Expiry::from_secs(properties.session_expiry_secs.unwrap_or(0)),
    };
    Terms {
        version: connect.version,
        window: window.min(limits::IN_FLIGHT_MAX),
        packet_bytes_max: packet,
        expiry,
        will: connect.will,
    }
}

fn testament(will: Will) -> Message {
    Message {
        topic: will.topic,
        payload: will.payload,
        forward: will.forward,
        qos: will.qos,
        retain: will.retain,
    }
}
