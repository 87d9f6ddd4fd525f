//! Says once a minute that the board is alive, and how often it has said so: the count stands in the
//! key-value store, so it goes on after a power cut.

mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        world: "pirn:worlds/cron-app-sync",
        generate_all,
    });
}

use bindings::fermyon::spin::key_value::Store;
use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata};
use std::fmt::Debug;

const COUNT: &str = "count";
const KEEP_ALIVE_S: u64 = 30;

struct Logger;

bindings::export!(Logger with_types_in bindings);

impl Guest for Logger {
    fn handle_cron_event(metadata: Metadata) -> Result<(), Error> {
        log(metadata.timestamp).map_err(Error::Other)
    }
}

fn log(timestamp: u64) -> Result<(), String> {
    let store = Store::open("default").map_err(told("opening the store"))?;
    let before = store.get(COUNT).map_err(told("the store"))?;
    let before = before.and_then(|bytes| String::from_utf8(bytes).ok()?.parse().ok());
    let count: u64 = before.unwrap_or(0) + 1;

    let broker = variables::get("broker").map_err(told("the variable broker"))?;
    let connection = Connection::open(&broker, "", "", KEEP_ALIVE_S).map_err(told("connecting"))?;
    let message = format!(r#"{{"time":{timestamp},"count":{count}}}"#);
    connection
        .publish("home/logger", message.as_bytes(), Qos::AtLeastOnce)
        .map_err(told("publishing"))?;

    store.set(COUNT, count.to_string().as_bytes()).map_err(told("the store"))?;
    println!("{count} at {timestamp}");
    Ok(())
}

fn told<E: Debug>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}
