//! A board file as written → [`Board`].

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::{
    AppBounds, ArtifactKind, Board, BoardMemory, Bound, Chip, ComponentBounds, Line, Overcommit,
};
use crate::files::config::{Bytes, Document, Error, Rate, Seconds, Table, Value, unknown};
use crate::files::manifest::{database_bytes, deadline, memory};
use crate::files::pins;
use crate::limits::INSTANCES_MAX;
use crate::limits::bounds::{OutboxBounds, WhenFull};
use crate::limits::engine::STACK_BYTES_MIN;
use crate::limits::gpio::LINE_OFFSET_MAX;
use crate::limits::outbox::BYTES_CEILING;
use crate::limits::sqlite::{DATABASE_BYTES_DEFAULT, DATABASE_BYTES_MAX};

pub(super) fn board(file: &str, name: &str, text: &str) -> Result<Board, Error> {
    let document = Document::parse(file, text)?;
    let root = document.root().only(&[
        "description",
        "target",
        "artifact",
        "memory",
        "run",
        "component",
        "app",
        "chip",
        "gpio",
        "clock",
        "outbox",
    ])?;
    let string = |key, what: &str| root.require(key, what)?.string().map(str::to_owned);
    let board = Board {
        name: name.to_owned(),
        description: string("description", "what the board is, in a line")?,
        target: string("target", "the Rust target of pirnd for it")?,
        artifact: artifact(&root.require("artifact", "what components are compiled to")?)?,
        memory: board_memory(&table(&root, "memory")?)?,
        component: component(&table(&root, "component")?)?,
        app: root.table("app")?.map(app).transpose()?.unwrap_or_default(),
        instances_max: instances(&table(&root, "run")?)?,
        chips: chips(&root)?,
        gpio: pins::pins(root.table("gpio")?)?,
        outbox: root.table("outbox")?.map(outbox).transpose()?.unwrap_or_default(),
        clock_not_before: root.table("clock")?.map(clock).transpose()?.flatten(),
    };
    check_gpio(&root, &board)?;
    check_sum(&root, &board)?;
    Ok(board)
}

/// `[outbox]`: every key is optional.
fn outbox(table: Table<'_>) -> Result<OutboxBounds, Error> {
    let table = table.only(&["slow_after", "bytes", "age", "when_full"])?;
    let mut bounds = OutboxBounds::default();
    bounds.slow_after = table.duration("slow_after")?.unwrap_or(bounds.slow_after);
    bounds.bytes_max = table.bytes("bytes")?.unwrap_or(bounds.bytes_max);
    if bounds.bytes_max > BYTES_CEILING {
        let most = Bytes(BYTES_CEILING);
        return Err(table.error("bytes", format!("at most {most} may be kept")));
    }
    bounds.age_max = table.duration("age")?.unwrap_or(bounds.age_max);
    if let Some(value) = table.get("when_full") {
        bounds.when_full = match value.string()? {
            "refuse" => WhenFull::Refuse,
            "oldest" => WhenFull::DropOldest,
            other => {
                let kinds = &["refuse", "oldest"];
                let error = value.error(unknown("policy", other, kinds));
                return Err(error.with_help(
                    "\"refuse\" tells the component, \"oldest\" drops what waits longest",
                ));
            }
        };
    }
    Ok(bounds)
}

fn table<'a>(root: &Table<'a>, key: &str) -> Result<Table<'a>, Error> {
    root.require(key, &format!("the table [{key}]"))?.table()
}

fn artifact(value: &Value<'_>) -> Result<ArtifactKind, Error> {
    const KINDS: &[&str] = &["native", "pulley32", "pulley64", "wasm"];
    match value.string()? {
        "native" => Ok(ArtifactKind::Native),
        "pulley32" => Ok(ArtifactKind::Pulley32),
        "pulley64" => Ok(ArtifactKind::Pulley64),
        "wasm" => Ok(ArtifactKind::Wasm),
        other => {
            let error = value.error(unknown("artifact kind", other, KINDS));
            Err(error.with_help(format!("allowed: {}", KINDS.join(", "))))
        }
    }
}

