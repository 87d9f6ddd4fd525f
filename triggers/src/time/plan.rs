//! Which rule is due next: thousands of rules, one deadline each, in two heaps.
//!
//! A pure function of state, time and randomness: [`Plan::step`] says what to do now, and
//! [`Schedule`](super::Schedule) does it. Intervals are planned by the monotonic clock, cron by the
//! wall clock; only to compare the two is a wall time turned into a monotonic one, and never kept,
//! because the next step may find another wall clock.
//!
//! Whoever is due earliest comes first, and of those due together the lower index. A rule that ran is
//! next due after now, so all others that are due have their turn before it comes again.

use super::belief::{Belief, ClockNotice};
use super::cron::Cron;
use super::interval::{Interval, IntervalError, SECOND, micros};
use super::wall::Reading;
use crate::limits::time::{CLOCK_CHECK, MISSED_COUNT_MAX, RULES_MAX};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// When something runs.
#[derive(Debug, Clone)]
pub enum Rule {
    /// Again and again.
    Interval(Interval),
    /// At times of the calendar.
    Cron(Cron),
}

/// A rule was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Its index.
    pub rule: usize,
    /// What it was due for. If it is late, the latest that it missed.
    pub scheduled: Scheduled,
    /// How many more it missed since the last, because nobody asked in time. They do not come.
    pub missed: u32,
}

/// When a tick was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheduled {
    /// Of an interval: since the schedule began, without the jitter.
    Elapsed(Duration),
    /// Of cron: seconds since 1970.
    Unix(u64),
}

/// Why there is no such schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// An interval that cannot be kept.
    #[error("rule {rule}: {error}")]
    Interval {
        /// Its index.
        rule: usize,
        /// What is wrong.
        error: IntervalError,
    },
    /// More rules than one schedule holds.
    #[error("{0} rules: at most {RULES_MAX} are allowed in one schedule")]
    TooMany(usize),
}

/// Now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// The monotonic clock, in microseconds.
    pub(super) mono: u64,
    /// The wall clock.
    pub(super) wall: Reading,
    /// Evenly spread over all of `u64`, and another one each time.
    pub(super) random: u64,
}

/// What to do now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Notice(ClockNotice),
    Tick(Tick),
    /// Nothing, until the monotonic clock shows this, or for ever; or until the wall clock is set.
    Wait(Option<u64>),
}

/// When a rule is due, by the heap's own clock.
type Due = Reverse<(u64, u32)>;

#[derive(Debug)]
pub(super) struct Plan {
    rules: Vec<Rule>,
    /// For each interval, the phase that it is due for.
    phases: Vec<u64>,
    /// By the monotonic clock, in microseconds.
    intervals: BinaryHeap<Due>,
    /// By the wall clock, in seconds. Empty unless that is believed.
    crons: BinaryHeap<Due>,
    belief: Belief,
    start: u64,
    not_before: u64,
}

impl Plan {
    pub(super) fn new(
        rules: Vec<Rule>,
        not_before: u64,
        start: u64,
        random: u64,
    ) -> Result<Self, ScheduleError> {
        if rules.len() > RULES_MAX {
            return Err(ScheduleError::TooMany(rules.len()));
        }
        let (mut phases, mut intervals) = (vec![0; rules.len()], Vec::new());
        for (index, rule) in rules.iter().enumerate() {
            let Rule::Interval(interval) = rule else { continue };
            interval.check().map_err(|error| ScheduleError::Interval { rule: index, error })?;
            phases[index] = interval.first_phase(start);
            let delay = interval.delay(mix(random, index));
            intervals.push(Reverse((phases[index].saturating_add(delay), index as u32)));
        }
        intervals.shrink_to_fit();
        let crons = BinaryHeap::with_capacity(rules.len() - intervals.len());
        let (intervals, belief) = (intervals.into(), Belief::default());
        Ok(Self { rules, phases, intervals, crons, belief, start, not_before })
    }

