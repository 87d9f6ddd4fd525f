//! Work that a guest starts with one call and finishes with another: connecting, looking up a name.
//! It advances whenever the guest waits for it or asks for its result.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use super::poll::Pollable;
use crate::host::locked;

/// Work and, once it is done, its result. Dropping the last handle drops the work where it stands.
pub(super) struct Underway<T>(Mutex<Progress<T>>);

enum Progress<T> {
    Running(Pin<Box<dyn Future<Output = T> + Send>>),
    Done(T),
    Taken,
}

impl<T: Send + 'static> Underway<T> {
    pub(super) fn new(work: impl Future<Output = T> + Send + 'static) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Progress::Running(Box::pin(work)))))
    }

    /// Ready when there is a result, taken or not.
    pub(super) fn pollable(self: &Arc<Self>) -> Pollable {
        let underway = Arc::clone(self);
        Pollable::new(move || {
            let underway = Arc::clone(&underway);
            poll_fn(move |context| underway.advance(context))
        })
    }

    /// The result, once.
    pub(super) fn take(&self) -> Option<T> {
        // Whoever waits next leaves a waker of its own.
        if self.advance(&mut Context::from_waker(Waker::noop())).is_pending() {
            return None;
        }
        match std::mem::replace(&mut *locked(&self.0), Progress::Taken) {
            Progress::Done(result) => Some(result),
            Progress::Running(_) | Progress::Taken => None,
        }
    }

    /// Whether the result was given.
    pub(super) fn is_taken(&self) -> bool {
        matches!(*locked(&self.0), Progress::Taken)
    }

    fn advance(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut progress = locked(&self.0);
        if let Progress::Running(work) = &mut *progress {
            match work.as_mut().poll(context) {
                Poll::Ready(result) => *progress = Progress::Done(result),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_result_is_there_when_the_work_is_done_and_is_given_once() {
        let (send, receive) = tokio::sync::oneshot::channel();
        let underway = Underway::new(receive);
        assert_eq!(underway.take(), None);
        let wait = underway.pollable().wait();
        assert_eq!(send.send(5), Ok(()));
        wait.await;
        assert_eq!(underway.take(), Some(Ok(5)));
        assert_eq!(underway.take(), None);
        underway.pollable().wait().await;
    }
}
