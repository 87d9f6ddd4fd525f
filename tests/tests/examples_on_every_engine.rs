//! Each example does the same on every engine: the same messages, the same outcomes, the same memory of
//! what was before.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::ScratchApp;
use pirn_tests::board::Level;
use pirn_tests::broker::Mosquitto;
use pirn_tests::machine;
use pirn_tests::peer::Peer;
use pirn_tests::pins::{Bench as _, Workbench};
use pirn_tests::process::run;

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

/// An example that talks to its broker, its component run by this engine.
struct Scene {
    broker: Mosquitto,
    app: ScratchApp,
}

impl Scene {
    fn of(example: &str, engine: &str) -> Self {
        let app = ScratchApp::example(example).on(example, machine::engine(engine)).built();
        Self { broker: Mosquitto::start(), app }
    }

    fn address(&self) -> [String; 2] {
        ["--variable".into(), format!("broker={}", self.broker.address())]
    }

    /// Starts it; whoever is outside sees these topics.
    fn up(&self, topics: &str) -> (pirn_tests::process::Running, Peer) {
        let outside = Peer::subscribed(self.broker.port(), topics);
        let [variable, value] = self.address();
        let words = ["--verbose", "--listen", "127.0.0.1:0", &variable, &value];
        (self.app.connected(&words), outside)
    }
}

#[test]
fn the_echo_answers_with_the_quality_that_was_asked_for() {
    for engine in ENGINES {
        let scene = Scene::of("echo", engine);
        let (_pirnd, outside) = scene.up("bench/out");
        for (topic, payload, answer) in [
            ("bench/in/0", "straße", "STRAßE"),
            ("bench/in/1", "", ""),
            ("bench/in/2", "last", "LAST"),
        ] {
            outside.publish(topic, payload);
            assert_eq!(outside.next().1, answer, "{engine}");
        }
    }
}

#[test]
fn the_thermostat_switches_remembers_and_refuses() {
    for engine in ENGINES {
        let scene = Scene::of("thermostat", engine);
        let (pirnd, outside) = scene.up("home/kitchen/#");
        let said = |heating: &str, changed: bool| {
            let (topic, status) =
                outside.until(|topic, _| topic.ends_with("/thermostat")).pop().unwrap();
            assert_eq!(topic, "home/kitchen/thermostat");
            assert!(status.contains(&format!("\"heating\":\"{heating}\"")), "{engine}: {status}");
            assert!(status.contains(&format!("\"changed\":{changed}")), "{engine}: {status}");
        };
        outside.publish("home/kitchen/temperature", "18.2");
        said("on", true);
        // Within the hysteresis only what was remembered decides.
        outside.publish("home/kitchen/temperature", "20.6");
        said("on", false);
        outside.publish("home/kitchen/temperature", "22");
        said("off", true);
        outside.publish("home/kitchen/temperature", "20.4");
        said("off", false);
        outside.publish("home/kitchen/temperature", "warm");
        pirnd.wait_for("refused: ");
    }
}

#[test]
fn the_logger_counts_from_one_run_to_the_next() {
    for engine in ENGINES {
        let scene = Scene::of("logger", engine);
        let outside = Peer::subscribed(scene.broker.port(), "home/logger");
        for (count, timestamp) in [(1, "60"), (2, "120"), (3, "120")] {
            let words = ["invoke", "logger", "--timestamp", timestamp];
            let ended = run(scene.app.pirnd(&words).args(scene.address()));
            assert_eq!(ended.code, Some(0), "{engine}: {}{}", ended.out, ended.err);
            let message = format!(r#"{{"time":{timestamp},"count":{count}}}"#);
            assert_eq!(outside.next().1, message, "{engine}");
        }
    }
}

/// An example that has lines, on simulated ones.
fn with_lines(example: &str, engine: &str) -> Workbench {
    let app = ScratchApp::example(example).on(example, engine);
    let lines = "[tool.pirn.gpio.BUTTON]\nline = \"LINE0\"\n[tool.pirn.gpio.LAMP]\nline = \"LINE5\"\nsafe = \"low\"\n";
    std::fs::write(app.file("operator.toml"), lines).unwrap();
    Workbench::up(app, "home/#")
}

#[test]
fn the_doorbell_rings_and_its_lamp_goes_out_again() {
    for engine in ENGINES {
        let mut bench = with_lines("doorbell", engine).connected();
        for ring in 1..=2 {
            bench.drive("BUTTON", Level::High);
            let (topic, message) = bench.outside().next();
            assert_eq!(topic, "home/doorbell", "{engine}");
            assert_eq!(message, format!(r#"{{"ring":{ring},"missed":0}}"#), "{engine}");
            bench.wait_for_level("LAMP", Level::High);
            bench.drive("BUTTON", Level::Low);
            bench.wait_for_level("LAMP", Level::Low);
        }
        bench.stop();
    }
}

#[test]
fn the_lamp_blinks() {
    for engine in ENGINES {
        let mut bench = with_lines("blink", engine);
        for _ in 0..2 {
            bench.wait_for_level("LAMP", Level::High);
            bench.wait_for_level("LAMP", Level::Low);
        }
        bench.stop();
    }
}
