//! The ticker: a thread that interrupts guests whose turn is over, and that sleeps for good while no guest
//! runs, so that an idle board is not woken. It is the one thread the loop cannot do without: the
//! loop itself is what a busy guest would block.
//!
//! It is not woken for each event: while events are short it looks now and then, and finds another one each
//! time. Only a guest that it finds twice, or that is known to be busy, is watched: together with the
//! descriptor that says that the loop is wanted for something else.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, Thread};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use wasmtime::Engine;

use super::turns::Standing;
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
    /// The turn that a guest has, as a [`Turn`] in one word; the last one's number and [`NOBODY`] if none has.
    turn: AtomicU32,
    /// The number of the turn that was ended by us.
    ended: AtomicU32,
    /// The thread sleeps until it is woken.
    parked: AtomicBool,
    /// The last handle is gone.
    last: AtomicBool,
    /// Readable when the loop is wanted.
    wanted: Mutex<Option<Arc<OwnedFd>>>,
}

/// A turn in one word: its number, and the guest's standing in the two lowest bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Turn(u32);

const NOBODY: u32 = 0;
const FRESH: u32 = 1;
const BUSY: u32 = 2;
const OWED: u32 = 3;
const NUMBER: u32 = !3;
const ONE: u32 = 4;

impl Turn {
    fn standing(self) -> Option<Standing> {
        match self.0 & !NUMBER {
            FRESH => Some(Standing::Fresh),
            BUSY => Some(Standing::Busy),
            OWED => Some(Standing::Owed),
            _ => None,
        }
    }
}

/// What the thread does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Sleeps until a guest runs.
    Sleep,
    /// Looks again in a while.
    Look,
    /// Ends this turn when its slice is over, which is in so long; unless the loop is wanted first, if
    /// that ends it.
    Guard { turn: Turn, left: Duration, may_be_wanted: bool },
}

/// What the thread saw when it last looked.
#[derive(Debug, Default)]
struct Watch {
    seen: Option<Turn>,
    /// Looks since there was a new turn.
    quiet: u32,
}

impl Watch {
    fn step(&mut self, turn: Turn) -> Step {
        let again = self.seen.replace(turn) == Some(turn);
        self.quiet = if again { self.quiet + 1 } else { 0 };
        match turn.standing() {
            None if self.quiet >= limits::LOOKS_BEFORE_SLEEP => {
                *self = Self::default();
                Step::Sleep
            }
            // One that has just begun is probably soon done.
            Some(Standing::Fresh) if !again => Step::Look,
            None => Step::Look,
            Some(Standing::Fresh) => {
                let left = limits::SLICE.saturating_sub(limits::LOOK);
                Step::Guard { turn, left, may_be_wanted: true }
            }
            Some(Standing::Busy) => Step::Guard { turn, left: limits::SLICE, may_be_wanted: true },
            Some(Standing::Owed) => Step::Guard { turn, left: limits::SLICE, may_be_wanted: false },
        }
    }
}

impl Ticker {
    /// Starts the thread.
    pub fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.weak();
        Self::interrupting(move || match engine.upgrade() {
            Some(engine) => {
                engine.increment_epoch();
                true
            }
            None => false,
        })
    }

    /// The same for whatever `interrupt` interrupts; it says whether there is still something to be.
    fn interrupting(interrupt: impl Fn() -> bool + Send + 'static) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let handle = thread::Builder::new()
            .name("pirn-ticker".into())
            .stack_size(limits::TICKER_STACK_BYTES)
            .spawn(move || seen.run(&interrupt))?;
        let thread = handle.thread().clone();
        Ok(Self(Arc::new(Handle { shared, thread })))
    }

    /// What is readable when the loop is wanted for something else.
    pub(super) fn watch(&self, wanted: Option<Arc<OwnedFd>>) {
        *self.0.shared.wanted.lock().unwrap_or_else(PoisonError::into_inner) = wanted;
    }

    /// A guest's turn begins; gives its number.
    pub(super) fn enter(&self, standing: Standing) -> u32 {
        let standing = match standing {
            Standing::Fresh => FRESH,
            Standing::Busy => BUSY,
            Standing::Owed => OWED,
        };
        let shared = &self.0.shared;
        // Only the loop's thread changes this.
        let number = (shared.turn.load(SeqCst) & NUMBER).wrapping_add(ONE);
        shared.turn.store(number | standing, SeqCst);
        if shared.parked.swap(false, SeqCst) || standing != FRESH {
            self.0.thread.unpark();
        }
        number
    }

    /// The turn is over; whether we ended it.
    pub(super) fn leave(&self, number: u32) -> bool {
        self.0.shared.turn.store(number | NOBODY, SeqCst);
        self.0.shared.ended.load(SeqCst) == number
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.last.store(true, SeqCst);
        self.shared.parked.store(false, SeqCst);
        self.thread.unpark();
    }
}

