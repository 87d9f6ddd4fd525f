//! Connections that wait for the next request. At most a few, for a while; nothing wakes up for them but once when that
//! is over.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use hyper::client::conn::http1::{Builder, SendRequest};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use super::body::Outgoing;
use super::error::HttpError;
use super::io::Io;
use crate::limits::asking as limits;
use crate::net::{Stream, Target};

/// An open connection. Dropped, it is closed.
pub(super) struct Open {
    pub(super) sender: SendRequest<Outgoing>,
    _driven: Driven,
}

/// What moves its bytes, for as long as anybody has use for them.
struct Driven(JoinHandle<()>);

impl Drop for Driven {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Open {
    /// HTTP over a connection on which nothing has been said yet.
    pub(super) async fn over(stream: Stream) -> Result<Self, HttpError> {
        let mut builder = Builder::new();
        builder.max_buf_size(limits::BUFFER_BYTES).max_headers(limits::HEADERS_MAX);
        let shaken = builder.handshake(Io(stream)).await;
        let (sender, connection) = shaken.map_err(|error| HttpError::of(&error))?;
        // Its errors are told to who asked.
        let driven = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, _driven: Driven(driven) })
    }
}

/// The connections of an app that wait.
#[derive(Default)]
pub(super) struct Pool(Mutex<Idle>);

#[derive(Default)]
struct Idle {
    /// The oldest first.
    all: Vec<Waiting>,
    /// Somebody will see to it that they do not wait for ever.
    watched: bool,
}

struct Waiting {
    target: Target,
    open: Open,
    until: Instant,
}

/// The way of one connection back to its pool.
pub(super) struct Back {
    pool: Weak<Pool>,
    target: Target,
    open: Open,
}

impl Pool {
    /// One that waits for this target, if there is one: the last that came, which the server is the last to close.
    pub(super) fn take(&self, target: &Target) -> Option<Open> {
        let mut idle = self.idle();
        idle.all.retain(|waiting| !waiting.open.sender.is_closed());
        let usable =
            |waiting: &Waiting| waiting.target == *target && waiting.open.sender.is_ready();
        let at = idle.all.iter().rposition(usable)?;
        Some(idle.all.remove(at).open)
    }

    /// Where the connection goes when its answer was read.
    pub(super) fn place_for(self: &Arc<Self>, target: Target, open: Open) -> Back {
        Back { pool: Arc::downgrade(self), target, open }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Back {
    /// The connection waits, unless it is over with it.
    pub(super) fn give(self) {
        let Self { pool, target, open } = self;
        let Some(pool) = pool.upgrade().filter(|_| !open.sender.is_closed()) else { return };
        let mut idle = pool.idle();
        if idle.all.len() >= limits::IDLE_CONNECTIONS_MAX {
            idle.all.remove(0);
        }
        idle.all.push(Waiting { target, open, until: Instant::now() + limits::IDLE_TIMEOUT });
        if !std::mem::replace(&mut idle.watched, true) {
            tokio::spawn(watch(Arc::downgrade(&pool)));
        }
    }
}

/// Closes what has waited for too long. Ends when nothing waits any more.
async fn watch(pool: Weak<Pool>) {
    while let Some(next) = overdue(&pool) {
        sleep_until(next).await;
    }
}

/// When to look again.
fn overdue(pool: &Weak<Pool>) -> Option<Instant> {
    let pool = pool.upgrade()?;
    let mut idle = pool.idle();
    let now = Instant::now();
    idle.all.retain(|waiting| waiting.until > now && !waiting.open.sender.is_closed());
    let next = idle.all.iter().map(|waiting| waiting.until).min();
    idle.watched = next.is_some();
    next
}
