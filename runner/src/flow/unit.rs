//! What runs a component: its code, linked, and what it is granted.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use pirn_triggers::http::{Answer, Broken, Request};
use tokio::time::{Instant, sleep_until, timeout};

use super::counters::ComponentCounters;
use super::event::Event;
use super::{program, whole};
use crate::engine::outcome::Outcome;
use crate::engine::{Allowance, Fault};
use crate::happening::Happening;
use crate::host::wasi::Exchange;
use crate::host::{Component, Grants, Host};
use crate::limits::http::{CLIENT_PATIENCE, REQUEST_TIME_MAX};
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
        let allowance = self.allowance(self.limits.deadline);
        let Loaded { component, worlds, .. } = &*code;
        let outcome =
            worlds.handle(component, host.clone(), allowance, &event.source, &event.what).await;
        (outcome, host.take_receipts())
    }

    /// Answers a request, on a fresh instance. A guest that neither answers nor moves a byte of a body for as long as its
    /// deadline is ended; one that streams may take longer, if nobody waits for its place while it waits for its client.
    /// Dropped half-way, the guest is gone, and what it had not
    /// answered is answered with 500.
    pub async fn answer(&self, request: Request, is_crowded: impl Fn() -> bool) -> Outcome {
        let code = match self.code().await {
            Ok(code) => code,
            Err(why) => return Outcome::Faulted(Fault::Code(why)),
        };
        if code.worlds.takes_whole() {
            return self.answer_whole(&code, request).await;
        }
        let host = Host::new(Arc::clone(&self.grants));
        let exchange = host.exchange().clone();
        if code.worlds.is_program() {
            let late = stands_still(&exchange, self.limits.deadline, is_crowded);
            return self.answer_program(&code, (host, &exchange), request, late).await;
        }
        let allowance = self.allowance(REQUEST_TIME_MAX);
        let outcome = tokio::select! {
            biased;
            outcome = answered(&code, &host, allowance, request) => outcome,
            outcome = stands_still(&exchange, self.limits.deadline, is_crowded) => outcome,
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

    /// The same for a guest that takes requests whole. Within its deadline the body has to be here, too.
    async fn answer_whole(&self, code: &Loaded, request: Request) -> Outcome {
        let Request { head, body, responder } = request;
        let deadline = self.limits.deadline;
        let body = match timeout(deadline, whole::read(&body)).await.unwrap_or(Err(Broken::TooSlow))
        {
            Ok(body) => body,
            Err(broken) => {
                responder.answer(Answer::broken(&broken));
                return Outcome::Refused(format!("its request is not whole: {broken}"));
            }
        };
        let allowance = self.allowance(deadline);
        let host = Host::new(Arc::clone(&self.grants));
        let Loaded { component, worlds, .. } = code;
        let request = whole::request(&head, body);
        let (outcome, answer) = worlds.answer_whole(component, host, allowance, request).await;
        if let Some(answer) = answer {
            responder.answer(whole::answer(answer));
        }
        outcome
    }

    /// The same for a program, whose answer is what it prints.
    async fn answer_program(
        &self,
        code: &Loaded,
        (host, exchange): (Host, &Exchange),
        request: Request,
        late: impl Future<Output = Outcome>,
    ) -> Outcome {
        host.ask_program(program::request(request));
        let allowance = self.allowance(REQUEST_TIME_MAX);
        let Loaded { component, worlds, .. } = code;
        let runs = worlds.handle(component, host.clone(), allowance, "", &Happening::Run);
        let outcome = tokio::select! {
            biased;
            outcome = runs => outcome,
            outcome = late => outcome,
        };
        if outcome != Outcome::Done {
            return outcome;
        }
        host.program_ended();
        match exchange.is_answered() {
            true => Outcome::Done,
            false => Outcome::Refused("what it printed is no answer".into()),
        }
    }

    fn allowance(&self, deadline: Duration) -> Allowance {
        let memory_bytes_max = usize::try_from(self.limits.memory_bytes_max);
        Allowance { memory_bytes_max: memory_bytes_max.unwrap_or(usize::MAX), deadline }
    }

    pub(crate) fn reporter(&self) -> &dyn Reporter {
        &*self.grants.reporter
    }
}

/// Calls the guest in its own way.
async fn answered(code: &Loaded, host: &Host, allowance: Allowance, request: Request) -> Outcome {
    let Loaded { component, worlds, .. } = code;
    let full = || Outcome::Faulted(Fault::Limit("no request fits its host".into()));
    if worlds.returns_answers() {
        let Ok((request, responder)) = host.receive_for_service(request) else { return full() };
        let told = |answer| host.respond(responder, answer);
        return worlds.serve(component, host.clone(), allowance, request, told).await;
    }
    let Ok(handles) = host.receive(request) else { return full() };
    worlds.answer(component, host.clone(), allowance, handles).await
}

/// Ready when nothing of a request moved for so long, or its client is late and others want its place.
async fn stands_still(
    exchange: &Exchange,
    deadline: Duration,
    is_crowded: impl Fn() -> bool,
) -> Outcome {
    loop {
        let due = exchange.moved() + deadline;
        let now = Instant::now();
        if due <= now {
            return Outcome::Faulted(Fault::Deadline(deadline));
        }
        let is_late = |since| now - since >= CLIENT_PATIENCE;
        if exchange.client_is_late_since().is_some_and(is_late) && is_crowded() {
            let sentence = "its client was slow, and others waited for its place";
            return Outcome::Refused(sentence.into());
        }
        sleep_until(due.min(now + CLIENT_PATIENCE)).await;
    }
}
