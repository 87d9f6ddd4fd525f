//! The twin of `cron-sync` for Spin 4, where exports and imports are async.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "pirn:worlds/cron-app-async",
        generate_all,
    });
}

use bindings::spin::mqtt::mqtt::{Connection, Qos};
use bindings::spin::variables::variables;
use bindings::{Error, Guest, Metadata};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    async fn handle_cron_event(metadata: Metadata) -> Result<(), Error> {
        if metadata.timestamp == 13 {
            return Err(Error::Other("an unlucky second".into()));
        }
        publish(&metadata.timestamp.to_string()).await.map_err(Error::Other)
    }
}

async fn publish(text: &str) -> Result<(), String> {
    let broker = variables::get("broker".into()).await.map_err(|error| format!("{error:?}"))?;
    let connection = Connection::open(broker, String::new(), String::new(), 30)
        .await
        .map_err(|error| format!("{error:?}"))?;
    connection
        .publish("answer/cron".into(), text.as_bytes().to_vec(), Qos::AtLeastOnce)
        .await
        .map_err(|error| format!("{error:?}"))
}
