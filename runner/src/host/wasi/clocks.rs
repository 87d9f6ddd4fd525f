//! `wasi:clocks`: the time of day and the monotonic clock, and waiting for the latter. The time of day
//! is what the board believes it is: without a battery it starts in the past and jumps.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::poll::Pollable;
use super::{Door, Host, interface};
use crate::engine::door::Answer;
use crate::engine::wire::wire;
use crate::limits::wasi::TIMER_MAX;

wire! {
    /// `record datetime`: seconds and nanoseconds since 1970.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct Datetime {
        pub(super) seconds: u64,
        pub(super) nanoseconds: u32,
    }
}

impl From<SystemTime> for Datetime {
    /// Times before 1970 become 1970: the type has no earlier ones.
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { seconds: since.as_secs(), nanoseconds: since.subsec_nanos() }
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut wall = interface(door, "clocks/wall-clock")?;
    wall.at_once("now", |_, (): ()| Ok((Datetime::from(SystemTime::now()),)))?;
    wall.at_once("resolution", |_, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 1 },)))?;

    let mut monotonic = interface(door, "clocks/monotonic-clock")?;
    monotonic.at_once("now", |_, (): ()| Ok((monotonic_ns(),)))?;
    monotonic.at_once("resolution", |_, (): ()| Ok((1_u64,)))?;
    monotonic.at_once("subscribe-instant", |host, (when_ns,): (u64,)| {
        subscribe(host, when_ns.saturating_sub(monotonic_ns()))
    })?;
    monotonic.at_once("subscribe-duration", |host, (ns,): (u64,)| subscribe(host, ns))
}

/// The kernel's monotonic clock, so that instants mean the same in all invocations of a boot.
pub(super) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let ns = i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec);
    u64::try_from(ns).unwrap_or(0)
}

fn subscribe(host: &Host, in_ns: u64) -> Answer<(Resource<Pollable>,)> {
    let wait = Duration::from_nanos(in_ns).min(TIMER_MAX);
    Ok((host.push(Pollable::at(Instant::now() + wait))?,))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::testing::host;
    use super::*;

    #[test]
    fn times_before_1970_are_1970() {
        let early = Datetime::from(UNIX_EPOCH - Duration::from_secs(5));
        assert_eq!(early, Datetime { seconds: 0, nanoseconds: 0 });
        let later = Datetime::from(UNIX_EPOCH + Duration::new(5, 6));
        assert_eq!(later, Datetime { seconds: 5, nanoseconds: 6 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_timer_for_ever_is_cut_to_one_that_the_loop_can_hold() {
        let host = host();
        let (pollable,) = subscribe(&host, u64::MAX).unwrap();
        let start = Instant::now();
        host.with(&pollable, |p| p.wait()).unwrap().await;
        assert_eq!(start.elapsed().as_secs(), TIMER_MAX.as_secs());
    }
}
