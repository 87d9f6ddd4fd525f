//! What all guests' databases of the process have in common: their files, whose turn it is on each, connections that
//! nobody uses at the moment, and how many there may be.

use std::collections::BTreeMap;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::SqlError;
use super::connection::Open;
use super::hands::{Hands, Tidy};
use crate::limits::sqlite as limits;

/// What they have in common.
pub(super) struct Hall {
    hands: Arc<Hands>,
    places: Arc<Semaphore>,
    files: Mutex<Files>,
}

#[derive(Default)]
struct Files {
    known: BTreeMap<PathBuf, Weak<File>>,
    /// Those with connections that wait to be used again.
    idle: Vec<Idle>,
    tidied: Option<Instant>,
}

struct Idle {
    file: Arc<File>,
    open: Open,
    place: OwnedSemaphorePermit,
    since: Instant,
}

/// A database's file.
pub(super) struct File {
    path: PathBuf,
    turn: Arc<Semaphore>,
    freed: Notify,
}

/// A place for a connection.
pub(super) enum Place {
    /// With one that somebody used before.
    Taken(Open, OwnedSemaphorePermit),
    /// For a new one.
    Free(OwnedSemaphorePermit),
}

impl Hall {
    /// The process's.
    pub(super) fn the() -> &'static Self {
        static THE: OnceLock<Hall> = OnceLock::new();
        THE.get_or_init(|| Self {
            hands: Hands::new(limits::LINGER, |what| Self::the().tidy(what)),
            places: Arc::new(Semaphore::new(limits::CONNECTIONS_MAX)),
            files: Mutex::default(),
        })
    }

    /// Whether anybody ever opened a database.
    pub(super) fn is_used(&self) -> bool {
        !self.files().known.is_empty()
    }

    /// The threads.
    pub(super) fn hands(&self) -> &Arc<Hands> {
        &self.hands
    }

    /// The file of this path; the same for all who use it.
    pub(super) fn file(&self, path: PathBuf) -> Arc<File> {
        let mut files = self.files();
        if let Some(file) = files.known.get(&path).and_then(Weak::upgrade) {
            return file;
        }
        files.known.retain(|_, file| file.strong_count() > 0);
        let turn = Arc::new(Semaphore::new(1));
        let file = Arc::new(File { path: path.clone(), turn, freed: Notify::new() });
        files.known.insert(path, Arc::downgrade(&file));
        file
    }

    /// A place for a connection to this file; one that nobody uses is taken from whoever had it last.
    pub(super) async fn place(&self, file: &Arc<File>) -> Result<Place, SqlError> {
        if let Some(Idle { open, place, .. }) = self.take_idle(|idle| Arc::ptr_eq(&idle.file, file))
        {
            return Ok(Place::Taken(open, place));
        }
        let places = || Arc::clone(&self.places);
        if places().available_permits() == 0
            && let Some(longest) = self.take_idle(|_| true)
        {
            // Closing may write.
            self.hands.put(move || drop(longest))?;
        }
        let place = timeout(limits::OPEN_WAIT, places().acquire_owned()).await;
        let place = place.ok().and_then(Result::ok).ok_or_else(|| {
            let most = limits::CONNECTIONS_MAX;
            SqlError::crowded(&format!("all {most} connections to databases are in use"))
        });
        place.map(Place::Free)
    }

    /// Keeps a connection that is as new for the next who wants one.
    pub(super) fn keep(&self, file: &Arc<File>, open: Open, place: OwnedSemaphorePermit) {
        let mut files = self.files();
        let own = files.idle.iter().filter(|idle| Arc::ptr_eq(&idle.file, file)).count();
        if own < limits::IDLE_CONNECTIONS_MAX && self.places.available_permits() > 0 {
            let (file, since) = (Arc::clone(file), Instant::now());
            files.idle.push(Idle { file, open, place, since });
            return;
        }
        drop(files);
        drop(open);
        drop(place);
    }

    /// Closes all that nobody uses.
    pub(super) fn close_idle(&self) {
        let idle = mem::take(&mut self.files().idle);
        drop(idle);
    }

    fn take_idle(&self, which: impl Fn(&Idle) -> bool) -> Option<Idle> {
        let mut files = self.files();
        let found = files.idle.iter().position(which)?;
        Some(files.idle.remove(found))
    }

    fn tidy(&self, what: Tidy) {
        let now = Instant::now();
        let is_old = |since: Instant| now.duration_since(since) >= limits::LINGER;
        let mut files = self.files();
        if what == Tidy::Old && files.tidied.is_some_and(|last| !is_old(last)) {
            return;
        }
        files.tidied = Some(now);
        let (old, young) = mem::take(&mut files.idle)
            .into_iter()
            .partition(|idle| what == Tidy::All || is_old(idle.since));
        files.idle = young;
        drop(files);
        let old: Vec<Idle> = old;
        drop(old);
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl File {
    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Waits until nobody else's statement runs on it, in the order of asking.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, SqlError> {
        let turn = Arc::clone(&self.turn).acquire_owned().await;
        turn.map_err(|_| SqlError::Io("the database is closed".into()))
    }

    /// A statement or a connection ended.
    pub(super) fn free(&self) {
        self.freed.notify_waiters();
    }

    /// Waits until one did, or until it is worth looking: another program may have it.
    pub(super) async fn freed(&self) {
        let look: Duration = limits::BUSY_LOOK;
        let _ = timeout(look, self.freed.notified()).await;
    }
}
