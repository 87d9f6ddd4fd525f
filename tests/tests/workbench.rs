//! The workbench as a newcomer meets it: a new app is made, built, run with the embedded broker and
//! asked; and what it says when something is wrong.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::net::TcpListener;
use std::process::Command;

use pirn_tests::apps::ScratchApp;
use pirn_tests::broker::Mosquitto;
use pirn_tests::guests;
use pirn_tests::pirn;
use pirn_tests::process::{Ended, Running, run};

fn workbench(words: &[&str]) -> Ended {
    run(Command::new(pirn()).env_remove("CARGO_TARGET_DIR").args(words))
}

fn ends_with(ended: &Ended, code: i32, parts: &[&str]) {
    assert_eq!(ended.code, Some(code), "{}{}", ended.out, ended.err);
    for part in parts {
        let said = format!("{}{}", ended.out, ended.err);
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
}

/// A port where nothing listens; the embedded broker takes it.
fn free_broker() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("mqtt://{}", listener.local_addr().unwrap())
}

fn up(app: &str, more: &[&str]) -> Running {
    let running = Running::start(Command::new(pirn()).args(["up", "-f", app]).args(more));
    running.wait_for("connected to");
    running
}

fn path(app: &ScratchApp) -> &str {
    app.path().to_str().unwrap()
}

#[test]
fn a_new_app_is_built_runs_with_the_embedded_broker_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let app = folder.path().join("door-bell");
    let app = app.to_str().unwrap();
    ends_with(&workbench(&["new", "door-bell", "--output", app]), 0, &["pirn up"]);
    ends_with(&workbench(&["build", "-f", app]), 0, &["Compiled door-bell", "Built door-bell"]);

    let broker = free_broker();
    let variable = format!("broker={broker}");
    let mut running = up(app, &["--variable", &variable]);
    let asked =
        ["publish", "door-bell/in/x", "world", "--reply", "door-bell/out", "--broker", &broker];
    ends_with(&workbench(&asked), 0, &["door-bell/out", "Hello, world!"]);
    running.wait_for("door-bell done in");
    let printed = running.printed();
    for part in ["pirn's own does", "door-bell/in/x", "world", "door-bell/out", "Hello, world!"] {
        assert!(printed.contains(part), "{part:?} is not in:\n{printed}");
    }
    assert!(!printed.contains('\u{1b}'), "no colours where there is no terminal:\n{printed}");
    running.signal("TERM");
    assert!(running.wait().success());
}

#[test]
fn an_app_whose_broker_is_there_uses_that_one() {
    let mosquitto = Mosquitto::start();
    let broker = mosquitto.address();
    let app = ScratchApp::example("echo");
    let running = up(path(&app), &["--variable", &format!("broker={broker}")]);
    let asked = ["publish", "bench/in/1", "hello", "--reply", "bench/out", "--broker", &broker];
    ends_with(&workbench(&asked), 0, &["HELLO"]);
    assert!(!running.printed().contains("pirn's own"), "{}", running.printed());
}

#[test]
fn the_same_app_does_not_run_twice_in_one_place() {
    let broker = format!("broker={}", free_broker());
    let app = ScratchApp::example("echo");
    let _first = up(path(&app), &["--variable", &broker]);
    let second = workbench(&["up", "-f", path(&app), "--variable", &broker]);
    ends_with(&second, 2, &["running already", "--state-dir"]);
}

#[test]
fn artifacts_are_made_once_for_each_board_and_again_when_their_source_changes() {
    let app = ScratchApp::example("echo");
    let build =
        |board: &str| workbench(&["build", "--compile-only", "-f", path(&app), "--board", board]);
    for (board, code) in [("generic-x86_64", "native"), ("pi-5", "native")] {
        ends_with(&build(board), 0, &[&format!("Compiled echo for {board} ({code})")]);
        let again = build(board);
        ends_with(&again, 0, &["Built echo"]);
        assert!(!again.err.contains("Compiled"), "{}", again.err);
    }
    // A custom section changes the file, not what it does.
    let mut wasm = std::fs::read(app.file("echo.wasm")).unwrap();
    wasm.extend(b"\x00\x03\x01xy");
    std::fs::write(app.file("echo.wasm"), wasm).unwrap();
    ends_with(&build("pi-5"), 0, &["Compiled echo for pi-5"]);
}

#[test]
fn for_a_32_bit_board_nothing_is_compiled_unless_bytecode_is_asked_for() {
    let build = |app: &ScratchApp| {
        workbench(&["build", "--compile-only", "-f", path(app), "--board", "pi-zero"])
    };
    let as_it_is = build(&ScratchApp::example("echo"));
    ends_with(&as_it_is, 0, &["Built echo for pi-zero: nothing to compile"]);
    assert!(!as_it_is.err.contains("Compiled"), "{}", as_it_is.err);
    let bytecode = build(&ScratchApp::example("echo").on("echo", "pulley"));
    ends_with(&bytecode, 0, &["Compiled echo for pi-zero (pulley32)"]);
}

