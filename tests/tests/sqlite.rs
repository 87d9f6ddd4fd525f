//! Databases of components: through every interface that Spin has had for them, on every engine, over kills.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;
use pirn_tests::process::{self, Running};
use pirn_tests::{PATIENCE, machine};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];
const WAYS: [&str; 4] = ["v1", "v2", "v3", "v31"];

struct Scene {
    outside: Peer,
    pirnd: Running,
    app: ScratchApp,
    _broker: Mosquitto,
}

/// What a component asks for besides its grants.
struct Asked<'a> {
    guest: &'a str,
    engine: &'a str,
    databases: &'a str,
    tool: &'a str,
    /// Given to `pirnd up`; `runtime-config.toml` is there.
    up: &'a [&'a str],
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self { guest: "sqlite", engine: "auto", databases: r#""default""#, tool: "", up: &[] }
    }
}

fn app(broker: &Mosquitto, asked: &Asked<'_>) -> ScratchApp {
    let more = format!(
        "sqlite_databases = [{}]\n[component.app.tool.pirn]\nengine = \"{}\"\n{}",
        asked.databases,
        machine::engine(asked.engine),
        asked.tool
    );
    ScratchApp::of(&broker.address(), &[Part::new("app", asked.guest, "cmd/#").with(&more)])
}

fn scene(asked: &Asked<'_>) -> Scene {
    let broker = Mosquitto::start();
    let app = app(&broker, asked).built();
    std::fs::write(app.file("runtime-config.toml"), OPERATORS).unwrap();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(asked.up);
    Scene { outside, pirnd, app, _broker: broker }
}

const OPERATORS: &str = "[sqlite_database.elsewhere]\ntype = \"spin\"\npath = \"far/away.db\"\n\
                         [sqlite_database.here]\ntype = \"spin\"\n";

impl Scene {
    fn ask(&self, way: &str, steps: &str) -> String {
        self.outside.publish(&format!("cmd/{way}"), steps);
        let answer = self.outside.next_within(PATIENCE);
        answer.unwrap_or_else(|| panic!("no answer to {steps:?}\n{}", self.pirnd.printed())).1
    }

    /// One line each, and its answer, or how that begins if it ends with `…`.
    fn check(&self, way: &str, conversation: &[(&str, &str)]) {
        let steps: Vec<&str> = conversation.iter().map(|(step, _)| *step).collect();
        let answers = self.ask(way, &steps.join("\n"));
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

    fn database(&self) -> PathBuf {
        self.app.file(".pirn-state/sqlite-default.db")
    }
}

#[test]
fn every_interface_gives_the_same_answers_on_every_engine() {
    for engine in ENGINES {
        let scene = scene(&Asked { engine, ..Asked::default() });
        let status = process::run(&mut scene.app.pirnd(&["status"]));
        let form = machine::engine(engine);
        assert!(form == "auto" || status.out.contains(form), "{engine}: {}", status.out);
        for (number, way) in WAYS.into_iter().enumerate() {
            scene.check(
                way,
                &[
                    ("open default", "ok"),
                    (&format!("CREATE TABLE t{number} (i, r, t, b, n)"), ""),
                    (
                        &format!("INSERT INTO t{number} VALUES (?, ?, ?, ?, ?) -- -7, 0.5, 'ß x', x'00ff', null"),
                        "",
                    ),
                    (&format!("SELECT * FROM t{number}"), "i, r, t, b, n: -7, 0.5, 'ß x', x'00ff', null"),
                    ("SELECT ?1 + 1 AS more -- 9223372036854775806", "more: 9223372036854775807"),
                    ("SELECT count(*) FROM t9", "error: Io(\"no such table: t9…"),
                    ("ATTACH '/etc/passwd' AS p", "error: Io(\"ATTACH, or VACUUM INTO, is not offered…"),
                    ("BEGIN", ""),
                    (&format!("DELETE FROM t{number}"), ""),
                    ("ROLLBACK", ""),
                    (&format!("SELECT count(*) AS c FROM t{number}"), "c: 1"),
                    ("close", "ok"),
                    ("SELECT 1", "error: nothing is open"),
                    ("open other", "error: AccessDenied"),
                ],
            );
        }
        for way in ["v3", "v31"] {
            scene.check(
                way,
                &[
                    ("open default", "ok"),
                    ("did", "0 0"),
                    ("INSERT INTO t0 (i) VALUES (1), (2)", ""),
                    ("did", "3 2"),
                    ("DELETE FROM t0 WHERE i > 0", ""),
                ],
            );
        }
    }
}

#[test]
fn rows_come_as_a_stream_to_guests_of_spin_4_on_every_engine() {
    for engine in ENGINES {
        let scene = scene(&Asked { guest: "sqlite-async", engine, ..Asked::default() });
        let many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) SELECT i, randomblob(100) FROM n";
        scene.check(
            "steps",
            &[
                ("open secret", "error: Error::AccessDenied"),
                ("open default", "ok"),
                ("did", "0 0"),
                ("CREATE TABLE t (i INTEGER PRIMARY KEY, x)", ""),
                ("INSERT INTO t (x) VALUES (0.5), ('ß'), (x'00ff'), (NULL)", ""),
                ("did", "4 4"),
                ("SELECT i, x FROM t", "i, x: 1, 0.5: 2, 'ß': 3, 2 bytes: 4, null"),
                ("SELECT i FROM t WHERE i > 9", "i"),
                ("SELEC", "error: Error::Io(\"near \\\"SELEC\\\": syntax error…"),
                (&format!("two {many}"), "1, 100 bytes, 'meanwhile', 2999 more"),
                (&format!("leave {many}"), "1, 100 bytes"),
                ("SELECT count(*) AS c FROM t", "c: 4"),
                (
                    &many.replace("3000", "30000"),
                    "error: Error::Io(\"the rows take more than 2048 KiB…",
                ),
            ],
        );
    }
}

