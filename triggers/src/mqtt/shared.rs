//! What the session's ends and its task share: the core behind its lock, and the ways to wait.

use super::backoff::now;
use super::core::{Core, Flow};
use super::link::{Accepted, Arrival, Requests, Resend, Signal};
use super::message::{Delivery, Message, Publish, PublishError, Receipt};
use super::notice::{Counters, State};
use super::options::Options;
use super::outbound::Entry;
use super::topic::validate_topic;
use crate::limits::mqtt as limits;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, Semaphore, oneshot, watch};

pub(super) struct Shared {
    pub(super) options: Options,
    core: Mutex<Core>,
    state: watch::Sender<State>,
    /// A message is in the inbox, or none will come.
    arrived: Notify,
    /// There is room in the inbox.
    room: Notify,
    /// The task should look whether to stop.
    pub(super) stop: Notify,
    messages: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(options: Options) -> Self {
        Self {
            core: Mutex::new(Core::new(&options)),
            options,
            state: watch::Sender::new(State::Connecting { attempt: 0, last_error: None }),
            arrived: Notify::new(),
            room: Notify::new(),
            stop: Notify::new(),
            messages: Arc::new(Semaphore::new(limits::OUTBOUND_MESSAGES_MAX)),
            bytes: Arc::new(Semaphore::new(limits::OUTBOUND_BYTES_MAX)),
        }
    }

    /// Accepts a message once there is room. Dropped before, nothing has happened.
    pub(super) async fn publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        let bytes = self.check(&publish)?;
        let stopped = |_| PublishError::Stopped;
        let message = self.messages.clone().acquire_owned().await.map_err(stopped)?;
        let bytes = self.bytes.clone().acquire_many_owned(bytes).await.map_err(stopped)?;
        let (done, receipt) = oneshot::channel();
        let entry = Entry { publish, done: Some(done), _room: Some((message, bytes)) };
        self.with(|core| match core.stopping {
            true => Err(PublishError::Stopped),
            false => {
                core.publish(entry);
                Ok(Receipt(receipt))
            }
        })
    }

    /// The room that a message needs.
    fn check(&self, publish: &Publish) -> Result<u32, PublishError> {
        let Publish { topic, payload, .. } = publish;
        validate_topic(topic).map_err(|why| PublishError::Topic { topic: topic.clone(), why })?;
        let (bytes, max) = (payload.len(), self.options.payload_bytes_max);
        if bytes > max {
            return Err(PublishError::TooLarge { bytes, max });
        }
        let room = (bytes + topic.len()).min(limits::OUTBOUND_BYTES_MAX);
        Ok(u32::try_from(room).unwrap_or(u32::MAX))
    }

    /// The next message. Dropped while waiting, none is lost.
    pub(super) async fn next(self: &Arc<Self>) -> Option<Message> {
        loop {
            let arrived = self.arrived.notified();
            let (queued, stopped) = self.with(|core| (core.take(), core.stopped));
            match queued {
                Some(queued) => {
                    self.room.notify_one();
                    return Some(self.message(queued.key, queued.arrival));
                }
                None if stopped => return None,
                None => arrived.await,
            }
        }
    }

    fn message(self: &Arc<Self>, key: u64, arrival: Arrival) -> Message {
        let shared = (key != 0).then(|| self.clone());
        let Arrival { topic, payload, qos, retain, dup, .. } = arrival;
        Message { topic, payload, qos, retain, dup, delivery: Delivery { key, shared } }
    }

    pub(super) fn settle(&self, key: u64) {
        self.with(|core| core.settle(key));
    }

    pub(super) fn abandon(&self, key: u64) {
        self.with(|core| core.inbound.abandon(key));
    }

    pub(super) fn state(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    pub(super) fn set_state(&self, state: State) {
        self.state.send_replace(state);
    }

    pub(super) fn counters(&self) -> Counters {
        self.with(|core| core.counters())
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.with(|core| core.stopping)
    }

    pub(super) fn releasable(&self) -> Vec<u16> {
        self.with(|core| core.inbound.releasable())
    }

    pub(super) fn connected(&self, requests: Requests, accepted: Accepted) {
        self.with(|core| core.connected(requests, accepted, now()));
    }

    /// Something came; waits for room if a message needs it.
    pub(super) async fn on(&self, signal: Signal) -> Flow {
        let is_message = matches!(signal, Signal::Arrived(_));
        let flow = self.with(|core| core.on(signal, now()));
        let flow = match flow {
            Flow::Hold(arrival) => self.hold(arrival).await,
            other => other,
        };
        if is_message {
            self.arrived.notify_one();
        }
        flow
    }

    pub(super) fn salvage(&self, signals: Vec<Signal>) {
        self.with(|core| {
            for signal in signals {
                core.salvage(signal, now());
            }
        });
        self.arrived.notify_one();
    }

    pub(super) fn take_resends(&self) -> Vec<Resend> {
        self.with(Core::take_resends)
    }

    pub(super) fn deadline(&self) -> Instant {
        self.with(|core| core.deadline(now()))
    }

    pub(super) fn disconnected(&self, count: impl FnOnce(&mut Counters)) {
        self.with(|core| {
            core.disconnected();
            count(&mut core.counters);
        });
    }

    /// Begins the end: no more publishes, DISCONNECT once everything is acknowledged.
    pub(super) fn begin_stop(&self) {
        self.messages.close();
        self.bytes.close();
        let last = self.options.will.clone().filter(|_| self.says_offline());
        self.with(|core| core.begin_stop(last));
        self.stop.notify_one();
    }

    /// Whether we say online at the beginning and offline at the end.
    pub(super) fn says_offline(&self) -> bool {
        self.options.online.is_some() && self.options.will.is_some()
    }

    /// DISCONNECT now, whatever is not acknowledged.
    pub(super) fn leave(&self) {
        self.with(Core::leave);
    }

    /// The end: receipts fail, the inbox closes when it is empty.
    pub(super) fn finish(&self) {
        self.messages.close();
        self.bytes.close();
        self.with(|core| core.stop());
        self.arrived.notify_one();
    }

    /// Waits a little for room. Dropped or too late, the message stays with the broker.
    async fn hold(&self, mut arrival: Arrival) -> Flow {
        let room = async {
            loop {
                let room = self.room.notified();
                match self.with(|core| core.offer(arrival)) {
                    Flow::Hold(again) => arrival = again,
                    other => return other,
                }
                room.await;
            }
        };
        self.arrived.notify_one();
        match tokio::time::timeout(limits::ROOM_TIMEOUT, room).await {
            Ok(flow) => flow,
            Err(_) => {
                self.with(Core::overflow);
                Flow::On
            }
        }
    }

    /// Works on the core; tells afterwards, without the lock, what there is to tell.
    fn with<R>(&self, work: impl FnOnce(&mut Core) -> R) -> R {
        let mut core = self.core.lock().unwrap_or_else(PoisonError::into_inner);
        let result = work(&mut core);
        let (state, notices) = (core.state.take(), std::mem::take(&mut core.notices));
        drop(core);
        if let Some(state) = state {
            self.set_state(state);
        }
        for notice in notices {
            self.options.notify(notice);
        }
        result
    }
}
