//! What the books of the fault battery are computed from: whatever it is handed is a number, and what it does
//! with a number is seen from outside.
//!
//! Topics are `in/LANE/COMMAND`, payloads `NUMBER AMOUNT` and then anything. Each command but `refuse` ends with
//! the number published on `out/LANE` at QoS 1.
//!
//! | command | before that |
//! |---|---|
//! | `pass` | nothing |
//! | `keep` | sets the key `LANE-(NUMBER mod 100)` to the number |
//! | `late` | publishes the number on `begun/LANE` at QoS 0 and waits AMOUNT milliseconds |
//! | `other` | nothing, but publishes to the broker of the variable `other` |
//! | `calls` | asks the host for a variable AMOUNT times |
//! | `refuse` | refuses the message |
//!
//! At a tick it publishes the number after the one kept as `told` on `out/tick`; when that was accepted, the number
//! is kept as `told`. So each number up to `told` was promised to it.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        inline: "
            package pirn:ledger;

            world ledger {
                include fermyon:example/spin-timer;
                use spin:mqtt-trigger/spin-mqtt-types.{error as refusal, metadata, payload};
                export handle-message: func(message: payload, metadata: metadata) -> result<_, refusal>;
                import fermyon:spin/mqtt@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import fermyon:spin/key-value@2.0.0;
            }
        ",
        generate_all,
    });
}

use bindings::fermyon::spin::key_value::Store;
use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Guest, Metadata, Payload, Refusal};
use std::time::Duration;

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Refusal> {
        handle(&message, &metadata.topic).map_err(Refusal::Other)
    }

    fn handle_timer_request() {
        if let Err(error) = tick() {
            eprintln!("the tick: {error}");
        }
    }
}

fn handle(message: &[u8], topic: &str) -> Result<(), String> {
    let head = String::from_utf8_lossy(&message[..message.len().min(40)]);
    let mut words = head.split(' ');
    let number: u64 = next(&mut words).ok_or("the payload begins with no number")?;
    let amount: u64 = next(&mut words).unwrap_or(0);
    let mut levels = topic.split('/').skip(1);
    let (lane, command) = (levels.next().unwrap_or("none"), levels.next().unwrap_or("pass"));
    let out = format!("out/{lane}");
    match command {
        "keep" => keep(&format!("{lane}-{}", number % 100), number)?,
        "late" => {
            publish("broker", &format!("begun/{lane}"), number, Qos::AtMostOnce)?;
            std::thread::sleep(Duration::from_millis(amount));
        }
        "other" => return publish("other", &out, number, Qos::AtLeastOnce),
        "calls" => {
            for _ in 0..amount {
                variable("broker")?;
            }
        }
        "refuse" => return Err("it was asked to refuse".to_owned()),
        _ => {}
    }
    publish("broker", &out, number, Qos::AtLeastOnce)
}

fn tick() -> Result<(), String> {
    let store = store()?;
    let kept = store.get("told").map_err(|error| format!("{error:?}"))?.unwrap_or_default();
    let number = String::from_utf8_lossy(&kept).parse::<u64>().unwrap_or(0) + 1;
    publish("broker", "out/tick", number, Qos::AtLeastOnce)?;
    keep("told", number)
}

fn next<'a>(words: &mut impl Iterator<Item = &'a str>) -> Option<u64> {
    words.next()?.parse().ok()
}

fn store() -> Result<Store, String> {
    Store::open("default").map_err(|error| format!("{error:?}"))
}

fn keep(key: &str, number: u64) -> Result<(), String> {
    store()?.set(key, number.to_string().as_bytes()).map_err(|error| format!("{error:?}"))
}

fn variable(name: &str) -> Result<String, String> {
    variables::get(name).map_err(|error| format!("{error:?}"))
}

fn publish(broker: &str, topic: &str, number: u64, qos: Qos) -> Result<(), String> {
    let connection = Connection::open(&variable(broker)?, "", "", 30);
    connection
        .and_then(|connection| connection.publish(topic, number.to_string().as_bytes(), qos))
        .map_err(|error| format!("{error:?}"))
}
