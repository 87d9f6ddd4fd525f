//! The plan under a hand-made time: stalls, clocks that are set, sizes and order.

use super::*;
use crate::time::{First, Zone};

/// 2026-06-01T12:00:00Z, a Monday.
const NOON: u64 = 1_780_315_200;
const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// When these clocks are believed: 2026-01-01.
const NOT_BEFORE: u64 = 1_767_225_600;

fn cron(expression: &str) -> Rule {
    Rule::Cron(Cron::parse(expression, &Zone::utc(), 0).unwrap())
}

fn every(every_ms: u64, first: First) -> Rule {
    let every = Duration::from_millis(every_ms);
    Rule::Interval(Interval { every, first, jitter: Duration::ZERO })
}

/// A plan, and the clocks of the machine that it is on.
struct World {
    plan: Plan,
    mono: u64,
    wall: u64,
    waits: u32,
    notices: Vec<ClockNotice>,
}

impl World {
    fn new(rules: Vec<Rule>, wall_seconds: u64) -> Self {
        let mono = 5 * SECOND;
        let plan = Plan::new(rules, NOT_BEFORE, mono, 7).unwrap();
        // In the middle of a second, as clocks are.
        let wall = wall_seconds * SECOND + SECOND / 2;
        Self { plan, mono, wall, waits: 0, notices: Vec::new() }
    }

    fn moment(&self) -> Moment {
        let believable = self.wall / SECOND >= NOT_BEFORE;
        Moment {
            mono: self.mono,
            wall: Reading { micros: self.wall, believable },
            random: self.mono,
        }
    }

    /// Lets time pass, without anybody who asks.
    fn stall(&mut self, micros: u64) {
        self.mono += micros;
        self.wall += micros;
    }

    /// All that is due by now.
    fn due(&mut self) -> Vec<Tick> {
        let mut ticks = Vec::new();
        loop {
            match self.plan.step(self.moment()) {
                Step::Tick(tick) => ticks.push(tick),
                Step::Notice(notice) => self.notices.push(notice),
                Step::Wait(_) => return ticks,
            }
        }
    }

    /// Lets time pass, with somebody who asks as soon as the plan says.
    fn run(&mut self, seconds: u64) -> Vec<Tick> {
        let end = self.mono + seconds * SECOND;
        let mut ticks = Vec::new();
        loop {
            match self.plan.step(self.moment()) {
                Step::Tick(tick) => ticks.push(tick),
                Step::Notice(notice) => self.notices.push(notice),
                Step::Wait(until) => {
                    let until = until.unwrap_or(end).min(end);
                    assert!(until > self.mono || until == end, "a wait for nothing");
                    self.stall(until - self.mono);
                    self.waits += 1;
                    if self.mono == end {
                        ticks.extend(self.due());
                        return ticks;
                    }
                }
            }
        }
    }

    /// As when somebody sets the clock, which wakes the schedule.
    fn set(&mut self, wall_seconds: u64) -> Vec<Tick> {
        self.wall = wall_seconds * SECOND + SECOND / 2;
        self.due()
    }
}

fn unix(ticks: &[Tick]) -> Vec<u64> {
    let unix = |tick: &Tick| match tick.scheduled {
        Scheduled::Unix(at) => at,
        Scheduled::Elapsed(_) => panic!("{tick:?} is none of cron's"),
    };
    ticks.iter().map(unix).collect()
}

fn tick(rule: usize, elapsed_ms: u64, missed: u32) -> Tick {
    Tick { rule, scheduled: Scheduled::Elapsed(Duration::from_millis(elapsed_ms)), missed }
}

#[test]
fn five_thousand_rules_take_less_than_a_mebibyte() {
    let count = 5_000;
    let rules: Vec<_> = (0..count)
        .map(|n| if n % 2 == 0 { every(1_000 + n, First::AtOnce) } else { cron("0 0 * * * *") })
        .collect();
    let mut world = World::new(rules, NOON);
    world.run(HOUR);
    let bytes = bytes(&world.plan);
    assert!(bytes < 1024 * 1024 && bytes / count as usize <= 128, "{bytes} bytes");
    // And as many that came one by one.
    let mut world = World::new(Vec::new(), NOON);
    for n in 0..count {
        let rule = if n % 2 == 0 { every(1_000 + n, First::AtOnce) } else { cron("0 0 * * * *") };
        world.plan.add(rule, world.moment()).unwrap();
    }
    world.run(HOUR);
    let bytes = self::bytes(&world.plan);
    assert!(bytes / count as usize <= 128, "{bytes} bytes");
    for id in 0..count as usize {
        assert!(world.plan.remove(id));
    }
    let bytes = self::bytes(&world.plan);
    assert!(bytes < 16 * 1024, "{bytes} bytes for none");
}

