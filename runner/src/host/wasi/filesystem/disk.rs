//! Where a guest's files are waited for: a few threads of the process that do nothing else. The loop
//! asks them only for what is not in memory, so that a slow card or a dead network share costs the
//! guest that reads from it and nobody else.
//!
//! Not tokio's pool of threads: there, names are looked up, and a resolver that never answers would keep
//! everybody's files waiting.

use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::oneshot;

use crate::host::locked;
use crate::host::wasi::Slots;
use crate::limits::wasi::{DISK_THREAD_STACK_BYTES, DISK_THREADS};

type Job = Box<dyn FnOnce() + Send>;

/// Where jobs go; there once the first was. What waits is bounded by the components' slots.
static JOBS: OnceLock<Sender<Job>> = OnceLock::new();

/// Does blocking work on a thread of the disk's. Dropped half-way, the work goes on to its end and
/// keeps the component's slot until then, so that a guest that is ended and started again cannot
/// pile up work; its result is forgotten.
pub(super) async fn off_the_loop<T: Send + 'static>(
    slots: &Slots,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let slot = Arc::clone(&slots.disk).acquire_owned().await;
    let (done, result) = oneshot::channel();
    let job = move || {
        let answer = work();
        drop(slot);
        // Nobody waits any more if the guest was ended.
        let _ = done.send(answer);
    };
    let gone = || io::Error::other("the disk's threads are gone");
    jobs()?.send(Box::new(job)).map_err(|_| gone())?;
    result.await.map_err(|_| gone())
}

fn jobs() -> io::Result<&'static Sender<Job>> {
    if let Some(jobs) = JOBS.get() {
        return Ok(jobs);
    }
    let (sender, receiver) = channel();
    let receiver = Arc::new(Mutex::new(receiver));
    for _ in 0..DISK_THREADS {
        let receiver = Arc::clone(&receiver);
        let thread = std::thread::Builder::new().name("disk".into());
        thread.stack_size(DISK_THREAD_STACK_BYTES).spawn(move || serve(&receiver))?;
    }
    Ok(JOBS.get_or_init(|| sender))
}

fn serve(jobs: &Mutex<Receiver<Job>>) {
    loop {
        // The lock is held while waiting: the other threads wait for it instead.
        let job = locked(jobs).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;
    use crate::limits::wasi::DISK_JOBS_MAX;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_its_result_comes_back() {
        let here = std::thread::current().id();
        let there = off_the_loop(&Slots::default(), || std::thread::current().id()).await;
        assert_ne!(there.unwrap(), here);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_keeps_its_slot_until_it_is_done() {
        let slots = Slots::default();
        let (release, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        let stuck = || {
            let held = Arc::clone(&held);
            off_the_loop(&slots, move || locked(&held).recv().is_ok())
        };
        // A guest that is ended while it waits, as often as it likes.
        for _ in 0..DISK_JOBS_MAX + 5 {
            let ended = tokio::time::timeout(Duration::from_millis(5), stuck()).await;
            assert!(ended.is_err());
        }
        assert_eq!(slots.disk.available_permits(), 0);
        (0..DISK_JOBS_MAX).for_each(|_| release.send(()).unwrap());
        assert_eq!(off_the_loop(&slots, || 7).await.unwrap(), 7);
    }
}
