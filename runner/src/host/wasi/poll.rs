//! `wasi:io/poll`: waiting for any of several things. A pollable knows how to wait; what it waits for
//! is the business of whoever made it.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use wasmtime::component::Resource;

use super::{Door, Host, interface, interface_of_draft};
use crate::engine::door::{Answer, Twin};
use crate::engine::fault::Fault;
use crate::limits::wasi::POLLABLES_PER_CALL_MAX;

/// One wait for readiness. Dropping it loses nothing: the next one starts from the thing's state.
type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// `resource pollable`: something that can be waited for, any number of times.
#[derive(Clone)]
pub(super) struct Pollable(Arc<dyn Fn() -> Wait + Send + Sync>);

impl Pollable {
    /// Ready whenever the future that `wait` makes is.
    pub(super) fn new<F>(wait: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(wait())))
    }

    /// Always ready.
    pub(super) fn now() -> Self {
        Self::new(|| std::future::ready(()))
    }

    /// Ready from an instant on.
    pub(super) fn at(instant: Instant) -> Self {
        Self::new(move || tokio::time::sleep_until(instant))
    }

    /// Waits until it is ready.
    pub(super) fn wait(&self) -> Wait {
        (self.0)()
    }

    /// Whether it is ready now.
    pub(super) async fn is_ready(&self) -> bool {
        let mut wait = self.wait();
        poll_fn(|context| Poll::Ready(wait.as_mut().poll(context).is_ready())).await
    }
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut poll = interface(door, "io/poll")?;
    poll.resource::<Pollable>("pollable")?;
    poll.waiting(Twin::Sync, "[method]pollable.ready", ready)?;
    poll.waiting(Twin::Sync, "[method]pollable.block", block)?;
    poll.waiting(Twin::Sync, "poll", wait_for_any)?;

    let mut draft = interface_of_draft(door, "io/poll")?;
    draft.resource::<Pollable>("pollable")?;
    draft.waiting(Twin::Sync, "poll-one", block)?;
    draft.waiting(Twin::Sync, "poll-list", wait_for_any)
}

async fn ready(host: Host, (pollable,): (Resource<Pollable>,)) -> Answer<(bool,)> {
    let pollable = host.with(&pollable, |p| p.clone())?;
    Ok((pollable.is_ready().await,))
}

async fn block(host: Host, (pollable,): (Resource<Pollable>,)) -> Answer<()> {
    let wait = host.with(&pollable, |p| p.wait())?;
    wait.await;
    Ok(())
}

async fn wait_for_any(host: Host, (pollables,): (Vec<Resource<Pollable>>,)) -> Answer<(Vec<u32>,)> {
    if pollables.is_empty() {
        return Err(wasmtime::Error::msg("it waited for nothing at all: `poll` of an empty list"));
    }
    if pollables.len() > POLLABLES_PER_CALL_MAX {
        let sentence = format!("it waited for more than {POLLABLES_PER_CALL_MAX} things at once");
        return Fault::Limit(sentence).end();
    }
    let waits: Answer<Vec<Wait>> =
        pollables.iter().map(|pollable| host.with(pollable, |p| p.wait())).collect();
    let mut waits = waits?;
    Ok((poll_fn(|context| any_ready(&mut waits, context)).await,))
}

/// The indexes of all that are ready, once there are any.
fn any_ready(waits: &mut [Wait], context: &mut Context<'_>) -> Poll<Vec<u32>> {
    let mut ready = Vec::new();
    for (index, wait) in (0..).zip(waits) {
        if wait.as_mut().poll(context).is_ready() {
            ready.push(index);
        }
    }
    if ready.is_empty() { Poll::Pending } else { Poll::Ready(ready) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::super::testing::host;
    use super::*;

    fn in_seconds(seconds: u64) -> Pollable {
        Pollable::at(Instant::now() + Duration::from_secs(seconds))
    }

    #[tokio::test(start_paused = true)]
    async fn poll_answers_with_all_that_are_ready_and_waits_for_the_first() {
        let host = host();
        let keep = |p| host.push(p).unwrap();
        let both = vec![keep(Pollable::now()), keep(in_seconds(5)), keep(Pollable::now())];
        assert_eq!(wait_for_any(host.clone(), (both,)).await.unwrap().0, [0, 2]);
        let later = vec![keep(in_seconds(7)), keep(in_seconds(3))];
        let start = Instant::now();
        assert_eq!(wait_for_any(host.clone(), (later,)).await.unwrap().0, [1]);
        assert_eq!(start.elapsed().as_secs(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pollable_can_be_asked_and_awaited_again_and_again() {
        let host = host();
        let pollable = host.push(in_seconds(1)).unwrap();
        let again = || Resource::new_borrow(pollable.rep());
        assert!(!ready(host.clone(), (again(),)).await.unwrap().0);
        block(host.clone(), (again(),)).await.unwrap();
        block(host.clone(), (again(),)).await.unwrap();
        assert!(ready(host.clone(), (again(),)).await.unwrap().0);
    }

    #[tokio::test]
    async fn waiting_for_nothing_or_too_much_ends_the_guest() {
        let host = host();
        assert!(wait_for_any(host.clone(), (vec![],)).await.is_err());
        let pollable = host.push(Pollable::now()).unwrap();
        let many = |count| (0..count).map(|_| Resource::new_borrow(pollable.rep())).collect();
        let (max, over) = (POLLABLES_PER_CALL_MAX, POLLABLES_PER_CALL_MAX + 1);
        assert!(wait_for_any(host.clone(), (many(max),)).await.is_ok());
        let error = wait_for_any(host.clone(), (many(over),)).await.unwrap_err().to_string();
        assert!(error.contains("things at once"), "{error}");
    }
}
