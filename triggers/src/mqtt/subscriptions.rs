//! Which subscriptions are wanted, which the broker holds, and what to ask of it next. Pure.
//!
//! Both change while the session runs: what is wanted by the thousands, as apps come and go.
//!
//! What the broker holds is brought to what is wanted in small steps, one packet under way at a time:
//! first SUBSCRIBE what is missing, then UNSUBSCRIBE what is too much, so that no message falls between.
//! A broker that kept the session is asked for nothing that it holds, because asking again makes it send
//! its retained messages again, and each would run again. (MQTT 5 can forbid that; so there we ask once
//! for all, rather than trust what an earlier process wrote down.)
//!
//! A message comes once for each subscription that it matches, so a filter that is covered by another
//! is left out and the other gets the higher QoS. Where two filters overlap and neither covers the other,
//! a message may come twice: MQTT 3.1.1 has no way to tell, and at least once goes before once.
//!
//! A refusal is an alarm, not the end: the other subscriptions work, and the operator may yet give
//! the permission. So it is reported, and asked again after 1, 2, 4 … 30 minutes. What the refused
//! filter covered is asked for by itself meanwhile.

use super::notice::{Notice, RefusedSubscription};
use super::options::{Options, Protocol, SubscribeError, Subscription};
use super::packet::{Outgoing, Retained};
use super::topic::validate_filter;
use crate::limits::mqtt as limits;
use known::{Broker, Filter, Id, Known};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The subscriptions of a session.
#[derive(Debug)]
pub(super) struct Subscriptions {
    known: Known,
    wanted: usize,
    held: usize,
    /// What the broker is to be asked for.
    missing: BTreeSet<Id>,
    /// What it may hold and should not.
    excess: BTreeSet<Id>,
    /// What it is to be asked for once more.
    again: BTreeSet<Id>,
    /// What is wanted and was refused last.
    refused: BTreeSet<Id>,
    asked: Option<Asked<Subscription>>,
    dropping: Option<Asked<String>>,
    /// What is held is what an earlier process believed.
    believed: Belief,
    pause: Duration,
    due: Option<Instant>,
    /// A CONNECT has not been answered.
    unanswered: bool,
    news: News,
}

/// A packet that waits for its answer.
#[derive(Debug)]
struct Asked<T> {
    id: u16,
    since: Instant,
    list: Vec<T>,
    retained: Retained,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// Good enough to leave a SUBSCRIBE out.
    Firm,
    /// Good for an UNSUBSCRIBE only.
    Weak,
}

/// A change of what is held that has not been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum News {
    None,
    /// More is held. Told when no more is to come: each time the whole list is told, and a later process
    /// that does not know of it asks once too often.
    More,
    /// Something may not be relied upon any more. Told at once: a later process that does would get no messages.
    Less,
}

impl Subscriptions {
    pub(super) fn new(options: &Options) -> Self {
        let mut new = Self {
            known: Known::default(),
            wanted: 0,
            held: 0,
            missing: BTreeSet::new(),
            excess: BTreeSet::new(),
            again: BTreeSet::new(),
            refused: BTreeSet::new(),
            asked: None,
            dropping: None,
            believed: match options.protocol {
                Protocol::V311 => Belief::Firm,
                Protocol::V5 => Belief::Weak,
            },
            pause: limits::RESUBSCRIBE_FIRST,
            due: None,
            unanswered: false,
            news: News::None,
        };
        for Subscription { filter, qos } in &options.kept {
            let id = new.known.find_or_add(filter);
            new.set_broker(id, Broker::Holds(*qos));
        }
        for Subscription { filter, qos } in &options.subscriptions {
            let id = new.known.find_or_add(filter);
            // Named twice, it gets the higher.
            new.change(id, |known| known.wish = known.wish.max(Some(*qos)));
        }
        for id in new.ids() {
            new.lower(id);
            new.review(id);
        }
        new
    }

