//! Runs the kernel that the payload names, `KERNEL N`, and answers on `kernels` with `CHECKSUM NANOSECONDS`.
//! The guest itself looks at the clock, before and after: what starting it and MQTT take is not in it.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "pirn:worlds/mqtt-app-sync",
        generate_all,
    });
}
mod compute;

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, _: Metadata) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message);
        let answer = compute::timed(&text).map_err(Error::Other)?;
        publish(&answer).map_err(Error::Other)
    }
}

fn publish(text: &str) -> Result<(), String> {
    let broker = variables::get("broker").map_err(|error| error.to_string())?;
    let connection = Connection::open(&broker, "", "", 30).map_err(|error| error.to_string())?;
    let sent = connection.publish("kernels", text.as_bytes(), Qos::AtLeastOnce);
    sent.map_err(|error| error.to_string())
}
