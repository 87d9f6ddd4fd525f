//! The only place of the GPIO lines that knows which clock there is: tokio's, which is the monotonic
//! one, and which tests can stop.

use crate::limits::gpio::{RETRY_FIRST, RETRY_MAX};
use std::time::{Duration, Instant};

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Never, for `None`.
pub(super) async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

/// How long to wait after so many attempts in a row that failed. Without jitter: nobody else is
/// kept waiting by a chip of this machine.
pub(super) fn pause(failures: u32) -> Duration {
    RETRY_FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(RETRY_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pause_doubles_from_1_to_30_seconds() {
        for (failures, seconds) in [(1, 1), (2, 2), (3, 4), (5, 16), (6, 30), (u32::MAX, 30)] {
            assert_eq!(pause(failures), Duration::from_secs(seconds), "{failures} failures");
        }
    }
}
