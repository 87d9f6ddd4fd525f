//! The session's whole state, and what to do with each packet, call and passing of time. Pure: it does no I/O,
//! waits for nothing, starts nothing and asks no clock. [`Session`](super::Session) drives it over a
//! socket; a simulator drives it over whatever it likes.
//!
//! It stands behind one lock in `shared`. The connection's task brings packets, the program's tasks
//! publish and settle; whoever comes does the work at once, so no task has to be woken for it.
//!
//! # Driving it
//!
//! ```text
//! opened(now)            a connection is there; nothing has been said on it
//! loop:
//!   next_to_send(now)    until None: each packet goes out, in this order. After Disconnect nothing does
//!   on_packet(p, now)    while reading(): each packet that comes. Err: the connection is to be cut
//!   on_time(now)         at deadline(now), or later. Err: likewise
//! lost()                 the connection is gone, by whatever cause; then opened() again, some time
//! ```
//!
//! Between any two of these: [`publish`](Core::publish), [`take`](Core::take), [`settle`](Core::settle),
//! [`abandon`](Core::abandon), [`want`](Core::want), [`unwant`](Core::unwant), [`want_again`](Core::want_again),
//! [`begin_stop`](Core::begin_stop). Each of them may give `next_to_send`
//! something to give. A process that dies is a core that is dropped; the next one starts from the same
//! [`Options`], with [`kept`](Options::kept) as `granted` said it.

use super::inbound::{Inbound, Offer};
use super::message::{DeliveryError, Publish, PublishError, Qos};
use super::notice::{Counters, Notice, State};
use super::options::{Options, Persistence, SubscribeError, Subscription};
use super::outbound::Outbound;
use super::packet::{Accepted, AckKind, Arrival, Fault, Incoming, Outgoing};
use super::pulse::{Beat, Pulse};
use super::subscriptions::Subscriptions;
use super::topic::validate_topic;
use crate::limits::mqtt as limits;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use super::inbound::Queued;
pub use super::outbound::{Done, Ending, Then};

/// Why [`Core::publish`] did not take a message.
#[derive(Debug)]
pub enum NotTaken {
    /// There is no room now: here it is again.
    Full(Publish, Option<Done>),
    /// The session is stopping.
    Stopped(PublishError),
}

/// What there is to tell after a call; taken by [`Core::news`].
#[derive(Default)]
pub struct News {
    /// The state has changed.
    pub state: Option<State>,
    /// For the operator.
    pub notices: Vec<Notice>,
    /// What the broker holds has changed. To be written down before it is relied upon.
    pub granted: Option<Arc<[Subscription]>>,
    /// To be called, each with how its message ended.
    pub ended: Vec<(Then, Ending)>,
}

/// The state machine of one session. See the module's documentation for how to drive it.
pub struct Core {
    inbound: Inbound,
    outbound: Outbound,
    subscriptions: Subscriptions,
    counters: Counters,
    notices: Vec<Notice>,
    state: Option<State>,
    link: Option<Link>,
    stop: Stop,
    /// A message for which there was no room, and how long to wait for it.
    held: Option<(Arrival, Instant)>,
    /// A CONNECT went out, and no answer came to it or to any after it.
    unanswered: bool,
    /// The inbox has overflowed: QoS 1 and 2 stay with the broker until it is empty.
    overflowing: bool,
    keep_alive: Duration,
    persistent: bool,
    online: Option<Publish>,
    /// To be said before the end.
    last: Option<Publish>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    No,
    /// When everything is acknowledged, or at this time.
    By(Instant),
    /// Now, whatever is not acknowledged.
    Now,
    Done,
}

