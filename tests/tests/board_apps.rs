//! Examples and time on emulated boards: real lines, a real clock that is set, a runner that is killed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use pirn_tests::apps::ScratchApp;
use pirn_tests::board::{Board, Cpu, Files, HOST, Level, Started};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;
use pirn_tests::pins::budget;
use pirn_tests::{PATIENCE, eventually, pirnd_for};

/// Where the example's button and lamp are on QEMU's chip.
const OPERATOR: &str = r#"
[tool.pirn.gpio.BUTTON]
line = "LINE0"
[tool.pirn.gpio.LAMP]
line = "LINE5"
safe = "low"
"#;
const BUTTON: u8 = 0;
const LAMP: u8 = 5;

/// What systemd does with a unit that has `ExecStopPost=pirnd safe-state …`.
const SUPERVISED: &str = "#!/bin/sh\npirnd up \"$@\"\nexec pirnd safe-state \"$@\"\n";

struct Doorbell {
    board: Board,
    pirnd: Started,
    outside: Peer,
    _broker: Mosquitto,
}

/// How the button is pressed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Button {
    /// As the example has it: what is shorter than its debounce is no press, so the finger takes its time.
    Debounced,
    /// Without debounce, so that every edge counts: pressed again as soon as the bell has rung.
    Raw,
}

impl Button {
    fn pause(self) -> Duration {
        Duration::from_millis(if self == Self::Debounced { 150 } else { 0 })
    }
}

impl Doorbell {
    fn up(cpu: Cpu, name: &str, button: Button, engine: &str) -> Self {
        let (app, broker) = (ScratchApp::example("doorbell"), Mosquitto::start());
        if button == Button::Raw {
            let manifest = std::fs::read_to_string(app.file("spin.toml")).unwrap();
            let raw = manifest.replace("debounce = \"30ms\"\n", "");
            assert_ne!(raw, manifest, "the example has another debounce now");
            std::fs::write(app.file("spin.toml"), raw).unwrap();
        }
        let app = app.on("doorbell", engine);
        // What is interpreted needs no artifact: the folder is copied as it is.
        let app = if engine == "interpreted" { app } else { app.built_for(name) };
        let files = Files::new()
            .with("bin/pirnd", &pirnd_for(cpu.target()))
            .with_text("operator.toml", OPERATOR)
            .with_text("bin/supervised", SUPERVISED)
            .with_folder("app", app.path());
        let board = Board::boot(cpu, budget(name) >> 20, &files);
        let pirnd = board.start(&format!(
            "sh /bin/supervised /app --board {name} --runtime-config-file /operator.toml \
             --state-dir /run/state --variable broker=mqtt://{HOST}:{}",
            broker.port()
        ));
        board.wait_for(&pirnd, ": connected");
        let outside = Peer::subscribed(broker.port(), "home/doorbell");
        Self { board, pirnd, outside, _broker: broker }
    }

    /// The runner itself, below the shell that watches over it.
    fn runner_id(&self) -> String {
        self.board.run("pidof pirnd").trim().to_owned()
    }

