//! Answers every message on `bench/in/#` with the same bytes, ASCII letters in capitals, on `bench/out`.
//!
//! It is the component of the benchmark and therefore as lean as a useful component gets: no standard
//! library, no WASI, one page (64 KiB) of memory for the usual message. For how components are usually written see `thermostat`.

#![no_std]

extern crate alloc;

#[cfg(target_family = "wasm")]
mod memory;

use alloc::string::String;

#[allow(
    unexpected_cfgs,
    reason = "the generated code asks for a feature `std`, which is meant to be absent"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        inline: "
            package pirn:echo;

            world echo {
                include spin:mqtt-trigger/spin-mqtt;
                import fermyon:spin/variables@2.0.0;
                import fermyon:spin/mqtt@2.0.0;
            }
        ",
        generate_all,
        std_feature,
    });
}

use bindings::fermyon::spin::mqtt::{self, Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};

struct Echo;

bindings::export!(Echo with_types_in bindings);

impl Guest for Echo {
    fn handle_message(mut message: Payload, metadata: Metadata) -> Result<(), Error> {
        let broker =
            variables::get("broker").map_err(|error| Error::Other(variable_error(error)))?;
        message.make_ascii_uppercase();
        Connection::open(&broker, "", "", 30)
            .and_then(|connection| {
                connection.publish("bench/out", &message, qos_named_by(&metadata.topic))
            })
            .map_err(|error| Error::Other(mqtt_error(error)))
    }
}

/// The last level of the topic names the quality of service of the answer; 1 where it does not.
fn qos_named_by(topic: &str) -> Qos {
    match topic.rsplit('/').next() {
        Some("0") => Qos::AtMostOnce,
        Some("2") => Qos::ExactlyOnce,
        _ => Qos::AtLeastOnce,
    }
}

fn variable_error(error: variables::Error) -> String {
    use variables::Error::{InvalidName, Other, Provider, Undefined};
    match error {
        InvalidName(text) | Undefined(text) | Provider(text) | Other(text) => text,
    }
}

fn mqtt_error(error: mqtt::Error) -> String {
    match error {
        mqtt::Error::InvalidAddress => "the broker's address is not valid".into(),
        mqtt::Error::TooManyConnections => "too many connections".into(),
        mqtt::Error::ConnectionFailed(text) | mqtt::Error::Other(text) => text,
    }
}
