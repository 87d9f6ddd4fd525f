//! Which subscriptions are wanted, which the broker holds, and what to ask of it next. Pure.
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
use super::options::{Options, Protocol, Subscription};
use super::packet::Outgoing;
use super::topic::filter_covers;
use crate::limits::mqtt as limits;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The subscriptions of a session.
#[derive(Debug)]
pub(super) struct Subscriptions {
    wanted: Vec<Wanted>,
    /// What the broker has granted, as it was asked for.
    held: Vec<Subscription>,
    /// What it may hold and should not.
    surplus: Vec<String>,
    asked: Option<Asked>,
    /// The identifier of the UNSUBSCRIBE under way, and what it names.
    dropping: Option<(u16, Vec<String>)>,
    /// `held` is what an earlier process believed.
    believed: Belief,
    pause: Duration,
    due: Option<Instant>,
    /// A CONNECT has not been answered.
    unanswered: bool,
    /// A change of `held` that has not been told.
    news: bool,
}

#[derive(Debug)]
struct Wanted {
    subscription: Subscription,
    /// The reason code, if the broker refused it last.
    refused: Option<u8>,
    /// It was refused on this connection, so others that it covers are asked for by themselves.
    avoided: bool,
}

#[derive(Debug)]
struct Asked {
    id: u16,
    since: Instant,
    list: Vec<Subscription>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    /// Good enough to leave a SUBSCRIBE out.
    Firm,
    /// Good for an UNSUBSCRIBE only.
    Weak,
}

impl Subscriptions {
    pub(super) fn new(options: &Options) -> Self {
        let wanted = options.subscriptions.iter().map(|subscription| Wanted {
            subscription: subscription.clone(),
            refused: None,
            avoided: false,
        });
        Self {
            wanted: wanted.collect(),
            held: options.kept.clone(),
            surplus: Vec::new(),
            asked: None,
            dropping: None,
            believed: match options.protocol {
                Protocol::V311 => Belief::Firm,
                Protocol::V5 => Belief::Weak,
            },
            pause: limits::RESUBSCRIBE_FIRST,
            due: None,
            unanswered: false,
            news: false,
        }
    }

    /// The session that is present may be another than the one in which `held` was granted.
    pub(super) fn doubt(&mut self) {
        self.believed = Belief::Weak;
    }

    /// A new connection; whether the broker resumed the session decides what it holds.
    pub(super) fn connected(&mut self, session_present: bool) {
        (self.pause, self.due, self.asked) = (limits::RESUBSCRIBE_FIRST, None, None);
        if let Some((_, filters)) = self.dropping.take() {
            self.surplus.extend(filters);
        }
        for wanted in &mut self.wanted {
            wanted.avoided = false;
        }
        if !session_present {
            self.news |= !self.held.is_empty();
            self.held.clear();
            self.surplus.clear();
        } else if self.believed == Belief::Weak {
            let unwanted = |held: &Subscription| !self.is_wanted(&held.filter);
            let unwanted: Vec<String> =
                self.held.iter().filter(|held| unwanted(held)).map(|s| s.filter.clone()).collect();
            self.surplus.extend(unwanted);
            self.held.clear();
        }
        self.believed = Belief::Firm;
    }

    /// The next packet to bring the broker nearer to what is wanted.
    pub(super) fn next(&mut self, now: Instant, mut id: impl FnMut() -> u16) -> Option<Outgoing> {
        if self.is_pending() {
            return None;
        }
        let missing = self.missing(now);
        if !missing.is_empty() {
            let id = id();
            self.asked = Some(Asked { id, since: now, list: missing.clone() });
            return Some(Outgoing::Subscribe { id, filters: missing });
        }
        self.part();
        let most = self.surplus.len().min(limits::SUBSCRIPTIONS_MAX);
        let filters: Vec<String> = self.surplus.drain(..most).collect();
        if filters.is_empty() {
            return None;
        }
        let id = id();
        self.dropping = Some((id, filters.clone()));
        Some(Outgoing::Unsubscribe { id, filters })
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
        self.news = true;
        if notices.iter().any(|notice| matches!(notice, Notice::SubscriptionRefused { .. })) {
            self.due = Some(now + self.pause);
            self.pause = (self.pause * 2).min(limits::RESUBSCRIBE_MAX);
        }
        Some(notices)
    }

    /// The broker's answer to UNSUBSCRIBE. Says whether it is one.
    pub(super) fn dropped(&mut self, id: u16) -> bool {
        self.dropping.take_if(|(under_way, _)| *under_way == id).is_some()
    }

