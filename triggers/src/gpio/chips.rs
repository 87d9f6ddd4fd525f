//! The chips of a machine: the kernel's, or simulated ones. All that differs between the two is behind
//! these types; everything above them (retry, counting, policy) is the same for both.

use super::fault::Fault;
use super::kernel;
use super::line::{EdgeKind, InputOptions, Level, OutputOptions};
#[cfg(feature = "simulated")]
use super::simulated;
use crate::limits::gpio::EDGES_FETCHED_MAX;

/// Where lines come from. A closed set.
#[derive(Clone)]
pub enum Chips {
    /// `/dev/gpiochip*`, over version 2 of the kernel's interface (Linux 5.10 and later).
    Kernel,
    /// Chips that exist only here.
    #[cfg(feature = "simulated")]
    Simulated(simulated::SimulatedPins),
}

/// An edge before it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RawEdge {
    pub(super) edge: EdgeKind,
    pub(super) timestamp_ns: u64,
    pub(super) sequence: u32,
}

/// Edges fetched and not delivered yet, oldest first.
pub(super) type Batch = heapless::Deque<RawEdge, EDGES_FETCHED_MAX>;

/// A requested input. Dropping it gives the line back.
pub(super) enum InputLine {
    Kernel(kernel::InputLine),
    #[cfg(feature = "simulated")]
    Simulated(simulated::InputLine),
}

/// A requested output. Dropping it gives the line back; what its level is then, the chip decides.
pub(super) enum OutputLine {
    Kernel(kernel::OutputLine),
    #[cfg(feature = "simulated")]
    Simulated(simulated::OutputLine),
}

impl Chips {
    /// The start-up check: each label that no usable chip has, as a sentence. Opens and reads the
    /// chips' information, changes nothing.
    pub fn check(&self, labels: &[&str]) -> Result<(), Vec<Fault>> {
        let faults: Vec<_> = labels.iter().filter_map(|label| self.find(label).err()).collect();
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }

    fn find(&self, label: &str) -> Result<(), Fault> {
        match self {
            Self::Kernel => kernel::chips_of(label).map(drop),
            #[cfg(feature = "simulated")]
            Self::Simulated(pins) => pins.find_chip(label),
        }
    }

    pub(super) fn input(&self, options: &InputOptions) -> Result<InputLine, Fault> {
        match self {
            Self::Kernel => kernel::InputLine::open(options).map(InputLine::Kernel),
            #[cfg(feature = "simulated")]
            Self::Simulated(pins) => pins.open_input(options).map(InputLine::Simulated),
        }
    }

    /// Sets an output and lets it go.
    pub(super) fn set_once(&self, options: &OutputOptions, level: Level) -> Result<(), Fault> {
        match self {
            Self::Kernel => kernel::OutputLine::open(options, level).map(drop),
            #[cfg(feature = "simulated")]
            Self::Simulated(pins) => pins.open_output(options, level).map(drop),
        }
    }

    pub(super) fn output(
        &self,
        options: &OutputOptions,
        level: Level,
    ) -> Result<OutputLine, Fault> {
        match self {
            Self::Kernel => kernel::OutputLine::open(options, level).map(OutputLine::Kernel),
            #[cfg(feature = "simulated")]
            Self::Simulated(pins) => pins.open_output(options, level).map(OutputLine::Simulated),
        }
    }
}

impl InputLine {
    /// Waits for edges and appends as many as there is room for. Dropped half-way, nothing is lost:
    /// they stay with the chip.
    pub(super) async fn fetch(&self, batch: &mut Batch) -> Result<(), Fault> {
        match self {
            Self::Kernel(line) => line.fetch(batch).await,
            #[cfg(feature = "simulated")]
            Self::Simulated(line) => line.fetch(batch).await,
        }
    }

    pub(super) fn level(&self) -> Result<Level, Fault> {
        match self {
            Self::Kernel(line) => line.level(),
            #[cfg(feature = "simulated")]
            Self::Simulated(line) => line.level(),
        }
    }
}

impl OutputLine {
    /// One system call, no allocation.
    pub(super) fn set(&self, level: Level) -> Result<(), Fault> {
        match self {
            Self::Kernel(line) => line.set(level),
            #[cfg(feature = "simulated")]
            Self::Simulated(line) => line.set(level),
        }
    }

    /// Whether the chip is still there.
    pub(super) fn check(&self) -> Result<(), Fault> {
        match self {
            Self::Kernel(line) => line.check(),
            #[cfg(feature = "simulated")]
            Self::Simulated(line) => line.check(),
        }
    }
}