    /// One press after the other; how long each took from the finger to the broker's other side.
    fn press(&self, times: u32, button: Button) -> Vec<Duration> {
        let press = |n: u32| {
            let begun = Instant::now();
            self.board.drive(BUTTON, Level::High);
            let (_, message) = self.outside.next();
            let took = begun.elapsed();
            assert_eq!(message, format!(r#"{{"ring":{n},"missed":0}}"#));
            std::thread::sleep(button.pause());
            self.board.drive(BUTTON, Level::Low);
            std::thread::sleep(button.pause());
            took
        };
        (1..=times).map(press).collect()
    }

    fn say(&self, name: &str, mut latencies: Vec<Duration>) {
        latencies.sort();
        let at = |part: f64| latencies[((latencies.len() - 1) as f64 * part) as usize];
        println!(
            "{name}: {} presses, none lost, in order; from the line to the broker's other side \
             p50 {:.1?}, p99 {:.1?}, longest {:.1?}, under emulation",
            latencies.len(),
            at(0.5),
            at(0.99),
            at(1.0)
        );
        let status = self.board.run(&format!("grep VmHWM /proc/{}/status", self.runner_id()));
        let peak_kib: u64 = status.split_whitespace().nth(1).unwrap().parse().unwrap();
        let budget_kib = budget("qemu-virt-arm") >> 10;
        println!("{name}: pirnd used at most {peak_kib} KiB of {budget_kib} KiB");
        assert!(peak_kib <= budget_kib, "{peak_kib} KiB is more than the board's budget");
    }

    /// A killed runner leaves the lamp on; who comes after it puts it out.
    fn kill(&self) {
        self.board.drive(BUTTON, Level::High);
        eventually("the lamp", || (self.board.output(LAMP) == Some(Level::High)).then_some(()));
        self.board.run(&format!("kill -KILL {}", self.runner_id()));
        let begun = Instant::now();
        eventually("the lamp to be put out", || {
            (self.board.output(LAMP) == Some(Level::Low)).then_some(())
        });
        let took = begun.elapsed();
        println!("the lamp was put out {took:.1?} after kill -9, under emulation");
        self.board.wait_for(&self.pirnd, "outputs at their safe levels: LAMP");
    }
}

#[test]
fn a_thousand_presses_of_a_doorbell_arrive_in_order_and_kill_9_leaves_the_lamp_out() {
    let doorbell = Doorbell::up(Cpu::Aarch64, "qemu-virt-aarch64", Button::Raw, "native");
    let latencies = doorbell.press(1_000, Button::Raw);
    doorbell.say("qemu-virt-aarch64", latencies);
    doorbell.kill();
}

#[test]
fn the_doorbell_rings_and_lights_its_lamp_for_a_while_as_bytecode_on_a_32_bit_board() {
    ring_on_a_32_bit_board("pulley");
}

#[test]
fn the_doorbell_does_the_same_interpreted_with_nothing_but_its_component_on_the_board() {
    ring_on_a_32_bit_board("interpreted");
}

fn ring_on_a_32_bit_board(engine: &str) {
    let doorbell = Doorbell::up(Cpu::Arm, "qemu-virt-arm", Button::Debounced, engine);
    let status = doorbell.board.run(
        "pirnd status /app --board qemu-virt-arm --runtime-config-file /operator.toml --state-dir /run/state",
    );
    assert!(status.contains(engine), "{status}");
    let latencies = doorbell.press(50, Button::Debounced);
    doorbell.say(&format!("qemu-virt-arm, {engine}, 30 ms debounce"), latencies);
    eventually("the lamp to go out by itself", || {
        (doorbell.board.output(LAMP) == Some(Level::Low)).then_some(())
    });
    doorbell.kill();
}

#[test]
fn what_is_wrong_with_the_chip_is_said_before_anything_runs() {
    let (app, wrong) = (ScratchApp::example("doorbell"), ScratchApp::example("doorbell"));
    let app = app.built_for("qemu-virt-aarch64");
    let pi =
        "[tool.pirn.gpio.BUTTON]\nline = \"GPIO17\"\n[tool.pirn.gpio.LAMP]\nline = \"GPIO27\"\n";
    let files = Files::new()
        .with("bin/pirnd", &pirnd_for(Cpu::Aarch64.target()))
        .with_text("operator.toml", OPERATOR)
        .with_text("pi.toml", pi)
        .with_text("etc/passwd", "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n")
        .with_folder("app", app.path())
        .with_folder("wrong", wrong.built_for("pi-zero-2w").path());
    let board = Board::boot(Cpu::Aarch64, 64, &files);
    board.run("mkdir -m 777 /run/state");
    let refused = |command: &str, parts: &[&str]| {
        let ended = board.try_run(command);
        assert_eq!(ended.code, Some(2), "{}", ended.out);
        for part in parts {
            assert!(ended.out.contains(part), "{part:?} is not in:\n{}", ended.out);
        }
    };
    refused(
        "pirnd verify /wrong --board pi-zero-2w --runtime-config-file /pi.toml --state-dir /run/state",
        &["no GPIO chip with the label \"pinctrl-bcm2835\"", "9030000.pl061"],
    );
    let here = "/app --board qemu-virt-aarch64 --runtime-config-file /operator.toml --state-dir /run/state";
    refused(
        &format!("su nobody -c \"pirnd up {here}\""),
        &["no permission to open /dev/gpiochip0", "gpio", "udev rule"],
    );
    assert!(board.run(&format!("pirnd verify {here}")).contains("is fine for"));
}

#[test]
fn a_line_that_another_program_holds_is_said_and_taken_when_it_is_free() {
    let name = "qemu-virt-aarch64";
    let first = Doorbell::up(Cpu::Aarch64, name, Button::Raw, "native");
    let board = &first.board;
    let broker = first._broker.port();
    let second = board.start(&format!(
        "pirnd up /app --board {name} --runtime-config-file /operator.toml --state-dir /run/second \
         --variable broker=mqtt://{HOST}:{broker}"
    ));
    board.wait_for(&second, "line BUTTON: the line is in use by");
    board.wait_for(&second, "running doorbell");
    board.run(&format!("kill -TERM {}", first.pirnd.id));
    board.run("kill -TERM $(pidof pirnd | tr \" \" \"\\n\" | sort -n | head -n 1)");
    board.wait_for(&second, "line BUTTON is there now");
    board.drive(BUTTON, Level::High);
    assert_eq!(first.outside.next().1, r#"{"ring":1,"missed":0}"#);
}

/// Two components, of Spin's cron and timer worlds, both every second.
const CLOCKWORK: &str = r#"spin_manifest_version = 2
[application]
name = "clockwork"
[variables]
broker = { required = true }
[application.trigger.mqtt]
address = "{{ broker }}"
[[trigger.cron]]
component = "cron"
cron_expression = "* * * * * *"
[[trigger.timer]]
component = "timer"
interval = "500ms"
[component.cron]
source = "cron-sync.wasm"
allowed_outbound_hosts = ["{{ broker }}"]
variables = { broker = "{{ broker }}" }
[component.timer]
source = "timer.wasm"
allowed_outbound_hosts = ["{{ broker }}"]
variables = { broker = "{{ broker }}" }
"#;

const YEAR: i64 = 365 * 86_400;
/// 1 July 2026.
const NOW: i64 = 1_782_864_000;

/// What comes while a clock is set.
struct Clockwork {
    board: Board,
    pirnd: Started,
    outside: Peer,
    /// Every time that cron was handed.
    seen: BTreeSet<i64>,
    cron_events: usize,
}

impl Clockwork {
    /// Counts until so many ticks of the timer came; the cron times among them.
    fn during_ticks(&mut self, ticks: usize) -> Vec<i64> {
        let (mut left, mut times) = (ticks, Vec::new());
        while left > 0 {
            match self.outside.next() {
                (topic, _) if topic == "answer/timer" => left -= 1,
                (_, time) => times.push(time.parse().unwrap()),
            }
        }
        self.cron_events += times.len();
        self.seen.extend(&times);
        times
    }

    /// Sets the clock and lets some time go by: cron goes on from there, and nothing before it comes.
    fn set(&mut self, to: i64) {
        self.board.set_clock(to);
        // What was on its way when the clock was set.
        let _ = self.during_ticks(2);
        let times = self.during_ticks(12);
        assert!(!times.is_empty(), "cron is silent at {to}: {}", self.board.printed(&self.pirnd));
        let near = to..to + PATIENCE.as_secs() as i64 * 2;
        assert!(times.iter().all(|time| near.contains(time)), "at {to} cron was handed {times:?}");
    }
}

#[test]
fn a_clock_that_is_set_by_years_runs_nothing_twice_and_storms_nothing() {
    let broker = Mosquitto::start();
    let app = ScratchApp::with_manifest(CLOCKWORK);
    for guest in ["cron-sync", "timer"] {
        app.copy(&pirn_tests::guests::guest(guest), &format!("{guest}.wasm"));
    }
    let name = "qemu-virt-aarch64";
    let app = app.built_for(name);
    let files = Files::new()
        .with("bin/pirnd", &pirnd_for(Cpu::Aarch64.target()))
        .with_folder("app", app.path());
    let board = Board::boot(Cpu::Aarch64, budget(name) >> 20, &files);
    board.set_clock(86_400);
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = board.start(&format!(
        "pirnd up /app --board {name} --state-dir /run/state --variable broker=mqtt://{HOST}:{}",
        broker.port()
    ));
    board.wait_for(&pirnd, "cron waits for the clock");
    let mut clockwork = Clockwork { board, pirnd, outside, seen: BTreeSet::new(), cron_events: 0 };
    assert_eq!(clockwork.during_ticks(6), [] as [i64; 0], "nobody believes in 1970");
    for to in [NOW, NOW + YEAR, NOW + 60, NOW + 2 * YEAR] {
        clockwork.set(to);
    }
    clockwork.board.set_clock(86_400);
    let _ = clockwork.during_ticks(2);
    assert_eq!(clockwork.during_ticks(6), [] as [i64; 0], "nobody believes in 1970");
    clockwork.set(NOW + 120);
    let Clockwork { seen, cron_events, .. } = clockwork;
    assert_eq!(seen.len(), cron_events, "a second was handed out twice");
    println!("{cron_events} seconds, each once, while the clock was set six times");
}