    /// The program wants a filter, or another QoS of it.
    pub(super) fn want(&mut self, subscription: Subscription) -> Result<(), SubscribeError> {
        let Subscription { filter, qos } = subscription;
        if let Err(why) = validate_filter(&filter) {
            return Err(SubscribeError::Filter { filter, why });
        }
        let before = self.find(&filter).and_then(|(_, known)| known.wish);
        if before.is_none() && self.wanted >= limits::SUBSCRIPTIONS_MAX {
            return Err(SubscribeError::TooMany);
        }
        let id = self.known.find_or_add(&filter);
        self.change(id, |known| known.wish = Some(qos));
        if before > Some(qos) {
            self.lower(id);
        }
        Ok(())
    }

    /// The program does not want a filter any more.
    pub(super) fn unwant(&mut self, filter: &str) {
        if let Some(id) = self.known.find(filter) {
            self.change(id, |known| {
                (known.wish, known.refused, known.avoided) = (None, None, false);
            });
        }
    }

    /// The program wants the retained messages of a filter once more.
    pub(super) fn want_again(&mut self, filter: &str) {
        let Some((id, known)) = self.find(filter) else { return };
        let is_asked = |asked: &Asked<Subscription>| asked.list.iter().any(|s| s.filter == filter);
        let had = known.broker != Broker::Nothing || self.asked.as_ref().is_some_and(is_asked);
        if had && known.target().is_some() {
            self.again.insert(id);
        }
    }

    /// The session that is present may be another than the one in which what is held was granted.
    pub(super) fn doubt(&mut self) {
        self.believed = Belief::Weak;
    }

    /// A new connection; whether the broker resumed the session decides what it holds.
    pub(super) fn connected(&mut self, session_present: bool) {
        (self.pause, self.due) = (limits::RESUBSCRIBE_FIRST, None);
        let (asked, dropping) = (self.asked.take(), self.dropping.take());
        let under_way = asked.iter().flat_map(|asked| asked.list.iter().map(|one| &one.filter));
        for filter in under_way.chain(dropping.iter().flat_map(|dropping| &dropping.list)) {
            // Nobody knows whether it came to that.
            let id = self.known.find_or_add(filter);
            if self.known.get(id).is_some_and(|known| known.broker == Broker::Nothing) {
                self.set_broker(id, Broker::Perhaps);
            }
            if asked.as_ref().is_some_and(|asked| asked.retained == Retained::Always) {
                self.again.insert(id);
            }
        }
        for id in self.refused.clone() {
            self.change(id, |known| known.avoided = false);
        }
        if !session_present {
            self.again.clear();
            if self.set_all(Broker::Nothing) {
                self.tell(News::Less);
            }
        } else if self.believed == Belief::Weak {
            self.set_all(Broker::Perhaps);
        }
        for id in self.ids() {
            self.review(id);
        }
        self.believed = Belief::Firm;
    }

    /// The connection is gone: for a while there is no more to come.
    pub(super) fn lost(&mut self) {
        if self.news != News::None {
            self.news = News::Less;
        }
    }

    /// The next packet to bring the broker nearer to what is wanted.
    pub(super) fn next(&mut self, now: Instant, mut id: impl FnMut() -> u16) -> Option<Outgoing> {
        if self.is_pending() {
            return None;
        }
        if self.due.take_if(|due| *due <= now).is_some() {
            let avoided = |id: &Id| self.known.get(*id).is_some_and(|known| known.avoided);
            self.again.extend(self.refused.iter().copied().filter(avoided));
        }
        if !self.can_ask() {
            return None;
        }
        // Only if programs come and go faster than the broker answers: what it holds must not grow for ever.
        let flooded = self.excess.len() > limits::SUBSCRIPTIONS_MAX;
        if !flooded && let Some((filters, retained)) = self.ask() {
            let id = id();
            self.asked = Some(Asked { id, since: now, list: filters.clone(), retained });
            return Some(Outgoing::Subscribe { id, filters, retained });
        }
        self.next_to_drop(now, id)
    }

