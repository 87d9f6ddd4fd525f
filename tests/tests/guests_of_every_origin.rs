//! Components that did not come out of `cargo build --target wasm32-wasip2` with an SDK: plain Rust, Rust for
//! WASI's preview 1 behind its adapter, C with a C library, one composed of two. Each runs as it is, on every
//! engine, through a real broker, and gives the same answers.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::time::UNIX_EPOCH;

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;
use pirn_tests::process::{self, Running};
use pirn_tests::{PATIENCE, machine};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

struct Scene {
    engine: &'static str,
    broker: Mosquitto,
    outside: Peer,
    pirnd: Running,
    _app: ScratchApp,
}

/// The guest with a little of an environment and a file, on this engine. It answers on these topics.
fn scene(guest: &str, engine: &'static str, answers: &str) -> Scene {
    let broker = Mosquitto::start();
    let settings = format!(
        "environment = {{ GREETING = \"good day\" }}\nfiles = [\"shown/*.txt\"]\n\
         [component.app.tool.pirn]\nengine = \"{}\"",
        machine::engine(engine)
    );
    let parts = [Part::new("app", guest, "cmd/#").with(&settings)];
    let app = ScratchApp::of(&broker.address(), &parts);
    fs::create_dir(app.file("shown")).unwrap();
    fs::write(app.file("shown/a.txt"), "one line\nand a second\n").unwrap();
    fs::write(app.file("secret.txt"), "not granted").unwrap();
    let app = app.built();
    let outside = Peer::subscribed(broker.port(), answers);
    let pirnd = app.connected(&[]);
    assert_runs_as(&app, machine::engine(engine));
    Scene { engine, broker, outside, pirnd, _app: app }
}

/// Asks the running `pirnd` itself, lest three engines be one.
fn assert_runs_as(app: &ScratchApp, engine: &str) {
    let status = process::run(&mut app.pirnd(&["status"]));
    let row = status.out.lines().find(|line| line.starts_with("app "));
    let form = row.and_then(|row| row.split_whitespace().nth(1)).unwrap_or_default();
    assert!(engine == "auto" || form.starts_with(engine), "{engine}: {}{}", status.out, status.err);
}

impl Scene {
    /// The answer to this, whatever its topic.
    fn ask(&self, command: &str, payload: &str) -> String {
        self.exchange(command, payload).1
    }

    fn exchange(&self, command: &str, payload: &str) -> (String, String) {
        self.outside.publish(&format!("cmd/{command}"), payload);
        let answer = self.outside.next_within(PATIENCE);
        answer.unwrap_or_else(|| panic!("no answer to {command} {payload:?}\n{}", self.account()))
    }

    /// Each command with its payload, and the answer, or how that begins if it ends with `…`.
    fn check(&self, conversation: &[(&str, &str, &str)]) {
        for (command, payload, expected) in conversation {
            let (topic, answer) = self.exchange(command, payload);
            assert_eq!(topic, format!("answer/{command}"), "{}", self.account());
            self.fits(&format!("{command} {payload:?}"), &answer, expected);
        }
    }

    fn fits(&self, question: &str, answer: &str, expected: &str) {
        let fits = match expected.strip_suffix('…') {
            Some(beginning) => answer.starts_with(beginning),
            None => answer == expected,
        };
        assert!(fits, "{question}: {answer:?}, expected {expected:?}\n{}", self.account());
    }

    fn account(&self) -> String {
        format!("{}: {}", self.engine, self.pirnd.printed())
    }

    /// Asks the plain Rust guest, which answers a question a line.
    fn question(&self, questions: &[(&str, &str)]) {
        let lines: Vec<&str> = questions.iter().map(|(question, _)| *question).collect();
        let findings = self.ask("findings", &lines.join("\n"));
        assert_eq!(findings.lines().count(), lines.len(), "{findings}\n{}", self.account());
        for ((question, expected), finding) in questions.iter().zip(findings.lines()) {
            let answer = finding.split_once(": ").map_or(finding, |(_, answer)| answer);
            self.fits(question, answer, expected);
        }
    }
}

