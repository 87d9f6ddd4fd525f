//! Does what the last level of the topic says and answers on `answer/<command>`: the test suite's hand
//! inside a component made for Spin 2 or 3. `mqtt-async` is its twin, command by command.
//!
//! | topic | payload | answer |
//! |---|---|---|
//! | `…/echo` | anything | the same |
//! | `…/var` | a variable's name | its value |
//! | `…/kv-open` | a store's label | `ok` |
//! | `…/kv-set` | `key=value` | `ok` |
//! | `…/kv-get` | key | `some VALUE` or `none` |
//! | `…/kv-delete` | key | `ok` |
//! | `…/kv-exists` | key | `true` or `false` |
//! | `…/kv-keys` | | the keys, sorted, one a line |
//! | `…/kv-count` | key | the number kept there, one more each time |
//! | `…/open` | a broker's address | `ok` |
//! | `…/publish` | `topic qos text` | `ok` |
//! | `…/log` | text | `ok`, the text on stdout and on stderr |
//! | `…/refuse` | text | none: the message is refused with this text |
//!
//! An error of an import is answered as `error: …`.

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "spin:mqtt-trigger/spin-mqtt",
        runtime_path: "::spin_sdk::wit_bindgen::rt",
        generate_all,
    });
}

use anyhow::{Context, Result, bail};
use bindings::{Error, Guest, Metadata, Payload};
use spin_sdk::key_value::Store;
use spin_sdk::mqtt::{Connection, Qos};
use spin_sdk::variables;

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        handle(&message, &metadata.topic).map_err(|error| Error::Other(error.to_string()))
    }
}

fn handle(payload: &[u8], topic: &str) -> Result<()> {
    let command = topic.rsplit('/').next().unwrap_or_default();
    let text = String::from_utf8_lossy(payload);
    if command == "refuse" {
        bail!("{text}");
    }
    let answer = match command {
        "echo" => payload.to_vec(),
        _ => obey(command, &text).unwrap_or_else(|error| format!("error: {error}")).into_bytes(),
    };
    let broker = variables::get("broker")?;
    let connection = Connection::open(&broker, "", "", 30)?;
    connection.publish(&format!("answer/{command}"), &answer, Qos::AtLeastOnce)?;
    Ok(())
}

fn obey(command: &str, text: &str) -> Result<String> {
    match command {
        "var" => Ok(variables::get(text)?),
        "open" => Connection::open(text, "", "", 30).map(|_| "ok".to_owned()).map_err(Into::into),
        "publish" => publish(text),
        "log" => {
            println!("{text}");
            eprintln!("{text}");
            Ok("ok".to_owned())
        }
        _ => obey_with_store(command, text),
    }
}

fn obey_with_store(command: &str, text: &str) -> Result<String> {
    let label = if command == "kv-open" { text } else { "default" };
    let store = Store::open(label)?;
    let ok = || "ok".to_owned();
    Ok(match command {
        "kv-open" => ok(),
        "kv-set" => {
            let (key, value) = text.split_once('=').context("expected key=value")?;
            store.set(key, value.as_bytes())?;
            ok()
        }
        "kv-get" => match store.get(text)? {
            Some(value) => format!("some {}", String::from_utf8_lossy(&value)),
            None => "none".to_owned(),
        },
        "kv-delete" => {
            store.delete(text)?;
            ok()
        }
        "kv-exists" => store.exists(text)?.to_string(),
        "kv-keys" => {
            let mut keys = store.get_keys()?;
            keys.sort();
            keys.join("\n")
        }
        "kv-count" => {
            let before = store.get(text)?.unwrap_or_default();
            let count = String::from_utf8(before)?.parse::<u64>().unwrap_or(0) + 1;
            store.set(text, count.to_string().as_bytes())?;
            count.to_string()
        }
        _ => bail!("unknown command {command:?}"),
    })
}

fn publish(text: &str) -> Result<String> {
    let mut words = text.splitn(3, ' ');
    let (Some(topic), Some(qos), Some(payload)) = (words.next(), words.next(), words.next()) else {
        bail!("expected: topic qos text");
    };
    let qos = match qos {
        "0" => Qos::AtMostOnce,
        "1" => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    };
    let broker = variables::get("broker")?;
    Connection::open(&broker, "", "", 30)?.publish(topic, payload.as_bytes(), qos)?;
    Ok("ok".to_owned())
}
