//! What one component did since the start.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::engine::outcome::Outcome;

/// What one component did since the start.
#[derive(Debug, Default)]
pub struct ComponentCounters {
    /// Invocations that took their event.
    pub done: AtomicU64,
    /// Invocations that said no.
    pub refused: AtomicU64,
    /// Invocations that failed.
    pub faulted: AtomicU64,
    /// Events that were taken but whose publishes a broker refused.
    pub undelivered: AtomicU64,
    /// Time in invocations, in microseconds.
    pub busy_us: AtomicU64,
}

impl ComponentCounters {
    /// Invocations that ended.
    pub fn runs(&self) -> u64 {
        [&self.done, &self.refused, &self.faulted].iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Counts one ended invocation.
    pub fn count(&self, outcome: &Outcome, took: Duration) {
        let counter = match outcome {
            Outcome::Done => &self.done,
            Outcome::Refused(_) => &self.refused,
            Outcome::Faulted(_) => &self.faulted,
            Outcome::Undelivered(_) => &self.undelivered,
        };
        counter.fetch_add(1, Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(took, Relaxed);
    }
}
