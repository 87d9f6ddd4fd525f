//! Chips that exist only in this process, for a workbench without the board and for tests. They do
//! what the kernel's do, errors included, and tokio's clock is theirs, so that tests may stop it.
//!
//! [`SimulatedPins`] is the outside of these chips: the finger, the lamp, the person who pulls the
//! plug. It speaks of levels on the wire. The inside is requested through
//! [`Chips`](super::Chips), like any other.

mod pin;

use super::chips::Batch;
use super::clock;
use super::fault::Fault;
use super::line::{Active, InputOptions, Level, LineId, OutputOptions};
use crate::limits::gpio::{DEBOUNCE_MAX, NAMES_SHOWN_MAX, PIN_CHANGES_WAITING_MAX};
use pin::{Clock, PinState, Usage, turn};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, broadcast};

/// The outside of simulated chips. Cheap to clone; all clones are the same chips.
#[derive(Clone)]
pub struct SimulatedPins(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    start: Instant,
    /// Something happened that an input may wait for.
    happened: Notify,
    changes: broadcast::Sender<PinChange>,
}

struct State {
    pins: Vec<PinState>,
    unplugged: Vec<String>,
    keys: u64,
}

/// Who drives a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// An output of the program.
    Program,
    /// The outside, or a resistor.
    Outside,
}

/// A simulated line, as seen from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The board file's name.
    pub name: Arc<str>,
    /// The chip.
    pub chip_label: String,
    /// Its place there.
    pub offset: u32,
    /// The level on the wire.
    pub level: Level,
    /// Which level is the active one, as it was last requested.
    pub active: Active,
    /// Who drives it.
    pub driver: Driver,
}

/// The level on a wire changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinChange {
    /// The board file's name.
    pub name: Arc<str>,
    /// The level on the wire, from now on.
    pub level: Level,
    /// Who changed it.
    pub driver: Driver,
    /// The chips' monotonic clock.
    pub timestamp_ns: u64,
}

/// The name is none of a simulated line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no simulated line \"{name}\"; there are {}", .names.join(", "))]
pub struct NoSuchPin {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub names: Vec<String>,
}

impl SimulatedPins {
    /// Chips with exactly these lines, under the labels that they name. A line without an offset
    /// gets the next free one.
    pub fn new(lines: impl IntoIterator<Item = LineId>) -> Self {
        let mut pins: Vec<PinState> = Vec::new();
        for id in lines {
            let there = pins.iter().filter(|pin| pin.id.chip_label == id.chip_label);
            let free = there.map(|pin| pin.offset + 1).max().unwrap_or(0);
            let offset = id.offset.unwrap_or(free);
            pins.push(PinState::new(id, offset));
        }
        let state = State { pins, unplugged: Vec::new(), keys: 0 };
        Self(Arc::new(Shared {
            state: Mutex::new(state),
            start: clock::now(),
            happened: Notify::new(),
            changes: broadcast::Sender::new(PIN_CHANGES_WAITING_MAX),
        }))
    }

    /// Puts a level on the wire from outside.
    pub fn drive(&self, name: &str, level: Level) -> Result<(), NoSuchPin> {
        self.change(name, |pin, clock| pin.drive(Some(level), clock))
    }

    /// Lets go of the wire, which falls back to its resistor.
    pub fn float(&self, name: &str) -> Result<(), NoSuchPin> {
        self.change(name, |pin, clock| pin.drive(None, clock))
    }

    /// Makes the line active for as long as `hold`, then inactive. Dropped half-way, the line is
    /// inactive at once.
    pub async fn press(&self, name: &str, hold: Duration) -> Result<(), NoSuchPin> {
        let active = self.pin(name)?.active;
        self.drive(name, turn(Level::High, active))?;
        let _finger = Finger { pins: self, name, up: turn(Level::Low, active) };
        tokio::time::sleep(hold).await;
        Ok(())
    }

    /// The level on the wire.
    pub fn level(&self, name: &str) -> Result<Level, NoSuchPin> {
        self.pin(name).map(|pin| pin.level)
    }

    /// One line.
    pub fn pin(&self, name: &str) -> Result<Pin, NoSuchPin> {
        self.on(name, |pin, _| view(pin))
    }