    pub(super) fn has_cron(&self) -> bool {
        self.rules.len() > self.intervals.len()
    }

    pub(super) fn is_waiting_for_clock(&self) -> bool {
        self.has_cron() && !self.belief.is_believed()
    }

    /// What to do now. To be asked again, with the time as it is then, until it says to wait.
    pub(super) fn step(&mut self, now: Moment) -> Step {
        // What was due by the last reading has its turn, whatever the clock shows meanwhile.
        let cron = self.crons.peek().map(|&Reverse(due)| due);
        let is_due = cron.is_some_and(|(at, _)| at <= self.belief.until());
        if self.has_cron()
            && !is_due
            && let Some(notice) = self.belief.observe(now.wall, now.mono, self.not_before)
        {
            self.plan_crons(now.wall.micros / SECOND);
            return Step::Notice(notice);
        }
        let interval = self.intervals.peek().map(|&Reverse(due)| due);
        let cron = cron.map(|(at, rule)| (self.belief.monotonic(at), rule));
        let check = self.belief.is_waiting().then(|| now.mono.saturating_add(micros(CLOCK_CHECK)));
        match (interval, cron) {
            (Some(due), cron) if due.0 <= now.mono && cron.is_none_or(|cron| due < cron) => {
                self.run_interval(now)
            }
            (_, Some(due)) if due.0 <= now.mono => self.run_cron(),
            _ => {
                let dues = [interval, cron].into_iter().flatten().map(|due| due.0);
                Step::Wait(dues.chain(check).min())
            }
        }
    }

    /// Plans all of cron from a wall time on, or not at all while the clock is not believed.
    fn plan_crons(&mut self, after: u64) {
        let mut dues = std::mem::take(&mut self.crons).into_vec();
        dues.clear();
        if self.belief.is_believed() {
            for (index, rule) in self.rules.iter().enumerate() {
                let Rule::Cron(cron) = rule else { continue };
                let next = self.belief.next(cron, after);
                dues.extend(next.map(|at| Reverse((at, index as u32))));
            }
        }
        self.crons = dues.into();
    }

    fn run_interval(&mut self, now: Moment) -> Step {
        let Some(Reverse((due, index))) = self.intervals.pop() else { return Step::Wait(None) };
        let rule = index as usize;
        let Rule::Interval(interval) = &self.rules[rule] else { return Step::Wait(None) };
        let every = micros(interval.every);
        let missed = now.mono.saturating_sub(due) / every;
        let latest = self.phases[rule].saturating_add(missed * every);
        let next = latest.saturating_add(every);
        self.phases[rule] = next;
        let delay = interval.delay(mix(now.random, rule));
        self.intervals.push(Reverse((next.saturating_add(delay), index)));
        let scheduled = Scheduled::Elapsed(Duration::from_micros(latest - self.start));
        Step::Tick(Tick { rule, scheduled, missed: u32::try_from(missed).unwrap_or(u32::MAX) })
    }

    fn run_cron(&mut self) -> Step {
        let Some(Reverse((mut at, index))) = self.crons.pop() else { return Step::Wait(None) };
        let rule = index as usize;
        let Rule::Cron(cron) = &self.rules[rule] else { return Step::Wait(None) };
        let (wall, mut missed) = (self.belief.until(), 0);
        let mut next = self.belief.next(cron, at);
        while let Some(late) = next.filter(|&next| next <= wall && missed < MISSED_COUNT_MAX) {
            (at, missed) = (late, missed + 1);
            next = self.belief.next(cron, at);
        }
        if next.is_some_and(|next| next <= wall) {
            next = self.belief.next(cron, wall);
        }
        self.crons.extend(next.map(|next| Reverse((next, index))));
        Step::Tick(Tick { rule, scheduled: Scheduled::Unix(at), missed })
    }
}

/// Another random number for each rule of a moment (the finish of splitmix64).
fn mix(random: u64, rule: usize) -> u64 {
    let mut mixed = random ^ (rule as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