/// A connection.
struct Link {
    stage: Stage,
    opened: Instant,
    pulse: Pulse,
    session_present: bool,
    /// An earlier CONNECT was not answered: it may have made a new session, and the one that is present may be that.
    doubtful: bool,
    /// When the broker accepted us.
    since: Instant,
    announced: bool,
    acks_ignored: bool,
    /// When the broker last acknowledged something, or nothing was to be.
    progress: Instant,
    /// Answers to what came, in order.
    replies: VecDeque<Outgoing>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// CONNECT is to be sent.
    Fresh,
    /// CONNACK is to come.
    Greeted,
    /// Messages flow.
    Open,
    /// DISCONNECT is to be sent once nothing is left to acknowledge.
    Leaving,
    /// DISCONNECT was given out: nothing may be sent.
    Left,
}

impl Core {
    /// A session without a connection. The options are taken as checked.
    pub fn new(options: &Options) -> Self {
        Self {
            inbound: Inbound::new(),
            outbound: Outbound::new(),
            subscriptions: Subscriptions::new(options),
            counters: Counters::default(),
            notices: Vec::new(),
            state: None,
            link: None,
            stop: Stop::No,
            held: None,
            unanswered: false,
            overflowing: false,
            keep_alive: options.keep_alive,
            persistent: !matches!(options.persistence, Persistence::Clean),
            online: options.online.clone(),
            last: options.will.clone().filter(|_| options.online.is_some()),
        }
    }

    /// A connection is there.
    pub fn opened(&mut self, now: Instant) {
        self.lost();
        self.link = Some(Link {
            stage: Stage::Fresh,
            opened: now,
            pulse: Pulse::new(self.keep_alive, now),
            session_present: false,
            doubtful: self.unanswered,
            since: now,
            announced: false,
            acks_ignored: false,
            progress: now,
            replies: VecDeque::new(),
        });
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        if self.link.take().is_some() {
            // A message that found no room stays with the broker; QoS 0 is not held.
            (self.held, self.overflowing) = (None, false);
            self.inbound.lost();
            self.outbound.lost();
            self.subscriptions.lost();
        }
    }

    /// Bytes came: a sign of life, also before they make a packet.
    pub fn heard(&mut self, now: Instant) {
        if let Some(link) = &mut self.link {
            link.pulse.heard(now);
        }
    }

    /// What was given out is being written; `stuck` if the other side takes nothing at present.
    pub fn written(&mut self, stuck: bool, now: Instant) {
        if let Some(link) = &mut self.link {
            link.pulse.written(stuck, now);
        }
    }

    /// Whether a packet may be brought now. If not, let what is unread wait, and ask again after each call.
    pub fn reading(&self) -> bool {
        let replies = self.link.as_ref().map_or(0, |link| link.replies.len());
        self.held.is_none() && replies + self.outbound.replies() < limits::REPLIES_MAX
    }

    /// A packet came.
    pub fn on_packet(&mut self, packet: Incoming, now: Instant) -> Result<(), Fault> {
        let Some(link) = &mut self.link else { return Ok(()) };
        link.pulse.heard(now);
        match (link.stage, packet) {
            (Stage::Greeted, Incoming::Accepted(accepted)) => self.accepted(accepted, now),
            (Stage::Greeted, Incoming::Refused(why)) => {
                self.unanswered = link.doubtful;
                return Err(Fault::Broken(why));
            }
            (_, Incoming::Disconnect(why)) => return Err(Fault::Broken(why)),
            (Stage::Fresh | Stage::Greeted, _) => {
                return Err(Fault::Protocol("its first packet was no CONNACK"));
            }
            (_, Incoming::Accepted(_) | Incoming::Refused(_)) => {
                return Err(Fault::Protocol("it sent a second CONNACK"));
            }
            (_, Incoming::Publish(arrival)) => self.arrived(arrival, now),
            (_, Incoming::Ack { kind: AckKind::Release, id, .. }) => {
                self.inbound.released(id);
                self.reply(AckKind::Complete, id);
            }
            (_, Incoming::Ack { kind, id, refused }) => self.acked(kind, id, refused, now),
            (_, Incoming::Subscribed { id, codes }) => self.subscribed(id, &codes, now),
            (_, Incoming::Unsubscribed { id }) => {
                if !self.subscriptions.dropped(id) {
                    self.ignored();
                }
            }
            (_, Incoming::Pong) => {}
        }
        Ok(())
    }

