//! What busy guests get of a loop that is never idle: one slice in each window, all of them together. So a
//! flood of short events slows them, but does not stop them until their deadline.

use std::time::{Duration, Instant};

use crate::limits::engine as limits;

/// How long busy guests ran in the window that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    since: Instant,
    ran: Duration,
}

impl Share {
    /// A window that opens now.
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, ran: Duration::ZERO }
    }

    /// A busy guest ran from `begun` to `now`. What it got ends an old window.
    pub(super) fn ran(&mut self, begun: Instant, now: Instant) {
        self.ran += now.duration_since(begun);
        if now.duration_since(self.since) >= limits::SHARE_WINDOW && self.ran >= limits::SLICE {
            *self = Self::new(now);
        }
    }

    /// Whether it is so old that nobody can have been busy all the time: who is, comes back within a window.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= 2 * limits::SHARE_WINDOW
    }

    /// Whether the window is over and they did not get their slice in it.
    pub(super) fn is_owed(&self, now: Instant) -> bool {
        now.duration_since(self.since) >= limits::SHARE_WINDOW && self.ran < limits::SLICE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_got_crumbs_for_a_window_is_owed_a_slice_and_who_got_a_slice_is_not() {
        let start = Instant::now();
        let mut share = Share::new(start);
        let crumb = limits::SLICE / 10;
        share.ran(start, start + crumb);
        assert!(!share.is_owed(start + limits::SHARE_WINDOW / 2));
        let late = start + limits::SHARE_WINDOW;
        assert!(share.is_owed(late));
        // It gets its slice, and the next window opens.
        share.ran(late, late + limits::SLICE);
        assert!(!share.is_owed(late + limits::SLICE));
        assert!(share.is_owed(late + limits::SLICE + limits::SHARE_WINDOW));
    }
}
