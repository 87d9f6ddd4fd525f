//! A session as those hold it who use it: as long as there is a lease, it is not closed as unused.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_triggers::mqtt::{Publish, PublishError, Session, State};
use tokio::time::Instant;

use super::slots::{Facts, Link};
use crate::host::locked;
use crate::host::receipts::{NotDelivered, Receipt};

/// One session of the app's.
pub(super) struct Held {
    pub(super) session: Session,
    pub(super) whose: Whose,
    address: String,
    /// When the last lease ended, and since when the link is as it is.
    times: Mutex<Times>,
    /// Whether it was ever connected.
    opened: AtomicBool,
    /// All sessions are being ended.
    stopping: Arc<AtomicBool>,
}

/// Whose broker a session is with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose {
    /// The app's own: it lives as long as the app.
    Own,
    /// One that a guest named.
    Guests,
}

struct Times {
    used: Instant,
    /// `None` while it is connected.
    down_since: Option<Instant>,
}

impl Held {
    pub(super) fn new(
        session: Session,
        whose: Whose,
        address: String,
        stopping: &Arc<AtomicBool>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let times = Mutex::new(Times { used: now, down_since: Some(now) });
        let (opened, stopping) = (AtomicBool::new(false), Arc::clone(stopping));
        Arc::new(Self { session, whose, address, times, opened, stopping })
    }

    /// What is known of it now; `leases` is how many there are.
    pub(super) fn facts(&self, now: Instant, leases: usize) -> Facts {
        let up = matches!(*self.session.state().borrow(), State::Connected { .. });
        let mut times = locked(&self.times);
        times.down_since = match up {
            true => None,
            false => Some(times.down_since.unwrap_or(now)),
        };
        self.opened.fetch_or(up, Relaxed);
        let link = times.down_since.map_or(Link::Up, |since| Link::Down(now - since));
        Facts { held: leases > 0, link, unused_for: now - times.used }
    }

    /// Whether it is or was connected: then what is published waits for it.
    pub(super) fn was_opened(&self) -> bool {
        self.facts(Instant::now(), 0).link == Link::Up || self.opened.load(Relaxed)
    }

    /// Ends it: what is not acknowledged within `grace` is lost, and its receipts say so.
    pub(super) async fn end(&self, grace: Duration) {
        self.session.stop(grace).await;
    }
}

/// The right to use a session. Cheap to clone.
pub struct Lease(Arc<Held>);

impl Lease {
    pub(super) fn of(held: &Arc<Held>) -> Self {
        Self(Arc::clone(held))
    }

    pub(super) fn held(&self) -> &Arc<Held> {
        &self.0
    }

    /// Accepts a message to send: see [`Session::publish`].
    pub async fn publish(&self, message: Publish) -> Result<Receipt, PublishError> {
        let delivery = self.0.session.publish(message).await?;
        Ok(Receipt::new(delivery, self.clone()))
    }

    /// The broker's, for sentences.
    pub(in crate::host) fn address(&self) -> &str {
        &self.0.address
    }

    /// What it means that the session ended before a message arrived.
    pub(in crate::host) fn why_it_ended(&self) -> NotDelivered {
        match self.0.whose == Whose::Own || self.0.stopping.load(Relaxed) {
            true => NotDelivered::Stopping,
            false => NotDelivered::Lost(format!(
                "the session with {} ended before the message was acknowledged",
                self.0.address
            )),
        }
    }
}

impl Clone for Lease {
    fn clone(&self) -> Self {
        Self::of(&self.0)
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        locked(&self.0.times).used = Instant::now();
    }
}
