//! The clock of embassy-time: tokio's. No thread of its own, no polling, nothing that can overflow.
//!
//! embassy-time asks two things of a driver: what time is it, and wake this waker then. tokio's timer
//! wheel already does both, for any number of timers, so the second is a tokio `Sleep` that is polled
//! once with the waker, which hands the waker to the wheel, and is kept until it has elapsed. One is
//! kept for each waker, the earliest: who is woken asks again for what is still to come. Many runtimes
//! may live in one process, as they do in tests; a `Sleep` belongs to the one that asked for it. With
//! `tokio::time::pause` this clock stands still and leaps as tokio's does.
//!
//! embassy's timers do not say when they are dropped. A timer that was dropped early therefore wakes
//! its task once for nothing, and a task that ended early keeps its (small) cell until the time has
//! come. What has elapsed is swept out whenever the number of entries has doubled, so that a call
//! costs a constant time on average.
//!
//! Outside a tokio runtime, or in one without its timer, `now` is the system's monotonic clock, and a
//! timer fails as `tokio::time::sleep` does there: there is nobody who could wake it.
//!
//! Exactly one driver may be linked into a program: whoever links this crate gets this one, and must
//! not turn on embassy-time's `std` or `mock-driver`.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::task::{Context, Waker};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

/// embassy-time's instant at our epoch, so that instants before it can be told apart too: a runtime
/// whose clock a test paused may be older than the first question that this driver was asked.
const EPOCH_TICKS: u64 = 1 << 40;

const _: () = assert!(embassy_time_driver::TICK_HZ == 1_000_000, "ticks are microseconds");

embassy_time_driver::time_driver_impl!(static DRIVER: TokioDriver = TokioDriver);

struct TokioDriver;

impl embassy_time_driver::Driver for TokioDriver {
    fn now(&self) -> u64 {
        to_ticks(Instant::now())
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        let at = to_instant(at);
        if queue().wakes_by(waker, at) {
            return;
        }
        let mut asleep = Box::pin(tokio::time::sleep_until(at));
        // Unconstrained, since a task that has used up its turn would be put off here, and the wheel
        // would not hear of it.
        let mut asking = tokio::task::unconstrained(asleep.as_mut());
        if Pin::new(&mut asking).poll(&mut Context::from_waker(waker)).is_ready() {
            return waker.wake_by_ref();
        }
        let over = queue().put(waker, asleep);
        // Not before the queue is free again: what goes with the last reference to a task may be a
        // future that asks for the time.
        drop(over);
    }
}

/// Who waits: one entry for each waker.
static QUEUE: OnceLock<Mutex<Queue>> = OnceLock::new();

fn queue() -> std::sync::MutexGuard<'static, Queue> {
    let queue = QUEUE.get_or_init(Mutex::default);
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Queue {
    /// By the waker's identity, which cannot be taken by another while the entry holds the waker,
    /// and which no longer matters once the entry has elapsed.
    asleep: HashMap<(usize, usize), Pin<Box<Sleep>>>,
    /// Entries after the last sweep.
    swept: usize,
}

impl Queue {
    /// Whether this waker is woken then, or sooner, without anything more.
    fn wakes_by(&self, waker: &Waker, at: Instant) -> bool {
        let known = self.asleep.get(&identity(waker));
        known.is_some_and(|asleep| !asleep.is_elapsed() && asleep.deadline() <= at)
    }

    /// What the caller must drop after it has let go of the queue.
    fn put(&mut self, waker: &Waker, asleep: Pin<Box<Sleep>>) -> Vec<Pin<Box<Sleep>>> {
        let mut out: Vec<_> = self.asleep.insert(identity(waker), asleep).into_iter().collect();
        if self.asleep.len() > 2 * self.swept + 16 {
            let elapsed = self.asleep.extract_if(|_, asleep| asleep.is_elapsed());
            out.extend(elapsed.map(|(_, asleep)| asleep));
            self.swept = self.asleep.len();
            self.asleep.shrink_to(2 * self.swept);
        }
        out
    }
}

fn identity(waker: &Waker) -> (usize, usize) {
    (waker.data().addr(), std::ptr::from_ref(waker.vtable()).addr())
}

fn epoch() -> Instant {
    static EPOCH: OnceLock<std::time::Instant> = OnceLock::new();
    Instant::from_std(*EPOCH.get_or_init(std::time::Instant::now))
}

fn to_ticks(instant: Instant) -> u64 {
    let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
    match instant.checked_duration_since(epoch()) {
        Some(after) => EPOCH_TICKS.saturating_add(micros(after)),
        None => EPOCH_TICKS.saturating_sub(micros(epoch().duration_since(instant))),
    }
}