    /// All lines, in the order in which they were given.
    pub fn pins(&self) -> Vec<Pin> {
        self.lock().pins.iter().map(view).collect()
    }

    /// Changes from now on. A watcher that is too slow loses the oldest, and is told how many.
    pub fn watch(&self) -> broadcast::Receiver<PinChange> {
        self.0.changes.subscribe()
    }

    /// Another program takes the line; nothing happens if it is in use.
    pub fn occupy(&self, name: &str) -> Result<(), NoSuchPin> {
        self.change(name, |pin, _| {
            if matches!(pin.usage, Usage::Free) {
                pin.usage = Usage::Occupied;
            }
        })
    }

    /// The other program gives it back.
    pub fn vacate(&self, name: &str) -> Result<(), NoSuchPin> {
        self.change(name, |pin, _| {
            if matches!(pin.usage, Usage::Occupied) {
                pin.usage = Usage::Free;
            }
        })
    }

    /// Takes all chips with the label away. What was requested of them is gone.
    pub fn unplug(&self, label: &str) {
        self.plug(label);
        let mut state = self.lock();
        state.unplugged.push(label.to_owned());
        let meant = state.pins.iter_mut().filter(|pin| pin.id.chip_label == label);
        meant.for_each(|pin| self.watched(pin, |pin, _| pin.unplug()));
        drop(state);
        self.0.happened.notify_waiters();
    }

    /// Puts them back.
    pub fn plug(&self, label: &str) {
        self.lock().unplugged.retain(|there| there != label);
    }

    pub(super) fn find_chip(&self, label: &str) -> Result<(), Fault> {
        let state = self.lock();
        let there = |pin: &&PinState| !state.unplugged.contains(&pin.id.chip_label);
        let mut labels: Vec<_> =
            state.pins.iter().filter(there).map(|pin| pin.id.chip_label.clone()).collect();
        labels.dedup();
        if labels.iter().any(|there| there == label) {
            return Ok(());
        }
        Err(Fault::NoChip { label: label.to_owned(), labels })
    }

    pub(super) fn open_input(&self, options: &InputOptions) -> Result<InputLine, Fault> {
        if let Some(asked) = options.debounce.filter(|asked| *asked > DEBOUNCE_MAX) {
            return Err(Fault::DebounceTooLong { asked, longest: DEBOUNCE_MAX });
        }
        self.open(&options.line, |pin, key| pin.take_as_input(key, options)).map(InputLine)
    }

    pub(super) fn open_output(
        &self,
        options: &OutputOptions,
        level: Level,
    ) -> Result<OutputLine, Fault> {
        self.open(&options.line, |pin, key| pin.take_as_output(key, options, level)).map(OutputLine)
    }

    fn open(&self, id: &LineId, take: impl FnOnce(&mut PinState, u64)) -> Result<Request, Fault> {
        self.find_chip(&id.chip_label)?;
        let mut state = self.lock();
        let Some(index) = state.pins.iter().position(|pin| is_meant(pin, id)) else {
            return Err(no_line(id, &state.pins));
        };
        match state.pins[index].usage {
            Usage::Free => {}
            Usage::Occupied => return Err(Fault::Busy { by: "another program".to_owned() }),
            _ => return Err(Fault::Busy { by: "pirn".to_owned() }),
        }
        state.keys += 1;
        let key = state.keys;
        self.watched(&mut state.pins[index], |pin, _| take(pin, key));
        Ok(Request { pins: self.clone(), index, key })
    }

    fn change(
        &self,
        name: &str,
        change: impl FnOnce(&mut PinState, Clock),
    ) -> Result<(), NoSuchPin> {
        let changed = self.on(name, |pin, _| self.watched(pin, change));
        self.0.happened.notify_waiters();
        changed
    }

    /// Tells the watchers if the wire is different afterwards.
    fn watched<R>(&self, pin: &mut PinState, change: impl FnOnce(&mut PinState, Clock) -> R) -> R {
        let clock = self.clock();
        let before = pin.wire();
        let result = change(pin, clock);
        let Pin { name, level, driver, .. } = view(pin);
        if level != before {
            let timestamp_ns = clock.nanoseconds(clock.now);
            // Nobody watches: fine.
            let _ = self.0.changes.send(PinChange { name, level, driver, timestamp_ns });
        }
        result
    }

