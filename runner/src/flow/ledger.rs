//! The memory of all instances of a process: one is admitted when all that it may take fits what is left; until then it
//! waits, in the order in which the crew gave it its turn. So the budget of a board holds for what is in use, and not only
//! for what could be.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The ledger, in KiB.
pub struct Ledger {
    free: Arc<Semaphore>,
    all: u32,
    most: AtomicU32,
    /// Those that wait to be admitted.
    waiting: AtomicU32,
}

/// A snapshot, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    /// For instances in all; `None` if that was settled at the start.
    pub all: Option<u32>,
    /// Instances that live may take so much.
    pub in_use: u32,
    /// The most that they ever might.
    pub most: u32,
}

/// What one instance may take, as long as it is there.
pub(super) struct Admitted {
    _permit: OwnedSemaphorePermit,
}

/// One that waits, until this is dropped.
struct Waits<'a>(&'a AtomicU32);

impl<'a> Waits<'a> {
    fn new(waiting: &'a AtomicU32) -> Self {
        waiting.fetch_add(1, Relaxed);
        Self(waiting)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Ledger {
    /// For instances that may take so much together. `None`: whatever there is was checked before.
    pub fn new(bytes: Option<u64>) -> Self {
        let most = u32::try_from(Semaphore::MAX_PERMITS >> 1).unwrap_or(u32::MAX >> 1);
        let all = bytes.map_or(most, |bytes| kib(bytes).min(most));
        let free = Arc::new(Semaphore::new(all as usize));
        Self { free, all, most: AtomicU32::new(0), waiting: AtomicU32::new(0) }
    }

    /// Whether one that may take so much can ever be admitted.
    pub fn has_room_for(&self, bytes: u64) -> bool {
        kib(bytes) <= self.all
    }

    /// Whether somebody waits to be admitted.
    pub(super) fn is_waited_for(&self) -> bool {
        self.waiting.load(Relaxed) > 0
    }

    /// Waits until so much is free. One that is larger than all there is waits for all.
    pub(super) async fn admit(&self, bytes: u64) -> Option<Admitted> {
        let _waits = Waits::new(&self.waiting);
        let permit =
            Arc::clone(&self.free).acquire_many_owned(kib(bytes).min(self.all)).await.ok()?;
        self.most.fetch_max(self.account().in_use, Relaxed);
        Some(Admitted { _permit: permit })
    }

    /// What is in use.
    pub fn account(&self) -> Account {
        let free = u32::try_from(self.free.available_permits()).unwrap_or(u32::MAX);
        let is_bounded =
            self.all < u32::try_from(Semaphore::MAX_PERMITS >> 1).unwrap_or(u32::MAX >> 1);
        Account {
            all: is_bounded.then_some(self.all),
            in_use: self.all.saturating_sub(free),
            most: self.most.load(Relaxed),
        }
    }
}

fn kib(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    #[test]
    fn what_does_not_fit_waits_for_what_came_before_it() {
        let ledger = Ledger::new(Some(10 << 10));
        let mut context = Context::from_waker(Waker::noop());
        let mut poll =
            |admit: &mut std::pin::Pin<&mut dyn Future<Output = Option<Admitted>>>| match admit
                .as_mut()
                .poll(&mut context)
            {
                Poll::Ready(admitted) => admitted,
                Poll::Pending => None,
            };
        let mut six: std::pin::Pin<&mut dyn Future<Output = _>> = pin!(ledger.admit(6 << 10));
        let first = poll(&mut six).unwrap();
        let mut five: std::pin::Pin<&mut dyn Future<Output = _>> = pin!(ledger.admit(5 << 10));
        assert!(poll(&mut five).is_none());
        assert!(ledger.is_waited_for());
        // A small one does not overtake it, or it would wait for ever.
        let mut one: std::pin::Pin<&mut dyn Future<Output = _>> = pin!(ledger.admit(1 << 10));
        assert!(poll(&mut one).is_none());
        assert_eq!(ledger.account(), Account { all: Some(10), in_use: 10, most: 6 });
        drop(first);
        let both = (poll(&mut five), poll(&mut one));
        assert!(both.0.is_some() && both.1.is_some() && !ledger.is_waited_for());
        assert_eq!(ledger.account(), Account { all: Some(10), in_use: 6, most: 6 });
    }

    #[test]
    fn what_is_larger_than_everything_is_known_before() {
        let ledger = Ledger::new(Some(1 << 20));
        assert!(ledger.has_room_for(1 << 20) && !ledger.has_room_for((1 << 20) + 1));
        assert!(Ledger::new(None).has_room_for(1 << 38));
        assert_eq!(Ledger::new(None).account().all, None);
    }
}
