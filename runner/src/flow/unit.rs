//! What runs a component: its code, linked, and what it is granted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pirn_triggers::http::Request;
use tokio::time::{Instant, sleep_until};

use super::counters::ComponentCounters;
use super::event::Event;
use crate::engine::outcome::Outcome;
use crate::engine::{Allowance, Fault};
use crate::host::wasi::Exchange;
use crate::host::{Component, Grants, Host};
use crate::limits::http::REQUEST_TIME_MAX;
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
    /// Its instances at the same time for requests.
    pub requests_max: u32,
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
        let code = match self.code().await {
            Ok(code) => code,
            Err(why) => return (Outcome::Faulted(Fault::Code(why)), Vec::new()),
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

    /// Answers a request, on a fresh instance. A guest that neither answers nor moves a byte of a body for as long as its
    /// deadline is ended; one that streams may take longer. Dropped half-way, the guest is gone, and what it had not
    /// answered is answered with 500.
    pub async fn answer(&self, request: Request) -> Outcome {
        let code = match self.code().await {
            Ok(code) => code,
            Err(why) => return Outcome::Faulted(Fault::Code(why)),
        };
        let host = Host::new(Arc::clone(&self.grants));
        let exchange = host.exchange().clone();
        let Ok(handles) = host.receive(request) else {
            return Outcome::Faulted(Fault::Limit("no request fits its host".into()));
        };
        let allowance = Allowance {
            memory_bytes_max: usize::try_from(self.limits.memory_bytes_max).unwrap_or(usize::MAX),
            deadline: REQUEST_TIME_MAX,
        };
        let Loaded { component, worlds, .. } = &*code;
        let outcome = tokio::select! {
            biased;
            outcome = worlds.answer(component, host.clone(), allowance, handles) => outcome,
            () = stands_still(&exchange, self.limits.deadline) => {
                Outcome::Faulted(Fault::Deadline(self.limits.deadline))
            }
        };
        match outcome {
            Outcome::Done if !exchange.is_answered() => {
                Outcome::Refused("it ended without an answer".into())
            }
            outcome => outcome,
        }
    }

    async fn code(&self) -> Result<Arc<Loaded>, String> {
        match self.code.at_hand() {
            Some(code) => Ok(code),
            None => Arc::clone(&self.code).load().await,
        }
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.grants.reporter
    }
}

/// Ready when nothing of a request moved for so long.
async fn stands_still(exchange: &Exchange, deadline: Duration) {
    loop {
        let due = exchange.moved() + deadline;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}
