//! The machine that the runner under test is made for: this one, unless `PIRN_TEST_PROCESSOR` names
//! another processor, which QEMU then emulates in user mode. The same tests run for each of them; the
//! broker, the workbench and the tests themselves stay on this machine.
//!
//! `PIRN_TEST_ARTIFACT` (`wasm`, `pulley64` …) asks for another kind of artifact than the board's.

use std::path::Path;
use std::process::Command;

use crate::{built_for, native_target, pirnd, pirnd_for};

/// A processor that is emulated.
struct Processor {
    name: &'static str,
    target: &'static str,
    /// The program, and the oldest processor that the target is for.
    emulator: [&'static str; 3],
    board: &'static str,
}

const PROCESSORS: &[Processor] = &[
    Processor {
        name: "aarch64",
        target: "aarch64-unknown-linux-musl",
        emulator: ["qemu-aarch64", "-cpu", "cortex-a53"],
        board: "generic-aarch64",
    },
    Processor {
        name: "armv7",
        target: "armv7-unknown-linux-musleabihf",
        emulator: ["qemu-arm", "-cpu", "cortex-a8"],
        board: "generic-arm",
    },
    Processor {
        name: "armv6",
        target: "arm-unknown-linux-musleabihf",
        emulator: ["qemu-arm", "-cpu", "arm1176"],
        board: "generic-arm",
    },
    Processor {
        name: "riscv64",
        target: "riscv64gc-unknown-linux-musl",
        emulator: ["qemu-riscv64", "-cpu", "rv64"],
        board: "generic-riscv64",
    },
];

impl Processor {
    fn command(&self, file: &Path) -> Command {
        let [program, words @ ..] = self.emulator;
        let mut command = Command::new(program);
        command.args(words).arg(file);
        command
    }
}

fn emulated() -> Option<&'static Processor> {
    let name = std::env::var("PIRN_TEST_PROCESSOR").ok()?;
    let found = PROCESSORS.iter().find(|processor| processor.name == name);
    let known: Vec<&str> = PROCESSORS.iter().map(|processor| processor.name).collect();
    Some(found.unwrap_or_else(|| {
        panic!("PIRN_TEST_PROCESSOR is {name:?}; known are {}", known.join(", "))
    }))
}

/// The runner under test, as a command that runs on this machine.
///
/// # Panics
/// If it, or what emulates its processor, is not there.
#[must_use]
pub fn runner() -> Command {
    match emulated() {
        None => Command::new(pirnd()),
        Some(processor) => processor.command(&pirnd_for(processor.target)),
    }
}

/// Another program that `cross/targets/pirnd` makes, for the same machine.
///
/// # Panics
/// If it, or what emulates its processor, is not there.
#[must_use]
pub fn program(name: &str) -> Command {
    match emulated() {
        None => Command::new(built_for(&native_target(), name)),
        Some(processor) => processor.command(&built_for(processor.target, name)),
    }
}

/// The text of its generic board's file, with the kind of artifacts that was asked for; `None` if that is
/// the board that `pirn` and `pirnd` assume by themselves.
///
/// # Panics
/// If there is no such board.
#[must_use]
pub fn board() -> Option<String> {
    board_of(std::env::var("PIRN_TEST_ARTIFACT").ok().as_deref())
}

/// The same with this kind of artifacts.
///
/// # Panics
/// As above.
#[must_use]
pub fn board_of(kind: Option<&str>) -> Option<String> {
    let board = emulated().map(|processor| processor.board.to_owned());
    if kind.is_none() && board.is_none() {
        return None;
    }
    let board = board.unwrap_or_else(|| format!("generic-{}", std::env::consts::ARCH));
    let file = crate::guests::repository().join(format!("board-configs/{board}.toml"));
    let text = std::fs::read_to_string(file).expect("a generic board for this processor");
    let artifact = |line: &str| match (kind, line.starts_with("artifact = ")) {
        (Some(kind), true) => format!("artifact = \"{kind}\"\n"),
        _ => format!("{line}\n"),
    };
    Some(text.lines().map(artifact).collect())
}

/// What a component with this wish runs as: no compiler makes native code for 32-bit ARM, so there
/// it is what the board has.
#[must_use]
pub fn engine(wish: &str) -> &str {
    match wish == "native" && code() != "native" {
        true => "auto",
        false => wish,
    }
}

/// The code of a component without a wish, in the words of `pirnd status`.
#[must_use]
pub fn code() -> String {
    let board = board().unwrap_or_else(|| "artifact = \"native\"".into());
    let line = board.lines().find_map(|line| line.strip_prefix("artifact = \""));
    match line.unwrap_or_default().trim_end_matches('"') {
        "wasm" => "interpreted".into(),
        kind => kind.to_owned(),
    }
}
