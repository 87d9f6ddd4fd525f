//! An app's connections with Redis servers. Whoever leases one has it alone, so that a transaction is nobody else's;
//! given back as it was, it waits a while for the next.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::Address;
use super::connection::{Connection, RedisError, shortened};
use super::wire::Reply;
use crate::limits::redis as limits;
use crate::net::{AddressFilter, Connector};

/// The connections of an app; cheap to clone.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    connector: Connector,
    places: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    /// The oldest first.
    all: Vec<Waiting>,
    /// Somebody will see to it that they do not wait for ever.
    watched: bool,
}

struct Waiting {
    address: Address,
    connection: Connection,
    until: Instant,
    place: OwnedSemaphorePermit,
}

/// A connection that is nobody else's.
pub struct Lease {
    pool: Weak<Inner>,
    address: Address,
    /// Until it is dropped.
    held: Option<(Connection, OwnedSemaphorePermit)>,
    /// What the connection is to its server has changed: another database, a transaction.
    changed: bool,
}

/// Commands after which a connection is not what it was for whoever comes next.
const CHANGING: &[&str] = &[
    "ASKING",
    "AUTH",
    "CLIENT",
    "DISCARD",
    "EXEC",
    "MULTI",
    "QUIT",
    "READONLY",
    "READWRITE",
    "RESET",
    "SCRIPT",
    "SELECT",
    "UNWATCH",
    "WATCH",
];

/// Commands after which a server speaks without being asked, or another protocol.
const REFUSED: &[&str] =
    &["HELLO", "MONITOR", "PSUBSCRIBE", "PSYNC", "SSUBSCRIBE", "SUBSCRIBE", "SYNC"];

impl Pool {
    /// Connects to nothing yet.
    pub fn new(connector: Connector) -> Self {
        let places = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
        Self(Arc::new(Inner { connector, places, idle: Mutex::default() }))
    }

    /// A connection to an address that the filter allows: one that waits, or a new one.
    pub async fn lease(
        &self,
        address: Address,
        filter: Option<&AddressFilter>,
    ) -> Result<Lease, RedisError> {
        let held = match self.0.take(&address) {
            Some(held) => held,
            None => {
                let place = self.0.place()?;
                (Connection::open(&self.0.connector, &address, filter).await?, place)
            }
        };
        let pool = Arc::downgrade(&self.0);
        Ok(Lease { pool, address, held: Some(held), changed: false })
    }
}

impl Inner {
    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self, address: &Address) -> Option<(Connection, OwnedSemaphorePermit)> {
        let mut idle = self.idle();
        idle.all.retain_mut(|waiting| waiting.connection.is_usable());
        let at = idle.all.iter().rposition(|waiting| waiting.address == *address)?;
        let waiting = idle.all.remove(at);
        Some((waiting.connection, waiting.place))
    }

    /// A place for one more, if need be that of one which waits.
    fn place(&self) -> Result<OwnedSemaphorePermit, RedisError> {
        let place = || Arc::clone(&self.places).try_acquire_owned().ok();
        place()
            .or_else(|| {
                let mut idle = self.idle();
                let oldest = (!idle.all.is_empty()).then(|| idle.all.remove(0));
                drop((idle, oldest));
                place()
            })
            .ok_or(RedisError::TooMany)
    }
}

impl Lease {
    /// Any command, name and arguments. What the server complains about is an error.
    pub async fn command(&mut self, parts: &[&[u8]]) -> Result<Reply, RedisError> {
        let name = parts.first().map(|name| String::from_utf8_lossy(name).to_ascii_uppercase());
        let name = name.unwrap_or_default();
        if REFUSED.contains(&name.as_str()) {
            let sentence = format!("{name} cannot be had on a connection for commands");
            return Err(RedisError::Server(sentence));
        }
        self.changed |= CHANGING.contains(&name.as_str());
        let Some((connection, _)) = &mut self.held else {
            return Err(RedisError::Broken("the connection is gone".into()));
        };
        match connection.command(parts, limits::REPLY_TIMEOUT).await? {
            Reply::Error(complaint) => Err(RedisError::Server(shortened(complaint))),
            reply => Ok(reply),
        }
    }
}

impl Drop for Lease {
    /// As it was, it waits for the next; otherwise it is closed.
    fn drop(&mut self) {
        let Some((mut connection, place)) = self.held.take() else { return };
        let Some(pool) = self.pool.upgrade().filter(|_| !self.changed) else { return };
        if !connection.is_usable() {
            return;
        }
        let mut idle = pool.idle();
        if idle.all.len() >= limits::IDLE_CONNECTIONS_MAX {
            idle.all.remove(0);
        }
        let (address, until) = (self.address.clone(), Instant::now() + limits::IDLE_TIMEOUT);
        idle.all.push(Waiting { address, connection, until, place });
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if !std::mem::replace(&mut idle.watched, true) {
            runtime.spawn(watch(Arc::downgrade(&pool)));
        }
    }
}

/// Closes what has waited for too long. Ends when nothing waits any more.
async fn watch(pool: Weak<Inner>) {
    while let Some(next) = overdue(&pool) {
        sleep_until(next).await;
    }
}

/// When to look again.
fn overdue(pool: &Weak<Inner>) -> Option<Instant> {
    let pool = pool.upgrade()?;
    let mut idle = pool.idle();
    let now = Instant::now();
    idle.all.retain_mut(|waiting| waiting.until > now && waiting.connection.is_usable());
    let next = idle.all.iter().map(|waiting| waiting.until).min();
    idle.watched = next.is_some();
    next
}