#[test]
fn labels_other_than_default_are_the_operators_to_define_and_each_has_its_file() {
    let databases = r#""default", "elsewhere", "here""#;
    let broker = Mosquitto::start();
    let asked = Asked { databases, ..Asked::default() };
    let app = app(&broker, &asked).built();
    let refused = process::run(&mut app.pirnd(&["up"]));
    assert_eq!(refused.code, Some(2), "{}", refused.err);
    assert!(refused.err.contains("[sqlite_database.elsewhere]"), "{}", refused.err);
    drop(app);
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("far")).unwrap();
    let file = folder.path().join("runtime-config.toml");
    std::fs::write(&file, OPERATORS).unwrap();
    let up = ["--runtime-config-file", file.to_str().unwrap()];
    let scene = scene(&Asked { up: &up, ..asked });
    for label in ["default", "elsewhere", "here"] {
        let create = format!("CREATE TABLE {label} (x)");
        scene.check(
            "v2",
            &[(&format!("open {label}"), "ok"), (&create.replace("default", "d"), "")],
        );
    }
    assert!(folder.path().join("far/away.db").exists());
    assert!(scene.database().exists());
    assert!(scene.app.file(".pirn-state/sqlite-here.db").exists());
}

#[test]
fn a_database_is_full_where_the_manifest_says_so() {
    let scene = scene(&Asked { tool: "database = \"128KiB\"\n", ..Asked::default() });
    scene.check("v2", &[("open default", "ok"), ("CREATE TABLE t (x)", "")]);
    let filling = "open default\nINSERT INTO t VALUES (zeroblob(20000))";
    let answers: Vec<String> = (0..10).map(|_| scene.ask("v2", filling)).collect();
    assert_eq!(answers.first().unwrap(), "ok\n");
    assert_eq!(answers.last().unwrap(), "ok\nerror: DatabaseFull", "{answers:?}");
    scene.check("v2", &[("open default", "ok"), ("DELETE FROM t", "")]);
    assert_eq!(scene.ask("v2", filling), "ok\n");
}

#[test]
fn a_guest_whose_deadline_passes_in_a_query_lets_go_of_its_transaction() {
    for engine in ENGINES {
        let tool = "deadline = \"400ms\"\nattempts_max = 1\n";
        let scene = scene(&Asked { engine, tool, ..Asked::default() });
        scene.check("v2", &[("open default", "ok"), ("CREATE TABLE t (x)", "")]);
        scene.outside.publish("cmd/stuck", "");
        scene.pirnd.wait_for("faulted (deadline)");
        scene.check(
            "v2",
            &[
                ("open default", "ok"),
                ("INSERT INTO t VALUES (1)", ""),
                ("SELECT x FROM t", "x: 1"),
            ],
        );
    }
}

