//! What the core does inside: with what came, and to choose what goes.

use super::super::outbound::Meaning;
use super::*;

impl Core {
    pub(super) fn accepted(&mut self, accepted: Accepted, now: Instant) {
        let Some(link) = &mut self.link else { return };
        (link.stage, link.since, link.progress) = (Stage::Open, now, now);
        link.session_present = accepted.session_present;
        if let Some(seconds) = accepted.keep_alive_secs {
            link.pulse.set_keep_alive(Duration::from_secs(seconds.into()));
        }
        self.counters.connects += 1;
        self.unanswered = false;
        self.subscriptions.set_unanswered(false);
        let doubtful = accepted.session_present && link.doubtful;
        if doubtful {
            self.outbound.doubt();
            self.subscriptions.doubt();
        }
        self.inbound.connected(accepted.session_present && !doubtful);
        self.outbound.connected(accepted);
        self.outbound.set_status(self.online.clone());
        self.subscriptions.connected(accepted.session_present);
        self.announce();
    }

    pub(super) fn arrived(&mut self, arrival: Arrival, now: Instant) {
        let left = self.link.as_ref().is_none_or(|link| link.stage == Stage::Left);
        let promised = arrival.qos != Qos::AtMostOnce;
        if validate_topic(&arrival.topic).is_err() {
            self.counters.dropped_malformed += 1;
            return match arrival.qos {
                Qos::AtMostOnce => {}
                Qos::AtLeastOnce => self.reply(AckKind::Ack, arrival.id),
                Qos::ExactlyOnce => self.reply(AckKind::Received, arrival.id),
            };
        }
        if promised && (left || self.overflowing) {
            // It cannot be acknowledged on this connection, or must not overtake what was not taken.
            self.counters.dropped_queue_full += u64::from(!self.persistent && !left);
            return;
        }
        self.offer(arrival, now + limits::ROOM_TIMEOUT);
    }

    /// Puts a message into the inbox, or holds it.
    pub(super) fn offer(&mut self, arrival: Arrival, until: Instant) {
        let large = arrival.oversize.map(|bytes| (arrival.topic.clone(), bytes));
        match self.inbound.offer(arrival) {
            Offer::Queued => {
                self.counters.received += 1;
                if let Some((topic, bytes)) = large {
                    self.counters.oversize += 1;
                    self.notices.push(Notice::Oversize { topic, bytes });
                }
            }
            Offer::Known => self.counters.redelivered += 1,
            Offer::Dropped => self.counters.dropped_queue_full += 1,
            Offer::Full(arrival) => self.held = Some((arrival, until)),
        }
    }

    pub(super) fn acked(&mut self, kind: AckKind, id: u16, refused: Option<u8>, now: Instant) {
        let meant = self.outbound.acked(kind, id, refused);
        let Some(link) = &mut self.link else { return };
        match meant {
            // Only this counts: others that are answered must not hide one that never is.
            Meaning::Oldest => link.progress = now,
            Meaning::Later => {}
            Meaning::None if link.acks_ignored => {}
            Meaning::None => {
                link.acks_ignored = true;
                self.notices.push(Notice::AcksIgnored);
            }
        }
    }

    pub(super) fn subscribed(&mut self, id: u16, codes: &[u8], now: Instant) {
        let Some(notices) = self.subscriptions.answered(id, codes, now) else {
            return self.ignored();
        };
        let refused = |n: &&Notice| matches!(n, Notice::SubscriptionRefused { .. });
        self.counters.subscriptions_refused += notices.iter().filter(refused).count() as u64;
        self.notices.extend(notices);
        self.announce();
    }

    /// An answer to nothing that was asked.
    pub(super) fn ignored(&mut self) {
        self.counters.acks_ignored += 1;
    }

    pub(super) fn reply(&mut self, kind: AckKind, id: u16) {
        if let Some(link) = &mut self.link {
            link.replies.push_back(Outgoing::Ack { kind, id });
        }
    }

