//! One client's session: what it subscribed to, what waits for it, what is on its way. It does no
//! I/O and knows no other session; the hub calls it under its lock.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::codec::{self, Ack, AckKind, Options, PublishOut, Will, reason};
use super::event::DropReason;
use super::limits;
use super::topics::Filter;
use crate::mqtt::{Protocol, Qos};

/// A message, shared by everybody who waits for it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) topic: String,
    pub(super) payload: Bytes,
    /// Properties of MQTT 5 that receivers get.
    pub(super) forward: Bytes,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

impl Message {
    /// What it counts for in caps.
    pub(super) fn bytes(&self) -> usize {
        self.topic.len() + self.payload.len() + self.forward.len()
    }
}

/// A message on its way to one session.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) message: Arc<Message>,
    pub(super) qos: Qos,
    pub(super) retain: bool,
}

impl Delivery {
    fn packet(&self, id: u16) -> PublishOut<'_> {
        PublishOut {
            topic: &self.message.topic,
            payload: &self.message.payload,
            forward: &self.message.forward,
            qos: self.qos,
            id,
            retain: self.retain,
            duplicate: false,
        }
    }
}

/// What is heard next about a message that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Awaits {
    Ack,
    Rec,
    Comp,
}

#[derive(Debug)]
struct InFlight {
    id: u16,
    delivery: Delivery,
    awaits: Awaits,
}

/// A filter with its options, and when it last had its turn in its `$share` group.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) filter: Filter,
    pub(super) options: Options,
    pub(super) last_turn: u64,
}

/// How long a session outlives its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expiry {
    WithConnection,
    After(Duration),
    Never,
}

impl Expiry {
    /// From MQTT 5's session expiry interval (section 3.1.2.11.2).
    pub(super) fn from_secs(secs: u32) -> Expiry {
        match secs {
            0 => Expiry::WithConnection,
            u32::MAX => Expiry::Never,
            secs => Expiry::After(Duration::from_secs(u64::from(secs))),
        }
    }
}

/// Whether the client is there.
#[derive(Debug)]
pub(super) enum Link {
    /// By the connection with this token, which looks here again when woken.
    Connected {
        token: u64,
        wake: Arc<Notify>,
    },
    Away {
        since: Instant,
    },
}

/// What a connection brings with it to a session.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) version: Protocol,
    pub(super) window: usize,
    pub(super) packet_bytes_max: usize,
    pub(super) expiry: Expiry,
    pub(super) will: Option<Will>,
}

/// One client's session.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) subscriptions: Vec<Subscription>,
    pub(super) terms: Terms,
    pub(super) link: Link,
    queue: VecDeque<Delivery>,
    /// Bytes of `queue` and `in_flight` together.
    held_bytes: usize,
    /// In the order in which they were first sent, which is the order to send them again in.
    in_flight: VecDeque<InFlight>,
    /// How many of `in_flight`, from the front, were sent on the present connection.
    sent: usize,
    last_id: u16,
    /// Ids of QoS 2 messages that were handed on and not yet released.
    incoming_qos2: HashSet<u16>,
}

/// Whether a subscription was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Was {
    Present,
    Absent,
}

/// Whether a QoS 2 message is to be handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Incoming {
    New,
    Repeated,
    TooMany,
}

impl Session {
    pub(super) fn new(terms: Terms, link: Link) -> Session {
        Session {
            subscriptions: Vec::new(),
            terms,
            link,
            queue: VecDeque::new(),
            held_bytes: 0,
            in_flight: VecDeque::new(),
            sent: 0,
            last_id: 0,
            incoming_qos2: HashSet::new(),
        }
    }

    /// Takes the session up again on a new connection: what is in flight is sent once more.
    pub(super) fn resume(&mut self, terms: Terms, link: Link) {
        self.terms = terms;
        self.link = link;
        self.sent = 0;
    }

