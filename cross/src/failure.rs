//! Why a command ends badly, and the exit status that says so: 1 failed while running, 2 what was
//! given is wrong (the command line, the manifest, the board, a component).

use std::fmt::Display;
use std::process::ExitCode;

use crate::ui;

/// How a command ended, if not well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something went wrong on the way: exit status 1.
    Failed(String),
    /// Something that was given is wrong, and trying again will not help: exit status 2.
    Wrong(String),
}

impl Failure {
    /// Exit status 1.
    pub(crate) fn failed(reason: impl Display) -> Failure {
        Failure::Failed(reason.to_string())
    }

    /// Exit status 2.
    pub(crate) fn wrong(reason: impl Display) -> Failure {
        Failure::Wrong(reason.to_string())
    }

    /// Says it, and becomes the exit status.
    pub(crate) fn report(self) -> ExitCode {
        let (status, reason) = match self {
            Failure::Failed(reason) => (1, reason),
            Failure::Wrong(reason) => (2, reason),
        };
        ui::error(&reason);
        ExitCode::from(status)
    }
}

/// What a command's `run` gives.
pub(crate) type Outcome = Result<(), Failure>;
