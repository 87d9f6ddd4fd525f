//! A session as those hold it who use it: as long as there is a lease, it is not closed as unused.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_triggers::mqtt::{Publish, State};
use tokio::time::Instant;

use super::slots::{Facts, Link};
use crate::happening::Urgency;
use crate::host::locked;
use crate::outbox::{Outlet, PublishError, Receipt};

/// One session of the app's.
pub(super) struct Held {
    pub(super) outlet: Arc<Outlet>,
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
        outlet: Arc<Outlet>,
        whose: Whose,
        address: String,
        stopping: &Arc<AtomicBool>,
    ) -> Arc<Self> {
        let now = Instant::now();
        let times = Mutex::new(Times { used: now, down_since: Some(now) });
        let (opened, stopping) = (AtomicBool::new(false), Arc::clone(stopping));
        Arc::new(Self { outlet, whose, address, times, opened, stopping })
    }

    /// What is known of it now; `leases` is how many there are.
    pub(super) fn facts(&self, now: Instant, leases: usize) -> Facts {
        let up = matches!(*self.outlet.session().state().borrow(), State::Connected { .. });
        let mut times = locked(&self.times);
        times.down_since = match up {
            true => None,
            false => Some(times.down_since.unwrap_or(now)),
        };
        self.opened.fetch_or(up, Relaxed);
        let link = times.down_since.map_or(Link::Up, |since| Link::Down(now - since));
        let held = leases > 0 || self.outlet.pending() > 0;
        Facts { held, link, unused_for: now - times.used }
    }

    /// Whether it is or was connected: then what is published waits for it.
    pub(super) fn was_opened(&self) -> bool {
        self.facts(Instant::now(), 0).link == Link::Up || self.opened.load(Relaxed)
    }

    /// Ends it. What is on disk stays there until somebody opens the broker again; of what is not safe, whoever waits
    /// for it learns that it is lost, unless the runner is stopping.
    pub(super) async fn end(&self, grace: Duration) {
        if !self.stopping.load(Relaxed) {
            self.outlet.make_safe(grace).await;
            let address = &self.address;
            self.outlet.give_up(&format!(
                "the session with {address} ended before the message was acknowledged"
            ));
        }
        self.outlet.close();
        // The app's own is its process's, which may have other apps.
        if self.whose == Whose::Guests {
            self.outlet.session().stop(grace).await;
        }
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

    /// Takes a message over: see [`Outlet::publish`].
    pub(in crate::host) async fn publish(
        &self,
        component: &str,
        message: Publish,
        urgency: Urgency,
    ) -> Result<Option<Receipt>, PublishError> {
        self.0.outlet.publish(component, message, urgency).await
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
