//! Publishes the timestamp of each cron event on `answer/cron`. The timestamp of a refused one is 13.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "pirn:worlds/cron-app-sync",
        generate_all,
    });
}

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_cron_event(metadata: Metadata) -> Result<(), Error> {
        if metadata.timestamp == 13 {
            return Err(Error::Other("an unlucky second".into()));
        }
        publish(&metadata.timestamp.to_string()).map_err(Error::Other)
    }
}

fn publish(text: &str) -> Result<(), String> {
    let broker = variables::get("broker").map_err(|error| format!("{error:?}"))?;
    let connection = Connection::open(&broker, "", "", 30).map_err(|error| format!("{error:?}"))?;
    connection
        .publish("answer/cron", text.as_bytes(), Qos::AtLeastOnce)
        .map_err(|error| format!("{error:?}"))
}
