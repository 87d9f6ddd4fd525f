//! A piece of work on its way through a file's thread, whatever it returns: carried out inside the
//! transaction that it shares, answered when that is on the disk.

use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::{StoreError, Tx};

/// Whether work may change the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
}

/// Work in the queue.
pub(super) struct Pending {
    pub(super) task: Box<dyn Work>,
    pub(super) kind: Kind,
    /// How long it may wait for company.
    pub(super) gather: Duration,
    /// Its place in the queue, given back before it is answered.
    pub(super) room: OwnedSemaphorePermit,
}

/// What the thread sees of a task: not what it returns, since one queue holds all of them.
pub(super) trait Work: Send {
    /// Does it; at most once.
    fn carry_out(&mut self, tx: &Tx<'_>) -> Result<(), StoreError>;
    /// Gives the answer: its own error first, then the commit's.
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

/// Work with its result.
pub(super) struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
{
    pub(super) fn boxed(work: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Box<dyn Work> {
        Box::new(Self { work: Some(work), result: None, reply })
    }
}

impl<T, F> Work for Task<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
{
    fn carry_out(&mut self, tx: &Tx<'_>) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let result = work(tx).map_err(|error| error.of(tx.path()));
        let ended = result.as_ref().map(drop).map_err(StoreError::clone);
        self.result = Some(result);
        ended
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let result = match (self.result, committed) {
            (Some(Err(own)), _) => Err(own),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(error),
            (None, Ok(())) => Err(StoreError::Stopped),
        };
        // A receiver that is gone has lost interest: nothing to do.
        drop(self.reply.send(result));
    }
}
