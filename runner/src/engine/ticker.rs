//! The epoch ticker: a thread that interrupts busy guests, and that sleeps for good while no guest
//! runs, so that an idle board is not woken. It is the one thread the loop cannot do without: the
//! loop itself is what a busy guest would block.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, Thread};

use wasmtime::Engine;

use crate::limits::engine as limits;

/// A handle to the ticker's thread, which ends with its last handle.
#[derive(Clone, Debug)]
pub struct Ticker(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
    thread: Thread,
}

#[derive(Debug, Default)]
struct Shared {
    /// A guest is being polled right now.
    running: AtomicBool,
    /// The thread sleeps until it is woken.
    parked: AtomicBool,
    /// The last handle is gone.
    ended: AtomicBool,
}

impl Ticker {
    /// Starts the thread.
    pub fn start(engine: &Engine) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (engine, seen) = (engine.weak(), Arc::clone(&shared));
        let handle = thread::Builder::new()
            .name("pirn-epoch".into())
            .stack_size(limits::TICKER_STACK_BYTES)
            .spawn(move || {
                let mut idle_ticks = 0;
                loop {
                    thread::sleep(limits::EPOCH_TICK);
                    match engine.upgrade() {
                        Some(engine) if !seen.ended.load(SeqCst) => engine.increment_epoch(),
                        _ => return,
                    }
                    idle_ticks = if seen.running.load(SeqCst) { 0 } else { idle_ticks + 1 };
                    if idle_ticks >= limits::TICKS_BEFORE_SLEEP {
                        idle_ticks = 0;
                        seen.sleep();
                    }
                }
            })?;
        let thread = handle.thread().clone();
        Ok(Self(Arc::new(Handle { shared, thread })))
    }

    /// Runs a guest's future: the ticker is awake while it is being polled. Dropping this drops
    /// the guest.
    pub async fn during<F: Future>(&self, guest: F) -> F::Output {
        let mut guest = pin!(guest);
        poll_fn(|cx| {
            self.0.enter();
            let result = guest.as_mut().poll(cx);
            self.0.leave();
            result
        })
        .await
    }
}

impl Handle {
    fn enter(&self) {
        self.shared.running.store(true, SeqCst);
        if self.shared.parked.swap(false, SeqCst) {
            self.thread.unpark();
        }
    }

    fn leave(&self) {
        self.shared.running.store(false, SeqCst);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.ended.store(true, SeqCst);
        self.enter();
    }
}

impl Shared {
    /// Parks until a guest runs. `parked` is raised first and `running` read after it, so that a
    /// guest that starts in between is seen here or sees us there.
    fn sleep(&self) {
        self.parked.store(true, SeqCst);
        if self.running.load(SeqCst) {
            self.parked.store(false, SeqCst);
        }
        while self.parked.load(SeqCst) {
            thread::park();
        }
    }
}
