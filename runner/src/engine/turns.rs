//! Whose turn it is on the loop. An event that is done within one slice never waits for one that is not:
//! a guest that used up a slice is *busy* from then on, and has a turn only when the loop has nothing else
//! to do; and its turn ends as soon as something else becomes ready.
//!
//! tokio has one queue, first come, first served, so a busy guest would stand before each step that a message
//! takes on its way. What is left of a second, lower class is made of two things that it offers: a hook that
//! is called when the queue is empty, and its `epoll` descriptor, which is itself readable when events wait.
//! Without a [`Loop`] (tests, other programs) a busy guest lets everybody else go first, once a slice.

mod descriptor;
mod share;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::timeout;

use self::share::Share;
use super::ticker::Ticker;
use crate::limits::engine as limits;

/// The loop that everything runs on: a runtime of one thread that knows who is busy.
pub struct Loop {
    runtime: Runtime,
    /// Readable when the loop has something to do; `None` if it was not found.
    ready: Option<Arc<OwnedFd>>,
}

/// How a guest came to its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It has not used up a slice yet.
    Fresh,
    /// It has, and nobody else wanted the loop when its turn began.
    Busy,
    /// The same, but others were served before it for so long that this slice is its own.
    Owed,
}

/// What is known of the thread that a loop runs on.
#[derive(Default)]
struct Here {
    /// A [`Loop`] runs here, and calls [`serve`] whenever it has nothing to do.
    served: Cell<bool>,
    ready: RefCell<Option<Arc<OwnedFd>>>,
    /// Busy guests, longest waiting first.
    waiting: RefCell<VecDeque<(u64, Waker)>>,
    /// The number of the next one.
    next: Cell<u64>,
    /// What busy guests got lately; `None` before there was one.
    share: Cell<Option<Share>>,
    turn: Cell<Option<Turn>>,
}

/// The turn that a guest has right now.
#[derive(Clone, Copy, Debug)]
struct Turn {
    standing: Standing,
    begun: Instant,
    /// When it was last looked whether others wait.
    looked: Instant,
    /// The guest ended it by itself.
    over: bool,
}

thread_local! {
    static HERE: Here = Here::default();
}

impl Loop {
    /// Builds it. It runs on the thread that calls [`Loop::block_on`].
    pub fn build() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .event_interval(limits::EVENT_INTERVAL)
            .on_thread_park(serve)
            .build()?;
        let ready = descriptor::of(&runtime).map(Arc::new);
        Ok(Self { runtime, ready })
    }

    /// Runs `work`, and what it spawns, until it is done.
    pub fn block_on<F: Future>(&self, work: F) -> F::Output {
        let _place = Place::take(self.ready.clone());
        self.runtime.block_on(work)
    }

    /// Drops all tasks, and leaves threads behind that block for longer than `grace`: a resolver that never answers.
    pub fn leave(self, grace: std::time::Duration) {
        self.runtime.shutdown_timeout(grace);
    }

    /// Whether a busy guest's slice ends when something becomes ready, not only when it is used up.
    pub fn is_watched(&self) -> bool {
        self.ready.is_some()
    }
}

/// The thread is a loop's as long as this lives.
struct Place;

impl Place {
    fn take(ready: Option<Arc<OwnedFd>>) -> Self {
        HERE.with(|here| {
            here.served.set(true);
            here.ready.replace(ready);
        });
        Self
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        HERE.with(|here| {
            here.served.set(false);
            here.ready.replace(None);
            here.waiting.take();
        });
    }
}

/// The loop has nothing to do: it is a busy guest's turn, unless events wait to be fetched.
fn serve() {
    let next = HERE.with(|here| match here.waiting.borrow().is_empty() || here.has_ready() {
        true => None,
        false => here.waiting.borrow_mut().pop_front(),
    });
    if let Some((_, waker)) = next {
        waker.wake();
    }
}

impl Here {
    /// Whether the loop would find something if it looked.
    fn has_ready(&self) -> bool {
        self.ready.borrow().as_deref().is_some_and(descriptor::is_readable)
    }

    fn owes(&self, now: Instant) -> bool {
        self.share.get().is_some_and(|share| share.is_owed(now))
    }

    /// A busy guest begins to wait: if it is the first one for a while, the window opens now.
    fn begin_wait(&self, now: Instant) {
        let share = self.share.get().filter(|share| !share.is_stale(now));
        self.share.set(Some(share.unwrap_or_else(|| Share::new(now))));
    }

    fn end_turn(&self, standing: Standing, begun: Instant) -> Instant {
        let now = Instant::now();
        if standing != Standing::Fresh {
            let ran = |mut share: Share| {
                share.ran(begun, now);
                share
            };
            self.share.set(self.share.get().map(ran));
        }
        now
    }
}