    /// When the SUBSCRIBE or UNSUBSCRIBE under way was sent.
    pub(super) fn asked_since(&self) -> Option<Instant> {
        self.asked.as_ref().map(|asked| asked.since)
    }

    /// When something is to be asked again.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Whether an identifier is taken by what is under way.
    pub(super) fn uses(&self, id: u16) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.id == id)
            || self.dropping.as_ref().is_some_and(|(under_way, _)| *under_way == id)
    }

    /// Whether an answer is to come.
    pub(super) fn is_pending(&self) -> bool {
        self.asked.is_some() || self.dropping.is_some()
    }

    /// Whether everything that is wanted has been answered, with yes or no.
    pub(super) fn is_settled(&self) -> bool {
        self.asked.is_none() && self.target().iter().all(|one| self.held.contains(one))
    }

    /// What the broker holds, if that has changed since the last call. Nothing, as long as a CONNECT is not answered:
    /// it may have made a new session, and a later process must not take that for the old one.
    pub(super) fn news(&mut self) -> Option<Arc<[Subscription]>> {
        let told = || if self.unanswered { Vec::new() } else { self.held.clone() };
        self.news.then(told).map(|list| {
            self.news = false;
            list.into()
        })
    }

    /// A CONNECT was given out, or was answered.
    pub(super) fn set_unanswered(&mut self, unanswered: bool) {
        let changed = std::mem::replace(&mut self.unanswered, unanswered) != unanswered;
        self.news |= changed && !self.held.is_empty();
    }

    /// What the broker refuses at present.
    pub(super) fn refused(&self) -> Arc<[RefusedSubscription]> {
        let refused = self.wanted.iter().filter_map(|wanted| {
            let filter = wanted.subscription.filter.clone();
            wanted.refused.map(|code| RefusedSubscription { filter, code })
        });
        refused.collect()
    }

    /// What is not held: of the target, and if it is time to ask again, of what was refused.
    fn missing(&mut self, now: Instant) -> Vec<Subscription> {
        let held = &self.held;
        let mut missing = self.target();
        missing.retain(|one| !held.contains(one));
        if self.due.take_if(|due| *due <= now).is_some() {
            let again = self.wanted.iter().filter(|wanted| wanted.avoided);
            missing.extend(again.map(|wanted| wanted.subscription.clone()));
        }
        missing
    }

    /// Takes what is held and not wanted out of what is held: from here on nobody may rely on it.
    fn part(&mut self) {
        let target = self.target();
        let wanted = |held: &Subscription| target.iter().any(|one| one.filter == held.filter);
        let (keep, surplus): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.held).into_iter().partition(wanted);
        self.held = keep;
        self.news |= !surplus.is_empty();
        self.surplus.extend(surplus.into_iter().map(|one| one.filter));
    }

    /// The fewest subscriptions that take everything that is wanted and not refused.
    fn target(&self) -> Vec<Subscription> {
        let granted = self.wanted.iter().filter(|wanted| !wanted.avoided);
        fewest(granted.map(|wanted| &wanted.subscription))
    }

    fn is_wanted(&self, filter: &str) -> bool {
        self.wanted.iter().any(|wanted| wanted.subscription.filter == filter)
    }

    /// Takes note of one answer.
    fn note(&mut self, subscription: Subscription, refused: Option<u8>) -> Option<Notice> {
        let filter = subscription.filter.clone();
        self.held.retain(|held| held.filter != filter);
        self.surplus.retain(|surplus| *surplus != filter);
        if refused.is_none() {
            self.held.push(subscription);
        }
        let mut before = None;
        for wanted in self.wanted.iter_mut().filter(|w| w.subscription.filter == filter) {
            before = wanted.refused;
            (wanted.refused, wanted.avoided) = (refused, refused.is_some());
        }
        match (before, refused) {
            (_, Some(code)) => Some(Notice::SubscriptionRefused { filter, code }),
            (Some(_), None) => Some(Notice::SubscriptionGranted { filter }),
            (None, None) => None,
        }
    }
}

/// Leaves out what another covers; the other gets the higher QoS.
fn fewest<'a>(all: impl Iterator<Item = &'a Subscription>) -> Vec<Subscription> {
    let mut fewest: Vec<Subscription> = Vec::new();
    for one in all {
        let mut one = one.clone();
        if let Some(wide) = fewest.iter_mut().find(|wide| filter_covers(&wide.filter, &one.filter))
        {
            wide.qos = wide.qos.max(one.qos);
            continue;
        }
        for narrow in fewest.extract_if(.., |other| filter_covers(&one.filter, &other.filter)) {
            one.qos = one.qos.max(narrow.qos);
        }
        fewest.push(one);
    }
    fewest
}

#[cfg(test)]
mod tests;
