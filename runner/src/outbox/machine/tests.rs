//! An outbox with a disk and a broker that do as they are told.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const BOUNDS: OutboxBounds = OutboxBounds {
    slow_after: Duration::from_secs(2),
    bytes_max: 1 << 20,
    rows_max: 10_000,
    age_max: Duration::MAX,
    when_full: WhenFull::Refuse,
};

/// An outbox with a disk and a broker that do as they are told.
struct World {
    outbox: Outbox<u32, u32>,
    now: Instant,
    disk: BTreeMap<i64, (u32, u32)>,
    next_row: i64,
    /// Sent and not acknowledged.
    sent: Vec<(Ticket, u32)>,
    safe: Vec<u32>,
    writes: usize,
}

impl World {
    fn new(bounds: OutboxBounds) -> Self {
        let (disk, sent, safe) = (BTreeMap::new(), Vec::new(), Vec::new());
        let (mut outbox, now) = (Outbox::new(bounds), Instant::now());
        outbox.restored(now);
        Self { outbox, now, disk, next_row: 1, sent, safe, writes: 0 }
    }

    fn online(bounds: OutboxBounds) -> Self {
        let mut world = Self::new(bounds);
        world.outbox.set_connected(true, world.now);
        world
    }

    fn publish(&mut self, component: u32, n: u32, urgency: Urgency) -> Result<(), Full> {
        let accepted = self.outbox.accept(component, n, 100, urgency, Some(n), self.now);
        accepted.map_err(|(full, ..)| full)?;
        self.work();
        Ok(())
    }

