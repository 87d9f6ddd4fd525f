//! The only folder that names the database. Whoever keeps something hands in a piece of work, a closure
//! over a transaction, and is answered when it is on the disk; the loop never waits for an fsync.
//!
//! Each file has a thread of its own, so that a slow one stalls nobody else. What arrives while one commit
//! is under way shares the next (group commit), each piece behind a savepoint, so that one that fails does
//! not take its neighbours along. Nobody is turned away: who finds the queue full waits for room.
//!
//! SQLite in WAL mode with `synchronous = FULL`: one fsync for a transaction, and 12 to 21 kB written for a value of
//! 16 to 1 000 bytes, the folding of the log included (`examples/store.rs` measures it).

// What guests keep in databases of their own.
#[cfg(feature = "sqlite-guest")]
pub mod databases;

// How a file is kept.
mod task;

mod desk;
mod file;

mod mark;
mod open;

mod error;
pub mod folder;
mod notices;

// What is in it.
mod dead_letters;
mod events;
mod kept;
mod key_value;
mod key_values;
mod publishes;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use crate::limits::bounds::LetterBounds;
use crate::limits::store as caps;
use crate::report::Reporter;

pub use dead_letters::{DeadLetter, Kept, LetterKind, LetterTotals, Payloads, Pick, Retry};
pub use desk::Desk;
pub use error::StoreError;
pub use events::{KeptEvent, WaitingEvent};
pub(crate) use file::Tx;
pub use key_value::{Holder, Quota};
pub use key_values::{Seen, Swapped, seen};
pub use publishes::{KeptPublish, KeptTotal};

use file::Order;
use notices::Notices;
use open::Contents;
use task::{Kind, Pending, Task};

/// Where each store lives. Labels without a path of their own share `state_dir/pirn.db`.
#[derive(Clone, Debug, Default)]
pub struct Layout {
    /// The folder that pirn may write to.
    pub state_dir: PathBuf,
    /// It is made when there is something to keep, if it is not there.
    pub makes_folder: bool,
    /// Labels that the operator put elsewhere.
    pub paths: BTreeMap<String, PathBuf>,
    /// How many dead letters are kept.
    pub letters: LetterBounds,
    /// Where open files have their places; of their own, if nothing is said.
    pub desk: Option<Arc<Desk>>,
}

impl Layout {
    fn path(&self, place: Place<'_>) -> PathBuf {
        let own = match place {
            Place::State => None,
            Place::KeyValue(label) => self.paths.get(label).cloned(),
        };
        own.unwrap_or_else(|| self.state_dir.join("pirn.db"))
    }
}

/// Which file a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// The runner's own: dead letters and what else it must not forget.
    State,
    /// The key-value store of this label.
    KeyValue(&'a str),
}

/// What a request brings along.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    /// Bytes that it holds while it waits. The queue is bounded in these.
    pub(crate) bytes: usize,
    /// How long it may wait for others to share its commit with, at most [`caps::GATHER_MAX`].
    pub(crate) gather: Duration,
}

impl Terms {
    /// At once, holding so many bytes.
    pub(crate) fn holding(bytes: usize) -> Self {
        Self { bytes, gather: Duration::ZERO }
    }
}

/// A handle to the store's threads; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    layout: Layout,
    desk: Arc<Desk>,
    /// The files that are in use, each with its thread.
    files: Mutex<BTreeMap<PathBuf, FileHandle>>,
    notices: Arc<Notices>,
}

/// The sending end of a file's thread.
#[derive(Clone, Debug)]
struct FileHandle {
    queue: Arc<mpsc::Sender<Order>>,
    /// Room in the queue, in pages; see [`caps::QUEUE_PAGES_MAX`].
    room: Arc<Semaphore>,
}

impl Store {
    /// A store that opens its files with their first request, and tells nobody what is wrong with them.
    pub fn start(layout: Layout) -> std::io::Result<Self> {
        Ok(Self::with(layout, Notices::default()))
    }

    /// The same; the operator is told what is wrong with a file, from that file's thread.
    pub fn start_reporting(layout: Layout, reporter: Arc<dyn Reporter>) -> std::io::Result<Self> {
        Ok(Self::with(layout, Notices::to(reporter)))
    }

    fn with(layout: Layout, notices: Notices) -> Self {
        let desk = layout.desk.clone().unwrap_or_else(Desk::unbounded);
        let (files, notices) = (Mutex::default(), Arc::new(notices));
        Self(Arc::new(Shared { layout, desk, files, notices }))
    }

    /// How often something was found to be gone that had been on the disk.
    pub fn losses(&self) -> u64 {
        self.0.notices.losses.load(Relaxed)
    }

    /// Dead letters that gave way to newer ones since the start.
    pub fn letters_dropped(&self) -> u64 {
        self.0.notices.letters_dropped.load(Relaxed)
    }

