//! A component's rate: spreads events so that no period has more of them. A token bucket of one period. Pure.

use std::time::{Duration, Instant};

/// The bucket.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    interval: Duration,
    burst: Duration,
    /// When the bucket would be full again.
    full_at: Option<Instant>,
}

impl Pace {
    /// So many events a period.
    pub fn new(events: u32, period: Duration) -> Self {
        Self { interval: period / events.max(1), burst: period, full_at: None }
    }

    /// When the next event may run, if that is not now.
    pub fn wait(&self, now: Instant) -> Option<Instant> {
        let full_at = self.full_at?.max(now) + self.interval;
        full_at.checked_sub(self.burst).filter(|ready| *ready > now)
    }

    /// One event runs at `now`.
    pub fn take(&mut self, now: Instant) {
        self.full_at = Some(self.full_at.map_or(now, |full_at| full_at.max(now)) + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_lets_a_burst_of_one_period_through_and_spreads_the_rest() {
        let start = Instant::now();
        let mut pace = Pace::new(4, Duration::from_secs(1));
        for _ in 0..4 {
            assert_eq!(pace.wait(start), None);
            pace.take(start);
        }
        let quarter = Duration::from_millis(250);
        assert_eq!(pace.wait(start), Some(start + quarter));
        pace.take(start + quarter);
        assert_eq!(pace.wait(start + quarter), Some(start + quarter * 2));
        assert_eq!(pace.wait(start + Duration::from_secs(10)), None);
    }
}
