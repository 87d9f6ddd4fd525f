//! The GPIO lines of the plan: names become lines of the board's chips, each used one way, with what the
//! board and the operator say of it.

use std::collections::BTreeMap;
use std::time::Duration;

use pirn_triggers::gpio::{Bias, Edges, InputOptions, Level, LineId, OutputOptions, Outputs};

use super::load::Hands;
use super::{PinGrant, Purpose, UnknownLines};
use crate::files::config::{Error, unknown};
use crate::files::manifest::{Component, Trigger};
use crate::files::pins::{Direction, PinSettings};

/// The label of the chip that stands in on a machine without the board's.
pub const SIMULATED_CHIP: &str = "simulated";

/// The lines that the app uses.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Pins {
    /// Lines that are read or watched.
    pub inputs: Vec<Pin<InputOptions>>,
    /// Lines that are driven.
    pub outputs: Vec<Pin<OutputOptions>>,
}

impl Pins {
    /// The lines' names, as the board's file has them.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        let inputs = self.inputs.iter().map(|pin| &*pin.options.line.name);
        inputs.chain(self.outputs.iter().map(|pin| &*pin.options.line.name))
    }
}

/// A line and how it is used.
#[derive(Debug, Clone, PartialEq)]
pub struct Pin<T> {
    /// Where it is on the board's header, if the board says.
    pub header: Option<String>,
    /// The line, under the manifest's name, and its settings.
    pub options: T,
}

/// Where in the manifest a line is asked for.
pub(super) struct Place<'a> {
    line: u32,
    table: String,
    key: &'a str,
}

impl<'a> Place<'a> {
    pub(super) fn of_trigger(trigger: &Trigger) -> Self {
        Self { line: trigger.line, table: "[trigger.gpio]".into(), key: "line" }
    }

    fn of_grant(component: &Component) -> Self {
        let line = component.tool.lines.get("gpio").copied().unwrap_or(component.line);
        Self { line, table: format!("component.{}.tool.pirn", component.id), key: "gpio" }
    }

    fn error(&self, hands: &Hands<'_>, message: impl Into<Box<str>>) -> Error {
        Error::at(&hands.manifest.file, self.line, &self.table, self.key, message)
    }
}

/// What a trigger says of its line.
pub(super) struct Wish {
    pub(super) edges: Edges,
    pub(super) debounce: Option<Duration>,
    pub(super) bias: Option<Bias>,
}

impl Pins {
    /// The labels of the chips that the lines are on, each once.
    pub fn chip_labels(&self) -> Vec<&str> {
        let inputs = self.inputs.iter().map(|pin| &pin.options.line);
        let lines = inputs.chain(self.outputs.iter().map(|pin| &pin.options.line));
        let mut labels: Vec<&str> = lines.map(|line| line.chip_label.as_str()).collect();
        labels.sort_unstable();
        labels.dedup();
        labels
    }

    /// Names that the board does not have, while that is no error: the device's operator must know them.
    pub(super) fn warnings(&self, hands: &Hands<'_>) -> Vec<String> {
        let inputs = self.inputs.iter().map(|pin| &pin.options.line);
        let lines = inputs.chain(self.outputs.iter().map(|pin| &pin.options.line));
        let made_up = lines.filter(|line| line.chip_label == SIMULATED_CHIP);
        let names: Vec<&str> = made_up.map(|line| &*line.name).collect();
        if names.is_empty() || hands.board.chips.is_empty() {
            return Vec::new();
        }
        vec![format!(
            "the board {:?} has no line {}; the device needs [tool.pirn.gpio.NAME] tables in its runtime-config.toml",
            hands.board.name,
            names.join(", ")
        )]
    }

