//! The schedule on tokio's paused clock: what comes when, what is lost when it is dropped, and how
//! often it is awake.

use super::*;
use crate::time::{Cron, First, Interval, ManualClock, Scheduled, Zone};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// 2026-06-01T12:00:00Z.
const NOON: u64 = 1_780_315_200;

fn cron(expression: &str) -> Rule {
    Rule::Cron(Cron::parse(expression, &Zone::utc(), 0).unwrap())
}

fn every(every_ms: u64, first: First) -> Rule {
    let every = Duration::from_millis(every_ms);
    Rule::Interval(Interval { every, first, jitter: Duration::ZERO })
}

fn schedule(rules: Vec<Rule>) -> (Schedule, ManualClock) {
    let (clock, hand) = WallClock::manual(Duration::from_secs(NOON), NOON - 1);
    (Schedule::new(rules, clock).unwrap(), hand)
}

/// The ticks of a time, and when they came, in seconds since its begin.
async fn ticks(schedule: &mut Schedule, time: Duration) -> Vec<(u64, Tick)> {
    let (start, mut ticks) = (tokio::time::Instant::now(), Vec::new());
    while let Ok(tick) = tokio::time::timeout_at(start + time, schedule.next()).await {
        ticks.push((start.elapsed().as_secs(), tick));
    }
    ticks
}

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

