//! Which subscriptions are granted, which are refused, and when to ask again. Pure.
//!
//! A refusal is an alarm, not the end: the other subscriptions work, and the operator may yet give
//! the permission. So it is reported, and asked again after 1, 2, 4 … 30 minutes.

use super::notice::{Notice, RefusedSubscription};
use super::options::Subscription;
use crate::limits::mqtt as limits;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The subscriptions of a session.
#[derive(Debug)]
pub(super) struct Subscriptions {
    list: Vec<Subscription>,
    /// For each of the list, the reason code if the broker refused it last.
    refused: Vec<Option<u8>>,
    /// Places in the list that the SUBSCRIBE under way asks for.
    asked: Vec<usize>,
    pause: Duration,
    due: Option<Instant>,
}

impl Subscriptions {
    pub(super) fn new(list: Vec<Subscription>) -> Self {
        let refused = vec![None; list.len()];
        Self { list, refused, asked: Vec::new(), pause: limits::RESUBSCRIBE_FIRST, due: None }
    }

    /// What to subscribe to on a new connection.
    pub(super) fn ask_all(&mut self) -> Vec<&Subscription> {
        (self.pause, self.due) = (limits::RESUBSCRIBE_FIRST, None);
        self.asked = (0..self.list.len()).collect();
        self.asking()
    }

    /// What to try again.
    pub(super) fn ask_refused(&mut self) -> Vec<&Subscription> {
        self.due = None;
        self.asked = (0..self.list.len()).filter(|&at| self.refused[at].is_some()).collect();
        self.asking()
    }

    /// The broker's answer, in the order asked. Says what has changed.
    pub(super) fn answered(&mut self, codes: &[Option<u8>], now: Instant) -> Vec<Notice> {
        let mut notices = Vec::new();
        for (answer, at) in std::mem::take(&mut self.asked).into_iter().enumerate() {
            // An answer that is missing is none that we may rely on.
            let code = codes.get(answer).copied().unwrap_or(Some(0x80));
            let filter = self.list[at].filter.clone();
            match (self.refused[at], code) {
                (_, Some(code)) => notices.push(Notice::SubscriptionRefused { filter, code }),
                (Some(_), None) => notices.push(Notice::SubscriptionGranted { filter }),
                (None, None) => {}
            }
            self.refused[at] = code;
        }
        if self.refused.iter().any(Option::is_some) {
            self.due = Some(now + self.pause);
            self.pause = (self.pause * 2).min(limits::RESUBSCRIBE_MAX);
        }
        notices
    }

    /// Whether it is time to ask again.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    /// What the broker refuses at present.
    pub(super) fn refused(&self) -> Arc<[RefusedSubscription]> {
        let refused = self.list.iter().zip(&self.refused).filter_map(|(subscription, code)| {
            let filter = subscription.filter.clone();
            code.map(|code| RefusedSubscription { filter, code })
        });
        refused.collect()
    }

    fn asking(&self) -> Vec<&Subscription> {
        self.asked.iter().map(|&at| &self.list[at]).collect()
    }
}
