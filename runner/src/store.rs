//! The only file that names the database. Key-value stores and dead letters, on a thread of their
//! own: a write that was answered is on the disk, and the loop never waits for an fsync. Requests
//! that arrive while one is being written share the next transaction (group commit).
//!
//! SQLite in WAL mode with `synchronous = FULL`: about 8 kB written and one fsync a transaction.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::thread;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::oneshot;

use crate::limits::{host as limits, store as caps};

/// Where each store lives. Labels without a path of their own share `state_dir/pirn.db`.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The folder that pirn may write to.
    pub state_dir: PathBuf,
    /// Labels that the operator put elsewhere.
    pub paths: BTreeMap<String, PathBuf>,
}

impl Layout {
    fn path(&self, label: &str) -> PathBuf {
        self.paths.get(label).cloned().unwrap_or_else(|| self.state_dir.join("pirn.db"))
    }
}

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or read or written; the sentence names it.
    #[error("{0}")]
    Disk(String),
    /// A cap of this build.
    #[error("{0}")]
    Limit(String),
    /// Too many requests are waiting.
    #[error("the store is busy: {} requests are waiting", caps::REQUESTS_MAX)]
    Busy,
    /// The store's thread is gone.
    #[error("the store has stopped")]
    Stopped,
}

/// A message that could not be handled, kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The component that failed on it.
    pub component: String,
    /// Where it came from: an MQTT topic.
    pub source: String,
    /// The message.
    pub payload: Vec<u8>,
    /// How the last try ended.
    pub reason: String,
}

/// A handle to the store's thread; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    requests: SyncSender<Request>,
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

enum Request {
    Get(String, String, Reply<Option<Vec<u8>>>),
    Set(String, String, Vec<u8>, Reply<()>),
    Delete(String, String, Reply<()>),
    Keys(String, Reply<Vec<String>>),
    Bury(DeadLetter, Reply<()>),
    Graves(Reply<Vec<DeadLetter>>),
}

impl Store {
    /// Starts the thread that owns the files. Files are opened with the first request.
    pub fn start(layout: Layout) -> std::io::Result<Self> {
        let (requests, queue) = mpsc::sync_channel(caps::REQUESTS_MAX);
        thread::Builder::new()
            .name("pirn-store".into())
            .stack_size(caps::THREAD_STACK_BYTES)
            .spawn(move || Files { layout, open: BTreeMap::new() }.serve(&queue))?;
        Ok(Self { requests })
    }

    /// The value of a key. Dropping this future abandons the answer.
    pub async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.ask(|reply| Request::Get(store.into(), key.into(), reply)).await
    }

    /// Writes a value; it is on the disk when this returns. Dropped half-way, it may or may not be.
    pub async fn set(&self, store: &str, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        if key.len() > limits::KEY_BYTES_MAX {
            return Err(StoreError::Limit(format!(
                "a key may have {} bytes, this one has {}",
                limits::KEY_BYTES_MAX,
                key.len()
            )));
        }
        if value.len() > limits::VALUE_BYTES_MAX {
            return Err(StoreError::Limit(format!(
                "a value may have {} bytes, this one has {}",
                limits::VALUE_BYTES_MAX,
                value.len()
            )));
        }
        self.ask(|reply| Request::Set(store.into(), key.into(), value, reply)).await
    }

    /// Removes a key, on the disk when this returns.
    pub async fn delete(&self, store: &str, key: &str) -> Result<(), StoreError> {
        self.ask(|reply| Request::Delete(store.into(), key.into(), reply)).await
    }

    /// All keys of a store, sorted.
    pub async fn keys(&self, store: &str) -> Result<Vec<String>, StoreError> {
        self.ask(|reply| Request::Keys(store.into(), reply)).await
    }

    /// Keeps a message that could not be handled; it is on the disk when this returns. Beyond the
    /// cap the oldest is overwritten.
    pub async fn bury(&self, letter: DeadLetter) -> Result<(), StoreError> {
        self.ask(|reply| Request::Bury(letter, reply)).await
    }

    /// The messages kept aside, oldest first.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.ask(Request::Graves).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.requests.try_send(request(reply)).map_err(|error| match error {
            TrySendError::Full(_) => StoreError::Busy,
            TrySendError::Disconnected(_) => StoreError::Stopped,
        })?;
        answer.await.map_err(|_| StoreError::Stopped)?
    }
}

