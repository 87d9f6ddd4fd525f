//! Who is connected to a listener, and who has to leave when there is no room for one more: the connection that was idle
//! for longest; if none is, the one that has been waited for longest, so that slow clients never keep others out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::wire::{Awaited, Pace};
use crate::limits::http::PATIENCE_WHEN_FULL;

/// All connections of a listener.
#[derive(Debug)]
pub(super) struct Hall {
    seats_max: usize,
    taken: Mutex<Taken>,
    /// Told when the house closes.
    closes: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    seats: BTreeMap<u64, Guest>,
    next: u64,
    is_closed: bool,
}

#[derive(Debug)]
struct Guest {
    pace: Arc<Pace>,
    told: Arc<Notify>,
    is_leaving: bool,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    hall: Arc<Hall>,
    number: u64,
    told: Arc<Notify>,
    pub(super) pace: Arc<Pace>,
}

impl Hall {
    pub(super) fn new(seats_max: usize) -> Arc<Self> {
        Arc::new(Self { seats_max, taken: Mutex::default(), closes: Notify::new() })
    }

    /// How many there may be.
    pub(super) fn seats_max(&self) -> usize {
        self.seats_max
    }

    /// A place for one more; for it another may have to leave.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.seats.len() >= self.seats_max && !taken.make_room() {
            return None;
        }
        let (number, told, pace) = (taken.next, Arc::new(Notify::new()), Pace::new());
        taken.next += 1;
        let (its, is_leaving) = (Arc::clone(&pace), false);
        taken.seats.insert(number, Guest { pace: its, told: Arc::clone(&told), is_leaving });
        Some(Seat { hall: Arc::clone(self), number, told, pace })
    }

    /// Somebody leaves: the process has no descriptor for one more.
    pub(super) fn make_room(&self) {
        self.taken().make_room();
    }

    /// Idle ones leave, the others after what they are at.
    pub(super) fn close(&self) {
        self.taken().is_closed = true;
        self.closes.notify_waiters();
    }

    /// Waits until the house closes.
    pub(super) async fn house_closes(&self) {
        let closes = self.closes.notified();
        if !self.taken().is_closed {
            closes.await;
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Whether somebody leaves who is in nobody's way any more.
    fn make_room(&mut self) -> bool {
        let now = Instant::now();
        let rank = |guest: &Guest| match guest.pace.awaited()? {
            Awaited::Idle(since) => Some((0, since)),
            Awaited::Slow(since) if now - since >= PATIENCE_WHEN_FULL => Some((1, since)),
            Awaited::Slow(_) => None,
        };
        let there = self.seats.values_mut().filter(|guest| !guest.is_leaving);
        let ranked = there.filter_map(|guest| Some((rank(guest)?, guest)));
        let Some((_, guest)) = ranked.min_by_key(|(rank, _)| *rank) else { return false };
        guest.is_leaving = true;
        guest.told.notify_one();
        true
    }
}

impl Seat {
    /// Waits until somebody else needs the place.
    pub(super) async fn is_to_leave(&self) {
        self.told.notified().await;
    }

    /// Waits until the house closes.
    pub(super) async fn house_closes(&self) {
        self.hall.house_closes().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.hall.taken().seats.remove(&self.number);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::wire::Stage;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_comes_last_takes_the_place_of_who_was_idle_for_longest_then_of_who_is_slow() {
        let hall = Hall::new(3);
        let [slow, first, second] = [(); 3].map(|()| hall.seat().unwrap());
        slow.pace.enter(Stage::Head(Instant::now()));
        second.pace.enter(Stage::Idle(Instant::now() + PATIENCE_WHEN_FULL / 2));
        drop(hall.seat().unwrap());
        first.is_to_leave().await;
        drop(hall.seat().unwrap());
        second.is_to_leave().await;
        // Nobody is idle, and the slow one is not late yet.
        assert!(hall.seat().is_none());
        tokio::time::advance(PATIENCE_WHEN_FULL).await;
        drop(hall.seat().unwrap());
        slow.is_to_leave().await;
        assert!(hall.seat().is_none());
    }

    #[tokio::test]
    async fn everybody_is_told_when_the_house_closes() {
        let hall = Hall::new(3);
        let (early, late) = (hall.seat().unwrap(), hall.seat().unwrap());
        let told = early.house_closes();
        hall.close();
        told.await;
        late.house_closes().await;
    }
}