    /// The same for a session that ends: only what is too much. Nobody comes back to it, and the broker would keep
    /// messages for it as long as it keeps the session.
    pub(super) fn next_to_drop(
        &mut self,
        now: Instant,
        mut id: impl FnMut() -> u16,
    ) -> Option<Outgoing> {
        if self.is_pending() {
            return None;
        }
        let filters = self.part();
        if filters.is_empty() {
            return None;
        }
        let (id, list) = (id(), filters.clone());
        self.dropping = Some(Asked { id, since: now, list, retained: Retained::IfNew });
        Some(Outgoing::Unsubscribe { id, filters })
    }

    /// Whether the broker is to be told that something is too much, or has not answered that.
    pub(super) fn has_excess(&self) -> bool {
        !self.excess.is_empty() || self.dropping.is_some()
    }

    /// The broker's answer to SUBSCRIBE, in the order asked. Says what has changed; `None` if it is the answer
    /// to nothing.
    pub(super) fn answered(&mut self, id: u16, codes: &[u8], now: Instant) -> Option<Vec<Notice>> {
        let asked = self.asked.take_if(|asked| asked.id == id)?;
        let mut notices = Vec::new();
        for (at, subscription) in asked.list.into_iter().enumerate() {
            // An answer that is missing is none that we may rely on.
            let code = codes.get(at).copied().unwrap_or(0x80);
            let refused = (code > 2).then_some(code);
            notices.extend(self.note(subscription, refused));
        }
        let is_refused = |n: &Notice| matches!(n, Notice::SubscriptionRefused { .. });
        // Once for all that were asked in the same round, however many packets these were.
        if self.due.is_none() && notices.iter().any(is_refused) {
            self.due = Some(now + self.pause);
            self.pause = (self.pause * 2).min(limits::RESUBSCRIBE_MAX);
        }
        Some(notices)
    }

    /// The broker's answer to UNSUBSCRIBE. Says whether it is one.
    pub(super) fn dropped(&mut self, id: u16) -> bool {
        self.dropping.take_if(|dropping| dropping.id == id).is_some()
    }

    /// When the SUBSCRIBE or UNSUBSCRIBE under way was sent.
    pub(super) fn asked_since(&self) -> Option<Instant> {
        let asked = self.asked.as_ref().map(|asked| asked.since);
        asked.or(self.dropping.as_ref().map(|dropping| dropping.since))
    }

