//! Intervals: again and again after the same time, by the monotonic clock.

use crate::limits::time::{INTERVAL_MAX, INTERVAL_MIN};
use std::time::Duration;

/// Microseconds of a second.
pub(super) const SECOND: u64 = 1_000_000;

/// Again and again. Each run is due at a multiple of `every`, its phase, whatever happened to the
/// one before. Setting the wall clock does not matter, and a sleep of the whole machine does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    /// From one run to the next: 10 ms to ten years.
    pub every: Duration,
    /// When the phases begin.
    pub first: First,
    /// Each run comes up to this much after its phase, at random: less than `every`. It keeps a
    /// thousand timers, or devices, that began together from running together.
    pub jitter: Duration,
}

/// When an interval runs first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// When the schedule begins.
    AtOnce,
    /// One interval later.
    AfterInterval,
}

/// What is wrong with an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IntervalError {
    /// Too short or too long.
    #[error("an interval of {0:?}: allowed is {INTERVAL_MIN:?} to ten years")]
    Every(Duration),
    /// As long as the interval, or longer.
    #[error("a jitter of {jitter:?}: it must be less than the interval, which is {every:?}")]
    Jitter {
        /// As given.
        jitter: Duration,
        /// The interval.
        every: Duration,
    },
}

impl Interval {
    /// Whether it can be kept.
    ///
    /// # Errors
    /// Says what is allowed.
    pub fn check(&self) -> Result<(), IntervalError> {
        let Self { every, jitter, .. } = *self;
        if !(INTERVAL_MIN..=INTERVAL_MAX).contains(&every) {
            return Err(IntervalError::Every(every));
        }
        if jitter >= every { Err(IntervalError::Jitter { jitter, every }) } else { Ok(()) }
    }

    /// The first phase, of a schedule that begins at `start`. All in microseconds.
    pub(super) fn first_phase(&self, start: u64) -> u64 {
        match self.first {
            First::AtOnce => start,
            First::AfterInterval => start.saturating_add(micros(self.every)),
        }
    }

    /// How long after its phase a run comes. `random` is evenly spread over all of `u64`.
    pub(super) fn delay(&self, random: u64) -> u64 {
        let choices = u128::from(micros(self.jitter)) + 1;
        ((u128::from(random) * choices) >> 64) as u64
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn interval(every_ms: u64, jitter_ms: u64) -> Interval {
        let [every, jitter] = [every_ms, jitter_ms].map(Duration::from_millis);
        Interval { every, first: First::AtOnce, jitter }
    }

    #[test]
    fn an_interval_that_cannot_be_kept_is_refused_with_what_is_allowed() {
        let text = |interval: Interval| interval.check().unwrap_err().to_string();
        assert_eq!(text(interval(9, 0)), "an interval of 9ms: allowed is 10ms to ten years");
        assert_eq!(
            text(interval(50, 50)),
            "a jitter of 50ms: it must be less than the interval, which is 50ms"
        );
        let century = Duration::from_hours(100 * 366 * 24);
        assert!(Interval { every: century, ..interval(0, 0) }.check().is_err());
        assert_eq!(interval(10, 9).check(), Ok(()));
    }

    #[test]
    fn the_delay_is_spread_from_nothing_to_all_of_the_jitter() {
        let interval = interval(1_000, 100);
        assert_eq!([0, 1 << 63, u64::MAX].map(|n| interval.delay(n)), [0, 50_000, 100_000]);
        assert_eq!(Interval { jitter: Duration::ZERO, ..interval }.delay(u64::MAX), 0);
    }
}
