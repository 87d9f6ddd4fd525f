//! The session's state between two packets: what to do with each signal and each call. Never waits.
//!
//! It stands behind one lock in `shared`. The connection's task brings signals, the program's tasks
//! publish and settle; whoever comes does the work at once, so no task has to be woken for it.

use super::backoff::now;
use super::inbound::{Ack, Inbound, Offer, Queued};
use super::link::{Accepted, Arrival, NotTaken, Requests, Resend, Signal};
use super::message::{Publish, Qos};
use super::notice::{Counters, Notice, State};
use super::options::{Options, Persistence};
use super::outbound::{Entry, Outbound};
use super::subscriptions::Subscriptions;
use crate::limits::mqtt as limits;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the connection's task should do after a signal.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Go on.
    On,
    /// Wait a little for room for this message.
    Hold(Arrival),
    /// End the connection.
    End(End),
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// Against our will.
    Lost(Arc<str>),
    /// We want messages sent again.
    Recycled,
    /// For good.
    Stopped,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No connection.
    Down,
    /// SUBSCRIBE is under way since then; nothing is published meanwhile, since rumqttc may number
    /// it like a message.
    Subscribing(Instant),
    /// Waiting for the wire to be empty, to subscribe again.
    Emptying,
    /// Messages flow.
    Ready,
    /// DISCONNECT is under way: after it nothing may be sent.
    Leaving,
}

pub(super) struct Core {
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    pub(super) counters: Counters,
    /// To be told to the operator once the lock is free.
    pub(super) notices: Vec<Notice>,
    /// A new state to be shown once the lock is free.
    pub(super) state: Option<State>,
    pub(super) stopping: bool,
    pub(super) stopped: bool,
    resends: Vec<Resend>,
    subscriptions: Subscriptions,
    requests: Option<Requests>,
    phase: Phase,
    session_present: bool,
    since: Instant,
    announced: bool,
    /// When the broker last acknowledged something, or the wire was empty.
    progress: Instant,
    /// The inbox has overflowed: QoS 1 and 2 stay with the broker until it is empty.
    overflowing: bool,
    /// rumqttc no longer takes acknowledgements.
    clogged: bool,
    payload_bytes_max: usize,
    keep_alive: Duration,
    persistent: bool,
    online: Option<Publish>,
    /// To be said before the end.
    last: Option<Publish>,
}