fn bytes(plan: &Plan) -> usize {
    let dues = plan.intervals.capacity() + plan.crons.capacity();
    let fresh = plan.fresh.capacity() * size_of::<(u32, u64)>();
    size_of::<Plan>() + plan.rules.bytes() + dues * size_of::<Due>() + fresh
}

#[test]
fn rules_that_cannot_be_kept_are_refused_by_their_index() {
    let refused = |rules| Plan::new(rules, 0, 0, 0).unwrap_err().to_string();
    assert_eq!(
        refused(vec![cron("@daily"), every(1, First::AtOnce)]),
        "rule 1: an interval of 1ms: allowed is 10ms to ten years"
    );
    assert_eq!(
        refused(vec![every(10, First::AtOnce); RULES_MAX + 1]),
        "16385 rules: at most 16384 are allowed in one schedule"
    );
}

#[test]
fn rules_that_are_due_together_come_in_the_order_of_their_index() {
    let rules = (0..300).map(|n| match n % 3 {
        0 => cron("*/10 * * * * *"),
        1 => every(10_000, First::AfterInterval),
        _ => every(5_000, First::AfterInterval),
    });
    let mut world = World::new(rules.collect(), NOON);
    // So that the seconds of both clocks fall together.
    world.wall = NOON * SECOND;
    for _ in 0..5 {
        let ticks = world.run(10);
        let together: Vec<_> = ticks.iter().map(|tick| tick.rule).skip(100).collect();
        assert_eq!(together, (0..300).collect::<Vec<_>>());
    }
}

#[test]
fn each_rule_that_is_due_has_its_turn_before_one_comes_again() {
    // Handling one takes longer than the fast rules' interval.
    let mut world = World::new(vec![every(10, First::AtOnce); 50], NOON);
    let mut turns = Vec::new();
    for _ in 0..500 {
        let Step::Tick(tick) = world.plan.step(world.moment()) else {
            panic!("all are always due")
        };
        turns.push(tick.rule);
        world.stall(20_000);
    }
    let expected = (0..500).map(|n| n % 50);
    assert_eq!(turns, expected.collect::<Vec<_>>());
}

#[test]
fn an_interval_after_a_stall_comes_once_says_how_many_were_missed_and_keeps_its_phase() {
    let mut world = World::new(vec![every(1_000, First::AtOnce)], NOON);
    assert_eq!(world.due(), [tick(0, 0, 0)]);
    world.stall(7_400_000);
    assert_eq!(world.due(), [tick(0, 7_000, 6)]);
    assert_eq!(world.run(2), [tick(0, 8_000, 0), tick(0, 9_000, 0)]);
    world.stall(365 * DAY * SECOND);
    assert_eq!(world.due().len(), 1);
}

#[test]
fn jitter_stays_within_its_bounds_does_not_add_up_and_is_not_always_the_same() {
    let interval = |first| {
        let [every, jitter] = [60, 20].map(Duration::from_secs);
        Rule::Interval(Interval { every, first, jitter })
    };
    let mut world = World::new(vec![interval(First::AtOnce); 100], NOON);
    let start = world.mono;
    let mut delays = std::collections::HashSet::new();
    let mut runs = [0_u64; 100];
    while world.mono < start + HOUR * SECOND {
        let Step::Wait(Some(until)) = world.plan.step(world.moment()) else { continue };
        world.stall(until - world.mono);
        let Step::Tick(tick) = world.plan.step(world.moment()) else { continue };
        let phase = start + runs[tick.rule] * 60 * SECOND;
        assert!((phase..=phase + 20 * SECOND).contains(&world.mono));
        delays.insert(world.mono - phase);
        runs[tick.rule] += 1;
    }
    assert!(runs.iter().all(|&runs| (60..=61).contains(&runs)), "{runs:?}");
    assert!(delays.len() > 1_000, "{} different delays", delays.len());
}

#[test]
fn cron_runs_at_its_seconds_and_sleeps_between_them() {
    let mut world = World::new(vec![cron("0 0 * * * *")], NOON);
    let ticks = world.run(DAY);
    assert_eq!(unix(&ticks), (1..=24).map(|hour| NOON + hour * HOUR).collect::<Vec<_>>());
    assert!(ticks.iter().all(|tick| tick.missed == 0));
    assert_eq!(world.waits, 25);
    assert_eq!(world.notices, [ClockNotice::Believed { shows: NOON }]);
}

