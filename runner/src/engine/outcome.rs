//! How an invocation ended, in the words that everybody above has for it.

use std::fmt;

use super::fault::Fault;
use crate::limits::host::REFUSAL_BYTES_MAX;

/// How an invocation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The guest took the event.
    Done,
    /// The guest said no, with its sentence.
    Refused(String),
    /// The guest failed.
    Faulted(Fault),
    /// The guest took the event, but what it published did not reach its broker.
    Undelivered(String),
}

impl Outcome {
    /// One word for counters and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(_) => "refused",
            Self::Faulted(_) => "faulted",
            Self::Undelivered(_) => "undelivered",
        }
    }

    /// From a guest's typed answer.
    pub(crate) fn of(result: Result<Result<(), String>, Fault>) -> Self {
        match result {
            Ok(Ok(())) | Err(Fault::Exit(0)) => Self::Done,
            Ok(Err(mut sentence)) => {
                let cut = sentence.floor_char_boundary(REFUSAL_BYTES_MAX);
                sentence.truncate(cut);
                Self::Refused(sentence)
            }
            Err(fault) => Self::Faulted(fault),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Refused(sentence) => write!(f, "refused: {sentence}"),
            Self::Faulted(fault) => write!(f, "faulted ({}): {fault}", fault.name()),
            Self::Undelivered(sentence) => write!(f, "undelivered: {sentence}"),
        }
    }
}
