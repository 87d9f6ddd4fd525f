//! Does what the last level of the topic says and answers on `answer/<command>`: the test suite's hand
//! inside a component made for Spin 4, where every export and import is async. The commands are those of
//! its twin `mqtt-sync`, whose head has the table; `get-keys` comes as a stream here. Two more, since only async functions can do it:
//!
//! | topic | payload | answer |
//! |---|---|---|
//! | `…/at-once` | a number | how many keys the store has, after that many were set at once |
//! | `…/half-read` | | the first key; the rest of the stream is dropped unread |

mod bindings {
    spin_sdk::wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "spin:mqtt-trigger/spin-mqtt@3.0.0",
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
    async fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        handle(&message, &metadata.topic).await.map_err(|error| Error::Other(error.to_string()))
    }
}

async fn handle(payload: &[u8], topic: &str) -> Result<()> {
    let command = topic.rsplit('/').next().unwrap_or_default();
    let text = String::from_utf8_lossy(payload);
    if command == "refuse" {
        bail!("{text}");
    }
    let answer = match command {
        "echo" => payload.to_vec(),
        _ => obey(command, &text)
            .await
            .unwrap_or_else(|error| format!("error: {error}"))
            .into_bytes(),
    };
    let broker = variables::get("broker").await?;
    let connection = Connection::open(&broker, "", "", 30).await?;
    connection.publish(&format!("answer/{command}"), answer, Qos::AtLeastOnce).await?;
    Ok(())
}

async fn obey(command: &str, text: &str) -> Result<String> {
    match command {
        "var" => Ok(variables::get(text).await?),
        "open" => {
            Connection::open(text, "", "", 30).await.map(|_| "ok".to_owned()).map_err(Into::into)
        }
        "publish" => publish(text).await,
        "log" => {
            println!("{text}");
            eprintln!("{text}");
            Ok("ok".to_owned())
        }
        _ => obey_with_store(command, text).await,
    }
}

async fn obey_with_store(command: &str, text: &str) -> Result<String> {
    let label = if command == "kv-open" { text } else { "default" };
    let store = Store::open(label).await?;
    let ok = || "ok".to_owned();
    Ok(match command {
        "kv-open" => ok(),
        "kv-set" => {
            let (key, value) = text.split_once('=').context("expected key=value")?;
            store.set(key, value.as_bytes()).await?;
            ok()
        }
        "kv-get" => match store.get(text).await? {
            Some(value) => format!("some {}", String::from_utf8_lossy(&value)),
            None => "none".to_owned(),
        },
        "kv-delete" => {
            store.delete(text).await?;
            ok()
        }
        "kv-exists" => store.exists(text).await?.to_string(),
        "kv-keys" => {
            let mut keys = store.get_keys().await.collect().await?;
            keys.sort();
            keys.join("\n")
        }
        "at-once" => {
            let many = 0..text.parse::<u32>()?;
            let sets = many.map(|n| {
                let store = &store;
                async move { store.set(format!("at-once/{n}"), n.to_string()).await }
            });
            futures::future::try_join_all(sets).await?;
            store.get_keys().await.collect().await?.len().to_string()
        }
        "half-read" => {
            let first = store.get_keys().await.next().await;
            first.unwrap_or_else(|| "none".to_owned())
        }
        "kv-count" => {
            let before = store.get(text).await?.unwrap_or_default();
            let count = String::from_utf8(before)?.parse::<u64>().unwrap_or(0) + 1;
            store.set(text, count.to_string().as_bytes()).await?;
            count.to_string()
        }
        _ => bail!("unknown command {command:?}"),
    })
}

async fn publish(text: &str) -> Result<String> {
    let mut words = text.splitn(3, ' ');
    let (Some(topic), Some(qos), Some(payload)) = (words.next(), words.next(), words.next()) else {
        bail!("expected: topic qos text");
    };
    let qos = match qos {
        "0" => Qos::AtMostOnce,
        "1" => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    };
    let broker = variables::get("broker").await?;
    Connection::open(&broker, "", "", 30).await?.publish(topic, payload.into(), qos).await?;
    Ok("ok".to_owned())
}
