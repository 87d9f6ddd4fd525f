//! A thermostat for every room that reports its temperature over MQTT.
//!
//! One message in, `home/<room>/temperature` with a number in °C, runs this component once:
//!
//! 1. it reads the set point, which is a variable, and the room's state, which is in the key-value
//!    store, since the component itself forgets everything when it is done;
//! 2. it decides (see `control`);
//! 3. it publishes `on` or `off` to `home/<room>/heating` if that is news, and always a status as JSON
//!    to `home/<room>/thermostat`.
//!
//! An error refuses the message: whoever runs the component tries again or puts the message aside.

mod control;

mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        world: "pirn:worlds/mqtt-app-sync",
        generate_all,
    });
}

use bindings::fermyon::spin::key_value::Store;
use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};
use control::{Heating, Settings, Status};
use std::fmt::Debug;

/// Longer than the pause between most readings, so that the broker keeps the connection.
const KEEP_ALIVE_S: u64 = 30;

struct Thermostat;

bindings::export!(Thermostat with_types_in bindings);

impl Guest for Thermostat {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Error> {
        handle(&message, &metadata.topic).map_err(Error::Other)
    }
}

fn handle(payload: &[u8], topic: &str) -> Result<(), String> {
    let room = control::room_of(topic)?;
    let temperature = control::temperature_of(payload)?;
    let settings = Settings { set_point: number("set_point")?, hysteresis: number("hysteresis")? };

    let store = Store::open("default").map_err(|error| told("open the key-value store", &error))?;
    let before = heating_before(&store, room)?;
    let now = control::decide(temperature, before, &settings);
    let changed = before != Some(now);

    let broker = variable("broker")?;
    let connection = Connection::open(&broker, "", "", KEEP_ALIVE_S)
        .map_err(|error| told(&format!("connect to {broker}"), &error))?;
    if changed {
        // First said, then noted: should anything fail in between, the message comes again and the
        // same is said twice. The other way round the heating would never hear of it.
        publish(&connection, &format!("home/{room}/heating"), now.as_str())?;
        remember(&store, room, now)?;
    }
    let status = Status { room, temperature, set_point: settings.set_point, heating: now, changed };
    publish(&connection, &format!("home/{room}/thermostat"), &status.to_json())?;

    println!("{room}: {temperature} °C, heating {}", now.as_str());
    Ok(())
}

fn heating_before(store: &Store, room: &str) -> Result<Option<Heating>, String> {
    let kept = store.get(&key(room)).map_err(|error| told("read the room's state", &error))?;
    Ok(kept.as_deref().and_then(Heating::from_bytes))
}

fn remember(store: &Store, room: &str, heating: Heating) -> Result<(), String> {
    store
        .set(&key(room), heating.as_str().as_bytes())
        .map_err(|error| told("keep the room's state", &error))
}

fn key(room: &str) -> String {
    format!("heating/{room}")
}

fn publish(connection: &Connection, topic: &str, text: &str) -> Result<(), String> {
    connection
        .publish(topic, text.as_bytes(), Qos::AtLeastOnce)
        .map_err(|error| told(&format!("publish to {topic}"), &error))
}

fn variable(name: &str) -> Result<String, String> {
    variables::get(name).map_err(|error| told(&format!("read the variable {name}"), &error))
}

fn number(name: &str) -> Result<f64, String> {
    let text = variable(name)?;
    control::number_of(&text).ok_or_else(|| {
        format!("the variable {name} must be a number in °C such as 20.5, not {text:?}")
    })
}

fn told(what: &str, error: &dyn Debug) -> String {
    format!("cannot {what}: {error:?}")
}
