//! Key-values and variables in WASI's words, and in those of the first guests: the same stores, the same values, on every
//! engine.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;
use pirn_tests::process::Running;
use pirn_tests::{PATIENCE, machine};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

struct Scene {
    outside: Peer,
    pirnd: Running,
    _app: ScratchApp,
    _broker: Mosquitto,
}

fn scene(engine: &str) -> Scene {
    let broker = Mosquitto::start();
    let more = format!(
        "[component.app.tool.pirn]\nengine = \"{}\"\nstate = \"1KiB\"\n",
        machine::engine(engine)
    );
    let parts = [
        Part::new("app", "keyvalue", "cmd/#").with(&more),
        Part::new("other", "mqtt-sync", "other/#"),
    ];
    let app = ScratchApp::of(&broker.address(), &parts).built();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(&[]);
    Scene { outside, pirnd, _app: app, _broker: broker }
}

impl Scene {
    fn ask(&self, topic: &str, steps: &str) -> String {
        self.outside.publish(topic, steps);
        let answer = self.outside.next_within(PATIENCE);
        answer.unwrap_or_else(|| panic!("no answer to {steps:?}\n{}", self.pirnd.printed())).1
    }

    /// One line each, and its answer, or how that begins if it ends with `…`.
    fn check(&self, way: &str, conversation: &[(&str, &str)]) {
        let steps: Vec<&str> = conversation.iter().map(|(step, _)| *step).collect();
        let answers = self.ask(&format!("cmd/{way}"), &steps.join("\n"));
        let found: Vec<&str> = answers.split('\n').collect();
        assert_eq!(found.len(), conversation.len(), "{way}: {answers}");
        for ((step, expected), answer) in conversation.iter().zip(found) {
            let fits = match expected.strip_suffix('…') {
                Some(beginning) => answer.starts_with(beginning),
                None => answer == *expected,
            };
            assert!(
                fits,
                "{way}: {step}: {answer:?}, expected {expected:?}\n{}",
                self.pirnd.printed()
            );
        }
    }
}

#[test]
fn wasis_interfaces_and_spins_first_one_keep_values_in_the_same_stores_on_every_engine() {
    for engine in ENGINES {
        let scene = scene(engine);
        scene.check(
            "wasi",
            &[
                ("get a", "error: nothing is open"),
                ("open secret", "error: AccessDenied"),
                ("open default", "ok"),
                ("get a", "none"),
                ("set a 1", "ok"),
                ("set b 2", "ok"),
                ("get a", "some 1"),
                ("exists a", "true"),
                ("keys", "a b"),
                ("keys a", "b"),
                ("delete a", "ok"),
                ("exists a", "false"),
                ("add n 40", "40"),
                ("add n -42", "-2"),
                ("add b 1", "error: Other(\"the value of \\\"b\\\" is no number…"),
                ("race r mine", "failed, now some meanwhile, done"),
                ("get r", "some mine"),
                ("many x=1 y=2", "x: some 1, y: some 2, nowhere: none"),
                ("keys", "b n r y"),
            ],
        );
        assert_eq!(scene.ask("other/kv-keys", ""), "b\nn\nr\ny");
        scene.check(
            "v1",
            &[
                ("get b", "error: InvalidStore"),
                ("open secret", "error: AccessDenied"),
                ("open default", "ok"),
                ("get b", "some 2"),
                ("get a", "error: NoSuchKey"),
                ("set a 3", "ok"),
                ("exists a", "true"),
                ("delete a", "ok"),
                ("keys", "b n r y"),
                ("close", "ok"),
                ("get b", "error: InvalidStore"),
            ],
        );
    }
}

#[test]
fn what_a_component_may_keep_bounds_every_way_to_keep_it() {
    let scene = scene("auto");
    let large = "x".repeat(2_000);
    let full = "error: Other(\"the stores of component `app` may hold 1 KiB in all…";
    scene.check(
        "wasi",
        &[
            ("open default", "ok"),
            (&format!("set a {large}"), full),
            (&format!("many a=1 b={large}"), "error: Other(\"store `default` may hold 1024 bytes…"),
            ("keys", ""),
            (&format!("set a {}", "x".repeat(1_020)), "ok"),
            ("add n 1", full),
        ],
    );
    scene.check(
        "v1",
        &[("open default", "ok"), (&format!("set b {large}"), "error: Io(\"the stores…")],
    );
}

#[test]
fn variables_are_wasis_configuration() {
    let scene = scene("auto");
    let answers = scene.ask("cmd/wasi", "config broker\nconfig nowhere\nconfig No-Name\nconfig");
    let found: Vec<&str> = answers.split('\n').collect();
    assert!(found[0].starts_with("some mqtt://127.0.0.1:"), "{answers}");
    assert_eq!(&found[1..], ["none", "none", "broker"], "{answers}");
}
