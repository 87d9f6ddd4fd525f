//! Carries out SQL and answers on `answer/COMMAND`. The command says through which interface: `v2` and `v3` are the SDK's
//! (`fermyon:spin/sqlite@2.0.0`, `spin:sqlite/sqlite@3.0.0`), `v31` is 3.1.0 and `v1` the one without a version.
//!
//! Each line of the payload is one step, with an answer of one line, on one connection:
//!
//! | step | answer |
//! |---|---|
//! | `open LABEL` | `ok` |
//! | `close` | `ok`: the connection is dropped |
//! | `did` | last row and changes (`v3`, `v31`) |
//! | SQL, then perhaps ` -- ` and parameters joined by `, ` | the columns, then each row: `a, b: 1, 'x': 2, null` |
//!
//! Parameters are `null`, `'text'`, `x'6869'`, a number with a point, or an integer. An error is answered as `error: …`.
//! `…/stuck` opens a transaction, inserts into `t`, and asks for more than the deadline has time for.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../runner/wit/spin-1", "../../../runner/wit"],
        inline: "
            package pirn:sqlite-guest;

            world guest {
                include spin:mqtt-trigger/spin-mqtt;
                import fermyon:spin/sqlite;
                import spin:sqlite/sqlite@3.1.0;
            }
        ",
        generate_all,
    });
}

use anyhow::{Context as _, Result, bail};
use bindings::fermyon::spin::sqlite as v1;
use bindings::spin::sqlite::sqlite as v31;
use bindings::{Error as Refusal, Guest, Metadata, Payload};
use spin_sdk::mqtt::{Connection as Broker, Qos};
use spin_sdk::{sqlite as v2, sqlite3 as v3, variables};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Refusal> {
        handle(&message, &metadata.topic).map_err(|error| Refusal::Other(error.to_string()))
    }
}

fn handle(payload: &[u8], topic: &str) -> Result<()> {
    let command = topic.rsplit('/').next().unwrap_or_default();
    let text = std::str::from_utf8(payload)?;
    let answer = match command {
        "v1" => walk(text, Numbered(None))?,
        "v2" => walk(text, Sdk2(None))?,
        "v3" => walk(text, Sdk3(None))?,
        "v31" => walk(text, Newest(None))?,
        "stuck" => walk(STUCK, Sdk2(None))?,
        other => bail!("unknown command {other:?}"),
    };
    let broker = Broker::open(&variables::get("broker")?, "", "", 30)?;
    broker.publish(&format!("answer/{command}"), answer.as_bytes(), Qos::AtLeastOnce)?;
    Ok(())
}

const STUCK: &str = "open default\nBEGIN IMMEDIATE\nINSERT INTO t VALUES (-1)\n\
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

fn walk(text: &str, mut way: impl Way) -> Result<String> {
    let mut answers = Vec::new();
    for line in text.lines() {
        answers.push(step(line, &mut way).unwrap_or_else(|error| format!("error: {error}")));
    }
    Ok(answers.join("\n"))
}

fn step(line: &str, way: &mut impl Way) -> Result<String> {
    match line.split_once(' ') {
        Some(("open", label)) => way.open(label)?,
        None if line == "close" => way.close(),
        None if line == "did" => return way.did(),
        _ => {
            let (sql, parameters) = line.split_once(" -- ").unwrap_or((line, ""));
            let words = parameters.split(", ").filter(|word| !word.is_empty());
            let parameters: Result<Vec<_>> = words.map(parse).collect();
            let (columns, rows) = way.execute(sql, &parameters?)?;
            let rows = rows.iter().map(|row| row.iter().map(show).collect::<Vec<_>>().join(", "));
            return Ok([columns.join(", ")].into_iter().chain(rows).collect::<Vec<_>>().join(": "));
        }
    }
    Ok("ok".to_owned())
}

/// An error by the name of its case; bindings of different ages print it differently.
fn named(error: &impl std::fmt::Debug) -> anyhow::Error {
    let text = format!("{error:?}");
    anyhow::anyhow!("{}", text.strip_prefix("Error::").unwrap_or(&text))
}

type Found = (Vec<String>, Vec<Vec<v31::Value>>);

/// One of the interfaces.
trait Way {
    fn open(&mut self, label: &str) -> Result<()>;
    fn close(&mut self);
    fn execute(&mut self, sql: &str, parameters: &[v31::Value]) -> Result<Found>;
    fn did(&mut self) -> Result<String> {
        bail!("this interface does not say")
    }
}

