//! The jobs of an instance take turns here. One is polled at a time, until it waits for something; when all wait and
//! nothing happened for which any of them might, it is the outside's turn: host calls, streams of the host, other guests.
//! When nothing outside could ever wake one, the guest has waited for itself.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep};

use super::guest::{Guest, Inner};
use crate::engine::canonical::{Value, trap};
use crate::engine::door::{Answer, Answering, Holds};
use crate::engine::fault::Fault;
use crate::engine::turns;
use crate::limits::engine as limits;

/// A call of a component.
pub(super) type Job<'p> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'p>>;

/// The jobs of one instance.
struct Work<'p, 'g, H: Holds> {
    guest: &'g Arc<Guest<'p, H>>,
    jobs: Vec<Job<'p>>,
    /// Which goes on before any other.
    current: Option<usize>,
    /// Something happened since it was last asked.
    went_on: bool,
    /// Who is told what the outermost call came to; `None` once they were.
    answered: Option<Told<'g>>,
}

/// Why nobody is polled right now.
enum Stop {
    /// All jobs are done.
    Done,
    /// They wait: for their turn, which is soon, or for the outside.
    Waits { soon: bool },
}

/// Who is told what the outermost call came to. In a box: one piece of code runs all kinds of calls.
pub(super) type Told<'a> = Box<dyn FnOnce(Option<Value>) + Send + 'a>;

/// Runs the first job and all that come of it. `answered` is told what the outermost call came to when that is known; what
/// its task does then is still done, as is what others do.
pub(super) async fn run<'p, H: Holds>(
    guest: &Arc<Guest<'p, H>>,
    first: Job<'p>,
    answered: Told<'_>,
) -> Result<(), Fault> {
    let (jobs, answered) = (vec![first], Some(answered));
    let mut work = Work { guest, jobs, current: None, went_on: true, answered };
    let mut rest = pin!(sleep(limits::WAIT_IN_FULL));
    let mut rested = false;
    loop {
        let stop = poll_fn(|cx| match work.poll(cx) {
            Ok(Stop::Done) => Poll::Ready(Ok(true)),
            Ok(Stop::Waits { soon: true }) => Poll::Pending,
            Ok(Stop::Waits { soon: false }) => {
                if std::mem::take(&mut work.went_on) {
                    rested = false;
                    rest.as_mut().reset(Instant::now() + limits::WAIT_IN_FULL);
                }
                long(rest.as_mut(), cx, &mut rested)
            }
            Err(fault) => Poll::Ready(Err(fault)),
        });
        if stop.await? {
            guest.it().end_streams();
            return Ok(());
        }
        guest.give_back_zeroes().await;
    }
}

/// Ready, once, when a wait became long.
fn long(
    rest: Pin<&mut Sleep>,
    cx: &mut Context<'_>,
    rested: &mut bool,
) -> Poll<Result<bool, Fault>> {
    if *rested || rest.poll(cx).is_pending() {
        return Poll::Pending;
    }
    *rested = true;
    Poll::Ready(Ok(false))
}