    pub(super) fn is_connected(&self) -> bool {
        matches!(self.link, Link::Connected { .. })
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        match (&self.link, self.terms.expiry) {
            (Link::Connected { .. }, _) | (_, Expiry::Never) => false,
            (Link::Away { .. }, Expiry::WithConnection) => true,
            (Link::Away { since }, Expiry::After(time)) => now.duration_since(*since) >= time,
        }
    }

    /// Adds or replaces a subscription; `None` when there are too many.
    pub(super) fn subscribe(&mut self, filter: &Filter, options: Options) -> Option<Was> {
        if let Some(held) = self.subscriptions.iter_mut().find(|held| held.filter == *filter) {
            held.options = options;
            return Some(Was::Present);
        }
        if self.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX {
            return None;
        }
        let filter = filter.clone();
        self.subscriptions.push(Subscription { filter, options, last_turn: 0 });
        Some(Was::Absent)
    }

    /// The one delivery of a message that the session's own (not shared) subscriptions ask for:
    /// overlapping ones are merged, at the highest QoS.
    pub(super) fn wants(
        &self,
        message: &Arc<Message>,
        is_publisher: IsPublisher,
    ) -> Option<Delivery> {
        let mut best: Option<Delivery> = None;
        for subscription in &self.subscriptions {
            let Subscription { filter, options, .. } = subscription;
            let echo = options.no_local && is_publisher == IsPublisher::Yes;
            if filter.group.is_some() || echo || !filter.matches(&message.topic) {
                continue;
            }
            let delivery = deliver(message, *options);
            best = Some(match best {
                None => delivery,
                Some(other) => Delivery {
                    qos: delivery.qos.max(other.qos),
                    retain: delivery.retain || other.retain,
                    message: other.message,
                },
            });
        }
        best
    }

    /// Queues a delivery. A QoS 0 message for a client that is away is over at once, as everywhere.
    pub(super) fn enqueue(&mut self, delivery: Delivery) -> Result<(), DropReason> {
        if delivery.qos == Qos::AtMostOnce && !self.is_connected() {
            return Ok(());
        }
        let bytes = delivery.message.bytes();
        if self.queue.len() >= limits::QUEUE_MESSAGES_MAX
            || self.held_bytes + bytes > limits::QUEUE_BYTES_MAX
        {
            return Err(DropReason::QueueFull);
        }
        self.held_bytes += bytes;
        self.queue.push_back(delivery);
        if let Link::Connected { wake, .. } = &self.link {
            wake.notify_one();
        }
        Ok(())
    }

    /// Writes what may be sent now: first again what an earlier connection left unacknowledged,
    /// then the queue in order, as far as the window and the output's cap allow. Returns the
    /// messages that are larger than the client takes, and are dropped for that.
    pub(super) fn fill(&mut self, output: &mut BytesMut) -> Vec<Arc<Message>> {
        let mut dropped = Vec::new();
        self.resend(output, &mut dropped);
        while output.len() < limits::OUTPUT_BYTES_MAX && self.may_send_next() {
            let Some(delivery) = self.queue.pop_front() else {
                break;
            };
            self.send_first(delivery, output, &mut dropped);
        }
        dropped
    }

    /// Order holds across QoS levels: a QoS 0 message waits behind a QoS 1 message that waits.
    fn may_send_next(&self) -> bool {
        match self.queue.front() {
            None => false,
            Some(next) => next.qos == Qos::AtMostOnce || self.in_flight.len() < self.terms.window,
        }
    }

    fn send_first(
        &mut self,
        delivery: Delivery,
        output: &mut BytesMut,
        dropped: &mut Vec<Arc<Message>>,
    ) {
        let id = if delivery.qos == Qos::AtMostOnce { 0 } else { self.free_id() };
        let packet = delivery.packet(id);
        if packet.bytes(self.terms.version) > self.terms.packet_bytes_max {
            self.held_bytes -= delivery.message.bytes();
            dropped.push(delivery.message);
            return;
        }
        codec::write_publish(output, self.terms.version, &packet);
        let awaits = match delivery.qos {
            Qos::AtMostOnce => {
                self.held_bytes -= delivery.message.bytes();
                return;
            }
            Qos::AtLeastOnce => Awaits::Ack,
            Qos::ExactlyOnce => Awaits::Rec,
        };
        self.in_flight.push_back(InFlight { id, delivery, awaits });
        self.sent += 1;
    }

