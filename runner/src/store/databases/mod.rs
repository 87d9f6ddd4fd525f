//! Guests' databases: SQL over files of their own, one for each app and label.
//!
//! They share nothing with the store but the library: threads of their own (`hands`), memory that is counted
//! (`memory`), rules about what a statement may do (`rules`). A guest's connection is a connection of SQLite's, so that
//! its transactions are its own; two statements on one database take turns.
//!
//! A commit that was answered is on the disk: WAL with `synchronous = FULL`, as in the store.

mod connection;
mod error;
mod hands;
mod memory;
mod rules;

mod hall;

mod console;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use self::connection::{Asked, Open};
use self::hall::{File, Hall, Place};
use crate::limits::sqlite as limits;

pub use console::{Console, Missing};
pub use error::SqlError;
pub(crate) use memory::install as count_memory;

/// A value of SQL.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// Nothing.
    Null,
}

/// What a statement answers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The names of the columns.
    pub columns: Vec<String>,
    /// The rows, with as many values each.
    pub rows: Vec<Vec<SqlValue>>,
    /// What it did.
    pub effect: Effect,
}

/// What statements on a connection did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Effect {
    /// Of the last row that was inserted; 0 if none was.
    pub last_insert_rowid: i64,
    /// Rows that the last `INSERT`, `UPDATE` or `DELETE` changed.
    pub changes: u64,
}

/// The databases of one app; cheap to clone.
#[derive(Clone)]
pub struct Databases(Arc<Shared>);

struct Shared {
    /// The folder that is made when a database in it is opened.
    folder: PathBuf,
    /// Threads that it may occupy.
    threads: Arc<Semaphore>,
    /// Connections that it may have.
    connections: Arc<Semaphore>,
    /// How long one statement may take.
    statement_time: Duration,
}

/// What the guests of one component may have at once.
pub struct Slots(Arc<Semaphore>);

impl Default for Slots {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(limits::CONNECTIONS_PER_COMPONENT_MAX)))
    }
}

/// A guest's connection. When it is dropped, a transaction that is open is rolled back.
pub struct Connection {
    databases: Databases,
    slot: Arc<Slot>,
    effect: Mutex<Effect>,
}

type Permits = (OwnedSemaphorePermit, OwnedSemaphorePermit);

/// What is behind a connection; whoever is the last to work with it puts it back.
struct Slot {
    file: Arc<File>,
    /// `None` while it is put back.
    open: Mutex<Option<Open>>,
    /// Its place in the process, and those in its app and its component.
    places: Option<(OwnedSemaphorePermit, Permits)>,
}

impl Default for Databases {
    fn default() -> Self {
        Self::new(PathBuf::new())
    }
}

impl Databases {
    /// The databases of the app whose state is in this folder, which is made if it is not there.
    pub fn new(folder: PathBuf) -> Self {
        count_memory();
        Self::with(folder, limits::STATEMENT_TIME)
    }

    fn with(folder: PathBuf, statement_time: Duration) -> Self {
        let threads = Arc::new(Semaphore::new(limits::THREADS_PER_APP_MAX));
        let connections = Arc::new(Semaphore::new(limits::CONNECTIONS_MAX));
        Self(Arc::new(Shared { folder, threads, connections, statement_time }))
    }

