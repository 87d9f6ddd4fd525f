//! `wasi:gpio`: lines that a component drives or reads, by the operator's names. What it may open, and
//! which way, is in its manifest; how an output may be driven is the board's and the operator's word,
//! kept below this, where the line is.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use pirn_triggers::gpio::{InputHandle, Level, Outputs};
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Door, Host};
use crate::engine::door::Answer;
use crate::engine::wire::wire;
use crate::plan::PinGrant;
use crate::report::{Report, Reporter};

wire! {
    /// `variant error-code`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum Error {
        /// Any, in a sentence.
        #[component(name = "other")]
        Other(String),
    }
}

wire! {
    /// `enum pin-state`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    pub enum PinState {
        /// Inactive.
        #[component(name = "low")]
        Low,
        /// Active.
        #[component(name = "high")]
        High,
    }
}

/// The app's lines, once they are open.
#[derive(Default)]
pub struct Lines {
    open: OnceLock<Open>,
}

struct Open {
    inputs: Vec<InputHandle>,
    outputs: Outputs,
}

impl Lines {
    /// Gives components what they were granted; in the order of the plan. The first call counts.
    pub fn open(&self, inputs: Vec<InputHandle>, outputs: Outputs) {
        let _ = self.open.set(Open { inputs, outputs });
    }

    fn outputs(&self) -> Result<&Outputs, Error> {
        self.open.get().map(|open| &open.outputs).ok_or_else(not_open)
    }
}

fn not_open() -> Error {
    Error::Other("the app's lines are not open".into())
}

/// What one component may open.
pub struct PinGrants {
    granted: BTreeMap<String, PinGrant>,
    lines: Arc<Lines>,
}

impl PinGrants {
    /// These, of the app's lines.
    pub fn new(granted: BTreeMap<String, PinGrant>, lines: Arc<Lines>) -> Self {
        Self { granted, lines }
    }

    /// Sets the component's outputs to their safe levels, and says so.
    pub fn make_safe(&self, component: &str, reporter: &dyn Reporter) {
        let Ok(outputs) = self.lines.outputs() else { return };
        let own = |(name, grant): (&String, &PinGrant)| match grant {
            PinGrant::Output(index) => Some((name.clone(), *index)),
            PinGrant::Input(_) => None,
        };
        let (names, indices): (Vec<String>, Vec<usize>) =
            self.granted.iter().filter_map(own).unzip();
        if names.is_empty() {
            return;
        }
        outputs.make_safe(&indices);
        let names = names.join(", ");
        reporter.report(&Report::Warning(&format!(
            "{component} keeps failing: its outputs ({names}) are set to their safe levels"
        )));
    }
}

/// An open output: it was granted when it was opened.
pub struct OutputPin(usize);
/// The same, with its level.
pub struct StatefulOutputPin(usize);
/// An open input.
pub struct InputPin(usize);

/// What both kinds of outputs are to the rest of this file.
trait Output: Send + 'static {
    fn at(index: usize) -> Self;
    fn index(&self) -> usize;
}

impl Output for OutputPin {
    fn at(index: usize) -> Self {
        Self(index)
    }
    fn index(&self) -> usize {
        self.0
    }
}

impl Output for StatefulOutputPin {
    fn at(index: usize) -> Self {
        Self(index)
    }
    fn index(&self) -> usize {
        self.0
    }
}

type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut digital = door.interface("wasi:gpio/digital@0.2.0")?;
    digital.resource::<OutputPin>("output-pin")?;
    digital.at_once("open-output", open_output::<OutputPin>)?;
    digital.at_once("[method]output-pin.set-low", set_low::<OutputPin>)?;
    digital.at_once("[method]output-pin.set-high", set_high::<OutputPin>)?;
    digital.at_once("[method]output-pin.set-state", set_state::<OutputPin>)?;

    digital.resource::<StatefulOutputPin>("stateful-output-pin")?;
    digital.at_once("open-stateful-output", open_output::<StatefulOutputPin>)?;
    digital.at_once("[method]stateful-output-pin.set-low", set_low::<StatefulOutputPin>)?;
    digital.at_once("[method]stateful-output-pin.set-high", set_high::<StatefulOutputPin>)?;
    digital.at_once("[method]stateful-output-pin.set-state", set_state::<StatefulOutputPin>)?;
    digital.at_once("[method]stateful-output-pin.is-set-high", is_set_high)?;
    digital.at_once("[method]stateful-output-pin.is-set-low", is_set_low)?;
    digital.at_once("[method]stateful-output-pin.toggle", toggle)?;

    digital.resource::<InputPin>("input-pin")?;
    digital.at_once("open-input", open_input)?;
    digital.at_once("[method]input-pin.is-high", is_high)?;
    digital.at_once("[method]input-pin.is-low", is_low)
}

