//! An input that outlives its line: edges one at a time, the level at any time.

use super::chips::{Batch, Chips, InputLine, RawEdge};
use super::clock;
use super::fault::{Fault, Unavailable};
use super::line::{Edge, InputOptions, Level, LineState, Notice, NoticeHandler};
use super::slot::Slot;
use crate::limits::gpio::CHECK_EVERY;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::Notify;
use tokio::task::coop;

/// The edges of one line, for one reader.
pub struct Input {
    shared: Arc<Shared>,
    /// Fetched, all of `epoch`.
    batch: Batch,
    epoch: u32,
    last_sequence: u32,
}

/// The same line for everybody else: its level and how it is. Cheap to clone; works while another
/// task waits for edges.
#[derive(Clone)]
pub struct InputHandle(Arc<Shared>);

/// What has happened so far. Each only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct InputCounters {
    /// Edges given to the reader.
    pub delivered: u64,
    /// Edges that were thrown away before the reader came.
    pub missed: u64,
    /// Times that the line was requested successfully.
    pub epochs: u32,
}

struct Shared {
    chips: Chips,
    options: InputOptions,
    on_notice: Option<NoticeHandler>,
    kept: Mutex<Kept>,
    /// The line was opened or lost by somebody else than the reader.
    changed: Notify,
}

struct Kept {
    slot: Slot<Arc<InputLine>>,
    counters: InputCounters,
}

enum Current {
    Open { line: Arc<InputLine>, epoch: u32 },
    Waiting { until: Option<Instant> },
}

impl Input {
    /// Requests the line, and goes on trying if that fails: its state says so. Edges count from
    /// here, whoever fetches them when. Needs a tokio runtime with I/O and time.
    pub fn open(chips: Chips, options: InputOptions, on_notice: Option<NoticeHandler>) -> Self {
        let slot = Slot::new(options.line.name.clone(), clock::now());
        let kept = Mutex::new(Kept { slot, counters: InputCounters::default() });
        let changed = Notify::new();
        let shared = Arc::new(Shared { chips, options, on_notice, kept, changed });
        shared.current();
        Self { shared, batch: Batch::new(), epoch: 0, last_sequence: 0 }
    }

    /// For the level and the state.
    pub fn handle(&self) -> InputHandle {
        InputHandle(self.shared.clone())
    }

    /// The next edge. While the line cannot be used it waits, and this future is what tries again:
    /// wait for it even if no edges were asked for. Dropped half-way, no edge is lost.
    pub async fn next(&mut self) -> Edge {
        loop {
            // A burst must not keep the thread from others.
            coop::consume_budget().await;
            if let Some(raw) = self.batch.pop_front() {
                return self.count(raw);
            }
            match self.shared.current() {
                Current::Open { line, epoch } => self.fetch(&line, epoch).await,
                Current::Waiting { until } => tokio::select! {
                    () = clock::sleep_until(until) => {}
                    () = self.shared.changed.notified() => {}
                },
            }
        }
    }

    async fn fetch(&mut self, line: &InputLine, epoch: u32) {
        if epoch != self.epoch {
            (self.epoch, self.last_sequence) = (epoch, 0);
        }
        let check_at = clock::now() + CHECK_EVERY;
        let fetched = tokio::select! {
            fetched = line.fetch(&mut self.batch) => fetched,
            () = self.shared.changed.notified() => Ok(()),
            () = clock::sleep_until(Some(check_at)) => line.level().map(drop),
        };
        if let Err(fault) = fetched {
            self.shared.lose(epoch, &fault);
        }
    }

    fn count(&mut self, raw: RawEdge) -> Edge {
        let RawEdge { edge, timestamp_ns, sequence } = raw;
        let missed = sequence.wrapping_sub(self.last_sequence).wrapping_sub(1);
        self.last_sequence = sequence;
        let counters = &mut self.shared.lock().counters;
        counters.delivered += 1;
        counters.missed += u64::from(missed);
        Edge { edge, timestamp_ns, sequence, missed, epoch: self.epoch }
    }
}

impl InputHandle {
    /// The level now; with debounce, the one that held for long enough. Tries to get the line back
    /// if that is due.
    pub fn level(&self) -> Result<Level, Unavailable> {
        let Current::Open { line, epoch } = self.0.current() else {
            return Err(self.0.lock().slot.unavailable());
        };
        line.level().map_err(|fault| {
            self.0.lose(epoch, &fault);
            self.0.changed.notify_one();
            self.0.lock().slot.unavailable()
        })
    }

    /// Whether the line can be used, as far as anybody has noticed.
    pub fn state(&self) -> LineState {
        self.0.lock().slot.state()
    }

    /// What has happened so far.
    pub fn counters(&self) -> InputCounters {
        self.0.lock().counters
    }

    /// What it was opened with.
    pub fn options(&self) -> &InputOptions {
        &self.0.options
    }
}

impl Shared {
    /// The line; opens it if there is none and a try is due.
    fn current(&self) -> Current {
        let mut kept = self.lock();
        let notice = if kept.slot.is_due(clock::now()) { self.open(&mut kept) } else { None };
        let current = match kept.slot.line() {
            Some(line) => Current::Open { line: line.clone(), epoch: kept.counters.epochs },
            None => Current::Waiting { until: kept.slot.retry_at() },
        };
        drop(kept);
        self.notify(notice);
        current
    }

    fn open(&self, kept: &mut Kept) -> Option<Notice> {
        let opened = self.chips.input(&self.options).map(Arc::new);
        if opened.is_ok() {
            kept.counters.epochs = kept.counters.epochs.saturating_add(1);
            self.changed.notify_one();
        }
        kept.slot.tried(opened, clock::now())
    }

    /// The line of that epoch does not work; a later one is none of this matter.
    fn lose(&self, epoch: u32, fault: &Fault) {
        let mut kept = self.lock();
        let is_current = kept.slot.line().is_some() && kept.counters.epochs == epoch;
        let notice = if is_current { kept.slot.lost(fault, clock::now()) } else { None };
        drop(kept);
        self.notify(notice);
    }

    fn notify(&self, notice: Option<Notice>) {
        if let (Some(notice), Some(on_notice)) = (notice, &self.on_notice) {
            on_notice(notice);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