    /// Opens the database in this file, which may become as large as this. Dropped half-way, nothing is open.
    pub async fn open(
        &self,
        path: PathBuf,
        bytes_max: u64,
        slots: &Slots,
    ) -> Result<Connection, SqlError> {
        let own = Arc::clone(&slots.0).acquire_owned();
        let own = timeout(limits::OPEN_WAIT, own).await.ok().and_then(Result::ok);
        let own = own.ok_or_else(|| {
            let most = limits::CONNECTIONS_PER_COMPONENT_MAX;
            SqlError::crowded(&format!("the component has {most} connections open"))
        })?;
        let of_app = Arc::clone(&self.0.connections).acquire_owned().await;
        let of_app = of_app.map_err(|_| SqlError::Io("the app is being stopped".into()))?;
        if path.parent() == Some(&self.0.folder) {
            // If that fails, opening the file says what is wrong.
            let _ = super::folder::make(&self.0.folder);
        }
        let file = Hall::the().file(path);
        let begun = Instant::now();
        let own = Arc::new(Mutex::new(Some((of_app, own))));
        loop {
            let place = Hall::the().place(&file).await?;
            let (databases, file_of, own) = (self.clone(), Arc::clone(&file), Arc::clone(&own));
            let opened = Hall::the().hands().work(&self.0.threads, move || {
                let (mut open, place) = match place {
                    Place::Taken(open, place) => (open, place),
                    Place::Free(place) => (Open::at(file_of.path())?, place),
                };
                open.grow_to(bytes_max)?;
                let places = locked(&own).take().map(|own| (place, own));
                let slot = Slot { file: file_of, open: Mutex::new(Some(open)), places };
                Ok(Connection { databases, slot: Arc::new(slot), effect: Mutex::default() })
            });
            match opened.await? {
                Err(SqlError::Busy) if begun.elapsed() < limits::BUSY_WAIT => file.freed().await,
                opened => return opened,
            }
        }
    }

    /// Waits until no connection is open, folds back the logs and closes the files.
    pub async fn close(&self) {
        if !Hall::the().is_used() {
            return;
        }
        let share = &self.0.threads;
        let _none_open = self.0.connections.acquire_many(limits::CONNECTIONS_MAX as u32).await;
        let _ = Hall::the().hands().work(share, || Hall::the().close_idle()).await;
    }
}

impl Connection {
    /// Carries out one statement, in its turn. Dropped half-way, it is interrupted and has done nothing, or it was already
    /// done.
    pub async fn execute(
        &self,
        sql: String,
        parameters: Vec<SqlValue>,
    ) -> Result<Answer, SqlError> {
        if sql.len() > limits::STATEMENT_BYTES_MAX {
            let most = limits::STATEMENT_BYTES_MAX / 1024;
            return Err(SqlError::Io(format!("a statement has at most {most} KiB")));
        }
        let (share, time) = (&self.databases.0.threads, self.databases.0.statement_time);
        let asked = Arc::new(Asked { sql, parameters, time });
        let begun = Instant::now();
        let waits = Waits(Arc::default());
        loop {
            let file = &self.slot.file;
            let turn = file.turn().await?;
            let (slot, asked, gone) =
                (Arc::clone(&self.slot), Arc::clone(&asked), Arc::clone(&waits.0));
            let executed = Hall::the().hands().work(share, move || {
                let answer = match &mut *locked(&slot.open) {
                    Some(open) if !gone.load(Relaxed) => open.execute(&asked, &gone),
                    _ => Err(SqlError::Io("it is closed".into())),
                };
                drop(turn);
                slot.file.free();
                answer
            });
            match executed.await? {
                Err(SqlError::Busy) if begun.elapsed() < limits::BUSY_WAIT => file.freed().await,
                executed => {
                    let answer = executed?;
                    *locked(&self.effect) = answer.effect;
                    return Ok(answer);
                }
            }
        }
    }

    /// What the statements of this connection did.
    pub fn effect(&self) -> Effect {
        *locked(&self.effect)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        let (Some(mut open), Some((place, own))) = (open, self.places.take()) else { return };
        let file = Arc::clone(&self.file);
        let put_back = move || {
            match open.reset() {
                true => Hall::the().keep(&file, open, place),
                false => drop(open),
            }
            file.free();
            drop(own);
        };
        // Rolling back and closing write: never here, where the loop may be. Without a thread it is closed all the same.
        let _ = Hall::the().hands().put(put_back);
    }
}

/// Somebody waits for a statement, as long as this is not dropped.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
