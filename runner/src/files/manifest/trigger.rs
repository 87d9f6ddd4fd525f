//! `[[trigger.<type>]]`: what fires which component.

use std::collections::{BTreeMap, BTreeSet};

use pirn_triggers::mqtt::Qos;

use super::read::Reader;
use super::{
    Component, StaticRoute, TopicFilter, Trigger, TriggerKind, component, fires, http, id,
};
use crate::files::config::{Error, Table, Value, unknown};

/// Types that this build offers.
const OFFERED: &[&str] = &["command", "cron", "gpio", "http", "mqtt", "redis", "timer"];

/// Types that are known to exist, here later or in Spin: not a typo, so not to be corrected.
const KNOWN_ELSEWHERE: &[&str] = &["sqs"];

pub(super) fn triggers(
    reader: &mut Reader<'_>,
    root: &Table<'_>,
    components: &mut BTreeMap<String, Box<Component>>,
) -> Result<(Vec<Trigger>, Vec<StaticRoute>), Error> {
    let written = written(root)?;
    let mut names = Names::of_explicit(&written)?;
    let mut triggers = Vec::with_capacity(written.len());
    let mut static_routes = Vec::new();
    for (kind, table) in &written {
        if kind == "http"
            && let Some(route) = http::static_route(&table.clone().only(http::KEYS)?)?
        {
            static_routes.push(route);
            continue;
        }
        triggers.push(trigger(reader, kind, table, components, &mut names)?);
    }
    Ok((triggers, static_routes))
}

const MQTT_KEYS: &[&str] = &["id", "component", "topic", "qos"];

/// All trigger tables with their types, in the order of the file.
fn written<'a>(root: &Table<'a>) -> Result<Vec<(String, Table<'a>)>, Error> {
    const NONE: &str = "an app needs at least one trigger";
    const HELP: &str = "write one: [[trigger.mqtt]]";
    let none = || root.error("trigger", NONE).with_help(HELP);
    let types = root.table("trigger")?.ok_or_else(none)?;
    let mut tables = Vec::new();
    for entry in types.entries() {
        check_type(&entry)?;
        if entry.is_table() {
            let help = format!("write it with two brackets: [[trigger.{}]]", entry.key);
            return Err(entry.error("expected a list of tables, found a table").with_help(help));
        }
        for element in entry.list()? {
            tables.push((entry.key.clone(), element.table()?));
        }
    }
    tables.sort_by_key(|(_, table)| table.line());
    match tables.is_empty() {
        true => Err(none()),
        false => Ok(tables),
    }
}

fn check_type(entry: &Value<'_>) -> Result<(), Error> {
    let kind = entry.key.as_str();
    if OFFERED.contains(&kind) {
        return Ok(());
    }
    let message = match KNOWN_ELSEWHERE.contains(&kind) {
        true => format!("trigger type {kind:?} is not supported by this build yet"),
        false => unknown("trigger type", kind, OFFERED),
    };
    Err(entry.error(message).with_help(format!("this build offers: {}", OFFERED.join(", "))))
}

fn trigger(
    reader: &mut Reader<'_>,
    kind: &str,
    table: &Table<'_>,
    components: &mut BTreeMap<String, Box<Component>>,
    names: &mut Names,
) -> Result<Trigger, Error> {
    let keys = match kind {
        "timer" => fires::TIMER_KEYS,
        "cron" => fires::CRON_KEYS,
        "gpio" => fires::GPIO_KEYS,
        "http" => http::KEYS,
        "command" => fires::COMMAND_KEYS,
        "redis" => fires::REDIS_KEYS,
        _ => MQTT_KEYS,
    };
    let table = table.clone().only(keys)?;
    let written = table.require("component", "the component that takes the events")?;
    let (id, component) = match written.is_string() {
        true => {
            let component = reference(&written, components)?;
            (names.trigger(&table, kind, Some(&component))?, component)
        }
        false => {
            let id = names.trigger(&table, kind, None)?;
            let component = inline(reader, &written, &id, components)?;
            (id, component)
        }
    };
    let fires = match kind {
        "timer" => fires::timer(&table)?,
        "cron" => fires::cron(&table)?,
        "gpio" => fires::gpio(&table)?,
        "http" => http::trigger(&table)?,
        "command" => TriggerKind::Command,
        "redis" => fires::redis(reader, &table)?,
        _ => mqtt(reader, &table)?,
    };
    let durable = fires::durable(&table)?;
    Ok(Trigger { id, component, kind: fires, durable, line: table.line() })
}