/// An instant too far away for the system's clock is one in thirty years.
fn to_instant(ticks: u64) -> Instant {
    let far = Duration::from_hours(30 * 365 * 24);
    match ticks.checked_sub(EPOCH_TICKS) {
        Some(after) => epoch().checked_add(Duration::from_micros(after)),
        None => epoch().checked_sub(Duration::from_micros(EPOCH_TICKS - ticks)),
    }
    .unwrap_or_else(|| Instant::now() + far)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use embassy_time::{Duration, Instant, Timer};
    use std::future::poll_fn;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::Poll;

    /// Waits for a timer and counts how often it was polled for that.
    async fn counted(timer: Timer, polls: &AtomicU64) {
        let mut timer = pin!(timer);
        poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            timer.as_mut().poll(cx)
        })
        .await;
    }

    #[tokio::test(start_paused = true)]
    async fn thousands_of_timers_are_each_woken_once_and_in_their_order() {
        let (polls, order) = (Arc::new(AtomicU64::new(0)), Arc::new(Mutex::new(Vec::new())));
        let start = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for n in 0..2_000_u64 {
            let (polls, order) = (polls.clone(), order.clone());
            let seconds = 1 + (n * 7919) % 2_000;
            tasks.spawn(async move {
                counted(Timer::at(start + Duration::from_secs(seconds)), &polls).await;
                assert!(Instant::now() >= start + Duration::from_secs(seconds));
                order.lock().unwrap().push(seconds);
            });
        }
        tasks.join_all().await;
        assert_eq!(*order.lock().unwrap(), (1..=2_000).collect::<Vec<_>>());
        assert_eq!(polls.load(Ordering::Relaxed), 2 * 2_000, "once to ask, once to be told");
    }

    #[tokio::test(start_paused = true)]
    async fn timers_of_one_task_are_woken_each_at_its_time() {
        let start = Instant::now();
        let after = |seconds| async move {
            Timer::after_secs(seconds).await;
            (Instant::now() - start).as_secs()
        };
        let woken = tokio::join!(after(30), after(10), after(20), after(10), after(3_600));
        assert_eq!(woken, (30, 10, 20, 10, 3_600));
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_timer_after_an_abandoned_one_still_comes() {
        let polls = AtomicU64::new(0);
        let abandoned = tokio::time::timeout(
            std::time::Duration::from_secs(1),
            counted(Timer::after_secs(60), &polls),
        );
        assert!(abandoned.await.is_err());
        let later = Instant::now();
        counted(Timer::after_secs(7_200), &polls).await;
        assert_eq!((Instant::now() - later).as_secs(), 7_200);
        assert_eq!(polls.load(Ordering::Relaxed), 2 + 3, "one for the abandoned timer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_has_used_up_its_turn_is_still_woken() {
        for _ in 0..1_000 {
            tokio::task::coop::consume_budget().await;
            let mut timer = pin!(Timer::after_secs(1));
            let mut fresh = true;
            // Uses up what is left of this turn, and asks in the same turn.
            poll_fn(|cx| {
                while fresh {
                    match tokio::task::coop::poll_proceed(cx) {
                        Poll::Ready(spent) => spent.made_progress(),
                        Poll::Pending => fresh = false,
                    }
                }
                timer.as_mut().poll(cx)
            })
            .await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_in_the_past_is_over_at_once() {
        let start = Instant::now();
        Timer::at(Instant::from_ticks(0)).await;
        assert_eq!(Instant::now(), start);
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_at_the_end_of_time_waits_and_can_be_dropped() {
        let waited = tokio::time::timeout(
            std::time::Duration::from_hours(24 * 365),
            Timer::at(Instant::from_ticks(u64::MAX)),
        );
        assert!(waited.await.is_err());
    }

    #[test]
    fn runtimes_one_after_the_other_and_side_by_side_keep_their_own_time() {
        let run = |hours: u64| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(async {
                let start = Instant::now();
                Timer::after_secs(hours * 3_600).await;
                assert_eq!((Instant::now() - start).as_secs(), hours * 3_600);
                // Left behind in the queue when the runtime ends.
                let mut left = pin!(Timer::after_secs(3_600));
                poll_fn(|cx| {
                    assert!(left.as_mut().poll(cx).is_pending());
                    Poll::Ready(())
                })
                .await;
            });
        };
        let threads: Vec<_> = (1..=8).map(|n| std::thread::spawn(move || run(n * 10))).collect();
        (1..=20).for_each(run);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_has_elapsed_does_not_pile_up() {
        for _ in 0..2_000 {
            tokio::spawn(Timer::after_millis(1)).await.unwrap();
        }
        let asleep = super::queue().asleep.len();
        assert!(asleep < 1_000, "{asleep} entries, and next to nobody waits");
    }
}
