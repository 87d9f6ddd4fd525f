//! The test suite's hand on GPIO lines. Edges are published on `answer/edge` as `LINE rising SEQUENCE
//! MISSED`. What the last level of a message's topic says is done with the line that its payload names,
//! and answered on `answer/<command>` with `ok`, `true`, `false` or `error: …`:
//!
//! `high`, `low`, `toggle`, `is-high` and `is-low` (of an output: to which level it is set), `read` (of an
//! input), `blip` (on and off again in one event), `flicker` (over and over ten times in one event), `hang` (on, and then an endless loop).

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        inline: "
            package pirn:gpio-test;

            world gpio-test {
                include pirn:gpio-trigger/gpio-trigger@0.1.0;
                use spin:mqtt-trigger/spin-mqtt-types.{error as refusal, metadata, payload};
                export handle-message: func(message: payload, metadata: metadata) -> result<_, refusal>;
                import fermyon:spin/mqtt@2.0.0;
                import fermyon:spin/variables@2.0.0;
                import wasi:gpio/digital@0.2.0;
            }
        ",
        generate_all,
    });
}

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::pirn::gpio_trigger::gpio_types::Edge;
use bindings::wasi::gpio::digital::{open_input, open_output, open_stateful_output};
use bindings::wasi::gpio::types::{ErrorCode, PinState};
use bindings::{Error, Event, Guest, Metadata, Payload, Refusal};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_edge(event: Event) -> Result<(), Error> {
        let Event { line, edge, sequence, missed, .. } = event;
        let edge = if edge == Edge::Rising { "rising" } else { "falling" };
        answer("edge", &format!("{line} {edge} {sequence} {missed}")).map_err(Error::Other)
    }

    fn handle_message(message: Payload, metadata: Metadata) -> Result<(), Refusal> {
        let command = metadata.topic.rsplit('/').next().unwrap_or_default();
        let line = String::from_utf8_lossy(&message);
        let said = match obey(command, &line) {
            Ok(said) => said,
            Err(ErrorCode::Other(sentence)) => format!("error: {sentence}"),
        };
        answer(command, &said).map_err(Refusal::Other)
    }
}

fn obey(command: &str, line: &str) -> Result<String, ErrorCode> {
    match command {
        "high" => open_output(line)?.set_high()?,
        "low" => open_output(line)?.set_low()?,
        "toggle" => open_stateful_output(line)?.toggle()?,
        "is-high" => return Ok(open_stateful_output(line)?.is_set_high()?.to_string()),
        "is-low" => return Ok(open_stateful_output(line)?.is_set_low()?.to_string()),
        "read" => return Ok(open_input(line)?.is_high()?.to_string()),
        "blip" => {
            let pin = open_output(line)?;
            pin.set_state(PinState::High)?;
            pin.set_state(PinState::Low)?;
        }
        "flicker" => {
            let pin = open_stateful_output(line)?;
            for _ in 0..10 {
                pin.toggle()?;
            }
        }
        "hang" => {
            open_output(line)?.set_high()?;
            loop {
                std::hint::black_box(());
            }
        }
        _ => return Ok("error: unknown command".into()),
    }
    Ok("ok".into())
}

fn answer(what: &str, text: &str) -> Result<(), String> {
    let broker = variables::get("broker").map_err(|error| format!("{error:?}"))?;
    Connection::open(&broker, "", "", 30)
        .and_then(|connection| {
            connection.publish(&format!("answer/{what}"), text.as_bytes(), Qos::AtLeastOnce)
        })
        .map_err(|error| format!("{error:?}"))
}
