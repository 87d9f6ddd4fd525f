//! Keeps values and answers on `answer/COMMAND`: the command `wasi` goes through `wasi:keyvalue` and `wasi:config`, `v1`
//! through `fermyon:spin/key-value` without a version. Each line of the payload is one step, with an answer of one line.
//!
//! | step | answer |
//! |---|---|
//! | `open LABEL` | `ok` |
//! | `set KEY VALUE`, `delete KEY` | `ok` |
//! | `get KEY` | `some VALUE` or `none` |
//! | `exists KEY` | `true` or `false` |
//! | `keys [AFTER]` | the keys, joined by spaces |
//! | `close` (`v1`) | `ok`; the handle is kept, to be used wrongly |
//! | `add KEY NUMBER` | the sum |
//! | `race KEY VALUE` | swaps after somebody else did; then again: `failed, now VALUE, done` |
//! | `many K1=V1 K2=V2 …` | sets them, reads them and one that is not there, deletes the first |
//! | `config NAME`, `config` | `some VALUE` or `none`; all of them |
//!
//! An error is answered as `error: …`.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../runner/wit/spin-1", "../../../runner/wit"],
        inline: "
            package pirn:keyvalue-guest;

            world guest {
                include spin:mqtt-trigger/spin-mqtt;
                import fermyon:spin/mqtt@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import fermyon:spin/key-value;
                import wasi:keyvalue/store@0.2.0-draft2;
                import wasi:keyvalue/atomics@0.2.0-draft2;
                import wasi:keyvalue/batch@0.2.0-draft2;
                import wasi:config/store@0.2.0-draft-2024-09-27;
            }
        ",
        generate_all,
    });
}

use std::fmt::Debug;

use bindings::fermyon::spin::key_value as v1;
use bindings::fermyon::spin2_0_0::mqtt::{Connection, Qos};
use bindings::fermyon::spin2_0_0::variables;
use bindings::wasi::config::store as config;
use bindings::wasi::keyvalue::store::{Bucket, open};
use bindings::wasi::keyvalue::{atomics, batch};
use bindings::{Error as Refusal, Guest, Metadata, Payload};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Refusal> {
        handle(&message, &metadata.topic).map_err(Refusal::Other)
    }
}

fn handle(payload: &[u8], topic: &str) -> Result<(), String> {
    let command = topic.rsplit('/').next().unwrap_or_default();
    let text = std::str::from_utf8(payload).map_err(named)?;
    let mut place = Place { bucket: None, number: u32::MAX };
    let step = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match command {
            "wasi" => place.wasi(&words),
            _ => place.v1(&words),
        };
        answer.unwrap_or_else(|error| format!("error: {error}"))
    };
    let answer = text.lines().map(step).collect::<Vec<_>>().join("\n");
    let broker = variables::get("broker").map_err(named)?;
    let connection = Connection::open(&broker, "", "", 30).map_err(named)?;
    let topic = format!("answer/{command}");
    connection.publish(&topic, answer.as_bytes(), Qos::AtLeastOnce).map_err(named)
}

/// An error by the name of its case.
fn named(error: impl Debug) -> String {
    let text = format!("{error:?}");
    text.strip_prefix("Error::").unwrap_or(&text).to_owned()
}

fn some(value: Option<Vec<u8>>) -> String {
    value.map_or_else(|| "none".to_owned(), |value| format!("some {}", text(value)))
}

fn text(value: Vec<u8>) -> String {
    String::from_utf8_lossy(&value).into_owned()
}

struct Place {
    bucket: Option<Bucket>,
    number: u32,
}

impl Place {
    fn wasi(&mut self, words: &[&str]) -> Result<String, String> {
        if let ["open", label] = words {
            self.bucket = Some(open(label).map_err(named)?);
            return Ok("ok".to_owned());
        }
        if let ["config", name @ ..] = words {
            return configured(name.first().copied());
        }
        let bucket = self.bucket.as_ref().ok_or("nothing is open")?;
        match words {
            ["set", key, value] => bucket.set(key, value.as_bytes()).map_err(named)?,
            ["delete", key] => bucket.delete(key).map_err(named)?,
            ["get", key] => return Ok(some(bucket.get(key).map_err(named)?)),
            ["exists", key] => return Ok(bucket.exists(key).map_err(named)?.to_string()),
            ["keys", after @ ..] => {
                let found = bucket.list_keys(after.first().copied()).map_err(named)?;
                assert!(found.cursor.is_none(), "there are more than one answer takes");
                return Ok(found.keys.join(" "));
            }
            ["add", key, number] => {
                let delta = number.parse().map_err(named)?;
                return Ok(atomics::increment(bucket, key, delta).map_err(named)?.to_string());
            }
            ["race", key, value] => return race(bucket, key, value),
            ["many", pairs @ ..] => return many(bucket, pairs),
            _ => return Err(format!("unknown step {words:?}")),
        }
        Ok("ok".to_owned())
    }

    fn v1(&mut self, words: &[&str]) -> Result<String, String> {
        match words {
            ["open", label] => self.number = v1::open(label).map_err(named)?,
            ["close"] => {
                v1::close(self.number);
                v1::close(self.number);
            }
            ["set", key, value] => v1::set(self.number, key, value.as_bytes()).map_err(named)?,
            ["delete", key] => v1::delete(self.number, key).map_err(named)?,
            ["get", key] => {
                return Ok(format!("some {}", text(v1::get(self.number, key).map_err(named)?)));
            }
            ["exists", key] => return Ok(v1::exists(self.number, key).map_err(named)?.to_string()),
            ["keys"] => return Ok(v1::get_keys(self.number).map_err(named)?.join(" ")),
            _ => return Err(format!("unknown step {words:?}")),
        }
        Ok("ok".to_owned())
    }
}

fn configured(name: Option<&str>) -> Result<String, String> {
    let Some(name) = name else {
        let all = config::get_all().map_err(named)?;
        let names: Vec<String> = all.into_iter().map(|(name, _)| name).collect();
        return Ok(names.join(" "));
    };
    let value = config::get(name).map_err(named)?;
    Ok(value.map_or_else(|| "none".to_owned(), |value| format!("some {value}")))
}

fn race(bucket: &Bucket, key: &str, value: &str) -> Result<String, String> {
    let cas = atomics::Cas::new(bucket, key).map_err(named)?;
    bucket.set(key, b"meanwhile").map_err(named)?;
    let again = match atomics::swap(cas, value.as_bytes()) {
        Ok(()) => return Err("it swapped what had changed".to_owned()),
        Err(atomics::CasError::CasFailed(again)) => again,
        Err(atomics::CasError::StoreError(error)) => return Err(named(error)),
    };
    let now = some(again.current().map_err(named)?);
    match atomics::swap(again, value.as_bytes()) {
        Ok(()) => Ok(format!("failed, now {now}, done")),
        Err(error) => Err(named(error)),
    }
}

fn many(bucket: &Bucket, pairs: &[&str]) -> Result<String, String> {
    let pairs: Vec<(String, Vec<u8>)> = pairs
        .iter()
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()))
        .collect();
    batch::set_many(bucket, &pairs).map_err(named)?;
    let mut keys: Vec<String> = pairs.into_iter().map(|(key, _)| key).collect();
    keys.push("nowhere".to_owned());
    let found = batch::get_many(bucket, &keys).map_err(named)?;
    batch::delete_many(bucket, &keys[..1]).map_err(named)?;
    let shown = found.into_iter().map(|(key, value)| format!("{key}: {}", some(value)));
    Ok(shown.collect::<Vec<_>>().join(", "))
}
