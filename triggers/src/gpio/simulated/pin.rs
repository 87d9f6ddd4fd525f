//! One simulated line: what drives it, who asked for it, and the events that wait. Behaves as
//! `drivers/gpio/gpiolib-cdev.c` does. Time is an argument; nothing here sleeps or wakes.

use super::super::chips::{Batch, RawEdge};
use super::super::line::{
    Active, Bias, EdgeKind, Edges, InputOptions, Level, LineId, OutputOptions,
};
use crate::limits::gpio::EDGES_WAITING_MAX;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

pub(super) struct PinState {
    pub(super) id: LineId,
    pub(super) offset: u32,
    pub(super) usage: Usage,
    /// The way the last request understood it: a button is pressed before anybody asked, too.
    pub(super) active: Active,
    outside: Option<Level>,
    /// What an output left behind when it was given back: hardware goes on driving it.
    latch: Option<Level>,
}

pub(super) enum Usage {
    Free,
    /// Another program has it.
    Occupied,
    Input(Input),
    Output {
        key: u64,
        level: Level,
    },
}

pub(super) struct Input {
    pub(super) key: u64,
    edges: Edges,
    bias: Bias,
    debounce: Duration,
    /// Logical, debounced: what has been reported.
    settled: Level,
    /// When the level will have held for long enough.
    pending: Option<Instant>,
    events: VecDeque<RawEdge>,
    sequence: u32,
}

impl PinState {
    pub(super) fn new(id: LineId, offset: u32) -> Self {
        let (usage, active) = (Usage::Free, Active::High);
        Self { id, offset, usage, active, outside: None, latch: None }
    }

    /// The level on the wire. The program's own driving wins: on a real board that is a short.
    pub(super) fn wire(&self) -> Level {
        if let Usage::Output { level, .. } = self.usage {
            return turn(level, self.active);
        }
        self.outside.or(self.latch).unwrap_or(self.undriven())
    }

    fn undriven(&self) -> Level {
        match &self.usage {
            Usage::Input(input) if input.bias == Bias::PullUp => Level::High,
            _ => Level::Low,
        }
    }

    pub(super) fn key(&self) -> Option<u64> {
        match &self.usage {
            Usage::Input(input) => Some(input.key),
            Usage::Output { key, .. } => Some(*key),
            Usage::Free | Usage::Occupied => None,
        }
    }

    pub(super) fn drive(&mut self, level: Option<Level>, now: Clock) {
        self.settle(now);
        let before = self.wire();
        (self.outside, self.latch) = (level, None);
        if self.wire() != before {
            self.changed(now);
        }
    }

    pub(super) fn take_as_input(&mut self, key: u64, options: &InputOptions) {
        self.active = options.active;
        self.latch = None;
        self.usage = Usage::Input(Input {
            key,
            edges: options.edges,
            bias: options.bias,
            debounce: options.debounce.unwrap_or_default(),
            settled: Level::Low,
            pending: None,
            events: VecDeque::new(),
            sequence: 0,
        });
        let level = turn(self.wire(), self.active);
        if let Usage::Input(input) = &mut self.usage {
            input.settled = level;
        }
    }

    pub(super) fn take_as_output(&mut self, key: u64, options: &OutputOptions, level: Level) {
        self.active = options.active;
        self.usage = Usage::Output { key, level };
    }

    pub(super) fn give_back(&mut self) {
        if matches!(self.usage, Usage::Output { .. }) {
            self.latch = Some(self.wire());
        }
        self.usage = Usage::Free;
    }

    /// The chip loses its power.
    pub(super) fn unplug(&mut self) {
        (self.usage, self.latch) = (Usage::Free, None);
    }

    fn changed(&mut self, now: Clock) {
        let level = turn(self.wire(), self.active);
        let Usage::Input(input) = &mut self.usage else { return };
        if input.debounce.is_zero() {
            input.report(level, now.nanoseconds(now.now));
        } else {
            input.pending = Some(now.now + input.debounce);
        }
    }

    /// Reports what has held for long enough by now, with the time at which it had.
    pub(super) fn settle(&mut self, now: Clock) {
        let level = turn(self.wire(), self.active);
        let Usage::Input(input) = &mut self.usage else { return };
        if let Some(at) = input.pending.take_if(|at| *at <= now.now) {
            input.report(level, now.nanoseconds(at));
        }
    }
}

impl Input {
    fn report(&mut self, level: Level, timestamp_ns: u64) {
        if level == self.settled {
            return;
        }
        self.settled = level;
        let edge = match level {
            Level::High => EdgeKind::Rising,
            Level::Low => EdgeKind::Falling,
        };
        if self.wants(edge) {
            self.sequence = self.sequence.wrapping_add(1);
            self.keep(RawEdge { edge, timestamp_ns, sequence: self.sequence });
        }
    }

    fn wants(&self, edge: EdgeKind) -> bool {
        match self.edges {
            Edges::Both => true,
            Edges::Rising => edge == EdgeKind::Rising,
            Edges::Falling => edge == EdgeKind::Falling,
            Edges::None => false,
        }
    }

    fn keep(&mut self, edge: RawEdge) {
        if self.events.len() == EDGES_WAITING_MAX {
            self.events.pop_front();
        }
        self.events.push_back(edge);
    }

    pub(super) fn level(&self) -> Level {
        self.settled
    }

    pub(super) fn fetch(&mut self, batch: &mut Batch) {
        while !batch.is_full()
            && let Some(edge) = self.events.pop_front()
        {
            let _ = batch.push_back(edge);
        }
    }

    /// When there may be an edge without anything happening.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pending
    }
}

/// What time it is, and what the timestamps count from.
#[derive(Clone, Copy)]
pub(super) struct Clock {
    pub(super) start: Instant,
    pub(super) now: Instant,
}

impl Clock {
    pub(super) fn nanoseconds(self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.start).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// Between logical and wire; its own inverse.
pub(super) fn turn(level: Level, active: Active) -> Level {
    match active {
        Active::High => level,
        Active::Low => !level,
    }
}
