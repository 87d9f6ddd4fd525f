//! Rules that come and go.

use super::*;

impl World {
    fn add(&mut self, rule: Rule) -> RuleId {
        self.plan.add(rule, self.moment()).unwrap()
    }
}

fn rules(ticks: &[Tick]) -> Vec<RuleId> {
    ticks.iter().map(|tick| tick.rule).collect()
}

#[test]
fn an_interval_that_is_added_begins_when_it_is_added() {
    let mut world = World::new(vec![every(10_000, First::AfterInterval)], NOON);
    world.run(3);
    assert_eq!(world.add(every(10_000, First::AfterInterval)), 1);
    assert_eq!(world.add(every(60_000, First::AtOnce)), 2);
    let ticks = world.run(14);
    assert_eq!(ticks, [tick(2, 3_000, 0), tick(0, 10_000, 0), tick(1, 13_000, 0)]);
}

#[test]
fn cron_that_is_added_comes_after_that_moment_whoever_asks_late() {
    let mut world = World::new(Vec::new(), NOON);
    world.run(YEAR);
    assert_eq!(world.notices, [], "without cron nobody looks at the clock");
    world.add(cron("* * * * * *"));
    assert_eq!(unix(&world.run(2)), [NOON + YEAR + 1, NOON + YEAR + 2]);
    assert_eq!(world.notices, [ClockNotice::Believed { shows: NOON + YEAR }]);
    // While it is not asked, it misses as any other does.
    world.add(cron("* * * * * *"));
    world.stall(3 * SECOND);
    let ticks = world.due();
    assert_eq!(ticks.iter().map(|tick| tick.missed).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(unix(&ticks), [NOON + YEAR + 5; 2]);
    assert_eq!(world.notices.len(), 1);
}

#[test]
fn cron_that_is_added_waits_for_the_clock_as_all_does_and_when_none_is_left_nobody_looks() {
    let mut world = World::new(Vec::new(), 1_000);
    let id = world.add(cron("* * * * * *"));
    assert_eq!(world.run(600), []);
    let other = world.add(cron("* * * * * *"));
    assert!(world.plan.remove(id) && world.plan.is_waiting_for_clock());
    assert_eq!(world.set(NOON), []);
    assert_eq!(rules(&world.run(2)), [other, other]);
    world.set(1_000);
    assert!(world.plan.remove(other) && !world.plan.is_waiting_for_clock());
    world.waits = 0;
    assert_eq!(world.run(DAY), []);
    assert_eq!(world.waits, 1, "no wake-up in a day");
}

#[test]
fn what_is_removed_comes_no_more_and_is_not_waited_for() {
    let list =
        vec![every(1_000, First::AtOnce), cron("* * * * * *"), every(DAY * 1_000, First::AtOnce)];
    let mut world = World::new(list, NOON);
    world.run(10);
    assert!(world.plan.remove(0) && world.plan.remove(1));
    assert!(!world.plan.remove(0) && !world.plan.remove(7) && !world.plan.remove(usize::MAX));
    world.waits = 0;
    assert_eq!(rules(&world.run(DAY)), [2]);
    assert_eq!(world.waits, 2);
    assert!(world.plan.remove(2));
    assert_eq!(world.plan.step(world.moment()), Step::Wait(None), "for ever");
}

#[test]
fn what_is_removed_while_it_is_due_does_not_come_and_the_others_do_in_order() {
    for rule in [every(1_000, First::AfterInterval), cron("* * * * * *")] {
        let mut world = World::new(vec![rule; 5], NOON);
        world.due();
        world.stall(SECOND);
        assert!(matches!(world.plan.step(world.moment()), Step::Tick(Tick { rule: 0, .. })));
        for id in [1, 3, 0] {
            assert!(world.plan.remove(id));
        }
        assert_eq!(rules(&world.due()), [2, 4]);
    }
}

#[test]
fn an_id_is_never_given_twice_and_those_due_together_come_in_the_order_of_theirs() {
    let mut world = World::new(vec![every(1_000, First::AfterInterval); 3], NOON);
    let mut live: std::collections::BTreeSet<RuleId> = (0..3).collect();
    for (next, round) in (3..).zip(0..2_000_u64) {
        let rule = match round % 3 {
            0 => cron("* * * * * *"),
            _ => every(1_000, First::AfterInterval),
        };
        assert_eq!(world.add(rule), next);
        live.insert(next);
        if mix(round, 1) % 9 < 8 {
            let gone = *live.iter().nth(mix(round, 2) as usize % live.len()).unwrap();
            assert!(live.remove(&gone) && world.plan.remove(gone));
        }
        if round % 100 == 0 {
            world.run(2);
            let ticks = rules(&world.run(1));
            assert!(ticks.iter().all(|rule| live.contains(rule)));
            let set: std::collections::BTreeSet<_> = ticks.iter().copied().collect();
            assert_eq!((set.len(), &set), (ticks.len(), &live), "each comes once a second");
        }
    }
    assert!(live.len() > 100);
}

#[test]
fn what_is_added_is_checked_and_counted() {
    let mut world = World::new(vec![every(10, First::AtOnce); RULES_MAX], NOON);
    let mut add = |rule| world.plan.add(rule, world.moment()).map_err(|error| error.to_string());
    let full = "16385 rules: at most 16384 are allowed in one schedule";
    assert_eq!(add(cron("@daily")), Err(full.into()));
    world.plan.remove(3);
    let mut add = |rule| world.plan.add(rule, world.moment()).map_err(|error| error.to_string());
    let short = "rule 16384: an interval of 1ms: allowed is 10ms to ten years";
    assert_eq!(add(every(1, First::AtOnce)), Err(short.into()));
    assert_eq!(add(cron("@daily")), Ok(16_384));
}
