//! How long a component rests after it failed. Pure.
//!
//! A failure is a strike; each doubles the rest. A success takes half of the strikes away, and so does time: a
//! component that failed in the morning and is called again at noon starts with a clean sheet.

use std::time::{Duration, Instant};

use crate::limits::dispatch as limits;

/// The strikes of one component.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strikes {
    count: u32,
    /// When the last was counted, or taken away by time.
    since: Option<Instant>,
    rest_until: Option<Instant>,
}

impl Strikes {
    /// A failure at `now`: says how many there are, and until when the component rests.
    pub fn hit(&mut self, now: Instant) -> (u32, Instant) {
        self.fade(now);
        self.count = self.count.saturating_add(1);
        let until = now + rest(self.count);
        (self.since, self.rest_until) = (Some(now), Some(until));
        (self.count, until)
    }

    /// A success at `now`.
    pub fn clear_half(&mut self, now: Instant) {
        self.fade(now);
        self.count /= 2;
    }

    /// When the component may be called again, if that is not now.
    pub fn resting(&self, now: Instant) -> Option<Instant> {
        self.rest_until.filter(|until| *until > now)
    }

    /// One strike less for each period that went by since the last.
    fn fade(&mut self, now: Instant) {
        let Some(since) = self.since else { return };
        let periods = now.saturating_duration_since(since).as_millis() / FADE_MILLIS;
        let periods = u32::try_from(periods).unwrap_or(u32::MAX);
        self.count = self.count.saturating_sub(periods);
        let whole = limits::STRIKE_FADES_AFTER.checked_mul(periods);
        self.since = match (self.count, whole) {
            (0, _) | (_, None) => None,
            (_, Some(whole)) => Some(since + whole),
        };
    }
}

const FADE_MILLIS: u128 = limits::STRIKE_FADES_AFTER.as_millis();

/// The rest after so many strikes.
fn rest(strikes: u32) -> Duration {
    let doublings = strikes.saturating_sub(1).min(16);
    (limits::REST_FIRST * (1 << doublings)).min(limits::REST_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn struck(times: u32, now: Instant) -> Strikes {
        let mut strikes = Strikes::default();
        for _ in 0..times {
            strikes.hit(now);
        }
        strikes
    }

    #[test]
    fn rests_double_and_end_at_the_cap() {
        assert_eq!(rest(1), limits::REST_FIRST);
        assert_eq!(rest(2), limits::REST_FIRST * 2);
        assert_eq!(rest(u32::MAX), limits::REST_MAX);
    }

    #[test]
    fn success_takes_half_of_the_strikes_away() {
        let now = Instant::now();
        let mut strikes = struck(8, now);
        strikes.clear_half(now);
        assert_eq!(strikes.hit(now).0, 5);
    }

    #[test]
    fn time_takes_strikes_away_one_by_one() {
        let now = Instant::now();
        let mut strikes = struck(8, now);
        let later = now + limits::STRIKE_FADES_AFTER * 3;
        assert_eq!(strikes.hit(later).0, 6);
        assert_eq!(strikes.hit(later + limits::STRIKE_FADES_AFTER * 100).0, 1);
    }

    #[test]
    fn a_component_rests_after_a_failure_and_not_for_ever() {
        let now = Instant::now();
        let mut strikes = Strikes::default();
        let (_, until) = strikes.hit(now);
        assert_eq!(strikes.resting(now), Some(until));
        assert_eq!(strikes.resting(until), None);
    }
}
