//! The connection's task and the pump: brings packets to the core, takes from it what is to be sent, looks at the time,
//! connects again.

use pirn_triggers::mqtt::State;
use pirn_triggers::mqtt::core::{Done, NotTaken};
use pirn_triggers::mqtt::packet::{AckKind, Fault, Incoming, Outgoing};
use pirn_triggers::mqtt::{Publish, Qos};

use super::Task;
use crate::mutant::Mutant;
use crate::world::{Happening, World, brief_in, number_of};
use crate::{MILLI, SECOND};

/// A publish that was sent on the present connection: for mutants.
#[derive(Debug)]
pub(super) struct Flying {
    id: u16,
    number: u32,
    qos: Qos,
}

impl World {
    /// One attempt at a connection.
    pub(super) fn connect(&mut self) {
        if self.runner.connection.is_some() {
            return;
        }
        let takes = self.rng.between(200, 20 * MILLI);
        match self.link.reachable && self.broker.up {
            true => self.after(takes, Task::Opened),
            false => self.rest(),
        }
    }

    pub(super) fn opened(&mut self) {
        if !(self.link.reachable && self.broker.up) {
            return self.rest();
        }
        self.link.last += 1;
        let connection = self.link.last;
        self.broker.opened(connection);
        self.runner.connection = Some(connection);
        self.runner.unread.clear();
        let now = self.instant();
        self.runner.core.opened(now);
        self.say(|| format!("connection {connection} is there"));
        self.pump();
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, why: &str) {
        let Some(connection) = self.runner.connection.take() else { return };
        self.say(|| format!("connection {connection} is lost: {why}"));
        self.runner.core.lost();
        self.runner.unread.clear();
        if self.runner.accepted_at.take().is_some_and(|at| at + 60 * SECOND <= self.now) {
            self.runner.attempts = 0;
        }
        let at = self.wire(false);
        self.at(at, Happening::BrokerLost(connection));
        self.set_connected(false);
        self.news();
        self.rest();
    }

    /// Waits before the next attempt: full jitter, as the real one does.
    fn rest(&mut self) {
        let cap = (SECOND << self.runner.attempts.min(5)).min(30 * SECOND);
        self.runner.attempts += 1;
        let pause = self.rng.below(cap) + 1;
        self.after(pause, Task::Connect);
    }

    /// A packet came.
    pub(crate) fn received(&mut self, packet: Incoming) {
        let packet = match packet {
            Incoming::Accepted(mut accepted) => {
                if self.has(Mutant::DropAtSessionLoss) && !accepted.session_present {
                    self.take_all_as_delivered();
                }
                self.runner.flying.clear();
                accepted.session_present |= self.has(Mutant::SessionAlwaysPresent);
                self.runner.accepted_at = Some(self.now);
                self.runner.unanswered = false;
                Incoming::Accepted(accepted)
            }
            Incoming::Ack { kind: AckKind::Ack, id, refused }
                if self.has(Mutant::AckForAnother) =>
            {
                let flying = &mut self.runner.flying;
                let known = flying.iter().position(|one| one.id == id);
                let one = flying.iter().position(|one| one.qos == Qos::AtLeastOnce);
                let id = known.or(one).and_then(|at| flying.remove(at)).map_or(id, |one| one.id);
                Incoming::Ack { kind: AckKind::Ack, id, refused }
            }
            other => other,
        };
        if let Incoming::Ack { kind: AckKind::Received, id, .. } = packet {
            self.runner.received.insert(id);
        }
        self.runner.unread.push_back(packet);
        self.pump();
    }

    /// A mutant's mistake: what is under way counts as delivered, and is not sent again.
    fn take_all_as_delivered(&mut self) {
        let numbers = self.runner.flying.iter().map(|flying| flying.number);
        self.runner.dropped = numbers.collect();
    }

    /// The same mutant's: packets that are not sent, acknowledged by nobody.
    fn drop_packets(&mut self, packets: &mut Vec<Outgoing>) {
        let now = self.instant();
        let dropped = std::mem::take(&mut self.runner.dropped);
        packets.retain(|packet| {
            let Outgoing::Publish { id, publish, .. } = packet else { return true };
            let drops = publish.qos == Qos::AtLeastOnce
                && number_of(&publish.payload).is_some_and(|number| dropped.contains(&number));
            if drops {
                let ack = Incoming::Ack { kind: AckKind::Ack, id: *id, refused: None };
                // It cannot be refused: the packet was just given out.
                let _ = self.runner.core.on_packet(ack, now);
            }
            !drops
        });
        self.runner.dropped = dropped;
    }

