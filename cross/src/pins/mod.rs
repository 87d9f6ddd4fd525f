//! Pins on the workbench: where the board's chip is not, `pirn up` runs on simulated lines, and other
//! commands press its buttons and look at its lamps through a Unix socket in the state folder.

mod client;
mod header;
mod server;

pub(crate) use client::{ask, watch};
pub(crate) use header::draw;
pub(crate) use server::Server;

use std::path::{Path, PathBuf};

use pirn_runner::plan::App;
use pirn_triggers::gpio::simulated::SimulatedPins;
use pirn_triggers::gpio::{Chips, Fault, LineId};

use crate::failure::Failure;

/// The chips that an app runs on here.
pub(crate) enum Bench {
    /// The board's own: this machine has them.
    Real,
    /// Others in their place.
    Simulated(SimulatedPins),
}

impl Bench {
    /// For this app: simulated if the app uses lines and none of its chips is here.
    pub(crate) fn of(app: &App) -> Result<Self, Failure> {
        let labels = app.pins.chip_labels();
        match Chips::Kernel.check(&labels) {
            Ok(()) => Ok(Self::Real),
            Err(faults) if faults.iter().all(|fault| matches!(fault, Fault::NoChip { .. })) => {
                Ok(Self::Simulated(SimulatedPins::new(lines(app))))
            }
            Err(faults) => {
                let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
                Err(Failure::wrong(sentences.join("\n")))
            }
        }
    }

    /// As the runner takes them.
    pub(crate) fn chips(&self) -> Chips {
        match self {
            Self::Real => Chips::Kernel,
            Self::Simulated(pins) => Chips::Simulated(pins.clone()),
        }
    }
}

/// The app's lines, and those of the board that it does not use.
fn lines(app: &App) -> Vec<LineId> {
    let inputs = app.pins.inputs.iter().map(|pin| pin.options.line.clone());
    let outputs = app.pins.outputs.iter().map(|pin| pin.options.line.clone());
    let mut lines: Vec<LineId> = inputs.chain(outputs).collect();
    for (label, name, line) in app.board.lines() {
        let is_used = lines.iter().any(|used| {
            (used.chip_label.as_str(), &used.kernel_names, used.offset)
                == (label, &line.kernel_names, line.offset)
        });
        if !is_used {
            lines.push(LineId {
                name: name.into(),
                chip_label: label.to_owned(),
                kernel_names: line.kernel_names.clone(),
                offset: line.offset,
            });
        }
    }
    lines
}

/// Where the socket of an app with this state folder is.
fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("pins.sock")
}

/// One line, as it is told over the socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Row {
    /// The manifest's name, or the board's.
    pub(crate) name: String,
    /// Where it is on the header; empty if nobody says.
    pub(crate) header: String,
    /// `in`, `out`, or `-` for lines that the app does not use.
    pub(crate) way: String,
    /// `high` or `low`, as guests see it.
    pub(crate) level: String,
}

impl Row {
    fn to_line(&self) -> String {
        let Self { name, header, way, level } = self;
        format!("{level}\t{way}\t{header}\t{name}\n")
    }

    fn from_line(line: &str) -> Option<Self> {
        let mut fields = line.splitn(4, '\t').map(str::to_owned);
        let (level, way) = (fields.next()?, fields.next()?);
        Some(Self { header: fields.next()?, name: fields.next()?, way, level })
    }

    pub(crate) fn is_high(&self) -> bool {
        self.level == "high"
    }
}

/// The end of a list of rows.
const END: &str = ".";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_survives_the_socket() {
        let row = Row {
            name: "front door".into(),
            header: String::new(),
            way: "in".into(),
            level: "low".into(),
        };
        assert_eq!(Row::from_line(row.to_line().trim_end_matches('\n')), Some(row));
    }
}
