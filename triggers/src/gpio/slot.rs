//! Where a line is kept, or the reason why there is none and the time of the next try. A state
//! machine; time is an argument.

use super::clock::pause;
use super::fault::{Fault, Unavailable};
use super::line::{LineState, Notice};
use crate::limits::gpio::RETRY_MAX;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct Slot<L> {
    name: Arc<str>,
    line: Option<L>,
    /// Why there is no line; said once already.
    reason: Option<Arc<str>>,
    failures: u32,
    retry_at: Instant,
    since: Instant,
}

impl<L> Slot<L> {
    /// Empty; the first try is due.
    pub(super) fn new(name: Arc<str>, now: Instant) -> Self {
        Self { name, line: None, reason: None, failures: 0, retry_at: now, since: now }
    }

    pub(super) fn line(&self) -> Option<&L> {
        self.line.as_ref()
    }

    /// When to try again, if there is no line.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.line.is_none().then_some(self.retry_at)
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.retry_at().is_some_and(|at| at <= now)
    }

    /// What a try came to.
    pub(super) fn tried(&mut self, opened: Result<L, Fault>, now: Instant) -> Option<Notice> {
        match opened {
            Ok(line) => {
                (self.line, self.since) = (Some(line), now);
                let said = self.reason.take();
                said.map(|_| Notice::Back { line: self.name.clone() })
            }
            Err(fault) => self.fail(&fault, now),
        }
    }

    /// The line does not work any more. Never tried again at once, or a line that opens and fails
    /// would keep the processor busy.
    pub(super) fn lost(&mut self, fault: &Fault, now: Instant) -> Option<Notice> {
        if now.saturating_duration_since(self.since) >= RETRY_MAX {
            self.failures = 0;
        }
        self.line = None;
        self.fail(fault, now)
    }

    fn fail(&mut self, fault: &Fault, now: Instant) -> Option<Notice> {
        self.failures = self.failures.saturating_add(1);
        self.retry_at = now + pause(self.failures);
        let reason: Arc<str> = fault.to_string().into();
        let said = self.reason.replace(reason.clone());
        said.is_none().then(|| Notice::Lost { line: self.name.clone(), reason })
    }

    pub(super) fn state(&self) -> LineState {
        match self.line {
            Some(_) => LineState::Ready,
            None => LineState::Waiting(self.reason()),
        }
    }

    pub(super) fn unavailable(&self) -> Unavailable {
        Unavailable { line: self.name.clone(), reason: self.reason() }
    }

    fn reason(&self) -> Arc<str> {
        self.reason.clone().unwrap_or_else(|| "it has not been opened yet".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn trouble_is_said_once_and_so_is_its_end() {
        let now = Instant::now();
        let mut slot = Slot::new("DOOR".into(), now);
        assert!(matches!(slot.tried(Err(Fault::Gone), now), Some(Notice::Lost { .. })));
        assert_eq!(slot.tried(Err(Fault::Busy { by: "x".into() }), now), None);
        assert!(matches!(slot.state(), LineState::Waiting(why) if why.contains("\"x\"")));
        assert_eq!(slot.tried(Ok(()), now), Some(Notice::Back { line: "DOOR".into() }));
        assert_eq!(slot.state(), LineState::Ready);
    }

    #[test]
    fn a_first_try_that_succeeds_is_no_news() {
        let now = Instant::now();
        assert_eq!(Slot::new("DOOR".into(), now).tried(Ok(()), now), None);
    }

    #[test]
    fn a_line_that_opens_and_fails_is_tried_less_and_less() {
        let mut now = Instant::now();
        let mut slot = Slot::new("DOOR".into(), now);
        for seconds in [1, 2, 4, 8] {
            assert!(slot.is_due(now));
            slot.tried(Ok(()), now);
            slot.lost(&Fault::Gone, now);
            assert_eq!(slot.retry_at(), Some(now + seconds * SECOND));
            now += seconds * SECOND;
        }
    }

    #[test]
    fn a_line_that_held_for_long_is_tried_again_soon() {
        let now = Instant::now();
        let mut slot = Slot::new("DOOR".into(), now);
        (0..9).for_each(|_| drop(slot.tried(Err(Fault::Gone), now)));
        slot.tried(Ok(()), now);
        slot.lost(&Fault::Gone, now + RETRY_MAX);
        assert_eq!(slot.retry_at(), Some(now + RETRY_MAX + SECOND));
    }
}