    /// The next packet to send. Given out, it counts as sent.
    pub fn next_to_send(&mut self, now: Instant) -> Option<Outgoing> {
        let packet = self.choose(now)?;
        if let Some(link) = &mut self.link {
            link.pulse.sent(now);
        }
        Some(packet)
    }

    /// When to call [`Self::on_time`] if nothing happens before. Without a connection nothing is due.
    pub fn deadline(&self, now: Instant) -> Instant {
        let Some(link) = &self.link else { return now + limits::KEEP_ALIVE_MAX };
        if matches!(link.stage, Stage::Fresh | Stage::Greeted) {
            return link.opened + limits::CONNECT_TIMEOUT;
        }
        let flying = self.outbound.is_flying().then(|| link.progress + self.keep_alive * 2);
        let asked = self.subscriptions.asked_since().map(|since| since + limits::SUBACK_TIMEOUT);
        let held = self.held.as_ref().map(|(_, until)| *until);
        let asks = self.stop == Stop::No && link.stage == Stage::Open;
        let again = self.subscriptions.due().filter(|_| asks && !self.subscriptions.is_pending());
        let stop = match self.stop {
            Stop::By(at) => Some(at),
            _ => None,
        };
        let all = [flying, asked, held, again, stop];
        all.into_iter().flatten().fold(link.pulse.deadline(), Instant::min)
    }

    /// Time has passed.
    pub fn on_time(&mut self, now: Instant) -> Result<(), Fault> {
        if matches!(self.stop, Stop::By(at) if at <= now) {
            self.stop = Stop::Now;
        }
        if self.held.as_ref().is_some_and(|(_, until)| *until <= now) {
            // Waiting did not help. What comes at QoS 1 and 2 from here on is not acknowledged and not
            // taken, so that the order holds; the broker sends it again.
            self.held = None;
            self.counters.overflows += 1;
            self.overflowing = true;
        }
        let Some(link) = &mut self.link else { return Ok(()) };
        if matches!(link.stage, Stage::Fresh | Stage::Greeted) {
            return match link.opened + limits::CONNECT_TIMEOUT <= now {
                true => Err(Fault::Broken("no answer in time".into())),
                false => Ok(()),
            };
        }
        let late = |since: Instant, most: Duration| since + most <= now;
        let answer = self.subscriptions.asked_since();
        if link.pulse.step(now) == Beat::Silent
            || self.outbound.is_flying() && late(link.progress, self.keep_alive * 2)
            || answer.is_some_and(|since| late(since, limits::SUBACK_TIMEOUT))
        {
            return Err(Fault::Silent);
        }
        Ok(())
    }

    /// Takes a message. QoS 0 without a connection is taken and dropped: `done` learns it.
    pub fn publish(
        &mut self,
        publish: Publish,
        done: Option<Done>,
        now: Instant,
    ) -> Result<(), NotTaken> {
        if self.is_stopping() {
            return Err(NotTaken::Stopped(PublishError::Stopped));
        }
        let room = self.outbound.has_room(&publish);
        if publish.qos == Qos::AtMostOnce && !self.is_open() {
            self.counters.published += 1;
            self.outbound.refuse(done, DeliveryError::NotConnected);
            return Ok(());
        }
        if !room {
            return Err(NotTaken::Full(publish, done));
        }
        self.counters.published += 1;
        self.idle_until(now);
        self.outbound.push(publish, done);
        Ok(())
    }

    /// Drops a QoS 0 message that [`Self::publish`] had no room for.
    pub fn drop_unpromised(&mut self, done: Option<Done>) {
        self.counters.published += 1;
        self.outbound.refuse(done, DeliveryError::NoRoom);
    }

