//! The runner on emulated boards: a real kernel, real GPIO lines driven from outside, a broker on the
//! host, memory limited to what the board file promises.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::board::{Board, Cpu, Files, HOST, Level};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;

/// The echo example on a board: answered through the host's broker, within the board's memory.
fn echo(cpu: Cpu, board_name: &str) {
    let budget = pirn_runner::files::board::Board::shipped(board_name).unwrap().memory.budget_bytes;
    let broker = Mosquitto::start();
    let app = ScratchApp::example("echo").built_for(board_name);
    let files = Files::new()
        .with("bin/pirnd", &pirn_tests::pirnd_for(cpu.target()))
        .with_folder("app", app.path());
    let board = Board::boot(cpu, budget >> 20, &files);
    let address = format!("mqtt://{HOST}:{}", broker.port());
    let pirnd = board.start(&format!(
        "pirnd up /app --board {board_name} --state-dir /run/state --variable broker={address}"
    ));
    board.wait_for(&pirnd, ": connected");
    let outside = Peer::subscribed(broker.port(), "bench/out");
    for n in 0..100 {
        outside.publish("bench/in/1", n.to_string());
        assert_eq!(outside.next().1, n.to_string());
    }
    let peak_kib = board.peak_kib(&pirnd);
    println!("{board_name}: pirnd used at most {peak_kib} KiB of {} KiB", budget >> 10);
    assert!(peak_kib << 10 <= budget, "{peak_kib} KiB is more than the board's budget");
    board.signal(&pirnd, "TERM");
    board.wait_end(&pirnd);
}

#[test]
fn the_echo_example_answers_from_a_64_bit_board_within_its_memory() {
    echo(Cpu::Aarch64, "pi-zero-2w");
}

#[test]
fn the_echo_example_answers_from_a_32_bit_board_within_its_memory() {
    echo(Cpu::Arm, "beaglebone-black");
}

/// The kernel's own view of a line, through its old interface, so that the harness is not judged by
/// what it is to judge.
fn lines_work_in_both_directions(cpu: Cpu) {
    let board = Board::boot(cpu, 64, &Files::new());
    let base = board.run("cat /sys/class/gpio/gpiochip*/base");
    let base: u32 = base.trim().parse().unwrap();
    let (button, lamp) = (base, base + 5);
    board.run(&format!("echo {button} >/sys/class/gpio/export"));
    board.run(&format!("echo in >/sys/class/gpio/gpio{button}/direction"));
    for (level, seen) in [(Level::High, "1"), (Level::Low, "0"), (Level::High, "1")] {
        board.drive(0, level);
        assert_eq!(board.run(&format!("cat /sys/class/gpio/gpio{button}/value")).trim(), seen);
    }
    board.run(&format!("echo {lamp} >/sys/class/gpio/export"));
    board.run(&format!("echo low >/sys/class/gpio/gpio{lamp}/direction"));
    while board.next_output_change(Duration::from_millis(200)).is_some() {}
    for (value, level) in [(1, Level::High), (0, Level::Low), (1, Level::High)] {
        board.run(&format!("echo {value} >/sys/class/gpio/gpio{lamp}/value"));
        let change = board.next_output_change(pirn_tests::PATIENCE).unwrap();
        assert_eq!((change.line, change.level), (5, level));
        assert_eq!(board.output(5), Some(level));
    }
}

#[test]
fn lines_of_a_64_bit_board_are_driven_and_seen_from_outside() {
    lines_work_in_both_directions(Cpu::Aarch64);
}

#[test]
fn lines_of_a_32_bit_board_are_driven_and_seen_from_outside() {
    lines_work_in_both_directions(Cpu::Arm);
}

#[test]
fn a_board_s_clock_is_set_and_its_processes_are_killed() {
    let board = Board::boot(Cpu::Aarch64, 64, &Files::new());
    board.set_clock(86_400);
    assert!(board.run("date -u +%Y-%m-%d").starts_with("1970-01-02"));
    let sleep = board.start("sleep 1000");
    board.signal(&sleep, "KILL");
    board.wait_end(&sleep);
    assert_ne!(board.try_run("cat /no/such/file").code, Some(0));
}

/// What a board file promises to the runner is what there is: not the gigabytes of this machine.
fn has_the_memory_that_was_asked_for(cpu: Cpu) {
    let board = Board::boot(cpu, 64, &Files::new());
    let line = board.run("grep MemAvailable /proc/meminfo");
    let free_mib = line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10;
    println!("{cpu:?}: {free_mib} MiB are free");
    assert!((48..=96).contains(&free_mib), "{free_mib} MiB are free instead of 64");
}

#[test]
fn a_64_bit_board_has_the_memory_that_was_asked_for() {
    has_the_memory_that_was_asked_for(Cpu::Aarch64);
}

#[test]
fn a_32_bit_board_has_the_memory_that_was_asked_for() {
    has_the_memory_that_was_asked_for(Cpu::Arm);
}
