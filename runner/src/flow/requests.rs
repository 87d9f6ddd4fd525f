//! Requests at a component: they have no order, no second try and no dead letter, but somebody who waits. A bounded number
//! of them stands in line; each is given a fresh instance, beside the others, when the crew has a hand for it.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use pirn_triggers::http::{Answer, Request};
use pirn_triggers::limits::http::AHEAD_BYTES;

use super::books::{Book, Dropped};
use super::fair::{Ask, Runs};
use super::house::{Busy, House};
use super::lanes::{Entry, locked, now};
use super::pace::Pace;
use crate::engine::outcome::Outcome;
use crate::happening::Happening;
use crate::report::Report;

/// What stands in line at one component.
pub(super) struct Requests {
    waiting: Mutex<Waiting>,
    running: AtomicU32,
    running_max: u32,
    /// Numbers them, for the log.
    number: AtomicU32,
    in_line: AtomicBool,
}

struct Waiting {
    line: VecDeque<Asked>,
    pace: Pace,
}

/// A request of one of the component's triggers.
struct Asked {
    trigger: u32,
    request: Request,
}

impl Requests {
    /// So many of them may run at the same time, and so fast.
    pub(super) fn new(running_max: u32, pace: Pace) -> Self {
        Self {
            waiting: Mutex::new(Waiting { line: VecDeque::new(), pace }),
            running: AtomicU32::new(0),
            running_max: running_max.max(1),
            number: AtomicU32::new(0),
            in_line: AtomicBool::new(false),
        }
    }

    fn wants_turn(&self) -> bool {
        self.running.load(Relaxed) < self.running_max && !locked(&self.waiting).line.is_empty()
    }

    /// How one more would have to be answered, if there is no room for it.
    fn turned_away(&self, house: &House, waiting_max: u32) -> Option<StatusCode> {
        let mut waiting = locked(&self.waiting);
        if waiting.line.len() >= waiting_max as usize {
            return Some(StatusCode::SERVICE_UNAVAILABLE);
        }
        let now = now();
        if waiting.pace.wait(now).or(house.wait(now)).is_some() {
            return Some(StatusCode::TOO_MANY_REQUESTS);
        }
        waiting.pace.take(now);
        house.count(now);
        None
    }
}

/// A place among those that run.
struct Place<'a>(&'a Requests);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Relaxed);
    }
}

impl Entry {
    /// Takes a request, or turns it away if too many wait. Its component is not called before the beginning of its body is
    /// here: a slow sender holds its connection and nothing else.
    pub(crate) fn ask(&self, trigger: u32, waiting_max: u32, request: Request) {
        let Some(book) = self.book(trigger) else { return };
        let away = match self.0.house.is_stopping() {
            true => Some(StatusCode::SERVICE_UNAVAILABLE),
            false => self.0.requests.turned_away(&self.0.house, waiting_max),
        };
        if let Some(status) = away {
            book.accept_and_drop(1, Dropped::NoRoom);
            return request.responder.answer(Answer { status, ..Answer::busy() });
        }
        book.accept();
        book.open();
        if request.body.length() == Some(0) {
            return self.stand_in_line(Asked { trigger, request });
        }
        let entry = self.clone();
        tokio::spawn(async move {
            let gathered = request.body.gather(AHEAD_BYTES).await;
            match gathered {
                Ok(()) => entry.stand_in_line(Asked { trigger, request }),
                Err(broken) => {
                    request.responder.answer(Answer::broken(&broken));
                    entry.over(trigger, |book| book.drop_accepted(1, Dropped::Gone));
                }
            }
        });
    }

    fn stand_in_line(&self, asked: Asked) {
        locked(&self.0.requests.waiting).line.push_back(asked);
        self.call_for_requests();
    }