/// The line of this name, if the component may use it this way.
fn granted(host: &Host, name: &str, way: &str) -> Result<PinGrant, Error> {
    let pins = &host.grants().pins;
    match pins.granted.get(name) {
        Some(grant) if way == grant.way() => Ok(*grant),
        Some(grant) => {
            let is = grant.way();
            Err(Error::Other(format!("line {name:?} is granted as an {is}, not as an {way}")))
        }
        None => {
            let known: Vec<&str> = pins.granted.keys().map(String::as_str).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Err(Error::Other(format!(
                "line {name:?} is not granted to this component; granted: {known}"
            )))
        }
    }
}

fn keep<T: Send + 'static>(host: &Host, pin: T) -> Result<Resource<T>, Error> {
    host.try_push(pin).ok_or_else(|| Error::Other("too many open handles".into()))
}

fn open_output<T: Output>(host: &Host, (name,): (String,)) -> Of<Resource<T>> {
    let opened = granted(host, &name, "output").and_then(|grant| match grant {
        PinGrant::Output(index) => keep(host, T::at(index)),
        PinGrant::Input(_) => Err(not_open()),
    });
    Ok((opened,))
}

fn open_input(host: &Host, (name,): (String,)) -> Of<Resource<InputPin>> {
    let opened = granted(host, &name, "input").and_then(|grant| match grant {
        PinGrant::Input(index) => keep(host, InputPin(index)),
        PinGrant::Output(_) => Err(not_open()),
    });
    Ok((opened,))
}

fn drive<T: Output>(host: &Host, pin: &Resource<T>, level: Level) -> Of<()> {
    let index = host.with(pin, |pin| pin.index())?;
    let set = |outputs: &Outputs| outputs.set(index, level).map_err(sentence);
    Ok((host.grants().pins.lines.outputs().and_then(set),))
}

fn sentence(error: impl std::fmt::Display) -> Error {
    Error::Other(error.to_string())
}

fn set_low<T: Output>(host: &Host, (pin,): (Resource<T>,)) -> Of<()> {
    drive(host, &pin, Level::Low)
}

fn set_high<T: Output>(host: &Host, (pin,): (Resource<T>,)) -> Of<()> {
    drive(host, &pin, Level::High)
}

fn set_state<T: Output>(host: &Host, (pin, state): (Resource<T>, PinState)) -> Of<()> {
    let level = if state == PinState::High { Level::High } else { Level::Low };
    drive(host, &pin, level)
}

fn is_set(host: &Host, pin: &Resource<StatefulOutputPin>, level: Level) -> Of<bool> {
    let index = host.with(pin, |pin| pin.0)?;
    let outputs = host.grants().pins.lines.outputs();
    Ok((outputs.and_then(|outputs| Ok(outputs.level(index).map_err(sentence)? == level)),))
}

fn is_set_high(host: &Host, (pin,): (Resource<StatefulOutputPin>,)) -> Of<bool> {
    is_set(host, &pin, Level::High)
}

fn is_set_low(host: &Host, (pin,): (Resource<StatefulOutputPin>,)) -> Of<bool> {
    is_set(host, &pin, Level::Low)
}

fn toggle(host: &Host, (pin,): (Resource<StatefulOutputPin>,)) -> Of<()> {
    let index = host.with(&pin, |pin| pin.0)?;
    let toggle = |outputs: &Outputs| outputs.toggle(index).map(drop).map_err(sentence);
    Ok((host.grants().pins.lines.outputs().and_then(toggle),))
}

fn reads(host: &Host, pin: &Resource<InputPin>, level: Level) -> Of<bool> {
    let index = host.with(pin, |pin| pin.0)?;
    let open = host.grants().pins.lines.open.get();
    let input = open.and_then(|open| open.inputs.get(index)).ok_or_else(not_open);
    Ok((input.and_then(|input| Ok(input.level().map_err(sentence)? == level)),))
}

fn is_high(host: &Host, (pin,): (Resource<InputPin>,)) -> Of<bool> {
    reads(host, &pin, Level::High)
}

fn is_low(host: &Host, (pin,): (Resource<InputPin>,)) -> Of<bool> {
    reads(host, &pin, Level::Low)
}
