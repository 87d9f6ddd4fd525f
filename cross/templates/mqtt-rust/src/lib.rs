//! Fired by a message on `my-app/in/#`; answers with a greeting on `my-app/out`.
//!
//! Each message runs a fresh instance: nothing is remembered, except in the key-value store. An error
//! refuses the message: whoever runs the component tries again or puts the message aside.

mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "pirn:worlds/mqtt-app-sync",
        generate_all,
    });
}

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};

/// Longer than the pause between most messages, so that the broker keeps the connection.
const KEEP_ALIVE_S: u64 = 30;

struct MyApp;

bindings::export!(MyApp with_types_in bindings);

impl Guest for MyApp {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message);
        println!("{}: {text}", metadata.topic);
        answer(&format!("Hello, {text}!")).map_err(Error::Other)
    }
}

fn answer(text: &str) -> Result<(), String> {
    let broker =
        variables::get("broker").map_err(|error| format!("cannot read `broker`: {error:?}"))?;
    let connection = Connection::open(&broker, "", "", KEEP_ALIVE_S)
        .map_err(|error| format!("cannot connect to {broker}: {error:?}"))?;
    connection
        .publish("my-app/out", text.as_bytes(), Qos::AtLeastOnce)
        .map_err(|error| format!("cannot publish: {error:?}"))
}