    fn count_letters_dropped(&self, letters: u64) {
        self.0.notices.letters_dropped.fetch_add(letters, Relaxed);
    }

    /// Folds every log back and closes the files, so that the next start has nothing to recover and
    /// little to check. A request that comes later opens its file again. Dropped half-way, the files
    /// close all the same, unless the process ends first: then the next start recovers.
    pub async fn close(&self) {
        let files: Vec<FileHandle> = { self.files().values().cloned().collect() };
        let mut closing = Vec::with_capacity(files.len());
        for file in files {
            let (closed, answer) = oneshot::channel();
            // A thread that is gone has closed its file.
            if file.queue.send(Order::Close(closed)).is_ok() {
                closing.push(answer);
            }
        }
        for answer in closing {
            let _ = answer.await;
        }
    }

    fn layout(&self) -> &Layout {
        &self.0.layout
    }

    /// Carries out work that writes; what it returns comes back when it is on the disk. Dropped while
    /// it waits for room, nothing was done; dropped later, it may or may not have been.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        place: Place<'_>,
        terms: Terms,
        work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(place, Kind::Write, terms, work).await
    }

    /// Carries out work that only looks. It sees what was written before it was asked for.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        place: Place<'_>,
        work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.ask(place, Kind::Read, Terms::default(), work).await
    }

    async fn ask<T: Send + 'static>(
        &self,
        place: Place<'_>,
        kind: Kind,
        terms: Terms,
        work: impl FnOnce(&Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let path = self.0.layout.path(place);
        let pages = u32::try_from(1 + terms.bytes / caps::QUEUE_PAGE_BYTES).unwrap_or(u32::MAX);
        let pages = pages.min(caps::QUEUE_PAGES_MAX);
        let gather = terms.gather.min(caps::GATHER_MAX);
        let (reply, answer) = oneshot::channel();
        let mut task = Some(Task::boxed(work, reply));
        // A file that is closed meanwhile, since others need its place, is opened anew.
        while let Some(asked) = task.take() {
            let file = self.file(&path).await?;
            let room = Arc::clone(&file.room).acquire_many_owned(pages).await;
            let room = room.map_err(|_| StoreError::Stopped)?;
            // Its thread leaves under the same lock: what is sent here is read.
            let files = self.files();
            match files.get(&path).filter(|known| Arc::ptr_eq(&known.room, &file.room)) {
                Some(known) => {
                    let order = Order::Work(Pending { task: asked, kind, gather, room });
                    known.queue.send(order).map_err(|_| StoreError::Stopped)?;
                }
                None => task = Some(asked),
            }
        }
        answer.await.map_err(|_| StoreError::Stopped)?
    }

    /// The thread of a file, started if it is not there.
    async fn file(&self, path: &Path) -> Result<FileHandle, StoreError> {
        if let Some(file) = self.files().get(path) {
            return Ok(file.clone());
        }
        let permit = self.0.desk.permit().await?;
        let mut files = self.files();
        if let Some(file) = files.get(path) {
            return Ok(file.clone());
        }
        let Layout { state_dir, makes_folder, .. } = self.layout();
        if *makes_folder && path.parent() == Some(state_dir) {
            // If that fails, opening the file says what is wrong.
            let _ = folder::make(state_dir);
        }
        let (queue, requests) = mpsc::channel();
        let queue = Arc::new(queue);
        let contents = match *path == self.layout().path(Place::State) {
            true => Contents::State,
            false => Contents::KeyValue,
        };
        let served = file::File::new(path.to_owned(), contents, Arc::clone(&self.0.notices));
        let place = self.0.desk.seat(permit, Arc::downgrade(&queue));
        let (shared, own) = (Arc::downgrade(&self.0), path.to_owned());
        let leave = move |requests: &mpsc::Receiver<Order>| {
            // Nobody is left who could ask.
            let Some(shared) = shared.upgrade() else { return Ok(()) };
            let mut files = shared.files.lock().unwrap_or_else(PoisonError::into_inner);
            match requests.try_recv() {
                Ok(order) => Err(order),
                Err(_) => {
                    files.remove(&own);
                    Ok(())
                }
            }
        };
        thread::Builder::new()
            .name("pirn-store".into())
            .stack_size(caps::THREAD_STACK_BYTES)
            .spawn(move || served.serve(&requests, &place, leave))
            .map_err(|error| StoreError::Disk(format!("the store does not start: {error}")))?;
        let room = Arc::new(Semaphore::new(caps::QUEUE_PAGES_MAX as usize));
        let file = FileHandle { queue, room };
        files.insert(path.to_owned(), file.clone());
        Ok(file)
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, FileHandle>> {
        self.0.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod damage_tests;
#[cfg(test)]
mod fault_tests;
#[cfg(test)]
mod tests;