    /// Whether what the board and the operator say of all outputs together can be kept.
    pub(super) fn check(&self, hands: &Hands<'_>) -> Result<(), Error> {
        let outputs: Vec<_> = self.outputs.iter().map(|pin| pin.options.clone()).collect();
        let file = match hands.operator.gpio.is_empty() {
            true => format!("board {:?}", hands.board.name),
            false => hands.operator.file.to_string(),
        };
        Outputs::check(&outputs).map_err(|error| Error::about_file(file, error.to_string()))
    }

    /// The line that a trigger watches; its place among the inputs.
    pub(super) fn watch(
        &mut self,
        hands: &Hands<'_>,
        place: &Place<'_>,
        name: &str,
        wish: &Wish,
    ) -> Result<usize, Error> {
        let index = self.input(hands, place, name)?;
        let input = &mut self.inputs[index].options;
        let (debounce, bias) = (wish.debounce.or(input.debounce), wish.bias.unwrap_or(input.bias));
        let is_watched = input.edges != Edges::None;
        if is_watched && (debounce, bias) != (input.debounce, input.bias) {
            let message = format!(
                "another trigger of line {name:?} has another debounce or bias; a line has one of each"
            );
            return Err(place.error(hands, message));
        }
        (input.debounce, input.bias) = (debounce, bias);
        input.edges = match is_watched && input.edges != wish.edges {
            true => Edges::Both,
            false => wish.edges,
        };
        Ok(index)
    }

    /// What a component is granted: its wishes within the operator's policy, with a warning for what
    /// that takes away.
    pub(super) fn grants(
        &mut self,
        hands: &Hands<'_>,
        component: &Component,
        warnings: &mut Vec<String>,
    ) -> Result<BTreeMap<String, PinGrant>, Error> {
        let place = Place::of_grant(component);
        let mut granted = BTreeMap::new();
        for (name, direction) in &component.tool.gpio {
            let grant = match direction {
                Direction::Input => PinGrant::Input(self.input(hands, &place, name)?),
                Direction::Output => PinGrant::Output(self.output(hands, &place, name)?),
            };
            if permitted(hands, name) {
                granted.insert(name.clone(), grant);
            } else {
                let id = &component.id;
                warnings.push(format!(
                    "[component.{id}] gpio: line {name:?} is not granted by this device's policy"
                ));
            }
        }
        Ok(granted)
    }

    fn input(&mut self, hands: &Hands<'_>, place: &Place<'_>, name: &str) -> Result<usize, Error> {
        let known = self.inputs.iter().position(|pin| &*pin.options.line.name == name);
        if let Some(index) = known {
            return Ok(index);
        }
        let (line, header, settings) = self.resolve(hands, place, name)?;
        let options = InputOptions {
            line,
            edges: Edges::None,
            debounce: settings.debounce,
            bias: settings.bias.unwrap_or_default(),
            active: settings.active.unwrap_or_default(),
        };
        self.inputs.push(Pin { header, options });
        Ok(self.inputs.len() - 1)
    }

    fn output(&mut self, hands: &Hands<'_>, place: &Place<'_>, name: &str) -> Result<usize, Error> {
        let known = self.outputs.iter().position(|pin| &*pin.options.line.name == name);
        if let Some(index) = known {
            return Ok(index);
        }
        let (line, header, settings) = self.resolve(hands, place, name)?;
        let safe = settings.safe.unwrap_or(Level::Low);
        let options = OutputOptions {
            line,
            active: settings.active.unwrap_or_default(),
            initial: settings.initial.unwrap_or(safe),
            safe,
            toggles_per_second_max: settings.toggles_per_second_max,
            on_longest: settings.on_longest,
            group: settings.group,
        };
        self.outputs.push(Pin { header, options });
        Ok(self.outputs.len() - 1)
    }

