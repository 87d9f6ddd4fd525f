//! The outbox of one broker at work: between components, the session and the store.
//!
//! A publish goes to the session on the spot, on the thread of whoever publishes; acknowledgements come back the
//! same way. A task does the rest: it sleeps until something is to be written, read or forgotten.

mod work;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pirn_triggers::mqtt::{self, DeliveryError, Publish, Qos, Session, TryPublishError};
use tokio::sync::{Notify, oneshot};
use tokio::task::AbortHandle;
use tokio::time::{Instant as TokioInstant, timeout};

use super::machine::{Full, Outbox, Tally, Ticket, Told};
use crate::happening::Urgency;
use crate::limits::bounds::OutboxBounds;
use crate::limits::outbox as limits;
use crate::report::{Report, Reporter};
use crate::store::{DeadLetter, LetterKind, Store};

/// How a publish ended, for whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It is safe: acknowledged, or on disk.
    Safe,
    /// The broker will not have it.
    Refused(String),
    /// The runner stops, and it is not safe.
    Stopped,
}

/// Resolves when a publish is safe, or never will be.
#[derive(Debug)]
pub struct Receipt(oneshot::Receiver<Told>);

impl Receipt {
    /// Waits for it. Dropped half-way, the publish goes its way all the same.
    pub async fn ended(self) -> Ended {
        match self.0.await {
            // What gave way to others is counted, and its cause is not to be run again for it.
            Ok(Told::Safe | Told::Dropped) => Ended::Safe,
            Ok(Told::Refused(why)) => Ended::Refused(why),
            Err(_) => Ended::Stopped,
        }
    }
}

/// Why a publish was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// It is none.
    #[error("{0}")]
    Wrong(String),
    /// Too much is kept already.
    #[error("the outbox is full: the broker has not taken what was published before")]
    Full,
    /// What is promised must be on disk, and the disk does not take it.
    #[error("the outbox cannot be written, and the broker does not answer")]
    NotSafe,
    /// The broker will not have it.
    #[error("{0}")]
    Refused(String),
    /// The runner stops.
    #[error("the runner is stopping")]
    Stopped,
}

type Machine = Outbox<Publish, oneshot::Sender<Told>>;

/// The outbox of one broker; shared by all who publish to it.
pub struct Outlet {
    session: Session,
    machine: Mutex<Machine>,
    /// Components by their numbers; those that the app no longer has stand at the end.
    components: Mutex<Components>,
    /// The task should look.
    wake: Notify,
    /// There may be room again.
    room: Notify,
    /// Something became safe.
    safe: Notify,
    store: Store,
    broker: String,
    age_max: Duration,
    reporter: Arc<dyn Reporter>,
    task: Mutex<Option<AbortHandle>>,
}

#[derive(Default)]
struct Components {
    names: Vec<Arc<str>>,
    /// In the order of their names.
    by_name: Vec<u32>,
}

impl Components {
    fn number(&mut self, name: &str) -> u32 {
        let Self { names, by_name } = self;
        match by_name.binary_search_by(|number| (*names[*number as usize]).cmp(name)) {
            Ok(at) => by_name[at],
            Err(at) => {
                let number = u32::try_from(names.len()).unwrap_or(u32::MAX);
                // Mostly there is one.
                names.reserve_exact(1);
                names.push(name.into());
                by_name.reserve_exact(1);
                by_name.insert(at, number);
                number
            }
        }
    }

    fn name(&self, number: u32) -> Arc<str> {
        self.names.get(number as usize).cloned().unwrap_or_else(|| "".into())
    }
}

impl Outlet {
    /// An outbox in front of a session. `broker` is the name under which publishes are kept: the same after a restart.
    pub fn start(
        session: Session,
        store: Store,
        broker: String,
        bounds: OutboxBounds,
        reporter: Arc<dyn Reporter>,
    ) -> Arc<Self> {
        let outlet = Arc::new(Self {
            session,
            machine: Mutex::new(Outbox::new(bounds)),
            components: Mutex::default(),
            wake: Notify::new(),
            room: Notify::new(),
            safe: Notify::new(),
            store,
            broker,
            age_max: bounds.age_max,
            reporter,
            task: Mutex::default(),
        });
        let task = tokio::spawn(work::work(Arc::clone(&outlet)));
        *locked(&outlet.task) = Some(task.abort_handle());
        outlet
    }