    fn on<R>(
        &self,
        name: &str,
        act: impl FnOnce(&mut PinState, Clock) -> R,
    ) -> Result<R, NoSuchPin> {
        let mut state = self.lock();
        let Some(index) = state.pins.iter().position(|pin| &*pin.id.name == name) else {
            let names = state.pins.iter().map(|pin| pin.id.name.to_string()).collect();
            return Err(NoSuchPin { name: name.to_owned(), names });
        };
        Ok(act(&mut state.pins[index], self.clock()))
    }

    fn clock(&self) -> Clock {
        Clock { start: self.0.start, now: clock::now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Finger<'a> {
    pins: &'a SimulatedPins,
    name: &'a str,
    up: Level,
}

impl Drop for Finger<'_> {
    fn drop(&mut self) {
        // The line was there when it was pressed, and lines stay.
        let _ = self.pins.drive(self.name, self.up);
    }
}

fn view(pin: &PinState) -> Pin {
    let driver =
        if matches!(pin.usage, Usage::Output { .. }) { Driver::Program } else { Driver::Outside };
    Pin {
        name: pin.id.name.clone(),
        chip_label: pin.id.chip_label.clone(),
        offset: pin.offset,
        level: pin.wire(),
        active: pin.active,
        driver,
    }
}

fn is_meant(pin: &PinState, id: &LineId) -> bool {
    let named = id.kernel_names.iter().any(|name| pin.id.kernel_names.contains(name));
    pin.id.chip_label == id.chip_label && (named || Some(pin.offset) == id.offset)
}

fn no_line(id: &LineId, pins: &[PinState]) -> Fault {
    let there = pins.iter().filter(|pin| pin.id.chip_label == id.chip_label);
    let names = there.clone().flat_map(|pin| pin.id.kernel_names.iter().cloned());
    Fault::NoLine {
        label: id.chip_label.clone(),
        wanted: id.to_string(),
        lines: u32::try_from(there.count()).unwrap_or(u32::MAX),
        names: names.take(NAMES_SHOWN_MAX).collect(),
    }
}

/// A requested line: what a file descriptor is with the kernel.
struct Request {
    pins: SimulatedPins,
    index: usize,
    key: u64,
}

impl Request {
    /// Acts on the line, if it is still ours.
    fn on<R>(&self, act: impl FnOnce(&mut PinState, Clock) -> R) -> Result<R, Fault> {
        let mut state = self.pins.lock();
        let pin = state.pins.get_mut(self.index).filter(|pin| pin.key() == Some(self.key));
        pin.map(|pin| act(pin, self.pins.clock())).ok_or(Fault::Gone)
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // Gone already: there is nothing to give back.
        let _ = self.on(|pin, _| self.pins.watched(pin, |pin, _| pin.give_back()));
    }
}

pub(super) struct InputLine(Request);

impl InputLine {
    pub(super) async fn fetch(&self, batch: &mut Batch) -> Result<(), Fault> {
        loop {
            // Made before the look, so that nothing falls between the two.
            let happened = self.0.pins.0.happened.notified();
            let deadline = self.input(|input| {
                input.fetch(batch);
                input.deadline()
            })?;
            if !batch.is_empty() {
                return Ok(());
            }
            tokio::select! {
                () = happened => {}
                () = clock::sleep_until(deadline) => {}
            }
        }
    }

    pub(super) fn level(&self) -> Result<Level, Fault> {
        self.input(|input| input.level())
    }

    fn input<R>(&self, act: impl FnOnce(&mut pin::Input) -> R) -> Result<R, Fault> {
        let acted = self.0.on(|pin, clock| {
            pin.settle(clock);
            match &mut pin.usage {
                Usage::Input(input) => Some(act(input)),
                _ => None,
            }
        })?;
        acted.ok_or(Fault::Gone)
    }
}

pub(super) struct OutputLine(Request);

impl OutputLine {
    pub(super) fn set(&self, level: Level) -> Result<(), Fault> {
        let key = self.0.key;
        self.0.on(|pin, _| {
            self.0.pins.watched(pin, |pin, _| pin.usage = Usage::Output { key, level });
        })
    }

    pub(super) fn check(&self) -> Result<(), Fault> {
        self.0.on(|_, _| ())
    }
}
