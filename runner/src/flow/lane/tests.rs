//! One lane, asked and answered by hand.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::happening::Worth;

const BOUNDS: Bounds = Bounds {
    instances_max: 1,
    attempts_max: 3,
    parked_max: 4,
    parked_bytes_max: 1000,
    has_neighbours: false,
};

fn lane() -> Lane<u32> {
    Lane::new(BOUNDS, Pace::new(1_000_000, Duration::from_secs(1)))
}

fn arrival(event: u32, worth: Worth) -> Arrival<u32> {
    Arrival { event, trigger: 7, bytes: 100, worth, attempts: 0 }
}

fn offer(lane: &mut Lane<u32>, event: u32, now: Instant) {
    assert_eq!(lane.offer(arrival(event, Worth::Kept), now), Offer::Taken);
}

/// The event that runs now.
fn run(lane: &mut Lane<u32>, now: Instant) -> (u64, u32) {
    match lane.next(now) {
        Next::Run { key, event, .. } => (key, event),
        other => panic!("{other:?}"),
    }
}

/// Fails the head until the lane gives it up; when that was.
fn give_up(lane: &mut Lane<u32>, mut now: Instant) -> (Left<u32>, Instant) {
    for _ in 0..20 {
        let key = match lane.next(now) {
            Next::Run { key, .. } => key,
            Next::At(until) => {
                now = until;
                run(lane, now).0
            }
            other => panic!("{other:?}"),
        };
        if let Some(Then::GiveUp(left, _)) = lane.ended(key, Err(()), now) {
            return (left, now);
        }
    }
    panic!("never given up");
}

#[test]
fn events_run_one_after_another_in_the_order_in_which_they_came() {
    let (mut lane, now) = (lane(), Instant::now());
    (1..=3).for_each(|event| offer(&mut lane, event, now));
    for event in 1..=3 {
        let (key, runs) = run(&mut lane, now);
        assert_eq!(runs, event);
        assert_eq!(lane.next(now), Next::Idle);
        let Some(Then::Finish(left)) = lane.ended(key, Ok(()), now) else { panic!() };
        assert_eq!(lane.pending(7), 4 - event as usize);
        lane.settled(left.key);
    }
    assert!(lane.is_empty());
}

#[test]
fn what_failed_is_tried_again_before_what_came_after_it() {
    let (mut lane, now) = (lane(), Instant::now());
    offer(&mut lane, 1, now);
    offer(&mut lane, 2, now);
    let (key, _) = run(&mut lane, now);
    let Some(Then::Again(until, 1)) = lane.ended(key, Err(()), now) else { panic!() };
    assert_eq!(lane.next(now), Next::At(until));
    assert_eq!(lane.next(until), Next::Run { key, event: 1, attempt: 2 });
}

#[test]
fn what_failed_as_often_as_it_may_leaves_and_stays_pending_until_it_is_kept() {
    let (mut lane, now) = (lane(), Instant::now());
    offer(&mut lane, 1, now);
    let (left, _) = give_up(&mut lane, now);
    assert_eq!((left.event, left.attempts, lane.pending(7)), (1, 3, 1));
    lane.settled(left.key);
    assert_eq!(lane.pending(7), 0);
}

#[test]
fn tries_before_a_restart_count() {
    let (mut lane, now) = (lane(), Instant::now());
    let twice = Arrival { attempts: 2, ..arrival(1, Worth::Kept) };
    assert_eq!(lane.offer(twice, now), Offer::Taken);
    assert!(matches!(lane.next(now), Next::Run { attempt: 3, .. }));
    let thrice = Arrival { attempts: 3, ..arrival(2, Worth::Kept) };
    assert!(matches!(lane.offer(thrice, now), Offer::Spent(_)));
}

#[test]
fn ticks_of_one_trigger_are_one_while_they_wait() {
    let (mut lane, now) = (lane(), Instant::now());
    for worth in [Worth::KeptTick, Worth::FleetingTick] {
        assert_eq!(lane.offer(arrival(1, worth), now), Offer::Taken);
        assert_eq!(lane.offer(arrival(2, worth), now), Offer::Coalesced);
        let (key, _) = run(&mut lane, now);
        // It runs: the next may wait.
        assert_eq!(lane.offer(arrival(3, worth), now), Offer::Taken);
        lane.ended(key, Ok(()), now);
        let (key, _) = run(&mut lane, now);
        lane.ended(key, Ok(()), now);
    }
}

