//! When a session with another broker is closed, decided from what is known of it. No I/O, and time is
//! an argument.

use std::time::Duration;

use crate::limits::host::{BROKER_AWAY_MAX, BROKER_IDLE_MAX, BROKER_OPEN_TIMEOUT};

/// What is known of a session at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// A guest has it open, or something that was published is not acknowledged.
    pub(super) held: bool,
    /// For how long it is, or is not, connected.
    pub(super) link: Link,
    /// Since somebody held it last.
    pub(super) unused_for: Duration,
}

/// The connection, and for how long it is so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    Down(Duration),
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing before so long.
    KeepFor(Duration),
    /// Nobody needs it.
    CloseUnused,
    /// It is needed, but its broker does not come back.
    GiveUp,
}

pub(super) fn step(facts: Facts) -> Verdict {
    let Facts { held, link, unused_for } = facts;
    let (passed, most, then) = match (held, link) {
        // What a guest opened and left while it was connecting may serve the next who asks.
        (false, Link::Down(_)) => (unused_for, BROKER_OPEN_TIMEOUT, Verdict::CloseUnused),
        (false, Link::Up) => (unused_for, BROKER_IDLE_MAX, Verdict::CloseUnused),
        (true, Link::Down(down_for)) => (down_for, BROKER_AWAY_MAX, Verdict::GiveUp),
        (true, Link::Up) => return Verdict::KeepFor(BROKER_IDLE_MAX),
    };
    match most.checked_sub(passed) {
        None | Some(Duration::ZERO) => then,
        Some(left) => Verdict::KeepFor(left),
    }
}

/// Which of the sessions gives way to a new one: of those that nobody holds, the longest unused.
pub(super) fn gives_way<K>(sessions: impl Iterator<Item = (K, Facts)>) -> Option<K> {
    let unused = sessions.filter(|(_, facts)| !facts.held);
    unused.max_by_key(|(_, facts)| facts.unused_for).map(|(key, _)| key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn facts(held: bool, link: Link, unused_for: Duration) -> Facts {
        Facts { held, link, unused_for }
    }

    #[test]
    fn a_session_is_closed_when_nobody_needs_it_and_given_up_when_its_broker_stays_away() {
        use Verdict::*;
        for (facts, expected) in [
            (facts(true, Link::Up, Duration::ZERO), KeepFor(BROKER_IDLE_MAX)),
            (facts(true, Link::Up, BROKER_IDLE_MAX * 9), KeepFor(BROKER_IDLE_MAX)),
            (facts(false, Link::Up, BROKER_IDLE_MAX - SECOND), KeepFor(SECOND)),
            (facts(false, Link::Up, BROKER_IDLE_MAX), CloseUnused),
            (facts(false, Link::Down(SECOND), BROKER_OPEN_TIMEOUT - SECOND), KeepFor(SECOND)),
            (facts(false, Link::Down(SECOND), BROKER_OPEN_TIMEOUT), CloseUnused),
            (facts(true, Link::Down(BROKER_AWAY_MAX - SECOND), Duration::ZERO), KeepFor(SECOND)),
            (facts(true, Link::Down(BROKER_AWAY_MAX), Duration::ZERO), GiveUp),
            (facts(true, Link::Down(BROKER_AWAY_MAX * 2), Duration::ZERO), GiveUp),
        ] {
            assert_eq!(step(facts), expected, "{facts:?}");
        }
    }

    #[test]
    fn the_longest_unused_gives_way_and_none_that_is_held() {
        let session = |held, seconds| facts(held, Link::Up, SECOND * seconds);
        let sessions = [session(false, 3), session(true, 99), session(false, 7), session(false, 5)];
        assert_eq!(gives_way(sessions.into_iter().enumerate()), Some(2));
        assert_eq!(gives_way([session(true, 1), session(true, 2)].into_iter().enumerate()), None);
    }
}
