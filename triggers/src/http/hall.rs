//! Who is connected to a listener, and who has to leave when there is no room for one more: the connection that was idle
//! for longest.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

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
    seats: usize,
    /// Idle ones, longest first.
    idle: BTreeMap<u64, Arc<Notify>>,
    next: u64,
    is_closed: bool,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat(Arc<Hall>);

/// It is idle, until this is dropped.
pub(super) struct Idle<'a> {
    seat: &'a Seat,
    number: u64,
    told: Arc<Notify>,
}

impl Hall {
    pub(super) fn new(seats_max: usize) -> Arc<Self> {
        Arc::new(Self { seats_max, taken: Mutex::default(), closes: Notify::new() })
    }

    /// How many there may be.
    pub(super) fn seats_max(&self) -> usize {
        self.seats_max
    }

    /// A place for one more; for it an idle one may have to leave.
    pub(super) fn seat(self: &Arc<Self>) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.seats >= self.seats_max {
            let (_, told) = taken.idle.pop_first()?;
            told.notify_one();
        }
        taken.seats += 1;
        Some(Seat(Arc::clone(self)))
    }

    /// The longest idle leaves: the process has no descriptor for one more.
    pub(super) fn make_room(&self) {
        if let Some((_, told)) = self.taken().idle.pop_first() {
            told.notify_one();
        }
    }

    /// Idle ones leave, the others after what they are at.
    pub(super) fn close(&self) {
        let mut taken = self.taken();
        taken.is_closed = true;
        std::mem::take(&mut taken.idle).into_values().for_each(|told| told.notify_one());
        drop(taken);
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

impl Seat {
    /// It has nothing to do.
    pub(super) fn idle(&self) -> Idle<'_> {
        let told = Arc::new(Notify::new());
        let mut taken = self.0.taken();
        let number = taken.next;
        taken.next += 1;
        match taken.is_closed {
            true => told.notify_one(),
            false => drop(taken.idle.insert(number, Arc::clone(&told))),
        }
        Idle { seat: self, number, told }
    }

    /// Waits until the house closes.
    pub(super) async fn house_closes(&self) {
        self.0.house_closes().await;
    }
}

impl Idle<'_> {
    /// Waits until somebody else needs the place.
    pub(super) async fn is_to_leave(&self) {
        self.told.notified().await;
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.seat.0.taken().idle.remove(&self.number);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.0.taken();
        taken.seats = taken.seats.saturating_sub(1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn who_comes_last_takes_the_place_of_who_was_idle_for_longest() {
        let hall = Hall::new(2);
        let (first, second) = (hall.seat().unwrap(), hall.seat().unwrap());
        assert!(hall.seat().is_none());
        let (later, longest) = (second.idle(), first.idle());
        drop(later);
        let later = second.idle();
        let third = hall.seat();
        assert!(third.is_some());
        longest.is_to_leave().await;
        drop(longest);
        hall.close();
        later.is_to_leave().await;
        second.house_closes().await;
    }
}
