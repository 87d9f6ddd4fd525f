//! A lamp that blinks: each tick of the timer turns it over. The component is gone between two ticks;
//! the lamp remembers.

mod bindings {
    wit_bindgen::generate!({
        path: "../../runner/wit",
        inline: "
            package pirn:blink;

            world blink {
                include fermyon:example/spin-timer;
                import wasi:gpio/digital@0.2.0;
            }
        ",
        generate_all,
    });
}

use bindings::Guest;
use bindings::wasi::gpio::digital::open_stateful_output;

struct Blink;

bindings::export!(Blink with_types_in bindings);

impl Guest for Blink {
    fn handle_timer_request() {
        let turned = open_stateful_output("LAMP").and_then(|lamp| lamp.toggle());
        if let Err(error) = turned {
            eprintln!("the lamp stays as it is: {error}");
        }
    }
}
