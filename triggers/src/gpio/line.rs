//! What a line is asked to be: where it is found, and how it is used. Only data.
//!
//! [`Level`] is logical everywhere in this module: `High` means active, whatever voltage that is on
//! the wire. Which one it is, [`Active`] says, and the chip does the turning. Only the simulated
//! chip's outside speaks of the wire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How a line of the board file is found on this machine. Never by a chip's number: those change
/// from one kernel to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineId {
    /// What everybody calls it: the board file's name.
    pub name: Arc<str>,
    /// The chip's label. Several chips may have the same: the one that has the line is meant.
    pub chip_label: String,
    /// What kernels call it; any of these will do.
    pub kernel_names: Vec<String>,
    /// Its place on the chip. Used when the kernel gives that place no name, or when
    /// `kernel_names` is empty.
    pub offset: Option<u32>,
}

impl fmt::Display for LineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.kernel_names.join("\" or \"");
        match (self.kernel_names.is_empty(), self.offset) {
            (true, None) => write!(f, "a line without kernel name and offset"),
            (true, Some(offset)) => write!(f, "offset {offset}"),
            (false, None) => write!(f, "\"{names}\""),
            (false, Some(offset)) => write!(f, "\"{names}\" or offset {offset}"),
        }
    }
}

/// Logical level: what a program sees and says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Inactive, off.
    Low,
    /// Active, on.
    High,
}

impl std::ops::Not for Level {
    type Output = Self;

    fn not(self) -> Self {
        match self {
            Self::Low => Self::High,
            Self::High => Self::Low,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::High { "high" } else { "low" })
    }
}

/// Which level on the wire counts as active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Active {
    /// The high one.
    #[default]
    High,
    /// The low one: a button to ground, a lamp to the supply.
    Low,
}

/// The resistor of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Bias {
    /// As the firmware or the device tree left it.
    #[default]
    AsIs,
    /// To the supply.
    PullUp,
    /// To ground.
    PullDown,
    /// None.
    Disabled,
}

/// Which edges are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Edges {
    /// From inactive to active.
    Rising,
    /// From active to inactive.
    Falling,
    /// Both.
    Both,
    /// None: only levels are read.
    #[default]
    None,
}

/// An input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputOptions {
    /// Which line.
    pub line: LineId,
    /// Which edges are reported.
    pub edges: Edges,
    /// How long a level has to hold before it counts: the kernel does this. At most
    /// [`DEBOUNCE_MAX`](crate::limits::gpio::DEBOUNCE_MAX).
    pub debounce: Option<Duration>,
    /// The resistor. A chip without resistors ignores this, and the kernel does not say so.
    pub bias: Bias,
    /// Which level on the wire is active.
    pub active: Active,
}

/// An output and what may be done with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputOptions {
    /// Which line.
    pub line: LineId,
    /// Which level on the wire is active.
    pub active: Active,
    /// What it is set to when it is requested for the first time.
    pub initial: Level,
    /// What it goes to whenever nobody can be trusted to say.
    pub safe: Level,
    /// Most changes of its level within any second.
    pub toggles_per_second_max: Option<u32>,
    /// Longest time that it may be high.
    pub on_longest: Option<Duration>,
    /// Of the lines that share a group, one at most is high at any time.
    pub group: Option<String>,
}

/// Which way an edge went, logically.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EdgeKind {
    /// From inactive to active.
    Rising,
    /// From active to inactive.
    Falling,
}

/// One edge, as the kernel saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// Which way.
    pub edge: EdgeKind,
    /// When: nanoseconds of the kernel's monotonic clock, so a difference is a duration and a jump of
    /// the wall clock is not seen. With debounce, the moment at which the level had held long enough.
    pub timestamp_ns: u64,
    /// The kernel's count of this line's edges, from 1 in each epoch; goes on at 0 after `u32::MAX`.
    pub sequence: u32,
    /// Edges between the last one delivered and this one that were thrown away, oldest first, because
    /// nobody had fetched them. Not among them: pulses so short that they were over before the
    /// kernel's interrupt thread had looked. Those the chip or the kernel merges, and never counts.
    pub missed: u32,
    /// How often the line had been opened, this time included. What happened between two epochs
    /// nobody knows, so `missed` does not speak of it.
    pub epoch: u32,
}

/// Whether a line can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LineState {
    /// Requested and answering.
    Ready,
    /// Not to be had; tried again from time to time.
    Waiting(Arc<str>),
}

/// Something that happened to a line and that an operator may want to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The line cannot be used. Said once, until it is back.
    Lost {
        /// The board file's name.
        line: Arc<str>,
        /// Why and what to do, one sentence.
        reason: Arc<str>,
    },
    /// The line is there after all.
    Back {
        /// The board file's name.
        line: Arc<str>,
    },
    /// An output had been high for as long as it may, and was set to its safe level.
    TurnedOff {
        /// The board file's name.
        line: Arc<str>,
        /// The limit.
        on_longest: Duration,
    },
}

/// Called with everything an operator may want to read. Must not block, and must not call back into
/// the line that it is about.
pub type NoticeHandler = Arc<dyn Fn(Notice) + Send + Sync>;