/// An answer that is given once its transaction is on the disk.
type Answered = Box<dyn FnOnce(Result<(), StoreError>)>;

struct Files {
    layout: Layout,
    open: BTreeMap<PathBuf, Connection>,
}

impl Files {
    /// The thread: waits for a request, takes those that queued up behind it, commits them together.
    fn serve(mut self, queue: &Receiver<Request>) {
        while let Ok(first) = queue.recv() {
            let behind = queue.try_iter().take(caps::REQUESTS_PER_COMMIT_MAX - 1);
            let mut by_file: BTreeMap<PathBuf, Vec<Request>> = BTreeMap::new();
            for request in std::iter::once(first).chain(behind) {
                by_file.entry(self.layout.path(request.label())).or_default().push(request);
            }
            for (path, requests) in by_file {
                self.commit(&path, requests);
            }
        }
    }

    /// Carries out requests on one file in one transaction; answers when it is on the disk. After an
    /// error the file is closed and opened anew, since what a failed write left is unknown.
    fn commit(&mut self, path: &Path, requests: Vec<Request>) {
        let connection = match self.opened(path) {
            Ok(connection) => connection,
            Err(error) => return requests.into_iter().for_each(|r| r.fail(&error)),
        };
        let mut answers: Vec<Answered> = Vec::with_capacity(requests.len());
        let work = || -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            for request in requests {
                answers.push(request.carry_out(&transaction));
            }
            transaction.commit()
        };
        let result = work().map_err(|error| disk(path, &error));
        if result.is_err() {
            self.open.remove(path);
        }
        for answer in answers {
            answer(result.clone());
        }
    }

    fn opened(&mut self, path: &Path) -> Result<&mut Connection, StoreError> {
        if !self.open.contains_key(path) {
            let connection = open(path).or_else(|error| match is_damage(&error) {
                true => set_aside(path).and_then(|()| open(path)),
                false => Err(error),
            });
            self.open.insert(path.to_path_buf(), connection.map_err(|error| disk(path, &error))?);
        }
        self.open.get_mut(path).ok_or(StoreError::Stopped)
    }
}

impl Request {
    fn label(&self) -> &str {
        match self {
            Self::Get(label, ..)
            | Self::Set(label, ..)
            | Self::Delete(label, ..)
            | Self::Keys(label, ..) => label,
            Self::Bury(..) | Self::Graves(..) => "",
        }
    }

    fn fail(self, error: &StoreError) {
        // A receiver that is gone has lost interest: nothing to do.
        match self {
            Self::Get(.., reply) => drop(reply.send(Err(error.clone()))),
            Self::Set(.., reply) | Self::Delete(.., reply) | Self::Bury(_, reply) => {
                drop(reply.send(Err(error.clone())));
            }
            Self::Keys(_, reply) => drop(reply.send(Err(error.clone()))),
            Self::Graves(reply) => drop(reply.send(Err(error.clone()))),
        }
    }

    fn carry_out(self, db: &Connection) -> Answered {
        match self {
            Self::Get(store, key, reply) => later(reply, get(db, &store, &key)),
            Self::Set(store, key, value, reply) => later(reply, set(db, &store, &key, &value)),
            Self::Delete(store, key, reply) => later(reply, delete(db, &store, &key)),
            Self::Keys(store, reply) => later(reply, keys(db, &store)),
            Self::Bury(letter, reply) => later(reply, bury(db, &letter)),
            Self::Graves(reply) => later(reply, graves(db)),
        }
    }
}

/// Keeps an answer until the commit: its own error comes first, then the commit's.
fn later<T: 'static>(reply: Reply<T>, result: Result<T, StoreError>) -> Answered {
    Box::new(move |committed| drop(reply.send(result.and_then(|value| committed.map(|()| value)))))
}