    /// Asks for [`Self::pump`] soon.
    pub(super) fn wake_pump(&mut self) {
        if !std::mem::replace(&mut self.runner.pump_due, true) {
            self.soon(Task::Pump);
        }
    }

    /// Reads what may be read, sends what there is to send.
    pub(super) fn pump(&mut self) {
        let now = self.instant();
        let before = self.runner.core.counters().received;
        while self.runner.core.reading()
            && let Some(packet) = self.runner.unread.pop_front()
        {
            if packet != Incoming::Pong {
                self.say(|| format!("runner gets {}", brief_in(&packet)));
            }
            if let Err(fault) = self.runner.core.on_packet(packet, now) {
                self.news();
                return self.fault(&fault);
            }
        }
        if self.runner.core.counters().received != before {
            self.wake_feed();
        }
        self.send_packets();
        self.news();
    }

    fn send_packets(&mut self) {
        let Some(connection) = self.runner.connection else { return };
        let now = self.instant();
        self.runner.core.written(false, now);
        let mut packets = Vec::new();
        while let Some(packet) = self.runner.core.next_to_send(now) {
            packets.push(packet);
        }
        if self.has(Mutant::DropAtSessionLoss) {
            self.drop_packets(&mut packets);
        }
        if self.has(Mutant::KeepStrangers) {
            let received = &self.runner.received;
            packets.retain(|packet| match packet {
                Outgoing::Ack { kind: AckKind::Release, id } => received.contains(id),
                _ => true,
            });
        }
        if self.has(Mutant::ResendOutOfOrder) {
            let again = |packet: &Outgoing| matches!(packet, Outgoing::Publish { dup: true, .. });
            let first = packets.iter().position(again);
            let last = packets.iter().rposition(again);
            if let (Some(first), Some(last)) = (first, last) {
                packets.swap(first, last);
            }
        }
        self.runner.unanswered |= packets.contains(&Outgoing::Connect);
        let left = packets.last() == Some(&Outgoing::Disconnect);
        for packet in packets {
            if let Outgoing::Publish { id, publish, .. } = &packet
                && let Some(number) = number_of(&publish.payload)
            {
                let flying = Flying { id: *id, number, qos: publish.qos };
                self.runner.flying.push_back(flying);
            }
            let at = self.wire(false);
            self.at(at, Happening::ToBroker(connection, packet));
        }
        if left {
            return self.lost("left in order");
        }
        let deadline = self.micros(self.runner.core.deadline(now));
        if deadline < self.runner.clock_at || self.runner.clock_at <= self.now {
            self.runner.clock_at = deadline;
            self.after(deadline.saturating_sub(self.now), Task::Clock);
        }
    }

    /// The time has come to look at the time.
    pub(super) fn clock(&mut self) {
        if self.runner.clock_at > self.now {
            return;
        }
        self.runner.clock_at = u64::MAX;
        if self.runner.connection.is_none() {
            return;
        }
        let now = self.instant();
        match self.runner.core.on_time(now) {
            Ok(()) => self.pump(),
            Err(fault) => self.fault(&fault),
        }
    }

    fn fault(&mut self, fault: &Fault) {
        self.lost(&fault.to_string());
    }

    /// What the core has to tell.
    pub(super) fn news(&mut self) {
        let news = self.runner.core.news();
        if let Some(granted) = news.granted {
            self.granted = granted.to_vec();
        }
        if let Some(state) = news.state {
            self.set_connected(matches!(state, State::Connected { .. }));
        }
        for (then, ending) in news.ended {
            then(ending);
        }
        let ended = match self.runner.ended.lock() {
            Ok(mut ended) => std::mem::take(&mut *ended),
            Err(_) => Vec::new(),
        };
        for (ticket, ending) in ended {
            self.sent(ticket, &ending);
        }
    }

    fn set_connected(&mut self, connected: bool) {
        if std::mem::replace(&mut self.runner.connected, connected) != connected {
            self.soon(Task::Outlet);
        }
    }

    /// Hands a publish to the session, if there is room.
    pub(super) fn publish(&mut self, publish: Publish, done: Option<Done>) -> Result<(), NotTaken> {
        let now = self.instant();
        let result = self.runner.core.publish(publish, done, now);
        self.wake_pump();
        self.news();
        result
    }
}
