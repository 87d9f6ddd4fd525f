//! An app with GPIO lines under test, wherever it runs: on the workbench with simulated lines, or on an
//! emulated board with real ones. The test is outside, where buttons are pressed and lamps are seen.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;

use crate::apps::ScratchApp;
use crate::board::{Board, Cpu, Files, HOST, Level, Started};
use crate::broker::Mosquitto;
use crate::peer::Peer;
use crate::process::Running;
use crate::{eventually, pirn, pirnd_for};

/// The lines of the app under test: the name, the board's line, and what the operator says of it.
const LINES: &[(&str, u8, &str)] = &[
    ("BUTTON", 0, ""),
    ("DOOR", 1, ""),
    ("SHORT", 2, "on_longest = \"300ms\""),
    ("SLOW", 4, "toggles_per_second_max = 2"),
    ("LAMP", 5, ""),
    ("UP", 6, "group = \"motor\""),
    ("DOWN", 7, "group = \"motor\""),
];

/// An app with GPIO lines, seen from outside.
pub trait Bench {
    /// Puts a level on an input.
    fn drive(&self, name: &str, level: Level);
    /// The level of an output.
    fn level(&self, name: &str) -> Option<Level>;
    /// Its broker's other side, subscribed to `answer/#`.
    fn outside(&self) -> &Peer;
    /// What the runner printed.
    fn printed(&self) -> String;
    /// Tells the runner to stop, and waits until it has.
    fn stop(&mut self);

    /// Waits until an output has this level.
    fn wait_for_level(&self, name: &str, level: Level) {
        eventually(&format!("{name} to be {level:?}"), || {
            (self.level(name) == Some(level)).then_some(())
        });
    }

    /// Asks the component to do something with a line; its answer.
    fn ask(&self, command: &str, line: &str) -> String {
        self.outside().publish(&format!("cmd/{command}"), line);
        let (topic, answer) = self.outside().next();
        assert_eq!(topic, format!("answer/{command}"), "{}", self.printed());
        answer
    }
}

/// The app under test, for a board with the lines of QEMU's machine `virt`, built for it.
#[must_use]
pub fn app() -> ScratchApp {
    let manifest = r#"spin_manifest_version = 2
[application]
name = "scratch"
[variables]
broker = { required = true }
[application.trigger.mqtt]
address = "{{ broker }}"
[[trigger.gpio]]
component = "app"
line = "BUTTON"
[[trigger.mqtt]]
component = "app"
topic = "cmd/+"
[component.app]
source = "gpio.wasm"
allowed_outbound_hosts = ["{{ broker }}"]
[component.app.variables]
broker = "{{ broker }}"
[component.app.tool.pirn]
deadline = "1s"
gpio = { DOOR = "input", SHORT = "output", SLOW = "output", LAMP = "output", UP = "output", DOWN = "output" }
"#;
    let app = ScratchApp::with_manifest(manifest);
    app.copy(&crate::guests::guest("gpio"), "gpio.wasm");
    let tables = LINES.iter().map(|(name, line, more)| {
        format!("[tool.pirn.gpio.{name}]\nline = \"LINE{line}\"\n{more}\n")
    });
    let operator: String = tables.collect();
    std::fs::write(app.file("operator.toml"), operator).expect("the operator's file");
    app
}

/// The app on the workbench.
pub struct Workbench {
    running: Running,
    pins: PathBuf,
    outside: Peer,
    _broker: Mosquitto,
    _app: ScratchApp,
}

impl Workbench {
    /// Starts an app, whose operator's file is in its folder, with `pirn up`; its answers come below
    /// these topics.
    #[must_use]
    pub fn up(app: ScratchApp, topics: &str) -> Self {
        let broker = Mosquitto::start();
        let manifest = std::fs::read_to_string(app.file("spin.toml")).expect("its manifest");
        let mut command = Command::new(pirn());
        command.args(["up", "--board", "qemu-virt-aarch64", "-f"]).arg(app.path());
        command.arg("--runtime-config-file").arg(app.file("operator.toml"));
        // An app that only watches lines and clocks needs no broker.
        if manifest.contains("[variables]") {
            command.args(["--variable", &format!("broker={}", broker.address())]);
        }
        let running = Running::start(&mut command);
        running.wait_for("Running ");
        let outside = Peer::subscribed(broker.port(), topics);
        let pins = app.file(".pirn-state/pins.sock");
        Self { running, pins, outside, _broker: broker, _app: app }
    }

    /// Waits until it is connected to its broker.
    #[must_use]
    pub fn connected(self) -> Self {
        self.running.wait_for("connected to");
        self
    }

    fn request(&self, request: &str) -> Vec<String> {
        let mut stream = UnixStream::connect(&self.pins).expect("the pins' socket");
        writeln!(stream, "{request}").expect("it listens");
        BufReader::new(stream).lines().map_while(Result::ok).collect()
    }
}

impl Bench for Workbench {
    fn drive(&self, name: &str, level: Level) {
        let level = if level == Level::High { "high" } else { "low" };
        assert_eq!(self.request(&format!("set {level} {name}")), ["ok"]);
    }

    fn level(&self, name: &str) -> Option<Level> {
        let rows = self.request("list");
        let row = rows.iter().find(|row| row.ends_with(&format!("\t{name}")))?;
        Some(if row.starts_with("high") { Level::High } else { Level::Low })
    }

    fn outside(&self) -> &Peer {
        &self.outside
    }

    fn printed(&self) -> String {
        self.running.printed()
    }

    fn stop(&mut self) {
        self.running.signal("TERM");
        assert!(self.running.wait().success(), "{}", self.running.printed());
    }
}

/// The app on an emulated board.
pub struct Emulated {
    /// The board.
    pub board: Board,
    /// The runner there.
    pub pirnd: Started,
    outside: Peer,
    _broker: Mosquitto,
}

impl Emulated {
    /// Boots a board and starts `pirnd up` there, its component run by this engine.
    #[must_use]
    pub fn up(cpu: Cpu, name: &str, engine: &str) -> Self {
        let (app, broker) = (app().on("app", engine).built_for(name), Mosquitto::start());
        let files =
            Files::new().with("bin/pirnd", &pirnd_for(cpu.target())).with_folder("app", app.path());
        let board = Board::boot(cpu, budget(name) >> 20, &files);
        let pirnd = board.start(&format!(
            "pirnd up /app --board {name} --runtime-config-file /app/operator.toml \
             --state-dir /run/state --variable broker=mqtt://{HOST}:{}",
            broker.port()
        ));
        board.wait_for(&pirnd, ": connected");
        let outside = Peer::subscribed(broker.port(), "answer/#");
        Self { board, pirnd, outside, _broker: broker }
    }
}

/// The bytes that a shipped board grants to the runner.
///
/// # Panics
/// If there is no such board.
#[must_use]
pub fn budget(board: &str) -> u64 {
    pirn_runner::files::board::Board::shipped(board).expect("a shipped board").memory.budget_bytes
}

fn line(name: &str) -> u8 {
    LINES.iter().find(|(known, ..)| *known == name).expect("a line of the app").1
}

impl Bench for Emulated {
    fn drive(&self, name: &str, level: Level) {
        self.board.drive(line(name), level);
    }

    fn level(&self, name: &str) -> Option<Level> {
        self.board.output(line(name))
    }

    fn outside(&self) -> &Peer {
        &self.outside
    }

    fn printed(&self) -> String {
        self.board.printed(&self.pirnd)
    }

    fn stop(&mut self) {
        self.board.signal(&self.pirnd, "TERM");
        self.board.wait_end(&self.pirnd);
    }
}