fn parse(word: &str) -> Result<v31::Value> {
    if word == "null" {
        return Ok(v31::Value::Null);
    }
    if let Some(text) = word.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\'')) {
        return Ok(v31::Value::Text(text.to_owned()));
    }
    if let Some(hex) = word.strip_prefix("x'").and_then(|rest| rest.strip_suffix('\'')) {
        let byte = |at| u8::from_str_radix(hex.get(at..at + 2).unwrap_or("?"), 16);
        let bytes: Result<Vec<u8>, _> = (0..hex.len()).step_by(2).map(byte).collect();
        return Ok(v31::Value::Blob(bytes?));
    }
    match word.contains('.') {
        true => Ok(v31::Value::Real(word.parse()?)),
        false => Ok(v31::Value::Integer(word.parse()?)),
    }
}

fn show(value: &v31::Value) -> String {
    match value {
        v31::Value::Integer(integer) => integer.to_string(),
        v31::Value::Real(real) => format!("{real:?}"),
        v31::Value::Text(text) => format!("'{text}'"),
        v31::Value::Blob(blob) => {
            format!("x'{}'", blob.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        v31::Value::Null => "null".to_owned(),
    }
}

struct Newest(Option<v31::Connection>);

impl Way for Newest {
    fn open(&mut self, label: &str) -> Result<()> {
        self.0 = Some(v31::Connection::open(label).map_err(|error| named(&error))?);
        Ok(())
    }

    fn close(&mut self) {
        self.0 = None;
    }

    fn execute(&mut self, sql: &str, parameters: &[v31::Value]) -> Result<Found> {
        let connection = self.0.as_ref().context("nothing is open")?;
        let found = connection.execute(sql, parameters);
        let found = found.map_err(|error| named(&error))?;
        Ok((found.columns, found.rows.into_iter().map(|row| row.values).collect()))
    }

    fn did(&mut self) -> Result<String> {
        let connection = self.0.as_ref().context("nothing is open")?;
        Ok(format!("{} {}", connection.last_insert_rowid(), connection.changes()))
    }
}

/// Values are the same in all of them; their types are not.
macro_rules! way {
    ($name:ident, $module:ident, $open:expr, $execute:expr, $holds:ty $(, $did:item)?) => {
        struct $name(Option<$holds>);

        impl Way for $name {
            fn open(&mut self, label: &str) -> Result<()> {
                self.0 = Some($open(label).map_err(|error| named(&error))?);
                Ok(())
            }

            fn close(&mut self) {
                self.0 = None;
            }

            fn execute(&mut self, sql: &str, parameters: &[v31::Value]) -> Result<Found> {
                let connection = self.0.as_ref().context("nothing is open")?;
                let there = |value: &v31::Value| match value.clone() {
                    v31::Value::Integer(integer) => $module::Value::Integer(integer),
                    v31::Value::Real(real) => $module::Value::Real(real),
                    v31::Value::Text(text) => $module::Value::Text(text),
                    v31::Value::Blob(blob) => $module::Value::Blob(blob),
                    v31::Value::Null => $module::Value::Null,
                };
                let back = |value: $module::Value| match value {
                    $module::Value::Integer(integer) => v31::Value::Integer(integer),
                    $module::Value::Real(real) => v31::Value::Real(real),
                    $module::Value::Text(text) => v31::Value::Text(text),
                    $module::Value::Blob(blob) => v31::Value::Blob(blob),
                    $module::Value::Null => v31::Value::Null,
                };
                let parameters: Vec<_> = parameters.iter().map(there).collect();
                let found = $execute(connection, sql, &parameters);
                let found = found.map_err(|error| named(&error))?;
                let rows = found.rows.into_iter();
                let rows = rows.map(|row| row.values.into_iter().map(back).collect());
                Ok((found.columns, rows.collect()))
            }

            $($did)?
        }
    };
}

way!(Sdk2, v2, v2::Connection::open, v2::Connection::execute, v2::Connection);
way!(
    Sdk3,
    v3,
    v3::Connection::open,
    v3::Connection::execute,
    v3::Connection,
    fn did(&mut self) -> Result<String> {
        let connection = self.0.as_ref().context("nothing is open")?;
        Ok(format!("{} {}", connection.last_insert_rowid(), connection.changes()))
    }
);

/// A number, which somebody has to close.
struct Number(u32);

impl Drop for Number {
    fn drop(&mut self) {
        v1::close(self.0);
        // Once more does no harm, and a closed one is none.
        v1::close(self.0);
        let after = v1::execute(self.0, "SELECT 1", &[]);
        assert!(matches!(after, Err(v1::Error::InvalidConnection)), "{after:?}");
    }
}

fn open_numbered(label: &str) -> Result<Number, v1::Error> {
    v1::open(label).map(Number)
}

fn execute_numbered(
    number: &Number,
    sql: &str,
    parameters: &[v1::Value],
) -> Result<v1::QueryResult, v1::Error> {
    v1::execute(number.0, sql, parameters)
}

way!(Numbered, v1, open_numbered, execute_numbered, Number);
