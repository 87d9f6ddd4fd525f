//! A doorbell. Two triggers fire the same component:
//!
//! - the button: publishes that somebody rang and lights the lamp;
//! - a timer, four times a second: puts the lamp out when it was on for three seconds.
//!
//! A component forgets everything when its event is done. What lasts is outside: the lamp keeps its level,
//! and until when it shall be on stands in the key-value store.

mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        inline: "
            package pirn:doorbell;

            world doorbell {
                include pirn:gpio-trigger/gpio-trigger@0.1.0;
                include fermyon:example/spin-timer;
                import fermyon:spin/key-value@2.0.0;
                import fermyon:spin/mqtt@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import wasi:gpio/digital@0.2.0;
            }
        ",
        generate_all,
    });
}

use bindings::fermyon::spin::key_value::Store;
use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::wasi::gpio::digital::{StatefulOutputPin, open_stateful_output};
use bindings::{Error, Event, Guest};
use std::fmt::Debug;
use wasip2::clocks::monotonic_clock;

/// How long the lamp is on.
const LAMP_NS: u64 = 3_000_000_000;
const LAMP: &str = "LAMP";
const UNTIL: &str = "lamp-until";
const KEEP_ALIVE_S: u64 = 30;

struct Doorbell;

bindings::export!(Doorbell with_types_in bindings);

impl Guest for Doorbell {
    fn handle_edge(event: Event) -> Result<(), Error> {
        ring(&event).map_err(Error::Other)
    }

    fn handle_timer_request() {
        if let Err(sentence) = put_out_in_time() {
            eprintln!("{sentence}");
        }
    }
}

fn ring(event: &Event) -> Result<(), String> {
    let broker = variables::get("broker").map_err(told("the variable broker"))?;
    let connection = Connection::open(&broker, "", "", KEEP_ALIVE_S).map_err(told("connecting"))?;
    let Event { sequence, missed, .. } = event;
    let message = format!(r#"{{"ring":{sequence},"missed":{missed}}}"#);
    connection
        .publish("home/doorbell", message.as_bytes(), Qos::AtLeastOnce)
        .map_err(told("publishing"))?;

    lamp()?.set_high().map_err(told("the lamp"))?;
    let until = monotonic_clock::now() + LAMP_NS;
    store()?.set(UNTIL, &until.to_le_bytes()).map_err(told("the store"))
}

fn put_out_in_time() -> Result<(), String> {
    let lamp = lamp()?;
    if lamp.is_set_low().map_err(told("the lamp"))? {
        return Ok(());
    }
    let until = store()?.get(UNTIL).map_err(told("the store"))?;
    let until = until.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    let left = until.unwrap_or(0).saturating_sub(monotonic_clock::now());
    // The clock starts anew with the board: what is longer than it can be is of an earlier time.
    match left == 0 || left > LAMP_NS {
        true => lamp.set_low().map_err(told("the lamp")),
        false => Ok(()),
    }
}

fn lamp() -> Result<StatefulOutputPin, String> {
    open_stateful_output(LAMP).map_err(told("opening the lamp"))
}

fn store() -> Result<Store, String> {
    Store::open("default").map_err(told("opening the store"))
}

fn told<E: Debug>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}