#[test]
fn cron_after_a_stall_comes_once_and_says_how_many_were_missed() {
    let mut world = World::new(vec![cron("* * * * * *"), cron("0 0 0 * * *")], NOON);
    world.run(10);
    world.stall(100 * SECOND);
    let ticks = world.due();
    assert_eq!(ticks, [Tick { rule: 0, scheduled: Scheduled::Unix(NOON + 110), missed: 99 }]);
    assert_eq!(unix(&world.run(2)), [NOON + 111, NOON + 112]);
    world.stall(YEAR * SECOND);
    let ticks = world.due();
    assert_eq!(ticks.iter().map(|tick| tick.missed).collect::<Vec<_>>(), [MISSED_COUNT_MAX, 364]);
    assert_eq!(unix(&world.run(1)), [NOON + YEAR + 113]);
}

#[test]
fn cron_waits_for_a_believable_clock_looks_every_half_minute_and_intervals_do_not_wait() {
    let rules = vec![cron("* * * * * *"), every(3_600_000, First::AfterInterval)];
    let mut world = World::new(rules, 1_000);
    assert!(world.plan.is_waiting_for_clock());
    assert_eq!(world.run(HOUR), [tick(1, 3_600_000, 0)]);
    assert!(world.waits <= 121, "{} wake-ups in an hour", world.waits);
    assert_eq!(world.notices, [ClockNotice::Waiting { shows: 1_000, not_before: NOT_BEFORE }]);
    assert_eq!(world.set(NOON), []);
    assert!(!world.plan.is_waiting_for_clock());
    assert_eq!(world.notices[1..], [ClockNotice::Believed { shows: NOON }]);
    assert_eq!(unix(&world.run(2)), [NOON + 1, NOON + 2]);
}

#[test]
fn without_cron_nobody_cares_for_the_clock() {
    let mut world = World::new(vec![every(HOUR * 1_000, First::AfterInterval)], 0);
    assert!(!world.plan.is_waiting_for_clock());
    world.run(DAY);
    assert_eq!((world.waits, &*world.notices), (24, &[][..]));
}

#[test]
fn a_clock_set_a_year_forward_runs_nothing_of_that_year() {
    let rules = ["* * * * * *", "0 0 * * * *", "0 0 0 1 * *"].map(cron);
    let mut world = World::new(rules.into(), NOON);
    world.run(60);
    assert_eq!(world.set(NOON + YEAR), []);
    assert_eq!(
        world.notices[1..],
        [ClockNotice::Set { instead_of: NOON + 60, shows: NOON + YEAR }]
    );
    let ticks = world.run(HOUR);
    assert_eq!(ticks.len() as u64, HOUR + 1);
    assert_eq!(unix(&ticks)[0], NOON + YEAR + 1);
}

#[test]
fn a_clock_set_a_year_forward_and_back_runs_nothing_twice_and_nothing_is_lost_after() {
    for back_by in [0, 30, 7 * 60] {
        let rules = ["*/10 * * * * *", "0 */5 * * * *", "0 0 * * * *"].map(cron);
        let mut world = World::new(rules.into(), NOON);
        let mut ticks = world.run(2 * HOUR);
        ticks.extend(world.set(NOON + YEAR));
        ticks.extend(world.run(600));
        // Back to what it would show, or a little less.
        ticks.extend(world.set(NOON + 2 * HOUR + 600 - back_by));
        ticks.extend(world.run(HOUR));
        ticks.extend(world.set(NOON + YEAR));
        ticks.extend(world.run(600));
        let mut seen = std::collections::HashSet::new();
        assert!(unix(&ticks).iter().zip(&ticks).all(|(at, tick)| seen.insert((*at, tick.rule))));
        let first: Vec<_> = (1..=2 * HOUR / 10).map(|n| NOON + n * 10).collect();
        assert!(first.iter().all(|&at| seen.contains(&(at, 0))));
        let back: Vec<_> = (61..=2 * HOUR / 10).map(|n| NOON + 600 + n * 10).collect();
        assert!(back.iter().rev().take(300).all(|&at| !seen.contains(&(at + 2 * HOUR, 0))));
        let after = NOON + 2 * HOUR + 600;
        assert!((1..=300).all(|n| seen.contains(&(after + n * 10, 0))), "{back_by}");
    }
}

#[test]
fn a_clock_set_back_by_an_hour_is_silent_for_what_ran_and_no_longer() {
    let mut world = World::new(vec![cron("0 */10 * * * *")], NOON);
    assert_eq!(world.run(2 * HOUR).len(), 12);
    assert_eq!(world.set(NOON + HOUR), []);
    assert_eq!(unix(&world.run(HOUR + 600)), [NOON + 2 * HOUR + 600]);
}