    /// Stands in line for a hand, if there is something to do.
    fn call_for_requests(&self) {
        let (requests, crew) = (&self.0.requests, &self.0.house.crew);
        if self.0.house.is_stopping() || !requests.wants_turn() {
            return;
        }
        if !requests.in_line.swap(true, Relaxed) {
            // How long one takes is also up to its client: beside others requests never have all places.
            let runs = if crew.lanes.load(Relaxed) > 1 { Runs::Long } else { Runs::Short };
            let ask = Ask { runs, bytes: self.0.unit.limits.instance_bytes() };
            crew.call_for_requests(self.0.house.app(), ask, self.clone());
        }
    }

    /// One request with a hand; how long it took. Dropped half-way, its client gets 500, or a connection that is cut.
    pub(super) async fn answer_one(&self) -> Duration {
        let (requests, house) = (&self.0.requests, &self.0.house);
        requests.in_line.store(false, Relaxed);
        if house.is_stopping() || !requests.wants_turn() {
            return Duration::ZERO;
        }
        let Some(Asked { trigger, request }) = locked(&requests.waiting).line.pop_front() else {
            return Duration::ZERO;
        };
        requests.running.fetch_add(1, Relaxed);
        let place = Place(requests);
        // Another may begin beside it.
        self.call_for_requests();
        let begun = now();
        self.serve(trigger, request).await;
        drop(place);
        self.call_for_requests();
        begun.elapsed()
    }

    async fn serve(&self, trigger: u32, request: Request) {
        let (unit, house) = (&self.0.unit, &self.0.house);
        if !request.responder.is_awaited() {
            return self.over(trigger, |book| book.drop_accepted(1, Dropped::Gone));
        }
        let _busy = Busy::new(house);
        let admitted = house.crew.ledger.admit(unit.limits.instance_bytes());
        let admitted = tokio::select! {
            admitted = admitted => admitted,
            () = house.halt.notified() => None,
        };
        if admitted.is_none() {
            request.responder.answer(Answer::busy());
            return self.over(trigger, |book| book.drop_accepted(1, Dropped::NoRoom));
        }
        let number = self.0.requests.number.fetch_add(1, Relaxed);
        let (method, path) = (&request.head.method, request.head.path());
        let source = format!("{method} {path} (request {number})");
        let (component, what) = (&*unit.grants.component, &Happening::Request);
        let source = &*source;
        unit.reporter().report(&Report::Event { component, source, payload: &[], what });
        let begun = now();
        let outcome = tokio::select! {
            biased;
            outcome = unit.answer(request, || self.is_crowded()) => outcome,
            () = house.halt.notified() => Outcome::Refused("the runner stopped".into()),
        };
        let (took, attempt, retry_in) = (begun.elapsed(), 1, None);
        unit.counters.count(&outcome, took);
        let outcome = &outcome;
        unit.reporter().report(&Report::Outcome {
            component,
            source,
            what,
            outcome,
            took,
            attempt,
            retry_in,
        });
        self.over(
            trigger,
            match outcome {
                Outcome::Done => Book::deliver,
                _ => Book::bury,
            },
        );
    }

    /// Whether somebody waits for the place of one that runs.
    fn is_crowded(&self) -> bool {
        self.0.house.crew.is_crowded() || !locked(&self.0.requests.waiting).line.is_empty()
    }

    /// The request is nobody's any more.
    fn over(&self, trigger: u32, count: impl FnOnce(&Book)) {
        if let Some(book) = self.book(trigger) {
            book.close();
            count(book);
        }
        let house = &self.0.house;
        house.settled().notify_one();
        house.forget_tries(Vec::new());
    }

    /// Whoever waits is told to come again: nothing begins any more.
    pub(super) fn send_away(&self) {
        let waiting = std::mem::take(&mut locked(&self.0.requests.waiting).line);
        for Asked { trigger, request } in waiting {
            request.responder.answer(Answer::busy());
            self.over(trigger, |book| book.drop_accepted(1, Dropped::NoRoom));
        }
    }
}