impl Core {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            inbound: Inbound::new(),
            outbound: Outbound::new(),
            counters: Counters::default(),
            notices: Vec::new(),
            state: None,
            stopping: false,
            stopped: false,
            resends: Vec::new(),
            subscriptions: Subscriptions::new(options.subscriptions.clone()),
            requests: None,
            phase: Phase::Down,
            session_present: false,
            since: now(),
            announced: false,
            progress: now(),
            overflowing: false,
            clogged: false,
            payload_bytes_max: options.payload_bytes_max,
            keep_alive: options.keep_alive,
            persistent: !matches!(options.persistence, Persistence::Clean),
            online: options.online.clone(),
            last: None,
        }
    }

    /// The broker accepted us.
    pub(super) fn connected(&mut self, requests: Requests, accepted: Accepted, now: Instant) {
        self.counters.connects += 1;
        self.inbound.connected(accepted.session_present);
        self.resends = self.outbound.connected(accepted);
        self.outbound.set_status(self.online.clone());
        self.requests = Some(requests);
        (self.session_present, self.since, self.progress) = (accepted.session_present, now, now);
        (self.announced, self.overflowing, self.clogged) = (false, false, false);
        let asked = self.subscriptions.ask_all();
        match &self.requests {
            Some(requests) if !asked.is_empty() => {
                self.phase = Phase::Subscribing(now);
                self.clogged = requests.subscribe(&asked).is_err();
            }
            _ => self.ready(),
        }
    }

    /// The connection is gone.
    pub(super) fn disconnected(&mut self) {
        (self.phase, self.requests) = (Phase::Down, None);
        self.resends.clear();
        self.outbound.lost();
    }

    /// The session is gone.
    pub(super) fn stop(&mut self) {
        self.disconnected();
        self.outbound.stop();
        (self.stopping, self.stopped) = (true, true);
        self.state = Some(State::Stopped);
    }

    /// Something came over the connection.
    pub(super) fn on(&mut self, signal: Signal, now: Instant) -> Flow {
        let flow = match signal {
            Signal::Arrived(arrival) => self.arrived(arrival),
            Signal::Subscribed(_, codes) => self.subscribed(&codes, now),
            Signal::Left if self.stopping => Flow::End(End::Stopped),
            Signal::Left => Flow::End(End::Recycled),
            other => self.acknowledged(other, now),
        };
        self.resubscribe(now);
        self.flush();
        match self.clogged || self.outbound.is_worn() {
            true => Flow::End(End::Recycled),
            false => flow,
        }
    }

    /// Something that had come before the connection broke.
    pub(super) fn salvage(&mut self, signal: Signal, now: Instant) {
        match signal {
            Signal::Arrived(arrival) if arrival.qos == Qos::AtMostOnce => {
                drop(self.arrived(arrival));
            }
            Signal::Arrived(_) => {}
            other => drop(self.acknowledged(other, now)),
        }
    }

    /// A message for which there was no room before.
    pub(super) fn offer(&mut self, arrival: Arrival) -> Flow {
        match self.inbound.offer(arrival) {
            Offer::Queued => self.counters.received += 1,
            Offer::Known(ack) => {
                self.counters.redelivered += 1;
                if let Some(ack) = ack {
                    self.acknowledge(ack);
                }
            }
            Offer::Dropped => self.counters.dropped_queue_full += 1,
            Offer::Full(arrival) => return Flow::Hold(arrival),
        }
        Flow::On
    }

    /// There is no room, and waiting did not help. What comes at QoS 1 and 2 from here on is not
    /// acknowledged and not taken, so that the order holds; the broker sends it again.
    pub(super) fn overflow(&mut self) {
        self.counters.overflows += 1;
        self.overflowing = true;
    }

    /// The program takes the next message.
    pub(super) fn take(&mut self) -> Option<Queued> {
        let queued = self.inbound.take()?;
        if self.overflowing && self.inbound.is_empty() {
            self.overflowing = false;
            if self.persistent && self.phase != Phase::Down {
                self.leave();
            }
        }
        Some(queued)
    }

    pub(super) fn settle(&mut self, key: u64) {
        let (requests, phase) = (&self.requests, self.phase);
        let mut full = false;
        let settled = self.inbound.settle(key, |ack| match requests {
            Some(requests) if phase != Phase::Leaving => {
                requests.acknowledge(ack.id, ack.qos).inspect_err(|_| full = true)
            }
            _ => Err(NotTaken),
        });
        self.clogged |= full;
        self.counters.settled += u64::from(settled);
    }

    pub(super) fn publish(&mut self, entry: Entry) {
        self.counters.published += 1;
        self.outbound.push(entry);
        self.flush();
    }

    /// The program wants the session to end once everything is acknowledged, `last` at the end.
    pub(super) fn begin_stop(&mut self, last: Option<Publish>) {
        (self.stopping, self.last) = (true, last);
        self.flush();
    }

    /// Ends the connection in order, now.
    pub(super) fn leave(&mut self) {
        if let Some(requests) = &self.requests
            && self.phase != Phase::Leaving
        {
            self.clogged |= requests.disconnect().is_err();
            self.phase = Phase::Leaving;
        }
    }

    /// What the link should send again now: nothing before the subscriptions are made.
    pub(super) fn take_resends(&mut self) -> Vec<Resend> {
        match self.phase {
            Phase::Ready => std::mem::take(&mut self.resends),
            _ => Vec::new(),
        }
    }

    /// When to give the connection up if nothing comes until then.
    pub(super) fn deadline(&self, now: Instant) -> Instant {
        // rumqttc returns at each ping, unless it hangs in a write: its MQTT 5 module has no limit.
        let silence = now + self.keep_alive + self.keep_alive / 2;
        let answer = match self.phase {
            Phase::Subscribing(since) => since + limits::SUBACK_TIMEOUT,
            _ if self.outbound.is_flying() => self.progress + self.keep_alive * 2,
            _ => silence,
        };
        answer.min(silence)
    }

    pub(super) fn counters(&self) -> Counters {
        let tally = self.outbound.tally;
        Counters {
            acknowledged: tally.acknowledged,
            failed: tally.failed,
            resent: tally.resent,
            ..self.counters
        }
    }

    fn arrived(&mut self, arrival: Arrival) -> Flow {
        let ack = Ack { id: arrival.id, qos: arrival.qos };
        let bytes = arrival.payload.len();
        if arrival.topic.is_empty() {
            self.counters.dropped_malformed += 1;
            self.acknowledge(ack);
        } else if bytes > self.payload_bytes_max {
            self.counters.dropped_oversize += 1;
            self.notices.push(Notice::Oversize { topic: arrival.topic, bytes });
            self.acknowledge(ack);
        } else if self.overflowing && arrival.qos != Qos::AtMostOnce {
            self.counters.dropped_queue_full += u64::from(!self.persistent);
        } else {
            return self.offer(arrival);
        }
        Flow::On
    }

    fn acknowledged(&mut self, signal: Signal, now: Instant) -> Flow {
        match signal {
            Signal::Released(id) => self.inbound.released(id),
            Signal::Sent(id) => self.outbound.sent(id),
            Signal::SubscribeSent(id) => self.outbound.numbered(id),
            Signal::Acked(id, refused) => self.outbound.acked(id, refused),
            Signal::Received(id, refused) => self.outbound.received(id, refused),
            Signal::Completed(id, freed) => self.outbound.completed(id, freed),
            _ => return Flow::On,
        }
        self.progress = now;
        Flow::On
    }

    fn subscribed(&mut self, codes: &[Option<u8>], now: Instant) -> Flow {
        let notices = self.subscriptions.answered(codes, now);
        let refused = |n: &&Notice| matches!(n, Notice::SubscriptionRefused { .. });
        self.counters.subscriptions_refused += notices.iter().filter(refused).count() as u64;
        self.notices.extend(notices);
        self.ready();
        Flow::On
    }

    fn ready(&mut self) {
        if self.phase != Phase::Leaving {
            self.phase = Phase::Ready;
        }
        if !std::mem::replace(&mut self.announced, true) {
            self.notices.push(Notice::Connected { session_present: self.session_present });
        }
        self.state = Some(State::Connected {
            session_present: self.session_present,
            since: self.since,
            refused: self.subscriptions.refused(),
        });
        self.flush();
    }

    fn resubscribe(&mut self, now: Instant) {
        if self.phase == Phase::Ready && self.subscriptions.is_due(now) {
            self.phase = Phase::Emptying;
        }
        if self.phase == Phase::Emptying && !self.outbound.is_flying() {
            let asked = self.subscriptions.ask_refused();
            if let Some(requests) = &self.requests {
                self.clogged |= requests.subscribe(&asked).is_err();
            }
            self.phase = Phase::Subscribing(now);
        }
    }

    /// Hands rumqttc as much as the window takes.
    fn flush(&mut self) {
        let (Phase::Ready, Some(requests)) = (self.phase, &self.requests) else {
            return;
        };
        if !self.outbound.is_flying() {
            self.progress = now();
        }
        loop {
            while let Some(publish) = self.outbound.next() {
                if requests.publish(publish).is_err() {
                    return self.outbound.not_taken();
                }
            }
            // In this order: the last looks at every line of the ledger.
            if !self.stopping || !self.outbound.is_empty() || self.inbound.awaits_release() {
                return;
            }
            match self.last.take() {
                Some(last) => self.outbound.set_status(Some(last)),
                None => return self.leave(),
            }
        }
    }

    fn acknowledge(&mut self, ack: Ack) {
        if ack.qos == Qos::AtMostOnce || self.phase == Phase::Leaving {
            return;
        }
        match &self.requests {
            Some(requests) if requests.acknowledge(ack.id, ack.qos).is_ok() => {
                self.counters.settled += 1;
            }
            _ => self.clogged = true,
        }
    }
}
