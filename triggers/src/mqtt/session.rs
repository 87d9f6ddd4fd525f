//! The two ends that a program holds: [`Session`] to publish and settle, [`Inbox`] to receive.

use super::message::{Delivery, Message, Publish, PublishError, Receipt};
use super::notice::{Counters, State};
use super::options::{Options, OptionsError};
use super::shared::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// One session with one broker. Clones share it; dropping the last clone cuts the connection
/// without a DISCONNECT, so that the broker publishes the will.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
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
        let shared = Arc::new(Shared::new(options));
        Ok((Session { shared: shared.clone() }, Inbox { shared }))
    }

    /// Accepts a message to send. Waits for room, which is the back-pressure; done when the message
    /// is in the session's record, from where it is sent, and sent again after a reconnect.
    ///
    /// A message sent again may arrive twice, with QoS 2 too if the broker lost the session.
    ///
    /// Dropped while waiting, nothing was accepted. The [`Receipt`] may be dropped.
    pub async fn publish(&self, publish: Publish) -> Result<Receipt, PublishError> {
        self.shared.publish(publish).await
    }

    /// Acknowledges an inbound message. Harmless if its connection is gone: if the broker sends the
    /// message again in the same session, it is then acknowledged without being handed out again.
    pub fn settle(&self, delivery: Delivery) {
        delivery.settle();
    }

    /// The state, and its changes.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state()
    }

    /// The counters, now.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// Ends the session: takes no more publishes, gives those under way up to `grace`, sends the
    /// acknowledgements of all that is settled, says offline if it said online, disconnects.
    ///
    /// Dropped half-way, the session goes on stopping, without the time limit.
    pub async fn stop(&self, grace: Duration) {
        let _ = grace;
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
