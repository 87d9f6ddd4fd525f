//! GPIO lines in configuration: what the board file's `[gpio.<NAME>]` and the operator's
//! `[tool.pirn.gpio.<NAME>]` say of a line. Levels are what guests see: `high` is active, whatever the
//! wiring.

use std::collections::BTreeMap;
use std::time::Duration;

use pirn_triggers::gpio::{Active, Bias, Level};

use crate::files::config::{Error, Seconds, Table, Value, unknown};
use pirn_triggers::limits::gpio as limits;

/// Which way a line is used. No line is used both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Read.
    Input,
    /// Driven.
    Output,
}

/// What one file says of one line; absent means no opinion.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PinSettings {
    /// The board's line, if this name is another one for it.
    pub line: Option<String>,
    /// The physical level that counts as high.
    pub active: Option<Active>,
    /// What pulls the line while nobody drives it.
    pub bias: Option<Bias>,
    /// Changes of an input shorter than this do not count.
    pub debounce: Option<Duration>,
    /// An output's level when the app starts.
    pub initial: Option<Level>,
    /// An output's level when the app stops or fails.
    pub safe: Option<Level>,
    /// Most changes of an output in any second.
    pub toggles_per_second_max: Option<u32>,
    /// How long an output may be high without a break.
    pub on_longest: Option<Duration>,
    /// Outputs of one group are never high together.
    pub group: Option<String>,
}

const KEYS: &[&str] = &[
    "line",
    "active",
    "bias",
    "debounce",
    "initial",
    "safe",
    "toggles_per_second_max",
    "on_longest",
    "group",
];

impl PinSettings {
    /// The operator's word over the board's; of two limits the narrower.
    pub(crate) fn over(&self, board: &Self) -> Self {
        let narrower = |a: Option<Duration>, b: Option<Duration>| a.into_iter().chain(b).min();
        let toggles = self.toggles_per_second_max.into_iter().chain(board.toggles_per_second_max);
        Self {
            line: self.line.clone().or_else(|| board.line.clone()),
            active: self.active.or(board.active),
            bias: self.bias.or(board.bias),
            debounce: self.debounce.or(board.debounce),
            initial: self.initial.or(board.initial),
            safe: self.safe.or(board.safe),
            toggles_per_second_max: toggles.min(),
            on_longest: narrower(self.on_longest, board.on_longest),
            group: self.group.clone().or_else(|| board.group.clone()),
        }
    }
}

/// A table of tables by the lines' names.
pub(crate) fn pins(table: Option<Table<'_>>) -> Result<BTreeMap<String, PinSettings>, Error> {
    let mut pins = BTreeMap::new();
    for entry in table.iter().flat_map(Table::entries) {
        pins.insert(entry.key.clone(), settings(&entry.table()?)?);
    }
    Ok(pins)
}

fn settings(table: &Table<'_>) -> Result<PinSettings, Error> {
    let table = table.clone().only(KEYS)?;
    Ok(PinSettings {
        line: table.string("line")?.map(str::to_owned),
        active: table.get("active").map(|value| active(&value)).transpose()?,
        bias: table.get("bias").map(|value| bias(&value)).transpose()?,
        debounce: debounce(&table)?,
        initial: table.get("initial").map(|value| level(&value)).transpose()?,
        safe: table.get("safe").map(|value| level(&value)).transpose()?,
        toggles_per_second_max: table.number(
            "toggles_per_second_max",
            1,
            limits::TOGGLES_PER_SECOND_CEILING,
        )?,
        on_longest: table.duration("on_longest")?,
        group: table.string("group")?.map(str::to_owned),
    })
}

/// One of a few words.
pub(crate) fn word<T: Copy>(
    value: &Value<'_>,
    what: &str,
    words: &[(&str, T)],
) -> Result<T, Error> {
    let written = value.string()?;
    let found = words.iter().find(|(word, _)| *word == written);
    found.map(|(_, meaning)| *meaning).ok_or_else(|| {
        let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        let help = format!("allowed: {}", known.join(", "));
        value.error(unknown(what, written, &known)).with_help(help)
    })
}

fn active(value: &Value<'_>) -> Result<Active, Error> {
    word(value, "level", &[("high", Active::High), ("low", Active::Low)])
}

fn level(value: &Value<'_>) -> Result<Level, Error> {
    word(value, "level", &[("low", Level::Low), ("high", Level::High)])
}

/// `bias = "pull-up"`.
pub(crate) fn bias(value: &Value<'_>) -> Result<Bias, Error> {
    let words = [
        ("as-is", Bias::AsIs),
        ("pull-up", Bias::PullUp),
        ("pull-down", Bias::PullDown),
        ("disabled", Bias::Disabled),
    ];
    word(value, "bias", &words)
}

/// `debounce = "30ms"`.
pub(crate) fn debounce(table: &Table<'_>) -> Result<Option<Duration>, Error> {
    let time = table.duration("debounce")?;
    match time {
        Some(time) if time > limits::DEBOUNCE_MAX => {
            let most = Seconds(limits::DEBOUNCE_MAX);
            Err(table.error("debounce", format!("must be at most {most}")))
        }
        _ => Ok(time),
    }
}

/// `gpio = { LAMP = "output" }`.
pub(crate) fn grants(table: Table<'_>) -> Result<BTreeMap<String, Direction>, Error> {
    let words = [("input", Direction::Input), ("output", Direction::Output)];
    let grant = |entry: &Value<'_>| Ok((entry.key.clone(), word(entry, "direction", &words)?));
    table.entries().iter().map(grant).collect()
}
