//! One app with GPIO lines, one conversation with it, on the workbench's simulated lines and on real
//! ones in emulated boards.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::board::{Cpu, Level};
use pirn_tests::pins::{Bench, Emulated, Workbench};

#[test]
fn an_app_with_lines_does_on_the_workbench_what_it_is_told_on_every_engine() {
    for engine in ["native", "pulley", "interpreted"] {
        let app = pirn_tests::pins::app().on("app", engine);
        conversation(&mut Workbench::up(app, "answer/#").connected());
    }
}

#[test]
fn an_app_with_lines_does_on_a_64_bit_board_what_it_is_told() {
    on_a_board(Emulated::up(Cpu::Aarch64, "qemu-virt-aarch64", "auto"));
}

#[test]
fn an_app_with_lines_does_on_a_32_bit_board_what_it_is_told() {
    on_a_board(Emulated::up(Cpu::Arm, "qemu-virt-arm", "auto"));
}

/// There the lines outlive the runner: the lamp was on when it was stopped.
fn on_a_board(mut bench: Emulated) {
    conversation(&mut bench);
    assert_eq!(bench.level("LAMP"), Some(Level::Low));
}

fn conversation(bench: &mut dyn Bench) {
    edges_come_one_by_one_in_order(bench);
    outputs_are_seen_from_outside(bench);
    inputs_are_read(bench);
    what_was_not_granted_is_refused(bench);
    policies_hold(bench);
    a_component_that_keeps_failing_leaves_its_outputs_safe(bench);
    bench.stop();
}

fn edges_come_one_by_one_in_order(bench: &dyn Bench) {
    for n in (1..=20).step_by(2) {
        bench.drive("BUTTON", Level::High);
        assert_eq!(bench.outside().next().1, format!("BUTTON rising {n} 0"));
        bench.drive("BUTTON", Level::Low);
        assert_eq!(bench.outside().next().1, format!("BUTTON falling {} 0", n + 1));
    }
}

fn outputs_are_seen_from_outside(bench: &dyn Bench) {
    for (command, level) in [
        ("high", Level::High),
        ("low", Level::Low),
        ("toggle", Level::High),
        ("toggle", Level::Low),
        ("high", Level::High),
        ("blip", Level::Low),
    ] {
        assert_eq!(bench.ask(command, "LAMP"), "ok");
        bench.wait_for_level("LAMP", level);
    }
    assert_eq!(bench.ask("is-high", "LAMP"), "false");
    assert_eq!(bench.ask("is-low", "LAMP"), "true");
}

fn inputs_are_read(bench: &dyn Bench) {
    for (level, read) in [(Level::High, "true"), (Level::Low, "false"), (Level::High, "true")] {
        bench.drive("DOOR", level);
        assert_eq!(bench.ask("read", "DOOR"), read);
    }
}

fn what_was_not_granted_is_refused(bench: &dyn Bench) {
    for (command, line, sentence) in [
        ("high", "DOOR", "error: line \"DOOR\" is granted as an input, not as an output"),
        ("read", "LAMP", "error: line \"LAMP\" is granted as an output, not as an input"),
        ("high", "BUTTON", "error: line \"BUTTON\" is not granted to this component"),
        ("read", "LINE0", "error: line \"LINE0\" is not granted to this component"),
    ] {
        let answer = bench.ask(command, line);
        assert!(answer.starts_with(sentence), "{answer}");
    }
}

/// A line has its level before that is said.
fn is_said(bench: &dyn Bench, why: &str) {
    pirn_tests::eventually(why, || bench.printed().contains(why).then_some(()));
}

fn policies_hold(bench: &dyn Bench) {
    assert_eq!(bench.ask("high", "UP"), "ok");
    let refused = bench.ask("high", "DOWN");
    assert!(refused.starts_with("error: ") && refused.contains("UP"), "{refused}");
    assert_eq!(bench.ask("low", "UP"), "ok");
    assert_eq!(bench.ask("high", "DOWN"), "ok");
    bench.wait_for_level("DOWN", Level::High);
    assert_eq!(bench.level("UP"), Some(Level::Low));
    assert_eq!(bench.ask("low", "DOWN"), "ok");

    assert_eq!(bench.ask("high", "SHORT"), "ok");
    bench.wait_for_level("SHORT", Level::Low);
    is_said(bench, "SHORT was on for");

    assert_eq!(bench.ask("blip", "SLOW"), "ok");
    let refused = bench.ask("flicker", "SLOW");
    assert!(refused.starts_with("error: ") && refused.contains("SLOW"), "{refused}");
    assert_eq!(bench.ask("flicker", "LAMP"), "ok");
}

fn a_component_that_keeps_failing_leaves_its_outputs_safe(bench: &dyn Bench) {
    bench.outside().publish("cmd/hang", "LAMP");
    bench.wait_for_level("LAMP", Level::High);
    bench.wait_for_level("LAMP", Level::Low);
    is_said(bench, "keeps failing: its outputs");
    assert_eq!(bench.ask("high", "LAMP"), "ok");
    bench.wait_for_level("LAMP", Level::High);
}