    /// Does everything that is to be done now, each write at once.
    fn work(&mut self) {
        self.sent.extend(std::iter::from_fn(|| self.outbox.next_send()));
        while let Some(action) = self.outbox.next_work(self.now) {
            match action {
                Action::Store(list) => {
                    self.writes += 1;
                    let row = |(ticket, n): (Ticket, u32)| {
                        let row = self.next_row;
                        self.next_row += 1;
                        self.disk.insert(row, (ticket.component, n));
                        (ticket, row)
                    };
                    let rows: Vec<_> = list.into_iter().map(row).collect();
                    self.outbox.stored(&rows, self.now);
                }
                Action::Load(component, after) => {
                    let rows = self.disk.range(after + 1..);
                    let of = rows.filter(|(_, (of, _))| *of == component).take(8);
                    let row = |(row, (_, n)): (&i64, &(u32, u32))| Row {
                        row: *row,
                        bytes: 100,
                        publish: *n,
                        expired: false,
                    };
                    let rows = of.map(row).collect();
                    self.outbox.loaded(component, rows, self.now);
                }
                Action::Forget(rows) => self.disk.retain(|row, _| !rows.contains(row)),
            }
        }
        self.sent.extend(std::iter::from_fn(|| self.outbox.next_send()));
        for (n, told) in self.outbox.told() {
            assert_eq!(told, Told::Safe);
            self.safe.push(n);
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.work();
    }

    /// The broker acknowledges everything, again and again, until there is no more.
    fn drain(&mut self) -> Vec<u32> {
        let mut order = Vec::new();
        while !self.sent.is_empty() {
            let (ticket, n) = self.sent.remove(0);
            order.push(n);
            self.outbox.acked(ticket, self.now);
            self.work();
        }
        order
    }
}

#[test]
fn while_the_broker_answers_nothing_is_written() {
    let mut world = World::online(BOUNDS);
    for n in 0..1000 {
        world.publish(n % 3, n, Urgency::Redelivered).unwrap();
        world.drain();
        world.pass(Duration::from_millis(1));
    }
    assert_eq!((world.writes, world.safe.len(), world.outbox.pending()), (0, 1000, 0));
}

#[test]
fn while_the_broker_is_away_publishes_are_safe_on_disk_at_once() {
    let mut world = World::new(BOUNDS);
    for n in 0..200 {
        world.publish(0, n, Urgency::Redelivered).unwrap();
        assert!(world.safe.contains(&n));
    }
    assert_eq!((world.disk.len(), world.outbox.rows()), (200, 200));
    world.outbox.set_connected(true, world.now);
    world.work();
    assert_eq!(world.drain(), (0..200).collect::<Vec<_>>());
    world.pass(limits::FORGET_AFTER);
    assert_eq!((world.disk.len(), world.outbox.rows(), world.outbox.pending()), (0, 0, 0));
}

#[test]
fn a_broker_that_is_slow_costs_a_write_and_not_the_order() {
    let mut world = World::online(BOUNDS);
    (0..5).for_each(|n| world.publish(0, n, Urgency::Redelivered).unwrap());
    assert!(world.safe.is_empty());
    world.pass(BOUNDS.slow_after);
    assert_eq!((world.safe.len(), world.disk.len()), (5, 5));
    world.publish(0, 5, Urgency::Redelivered).unwrap();
    assert_eq!(world.drain(), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn a_broker_that_is_slow_is_not_waited_for_again_and_again() {
    let mut world = World::online(BOUNDS);
    world.publish(0, 1, Urgency::Redelivered).unwrap();
    world.pass(BOUNDS.slow_after);
    world.publish(0, 2, Urgency::Redelivered).unwrap();
    world.pass(limits::GRACE);
    assert_eq!(world.safe, [1, 2]);
    // It answers again: nothing needs to be written any more.
    world.drain();
    world.publish(0, 3, Urgency::Redelivered).unwrap();
    world.pass(limits::GRACE);
    assert_eq!((&world.safe[..], world.writes), (&[1, 2][..], 2));
}

#[test]
fn what_nobody_sends_again_is_written_unless_the_acknowledgement_is_quicker() {
    let mut world = World::online(BOUNDS);
    world.publish(0, 1, Urgency::Lasting).unwrap();
    world.drain();
    world.pass(limits::GRACE);
    assert_eq!((world.writes, &world.safe[..]), (0, &[1][..]));
    world.publish(0, 2, Urgency::Lasting).unwrap();
    assert_eq!(world.safe, [1]);
    world.pass(limits::GRACE);
    assert_eq!((world.writes, &world.safe[..]), (1, &[1, 2][..]));
}

#[test]
fn publishes_do_not_overtake_those_on_disk() {
    let mut world = World::new(BOUNDS);
    (0..300).for_each(|n| world.publish(0, n, Urgency::Redelivered).unwrap());
    world.outbox.set_connected(true, world.now);
    world.work();
    (300..400).for_each(|n| world.publish(0, n, Urgency::Redelivered).unwrap());
    assert_eq!(world.drain(), (0..400).collect::<Vec<_>>());
}

#[test]
fn a_component_with_much_on_disk_does_not_hold_up_its_neighbour() {
    let mut world = World::new(BOUNDS);
    (0..1000).for_each(|n| world.publish(0, n, Urgency::Redelivered).unwrap());
    world.outbox.set_connected(true, world.now);
    world.work();
    world.publish(1, 5000, Urgency::Redelivered).unwrap();
    let order = world.drain();
    let at = order.iter().position(|n| *n == 5000).unwrap();
    assert!(at <= limits::SENDING_MAX + 2, "sent as number {at}");
    assert_eq!(order.len(), 1001);
}

#[test]
fn what_is_on_disk_after_a_restart_is_sent_in_order() {
    let mut world = World::new(BOUNDS);
    (0..300).for_each(|n| world.publish(n % 2, n, Urgency::Redelivered).unwrap());
    let disk = std::mem::take(&mut world.disk);
    let mut world = World::new(BOUNDS);
    (world.disk, world.next_row) = (disk, 1000);
    world.outbox.restore(0, 150, 15_000);
    world.outbox.restore(1, 150, 15_000);
    world.outbox.set_connected(true, world.now);
    world.work();
    let order = world.drain();
    for component in 0..2 {
        let of: Vec<u32> = order.iter().copied().filter(|n| n % 2 == component).collect();
        assert_eq!(of, (0..300).filter(|n| n % 2 == component).collect::<Vec<_>>());
    }
    assert_eq!(world.outbox.tally().delivered, 300);
}

#[test]
fn a_full_outbox_says_so_to_the_component() {
    let mut world = World::new(OutboxBounds { bytes_max: 1000, ..BOUNDS });
    (0..10).for_each(|n| world.publish(0, n, Urgency::Redelivered).unwrap());
    assert_eq!(world.publish(0, 10, Urgency::Redelivered), Err(Full::Kept));
    world.outbox.set_connected(true, world.now);
    world.work();
    world.drain();
    world.publish(0, 10, Urgency::Redelivered).unwrap();
}

#[test]
fn an_outbox_that_shall_drop_drops_the_oldest_of_who_has_most_and_counts_it() {
    let bounds = OutboxBounds { bytes_max: 1000, when_full: WhenFull::DropOldest, ..BOUNDS };
    let mut world = World::new(bounds);
    world.publish(1, 100, Urgency::Redelivered).unwrap();
    (0..20).for_each(|n| world.publish(0, n, Urgency::Redelivered).unwrap());
    assert_eq!(world.outbox.tally().dropped, 11);
    world.outbox.set_connected(true, world.now);
    world.work();
    let mut order = world.drain();
    order.sort_unstable();
    assert_eq!(order, [11, 12, 13, 14, 15, 16, 17, 18, 19, 100]);
}

#[test]
fn a_write_that_fails_is_tried_again_later_and_tells_nobody_that_it_is_safe() {
    let mut world = World::new(BOUNDS);
    world.outbox.accept(0, 1, 100, Urgency::Redelivered, Some(1), world.now).unwrap();
    assert!(matches!(world.outbox.next_work(world.now), Some(Action::Store(_))));
    world.outbox.not_stored(world.now);
    assert_eq!(world.outbox.next_work(world.now), None);
    assert_eq!(world.outbox.write_failures(), 1);
    let again = world.outbox.deadline().unwrap();
    assert_eq!(again, world.now + limits::WRITE_AGAIN_FIRST);
    world.pass(limits::WRITE_AGAIN_FIRST);
    assert_eq!(world.safe, [1]);
}

#[test]
fn what_is_acknowledged_while_it_is_written_gives_its_row_back() {
    let mut world = World::online(BOUNDS);
    world.publish(0, 1, Urgency::Redelivered).unwrap();
    world.now += BOUNDS.slow_after;
    let Some(Action::Store(list)) = world.outbox.next_work(world.now) else { panic!() };
    world.outbox.acked(list[0].0, world.now);
    world.disk.insert(1, (0, 1));
    world.outbox.stored(&[(list[0].0, 1)], world.now);
    world.pass(limits::FORGET_AFTER);
    assert_eq!((world.disk.len(), world.outbox.rows()), (0, 0));
}

#[test]
fn what_the_broker_refuses_is_told_or_given_back_to_be_kept_aside() {
    let mut world = World::online(BOUNDS);
    world.publish(0, 1, Urgency::Redelivered).unwrap();
    let (ticket, _) = world.sent.remove(0);
    assert_eq!(world.outbox.refused(ticket, "no", world.now), None);
    assert_eq!(world.outbox.told(), [(1, Told::Refused("no".into()))]);
    // On disk, nobody waits any more.
    world.publish(0, 2, Urgency::Redelivered).unwrap();
    world.pass(BOUNDS.slow_after);
    let (ticket, _) = world.sent.remove(0);
    assert_eq!(world.outbox.refused(ticket, "no", world.now), Some(2));
}

#[test]
fn memory_is_bounded_while_the_disk_does_not_answer() {
    let mut world = World::new(BOUNDS);
    let mut taken = 0;
    let big = 10_000;
    let full = loop {
        match world.outbox.accept(0, taken, big, Urgency::Redelivered, None, world.now) {
            Ok(()) => taken += 1,
            Err((full, ..)) => break full,
        }
    };
    assert_eq!((full, taken as usize), (Full::Memory, limits::MEMORY_BYTES_MAX / big));
}

#[test]
fn what_is_published_before_the_disk_was_read_goes_behind_what_is_there() {
    let mut world = World::new(BOUNDS);
    (world.outbox, world.next_row) = (Outbox::new(BOUNDS), 1000);
    world.outbox.set_connected(true, world.now);
    world.publish(0, 7, Urgency::Redelivered).unwrap();
    world.publish(1, 8, Urgency::Redelivered).unwrap();
    assert!(world.sent.is_empty());
    world.disk = BTreeMap::from([(1, (0, 5)), (2, (0, 6))]);
    world.outbox.restore(0, 2, 200);
    world.outbox.restored(world.now);
    world.work();
    let mut order = world.drain();
    assert_eq!(order.iter().position(|n| *n == 8), Some(0));
    order.retain(|n| *n != 8);
    assert_eq!(order, [5, 6, 7]);
}

#[test]
fn at_the_end_everything_is_written_though_the_broker_is_there() {
    let mut world = World::online(BOUNDS);
    world.publish(0, 1, Urgency::Redelivered).unwrap();
    assert!(world.outbox.hurry(world.now));
    world.outbox.set_connected(true, world.now);
    world.work();
    assert_eq!(world.safe, [1]);
    assert!(!world.outbox.hurry(world.now));
}

#[test]
fn rows_that_cannot_be_read_are_not_asked_for_again_at_once() {
    let mut outbox: Outbox<u32, u32> = Outbox::new(BOUNDS);
    let now = Instant::now();
    outbox.restore(1, 3, 300);
    outbox.restored(now);
    assert!(outbox.wants_load(now));
    assert_eq!(outbox.next_work(now), Some(Action::Load(1, 0)));
    outbox.not_loaded(1, now);
    assert!(!outbox.wants_load(now), "who looks again whenever it is wanted would do nothing else");
    let later = outbox.deadline().unwrap();
    assert!(later > now && outbox.wants_load(later));
    assert_eq!(outbox.next_work(later), Some(Action::Load(1, 0)));
}

#[test]
fn rows_that_cannot_be_deleted_are_deleted_later_and_not_at_once() {
    let mut outbox: Outbox<u32, u32> = Outbox::new(BOUNDS);
    let now = Instant::now();
    outbox.restored(now);
    let rows: Vec<i64> = (0..1000).collect();
    outbox.not_forgotten(rows.clone(), now);
    assert_eq!(outbox.next_work(now), None);
    let later = outbox.deadline().unwrap();
    assert!(later > now);
    assert_eq!(outbox.next_work(later), Some(Action::Forget(rows)));
    assert_eq!(outbox.next_work(later), None);
}

#[test]
fn a_publish_that_the_session_did_not_take_is_the_next_to_be_sent() {
    let mut world = World::online(BOUNDS);
    world.publish(1, 1, Urgency::Redelivered).unwrap();
    let (ticket, _) = world.sent[0];
    world.outbox.unsent(ticket);
    world.outbox.accept(1, 2, 100, Urgency::Redelivered, None, world.now).unwrap();
    assert_eq!(world.outbox.next_send(), Some((ticket, 1)));
}

#[test]
fn nothing_is_due_that_there_is_no_memory_for() {
    let mut outbox: Outbox<u32, u32> = Outbox::new(BOUNDS);
    let now = Instant::now();
    outbox.restore(1, 3, 300);
    outbox.restored(now);
    outbox.next_work(now).unwrap();
    outbox.not_loaded(1, now);
    outbox.accept(2, 1, limits::MEMORY_BYTES_MAX, Urgency::Redelivered, None, now).unwrap();
    let Some(Action::Store(_)) = outbox.next_work(now) else { panic!() };
    assert_eq!(outbox.next_work(now + limits::WRITE_AGAIN_MAX), None);
    assert_eq!(outbox.deadline(), None, "who sleeps until then would not sleep");
}
