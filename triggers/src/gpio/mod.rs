//! GPIO lines: edges in, levels in and out, by the names of the board file.
//!
//! [`Chips`] is where lines come from: the kernel, or chips that are simulated. An [`Input`] gives the
//! edges of one line, one at a time, and levels through its [`InputHandle`]; [`Outputs`] owns all
//! outputs of an app and holds them to their policy; [`safe_state`] is for the process that comes
//! after a crash.
//!
//! # What holds
//!
//! - Nothing queues here. Edges wait in the kernel, which throws away the oldest when its buffer is
//!   full, and whose numbers tell us how many: within an epoch of a line, delivered and missed edges
//!   together are all that there were.
//! - A line that is busy, missing or unplugged ends nothing. It is said once, in a sentence, tried
//!   again until it is there, and said once more. Lines are found by label and name each time.
//! - A refused change of an output changes nothing. An output that comes back after it was lost
//!   starts at its safe level.
//! - Nothing runs by itself: [`Input::next`] and [`Outputs::run`] are futures of the caller, and sleep
//!   until there is something to do.

mod chips;
mod clock;
mod fault;
mod input;
mod kernel;
mod line;
mod outputs;
mod policy;
mod safe;
#[cfg(feature = "simulated")]
pub mod simulated;
mod slot;

pub use chips::Chips;
pub use fault::{Fault, Unavailable};
pub use input::{Input, InputCounters, InputHandle};
pub use line::{
    Active, Bias, Edge, EdgeKind, Edges, InputOptions, Level, LineId, LineState, Notice,
    NoticeHandler, OutputOptions,
};
pub use outputs::{OutputError, Outputs};
pub use policy::{PolicyError, Refusal};
pub use safe::{SafeStateError, safe_state};
