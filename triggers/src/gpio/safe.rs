//! Safe levels from outside, for the process that comes after a crash: one shot, no runtime.

use super::chips::Chips;
use super::fault::Fault;
use super::line::OutputOptions;
use std::sync::Arc;

/// An output that could not be made safe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("output {line} could not be set to its safe level: {fault}")]
pub struct SafeStateError {
    /// The board file's name.
    pub line: Arc<str>,
    /// Why.
    #[source]
    pub fault: Fault,
}

/// Sets each output to its safe level and lets it go; all are tried. What a line does once nobody
/// holds it is the chip's decision: most, the Raspberry Pi's among them, go on driving it.
pub fn safe_state(chips: &Chips, lines: &[OutputOptions]) -> Result<(), Vec<SafeStateError>> {
    let make_safe = |options: &OutputOptions| {
        let failed = chips.set_once(options, options.safe).err();
        failed.map(|fault| SafeStateError { line: options.line.name.clone(), fault })
    };
    let errors: Vec<_> = lines.iter().filter_map(make_safe).collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}
