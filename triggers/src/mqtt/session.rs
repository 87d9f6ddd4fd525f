//! The two ends that a program holds: [`Session`] to publish and settle, [`Inbox`] to receive.

use super::connection::{self, Ending};
use super::core::{Done, Then};
use super::dial::Dialer;
use super::message::{Delivery, Message, Publish, PublishError, Receipt, TryPublishError};
use super::notice::{Counters, State};
use super::options::{Options, OptionsError, SubscribeError, Subscription};
use super::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{oneshot, watch};
use tokio::task::AbortHandle;

/// One session with one broker. Clones share it; dropping the last clone cuts the connection
/// without a DISCONNECT, so that the broker publishes the will.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    task: Arc<Task>,
}

/// Ends the session's task when the last clone of the session is gone.
struct Task {
    shared: Arc<Shared>,
    abort: AbortHandle,
}

impl Drop for Task {
    fn drop(&mut self) {
        self.shared.stop();
        self.abort.abort();
    }
}

/// The messages of a session, in the order in which the broker sent them.
pub struct Inbox {
    shared: Arc<Shared>,
}

impl Session {
    /// Starts a session: checks the options, reads certificates, spawns the task that connects.
    /// The broker may be away; must be called inside a tokio runtime.
    pub fn start(options: Options) -> Result<(Session, Inbox), OptionsError> {
        options.check()?;
        let dialer = Dialer::new(&options)?;
        let runtime = Handle::try_current().map_err(|_| OptionsError::NoRuntime)?;
        let shared = Arc::new(Shared::new(options));
        let task = runtime.spawn(connection::run(Ending(shared.clone()), dialer));
        let task = Arc::new(Task { shared: shared.clone(), abort: task.abort_handle() });
        Ok((Session { shared: shared.clone(), task }, Inbox { shared }))
    }

    /// Accepts a message to send. Waits for room, which is the back-pressure; done when the message
    /// is in the session's record, from where it is sent, and sent again after a reconnect. QoS 0 waits
    /// for nothing: without a connection, or without room, it is dropped and counted, and its receipt says
    /// so at once.
    ///
    /// A message sent again may arrive twice, with QoS 2 too if the broker lost the session.
    ///
    /// Dropped while waiting, nothing was accepted. The [`Receipt`] may be dropped.
    pub async fn publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        self.shared.publish(publish).await
    }

    /// Accepts a message to send if there is room for it now; never waits.
    pub fn try_publish(&self, publish: Publish) -> Result<Receipt, TryPublishError> {
        let (done, receipt) = oneshot::channel();
        self.shared.try_publish(publish, Some(Done::Receipt(done)))?;
        Ok(Receipt(receipt))
    }

    /// The same for a program that keeps no receipt: `then` is called when the message has ended, on the
    /// thread and the stack of whoever ended it; it must not wait. Not accepted, `then` is dropped.
    pub fn try_publish_then(&self, publish: Publish, then: Then) -> Result<(), TryPublishError> {
        self.shared.try_publish(publish, Some(Done::Call(then)))
    }

    /// Whether a message would ever be accepted.
    pub fn check(&self, publish: &Publish) -> Result<(), PublishError> {
        self.shared.check(publish)
    }

    /// Acknowledges an inbound message. Harmless if its connection is gone: if the broker sends the
    /// message again in the same session, it is then acknowledged without being handed out again.
    pub fn settle(&self, delivery: Delivery) {
        delivery.settle();
    }

    /// Adds a subscription while the session runs, or changes the QoS of one. Asked of the broker at once if it
    /// is there, and after every connect; waits for nothing.
    ///
    /// # Errors
    /// If the filter is none, or there are too many.
    pub fn subscribe(&self, subscription: Subscription) -> Result<(), SubscribeError> {
        self.shared.subscribe(subscription)
    }

    /// Takes a subscription away. Until the broker has been told, which is when it holds all that is wanted,
    /// messages may still come.
    pub fn unsubscribe(&self, filter: &str) {
        self.shared.unsubscribe(filter);
    }

    /// Asks for a subscription once more, because somebody new wants its retained messages: they come again.
    /// Nothing happens if it is not wanted, is covered by another, or was not asked for yet.
    pub fn subscribe_again(&self, filter: &str) {
        self.shared.subscribe_again(filter);
    }

    /// The state, and its changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state()
    }

    /// The subscriptions that the broker has granted, and their changes: what a later run is to be
    /// given as [`Options::kept`]. What is to be unsubscribed has left it before that is asked; what is granted
    /// enters it once everything that is wanted has its answer, or the connection is gone.
    pub fn granted(&self) -> watch::Receiver<Arc<[Subscription]>> {
        self.shared.granted()
    }

    /// The counters, now.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Ends the session, within `grace` in any case: takes no more publishes, gives those under way most
    /// of that time, sends the acknowledgements of all that is settled, says offline if it said online,
    /// disconnects.
    ///
    /// Dropped half-way, the session goes on stopping, and leaves after the same time.
    pub async fn stop(&self, grace: Duration) {
        self.shared.begin_stop(grace);
        if !self.stopped_within(grace).await {
            self.shared.stop();
            self.task.abort.abort();
        }
    }

    async fn stopped_within(&self, time: Duration) -> bool {
        let mut state = self.state();
        let stopped = state.wait_for(|state| *state == State::Stopped);
        tokio::time::timeout(time, stopped).await.is_ok()
    }
}

impl Inbox {
    /// The next message; `None` when the session has stopped and the inbox is empty.
    ///
    /// Cancel-safe: dropped while waiting, no message is lost.
    pub async fn next(&mut self) -> Option<Message> {
        self.shared.next().await
    }
}