    /// Ends the connection in order, now.
    pub(super) fn leave(&mut self, now: Instant) {
        if let Some(link) = self.link.as_mut().filter(|link| link.stage == Stage::Open) {
            (link.stage, link.progress) = (Stage::Leaving, now);
        }
    }

    /// Nothing was to be acknowledged until now, so the broker is not late with it.
    pub(super) fn idle_until(&mut self, now: Instant) {
        if let Some(link) = self.link.as_mut().filter(|_| !self.outbound.is_flying()) {
            link.progress = now;
        }
    }

    /// Shows the state once every subscription has its answer.
    pub(super) fn announce(&mut self) {
        let Some(link) = self.link.as_mut().filter(|link| link.stage == Stage::Open) else {
            return;
        };
        if !self.subscriptions.is_settled() {
            return;
        }
        if !std::mem::replace(&mut link.announced, true) {
            self.notices.push(Notice::Connected { session_present: link.session_present });
        }
        self.state = Some(State::Connected {
            session_present: link.session_present,
            since: link.since,
            refused: self.subscriptions.refused(),
        });
    }

    pub(super) fn choose(&mut self, now: Instant) -> Option<Outgoing> {
        let link = self.link.as_mut()?;
        match link.stage {
            Stage::Greeted | Stage::Left => return None,
            Stage::Fresh => {
                link.stage = Stage::Greeted;
                self.unanswered = true;
                self.subscriptions.set_unanswered(true);
                return Some(Outgoing::Connect);
            }
            Stage::Open | Stage::Leaving => {}
        }
        if let Some(reply) = link.replies.pop_front() {
            return Some(reply);
        }
        if let Some(ack) = self.inbound.next_ack() {
            self.counters.settled += 1;
            let kind = match ack.qos {
                Qos::ExactlyOnce => AckKind::Received,
                _ => AckKind::Ack,
            };
            return Some(Outgoing::Ack { kind, id: ack.id });
        }
        if link.pulse.take_ping() {
            return Some(Outgoing::Ping);
        }
        match link.stage {
            Stage::Leaving => self.disconnect(),
            _ => self.choose_message(now),
        }
    }

    fn choose_message(&mut self, now: Instant) -> Option<Outgoing> {
        let (outbound, subscriptions) = (&mut self.outbound, &mut self.subscriptions);
        // Nothing of its own is under way when it asks for an identifier.
        let id = || outbound.free_id(&|_| false);
        let asked = match self.stop {
            Stop::No => subscriptions.next(now, id),
            Stop::By(_) => subscriptions.next_to_drop(now, id),
            Stop::Now | Stop::Done => None,
        };
        if asked.is_some() {
            return asked;
        }
        if !outbound.is_flying() {
            self.idle_until(now);
        }
        let subscriptions = &self.subscriptions;
        let message = match self.stop {
            // Without waiting for an answer: the broker takes things in order.
            Stop::Now => self.last.take().map(|publish| {
                let id = self.outbound.free_id(&|id| subscriptions.uses(id));
                let qos = publish.qos.min(Qos::AtLeastOnce);
                let id = if qos == Qos::AtMostOnce { 0 } else { id };
                Outgoing::Publish { id, dup: false, publish: Publish { qos, ..publish } }
            }),
            _ => self.outbound.next(|id| subscriptions.uses(id)),
        };
        message.or_else(|| self.choose_end(now))
    }

    /// What is left to say when the session is to end and nothing waits for an answer.
    fn choose_end(&mut self, now: Instant) -> Option<Outgoing> {
        match self.stop {
            Stop::No | Stop::Done => None,
            Stop::Now => self.disconnect(),
            Stop::By(_)
                if !self.outbound.is_empty()
                    || self.inbound.awaits_release()
                    || self.subscriptions.has_excess() =>
            {
                None
            }
            Stop::By(_) => match self.last.take() {
                Some(last) => {
                    self.outbound.set_status(Some(last));
                    self.choose_message(now)
                }
                None => self.disconnect(),
            },
        }
    }

    fn disconnect(&mut self) -> Option<Outgoing> {
        let link = self.link.as_mut()?;
        link.stage = Stage::Left;
        Some(Outgoing::Disconnect)
    }
}
