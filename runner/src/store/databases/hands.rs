//! The threads that do what guests ask of databases: started when there is more to do than they can do at once, gone
//! when there has been nothing for a while. A thread of the key-value store never does a guest's statement, and the other
//! way round, so that neither waits for the other.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::SqlError;
use crate::limits::sqlite as limits;

type Job = Box<dyn FnOnce() + Send>;

/// The threads and what they have to do.
pub(super) struct Hands {
    queue: Mutex<Queue>,
    wake: Condvar,
    /// How long one without work stays.
    linger: Duration,
    /// What a thread does between two jobs, and the last one before it goes.
    tidy: fn(Tidy),
}

/// What is to be put away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tidy {
    /// What nobody used for long.
    Old,
    /// All that nobody uses: nobody has used anything for long.
    All,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    /// Of these, the ones that wait for a job.
    resting: usize,
}

impl Hands {
    /// None yet.
    pub(super) fn new(linger: Duration, tidy: fn(Tidy)) -> Arc<Self> {
        Arc::new(Self { queue: Mutex::default(), wake: Condvar::new(), linger, tidy })
    }

    /// Does work on one of the threads, of which `share` says how many it may occupy. Dropped half-way, the work goes on
    /// to its end and keeps its part of the share until then.
    pub(super) async fn work<T: Send + 'static>(
        self: &Arc<Self>,
        share: &Arc<Semaphore>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, SqlError> {
        let stopped = || SqlError::Io("the databases' threads have stopped".into());
        let part = Arc::clone(share).acquire_owned().await.map_err(|_| stopped())?;
        let (done, answer) = oneshot::channel();
        self.put(move || {
            let result = work();
            drop(part);
            // Nobody waits any more if the guest was ended.
            let _ = done.send(result);
        })?;
        answer.await.map_err(|_| stopped())
    }

    /// Puts work at the end of the queue.
    pub(super) fn put(
        self: &Arc<Self>,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), SqlError> {
        let mut queue = self.queue();
        queue.jobs.push_back(Box::new(job));
        if queue.jobs.len() <= queue.resting || queue.threads == limits::THREADS_MAX {
            self.wake.notify_one();
            return Ok(());
        }
        let own = Arc::clone(self);
        let thread = thread::Builder::new().name("pirn-sqlite".into());
        match thread.stack_size(limits::THREAD_STACK_BYTES).spawn(move || own.serve()) {
            Ok(_) => queue.threads += 1,
            // Those that are there will come to it.
            Err(_) if queue.threads > 0 => {}
            Err(error) => {
                queue.jobs.pop_back();
                return Err(SqlError::Io(format!("no thread for the database: {error}")));
            }
        }
        Ok(())
    }

    fn serve(&self) {
        while let Some(job) = self.next() {
            job();
            (self.tidy)(Tidy::Old);
        }
    }

    /// The next job; `None` when there was none for long: then the thread no longer counts.
    fn next(&self) -> Option<Job> {
        let mut queue = self.queue();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            queue.resting += 1;
            let waited = self.wake.wait_timeout(queue, self.linger);
            let (again, waited) = waited.unwrap_or_else(PoisonError::into_inner);
            queue = again;
            queue.resting -= 1;
            if waited.timed_out() && queue.jobs.is_empty() {
                queue.threads -= 1;
                let was_last = queue.threads == 0;
                drop(queue);
                if was_last {
                    (self.tidy)(Tidy::All);
                }
                return None;
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    static TIDIED: AtomicUsize = AtomicUsize::new(0);

    fn hands(linger: Duration) -> Arc<Hands> {
        Hands::new(linger, |what| {
            if what == Tidy::All {
                TIDIED.fetch_add(1, Ordering::Relaxed);
            }
        })
    }

    #[tokio::test]
    async fn work_beyond_its_share_waits_and_other_work_does_not() {
        let hands = hands(Duration::from_secs(60));
        let (one, other) = (Arc::new(Semaphore::new(1)), Arc::new(Semaphore::new(1)));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let stuck = hands.work(&one, move || held.recv().is_ok());
        let behind = hands.work(&one, || 1);
        let beside = hands.work(&other, || 2);
        tokio::pin!(stuck, behind, beside);
        tokio::select! {
            biased;
            _ = &mut stuck => unreachable!("nobody released it"),
            _ = &mut behind => unreachable!("its share is in use"),
            two = &mut beside => assert_eq!(two, Ok(2)),
        }
        release.send(()).unwrap();
        assert_eq!(tokio::join!(stuck, behind), (Ok(true), Ok(1)));
    }

    #[tokio::test]
    async fn threads_that_have_nothing_to_do_go_and_the_last_one_tidies_up() {
        let hands = hands(Duration::from_millis(1));
        let share = Arc::new(Semaphore::new(1));
        hands.work(&share, || ()).await.unwrap();
        while TIDIED.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(hands.queue().threads, 0);
        assert_eq!(hands.work(&share, || 3).await, Ok(3));
    }
}