#[test]
fn what_promised_nothing_is_dropped_when_there_is_no_room() {
    let (mut lane, now) = (lane(), Instant::now());
    for _ in 0..limits::FLEETING_MAX {
        assert_eq!(lane.offer(arrival(1, Worth::Fleeting), now), Offer::Taken);
    }
    assert_eq!(lane.offer(arrival(1, Worth::Fleeting), now), Offer::Dropped);
    offer(&mut lane, 2, now);
}

#[test]
fn a_lane_that_makes_progress_is_not_stuck_however_much_waits() {
    let (mut lane, start) = (lane(), Instant::now());
    (0..100).for_each(|event| offer(&mut lane, event, start));
    for step in 1..=100 {
        let now = start + limits::PARK_AFTER * step / 25;
        let (key, _) = run(&mut lane, now);
        lane.ended(key, Ok(()), now);
        assert!(!lane.check(now), "after {step}");
    }
}

#[test]
fn a_lane_that_is_far_behind_is_stuck_though_it_makes_progress() {
    let (mut lane, start) = (lane(), Instant::now());
    (0..1000).for_each(|event| offer(&mut lane, event, start));
    for step in 1..=100 {
        let (key, _) = run(&mut lane, start + limits::PARK_AFTER * step / 100);
        lane.ended(key, Ok(()), start + limits::PARK_AFTER * step / 100);
    }
    assert!(lane.check(start + limits::PARK_AFTER));
}

#[test]
fn a_lane_without_progress_is_written_down_until_it_is_empty() {
    let (mut lane, start) = (lane(), Instant::now());
    let later = start + limits::PARK_AFTER;
    (1..=2).for_each(|event| offer(&mut lane, event, start));
    let (first, _) = run(&mut lane, start);
    assert!(!lane.check(start));
    assert!(lane.check(later));
    let writing = lane.park(10, |_| true);
    assert_eq!(writing.len(), 1);
    assert!(lane.parked(writing[0].key, 41));
    assert_eq!(lane.on_disk(), (1, 100));
    lane.ended(first, Ok(()), later);
    let (second, _) = run(&mut lane, later);
    let Some(Then::Finish(left)) = lane.ended(second, Ok(()), later) else { panic!() };
    assert_eq!((left.row, lane.on_disk()), (Some(41), (0, 0)));
    assert!(!lane.is_stuck());
}

#[test]
fn what_left_while_it_was_written_down_gives_its_row_back() {
    let (mut lane, start) = (lane(), Instant::now());
    offer(&mut lane, 1, start);
    let writing = lane.park(10, |_| true);
    let (key, _) = run(&mut lane, start);
    let Some(Then::Finish(left)) = lane.ended(key, Ok(()), start) else { panic!() };
    assert_eq!(left.row, None);
    assert!(!lane.parked(writing[0].key, 5));
    assert_eq!(lane.on_disk(), (0, 0));
}

#[test]
fn what_cannot_be_written_down_waits_in_memory() {
    let (mut lane, start) = (lane(), Instant::now());
    offer(&mut lane, 1, start);
    let writing = lane.park(10, |_| true);
    lane.not_parked(writing[0].key);
    assert_eq!(lane.on_disk(), (0, 0));
    assert_eq!(lane.park(10, |_| true).len(), 1);
    assert_eq!(run(&mut lane, start).1, 1);
}

#[test]
fn a_stuck_lane_takes_what_may_be_written_down_and_no_more() {
    let (mut lane, start) = (lane(), Instant::now());
    let later = start + limits::PARK_AFTER;
    offer(&mut lane, 0, start);
    assert!(lane.check(later));
    for event in 1..=4 {
        for parked in lane.park(10, |_| true) {
            assert!(lane.parked(parked.key, i64::from(event)));
        }
        if event < 4 {
            offer(&mut lane, event, later);
        }
    }
    let Offer::Behind(left) = lane.offer(arrival(9, Worth::Kept), later) else { panic!() };
    assert_eq!((left.event, lane.pending(7)), (9, 5));
}