fn board_memory(table: &Table<'_>) -> Result<BoardMemory, Error> {
    let table = table.clone().only(&["budget", "host", "stack", "overcommit"])?;
    let bytes = |key, what: &str| {
        table.require(key, what).and_then(|_| table.bytes(key)).map(Option::unwrap_or_default)
    };
    let memory = BoardMemory {
        budget_bytes: bytes("budget", "the bytes that the whole process may use")?,
        host_bytes: bytes("host", "the bytes set aside for pirnd itself")?,
        stack_bytes: bytes("stack", "the stack of one instance")?,
        overcommit: table
            .get("overcommit")
            .map(|value| overcommit(&value))
            .transpose()?
            .unwrap_or_default(),
    };
    if memory.stack_bytes < STACK_BYTES_MIN {
        let message = format!("expected {} or more", Bytes(STACK_BYTES_MIN));
        return Err(table.error("stack", message));
    }
    Ok(memory)
}

fn overcommit(value: &Value<'_>) -> Result<Overcommit, Error> {
    match value.string()? {
        "none" => Ok(Overcommit::None),
        "admit" => Ok(Overcommit::Admit),
        other => {
            let error = value.error(unknown("policy", other, &["none", "admit"]));
            Err(error.with_help(
                "\"none\" counts at the start whatever can be alive together, \"admit\" lets instances wait for memory",
            ))
        }
    }
}

fn instances(table: &Table<'_>) -> Result<u32, Error> {
    let table = table.clone().only(&["instances_max"])?;
    let value =
        table.require("instances_max", "how many instances may be alive at the same time")?;
    value.number(1, INSTANCES_MAX)
}

fn component(table: &Table<'_>) -> Result<ComponentBounds, Error> {
    let table = table.clone().only(&["memory", "deadline", "rate", "state", "database"])?;
    Ok(ComponentBounds {
        memory_bytes: bytes(&table, "memory", memory)?,
        deadline: bound(
            &table,
            "deadline",
            deadline,
            |a, b| a > b,
            |time: &Duration| Seconds(*time).to_string(),
        )?,
        rate: rate(&table, "rate")?,
        state_bytes: bytes(&table, "state", |table, key| table.bytes(key))?,
        database_bytes: database(&table)?,
    })
}

/// Boards that say nothing of databases have room for some.
fn database(table: &Table<'_>) -> Result<Bound<u64>, Error> {
    match table.has("database") {
        true => bytes(table, "database", database_bytes),
        false => Ok(Bound { default: DATABASE_BYTES_DEFAULT, max: DATABASE_BYTES_MAX }),
    }
}

/// `[app]`: every key is optional.
fn app(table: Table<'_>) -> Result<AppBounds, Error> {
    let table = table.only(&["memory", "instances", "rate", "state"])?;
    let size = |table: &Table<'_>, key: &str| table.bytes(key);
    let number = |table: &Table<'_>, key: &str| table.number(key, 1, INSTANCES_MAX);
    let instances =
        |key| bound(&table, key, number, |a, b| a > b, |number: &u32| number.to_string());
    let has = |key| table.get(key).map(|_| key);
    Ok(AppBounds {
        memory_bytes: has("memory").map(|key| bytes(&table, key, memory)).transpose()?,
        instances: has("instances").map(instances).transpose()?,
        rate: has("rate").map(|key| rate(&table, key)).transpose()?,
        state_bytes: has("state").map(|key| bytes(&table, key, size)).transpose()?,
    })
}