/// Runs a guest so that it takes nothing but its turns. Dropping this drops the guest where it stands.
pub async fn fairly<G: Future>(ticker: Option<&Ticker>, guest: G) -> G::Output {
    if let Some(ticker) = ticker {
        ticker.watch(HERE.with(|here| here.ready.borrow().clone()));
    }
    let mut guest = pin!(guest);
    let mut used = std::time::Duration::ZERO;
    let mut standing = Standing::Fresh;
    loop {
        if standing != Standing::Fresh {
            standing = give_way().await;
        }
        let turn = poll_fn(|cx| Poll::Ready(one_turn(guest.as_mut(), cx, ticker, standing))).await;
        match turn {
            Ended::Done(output) => return output,
            Ended::Early { took } => used += took,
            Ended::UsedUp => used = limits::SLICE,
        }
        if used >= limits::SLICE && standing == Standing::Fresh {
            standing = Standing::Busy;
        }
        woken().await;
    }
}

/// How a turn ended.
enum Ended<R> {
    /// The guest is done.
    Done(R),
    /// It waits for something.
    Early {
        /// How long it ran.
        took: std::time::Duration,
    },
    /// It was interrupted.
    UsedUp,
}

fn one_turn<G: Future>(
    guest: Pin<&mut G>,
    cx: &mut Context<'_>,
    ticker: Option<&Ticker>,
    standing: Standing,
) -> Ended<G::Output> {
    let begun = Instant::now();
    HERE.with(|here| here.turn.set(Some(Turn { standing, begun, looked: begun, over: false })));
    let number = ticker.map(|ticker| ticker.enter(standing));
    let polled = guest.poll(cx);
    let interrupted = ticker.zip(number).is_some_and(|(ticker, number)| ticker.leave(number));
    HERE.with(|here| {
        let now = here.end_turn(standing, begun);
        let over = here.turn.take().is_some_and(|turn| turn.over);
        match polled {
            Poll::Ready(output) => Ended::Done(output),
            Poll::Pending if over || interrupted => Ended::UsedUp,
            Poll::Pending => Ended::Early { took: now.duration_since(begun) },
        }
    })
}

/// Until whoever waits is woken. Dropped, nothing is lost: who wakes does not know of this.
async fn woken() {
    let mut asked = false;
    poll_fn(|_| match std::mem::replace(&mut asked, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

/// Lets everybody else go first: those who are ready now, those who have events or timers that are due, and
/// those who become ready through them. Dropped half-way, it leaves its place in the queue.
async fn give_way() -> Standing {
    yield_now().await;
    if !HERE.with(|here| here.served.get()) {
        return Standing::Busy;
    }
    HERE.with(|here| here.begin_wait(Instant::now()));
    let mut idle = pin!(Idle { number: None });
    while timeout(limits::SHARE_WINDOW, idle.as_mut()).await.is_err() {
        if HERE.with(|here| here.owes(Instant::now())) {
            return Standing::Owed;
        }
    }
    match HERE.with(|here| here.owes(Instant::now())) {
        true => Standing::Owed,
        false => Standing::Busy,
    }
}

/// Done when the loop has nothing else to do and all who waited longer had their turn.
struct Idle {
    /// Its place in the queue.
    number: Option<u64>,
}

impl Future for Idle {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        HERE.with(|here| {
            let mut waiting = here.waiting.borrow_mut();
            let Some(number) = self.number else {
                let number = here.next.get();
                here.next.set(number + 1);
                waiting.push_back((number, cx.waker().clone()));
                self.number = Some(number);
                return Poll::Pending;
            };
            match waiting.iter_mut().find(|(other, _)| *other == number) {
                None => Poll::Ready(()),
                Some((_, waker)) => {
                    waker.clone_from(cx.waker());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        let Some(number) = self.number else { return };
        // The thread may be at its end, and with it the queue.
        let _ =
            HERE.try_with(|here| here.waiting.borrow_mut().retain(|(other, _)| *other != number));
    }
}

/// Whether the guest that asks has used up its slice, or others wait. For guests that nobody interrupts;
/// it looks no more often than every [`limits::INTERPRETED_LOOK`].
pub(super) fn is_over() -> bool {
    HERE.with(|here| {
        let Some(mut turn) = here.turn.get() else { return false };
        let now = Instant::now();
        if now.duration_since(turn.begun) >= limits::SLICE {
            return true;
        }
        if turn.standing == Standing::Owed
            || now.duration_since(turn.looked) < limits::INTERPRETED_LOOK
        {
            return false;
        }
        turn.looked = now;
        here.turn.set(Some(turn));
        here.has_ready()
    })
}

/// Lets others have their turn, if it is theirs. Slices are counted in time, since what we do for a guest takes
/// none of its fuel.
pub(super) async fn end_if_over() {
    if is_over() {
        end().await;
    }
}

/// Ends the turn of the guest that asks; the next one begins when this is done.
pub(super) async fn end() {
    let mut ended = false;
    poll_fn(|cx| {
        if std::mem::replace(&mut ended, true) {
            return Poll::Ready(());
        }
        HERE.with(|here| here.turn.set(here.turn.get().map(|turn| Turn { over: true, ..turn })));
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[cfg(test)]
#[allow(clippy::expect_used)]
mod tests;