    /// A line that is not in use yet, by name.
    fn resolve(
        &self,
        hands: &Hands<'_>,
        place: &Place<'_>,
        name: &str,
    ) -> Result<(LineId, Option<String>, PinSettings), Error> {
        let board = hands.board.gpio.get(name).cloned().unwrap_or_default();
        let settings = match hands.operator.gpio.get(name) {
            Some(operator) => operator.over(&board),
            None => board,
        };
        let own = settings.line.as_deref().unwrap_or(name);
        let found = hands.board.lines().find(|(_, known, _)| *known == own);
        let (line, header) = match found {
            Some((label, _, line)) => {
                let id = LineId {
                    name: name.into(),
                    chip_label: label.to_owned(),
                    kernel_names: line.kernel_names.clone(),
                    offset: line.offset,
                };
                (id, Some(line.pin.clone()))
            }
            None if simulates(hands) => (simulated(name, own), None),
            None => return Err(unknown_line(hands, place, own)),
        };
        self.check_free(hands, place, &line)?;
        Ok((line, header, settings))
    }

    /// A line has one name and one direction.
    fn check_free(&self, hands: &Hands<'_>, place: &Place<'_>, line: &LineId) -> Result<(), Error> {
        let inputs = self.inputs.iter().map(|pin| (&pin.options.line, "an input"));
        let outputs = self.outputs.iter().map(|pin| (&pin.options.line, "an output"));
        let is_same = |other: &LineId| {
            (&other.chip_label, &other.kernel_names, other.offset)
                == (&line.chip_label, &line.kernel_names, line.offset)
        };
        let Some((other, used)) = inputs.chain(outputs).find(|(other, _)| is_same(other)) else {
            return Ok(());
        };
        let message = match other.name == line.name {
            true => format!("line {:?} is {used} already; a line is one or the other", line.name),
            false => format!(
                "{:?} is the same line as {:?}, which is {used} already; use one name",
                line.name, other.name
            ),
        };
        Err(place.error(hands, message))
    }
}

/// Whether lines are made up as manifests name them: on the workbench, for a board that lists none, or
/// while an app is only looked at and the file in which the operator names lines is not at hand.
fn simulates(hands: &Hands<'_>) -> bool {
    let is_nobodys = hands.board.chips.is_empty()
        || (hands.files.purpose == Purpose::Inspect && hands.files.runtime_config.is_none());
    hands.files.unknown_lines == UnknownLines::Simulated && is_nobodys
}

fn simulated(name: &str, own: &str) -> LineId {
    LineId {
        name: name.into(),
        chip_label: SIMULATED_CHIP.to_owned(),
        kernel_names: vec![own.to_owned()],
        offset: None,
    }
}

fn permitted(hands: &Hands<'_>, name: &str) -> bool {
    hands.operator.policy.gpio.as_ref().is_none_or(|names| names.iter().any(|known| known == name))
}

/// A trigger's line must be granted, or the trigger could never fire.
pub(super) fn check_watched(hands: &Hands<'_>, place: &Place<'_>, name: &str) -> Result<(), Error> {
    match permitted(hands, name) {
        true => Ok(()),
        false => {
            let message = format!("line {name:?} is not granted by this device's policy");
            let help = format!("see gpio in [tool.pirn.policy] of {}", hands.operator.file);
            Err(place.error(hands, message).with_help(help))
        }
    }
}

fn unknown_line(hands: &Hands<'_>, place: &Place<'_>, name: &str) -> Error {
    let board = &hands.board;
    let named = board.gpio.keys().chain(hands.operator.gpio.keys()).map(String::as_str);
    let mut known: Vec<&str> = named.chain(board.lines().map(|(_, name, _)| name)).collect();
    known.sort_by_key(|name| (name.len(), *name));
    known.dedup();
    known.retain(|known| *known != name);
    let message = unknown("line", name, &known);
    let help = match known.is_empty() {
        true => format!(
            "the board {:?} lists no GPIO lines; name the board with --board, or list its chips in a board file",
            board.name
        ),
        false => format!("the board {:?} has: {}", board.name, known.join(", ")),
    };
    place.error(hands, message).with_help(help)
}
