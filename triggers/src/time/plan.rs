//! Which rule is due next: thousands of rules, one deadline each, in two heaps.
//!
//! A pure function of state, time and randomness: [`Plan::step`] says what to do now, and
//! [`Schedule`](super::Schedule) does it. Intervals are planned by the monotonic clock, cron by the
//! wall clock; only to compare the two is a wall time turned into a monotonic one, and never kept,
//! because the next step may find another wall clock.
//!
//! Whoever is due earliest comes first, and of those due together the lower id. A rule that ran is
//! next due after now, so all others that are due have their turn before it comes again.
//!
//! Rules come and go. One that is gone stays in its heap until it is at the top or many are gone; it is never waited for.

use super::belief::{Belief, ClockNotice};
use super::cron::Cron;
use super::interval::{Interval, IntervalError, SECOND, micros};
use super::rules::{Planned, Rules, grown};
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

/// Names a rule of a schedule: the first 0, each one added the next. Never given twice.
pub type RuleId = usize;

/// A rule was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Which.
    pub rule: RuleId,
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
        /// Which, or which it would have been.
        rule: RuleId,
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
    rules: Rules,
    /// By the monotonic clock, in microseconds.
    intervals: BinaryHeap<Due>,
    /// By the wall clock, in seconds. Empty unless that is believed.
    crons: BinaryHeap<Due>,
    /// Rules of cron that came since the clock was last looked at, and the second at which they came.
    fresh: Vec<(u32, u64)>,
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
        let mut plan = Self {
            rules: Rules::default(),
            intervals: BinaryHeap::new(),
            crons: BinaryHeap::new(),
            fresh: Vec::new(),
            belief: Belief::default(),
            start,
            not_before,
        };
        if rules.len() > RULES_MAX {
            return Err(ScheduleError::TooMany(rules.len()));
        }
        let is_cron = |rule: &&Rule| matches!(rule, Rule::Cron(_));
        let crons = rules.iter().filter(is_cron).count();
        plan.rules.reserve(rules.len());
        plan.intervals.reserve_exact(rules.len() - crons);
        plan.crons.reserve_exact(crons);
        for rule in rules {
            plan.put(rule, start, random)?;
        }
        Ok(plan)
    }

    /// Adds a rule, which begins now.
    pub(super) fn add(&mut self, rule: Rule, now: Moment) -> Result<RuleId, ScheduleError> {
        let is_cron = matches!(rule, Rule::Cron(_));
        let id = self.put(rule, now.mono, now.random)?;
        if is_cron {
            self.fresh.push((id, now.wall.micros / SECOND));
        }
        Ok(id as RuleId)
    }

    fn put(&mut self, rule: Rule, start: u64, random: u64) -> Result<u32, ScheduleError> {
        let id = self.rules.next_id()?;
        let (mut phase, number) = (0, id as RuleId);
        if let Rule::Interval(interval) = &rule {
            interval.check().map_err(|error| ScheduleError::Interval { rule: number, error })?;
            phase = interval.first_phase(start);
            let due = phase.saturating_add(interval.delay(mix(random, number)));
            push(&mut self.intervals, Reverse((due, id)));
        }
        self.rules.push(Planned { id, phase, rule: Some(rule) });
        Ok(id)
    }

    /// Takes a rule away: it comes no more. Says whether there was one.
    pub(super) fn remove(&mut self, id: RuleId) -> bool {
        let is_removed = self.rules.remove(id);
        if self.rules.is_sparse() {
            self.rules.compact();
            for heap in [&mut self.intervals, &mut self.crons] {
                heap.retain(|Reverse((_, id))| self.rules.get(*id).is_some());
                heap.shrink_to(grown(heap.len()));
            }
            self.fresh.retain(|(id, _)| self.rules.get(*id).is_some());
            self.fresh.shrink_to(grown(self.fresh.len()));
        }
        is_removed
    }

    pub(super) fn has_cron(&self) -> bool {
        self.rules.crons() > 0
    }

    pub(super) fn is_waiting_for_clock(&self) -> bool {
        self.has_cron() && !self.belief.is_believed()
    }

    /// What to do now. To be asked again, with the time as it is then, until it says to wait.
    pub(super) fn step(&mut self, now: Moment) -> Step {
        for heap in [&mut self.intervals, &mut self.crons] {
            let is_gone = |due: &Due| self.rules.get(due.0.1).is_none();
            while heap.peek().is_some_and(is_gone) {
                heap.pop();
            }
        }
        // What was due by the last reading has its turn, whatever the clock shows meanwhile.
        let is_due = self.crons.peek().is_some_and(|Reverse((at, _))| *at <= self.belief.until());
        if self.has_cron() && !is_due {
            if let Some(notice) = self.belief.observe(now.wall, now.mono, self.not_before) {
                self.plan_crons(now.wall.micros / SECOND);
                return Step::Notice(notice);
            }
            self.plan_fresh();
        }
        let interval = self.intervals.peek().map(|&Reverse(due)| due);
        let cron = self.crons.peek().map(|&Reverse(due)| due);
        let cron = cron.map(|(at, rule)| (self.belief.monotonic(at), rule));
        let checks = self.has_cron() && self.belief.is_waiting();
        let check = checks.then(|| now.mono.saturating_add(micros(CLOCK_CHECK)));
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
        self.fresh = Vec::new();
        let mut dues = std::mem::take(&mut self.crons).into_vec();
        dues.clear();
        if self.belief.is_believed() {
            dues.reserve_exact(self.rules.crons());
            let next = |(id, cron)| self.belief.next(cron, after).map(|at| Reverse((at, id)));
            dues.extend(self.rules.all_of_cron().filter_map(next));
        }
        self.crons = dues.into();
    }

    /// Plans what came since the last look at the clock, which nobody has set meanwhile.
    fn plan_fresh(&mut self) {
        for (id, after) in std::mem::take(&mut self.fresh) {
            // A clock that is not believed plans nothing; once it is, all of cron is planned.
            let Some(Rule::Cron(cron)) = self.rules.get(id).filter(|_| self.belief.is_believed())
            else {
                continue;
            };
            if let Some(at) = self.belief.next(cron, after) {
                push(&mut self.crons, Reverse((at, id)));
            }
        }
    }

    fn run_interval(&mut self, now: Moment) -> Step {
        let Some(Reverse((due, id))) = self.intervals.pop() else { return Step::Wait(None) };
        let Some((Rule::Interval(interval), phase)) = self.rules.get_with_phase(id) else {
            return Step::Wait(None);
        };
        let (rule, every) = (id as RuleId, micros(interval.every));
        let missed = now.mono.saturating_sub(due) / every;
        let latest = phase.saturating_add(missed * every);
        let next = latest.saturating_add(every);
        *phase = next;
        let delay = interval.delay(mix(now.random, rule));
        push(&mut self.intervals, Reverse((next.saturating_add(delay), id)));
        let scheduled = Scheduled::Elapsed(Duration::from_micros(latest - self.start));
        Step::Tick(Tick { rule, scheduled, missed: u32::try_from(missed).unwrap_or(u32::MAX) })
    }

    fn run_cron(&mut self) -> Step {
        let Some(Reverse((mut at, id))) = self.crons.pop() else { return Step::Wait(None) };
        let Some(Rule::Cron(cron)) = self.rules.get(id) else { return Step::Wait(None) };
        let (wall, mut missed) = (self.belief.until(), 0);
        let mut next = self.belief.next(cron, at);
        while let Some(late) = next.filter(|&next| next <= wall && missed < MISSED_COUNT_MAX) {
            (at, missed) = (late, missed + 1);
            next = self.belief.next(cron, at);
        }
        if next.is_some_and(|next| next <= wall) {
            next = self.belief.next(cron, wall);
        }
        self.crons.extend(next.map(|next| Reverse((next, id))));
        Step::Tick(Tick { rule: id as RuleId, scheduled: Scheduled::Unix(at), missed })
    }
}

/// Puts one in, in a heap that grows by little.
fn push(heap: &mut BinaryHeap<Due>, due: Due) {
    if heap.len() == heap.capacity() {
        heap.reserve_exact(grown(heap.len()) - heap.len());
    }
    heap.push(due);
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
