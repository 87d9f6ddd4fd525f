//! What becomes of a guest's publishes. A session that ends before a message arrived can mean two things:
//! the runner is stopping, and the event will come again; or that one broker's session is gone, and
//! then the event must not go with it. Only who knows whose session it was can tell.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use pirn_triggers::mqtt::{self, DeliveryError};

use super::brokers::Lease;

/// Resolves when a publish is done. Keeps the session that it is of from being closed as unused.
///
/// Dropping it changes nothing: the message is sent all the same.
pub struct Receipt {
    delivery: mqtt::Receipt,
    lease: Lease,
}

/// Why a publish did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDelivered {
    /// The runner is stopping: nothing is known, and the event comes again.
    Stopping,
    /// It will not arrive any more, for this reason.
    Lost(String),
}

impl fmt::Display for NotDelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopping => f.write_str("the runner is stopping"),
            Self::Lost(sentence) => f.write_str(sentence),
        }
    }
}

impl Receipt {
    pub(super) fn new(delivery: mqtt::Receipt, lease: Lease) -> Self {
        Self { delivery, lease }
    }
}

impl Future for Receipt {
    type Output = Result<(), NotDelivered>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Poll::Ready(result) = Pin::new(&mut self.delivery).poll(context) else {
            return Poll::Pending;
        };
        Poll::Ready(result.map_err(|error| match error {
            DeliveryError::Stopped => self.lease.why_it_ended(),
            other => NotDelivered::Lost(format!("{}: {other}", self.lease.address())),
        }))
    }
}
