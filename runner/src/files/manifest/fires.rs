//! What fires a trigger that needs no broker: `[[trigger.timer]]`, `[[trigger.cron]]`,
//! `[[trigger.gpio]]`, `[[trigger.command]]`, `[[trigger.redis]]`.

use std::time::Duration;

use pirn_triggers::gpio::Edges;
use pirn_triggers::redis::Address;
use pirn_triggers::time::{Cron, First, Interval, IntervalError, Zone};

use super::read::Reader;
use super::{Durable, FirstTick, Template, TriggerKind};
use crate::files::config::{Error, Table, Value};
use crate::files::pins;
use crate::limits::time as limits;

pub(super) const TIMER_KEYS: &[&str] =
    &["id", "component", "interval", "interval_secs", "first", "jitter", "durable"];
pub(super) const CRON_KEYS: &[&str] =
    &["id", "component", "cron_expression", "timezone", "durable"];
pub(super) const GPIO_KEYS: &[&str] =
    &["id", "component", "line", "edge", "debounce", "bias", "durable"];

pub(super) const COMMAND_KEYS: &[&str] = &["id", "component"];

pub(super) const REDIS_KEYS: &[&str] = &["id", "component", "channel", "address"];

pub(super) fn timer(table: &Table<'_>) -> Result<TriggerKind, Error> {
    let (key, interval) = interval(table)?;
    let first = table.get("first").map(|value| first(&value)).transpose()?;
    let jitter = table.duration("jitter")?.unwrap_or_default();
    let asked = Interval { every: interval, first: First::AfterInterval, jitter };
    asked.check().map_err(|error| match error {
        IntervalError::Every(_) => table.error(key, error.to_string()),
        IntervalError::Jitter { .. } => table.error("jitter", error.to_string()),
    })?;
    Ok(TriggerKind::Timer { interval, first: first.unwrap_or(FirstTick::AfterInterval), jitter })
}

/// Spin's timer has `interval_secs`; `interval` is for what is shorter than a second, or easier to read.
fn interval<'k>(table: &Table<'_>) -> Result<(&'k str, Duration), Error> {
    let both = r#"write one of interval = "250ms" and interval_secs = 5"#;
    let (key, time) = match (table.has("interval"), table.has("interval_secs")) {
        (true, true) => {
            return Err(table
                .error("interval", "given twice, as interval_secs too")
                .with_help(both));
        }
        (true, false) => ("interval", table.duration("interval")?.unwrap_or_default()),
        (false, _) => {
            let secs = table.number("interval_secs", 1, u32::MAX)?.ok_or_else(|| {
                table.error("interval", "missing: the time from tick to tick").with_help(both)
            })?;
            ("interval_secs", Duration::from_secs(secs.into()))
        }
    };
    Ok((key, time))
}

/// When what is published for the trigger's events has to be on disk.
pub(super) fn durable(table: &Table<'_>) -> Result<Durable, Error> {
    let words = [("at-once", Durable::AtOnce), ("late", Durable::Late)];
    let word = table.get("durable").map(|value| pins::word(&value, "durability", &words));
    word.transpose().map(Option::unwrap_or_default)
}

fn first(value: &Value<'_>) -> Result<FirstTick, Error> {
    let words = [("at-once", FirstTick::AtOnce), ("after-interval", FirstTick::AfterInterval)];
    pins::word(value, "first tick", &words)
}

pub(super) fn cron(table: &Table<'_>) -> Result<TriggerKind, Error> {
    let value = table.require("cron_expression", "when, like \"0 30 6 * * *\", seconds first")?;
    let expression = value.string()?;
    // The zone is looked up on the device, which is where its rules are.
    Cron::parse(expression, &Zone::utc(), limits::CLOCK_NOT_BEFORE)
        .map_err(|error| value.error(format!("{expression:?}: {error}")))?;
    let zone = table.string("timezone")?.filter(|zone| *zone != "UTC").map(str::to_owned);
    Ok(TriggerKind::Cron { expression: expression.to_owned(), zone })
}

pub(super) fn gpio(table: &Table<'_>) -> Result<TriggerKind, Error> {
    let line = table.require("line", "the line's name, from the board's or the operator's file")?;
    if line.string()?.is_empty() {
        return Err(line.error("a line's name cannot be empty"));
    }
    let words = [("rising", Edges::Rising), ("falling", Edges::Falling), ("both", Edges::Both)];
    let edges = table.get("edge").map(|value| pins::word(&value, "edge", &words)).transpose()?;
    Ok(TriggerKind::Gpio {
        line: line.string()?.to_owned(),
        edges: edges.unwrap_or(Edges::Both),
        debounce: pins::debounce(table)?,
        bias: table.get("bias").map(|value| pins::bias(&value)).transpose()?,
    })
}

pub(super) fn redis(reader: &Reader<'_>, table: &Table<'_>) -> Result<TriggerKind, Error> {
    let channel = table.require("channel", "the channel to subscribe to")?;
    let address = table.get("address").map(|value| redis_address(reader, &value)).transpose()?;
    let written = reader.template(&channel)?;
    match written.literal() {
        Some("") => Err(channel.error("a channel's name cannot be empty")),
        _ => Ok(TriggerKind::Redis { channel: written, address }),
    }
}

/// A server's address; one that is written out is checked here.
pub(super) fn redis_address(reader: &Reader<'_>, value: &Value<'_>) -> Result<Template, Error> {
    let template = reader.template(value)?;
    if let Some(literal) = template.literal() {
        // It may hold a password: not shown.
        Address::parse(literal).map_err(|error| value.error(error.to_string()))?;
    }
    Ok(template)
}