/// The id of a component that exists.
fn reference(
    value: &Value<'_>,
    components: &BTreeMap<String, Box<Component>>,
) -> Result<String, Error> {
    let id = value.string()?;
    if components.contains_key(id) {
        return Ok(id.to_owned());
    }
    let known: Vec<&str> = components.keys().map(String::as_str).collect();
    let help = match known.as_slice() {
        [] => "the manifest has no components; write one: [component.my-component]".to_owned(),
        _ => format!("components: {}", known.join(", ")),
    };
    Err(value.error(unknown("component", id, &known)).with_help(help))
}

/// A component that is written inside its trigger gets an id and stands among the others.
fn inline(
    reader: &mut Reader<'_>,
    value: &Value<'_>,
    trigger_id: &str,
    components: &mut BTreeMap<String, Box<Component>>,
) -> Result<String, Error> {
    if !value.is_table() {
        return Err(value.expected("a component's id, or a component as a table"));
    }
    let natural = format!("{trigger_id}-component");
    let free = |id: &String| id::is_kebab(id) && !components.contains_key(id);
    let mut numbered = (1_u32..).map(|number| format!("inline-component{number}"));
    let id = Some(natural).filter(&free).or_else(|| numbered.find(free)).unwrap_or_default();
    let component = component::component(reader, &id, &value.table()?)?;
    components.insert(id.clone(), Box::new(component));
    Ok(id)
}

fn mqtt(reader: &Reader<'_>, table: &Table<'_>) -> Result<TriggerKind, Error> {
    let value = table.require("topic", "the topic filter to subscribe to")?;
    let topic = reader.template(&value)?;
    if let Some(literal) = topic.literal() {
        TopicFilter::parse(literal).map_err(|error| value.error(error.to_string()))?;
    }
    // Spin demands it; without it nothing should be lost.
    let qos = table.get("qos").map(|value| qos(&value)).transpose()?.unwrap_or(Qos::AtLeastOnce);
    Ok(TriggerKind::Mqtt { topic, qos })
}

/// `"0"`, `"1"`, `"2"`, or the numbers.
pub(super) fn qos(value: &Value<'_>) -> Result<Qos, Error> {
    let number = value.integer().or_else(|| value.string().ok()?.trim().parse().ok());
    match number {
        Some(0) => Ok(Qos::AtMostOnce),
        Some(1) => Ok(Qos::AtLeastOnce),
        Some(2) => Ok(Qos::ExactlyOnce),
        _ => Err(value.error("unknown quality of service").with_help(r#"allowed: "0", "1", "2""#)),
    }
}

/// Ids of triggers: as written, or made so that they are unique.
struct Names {
    taken: BTreeSet<String>,
}

impl Names {
    fn of_explicit(written: &[(String, Table<'_>)]) -> Result<Self, Error> {
        let mut taken = BTreeSet::new();
        for (_, table) in written {
            let Some(id) = table.string("id")? else {
                continue;
            };
            if id.trim().is_empty() {
                return Err(
                    table.error("id", "an id cannot be empty; leave it out to have one made")
                );
            }
            if !taken.insert(id.to_owned()) {
                return Err(table.error("id", format!("two triggers have the id {id:?}")));
            }
        }
        Ok(Self { taken })
    }

    fn trigger(
        &mut self,
        table: &Table<'_>,
        kind: &str,
        component: Option<&str>,
    ) -> Result<String, Error> {
        if let Some(id) = table.string("id")? {
            return Ok(id.to_owned());
        }
        let natural = component.map(|component| format!("{component}-{kind}-trigger"));
        let mut numbered = (1_u32..).map(|number| format!("{kind}-trigger{number}"));
        let free = |id: &String| !self.taken.contains(id);
        let id = natural.filter(free).or_else(|| numbered.find(free)).unwrap_or_default();
        self.taken.insert(id.clone());
        Ok(id)
    }
}