fn bytes(
    table: &Table<'_>,
    key: &str,
    read: impl Fn(&Table<'_>, &str) -> Result<Option<u64>, Error>,
) -> Result<Bound<u64>, Error> {
    bound(table, key, read, |a, b| a > b, |bytes| Bytes(*bytes).to_string())
}

fn rate(table: &Table<'_>, key: &str) -> Result<Bound<Rate>, Error> {
    bound(table, key, |table, key| table.rate(key), Rate::exceeds, Rate::to_string)
}

/// `key = { default = …, max = … }`, the default not above the maximum.
fn bound<T>(
    table: &Table<'_>,
    key: &str,
    read: impl Fn(&Table<'_>, &str) -> Result<Option<T>, Error>,
    exceeds: impl Fn(&T, &T) -> bool,
    print: impl Fn(&T) -> String,
) -> Result<Bound<T>, Error> {
    let bound =
        table.require(key, "{ default = …, max = … }")?.table()?.only(&["default", "max"])?;
    let get = |end| {
        bound.require(end, "a bound has a default and a max")?;
        read(&bound, end)?.ok_or_else(|| bound.error(end, "missing"))
    };
    let (default, max) = (get("default")?, get("max")?);
    match exceeds(&default, &max) {
        true => Err(bound
            .error("default", format!("{} is more than max, {}", print(&default), print(&max)))),
        false => Ok(Bound { default, max }),
    }
}

fn chips(root: &Table<'_>) -> Result<Vec<Chip>, Error> {
    let Some(list) = root.get("chip") else {
        return Ok(Vec::new());
    };
    let mut chips: Vec<Chip> = Vec::new();
    for element in list.list()? {
        let table = element.table()?.only(&["label", "lines"])?;
        let chip = chip(&table)?;
        let twice = chip
            .lines
            .keys()
            .find(|name| chips.iter().any(|other| other.lines.contains_key(*name)));
        if let Some(name) = twice {
            return Err(table.error(
                "lines",
                format!("line {name:?} is on two chips; names must be unique on a board"),
            ));
        }
        chips.push(chip);
    }
    Ok(chips)
}

fn chip(table: &Table<'_>) -> Result<Chip, Error> {
    let label = table.require("label", "the kernel's label of the chip")?;
    if label.string()?.is_empty() {
        return Err(label.error("a label cannot be empty"));
    }
    let mut lines = BTreeMap::new();
    if let Some(written) = table.table("lines")? {
        for entry in written.entries() {
            lines.insert(entry.key.clone(), line(&entry)?);
        }
    }
    Ok(Chip { label: label.string()?.to_owned(), lines })
}

/// `GPIO17 = "11"`, or `GPIO2 = { pin = "3", kernel = ["SDA1"] }` where kernels call it otherwise.
fn line(entry: &Value<'_>) -> Result<Line, Error> {
    if entry.is_string() {
        let pin = entry.string()?.to_owned();
        return Ok(Line { pin, kernel_names: vec![entry.key.clone()], offset: None });
    }
    if !entry.is_table() {
        return Err(
            entry.expected(r#"a pin of the header, like "11", or { pin = "…", kernel = ["…"] }"#)
        );
    }
    let table = entry.table()?.only(&["pin", "kernel", "offset"])?;
    let pin = table.require("pin", "the pin of the header")?.string()?.to_owned();
    let mut kernel_names = vec![entry.key.clone()];
    kernel_names.extend(table.strings("kernel")?);
    let offset = table.number("offset", 0, LINE_OFFSET_MAX)?;
    Ok(Line { pin, kernel_names, offset })
}

/// `not_before = "2026-11-01"`.
fn clock(table: Table<'_>) -> Result<Option<u64>, Error> {
    let table = table.only(&["not_before"])?;
    let Some(written) = table.string("not_before")? else {
        return Ok(None);
    };
    let midnight = humantime::parse_rfc3339(&format!("{written}T00:00:00Z")).ok();
    let since_1970 = midnight.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let expected = || table.error("not_before", "expected a date, like \"2026-11-01\"");
    since_1970.map(|time| Some(time.as_secs())).ok_or_else(expected)
}

/// Names stand for lines that the board has.
fn check_gpio(root: &Table<'_>, board: &Board) -> Result<(), Error> {
    let lines: Vec<&str> = board.lines().map(|(_, name, _)| name).collect();
    for (name, settings) in &board.gpio {
        let line = settings.line.as_deref().unwrap_or(name);
        if !lines.contains(&line) {
            let help = format!("lines of the chips above: {}", lines.join(", "));
            return Err(root.error("gpio", unknown("line", line, &lines)).with_help(help));
        }
    }
    Ok(())
}

/// A board on which not even one default component fits is a mistake in the file.
fn check_sum(root: &Table<'_>, board: &Board) -> Result<(), Error> {
    let memory = &board.memory;
    let least = [memory.host_bytes, board.component.memory_bytes.default, memory.stack_bytes];
    let sum = least.iter().fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
    if sum <= memory.budget_bytes {
        return Ok(());
    }
    let message = format!(
        "{} cannot hold host ({}), one component's default memory ({}) and a stack ({})",
        Bytes(memory.budget_bytes),
        Bytes(memory.host_bytes),
        Bytes(board.component.memory_bytes.default),
        Bytes(memory.stack_bytes)
    );
    Err(table(root, "memory")?.error("budget", message))
}