    /// Publishes that are not acknowledged.
    pub fn pending(&self) -> u64 {
        locked(&self.machine).pending()
    }

    /// The session is given up: whoever waits for a publish that is not safe learns that it is lost, for this reason.
    pub fn give_up(self: &Arc<Self>, why: &str) {
        self.with(|machine| machine.give_up(why));
    }

    /// Ends the task: nothing is written any more.
    pub fn close(&self) {
        if let Some(task) = locked(&self.task).take() {
            task.abort();
        }
    }

    /// The session behind it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// What happened so far, what is pending, how many of those are on disk, and how often writing failed in a row.
    pub fn state(&self) -> (Tally, u64, u64, u32) {
        let machine = locked(&self.machine);
        (machine.tally(), machine.pending(), machine.rows(), machine.write_failures())
    }

    /// Takes a publish over. With QoS 0 nothing is promised, and nobody waits. Otherwise the receipt says when it is
    /// safe; for [`Urgency::Lasting`] it is safe when this returns.
    ///
    /// Dropped half-way, the publish may have been taken over.
    pub async fn publish(
        self: &Arc<Self>,
        component: &str,
        publish: Publish,
        urgency: Urgency,
    ) -> Result<Option<Receipt>, PublishError> {
        if publish.qos == Qos::AtMostOnce {
            return match self.session.try_publish(publish) {
                Ok(_) | Err(TryPublishError::Full(_)) => Ok(None),
                Err(TryPublishError::Refused(error)) => Err(PublishError::Wrong(error.to_string())),
            };
        }
        let check = self.session.check(&publish);
        check.map_err(|error| PublishError::Wrong(error.to_string()))?;
        let component = locked(&self.components).number(component);
        let accepted = self.accept(component, publish, urgency);
        let receipt = match timeout(limits::ROOM_TIMEOUT, accepted).await {
            Ok(receipt) => receipt?,
            Err(_) => return Err(PublishError::Full),
        };
        if urgency == Urgency::Redelivered {
            return Ok(Some(receipt));
        }
        match timeout(limits::ROOM_TIMEOUT, receipt.ended()).await {
            Ok(Ended::Safe) => Ok(None),
            Ok(Ended::Refused(why)) => Err(PublishError::Refused(why)),
            Ok(Ended::Stopped) => Err(PublishError::Stopped),
            Err(_) => Err(PublishError::NotSafe),
        }
    }

    /// Waits for room in memory. Dropped while waiting, nothing was taken over.
    async fn accept(
        self: &Arc<Self>,
        component: u32,
        mut publish: Publish,
        urgency: Urgency,
    ) -> Result<Receipt, PublishError> {
        let (waiter, receipt) = oneshot::channel();
        let mut waiter = Some(waiter);
        let bytes = size(&publish);
        loop {
            let room = self.room.notified();
            let accepted = self
                .with(|machine| machine.accept(component, publish, bytes, urgency, waiter, now()));
            match accepted {
                Ok(()) => return Ok(Receipt(receipt)),
                Err((Full::Kept, ..)) => return Err(PublishError::Full),
                Err((Full::Memory, again, waits)) => (publish, waiter) = (again, waits),
            }
            room.await;
        }
    }

    /// Works on the machine, then sends what can be sent and tells whom there is to tell.
    fn with<R>(self: &Arc<Self>, work: impl FnOnce(&mut Machine) -> R) -> R {
        let (result, told, look) = {
            let mut machine = locked(&self.machine);
            let before = machine.deadline();
            let result = work(&mut machine);
            let after = machine.deadline();
            let sooner = after.is_some_and(|after| before.is_none_or(|before| after < before));
            let look = sooner || machine.wants_load(now());
            (result, machine.told(), look)
        };
        for (waiter, told) in told {
            // Nobody may be waiting.
            let _ = waiter.send(told);
        }
        self.send();
        if look {
            self.wake.notify_one();
        }
        result
    }

