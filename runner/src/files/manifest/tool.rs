//! `[component.<id>.tool.pirn]`: what a component asks of the board, where Spin does not look; `[application.tool.pirn]`:
//! what they all may use together.

use std::collections::BTreeMap;

use super::application::pirn_table;
use super::{ComponentTool, EngineChoice, TopicFilter};
use crate::files::config::{Bytes, Error, Rate, Seconds, Table, Value};
use crate::files::pins;
use crate::limits::sqlite::DATABASE_BYTES_MIN;
use crate::limits::{
    ATTEMPTS_MAX, DEADLINE_MAX, DEADLINE_MIN, INSTANCES_MAX, MEMORY_BYTES_MAX, MEMORY_BYTES_MIN,
};

/// `[application.tool.pirn]`: what all components of the app may use together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ApplicationTool {
    /// Memory of all its instances.
    pub memory_bytes: Option<u64>,
    /// Instances at the same time.
    pub instances: Option<u32>,
    /// Events in a period.
    pub rate: Option<Rate>,
    /// Bytes of key-value data, over all its stores.
    pub state_bytes: Option<u64>,
    /// The line of each key that is there, for errors that only the board can find.
    pub lines: BTreeMap<&'static str, u32>,
}

const KEYS: &[&str] = &[
    "memory",
    "deadline",
    "rate",
    "instances",
    "state",
    "database",
    "log_rate",
    "attempts_max",
    "engine",
    "mqtt_topics",
    "gpio",
];

/// What may stand in `[application.tool.pirn]`; the session's settings are read elsewhere.
pub(super) const APPLICATION_KEYS: &[&str] =
    &["mqtt", "http", "memory", "instances", "rate", "state"];

pub(super) fn application_tool(application: &Table<'_>) -> Result<ApplicationTool, Error> {
    let Some(table) = pirn_table(application)? else {
        return Ok(ApplicationTool::default());
    };
    let table = table.only(APPLICATION_KEYS)?;
    Ok(ApplicationTool {
        memory_bytes: memory(&table, "memory")?,
        instances: table.number("instances", 1, INSTANCES_MAX)?,
        rate: table.rate("rate")?,
        state_bytes: table.bytes("state")?,
        lines: lines(&table, APPLICATION_KEYS),
    })
}

/// Where each key stands that is there.
fn lines(table: &Table<'_>, keys: &[&'static str]) -> BTreeMap<&'static str, u32> {
    keys.iter().filter_map(|key| Some((*key, table.get(key)?.line()))).collect()
}

pub(super) fn component_tool(component: &Table<'_>) -> Result<ComponentTool, Error> {
    let Some(table) = pirn_table(component)? else {
        return Ok(ComponentTool::default());
    };
    let table = table.only(KEYS)?;
    Ok(ComponentTool {
        memory_bytes: memory(&table, "memory")?,
        deadline: deadline(&table, "deadline")?,
        rate: table.rate("rate")?,
        instances: table.number("instances", 1, INSTANCES_MAX)?,
        log_rate: table.rate("log_rate")?,
        attempts_max: table.number("attempts_max", 1, ATTEMPTS_MAX)?,
        state_bytes: table.bytes("state")?,
        database_bytes: database_bytes(&table, "database")?,
        engine: table.get("engine").map(|value| engine(&value)).transpose()?.unwrap_or_default(),
        mqtt_topics: table.get("mqtt_topics").map(|value| topics(&value)).transpose()?,
        gpio: table.table("gpio")?.map(pins::grants).transpose()?.unwrap_or_default(),
        lines: lines(&table, KEYS),
    })
}

/// A size that a linear memory can have.
pub(crate) fn memory(table: &Table<'_>, key: &str) -> Result<Option<u64>, Error> {
    let bytes = table.bytes(key)?;
    match bytes {
        Some(bytes) if !(MEMORY_BYTES_MIN..=MEMORY_BYTES_MAX).contains(&bytes) => {
            let (least, most) = (Bytes(MEMORY_BYTES_MIN), Bytes(MEMORY_BYTES_MAX));
            Err(table.error(key, format!("must be from {least} to {most}")))
        }
        _ => Ok(bytes),
    }
}

/// A size that a database can have.
pub(crate) fn database_bytes(table: &Table<'_>, key: &str) -> Result<Option<u64>, Error> {
    let bytes = table.bytes(key)?;
    match bytes {
        Some(bytes) if bytes < DATABASE_BYTES_MIN => {
            Err(table.error(key, format!("at least {}", Bytes(DATABASE_BYTES_MIN))))
        }
        _ => Ok(bytes),
    }
}

/// A time that an event can take.
pub(crate) fn deadline(table: &Table<'_>, key: &str) -> Result<Option<std::time::Duration>, Error> {
    let time = table.duration(key)?;
    match time {
        Some(time) if !(DEADLINE_MIN..=DEADLINE_MAX).contains(&time) => {
            let (least, most) = (Seconds(DEADLINE_MIN), Seconds(DEADLINE_MAX));
            Err(table.error(key, format!("must be from {least} to {most}")))
        }
        _ => Ok(time),
    }
}

fn engine(value: &Value<'_>) -> Result<EngineChoice, Error> {
    const ENGINES: &[&str] = &["auto", "native", "pulley", "interpreted"];
    match value.string()? {
        "auto" => Ok(EngineChoice::Auto),
        "native" => Ok(EngineChoice::Native),
        "pulley" => Ok(EngineChoice::Pulley),
        "interpreted" => Ok(EngineChoice::Interpreted),
        other => {
            let error = value.error(crate::files::config::unknown("engine", other, ENGINES));
            Err(error.with_help(format!("this build offers: {ENGINES:?}").replace(['[', ']'], "")))
        }
    }
}

/// A list of topic filters that are not templates: grants must be readable in the file.
pub(crate) fn topics(value: &Value<'_>) -> Result<Vec<TopicFilter>, Error> {
    let filter = |value: &Value<'_>| {
        let text = value.string()?;
        TopicFilter::parse(text).map_err(|error| value.error(format!("{text:?}: {error}")))
    };
    value.list()?.iter().map(filter).collect()
}
