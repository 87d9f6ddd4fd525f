//! What a runner kept on its disk, read behind its back: key-values and dead letters. Dead letters are asked of
//! `pirnd dead-letters` where there is such a command, and read from the database where not.

use std::path::Path;
use std::process::Command;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// A message that was kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Its topic.
    pub source: String,
    /// The first bytes of its payload, as text.
    pub text: String,
}

/// Bytes of a payload that are looked at: numbers stand at its front.
const TEXT_BYTES: usize = 64;

/// The dead letters of the app that this command, without its words, is for.
///
/// # Errors
/// A sentence, if neither the command nor the database tells.
pub fn dead_letters(list: &mut Command, database: &Path) -> Result<Vec<DeadLetter>, String> {
    let output = list.output().map_err(|error| error.to_string())?;
    if !output.status.success() {
        return in_database(database);
    }
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let whole = serde_json::from_str::<Value>(&said).ok();
    let rows = match whole {
        Some(Value::Array(rows)) => rows,
        Some(Value::Object(mut object)) => match object.remove("dead_letters") {
            Some(Value::Array(rows)) => rows,
            _ => vec![Value::Object(object)],
        },
        // One object a line.
        _ => said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect(),
    };
    Ok(rows.iter().filter_map(letter).collect())
}

fn letter(row: &Value) -> Option<DeadLetter> {
    let word = |names: &[&str]| names.iter().find_map(|name| row.get(*name)?.as_str());
    let source = word(&["source", "topic"])?.to_owned();
    let text =
        word(&["payload", "payload_text", "text", "first_bytes", "head"]).unwrap_or_default();
    let text = text.chars().take(TEXT_BYTES).collect();
    Some(DeadLetter { source, text })
}

fn opened(database: &Path) -> Result<Option<Connection>, String> {
    if !database.is_file() {
        return Ok(None);
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    Connection::open_with_flags(database, flags).map(Some).map_err(|error| error.to_string())
}

fn in_database(database: &Path) -> Result<Vec<DeadLetter>, String> {
    let Some(db) = opened(database)? else { return Ok(Vec::new()) };
    let read = || -> rusqlite::Result<Vec<DeadLetter>> {
        let mut rows = db.prepare("SELECT source, payload FROM pirn_dead_letter ORDER BY id")?;
        let letter = |row: &rusqlite::Row<'_>| {
            let payload: Vec<u8> = row.get(1)?;
            let head = &payload[..payload.len().min(TEXT_BYTES)];
            let text = String::from_utf8_lossy(head).into_owned();
            Ok(DeadLetter { source: row.get(0)?, text })
        };
        rows.query_map([], letter)?.collect()
    };
    match read() {
        Err(error) if error.to_string().contains("no such table") => Ok(Vec::new()),
        other => other.map_err(|error| format!("{}: {error}", database.display())),
    }
}

/// The values of a store's keys, as numbers.
///
/// # Errors
/// A sentence, if the database cannot be read.
pub fn values(database: &Path) -> Result<Vec<(String, u64)>, String> {
    let Some(db) = opened(database)? else { return Ok(Vec::new()) };
    let read = || -> rusqlite::Result<Vec<(String, u64)>> {
        let mut rows =
            db.prepare("SELECT key, value FROM spin_key_value WHERE store = 'default'")?;
        let pair = |row: &rusqlite::Row<'_>| {
            let value: Vec<u8> = row.get(1)?;
            Ok((row.get(0)?, String::from_utf8_lossy(&value).parse().unwrap_or(0)))
        };
        rows.query_map([], pair)?.collect()
    };
    match read() {
        Err(error) if error.to_string().contains("no such table") => Ok(Vec::new()),
        other => other.map_err(|error| format!("{}: {error}", database.display())),
    }
}