    /// Adds a subscription, or changes the QoS of one.
    pub fn want(&mut self, subscription: Subscription) -> Result<(), SubscribeError> {
        self.subscriptions.want(subscription)
    }

    /// Takes a subscription away.
    pub fn unwant(&mut self, filter: &str) {
        self.subscriptions.unwant(filter);
        self.announce();
    }

    /// Has a subscription's retained messages come again. Nothing if it was not asked for, or another covers it.
    pub fn want_again(&mut self, filter: &str) {
        self.subscriptions.want_again(filter);
    }

    /// The next message for the program.
    pub fn take(&mut self, now: Instant) -> Option<Queued> {
        let queued = self.inbound.take()?;
        if let Some((arrival, until)) = self.held.take() {
            self.offer(arrival, until);
        }
        if self.overflowing && self.inbound.is_empty() {
            self.overflowing = false;
            if self.persistent {
                self.leave(now);
            }
        }
        Some(queued)
    }

    /// The program is done with a message.
    pub fn settle(&mut self, key: u64) {
        self.inbound.settle(key);
    }

    /// The program has dropped a message without settling it.
    pub fn abandon(&mut self, key: u64) {
        self.inbound.abandon(key);
    }

    /// Whether [`Self::next_to_send`] may have something to give, apart from what time brings.
    pub fn has_to_send(&self) -> bool {
        let Some(link) = &self.link else { return false };
        match link.stage {
            Stage::Fresh | Stage::Leaving => true,
            // Nothing to send, but to be noticed: there is nothing to wait for any more.
            Stage::Greeted => self.stop != Stop::No,
            Stage::Left => false,
            Stage::Open => {
                self.stop != Stop::No
                    || !link.replies.is_empty()
                    || self.inbound.has_ack()
                    || self.outbound.can_send()
                    || self.subscriptions.can_ask()
            }
        }
    }

    /// The program wants the session to end: once everything is acknowledged, at `leave_at` in any case.
    pub fn begin_stop(&mut self, leave_at: Instant) {
        if self.stop == Stop::No {
            self.stop = Stop::By(leave_at);
        }
    }

    /// The session is gone; receipts that are open learn why.
    pub fn end(&mut self, error: &DeliveryError) {
        if self.stop != Stop::Done {
            self.lost();
            self.outbound.end(error);
            self.stop = Stop::Done;
            self.state = Some(State::Stopped);
        }
    }

    /// Whether the session is to end, or has.
    pub fn is_stopping(&self) -> bool {
        self.stop != Stop::No
    }

    /// Whether the session has ended.
    pub fn is_stopped(&self) -> bool {
        self.stop == Stop::Done
    }

    /// Whether the broker has accepted us on the present connection.
    pub fn is_open(&self) -> bool {
        self.accepted_at().is_some()
    }

    /// When it did.
    pub fn accepted_at(&self) -> Option<Instant> {
        let link = self.link.as_ref()?;
        (!matches!(link.stage, Stage::Fresh | Stage::Greeted)).then_some(link.since)
    }

    /// What has happened since the last call.
    pub fn news(&mut self) -> News {
        News {
            state: self.state.take(),
            notices: std::mem::take(&mut self.notices),
            granted: self.subscriptions.news(),
            ended: std::mem::take(&mut self.outbound.ended),
        }
    }

    /// The counters. What concerns connections is counted by who makes them.
    pub fn counters(&self) -> Counters {
        let tally = self.outbound.tally;
        Counters {
            acknowledged: tally.acknowledged,
            failed: tally.failed,
            resent: tally.resent,
            qos0_dropped: tally.dropped,
            acks_ignored: tally.ignored + self.counters.acks_ignored,
            ..self.counters
        }
    }

    pub(super) fn counters_mut(&mut self) -> &mut Counters {
        &mut self.counters
    }
}

mod flow;

#[cfg(test)]
mod tests;
