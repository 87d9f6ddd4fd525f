//! How many files a process has open: each costs a thread, descriptors and some hundred KiB. Where there are more, they
//! take turns: one that has nothing to do is closed when somebody waits for its place.

use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak, mpsc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::StoreError;
use super::file::Order;

/// The places; shared by all stores of a process.
pub struct Desk {
    places: Arc<Semaphore>,
    files_max: usize,
    /// How many wait for one.
    waiting: AtomicUsize,
    open: Mutex<Vec<Open>>,
    /// Grows with each use.
    uses: AtomicU64,
}

struct Open {
    id: u64,
    /// Nobody's who could ask: a file ends with those.
    queue: Weak<mpsc::Sender<Order>>,
    used: u64,
    /// It was asked to rest.
    asked: bool,
}

/// A place at the desk, as long as it is not dropped.
pub(super) struct Place {
    desk: Arc<Desk>,
    id: u64,
    _permit: OwnedSemaphorePermit,
}

impl Desk {
    /// For so many open files.
    pub fn new(files_max: usize) -> Arc<Self> {
        let files_max = files_max.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self {
            places: Arc::new(Semaphore::new(files_max)),
            files_max,
            waiting: AtomicUsize::new(0),
            open: Mutex::default(),
            uses: AtomicU64::new(0),
        })
    }

    /// For as many as there are.
    pub fn unbounded() -> Arc<Self> {
        Self::new(Semaphore::MAX_PERMITS)
    }

    /// Waits for a place, in turn; the file that nobody used for longest is asked for its.
    pub(super) async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        if let Ok(permit) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(permit);
        }
        let _waits = Waits::new(self);
        self.ask_one_to_rest();
        let permit = Arc::clone(&self.places).acquire_owned().await;
        permit.map_err(|_| StoreError::Stopped)
    }

    /// Gives a place to a file that listens there.
    pub(super) fn seat(
        self: &Arc<Self>,
        permit: OwnedSemaphorePermit,
        queue: Weak<mpsc::Sender<Order>>,
    ) -> Place {
        let id = self.uses.fetch_add(1, Relaxed);
        self.open().push(Open { id, queue, used: id, asked: false });
        Place { desk: Arc::clone(self), id, _permit: permit }
    }

    /// How many may be open.
    pub fn files_max(&self) -> usize {
        self.files_max
    }

    /// How many are open now.
    pub fn open_files(&self) -> usize {
        self.open().len()
    }

    fn ask_one_to_rest(&self) {
        let mut open = self.open();
        let unasked = open.iter_mut().filter(|open| !open.asked);
        if let Some(longest) = unasked.min_by_key(|open| open.used) {
            longest.asked = true;
            // One that is gone has given back its place.
            let _ = longest.queue.upgrade().map(|queue| queue.send(Order::Rest));
        }
    }

    fn open(&self) -> MutexGuard<'_, Vec<Open>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("open", &self.open_files()).finish_non_exhaustive()
    }
}

impl Place {
    /// The file is used.
    pub(super) fn used(&self) {
        let now = self.desk.uses.fetch_add(1, Relaxed);
        if let Some(own) = self.desk.open().iter_mut().find(|open| open.id == self.id) {
            (own.used, own.asked) = (now, false);
        }
    }

    /// Whether somebody waits for a place.
    pub(super) fn is_wanted(&self) -> bool {
        self.desk.waiting.load(Relaxed) > 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.desk.open().retain(|open| open.id != self.id);
    }
}

/// Somebody waits, as long as this is not dropped.
struct Waits<'a>(&'a Desk);

impl<'a> Waits<'a> {
    fn new(desk: &'a Desk) -> Self {
        desk.waiting.fetch_add(1, Relaxed);
        Self(desk)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}