    /// When something is to be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.filter(|_| !self.refused.is_empty())
    }

    /// Whether an identifier is taken by what is under way.
    pub(super) fn uses(&self, id: u16) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.id == id)
            || self.dropping.as_ref().is_some_and(|dropping| dropping.id == id)
    }

    /// Whether an answer is to come.
    pub(super) fn is_pending(&self) -> bool {
        self.asked.is_some() || self.dropping.is_some()
    }

    /// Whether [`Self::next`] has something to give, apart from what time brings.
    pub(super) fn can_ask(&self) -> bool {
        let is_done = self.missing.is_empty() && self.excess.is_empty() && self.again.is_empty();
        !is_done && !self.is_pending()
    }

    /// Whether everything that is wanted has been answered, with yes or no.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_none() && self.missing.is_empty()
    }

    /// What the broker holds, if that has changed since the last call. Nothing, as long as a CONNECT is not answered:
    /// it may have made a new session, and a later process must not take that for the old one.
    pub(super) fn news(&mut self) -> Option<Arc<[Subscription]>> {
        match self.news {
            News::None => return None,
            News::More if !self.is_settled() => return None,
            News::More | News::Less => self.news = News::None,
        }
        if self.unanswered {
            return Some(Arc::default());
        }
        let held = self.known.all().filter_map(|(_, known)| match known.broker {
            Broker::Holds(qos) => Some(Subscription { filter: (*known.name).into(), qos }),
            Broker::Nothing | Broker::Perhaps => None,
        });
        Some(held.collect())
    }

    /// A CONNECT was given out, or was answered.
    pub(super) fn set_unanswered(&mut self, unanswered: bool) {
        let changed = std::mem::replace(&mut self.unanswered, unanswered) != unanswered;
        if changed && self.held > 0 {
            self.tell(News::Less);
        }
    }

    /// What the broker refuses at present.
    pub(super) fn refused(&self) -> Arc<[RefusedSubscription]> {
        let known = self.refused.iter().filter_map(|id| self.known.get(*id));
        let refused = known.filter_map(|known| {
            known.refused.map(|code| RefusedSubscription { filter: (*known.name).into(), code })
        });
        refused.collect()
    }

    /// Takes note of one answer.
    fn note(&mut self, subscription: Subscription, refused: Option<u8>) -> Option<Notice> {
        let Subscription { filter, qos } = subscription;
        // It may have been forgotten since it was asked for.
        let id = self.known.find_or_add(&filter);
        match refused {
            Some(_) => {
                if self.set_broker(id, Broker::Nothing) != Broker::Nothing {
                    self.tell(News::Less);
                }
                self.again.remove(&id);
            }
            None => {
                self.set_broker(id, Broker::Holds(qos));
                self.tell(News::More);
            }
        }
        let mut before = None;
        self.change(id, |known| {
            before = known.refused;
            let refused = refused.filter(|_| known.wish.is_some());
            (known.refused, known.avoided) = (refused, refused.is_some());
        });
        self.known.get(id)?.wish?;
        match (before, refused) {
            (_, Some(code)) => Some(Notice::SubscriptionRefused { filter, code }),
            (Some(_), None) => Some(Notice::SubscriptionGranted { filter }),
            (None, None) => None,
        }
    }

    /// What is held at a higher QoS than the program asks for now is to be asked for anew.
    fn lower(&mut self, id: Id) {
        let Some(known) = self.known.get(id) else { return };
        let target = known.target();
        if target.is_some() && matches!(known.broker, Broker::Holds(held) if Some(held) > target) {
            self.set_broker(id, Broker::Perhaps);
            self.review(id);
        }
    }

    fn change(&mut self, id: Id, change: impl FnOnce(&mut Filter)) {
        let was_wanted = self.known.get(id).is_some_and(|known| known.wish.is_some());
        let touched = self.known.change(id, change);
        let is_wanted = self.known.get(id).is_some_and(|known| known.wish.is_some());
        self.wanted = self.wanted + usize::from(is_wanted) - usize::from(was_wanted);
        for id in touched {
            self.review(id);
        }
    }

    /// Puts a filter where it belongs after something about it has changed.
    fn review(&mut self, id: Id) {
        let Some(known) = self.known.get(id) else { return };
        let asks_again = known.avoided || known.target().is_some();
        let is_refused = known.refused.is_some();
        place(&mut self.missing, id, known.is_missing());
        place(&mut self.excess, id, known.is_excess());
        place(&mut self.refused, id, is_refused);
        if !asks_again {
            self.again.remove(&id);
        }
        self.known.forget(id);
    }

    fn set_broker(&mut self, id: Id, broker: Broker) -> Broker {
        let before = self.known.set_broker(id, broker);
        let held = |broker| usize::from(matches!(broker, Broker::Holds(_)));
        self.held = self.held + held(broker) - held(before);
        before
    }

    fn tell(&mut self, news: News) {
        self.news = self.news.max(news);
    }

    fn find(&self, filter: &str) -> Option<(Id, &Filter)> {
        let id = self.known.find(filter)?;
        Some((id, self.known.get(id)?))
    }

    fn ids(&self) -> Vec<Id> {
        self.known.all().map(|(id, _)| id).collect()
    }

    /// Of what the broker has, or may have. Says whether there is any.
    fn set_all(&mut self, broker: Broker) -> bool {
        let had = self.known.all().filter(|(_, known)| known.broker != Broker::Nothing);
        let had: Vec<Id> = had.map(|(id, _)| id).collect();
        for id in &had {
            self.set_broker(*id, broker);
        }
        !had.is_empty()
    }
}

/// Puts it in or takes it out.
fn place(set: &mut BTreeSet<Id>, id: Id, belongs: bool) {
    match belongs {
        true => set.insert(id),
        false => set.remove(&id),
    };
}

mod known;
mod packets;

#[cfg(test)]
mod tests;
