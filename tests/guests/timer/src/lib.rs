//! Publishes `tick` on `answer/timer` at each tick.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        inline: "
            package pirn:timer;

            world timer {
                include fermyon:example/spin-timer;
                import fermyon:spin/mqtt@2.0.0;
                import fermyon:spin/variables@2.0.0;
            }
        ",
        generate_all,
    });
}

use bindings::Guest;
use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_timer_request() {
        // Without a broker it is the guest of a benchmark, which counts ticks only.
        let Ok(broker) = variables::get("broker") else { return };
        let connection = Connection::open(&broker, "", "", 30).expect("the broker is granted");
        connection.publish("answer/timer", b"tick", Qos::AtLeastOnce).expect("it is taken");
    }
}
