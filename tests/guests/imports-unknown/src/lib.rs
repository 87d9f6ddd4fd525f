//! Imports interfaces that nobody offers, as guests do whose language imports whole worlds: one that
//! is nobody's (with a resource in it), and one of WASI that a device has no use for.
//!
//! The payload says what is called: `thing`, `widget`, `http`; anything else is answered on
//! `answer/imports-unknown`, which works because nothing missing was touched.

mod bindings {
    wit_bindgen::generate!({
        path: ["../../../runner/wit", "wit"],
        world: "acme:app/app",
        generate_all,
    });
}

use bindings::acme::thing::maker;
use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};
use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, OutgoingRequest};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, _: Metadata) -> Result<(), Error> {
        let text = String::from_utf8_lossy(&message);
        let answer = match &*text {
            "thing" => maker::make(7),
            "widget" => maker::Widget::new("a").name(),
            "http" => http(),
            other => other.to_owned(),
        };
        publish(&answer).map_err(Error::Other)
    }
}

fn http() -> String {
    let request = OutgoingRequest::new(Fields::new());
    match outgoing_handler::handle(request, None) {
        Ok(_) => "sent".to_owned(),
        Err(error) => format!("{error:?}"),
    }
}

fn publish(text: &str) -> Result<(), String> {
    let broker = variables::get("broker").map_err(|error| format!("{error:?}"))?;
    Connection::open(&broker, "", "", 30)
        .and_then(|connection| {
            connection.publish("answer/imports-unknown", text.as_bytes(), Qos::AtLeastOnce)
        })
        .map_err(|error| format!("{error:?}"))
}