#[tokio::test(start_paused = true)]
async fn intervals_begin_at_once_or_after_one_interval() {
    let (mut schedule, _) =
        schedule(vec![every(2_000, First::AtOnce), every(3_000, First::AfterInterval)]);
    let ticks = ticks(&mut schedule, Duration::from_millis(7_500)).await;
    let ticks: Vec<_> = ticks.into_iter().map(|(at, tick)| (at, tick.rule)).collect();
    assert_eq!(ticks, [(0, 0), (2, 0), (3, 1), (4, 0), (6, 0), (6, 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_loop_that_was_stalled_gets_one_tick_and_the_count_of_the_others() {
    let (mut schedule, _) = schedule(vec![every(250, First::AtOnce), cron("* * * * * *")]);
    schedule.next().await;
    tokio::time::advance(Duration::from_millis(10_100)).await;
    let (first, second) = (schedule.next().await, schedule.next().await);
    assert_eq!((first.rule, first.missed), (0, 39));
    assert_eq!((second.rule, second.missed), (1, 9));
    assert_eq!(schedule.next().await.scheduled, Scheduled::Elapsed(Duration::from_millis(10_250)));
}

#[tokio::test(start_paused = true)]
async fn five_thousand_rules_over_a_day_come_exactly_as_often_as_they_should() {
    let rules = (0..5_000_u64).map(|n| match n % 2 {
        0 => every((1_800 + n) * 1_000, First::AfterInterval),
        _ => cron(&format!("{} {} */2 * * *", n % 60, n / 60 % 60)),
    });
    let (mut schedule, _) = schedule(rules.collect());
    let mut counts = vec![0_u64; 5_000];
    for (_, tick) in ticks(&mut schedule, DAY + Duration::from_millis(500)).await {
        counts[tick.rule] += 1;
        assert_eq!(tick.missed, 0);
    }
    for (n, &count) in (0_u64..).zip(&counts) {
        let expected = if n % 2 == 0 { 86_400 / (1_800 + n) } else { 12 };
        assert_eq!(count, expected, "rule {n}");
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_next_half_way_loses_and_doubles_no_tick() {
    let rules = || {
        let more = (1..40).map(|n| every(n * 777, First::AfterInterval));
        [cron("*/7 * * * * *"), cron("0 * * * * *")].into_iter().chain(more).collect::<Vec<_>>()
    };
    let (mut whole, _) = schedule(rules());
    let (mut dropped, _) = schedule(rules());
    let collect = async |schedule: &mut Schedule, patience: u64| {
        let (start, mut ticks) = (tokio::time::Instant::now(), Vec::new());
        let mut wait = patience;
        while start.elapsed() < Duration::from_secs(300) {
            wait = wait * 31 % 997 + 1;
            let next = tokio::time::timeout(Duration::from_millis(wait), schedule.next());
            ticks.extend(next.await);
        }
        ticks
    };
    let (whole, dropped) =
        tokio::join!(ticks(&mut whole, Duration::from_secs(299)), collect(&mut dropped, 5));
    let whole: Vec<_> = whole.into_iter().map(|(_, tick)| tick).collect();
    assert!(whole.len() > 1_500, "{}", whole.len());
    let mut both = [whole, dropped];
    let key = |tick: &Tick| match tick.scheduled {
        Scheduled::Unix(at) => (tick.rule, Duration::from_secs(at)),
        Scheduled::Elapsed(at) => (tick.rule, at),
    };
    both.iter_mut().for_each(|ticks| ticks.sort_by_key(key));
    let keys = both.each_ref().map(|ticks| ticks.iter().map(key).collect::<Vec<_>>());
    assert!(keys[1].windows(2).all(|pair| pair[0] != pair[1]), "one came twice");
    assert!(keys[0].iter().all(|key| keys[1].contains(key)), "one was lost");
    assert!(both.iter().flatten().all(|tick| tick.missed == 0));
}

#[tokio::test(start_paused = true)]
async fn an_idle_schedule_is_awake_only_when_a_rule_is_due() {
    let (mut schedule, _) = schedule(vec![cron("0 30 * * * *")]);
    let polls = AtomicU32::new(0);
    let start = tokio::time::Instant::now();
    for _ in 0..24 {
        let mut next = pin!(schedule.next());
        std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            next.as_mut().poll(cx)
        })
        .await;
    }
    assert_eq!(start.elapsed().as_secs() / 3_600, 23);
    assert_eq!(polls.load(Ordering::Relaxed), 2 * 24, "once to begin and once to end");
}

#[tokio::test(start_paused = true)]
async fn cron_waits_for_the_clock_says_so_once_and_begins_as_soon_as_it_is_set() {
    let (clock, hand) = WallClock::manual(Duration::from_secs(100), NOON - 1);
    let notices = Arc::new(Mutex::new(Vec::new()));
    let said = notices.clone();
    let rules = vec![cron("0 0 * * * *"), every(600_000, First::AfterInterval)];
    let mut schedule = Schedule::new(rules, clock)
        .unwrap()
        .on_notice(move |notice| said.lock().unwrap().push(notice.to_string()));
    let waiting = ticks(&mut schedule, HOUR + Duration::from_secs(1)).await;
    assert!(schedule.waiting_for_clock());
    assert!(waiting.iter().all(|(_, tick)| tick.rule == 1) && waiting.len() == 6);
    hand.set(Duration::from_secs(NOON + 3_599));
    let tick = schedule.next().await;
    assert_eq!(tick, Tick { rule: 0, scheduled: Scheduled::Unix(NOON + 3_600), missed: 0 });
    assert!(!schedule.waiting_for_clock());
    let expected = [
        "cron waits for the clock: it shows 1970-01-01 00:01:40 UTC, and is believed from \
         2026-06-01 11:59:59 UTC on, or when the kernel says that it is synchronised (start an NTP \
         client, or set it with date -s)",
        "cron runs: the clock shows 2026-06-01 12:59:59 UTC",
    ];
    assert_eq!(*notices.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_becomes_synchronised_is_noticed_within_half_a_minute() {
    let (clock, hand) = WallClock::manual(Duration::from_secs(100), NOON);
    let mut schedule = Schedule::new(vec![cron("* * * * * *")], clock).unwrap();
    assert!(tokio::time::timeout(HOUR, schedule.next()).await.is_err());
    hand.synchronise();
    let start = tokio::time::Instant::now();
    schedule.next().await;
    assert!(start.elapsed() <= Duration::from_secs(31), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_while_the_schedule_sleeps_wakes_it() {
    let (mut schedule, hand) = schedule(vec![cron("0 0 * * * *")]);
    let start = tokio::time::Instant::now();
    let (tick, ()) = tokio::join!(schedule.next(), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        hand.set(Duration::from_secs(NOON + 365 * 86_400 + 3_590));
    });
    assert_eq!(tick.scheduled, Scheduled::Unix(NOON + 365 * 86_400 + 3_600));
    assert_eq!(start.elapsed().as_secs(), 70);
    let (tick, ()) = tokio::join!(schedule.next(), async {
        tokio::time::sleep(Duration::from_secs(60)).await;
        hand.set(Duration::from_secs(NOON + 130));
    });
    assert_eq!(tick.scheduled, Scheduled::Unix(NOON + 3_600));
}

#[tokio::test(start_paused = true)]
async fn a_schedule_without_rules_waits_for_ever() {
    let (mut schedule, _) = schedule(Vec::new());
    assert!(tokio::time::timeout(DAY * 365, schedule.next()).await.is_err());
}

#[tokio::test]
async fn the_system_s_clock_gives_a_tick_at_a_full_second() {
    let clock = WallClock::system(1).unwrap();
    let mut schedule = Schedule::new(vec![cron("* * * * * *")], clock).unwrap();
    let unix = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    for _ in 0..2 {
        let Scheduled::Unix(at) = schedule.next().await.scheduled else { panic!("no interval") };
        assert!(at <= unix(), "it came before its time");
    }
}

#[tokio::test(start_paused = true)]
async fn rules_come_and_go_while_somebody_waits() {
    fn may_be_anywhere(_: &impl Send) {}
    let (mut schedule, _) = schedule(Vec::new());
    may_be_anywhere(&schedule.next());
    let rules = schedule.rules();
    let changes = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(10_000)).await;
        let minute = rules.add(every(60_000, First::AfterInterval)).unwrap();
        let often = rules.add(every(2_000, First::AtOnce)).unwrap();
        tokio::time::sleep(Duration::from_millis(5_000)).await;
        assert!(rules.clone().remove(often) && !rules.remove(often));
        let hourly = rules.add(cron("0 0 * * * *")).unwrap();
        tokio::time::sleep(Duration::from_millis(70_000)).await;
        assert!(rules.remove(minute));
        assert!(rules.add(every(1, First::AtOnce)).is_err());
        tokio::time::sleep(3 * HOUR).await;
        assert!(rules.remove(hourly));
    });
    let ticks = ticks(&mut schedule, DAY).await;
    let ticks: Vec<_> = ticks.into_iter().map(|(at, tick)| (at, tick.rule)).collect();
    assert_eq!(ticks, [(10, 1), (12, 1), (14, 1), (70, 0), (3_600, 2), (7_200, 2), (10_800, 2)]);
    changes.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_change_wakes_who_waits_once_and_a_schedule_without_rules_is_idle() {
    let (mut schedule, hand) = schedule(Vec::new());
    let (rules, polls) = (schedule.rules(), AtomicU32::new(0));
    let wait = async |schedule: &mut Schedule, time| {
        let mut next = pin!(schedule.next());
        let counted = std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            next.as_mut().poll(cx)
        });
        // The time has a task of its own, so that its end is no wake-up of this one.
        let time = tokio::spawn(tokio::time::sleep(time));
        tokio::select! { tick = counted => Some(tick), _ = time => None }
    };
    assert_eq!(wait(&mut schedule, DAY).await, None);
    hand.set(Duration::from_secs(NOON + 7));
    assert_eq!(wait(&mut schedule, DAY).await, None);
    let before = polls.swap(0, Ordering::Relaxed);
    assert!(before <= 4, "{before} polls in two days without rules");
    let added = tokio::spawn(async move {
        tokio::time::sleep(HOUR).await;
        rules.add(every(3_600_000, First::AfterInterval)).unwrap()
    });
    let start = tokio::time::Instant::now();
    let tick = wait(&mut schedule, DAY).await.unwrap();
    assert_eq!((tick.rule, start.elapsed().as_secs() / 60), (added.await.unwrap(), 120));
    let polls = polls.load(Ordering::Relaxed);
    assert!(polls <= 3, "{polls} polls: to begin, for the change, for the tick");
}

#[tokio::test(start_paused = true)]
async fn five_thousand_rules_that_come_and_go_come_exactly_as_often_as_they_should() {
    let (mut schedule, _) = schedule(Vec::new());
    let rules = schedule.rules();
    let count = 5_000;
    let change = tokio::spawn(async move {
        for n in 0..count {
            rules.add(every(10_000, First::AfterInterval)).unwrap();
            if n % 2 == 0 {
                rules.add(cron("*/10 * * * * *")).unwrap();
            }
        }
        tokio::time::sleep(Duration::from_millis(35_500)).await;
        assert!((0..count + count / 2).filter(|id| id % 2 == 0).all(|id| rules.remove(id)));
    });
    let mut counts = vec![0; count + count / 2];
    for (_, tick) in ticks(&mut schedule, Duration::from_millis(65_500)).await {
        counts[tick.rule] += 1;
        assert_eq!(tick.missed, 0);
    }
    change.await.unwrap();
    for (id, &count) in counts.iter().enumerate() {
        assert_eq!(count, if id % 2 == 0 { 3 } else { 6 }, "rule {id}");
    }
}
