//! The wall clock: what it shows, whether that can be believed, and a word when somebody sets it.
//!
//! A board without a battery starts in 1970, or when it was last switched off, and leaps when the
//! network comes. What its clock shows is believable from a date on that is certainly past (the
//! board's file gives one, or the build), or when the kernel says that its clock is synchronised.
//!
//! The kernel tells when the clock is set: a timer on it that is cancelled by that (timerfd_create(2),
//! `TFD_TIMER_CANCEL_ON_SET`). Nobody looks at the clock to find out.
//!
//! What this is not: the clock of intervals, which is embassy-time's.

use super::interval::{SECOND, micros};
use embassy_time::Instant;
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

/// A wall clock.
#[derive(Debug)]
pub struct WallClock {
    not_before: u64,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// The kernel's, with the timer that is cancelled when it is set.
    System(AsyncFd<OwnedFd>),
    Manual(Arc<Manual>),
}

/// What a wall clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reading {
    /// Microseconds since 1970.
    pub(super) micros: u64,
    /// Whether that can be believed.
    pub(super) believable: bool,
}

impl WallClock {
    /// The system's clock, believed when it shows `not_before` (seconds since 1970) or later, or when
    /// the kernel calls it synchronised. To be called on a tokio runtime with its I/O driver.
    ///
    /// # Errors
    /// If the kernel has no timer for it, or the process no file descriptor left.
    pub fn system(not_before: u64) -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Realtime, flags)?;
        // In the year 2242, which is as late as matters: it must be armed to be cancelled.
        let never = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: 0x1_ffff_ffff, tv_nsec: 0 },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&timer, flags, &never)?;
        // Deprecated because a type may give one descriptor now and another later. This one cannot,
        // and what replaces it is `unsafe` for the same reason.
        #[allow(deprecated)]
        let timer = AsyncFd::with_interest(timer, Interest::READABLE)?;
        Ok(Self { not_before, source: Source::System(timer) })
    }

    /// A clock that is set by hand and otherwise goes with tokio's clock. It shows `unix` first, and
    /// is believed as the system's is.
    pub fn manual(unix: Duration, not_before: u64) -> (Self, ManualClock) {
        let base = (Instant::now(), micros(unix));
        let manual = Manual { state: Mutex::new((base, false)), set: Notify::new() };
        let manual = Arc::new(manual);
        (Self { not_before, source: Source::Manual(manual.clone()) }, ManualClock(manual))
    }

    /// From when on the clock is believed, whatever the kernel says. Seconds since 1970.
    pub(super) fn not_before(&self) -> u64 {
        self.not_before
    }

    pub(super) fn read(&self) -> Reading {
        let micros = match &self.source {
            Source::System(_) => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros),
            Source::Manual(manual) => manual.shows(),
        };
        let believable = micros / SECOND >= self.not_before || self.is_synchronised();
        Reading { micros, believable }
    }

    /// Returns when the clock was set since this was last waited for, perhaps once too often. Nothing
    /// is lost when it is dropped.
    pub(super) async fn set(&self) {
        let timer = match &self.source {
            Source::System(timer) => timer,
            Source::Manual(manual) => return manual.set.notified().await,
        };
        let read = |timer: &OwnedFd| match rustix::io::read(timer, &mut [0; 8]) {
            // Cancelled, which leaves the timer armed. Or the year 2242.
            Err(Errno::CANCELED) | Ok(_) => Ok(()),
            Err(error) => Err(io::Error::from(error)),
        };
        if timer.async_io(Interest::READABLE, read).await.is_err() {
            // Not a timer any more: then the clock is looked at when a rule is due.
            std::future::pending::<()>().await;
        }
    }

    fn is_synchronised(&self) -> bool {
        match &self.source {
            Source::System(_) => kernel_is_synchronised(),
            Source::Manual(manual) => manual.state().1,
        }
    }
}

/// A hand on a clock of [`WallClock::manual`].
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<Manual>);

impl ManualClock {
    /// Sets it, to a time since 1970. As with the kernel's, it is then no longer synchronised.
    pub fn set(&self, unix: Duration) {
        *self.0.state() = ((Instant::now(), micros(unix)), false);
        self.0.set.notify_one();
    }

    /// Calls it synchronised, and tells nobody: the kernel does not either.
    pub fn synchronise(&self) {
        self.0.state().1 = true;
    }

    /// What it shows, since 1970.
    pub fn shows(&self) -> Duration {
        Duration::from_micros(self.0.shows())
    }
}

#[derive(Debug)]
struct Manual {
    /// When it was set, to what, and whether it is synchronised.
    state: Mutex<((Instant, u64), bool)>,
    set: Notify,
}

impl Manual {
    fn state(&self) -> MutexGuard<'_, ((Instant, u64), bool)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn shows(&self) -> u64 {
        let ((at, shown), _) = *self.state();
        let elapsed = Instant::now().saturating_duration_since(at);
        shown.saturating_add(elapsed.as_micros())
    }
}

/// What adjtimex(2) answers when it is asked and not told anything is a state of the clock. All but
/// `TIME_ERROR`, the highest, mean that somebody keeps it right; below zero a sandbox forbids asking.
fn kernel_is_synchronised() -> bool {
    /// With room behind it: C libraries for 32 bits disagree about the size of the time within.
    #[repr(C)]
    struct Answer {
        timex: libc::timex,
        room: [u64; 16],
    }
    // SAFETY: both are plain integers, for which zeros are a value, and zeros ask without changing
    // anything. The pointer is to a live local that is larger than what may be written.
    #[allow(unsafe_code)]
    let state = unsafe {
        let mut answer: Answer = std::mem::zeroed();
        libc::adjtimex(&raw mut answer.timex)
    };
    (0..libc::TIME_ERROR).contains(&state)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn the_system_s_clock_shows_the_system_s_time_and_is_believed_after_the_date() {
        let clock = WallClock::system(1).unwrap();
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let reading = clock.read();
        let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        assert!((micros(before)..=micros(after)).contains(&reading.micros));
        assert!(reading.believable);
    }

    #[tokio::test]
    async fn before_the_date_the_kernel_decides() {
        let clock = WallClock::system(u64::MAX).unwrap();
        assert_eq!(clock.read().believable, kernel_is_synchronised());
    }

    #[tokio::test]
    async fn waiting_for_the_clock_to_be_set_does_not_end_by_itself() {
        let clock = WallClock::system(0).unwrap();
        let wait = tokio::time::timeout(Duration::from_millis(50), clock.set());
        assert!(wait.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_set_by_hand_goes_with_tokio_s_and_tells_when_it_is_set() {
        let (clock, hand) = WallClock::manual(Duration::from_secs(1_000), 2_000);
        tokio::time::advance(Duration::from_secs(10)).await;
        let Reading { micros, believable } = clock.read();
        assert!(micros.abs_diff(1_010_000_000) < 1_000 && !believable, "{micros} {believable}");
        hand.synchronise();
        assert!(clock.read().believable);
        hand.set(Duration::from_secs(1_999));
        clock.set().await;
        assert!(!clock.read().believable);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(clock.read().believable);
    }
}