#[test]
fn the_developer_prepares_a_database_and_looks_into_it_while_the_app_runs() {
    let broker = Mosquitto::start();
    let app = app(&broker, &Asked::default());
    let outside = Peer::subscribed(broker.port(), "answer/#");
    std::fs::write(
        app.file("schema.sql"),
        "CREATE TABLE t (x);\nINSERT INTO t VALUES (1), (NULL);\n",
    )
    .unwrap();
    let file = format!("@{}", app.file("schema.sql").display());
    let folder = app.path().to_str().unwrap();
    let more = ["--sqlite", &file, "--sqlite", "INSERT INTO t VALUES ('two')"];
    let words = [&["up", "-f", folder][..], &more].concat();
    let running = Running::start(&mut pirn(&words));
    running.wait_for("Running");
    outside.publish("cmd/v2", "open default\nSELECT * FROM t\nUPDATE t SET x = x'0a' WHERE x = 1");
    let answer = outside.next_within(PATIENCE);
    assert_eq!(answer.unwrap().1, "ok\nx: 1: null: 'two'\n", "{}", running.printed());
    let look = |sql: &str, more: &[&str]| {
        process::run(pirn(&["sqlite", "default", sql, "-f", folder]).args(more))
    };
    assert_eq!(
        look("SELECT x, 0.5 AS y FROM t", &["--header"]).out,
        "x|y\nx'0a'|0.5\n|0.5\ntwo|0.5\n"
    );
    let wrong = look("SELEC", &[]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.err);
    assert!(wrong.err.contains("syntax error"), "{}", wrong.err);
    let other = process::run(&mut pirn(&["sqlite", "other", "SELECT 1", "-f", folder]));
    assert_eq!(other.code, Some(2), "{}", other.err);
    assert!(other.err.contains("no database \"other\""), "{}", other.err);
}

/// Every number whose insertion was answered is there after a kill, and the file is whole.
fn through_kills(kills: u32) {
    let broker = Mosquitto::start();
    // Whoever is killed in the middle of an event did not fail at it.
    let app = app(&broker, &Asked { tool: "attempts_max = 20\n", ..Asked::default() }).built();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let mut next = 1_u64;
    let mut answered = BTreeSet::new();
    for kill in 0..kills {
        let mut pirnd = app.connected(&[]);
        if kill == 0 {
            outside
                .publish("cmd/v2", "open default\nCREATE TABLE t (n INTEGER PRIMARY KEY, filler)");
            assert!(outside.next_within(PATIENCE).unwrap().1.starts_with("ok"));
        }
        // Enough to be in the middle of something; not the same moment each time.
        for _ in 0..(4 + kill % 7) {
            let insert = format!(
                "open default\nINSERT OR REPLACE INTO t VALUES (?, randomblob(3000)) -- {next}\nSELECT ?1 -- {next}"
            );
            outside.publish("cmd/v2", insert);
            next += 1;
        }
        let wanted = 1 + kill % 4;
        let mut got = 0;
        while got < wanted {
            let Some((_, answer)) = outside.next_within(PATIENCE) else {
                panic!("no answer\n{}", pirnd.printed())
            };
            got += 1;
            answered.insert(number_of(&answer));
        }
        pirnd.signal("KILL");
        pirnd.wait();
        while let Some((_, answer)) = outside.next_within(Duration::from_millis(1)) {
            answered.insert(number_of(&answer));
        }
        let there = numbers_there(&app);
        let lost: Vec<_> = answered.difference(&there).collect();
        assert!(lost.is_empty(), "kill {kill}: {lost:?} are not there\n{}", pirnd.printed());
    }
}

fn number_of(answer: &str) -> u64 {
    let number = answer.rsplit(": ").next().and_then(|word| word.parse().ok());
    number.unwrap_or_else(|| panic!("{answer:?} is no answer to an insertion"))
}

/// The numbers in the table, whose file must be whole.
fn numbers_there(app: &ScratchApp) -> BTreeSet<u64> {
    let sql = "PRAGMA integrity_check; SELECT n FROM t";
    let ended = process::run(pirn(&["sqlite", "default", sql, "-f"]).arg(app.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    let mut lines = ended.out.lines();
    assert_eq!(lines.next(), Some("ok"), "{}", ended.out);
    lines.map(|line| line.parse().unwrap()).collect()
}

fn pirn(words: &[&str]) -> Command {
    let mut pirn = Command::new(pirn_tests::pirn());
    pirn.args(words);
    pirn
}

#[test]
fn a_commit_that_was_answered_is_there_after_40_kills() {
    let kills = std::env::var("PIRN_TEST_SQLITE_KILLS").ok().and_then(|n| n.parse().ok());
    through_kills(kills.unwrap_or(40));
}
