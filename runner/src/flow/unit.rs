//! What runs a component: loaded, linked, granted.

use std::sync::Arc;

use super::counters::ComponentCounters;
use super::event::Event;
use crate::engine::Allowance;
use crate::engine::outcome::Outcome;
use crate::host::{Component, Grants, Host};
use crate::outbox::Receipt;
use crate::plan::ComponentLimits;
use crate::report::Reporter;
use crate::worlds::Worlds;

/// What runs a component.
pub struct Unit {
    /// The component; others may be made from the same artifact.
    pub code: Arc<Component>,
    /// What its triggers call.
    pub worlds: Worlds,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What it may use.
    pub limits: ComponentLimits,
    /// What it did.
    pub counters: Arc<ComponentCounters>,
}

impl Unit {
    /// One try at an event, on a fresh instance. Receipts are of what it published and what is not safe yet.
    pub async fn invoke(&self, event: &Event) -> (Outcome, Vec<Receipt>) {
        let host = Host::for_event(Arc::clone(&self.grants), event.urgency());
        let allowance = Allowance {
            memory_bytes_max: usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX),
            deadline: self.limits.deadline,
        };
        let outcome = self
            .worlds
            .handle(&self.code, host.clone(), allowance, &event.source, &event.what)
            .await;
        (outcome, host.take_receipts())
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.grants.reporter
    }
}