/// The example, with another build command.
fn echo_built_by(command: &str) -> ScratchApp {
    let app = ScratchApp::example("echo");
    let manifest = std::fs::read_to_string(app.file("spin.toml")).unwrap();
    let own = manifest.lines().find(|line| line.starts_with("command")).unwrap();
    let manifest = manifest.replace(own, &format!("command = \"{command}\""));
    std::fs::write(app.file("spin.toml"), manifest).unwrap();
    app
}

#[test]
fn a_component_that_is_not_there_is_built_before_it_runs() {
    let app = echo_built_by("cp kept.wasm echo.wasm");
    std::fs::rename(app.file("echo.wasm"), app.file("kept.wasm")).unwrap();
    let running = up(path(&app), &["--variable", &format!("broker={}", free_broker())]);
    assert!(running.printed().contains("Building echo: cp kept.wasm echo.wasm"));
}

#[test]
fn a_build_command_that_fails_is_named_and_has_exit_status_1() {
    let app = echo_built_by("echo out of thread >&2; exit 7");
    let ended = app.try_build(&["-q"]);
    ends_with(&ended, 1, &["component echo", "exit status: 7", "out of thread"]);
}

#[test]
fn what_check_draws_is_the_budget_and_over_budget_has_exit_status_2() {
    let app = ScratchApp::example("echo").built();
    let fits = workbench(&["check", "-f", path(&app)]);
    ends_with(&fits, 0, &["bench/in/#", "code of echo", "█", "granted by generic-x86_64"]);
    let manifest = std::fs::read_to_string(app.file("spin.toml")).unwrap();
    let manifest = manifest.replace("memory = \"1 MiB\"", "memory = \"128 MiB\"");
    std::fs::write(app.file("spin.toml"), manifest).unwrap();
    let board = guests::repository().join("board-configs/generic-x86_64.toml");
    let board = std::fs::read_to_string(board).unwrap().replace("\"256MiB\"", "\"130MiB\"");
    let small = app.file("generic-x86_64.toml");
    std::fs::write(&small, board).unwrap();
    let over = workbench(&["check", "-f", path(&app), "--board", small.to_str().unwrap()]);
    ends_with(&over, 2, &["memory of echo", "does not fit the board generic-x86_64"]);
}

#[test]
fn messages_are_published_and_shown_with_the_workbench_alone() {
    let mosquitto = Mosquitto::start();
    let broker = mosquitto.address();
    let keep = ["publish", "state/x", "kept", "--retain", "--qos", "2", "--broker", &broker];
    ends_with(&workbench(&keep), 0, &[]);
    let show = ["subscribe", "state/#", "--count", "1", "--broker", &broker];
    ends_with(&workbench(&show), 0, &["state/x", "kept"]);
    let none = ["subscribe", "other/#", "--count", "1", "--wait", "1", "--broker", &broker];
    ends_with(&workbench(&none), 1, &["fewer than 1 messages came within 1 s"]);
    let quiet = ["subscribe", "other/#", "--wait", "1", "--broker", &broker];
    ends_with(&workbench(&quiet), 0, &[]);
    let asked = ["publish", "a", "b", "--reply", "state/x", "--wait", "1", "--broker", &broker];
    let unanswered = workbench(&asked);
    ends_with(&unanswered, 1, &["no reply on state/x within 1 s"]);
    assert!(!unanswered.out.contains("kept"), "what was kept before is no reply");
}

#[test]
fn without_a_broker_the_sentence_says_where_and_what_to_do() {
    let broker = free_broker();
    for words in [&["publish", "a", "b"][..], &["publish", "a", "b", "--wait", "1"]] {
        let ended = workbench(&[words, &["--broker", &broker]].concat());
        ends_with(&ended, 1, &["no broker answers at", "pirn up"]);
    }
}

#[test]
fn wrong_words_have_exit_status_2_and_say_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine"), "").unwrap();
    let taken = folder.path().to_str().unwrap();
    let module = ScratchApp::example("echo");
    std::fs::write(module.file("echo.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let cases: [(&[&str], &[&str]); 12] = [
        (&["new", "x", "-t", "nope"], &["no template \"nope\"", "mqtt-rust"]),
        (&["new", "Door Bell"], &["cannot be an app's name", "lower-case words"]),
        (&["new", "x", "-o", taken], &["something already", "--output"]),
        (&["build", "-f", taken], &["spin.toml"]),
        (
            &["build", "--compile-only", "-f", path(&module)],
            &["module, not a component", "wasm32-wasip2"],
        ),
        (&["build", "-c", "ehco", "-f", path(&module)], &["no such component", "echo"]),
        (&["up", "-f", path(&module), "--board", "pi-zro"], &["pi-zero"]),
        (&["up", "-f", path(&module), "--variable", "nope=1"], &["nope"]),
        (&["check", "-f", path(&module), "--profile"], &["--profile"]),
        (&["publish", "a/#", "x"], &["not a topic"]),
        (&["subscribe", "a#"], &["a#"]),
        (&["publish", "a", "b", "--broker", "http://x"], &["mqtt://"]),
    ];
    for (words, parts) in cases {
        ends_with(&workbench(words), 2, parts);
    }
}
