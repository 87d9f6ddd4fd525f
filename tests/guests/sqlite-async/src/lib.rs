//! Carries out SQL through the SDK for Spin 4, whose rows come as a stream, and answers on `answer/COMMAND`. With the
//! command `steps` each line of the payload is one step, with an answer of one line, on one connection:
//!
//! | step | answer |
//! |---|---|
//! | `open LABEL` | `ok` |
//! | `did` | last row and changes |
//! | `two SQL` | the first row, then what another statement says while the rest waits, then how many more rows came |
//! | `leave SQL` | the first row; the rest is dropped unread |
//! | SQL | the columns, then each row |
//!
//! An error is answered as `error: …`.

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "spin:mqtt-trigger/spin-mqtt@3.0.0",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

use anyhow::{Context as _, Result, anyhow};
use bindings::{Error as Refusal, Guest, Metadata, Payload};
use spin_sdk::mqtt::{Connection as Broker, Qos};
use spin_sdk::sqlite::{Connection, QueryResult, Value};
use spin_sdk::variables;

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    async fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Refusal> {
        handle(&message, &metadata.topic).await.map_err(|error| Refusal::Other(error.to_string()))
    }
}

async fn handle(payload: &[u8], topic: &str) -> Result<()> {
    let command = topic.rsplit('/').next().unwrap_or_default();
    let text = std::str::from_utf8(payload)?;
    let mut connection = None;
    let mut answers = Vec::new();
    for line in text.lines() {
        let answer = step(line, &mut connection).await;
        answers.push(answer.unwrap_or_else(|error| format!("error: {error}")));
    }
    let broker = Broker::open(&variables::get("broker").await?, "", "", 30).await?;
    let answer = answers.join("\n").into_bytes();
    broker.publish(&format!("answer/{command}"), answer, Qos::AtLeastOnce).await?;
    Ok(())
}

async fn step(line: &str, place: &mut Option<Connection>) -> Result<String> {
    if let Some(label) = line.strip_prefix("open ") {
        *place = Some(Connection::open(label).await.map_err(|error| anyhow!("{error:?}"))?);
        return Ok("ok".to_owned());
    }
    let connection = place.as_ref().context("nothing is open")?;
    if line == "did" {
        let (row, changes) = (connection.last_insert_rowid().await, connection.changes().await);
        return Ok(format!("{row} {changes}"));
    }
    if let Some(sql) = line.strip_prefix("leave ") {
        let mut found = execute(connection, sql).await?;
        return next(&mut found).await.context("no row");
    }
    if let Some(sql) = line.strip_prefix("two ") {
        let mut found = execute(connection, sql).await?;
        let first = next(&mut found).await.context("no row")?;
        let mut other = execute(connection, "SELECT 'meanwhile'").await?;
        let meanwhile = next(&mut other).await.context("no row")?;
        let mut more = 0;
        while found.next().await.is_some() {
            more += 1;
        }
        found.result().await.map_err(|error| anyhow!("{error:?}"))?;
        return Ok(format!("{first}, {meanwhile}, {more} more"));
    }
    let mut found = execute(connection, line).await?;
    let mut parts = vec![found.columns().join(", ")];
    while let Some(row) = next(&mut found).await {
        parts.push(row);
    }
    found.result().await.map_err(|error| anyhow!("{error:?}"))?;
    Ok(parts.join(": "))
}

async fn execute(connection: &Connection, sql: &str) -> Result<QueryResult> {
    connection.execute(sql, []).await.map_err(|error| anyhow!("{error:?}"))
}

async fn next(found: &mut QueryResult) -> Option<String> {
    let row = found.next().await?;
    Some(row.values.iter().map(show).collect::<Vec<_>>().join(", "))
}

fn show(value: &Value) -> String {
    match value {
        Value::Integer(integer) => integer.to_string(),
        Value::Real(real) => format!("{real:?}"),
        Value::Text(text) => format!("'{text}'"),
        Value::Blob(blob) => format!("{} bytes", blob.len()),
        Value::Null => "null".to_owned(),
    }
}
