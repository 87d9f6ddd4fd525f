//! How long to wait before the next attempt: full jitter between nothing and a cap that doubles
//! from 1 s to 30 s, and starts again only after a connection that held for 60 s.
//!
//! A pure function of state, input, time and randomness. Full jitter, so that a hundred devices
//! whose broker restarts do not come back in step; the long memory, so that a broker which accepts
//! and then drops us (a packet it cannot take, a second client with our id) is not hammered.

use crate::limits::net::{BACKOFF_FIRST, BACKOFF_MAX, STABLE_AFTER};
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, Instant};

/// What is remembered between attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Backoff {
    /// Attempts since the last stable connection.
    pub(crate) attempts: u32,
    connected: Option<Instant>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Input {
    /// The other side accepted us.
    Connected,
    /// The connection broke, or none came about.
    Lost,
    /// We cut the connection ourselves to have messages sent again, after handling others.
    Recycled,
}

/// The next state, and after a loss the pause. `random` is evenly spread over all of `u64`.
pub(crate) fn step(
    state: Backoff,
    input: Input,
    now: Instant,
    random: u64,
) -> (Backoff, Option<Duration>) {
    if input == Input::Connected {
        return (Backoff { connected: Some(now), ..state }, None);
    }
    let held = state.connected.map(|since| now.saturating_duration_since(since));
    let fresh = input == Input::Recycled || held.is_some_and(|held| held >= STABLE_AFTER);
    let attempts = if fresh { 0 } else { state.attempts };
    let next = Backoff { attempts: attempts.saturating_add(1), connected: None };
    (next, Some(scale(cap(attempts), random)))
}

/// The time by tokio's clock, which is the monotonic clock, and stands still for tests that ask.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Randomness that is good enough to spread devices: the standard library's hash keys.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(0)
}

fn cap(attempts: u32) -> Duration {
    let doubled = BACKOFF_FIRST.saturating_mul(1 << attempts.min(16));
    doubled.min(BACKOFF_MAX)
}

fn scale(cap: Duration, random: u64) -> Duration {
    let millis = (u128::from(random) * cap.as_millis()) >> 64;
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lose(times: u32, mut state: Backoff, now: Instant) -> (Backoff, Duration) {
        let mut pause = Duration::ZERO;
        for _ in 0..times {
            let (next, wait) = step(state, Input::Lost, now, u64::MAX);
            (state, pause) = (next, wait.unwrap_or_default());
        }
        (state, pause)
    }

    fn about(pause: Duration, seconds: u64) -> bool {
        (seconds * 1000 - 1..=seconds * 1000).contains(&(pause.as_millis() as u64))
    }

    #[test]
    fn the_longest_possible_pause_doubles_from_1_to_30_seconds() {
        let now = Instant::now();
        for (losses, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (7, 30), (99, 30)] {
            let (_, pause) = lose(losses, Backoff::default(), now);
            assert!(about(pause, seconds), "{losses} losses: {pause:?}");
        }
    }

    #[test]
    fn the_pause_is_spread_evenly_down_to_nothing() {
        let now = Instant::now();
        let (state, _) = lose(8, Backoff::default(), now);
        let pause = |random| step(state, Input::Lost, now, random).1.unwrap_or_default();
        assert_eq!(pause(0), Duration::ZERO);
        assert!(about(pause(1 << 63), 15));
        assert!(about(pause(1 << 61), 3) || pause(1 << 61) == Duration::from_millis(3750));
    }

    #[test]
    fn a_connection_that_breaks_within_a_minute_does_not_shorten_the_pause() {
        let start = Instant::now();
        let (state, _) = lose(5, Backoff::default(), start);
        let (state, none) = step(state, Input::Connected, start, 0);
        assert_eq!(none, None);
        let (_, pause) = lose(1, state, start + Duration::from_secs(59));
        assert!(about(pause, 30), "{pause:?}");
    }

    #[test]
    fn a_connection_that_held_for_a_minute_starts_the_pauses_over() {
        let start = Instant::now();
        let (state, _) = lose(9, Backoff::default(), start);
        let (state, _) = step(state, Input::Connected, start, 0);
        let (state, pause) = lose(1, state, start + Duration::from_secs(60));
        assert!(about(pause, 1), "{pause:?}");
        assert_eq!(state.attempts, 1);
    }

    #[test]
    fn a_connection_that_was_stable_once_counts_once() {
        let start = Instant::now();
        let (state, _) = step(Backoff::default(), Input::Connected, start, 0);
        let (_, pause) = lose(4, state, start + Duration::from_secs(600));
        assert!(about(pause, 8), "{pause:?}");
    }

    #[test]
    fn cutting_the_connection_ourselves_starts_over() {
        let now = Instant::now();
        let (state, _) = lose(9, Backoff::default(), now);
        let (state, pause) = step(state, Input::Recycled, now, u64::MAX);
        assert!(about(pause.unwrap_or_default(), 1));
        assert_eq!(state.attempts, 1);
    }
}