#[test]
fn what_is_only_on_disk_is_read_when_its_turn_comes() {
    let (mut lane, now) = (lane(), Instant::now());
    lane.restore(11, 7, 100, 1, now);
    lane.restore(12, 7, 100, 0, now);
    let Next::Load { key, row: 11 } = lane.next(now) else { panic!() };
    lane.loaded(key, Some(1), 0, now);
    assert_eq!(lane.next(now), Next::Run { key, event: 1, attempt: 2 });
    lane.ended(key, Ok(()), now);
    // Somebody deleted the second row meanwhile.
    let Next::Load { key, row: 12 } = lane.next(now) else { panic!() };
    lane.loaded(key, None, 0, now);
    assert_eq!((lane.next(now), lane.on_disk()), (Next::Idle, (0, 0)));
}

#[test]
fn a_parked_event_that_killed_its_runner_as_often_as_it_may_is_kept_aside() {
    let (mut lane, now) = (lane(), Instant::now());
    lane.restore(11, 7, 100, 0, now);
    let Next::Load { key, .. } = lane.next(now) else { panic!() };
    // The row knows of no try: who wrote it down is dead.
    let Loaded::Spent(left, 7) = lane.loaded(key, Some(1), 3, now) else { panic!() };
    assert_eq!((left.event, left.row, left.attempts), (1, Some(11), 3));
    assert_eq!((lane.next(now), lane.on_disk(), lane.pending(7)), (Next::Idle, (0, 0), 1));
}

#[test]
fn tries_whose_end_nobody_saw_count_for_a_parked_event() {
    let (mut lane, now) = (lane(), Instant::now());
    lane.restore(11, 7, 100, 0, now);
    let Next::Load { key, .. } = lane.next(now) else { panic!() };
    assert_eq!(lane.loaded(key, Some(1), 1, now), Loaded::Waits);
    assert_eq!(lane.next(now), Next::Run { key, event: 1, attempt: 2 });
}

/// Keeps a crowd waiting for some periods, with a tenth of a window's worth ending in each; the lane after that.
fn crowded(has_neighbours: bool) -> (Lane<u32>, Instant) {
    let bounds = Bounds { parked_max: 50, parked_bytes_max: 1 << 20, has_neighbours, ..BOUNDS };
    let mut lane = Lane::new(bounds, Pace::new(1_000_000, Duration::from_secs(1)));
    let start = Instant::now();
    (0..20).for_each(|event| offer(&mut lane, event, start));
    for step in 1..=200 {
        let now = start + limits::PARK_AFTER * step / 50;
        let (key, _) = run(&mut lane, now);
        lane.ended(key, Ok(()), now);
        offer(&mut lane, 100 + step, now);
        lane.check(now);
    }
    (lane, start + limits::PARK_AFTER * 4)
}

#[test]
fn a_crowd_is_written_down_if_others_wait_behind_it_and_only_then() {
    let (lane, _) = crowded(false);
    assert!(!lane.is_stuck());
    let (mut lane, now) = crowded(true);
    assert!(lane.is_stuck() && lane.check(now));
    let parked = lane.park(100, |_| true);
    assert_eq!(parked.len(), 20);
    (0..).zip(&parked).for_each(|(row, parked)| assert!(lane.parked(parked.key, row)));
    assert!(!lane.check(now));
}

#[test]
fn a_crowd_before_a_component_that_rests_is_written_down_at_once() {
    let now = Instant::now();
    for has_neighbours in [false, true] {
        let bounds = Bounds { has_neighbours, ..BOUNDS };
        let mut lane = Lane::new(bounds, Pace::new(1_000_000, Duration::from_secs(1)));
        offer(&mut lane, 0, now);
        let (key, _) = run(&mut lane, now);
        lane.ended(key, Err(()), now);
        for event in 1..limits::CROWD as u32 {
            assert!(!lane.is_stuck(), "{event}");
            offer(&mut lane, event, now);
        }
        assert_eq!((lane.is_stuck(), lane.check(now)), (has_neighbours, has_neighbours));
    }
}

#[test]
fn what_goes_beyond_waits_with_the_broker_while_there_is_progress() {
    let (mut lane, now) = crowded(true);
    for event in 1_000..1_100 {
        offer(&mut lane, event, now);
    }
    let parked = lane.park(1_000, |_| true);
    assert_eq!((parked.len(), lane.park(1_000, |_| true).len()), (50, 0));
    assert!(!lane.check(now));
    // Without any, what is here is written down all the same, and more is kept aside.
    assert!(lane.check(now + limits::PARK_AFTER));
    assert_eq!(lane.park(1_000, |_| true).len(), 70);
    let behind = lane.offer(arrival(1, Worth::Kept), now + limits::PARK_AFTER);
    assert!(matches!(behind, Offer::Behind(_)));
}