fn assert_is_now(seconds: &str) {
    let there: u64 = seconds.parse().unwrap();
    let here = UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(there.abs_diff(here) < 60, "{there} there, {here} here");
}

/// What both builds of the plain Rust guest must find.
fn plain_rust(guest: &str, connect: &str) {
    for engine in ENGINES {
        let scene = scene(guest, engine, "findings");
        scene.question(&[
            ("list /", "shown/"),
            ("list /shown", "a.txt"),
            ("read /secret.txt", "error: NotFound…"),
            ("write /shown/a.txt", "error: ReadOnlyFilesystem…"),
            ("env GREETING", "good day"),
            ("env HOME", "error: …"),
            ("env-all", "GREETING=good day"),
            ("args", "app"),
            ("monotonic", "forward"),
            ("sleep 30", "slept"),
            ("stdin", "0 bytes"),
            ("print to the log", "printed"),
            ("print-error and to the other", "printed"),
            ("connect 127.0.0.1:1", connect),
        ]);
        scene.pirnd.wait_for("to the log");
        scene.pirnd.wait_for("and to the other");
        assert_is_now(&scene.ask("findings", "wall")["wall: ".len()..]);
        let random = scene.ask("findings", "random");
        let mut words = random.split(' ').skip(1);
        assert_ne!(words.next().unwrap(), words.next().unwrap(), "{}", scene.account());
    }
}

#[test]
fn a_component_of_plain_rust_runs_on_every_engine() {
    plain_rust("wasi-std", "error: PermissionDenied…");
}

/// Preview 1 has no sockets that one could open.
#[test]
fn a_component_adapted_from_preview_1_runs_on_every_engine() {
    plain_rust("wasi-std-preview1", "error: Unsupported…");
}

#[test]
fn a_component_written_in_c_runs_on_every_engine() {
    for engine in ENGINES {
        let scene = scene("c-libc", engine, "answer/#");
        scene.check(&[
            ("echo", "grüße", "grüße"),
            ("echo", "", ""),
            ("env", "GREETING", "good day"),
            ("env", "HOME", "none"),
            ("read", "/shown/a.txt", "22 bytes, 2 lines, 5 words"),
            ("read", "/secret.txt", "error: No such file or directory"),
            ("sort", "pear apple fig", "apple\nfig\npear"),
            ("average", "1 2.5 -7.25", "-1.25"),
            ("var", "broker", &scene.broker.address()),
            ("var", "nonsense", "error: …"),
            ("kv-open", "default", "ok"),
            ("kv-open", "secret", "error: access denied"),
            ("kv-keys", "", ""),
            ("kv-get", "a", "none"),
            ("kv-set", "a=1", "ok"),
            ("kv-set", "b=", "ok"),
            ("kv-get", "a", "some 1"),
            ("kv-get", "b", "some "),
            ("kv-keys", "", "a\nb"),
            ("print", "a line", "ok"),
        ]);
        scene.pirnd.wait_for("app: a line");
        assert_is_now(&scene.ask("time", ""));
        scene.outside.publish("cmd/refuse", "not today");
        scene.pirnd.wait_for("refused: not today");
    }
}

#[test]
fn a_component_composed_of_two_runs_on_every_engine() {
    for engine in ENGINES {
        let scene = scene("composed", engine, "answer/#");
        scene.check(&[
            ("sum-up", "hall 20.5 wet,late\nhall -3", "hall: 2, -3 to 20.5, [late+wet]; 0 alive"),
            ("sum-up", "", "nobody: 0, no range, []; 0 alive"),
            (
                "join",
                "hall 20.5 late\nattic 31 hot\nhall 19",
                "all: 3, 19 to 31, [hot+late] while 3 alive; 0 alive",
            ),
            ("sum-up", "hall 20\nattic -300", "error: Error::Impossible((1, -300.0)); 0 alive"),
            ("kept", "hall", "none; 0 alive"),
            ("keep", "hall 20.5 wet,late\nhall 21", "hall: 2, 20.5 to 21, [late+wet]; 0 alive"),
            ("kept", "hall", "2 readings, late+wet; 0 alive"),
        ]);
        scene.pirnd.wait_for("dropped all");
    }
}
