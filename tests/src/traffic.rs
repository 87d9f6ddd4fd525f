//! Numbered messages to apps that pass numbers on (the guest `ledger`), through a real broker: one, many at a steady
//! rate, or as many as go through; how long each took, and which never came.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::dice::Dice;
use crate::peer::Peer;

/// How long after the last one a message may come before it counts as lost.
const LATE: Duration = Duration::from_secs(30);

/// How long messages took, shortest first.
#[derive(Clone, Debug, Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Of these, in any order.
    #[must_use]
    pub fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self(times)
    }

    /// The one below which this share of them is; nothing if there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> Duration {
        let last = self.0.len().saturating_sub(1);
        self.0.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
    }
}

/// What came of messages.
#[derive(Clone, Debug, Default)]
pub struct Passed {
    /// Sent.
    pub sent: u64,
    /// Never answered.
    pub lost: u64,
    /// Answered once more.
    pub again: u64,
    /// From the moment when it was to be sent until its number came out.
    pub times: Times,
    /// The same of those that had to be kept in a database first (`in/…/keep`).
    pub kept: Times,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Passed,
    Kept,
}

/// An outside world that sends numbers on topics `in/…` and waits for them on `out/…`.
pub struct Traffic {
    peer: Peer,
    next: u64,
    under_way: HashMap<u64, (Instant, Kind)>,
    came: Vec<(Duration, Kind)>,
    again: u64,
}

impl Traffic {
    /// Through the broker at this port.
    #[must_use]
    pub fn through(port: u16) -> Self {
        let peer = Peer::subscribed(port, "out/#");
        Self { peer, next: 0, under_way: HashMap::new(), came: Vec::new(), again: 0 }
    }

    /// One message, and how long it took; nothing if it did not come back.
    pub fn one(&mut self, topic: &str) -> Option<Duration> {
        self.one_within(topic, LATE)
    }

    /// The same; nothing if it did not come back within this.
    pub fn one_within(&mut self, topic: &str, wait: Duration) -> Option<Duration> {
        self.send(topic, Instant::now());
        self.settle(wait);
        let passed = self.passed(1);
        [passed.times, passed.kept].into_iter().find_map(|mut times| times.0.pop())
    }

    /// So many messages a second for so long, each on a topic that the dice choose.
    pub fn steady(
        &mut self,
        topics: &[String],
        rate: u32,
        time: Duration,
        dice: &mut Dice,
    ) -> Passed {
        let (begun, count) = (Instant::now(), (time.as_secs_f64() * f64::from(rate)) as u64);
        for number in 0..count {
            let due = begun + Duration::from_secs_f64(number as f64 / f64::from(rate));
            while let Some(left) = due.checked_duration_since(Instant::now()) {
                self.take(left);
            }
            self.send(any(topics, dice), due);
        }
        self.settle(LATE);
        self.passed(count)
    }

    /// So many messages as fast as they go through, with at most `window` of them under way.
    pub fn hasty(
        &mut self,
        topics: &[String],
        count: u64,
        window: usize,
        dice: &mut Dice,
    ) -> Passed {
        for _ in 0..count {
            let begun = Instant::now();
            while self.under_way.len() >= window && begun.elapsed() < LATE {
                self.take(LATE);
            }
            self.send(any(topics, dice), Instant::now());
        }
        self.settle(LATE);
        self.passed(count)
    }

    fn send(&mut self, topic: &str, due: Instant) {
        let kind = if topic.ends_with("/keep") { Kind::Kept } else { Kind::Passed };
        self.under_way.insert(self.next, (due, kind));
        self.peer.publish(topic, self.next.to_string());
        self.next += 1;
    }

    /// Takes what comes within this time, if anything does.
    fn take(&mut self, wait: Duration) {
        let Some((_, text)) = self.peer.next_within(wait) else { return };
        let number = text.parse().ok();
        match number.and_then(|number: u64| self.under_way.remove(&number)) {
            Some((due, kind)) => self.came.push((due.elapsed(), kind)),
            None => self.again += 1,
        }
    }

    /// Waits for what is under way, as long as any of it comes.
    fn settle(&mut self, wait: Duration) {
        let mut came = Instant::now();
        while !self.under_way.is_empty() && came.elapsed() < wait {
            let before = self.came.len();
            self.take(Duration::from_millis(100));
            if self.came.len() > before {
                came = Instant::now();
            }
        }
    }

    fn passed(&mut self, sent: u64) -> Passed {
        let lost = self.under_way.drain().count() as u64;
        let (came, again) = (std::mem::take(&mut self.came), std::mem::take(&mut self.again));
        let of = |wanted: Kind| {
            let those = came.iter().filter(|(_, kind)| *kind == wanted);
            Times::of(those.map(|(took, _)| *took).collect())
        };
        Passed { sent, lost, again, times: of(Kind::Passed), kept: of(Kind::Kept) }
    }
}

fn any<'t>(topics: &'t [String], dice: &mut Dice) -> &'t str {
    let place = usize::try_from(dice.below(topics.len() as u64)).unwrap_or(0);
    topics.get(place).map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_looked_up_by_the_share_below_them() {
        let times = Times::of((0..=100).rev().map(Duration::from_millis).collect());
        let at = [0.0, 0.5, 0.99, 1.0].map(|share| times.at(share).as_millis());
        assert_eq!(at, [0, 50, 99, 100]);
        assert_eq!(Times::default().at(0.5), Duration::ZERO);
    }
}