impl<'p, H: Holds> Work<'p, '_, H> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Result<Stop, Fault> {
        loop {
            let was_held = self.current.take();
            let mut at = match was_held {
                Some(current) => current,
                None => {
                    self.guest.it().moved = false;
                    self.guest.it().poll_outside(cx)?;
                    0
                }
            };
            while at < self.jobs.len() {
                let polled = self.jobs[at].as_mut().poll(cx);
                self.tell();
                match polled {
                    Poll::Ready(result) => {
                        drop(self.jobs.remove(at));
                        result?;
                        self.guest.it().moved = true;
                    }
                    Poll::Pending if self.guest.it().held => {
                        self.current = Some(at);
                        let mut it = self.guest.it();
                        // Who gave way meanwhile has what it wanted with this turn's end, and nobody will wake it again.
                        it.yielded = false;
                        self.went_on |= std::mem::take(&mut it.moved);
                        // It may be the host that it waits for.
                        return Ok(Stop::Waits { soon: it.asking == 0 });
                    }
                    Poll::Pending => {
                        // What it did before it was held may be what others wait for.
                        self.guest.it().moved |= was_held == Some(at);
                        at += 1;
                    }
                }
                self.jobs.append(&mut self.guest.it().spawned);
            }
            if self.jobs.is_empty() {
                return Ok(Stop::Done);
            }
            let mut it = self.guest.it();
            if std::mem::take(&mut it.yielded) {
                return Ok(Stop::Waits { soon: true });
            }
            if it.moved {
                self.went_on = true;
                continue;
            }
            return match (it.waits_outside(), &self.answered) {
                (true, _) => Ok(Stop::Waits { soon: false }),
                // Who called has what it wanted, and nothing more will happen.
                (false, None) => Ok(Stop::Done),
                (false, Some(_)) => Err(trap("it waits for what nobody will ever do")),
            };
        }
    }

    /// Tells what the outermost call came to, if that is known now.
    fn tell(&mut self) {
        let answer = self.guest.it().answer.take();
        if let Some((answer, answered)) = answer.and_then(|a| Some((a, self.answered.take()?))) {
            answered(answer);
        }
    }
}

impl<H: Holds> Drop for Work<'_, '_, H> {
    /// What was not taken up holds the guest that holds it.
    fn drop(&mut self) {
        let spawned = std::mem::take(&mut self.guest.it().spawned);
        drop(spawned);
    }
}

impl<'p, H: Holds> Guest<'p, H> {
    /// Waits for what another job or the outside does.
    pub(super) async fn until<R>(
        &self,
        mut ready: impl FnMut(&mut Inner<'p>) -> Result<Option<R>, Fault>,
    ) -> Result<R, Fault> {
        let mut waited = false;
        poll_fn(|_| {
            let mut it = self.it();
            let result = ready(&mut it).transpose();
            it.moved |= waited && result.is_some();
            waited = true;
            result.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    /// Begins a job: it runs until it is done, which is answered, or waits.
    pub(super) async fn begin(&self, job: &mut Job<'p>) -> Result<bool, Fault> {
        poll_fn(|cx| match job.as_mut().poll(cx) {
            Poll::Ready(result) => Poll::Ready(result.map(|()| true)),
            Poll::Pending if self.it().held => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(false)),
        })
        .await
    }

    /// Waits for the host. `alone`, no other job goes on meanwhile.
    pub(super) async fn await_outside(
        &self,
        mut answering: Answering,
        alone: bool,
    ) -> Answer<Option<Value>> {
        let mut waited = false;
        poll_fn(|cx| {
            let polled = answering.as_mut().poll(cx);
            let mut it = self.it();
            match (&polled, waited) {
                (Poll::Pending, false) => {
                    (waited, it.asking, it.held) = (true, it.asking + 1, it.held | alone);
                }
                (Poll::Ready(_), true) => {
                    (it.moved, it.asking, it.held) = (true, it.asking - 1, it.held & !alone);
                }
                _ => {}
            }
            polled
        })
        .await
    }

    /// Lets all other jobs go on once, and the loop.
    pub(super) async fn give_way(&self) {
        self.it().yielded = true;
        turns::end().await;
    }

    /// Lets all other jobs go on once.
    pub(super) async fn one_pass(&self) {
        let mut passed = false;
        poll_fn(|_| {
            if std::mem::replace(&mut passed, true) {
                return Poll::Ready(());
            }
            self.it().moved = true;
            Poll::Pending
        })
        .await;
    }
}

impl Inner<'_> {
    /// Whether anything from outside could wake a job.
    fn waits_outside(&self) -> bool {
        self.asking > 0 || !self.underway.is_empty() || !self.at_host.is_empty()
    }

    /// Takes what the host has by now.
    fn poll_outside(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        let mut at = 0;
        while at < self.underway.len() {
            match self.underway[at].answering.as_mut().poll(cx) {
                Poll::Ready(answer) => {
                    let ended = self.underway.remove(at);
                    self.finish(ended, answer)?;
                }
                Poll::Pending => at += 1,
            }
        }
        self.poll_host_ends(cx)
    }
}
