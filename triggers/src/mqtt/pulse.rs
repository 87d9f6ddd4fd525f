//! Whether the other side still lives: when to ping, and when to give the connection up. Pure.
//!
//! Anything that is heard is a sign of life, the answer to our ping included; a broker that sends a
//! huge message cannot answer before it has sent it. What we send is none: a dead link takes a send
//! buffer full of it without a word. So a ping is due when nothing was sent or nothing was heard for a
//! keep-alive, and half of one later the link is dead. A broker that still sends but takes nothing off us
//! is dead as well, after the same time.

use std::time::{Duration, Instant};

/// The state of one connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pulse {
    keep_alive: Duration,
    sent: Instant,
    heard: Instant,
    ping: Ping,
    /// Since when what is to be written cannot be.
    stuck: Option<Instant>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ping {
    None,
    /// To be sent; counts from when it was due, since it may never get out.
    Due(Instant),
    Sent(Instant),
}

/// What time has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beat {
    Fine,
    Silent,
}

impl Pulse {
    pub(super) fn new(keep_alive: Duration, now: Instant) -> Self {
        Self { keep_alive, sent: now, heard: now, ping: Ping::None, stuck: None }
    }

    /// The broker asks for another keep-alive; one of nought is none at all, and we keep ours.
    pub(super) fn set_keep_alive(&mut self, keep_alive: Duration) {
        if !keep_alive.is_zero() {
            self.keep_alive = keep_alive;
        }
    }

    /// A packet was given out to be written.
    pub(super) fn sent(&mut self, now: Instant) {
        self.sent = now;
    }

    /// Something was read.
    pub(super) fn heard(&mut self, now: Instant) {
        (self.heard, self.ping) = (now, Ping::None);
    }

    /// Something was written, or could not be.
    pub(super) fn written(&mut self, stuck: bool, now: Instant) {
        self.stuck = stuck.then(|| self.stuck.unwrap_or(now));
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Instant {
        let dead = self.keep_alive * 3 / 2;
        let next = match self.ping {
            Ping::None => self.sent.min(self.heard) + self.keep_alive,
            Ping::Due(since) | Ping::Sent(since) => since + self.keep_alive / 2,
        };
        self.stuck.map_or(next, |since| next.min(since + dead))
    }

    /// Looks at the time.
    pub(super) fn step(&mut self, now: Instant) -> Beat {
        if now < self.deadline() {
            return Beat::Fine;
        }
        let stuck = self.stuck.is_some_and(|since| since + self.keep_alive * 3 / 2 <= now);
        match self.ping {
            Ping::None if !stuck => {
                self.ping = Ping::Due(now);
                Beat::Fine
            }
            _ => Beat::Silent,
        }
    }

    /// Whether a ping is to be sent. It counts as sent.
    pub(super) fn take_ping(&mut self) -> bool {
        match self.ping {
            Ping::Due(since) => {
                self.ping = Ping::Sent(since);
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP_ALIVE: Duration = Duration::from_secs(60);

    fn after(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    #[test]
    fn an_idle_link_is_pinged_after_a_keep_alive_and_lives_as_long_as_it_answers() {
        let start = Instant::now();
        let mut pulse = Pulse::new(KEEP_ALIVE, start);
        for round in 0..5 {
            let begin = after(start, round * 60);
            assert_eq!(pulse.deadline(), after(begin, 60));
            assert_eq!((pulse.step(after(begin, 59)), pulse.take_ping()), (Beat::Fine, false));
            assert_eq!((pulse.step(after(begin, 60)), pulse.take_ping()), (Beat::Fine, true));
            assert!(!pulse.take_ping(), "once");
            pulse.sent(after(begin, 60));
            pulse.heard(after(begin, 60));
        }
    }

    #[test]
    fn a_link_that_only_takes_is_dead_after_one_and_a_half_keep_alives() {
        let start = Instant::now();
        let mut pulse = Pulse::new(KEEP_ALIVE, start);
        for second in 0..60 {
            pulse.sent(after(start, second));
            assert_eq!(pulse.step(after(start, second)), Beat::Fine);
        }
        assert_eq!((pulse.step(after(start, 60)), pulse.take_ping()), (Beat::Fine, true));
        assert_eq!(pulse.step(after(start, 89)), Beat::Fine);
        assert_eq!(pulse.step(after(start, 90)), Beat::Silent);
    }

    #[test]
    fn a_link_that_only_gives_is_dead_after_the_same_time() {
        let start = Instant::now();
        let mut pulse = Pulse::new(KEEP_ALIVE, start);
        for second in 0..90 {
            pulse.heard(after(start, second));
            pulse.written(true, after(start, second));
            assert_eq!(pulse.step(after(start, second)), Beat::Fine);
        }
        assert_eq!(pulse.step(after(start, 90)), Beat::Silent);
    }

    #[test]
    fn a_broker_that_asks_for_no_keep_alive_gets_ours_and_one_that_asks_for_another_gets_that() {
        let start = Instant::now();
        let mut pulse = Pulse::new(KEEP_ALIVE, start);
        pulse.set_keep_alive(Duration::ZERO);
        assert_eq!(pulse.deadline(), after(start, 60));
        pulse.set_keep_alive(Duration::from_secs(20));
        assert_eq!(pulse.deadline(), after(start, 20));
    }
}
