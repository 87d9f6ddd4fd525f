//! Whether the wall clock is believed, and what becomes of cron when somebody sets it.
//!
//! A pure function of state, reading and time. A clock is *set* when what it shows and the monotonic
//! clock drift apart by more than a correction (5 s); less loses and doubles nothing. Then:
//!
//! - **Forward**: a clock that was set is not time that passed. What lies between does not run, not
//!   even once.
//! - **Back**: what ran does not run again. The wall times that this schedule has lived through are
//!   remembered, as stretches that each end where the clock was set, for 24 hours of running; an
//!   occurrence in one of them has had its turn.
//! - **Back by more than 24 hours**: then the clock was wrong before, and what ran by it does not
//!   count. So a clock that showed 2099 and is put right silences nothing, and no clock
//!   keeps cron silent for longer than a day.
//! - **To before the date from which on it is believed**: cron waits, as at the start.
//!
//! The whole machine's sleep looks the same as a clock set forward, and is treated so.

use super::calendar::Utc;
use super::cron::Cron;
use super::interval::{SECOND, micros};
use super::wall::Reading;
use crate::limits::time::{CLOCK_CORRECTION_MAX, LIVED_MAX, STRETCHES_MAX};
use std::fmt;

/// What the operator may want to read about the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockNotice {
    /// Cron waits for a clock that can be believed.
    Waiting {
        /// What it shows, in seconds since 1970.
        shows: u64,
        /// From when on it would be believed.
        not_before: u64,
    },
    /// The clock can be believed; cron runs.
    Believed {
        /// What it shows, in seconds since 1970.
        shows: u64,
    },
    /// The clock was set; cron runs on from what it shows now.
    Set {
        /// What it would show, in seconds since 1970.
        instead_of: u64,
        /// What it shows.
        shows: u64,
    },
}

impl fmt::Display for ClockNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Waiting { shows, not_before } => write!(
                f,
                "cron waits for the clock: it shows {}, and is believed from {} on, or when the \
                 kernel says that it is synchronised (start an NTP client, or set it with date -s)",
                Utc(shows),
                Utc(not_before)
            ),
            Self::Believed { shows } => write!(f, "cron runs: the clock shows {}", Utc(shows)),
            Self::Set { instead_of, shows } => write!(
                f,
                "the clock was set from {} to {}; cron goes on from there",
                Utc(instead_of),
                Utc(shows)
            ),
        }
    }
}

/// What is known about the wall clock.
#[derive(Debug, Default)]
pub(super) struct Belief {
    state: State,
    lived: heapless::Deque<Stretch, STRETCHES_MAX>,
}

#[derive(Debug, Default)]
enum State {
    /// Not looked at yet.
    #[default]
    Unknown,
    Waiting,
    Believed(Run),
}

/// Time that passes by a believed clock.
#[derive(Debug)]
struct Run {
    /// Where it began, in seconds.
    since: u64,
    /// The latest that it showed, in seconds.
    until: u64,
    /// The last reading, in microseconds, and the monotonic clock at it.
    last: (u64, u64),
}

/// Wall time that was lived through: after `since`, up to `until`.
#[derive(Debug)]
struct Stretch {
    since: u64,
    until: u64,
    /// When it ended, by the monotonic clock.
    ended: u64,
}

impl Belief {
    /// Takes a reading at a monotonic time (microseconds). If it answers, all that cron has planned is
    /// void and must be planned anew.
    pub(super) fn observe(
        &mut self,
        reading: Reading,
        now: u64,
        not_before: u64,
    ) -> Option<ClockNotice> {
        let shows = reading.micros / SECOND;
        match &mut self.state {
            State::Waiting if !reading.believable => return None,
            State::Believed(run) if reading.believable => {
                let expected = run.last.0.saturating_add(now.saturating_sub(run.last.1));
                run.last = (reading.micros, now);
                if reading.micros.abs_diff(expected) <= micros(CLOCK_CORRECTION_MAX) {
                    run.until = run.until.max(shows);
                    return None;
                }
                self.begin(shows, (reading.micros, now));
                return Some(ClockNotice::Set { instead_of: expected / SECOND, shows });
            }
            _ => {}
        }
        if reading.believable {
            self.begin(shows, (reading.micros, now));
            return Some(ClockNotice::Believed { shows });
        }
        self.end(now);
        self.state = State::Waiting;
        Some(ClockNotice::Waiting { shows, not_before })
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting)
    }

    pub(super) fn is_believed(&self) -> bool {
        matches!(self.state, State::Believed(_))
    }

    /// The latest second that a believed clock showed: all up to it is due.
    pub(super) fn until(&self) -> u64 {
        if let State::Believed(run) = &self.state { run.until } else { 0 }
    }

    /// When the clock shows this second, by the monotonic clock, if nobody sets it.
    pub(super) fn monotonic(&self, second: u64) -> u64 {
        let State::Believed(run) = &self.state else { return u64::MAX };
        let (wall, mono) = run.last;
        let at = second.saturating_mul(SECOND);
        if at <= wall { mono.saturating_sub(wall - at) } else { mono.saturating_add(at - wall) }
    }

    /// What comes next of an expression, that has not had its turn.
    pub(super) fn next(&self, cron: &Cron, after: u64) -> Option<u64> {
        let mut next = cron.next(after)?;
        // Each stretch is left behind at most once.
        while let Some(until) = self.lived_until(next) {
            next = cron.next(until)?;
        }
        Some(next)
    }

    /// The end of a stretch that counts, with this second in it.
    fn lived_until(&self, second: u64) -> Option<u64> {
        let State::Believed(run) = &self.state else { return None };
        let counts_until = run.since.saturating_add(LIVED_MAX.as_secs());
        let has = |lived: &&Stretch| {
            lived.since < second && second <= lived.until && lived.until <= counts_until
        };
        self.lived.iter().find(has).map(|lived| lived.until)
    }

    fn begin(&mut self, since: u64, last: (u64, u64)) {
        self.end(last.1);
        self.state = State::Believed(Run { since, until: since, last });
    }

    /// Remembers what was lived through, and forgets what ended long ago.
    fn end(&mut self, now: u64) {
        if let State::Believed(Run { since, until, .. }) = self.state {
            if self.lived.is_full() {
                self.lived.pop_front();
            }
            // Cannot fail: there is room now.
            let _ = self.lived.push_back(Stretch { since, until, ended: now });
        }
        let old = |lived: &Stretch| now.saturating_sub(lived.ended) > micros(LIVED_MAX);
        while self.lived.front().is_some_and(old) {
            self.lived.pop_front();
        }
    }
}