#[test]
fn a_clock_that_was_wrong_by_decades_silences_nothing_when_it_is_put_right() {
    let far = 4_070_908_800; // 2099
    let mut world = World::new(vec![cron("0 */10 * * * *"), cron("0 0 0 * * *")], far);
    assert_eq!(world.run(2 * HOUR).len(), 12);
    assert_eq!(world.set(NOON), []);
    assert_eq!(unix(&world.run(HOUR)), (1..=6).map(|n| NOON + n * 600).collect::<Vec<_>>());
    // And by months: what a monthly rule ran by the wrong clock does not count either.
    let mut world = World::new(vec![cron("0 0 0 1 * *")], NOON + 30 * DAY - 14 * HOUR);
    let july = world.run(4 * HOUR);
    assert_eq!(july.len(), 1);
    world.set(NOON);
    assert_eq!(unix(&world.run(30 * DAY)), unix(&july));
}

#[test]
fn no_clock_silences_cron_for_longer_than_a_day() {
    for back in (1..=40).map(|n| n * HOUR) {
        let mut world = World::new(vec![cron("0 0 * * * *")], NOON);
        world.run(60 * HOUR);
        world.set(NOON + 60 * HOUR - back);
        let quiet = unix(&world.run(25 * HOUR)).first().copied().unwrap_or(u64::MAX);
        let expected = if back <= 24 * HOUR { back + HOUR } else { HOUR };
        assert_eq!(quiet, NOON + 60 * HOUR - back + expected, "{back}");
    }
}

#[test]
fn what_was_lived_through_long_ago_is_forgotten() {
    let mut world = World::new(vec![cron("0 0 * * * *")], NOON + 3 * DAY);
    world.run(2 * HOUR);
    world.set(NOON);
    // Three days later the wall time is there again, and nobody remembers.
    assert_eq!(world.run(3 * DAY + 2 * HOUR).len(), 74);
}

#[test]
fn a_clock_set_to_1970_makes_cron_wait_and_put_right_again_runs_nothing_twice() {
    let mut world = World::new(vec![cron("* * * * * *"), every(1_000, First::AtOnce)], NOON);
    assert_eq!(world.run(10).len(), 21);
    assert_eq!(world.set(0), []);
    assert!(world.plan.is_waiting_for_clock());
    assert_eq!(world.run(10).len(), 10, "intervals only");
    assert_eq!(world.set(NOON + 5), []);
    let ticks: Vec<_> = world.run(20).into_iter().filter(|tick| tick.rule == 0).collect();
    assert_eq!(unix(&ticks), (11..=25).map(|n| NOON + n).collect::<Vec<_>>());
}

#[test]
fn a_clock_set_between_ticks_that_are_due_together_loses_none_of_them() {
    for wall in [NOON + YEAR, NOON - HOUR, 0] {
        let mut world = World::new(vec![cron("* * * * * *"); 5], NOON);
        world.due();
        world.stall(SECOND);
        let mut rules = Vec::new();
        for _ in 0..2 {
            let Step::Tick(tick) = world.plan.step(world.moment()) else { panic!("five are due") };
            rules.push(tick.rule);
        }
        let rest = world.set(wall);
        rules.extend(rest.iter().map(|tick| tick.rule));
        assert_eq!(rules, [0, 1, 2, 3, 4]);
        assert_eq!(unix(&rest), [NOON + 1; 3]);
    }
}

#[test]
fn small_corrections_lose_and_double_no_second() {
    let mut world = World::new(vec![cron("* * * * * *")], NOON);
    let mut ticks = world.run(100);
    for (correction, seconds) in [(3, 100), (-4, 100), (5, 50), (-5, 3), (-2, 60), (1, 60)] {
        let corrected = world.wall.strict_add_signed(correction * SECOND as i64);
        ticks.extend(world.set(corrected / SECOND));
        ticks.extend(world.run(seconds));
    }
    let mut next = NOON + 1;
    for tick in &ticks {
        next += u64::from(tick.missed);
        assert_eq!(unix(&[*tick]), [next]);
        next += 1;
    }
    assert_eq!(next, world.wall / SECOND + 1);
    assert_eq!(world.notices.len(), 1, "none of them is worth a word");
}

#[test]
fn a_clock_that_is_set_all_the_time_storms_nothing() {
    let mut world = World::new(vec![cron("* * * * * *"); 20], NOON);
    let mut random = 88_172_645_463_325_252_u64;
    let mut ticks = 0;
    for _ in 0..2_000 {
        random = mix(random, 1);
        ticks += world.set(random % (100 * YEAR)).len();
        ticks += world.run(1).len();
    }
    assert!(ticks <= 20 * 2_000, "{ticks}");
}

mod changes;