/// The schema of key-value tables is Spin's, so that a file can move between the two.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS spin_key_value (
        store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key));
    CREATE TABLE IF NOT EXISTS pirn_dead_letter (
        id INTEGER PRIMARY KEY AUTOINCREMENT, component TEXT NOT NULL, source TEXT NOT NULL,
        payload BLOB NOT NULL, reason TEXT NOT NULL);";

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open(path)?;
    db.busy_timeout(caps::BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", caps::CACHE_PAGES)?;
    db.pragma_update(None, "wal_autocheckpoint", caps::WAL_PAGES)?;
    let check: String = db.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT),
            Some(check),
        ));
    }
    db.execute_batch(SCHEMA)?;
    Ok(db)
}

fn is_damage(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
    matches!(error.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
}

/// Keeps a damaged file beside the new one, for whoever can mend it.
fn set_aside(path: &Path) -> rusqlite::Result<()> {
    let aside = path.with_extension("db.damaged");
    eprintln!("pirn: {} is damaged; it is kept as {}", path.display(), aside.display());
    std::fs::rename(path, &aside).map_err(|_| rusqlite::Error::InvalidPath(path.into()))
}

fn disk(path: &Path, error: &rusqlite::Error) -> StoreError {
    let advice = match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::DiskFull) => "; the disk is full",
        Some(rusqlite::ErrorCode::CannotOpen) => "; does the folder exist, may this user write it?",
        _ => "",
    };
    StoreError::Disk(format!("{}: {error}{advice}", path.display()))
}

fn failed(error: rusqlite::Error) -> StoreError {
    StoreError::Disk(error.to_string())
}

fn get(db: &Connection, store: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    db.prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")
        .and_then(|mut q| q.query_row(params![store, key], |row| row.get(0)).optional())
        .map_err(failed)
}

fn set(db: &Connection, store: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let (count, bytes): (u32, i64) = db
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(value)), 0) FROM spin_key_value
             WHERE store = ?1 AND key <> ?2",
        )
        .and_then(|mut q| q.query_row(params![store, key], |row| Ok((row.get(0)?, row.get(1)?))))
        .map_err(failed)?;
    if count >= limits::KEYS_PER_STORE_MAX {
        let most = limits::KEYS_PER_STORE_MAX;
        return Err(StoreError::Limit(format!("store `{store}` is full: it holds {most} keys")));
    }
    if bytes.unsigned_abs() + value.len() as u64 > limits::STORE_BYTES_MAX {
        let most = limits::STORE_BYTES_MAX;
        return Err(StoreError::Limit(format!(
            "store `{store}` is full: it may hold {most} bytes"
        )));
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)",
    )
    .and_then(|mut q| q.execute(params![store, key, value]))
    .map(drop)
    .map_err(failed)
}

fn delete(db: &Connection, store: &str, key: &str) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")
        .and_then(|mut q| q.execute(params![store, key]))
        .map(drop)
        .map_err(failed)
}

fn keys(db: &Connection, store: &str) -> Result<Vec<String>, StoreError> {
    db.prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key")
        .and_then(|mut q| q.query_map(params![store], |row| row.get(0))?.collect())
        .map_err(failed)
}

fn bury(db: &Connection, letter: &DeadLetter) -> Result<(), StoreError> {
    let DeadLetter { component, source, payload, reason } = letter;
    db.prepare_cached(
        "INSERT INTO pirn_dead_letter (component, source, payload, reason) VALUES (?1, ?2, ?3, ?4)",
    )
    .and_then(|mut q| q.execute(params![component, source, payload, reason]))
    .and_then(|_| {
        db.execute(
            "DELETE FROM pirn_dead_letter WHERE id <=
             (SELECT max(id) FROM pirn_dead_letter) - ?1",
            params![caps::DEAD_LETTERS_MAX],
        )
    })
    .map(drop)
    .map_err(failed)
}

fn graves(db: &Connection) -> Result<Vec<DeadLetter>, StoreError> {
    let letter = |row: &rusqlite::Row<'_>| {
        Ok(DeadLetter {
            component: row.get(0)?,
            source: row.get(1)?,
            payload: row.get(2)?,
            reason: row.get(3)?,
        })
    };
    db.prepare_cached("SELECT component, source, payload, reason FROM pirn_dead_letter ORDER BY id")
        .and_then(|mut q| q.query_map([], letter)?.collect())
        .map_err(failed)
}

#[cfg(test)]
#[path = "store_tests.rs"]
mod tests;
