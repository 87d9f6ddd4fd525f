//! What a runner kept on its disk, read behind its back: key-values and dead letters. `pirnd dead-letters` is asked
//! too, where there is such a command: what it shows with its payload counts as kept as well.

use std::path::{Path, PathBuf};
use std::process::Command;

use rusqlite::{Connection, OpenFlags, Row};
use serde_json::Value;

use crate::PATIENCE;

/// A message that lies on the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Where it came from or goes to: a topic.
    pub source: String,
    /// The first bytes of its payload, as text.
    pub text: String,
}

/// Bytes of a payload that are looked at: numbers stand at its front.
const TEXT_BYTES: usize = 64;

/// The dead letters in a state folder, and those that this command lists.
///
/// # Errors
/// A sentence, if a database cannot be read.
pub fn dead_letters(list: &mut Command, state: &Path) -> Result<Vec<Kept>, String> {
    let mut letters = in_all(state, |name| name.ends_with("letter"), messages_in)?;
    if let Ok(output) = list.output()
        && output.status.success()
    {
        letters.extend(shown(&String::from_utf8_lossy(&output.stdout)));
    }
    Ok(letters)
}

/// What else lies in a state folder with a payload: events that wait for their component, publishes that wait for
/// their broker.
///
/// # Errors
/// As above.
pub fn waiting(state: &Path) -> Result<Vec<Kept>, String> {
    in_all(state, |name| !name.ends_with("letter"), messages_in)
}

/// The values of the default store's keys, as numbers.
///
/// # Errors
/// As above.
pub fn values(state: &Path) -> Result<Vec<(String, u64)>, String> {
    in_all(state, |name| name == "spin_key_value", values_in)
}

/// Letters in a list, in an object that holds one, or one a line.
fn shown(said: &str) -> Vec<Kept> {
    let rows = match serde_json::from_str(said) {
        Ok(Value::Array(rows)) => rows,
        Ok(Value::Object(object)) => {
            object.into_iter().find_map(|(_, value)| value.as_array().cloned()).unwrap_or_default()
        }
        _ => said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    };
    rows.iter().filter_map(letter).collect()
}

fn letter(row: &Value) -> Option<Kept> {
    let word = |names: &[&str]| names.iter().find_map(|name| row.get(*name)?.as_str());
    let source = word(&["source", "topic"])?.to_owned();
    let text =
        word(&["payload", "payload_text", "text", "first_bytes", "head"]).unwrap_or_default();
    let text = text.chars().take(TEXT_BYTES).collect();
    Some(Kept { source, text })
}

/// The databases of a state folder.
///
/// # Errors
/// A sentence, if the folder cannot be read.
pub fn databases(state: &Path) -> Result<Vec<PathBuf>, String> {
    // It is made when there is something to keep.
    if !state.exists() {
        return Ok(Vec::new());
    }
    let error = |error| format!("{}: {error}", state.display());
    let mut databases = Vec::new();
    for entry in std::fs::read_dir(state).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path.is_file() && path.extension().is_some_and(|end| end == "db") {
            databases.push(path);
        }
    }
    databases.sort();
    Ok(databases)
}

/// Reads each table of such a name in each database of a folder.
fn in_all<T>(
    state: &Path,
    wanted: fn(&str) -> bool,
    read: fn(&Connection, &str) -> rusqlite::Result<Vec<T>>,
) -> Result<Vec<T>, String> {
    let mut all = Vec::new();
    for database in databases(state)? {
        let read = || -> rusqlite::Result<Vec<T>> {
            // Not read-only: what is in the log only must be seen as well.
            let db = Connection::open_with_flags(&database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            db.busy_timeout(PATIENCE)?;
            let mut rows = Vec::new();
            for table in tables(&db)?.iter().filter(|name| wanted(name)) {
                rows.extend(read(&db, table)?);
            }
            Ok(rows)
        };
        all.extend(read().map_err(|error| format!("{}: {error}", database.display()))?);
    }
    Ok(all)
}

fn tables(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let names = "SELECT name FROM sqlite_master WHERE type = 'table'";
    db.prepare(names)?.query_map([], |row| row.get(0))?.collect()
}

/// The messages of a table, if it holds any: it has a payload, and a source or a topic.
fn messages_in(db: &Connection, table: &str) -> rusqlite::Result<Vec<Kept>> {
    let mut columns = db.prepare("SELECT name FROM pragma_table_info(?1)")?;
    let columns: Vec<String> =
        columns.query_map([table], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
    let has = |name: &str| columns.iter().any(|column| column == name);
    let Some(from) = ["source", "topic"].into_iter().find(|name| has(name) && has("payload"))
    else {
        return Ok(Vec::new());
    };
    let mut rows = db.prepare(&format!("SELECT {from}, payload FROM {table}"))?;
    let message = |row: &Row<'_>| {
        let payload: Vec<u8> = row.get(1)?;
        let head = &payload[..payload.len().min(TEXT_BYTES)];
        Ok(Kept { source: row.get(0)?, text: String::from_utf8_lossy(head).into_owned() })
    };
    rows.query_map([], message)?.collect()
}

fn values_in(db: &Connection, table: &str) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut rows =
        db.prepare(&format!("SELECT key, value FROM {table} WHERE store = 'default'"))?;
    let pair = |row: &Row<'_>| {
        let value: Vec<u8> = row.get(1)?;
        Ok((row.get(0)?, String::from_utf8_lossy(&value).parse().unwrap_or(0)))
    };
    rows.query_map([], pair)?.collect()
}
