//! The GPIO lines, from outside.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, unreachable_pub)]

use pirn_triggers::gpio::simulated::SimulatedPins;
use pirn_triggers::gpio::*;
use std::time::Duration;

fn line(name: &str, offset: u32) -> LineId {
    let chip_label = "sim".to_owned();
    LineId { name: name.into(), chip_label, kernel_names: Vec::new(), offset: Some(offset) }
}

#[tokio::test(start_paused = true)]
async fn a_press_is_two_edges_and_an_output_is_seen_outside() {
    let pins = SimulatedPins::new([line("BUTTON", 0), line("LAMP", 1)]);
    let chips = Chips::Simulated(pins.clone());
    let options = InputOptions {
        line: line("BUTTON", 0),
        edges: Edges::Both,
        debounce: None,
        bias: Bias::AsIs,
        active: Active::High,
    };
    let mut input = Input::open(chips.clone(), options, None);
    let (pressed, edge) =
        tokio::join!(pins.press("BUTTON", Duration::from_millis(50)), input.next());
    pressed.unwrap();
    assert_eq!((edge.edge, edge.sequence, edge.missed), (EdgeKind::Rising, 1, 0));
    let edge = input.next().await;
    assert_eq!((edge.edge, edge.timestamp_ns, edge.sequence), (EdgeKind::Falling, 50_000_000, 2));
    let lamp = OutputOptions {
        line: line("LAMP", 1),
        active: Active::Low,
        initial: Level::Low,
        safe: Level::Low,
        toggles_per_second_max: None,
        on_longest: None,
        group: None,
    };
    let outputs = Outputs::open(chips, vec![lamp], None).unwrap();
    outputs.set(0, Level::High).unwrap();
    assert_eq!(pins.level("LAMP").unwrap(), Level::Low);
    assert_eq!(outputs.level(0).unwrap(), Level::High);
}