    fn resend(&mut self, output: &mut BytesMut, dropped: &mut Vec<Arc<Message>>) {
        let version = self.terms.version;
        while let Some(InFlight { id, delivery, awaits }) = self.in_flight.get(self.sent) {
            if output.len() >= limits::OUTPUT_BYTES_MAX {
                return;
            }
            if *awaits == Awaits::Comp {
                codec::write_ack(output, version, AckKind::Rel, *id, reason::SUCCESS);
                self.sent += 1;
                continue;
            }
            let packet = PublishOut { duplicate: true, ..delivery.packet(*id) };
            if packet.bytes(version) > self.terms.packet_bytes_max {
                dropped.extend(self.forget(self.sent));
                continue;
            }
            codec::write_publish(output, version, &packet);
            self.sent += 1;
        }
    }

    /// Ids go round, so that a late acknowledgement does not meet a new message.
    fn free_id(&mut self) -> u16 {
        loop {
            self.last_id = self.last_id.checked_add(1).unwrap_or(1);
            if self.in_flight.iter().all(|sent| sent.id != self.last_id) {
                return self.last_id;
            }
        }
    }

    /// Notes an acknowledgement and writes the answer that it asks for.
    pub(super) fn acknowledge(&mut self, ack: Ack, output: &mut BytesMut) {
        let version = self.terms.version;
        let known = self.in_flight.iter().position(|sent| sent.id == ack.id);
        match ack.kind {
            AckKind::Ack => self.settle(known, Awaits::Ack),
            AckKind::Comp => self.settle(known, Awaits::Comp),
            AckKind::Rec if ack.reason >= reason::UNSPECIFIED => {
                self.settle(known, Awaits::Rec);
            }
            AckKind::Rec => {
                let code = self.received(known);
                codec::write_ack(output, version, AckKind::Rel, ack.id, code);
            }
            AckKind::Rel => {
                let released = self.incoming_qos2.remove(&ack.id);
                let code = if released { reason::SUCCESS } else { reason::PACKET_ID_NOT_FOUND };
                codec::write_ack(output, version, AckKind::Comp, ack.id, code);
            }
        }
    }

    fn settle(&mut self, known: Option<usize>, expected: Awaits) {
        let Some(index) = known else { return };
        if self.in_flight.get(index).is_some_and(|sent| sent.awaits == expected) {
            self.forget(index);
            self.sent -= usize::from(index < self.sent);
        }
    }

    fn forget(&mut self, index: usize) -> Option<Arc<Message>> {
        let message = self.in_flight.remove(index)?.delivery.message;
        self.held_bytes -= message.bytes();
        Some(message)
    }

    fn received(&mut self, known: Option<usize>) -> u8 {
        match known.and_then(|index| self.in_flight.get_mut(index)) {
            Some(sent) if sent.awaits != Awaits::Ack => {
                sent.awaits = Awaits::Comp;
                reason::SUCCESS
            }
            _ => reason::PACKET_ID_NOT_FOUND,
        }
    }

    /// Notes a QoS 2 message by its id.
    pub(super) fn receive_qos2(&mut self, id: u16) -> Incoming {
        if self.incoming_qos2.contains(&id) {
            return Incoming::Repeated;
        }
        if self.incoming_qos2.len() >= limits::INCOMING_QOS2_MAX {
            return Incoming::TooMany;
        }
        self.incoming_qos2.insert(id);
        Incoming::New
    }
}

/// Whether a message comes from the session that it might go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum IsPublisher {
    Yes,
    No,
}

/// A message as a subscription with these options gets it.
pub(super) fn deliver(message: &Arc<Message>, options: Options) -> Delivery {
    Delivery {
        message: Arc::clone(message),
        qos: message.qos.min(options.qos),
        retain: message.retain && options.retain_as_published,
    }
}