impl Shared {
    fn run(&self, interrupt: &impl Fn() -> bool) {
        let mut watch = Watch::default();
        while !self.last.load(SeqCst) {
            match watch.step(Turn(self.turn.load(SeqCst))) {
                Step::Sleep => self.sleep(),
                Step::Look => thread::park_timeout(limits::LOOK),
                Step::Guard { turn, left, may_be_wanted } => {
                    self.guard(left, may_be_wanted);
                    // It may have ended meanwhile, and another one begun.
                    if self.turn.load(SeqCst) == turn.0 {
                        self.ended.store(turn.0 & NUMBER, SeqCst);
                        if !interrupt() {
                            return;
                        }
                        thread::park_timeout(limits::LOOK);
                    }
                }
            }
        }
    }

    /// Waits until the slice is over or the loop is wanted.
    fn guard(&self, left: Duration, may_be_wanted: bool) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match wanted.filter(|_| may_be_wanted) {
            None => thread::sleep(left),
            Some(wanted) => {
                let mut descriptors = [PollFd::new(&wanted, PollFlags::IN)];
                let left = Timespec::try_from(left).ok();
                let _ = poll(&mut descriptors, left.as_ref());
            }
        }
    }

    /// Parks until a guest runs. `parked` is raised first and `turn` read after it, so that a
    /// guest that starts in between is seen here or sees us there.
    fn sleep(&self) {
        self.parked.store(true, SeqCst);
        if Turn(self.turn.load(SeqCst)).standing().is_some() {
            self.parked.store(false, SeqCst);
        }
        while self.parked.load(SeqCst) {
            thread::park();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn short_events_are_only_looked_at_and_silence_puts_it_to_sleep() {
        let mut watch = Watch::default();
        for number in 1..100 {
            assert_eq!(watch.step(Turn((number * ONE) | FRESH)), Step::Look);
        }
        let nobody = Turn((99 * ONE) | NOBODY);
        for _ in 0..limits::LOOKS_BEFORE_SLEEP {
            assert_eq!(watch.step(nobody), Step::Look);
        }
        assert_eq!(watch.step(nobody), Step::Sleep);
    }

    #[test]
    fn a_guest_that_is_found_twice_or_known_to_be_busy_is_guarded() {
        let mut watch = Watch::default();
        let fresh = Turn(ONE | FRESH);
        assert_eq!(watch.step(fresh), Step::Look);
        let left = limits::SLICE - limits::LOOK;
        assert_eq!(watch.step(fresh), Step::Guard { turn: fresh, left, may_be_wanted: true });
        let (busy, left) = (Turn((2 * ONE) | BUSY), limits::SLICE);
        assert_eq!(watch.step(busy), Step::Guard { turn: busy, left, may_be_wanted: true });
        let owed = Turn((3 * ONE) | OWED);
        assert_eq!(watch.step(owed), Step::Guard { turn: owed, left, may_be_wanted: false });
    }

    /// A ticker whose interruptions are told.
    fn ticker() -> (Ticker, std::sync::mpsc::Receiver<()>) {
        let (told, interruptions) = channel();
        (Ticker::interrupting(move || told.send(()).is_ok()).unwrap(), interruptions)
    }

    #[test]
    fn a_busy_guest_is_interrupted_and_the_ticker_says_so() {
        let (ticker, interruptions) = ticker();
        let number = ticker.enter(Standing::Busy);
        interruptions.recv().unwrap();
        assert!(ticker.leave(number));
        let next = ticker.enter(Standing::Fresh);
        assert!(!ticker.leave(next), "an innocent guest was blamed");
    }

    #[test]
    fn a_descriptor_that_becomes_readable_ends_the_guard() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let shared = Arc::new(Shared::default());
        *shared.wanted.lock().unwrap() = Some(Arc::new(far.into()));
        // Nothing but the descriptor can end this: the slice is longer than anybody waits.
        let guarding = Arc::clone(&shared);
        let guard = thread::spawn(move || guarding.guard(Duration::from_secs(3600), true));
        near.write_all(b"x").unwrap();
        guard.join().unwrap();
    }
}