    /// Hands over what is to be sent, one after the other: where the session has no room for one, those behind it must
    /// not go before it, however small they are. Goes on when something is acknowledged.
    fn send(self: &Arc<Self>) {
        loop {
            let next = locked(&self.machine).next_send();
            let Some((ticket, publish)) = next else { return };
            let outlet = Arc::downgrade(self);
            let done = move |result: Result<(), DeliveryError>| {
                if let Some(outlet) = outlet.upgrade() {
                    outlet.sent(ticket, &result);
                }
            };
            match self.session.try_publish_then(publish, Box::new(done)) {
                Ok(()) => {}
                // Again when something is acknowledged, or by the next process.
                Err(
                    TryPublishError::Full(_)
                    | TryPublishError::Refused(mqtt::PublishError::Stopped),
                ) => return locked(&self.machine).unsent(ticket),
                // Of an earlier process, whose limits were others.
                Err(TryPublishError::Refused(refusal)) => self.never(ticket, &refusal.to_string()),
            }
        }
    }

    /// The session is done with a publish.
    fn sent(self: &Arc<Self>, ticket: Ticket, result: &Result<(), DeliveryError>) {
        let at = now();
        match result {
            Ok(()) => self.with(|machine| machine.acked(ticket, at)),
            Err(DeliveryError::Stopped | DeliveryError::ConnectionLost) => {
                locked(&self.machine).unsent(ticket);
            }
            Err(refusal) => self.never(ticket, &refusal.to_string()),
        }
        self.safe.notify_waiters();
        self.room.notify_waiters();
    }

    /// A publish will never arrive: who waits is told, or it is kept aside.
    fn never(self: &Arc<Self>, ticket: Ticket, why: &str) {
        let unheard = self.with(|machine| machine.refused(ticket, why, now()));
        if let Some(publish) = unheard {
            self.keep_aside(ticket, publish, why.to_string());
        }
    }

    /// A publish that was promised and that the broker will never take: a dead letter.
    fn keep_aside(self: &Arc<Self>, ticket: Ticket, publish: Publish, why: String) {
        let outlet = Arc::clone(self);
        let component = locked(&self.components).name(ticket.component).to_string();
        tokio::spawn(async move {
            let Publish { topic, payload, qos, retain } = publish;
            let reason = format!("published, and the broker will not have it: {why}");
            let letter = DeadLetter {
                kind: LetterKind::Publish,
                qos: qos as u8,
                retained: retain,
                ..DeadLetter::new(component, topic.clone(), payload.to_vec(), reason)
            };
            if let Err(error) = outlet.store.bury(letter).await {
                let sentence = format!(
                    "a publish to {topic} that the broker refuses ({why}) could not be kept aside: {error}"
                );
                outlet.reporter.report(&Report::Warning(&sentence));
            }
        });
    }

    /// Waits until everything is acknowledged, for as long as `grace`. Whether it is.
    pub async fn drained(self: &Arc<Self>, grace: Duration) -> bool {
        let all = async {
            loop {
                let safe = self.safe.notified();
                if self.pending() == 0 {
                    return;
                }
                safe.await;
            }
        };
        timeout(grace, all).await.is_ok()
    }

    /// The runner stops: writes down what is not safe, for as long as `grace`. Whether all of it is safe.
    pub async fn make_safe(self: &Arc<Self>, grace: Duration) -> bool {
        let all = async {
            loop {
                let safe = self.safe.notified();
                if !self.with(|machine| machine.hurry(now())) {
                    return;
                }
                self.wake.notify_one();
                safe.await;
            }
        };
        timeout(grace, all).await.is_ok()
    }
}

/// What a publish takes in memory and on disk.
fn size(publish: &Publish) -> usize {
    limits::PUBLISH_OVERHEAD_BYTES + publish.topic.len() + publish.payload.len()
}

/// By tokio's clock, which stands still for tests that ask.
fn now() -> Instant {
    TokioInstant::now().into_std()
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
