//! What runs a component: its code, linked, and what it is granted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::counters::ComponentCounters;
use super::event::Event;
use crate::engine::outcome::Outcome;
use crate::engine::{Allowance, Fault};
use crate::host::{Component, Grants, Host};
use crate::outbox::Receipt;
use crate::plan::ComponentLimits;
use crate::report::Reporter;
use crate::worlds::Worlds;

/// What runs a component.
pub struct Unit {
    /// Where its code is to be had.
    pub code: Arc<dyn Code>,
    /// What it may do.
    pub grants: Arc<Grants>,
    /// What it may use.
    pub limits: ComponentLimits,
    /// What it did.
    pub counters: Arc<ComponentCounters>,
}

/// Where a component's code is to be had.
pub trait Code: Send + Sync {
    /// The code, if it is at hand.
    fn at_hand(&self) -> Option<Arc<Loaded>>;
    /// The code; loaded first, beside the loop: other components have their events meanwhile. Dropped half-way, it will
    /// be at hand all the same.
    fn load(self: Arc<Self>) -> Loading;
}

/// Code on its way.
pub type Loading = Pin<Box<dyn Future<Output = Result<Arc<Loaded>, String>> + Send>>;

/// A component's code, ready for instances.
pub struct Loaded {
    /// The component; others may be made from the same artifact.
    pub component: Arc<Component>,
    /// What its triggers call.
    pub worlds: Worlds,
    /// It was wanted again since somebody looked.
    pub used: AtomicBool,
}

impl Unit {
    /// One try at an event, on a fresh instance. Receipts are of what it published and what is not safe yet.
    pub async fn invoke(&self, event: &Event) -> (Outcome, Vec<Receipt>) {
        let code = match self.code.at_hand() {
            Some(code) => code,
            None => match Arc::clone(&self.code).load().await {
                Ok(code) => code,
                Err(why) => return (Outcome::Faulted(Fault::Code(why)), Vec::new()),
            },
        };
        let host = Host::for_event(Arc::clone(&self.grants), event.urgency());
        let allowance = Allowance {
            memory_bytes_max: usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX),
            deadline: self.limits.deadline,
        };
        let Loaded { component, worlds, .. } = &*code;
        let outcome =
            worlds.handle(component, host.clone(), allowance, &event.source, &event.what).await;
        (outcome, host.take_receipts())
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.grants.reporter
    }
}
