//! What the session's ends and its task share: the core behind its lock, and the ways to wait.

use super::codec::Reader;
use super::core::{Core, Done, News, NotTaken};
use super::message::{
    Delivery, DeliveryError, Message, Publish, PublishError, Qos, Receipt, TryPublishError,
};
use super::notice::{Counters, State};
use super::options::{Options, SubscribeError, Subscription};
use super::packet::{Arrival, Fault};
use super::topic::validate_topic;
use crate::limits::mqtt as limits;
use crate::net::backoff::now;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot, watch};

pub(super) struct Shared {
    pub(super) options: Options,
    locked: Mutex<Locked>,
    state: watch::Sender<State>,
    granted: watch::Sender<Arc<[Subscription]>>,
    /// A message is in the inbox, or none will come.
    arrived: Notify,
    /// There may be room for a publish.
    room: Notify,
    /// Who waits for that room: in the order in which they came, one at a time.
    line: tokio::sync::Mutex<()>,
    /// The task should look whether to stop.
    pub(super) stop: Notify,
}

struct Locked {
    core: Core,
    /// The connection's task, if it sleeps and does not know of something to do.
    sleeper: Option<Waker>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        let core = Core::new(&options);
        Self {
            locked: Mutex::new(Locked { core, sleeper: None }),
            granted: watch::Sender::new(options.kept.clone().into()),
            options,
            state: watch::Sender::new(State::Connecting { attempt: 0, last_error: None }),
            arrived: Notify::new(),
            room: Notify::new(),
            line: tokio::sync::Mutex::new(()),
            stop: Notify::new(),
        }
    }

    /// Accepts a message once there is room; QoS 0 at once or never. Dropped before, nothing has happened.
    pub(super) async fn publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        self.check(&publish)?;
        let (done, receipt) = oneshot::channel();
        let (done, receipt) = (Done::Receipt(done), Receipt(receipt));
        if publish.qos == Qos::AtMostOnce {
            return self.publish_unpromised(publish, done, receipt).await;
        }
        let _turn = self.line.lock().await;
        let mut offer = (publish, Some(done));
        loop {
            offer = match self.offer(offer) {
                Ok(()) => return Ok(receipt),
                Err(NotTaken::Stopped(error)) => return Err(error),
                Err(NotTaken::Full(publish, done)) => (publish, done),
            };
            self.room.notified().await;
        }
    }

    /// Lets the task write once if that makes room: a program that publishes in a loop gives it no chance
    /// to otherwise.
    async fn publish_unpromised(
        &self,
        publish: Publish,
        done: Done,
        receipt: Receipt,
    ) -> Result<Receipt, PublishError> {
        let mut offer = (publish, Some(done));
        for wait in [true, false] {
            offer = match self.offer(offer) {
                Ok(()) => return Ok(receipt),
                Err(NotTaken::Stopped(error)) => return Err(error),
                Err(NotTaken::Full(publish, done)) => (publish, done),
            };
            if wait {
                tokio::task::yield_now().await;
            }
        }
        self.with(|core| core.drop_unpromised(offer.1));
        Ok(receipt)
    }

    /// Accepts a message if there is room now and nobody waits for it.
    pub(super) fn try_publish(
        &self,
        publish: Publish,
        done: Option<Done>,
    ) -> Result<(), TryPublishError> {
        self.check(&publish)?;
        let turn = self.line.try_lock();
        if turn.is_err() && publish.qos != Qos::AtMostOnce {
            return Err(TryPublishError::Full(publish));
        }
        match self.offer((publish, done)) {
            Ok(()) => Ok(()),
            Err(NotTaken::Stopped(error)) => Err(error.into()),
            Err(NotTaken::Full(publish, _)) => Err(TryPublishError::Full(publish)),
        }
    }

    fn offer(&self, (publish, done): (Publish, Option<Done>)) -> Result<(), NotTaken> {
        self.with(|core| core.publish(publish, done, now()))
    }

    pub(super) fn check(&self, publish: &Publish) -> Result<(), PublishError> {
        let Publish { topic, payload, .. } = publish;
        validate_topic(topic).map_err(|why| PublishError::Topic { topic: topic.clone(), why })?;
        let (bytes, max) = (payload.len(), self.options.payload_bytes_max);
        match bytes > max {
            true => Err(PublishError::TooLarge { bytes, max }),
            false => Ok(()),
        }
    }

    /// The next message. Dropped while waiting, none is lost.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Message> {
        loop {
            let arrived = self.arrived.notified();
            let (queued, stopped) = self.with(|core| (core.take(now()), core.is_stopped()));
            match queued {
                Some(queued) => return Some(self.message(queued.key, queued.arrival)),
                None if stopped => return None,
                None => arrived.await,
            }
        }
    }

    fn message(self: &Arc<Self>, key: u64, arrival: Arrival) -> Message {
        let shared = (key != 0).then(|| self.clone());
        let Arrival { topic, payload, oversize, qos, retain, dup, .. } = arrival;
        Message { topic, payload, oversize, qos, retain, dup, delivery: Delivery { key, shared } }
    }

    pub(super) fn settle(&self, key: u64) {
        self.with(|core| core.settle(key));
    }

    pub(super) fn abandon(&self, key: u64) {
        self.with(|core| core.abandon(key));
    }

    pub(super) fn subscribe(&self, subscription: Subscription) -> Result<(), SubscribeError> {
        self.with(|core| core.want(subscription))
    }

    pub(super) fn unsubscribe(&self, filter: &str) {
        self.with(|core| core.unwant(filter));
    }

    pub(super) fn subscribe_again(&self, filter: &str) {
        self.with(|core| core.want_again(filter));
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn granted(&self) -> watch::Receiver<Arc<[Subscription]>> {
        self.granted.subscribe()
    }

    /// The end is the end, whatever the task was about to say; and what is shown already wakes nobody.
    pub(super) fn set_state(&self, state: State) {
        self.state.send_if_modified(|shown| {
            let goes_on = *shown != State::Stopped && *shown != state;
            if goes_on {
                *shown = state;
            }
            goes_on
        });
    }

    pub(super) fn counters(&self) -> Counters {
        self.with(|core| core.counters())
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counters)) {
        self.with(|core| count(core.counters_mut()));
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.with(|core| core.is_stopping())
    }

    pub(super) fn opened(&self) {
        self.with(|core| core.opened(now()));
    }

    /// The connection is gone. Says since when the broker had accepted us on it.
    pub(super) fn lost(&self) -> Option<Instant> {
        let accepted_at = self.with(|core| {
            let accepted_at = core.accepted_at();
            core.lost();
            accepted_at
        });
        self.room.notify_one();
        accepted_at
    }

    pub(super) fn heard(&self) {
        self.locked(|locked| locked.core.heard(now()));
    }

    pub(super) fn on_time(&self) -> Result<(), Fault> {
        self.locked(|locked| locked.core.on_time(now()))
    }

    /// Brings the packets that were read to the core. Says whether it takes more.
    pub(super) fn deliver(&self, reader: &mut Reader) -> Result<bool, Fault> {
        let (result, arrived) = self.locked(|locked| {
            let core = &mut locked.core;
            let before = core.counters().received;
            let result = bring(core, reader);
            (result, core.counters().received != before)
        });
        if arrived {
            self.arrived.notify_one();
        }
        result
    }

    /// The task's own work on the core, after which it sleeps unless it finds more to do: then this
    /// wakes it.
    pub(super) fn drive<R>(&self, waker: &Waker, work: impl FnOnce(&mut Core) -> R) -> R {
        let result = self.locked(|locked| {
            let result = work(&mut locked.core);
            match &locked.sleeper {
                Some(known) if known.will_wake(waker) => {}
                _ => locked.sleeper = Some(waker.clone()),
            }
            result
        });
        self.room.notify_one();
        result
    }

    /// Begins the end: no more publishes, DISCONNECT once everything is acknowledged, or a little before
    /// this time is over.
    pub(super) fn begin_stop(&self, within: Duration) {
        let leave_at = now() + within - (within / 4).min(limits::LEAVE_TIMEOUT);
        self.with(|core| core.begin_stop(leave_at));
        self.stop.notify_one();
        self.room.notify_one();
    }

    /// The end, as somebody wished it.
    pub(super) fn stop(&self) {
        self.end(&DeliveryError::Stopped);
    }

    /// The end of the task: as wished, or if nobody wished it, a breakdown.
    pub(super) fn finish(&self) {
        match self.is_stopping() {
            true => self.end(&DeliveryError::Stopped),
            false => self.end(&DeliveryError::Ended),
        }
    }

    /// Receipts fail, the inbox closes when it is empty.
    fn end(&self, error: &DeliveryError) {
        self.with(|core| core.end(error));
        self.arrived.notify_one();
        self.room.notify_one();
    }

    /// Works on the core, and wakes the task if that leaves it something to do.
    fn with<R>(&self, work: impl FnOnce(&mut Core) -> R) -> R {
        self.locked(|locked| {
            let read = locked.core.reading();
            let result = work(&mut locked.core);
            if (locked.core.has_to_send() || locked.core.reading() != read)
                && let Some(sleeper) = locked.sleeper.take()
            {
                sleeper.wake();
            }
            result
        })
    }

    /// Works on the core; tells afterwards, without the lock, what there is to tell.
    fn locked<R>(&self, work: impl FnOnce(&mut Locked) -> R) -> R {
        let mut locked = self.locked.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut locked);
        let News { state, notices, granted, ended } = locked.core.news();
        drop(locked);
        if let Some(granted) = granted {
            self.granted.send_replace(granted);
        }
        if let Some(state) = state {
            self.set_state(state);
        }
        for notice in notices {
            self.options.notify(notice);
        }
        for (then, ending) in ended {
            then(ending);
        }
        result
    }
}

fn bring(core: &mut Core, reader: &mut Reader) -> Result<bool, Fault> {
    let now = now();
    while core.reading() {
        match reader.next()? {
            Some(packet) => core.on_packet(packet, now)?,
            None => return Ok(true),
        }
    }
    Ok(false)
}
