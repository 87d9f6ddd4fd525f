//! Bad input of every kind: a clear sentence and exit status 2, from `pirnd verify` and `pirnd up`
//! alike, before anything runs.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::process::Command;

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::process::{Ended, run};
use pirn_tests::{guests, machine, pirnd};

const BROKER: &str = "mqtt://127.0.0.1:1883";

fn echo() -> ScratchApp {
    ScratchApp::of(BROKER, &[Part::new("app", "mqtt-sync", "cmd/#")])
}

/// `verify` and `up` must both refuse with all of these in their sentence.
fn refused(app: &ScratchApp, parts: &[&str]) {
    refused_with(app, &[], parts);
}

fn refused_with(app: &ScratchApp, more: &[&str], parts: &[&str]) {
    for command in ["verify", "up"] {
        let ended = run(app.pirnd(&[command]).args(more));
        expect(&ended, parts);
    }
}

fn expect(ended: &Ended, parts: &[&str]) {
    assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
    for part in parts {
        assert!(ended.err.contains(part), "{part:?} is not in:\n{}", ended.err);
    }
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

/// Where the artifacts of a scratch app are.
fn artifacts(app: &ScratchApp) -> PathBuf {
    app.file(".pirn").join(std::env::consts::ARCH)
}

/// The app's only artifact for a processor.
fn artifact(app: &ScratchApp, processor: &str) -> PathBuf {
    let folder = std::fs::read_dir(app.file(".pirn").join(processor)).unwrap();
    let mut files = folder.map(|entry| entry.unwrap().path());
    files.find(|path| path.extension().is_some_and(|ending| ending == "cwasm")).unwrap()
}

/// The manifest with one text replaced.
fn edited(app: &ScratchApp, from: &str, to: &str) {
    let manifest = std::fs::read_to_string(app.file("spin.toml")).unwrap();
    assert!(manifest.contains(from), "{manifest}");
    std::fs::write(app.file("spin.toml"), manifest.replace(from, to)).unwrap();
}

#[test]
fn a_missing_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(Command::new(pirnd()).arg("verify").arg(folder.path()));
    expect(&ended, &["spin.toml"]);
}

#[test]
fn a_wrong_type_names_line_table_and_key() {
    let app = echo();
    edited(&app, "qos = \"1\"", "qos = true");
    refused(&app, &["spin.toml:", "[trigger.mqtt", "qos"]);
}

#[test]
fn an_unknown_key_with_the_nearest_known_one() {
    let app = echo();
    edited(&app, "source = ", "souce = ");
    refused(&app, &["spin.toml:", "[component.app]", "souce", "source"]);
}

#[test]
fn an_unknown_variable() {
    let app = echo();
    edited(&app, "{{ broker }}", "{{ brooker }}");
    refused(&app, &["spin.toml:", "brooker"]);
}

#[test]
fn a_broker_address_that_is_none() {
    let app = echo();
    edited(&app, "default = \"mqtt://127.0.0.1:1883\"", "default = \"127.0.0.1\"");
    refused(&app, &["spin.toml", "mqtt://"]);
}

#[test]
fn an_unknown_board_lists_those_there_are() {
    refused_with(&echo(), &["--board", "pi-zerro"], &["pi-zerro", "pi-zero-2w", "generic-x86_64"]);
}

#[test]
fn an_app_that_is_not_built() {
    refused(&echo(), &["lock.toml", "not built", "pirn build"]);
}

#[test]
fn a_truncated_artifact() {
    let app = echo().built();
    let file = artifact(&app, std::env::consts::ARCH);
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    refused(&app, &[".cwasm", "altered or cut short", "pirn build"]);
}

#[test]
fn an_altered_artifact() {
    let app = echo().built();
    let file = artifact(&app, std::env::consts::ARCH);
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    refused(&app, &[".cwasm", "altered"]);
}

/// Replaces the artifact and puts its digest into the lock file, as a careless person would.
fn planted(app: &ScratchApp, bytes: &[u8]) {
    let folder = artifacts(app);
    let file = artifact(app, std::env::consts::ARCH);
    std::fs::write(&file, bytes).unwrap();
    let digest = run(Command::new("sha256sum").arg(file)).out;
    let digest = digest.split_whitespace().next().unwrap();
    let lock = std::fs::read_to_string(folder.join("lock.toml")).unwrap();
    let with_digest = |line: &str| match line.starts_with("sha256") {
        true => format!("sha256 = \"{digest}\""),
        false => line.to_owned(),
    };
    let lock: Vec<String> = lock.lines().map(with_digest).collect();
    std::fs::write(folder.join("lock.toml"), lock.join("\n")).unwrap();
}

#[test]
fn an_artifact_of_another_version() {
    let app = echo().built();
    let bytes = std::fs::read(artifact(&app, std::env::consts::ARCH)).unwrap();
    let (ours, other) = (b"wasmtime48.0.8", b"wasmtime48.0.7");
    let at = bytes.windows(ours.len()).position(|window| window == ours).unwrap();
    let mut bytes = bytes;
    bytes[at..at + ours.len()].copy_from_slice(other);
    planted(&app, &bytes);
    refused(&app, &[".cwasm", "wasmtime48.0.7", "build it again"]);
}

#[test]
fn an_artifact_of_another_cpu() {
    let app = echo().built();
    let ended = app.try_build(&["--board", "generic-aarch64"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    let foreign = std::fs::read(artifact(&app, "aarch64")).unwrap();
    planted(&app, &foreign);
    refused(&app, &[".cwasm", "another CPU", "aarch64"]);
}

#[test]
fn a_file_that_is_no_artifact_at_all() {
    let app = echo().built();
    planted(&app, b"hello");
    refused(&app, &[".cwasm", "no compiled component"]);
}

#[test]
fn a_component_that_is_no_component_is_refused_by_the_workbench() {
    let app = ScratchApp::of(BROKER, &[Part::new("app", "core-module", "cmd/#")]);
    let ended = app.try_build(&[]);
    assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
    assert!(
        ended.err.contains("core-module.wasm") && ended.err.contains("not a component"),
        "{}",
        ended.err
    );
}

#[test]
fn a_component_with_dependencies_is_refused_by_the_workbench_until_it_composes_them() {
    let needs = "[component.app.dependencies]\n\"acme:part/api\" = { path = \"part.wasm\" }";
    let app = ScratchApp::of(BROKER, &[Part::new("app", "mqtt-sync", "cmd/#").with(needs)]);
    let ended = app.try_build(&["--compile-only"]);
    assert_eq!(ended.code, Some(2), "{}{}", ended.out, ended.err);
    assert!(ended.err.contains("acme:part/api") && ended.err.contains("source"), "{}", ended.err);
}

#[test]
fn a_component_whose_world_does_not_fit_its_trigger() {
    for guest in ["not-a-trigger", "wrong-shape"] {
        let app = ScratchApp::of(BROKER, &[Part::new("app", guest, "cmd/#")]).built();
        refused(&app, &["component `app`", "does not fit its mqtt trigger", "handle-message"]);
    }
}

#[test]
fn an_app_over_budget_with_the_sum() {
    let parts: Vec<String> =
        (0..6).map(|n| format!("app-{}", ["a", "b", "c", "d", "e", "f"][n])).collect();
    let big = "[component.NAME.tool.pirn]\nmemory = \"8MiB\"";
    let tables: Vec<String> = parts.iter().map(|id| big.replace("NAME", id)).collect();
    let parts: Vec<Part<'_>> = parts
        .iter()
        .zip(&tables)
        .map(|(id, table)| Part::new(id, "mqtt-sync", "cmd/#").with(table))
        .collect();
    let app = ScratchApp::of(BROKER, &parts).built();
    let board =
        std::fs::read_to_string(guests::repository().join("board-configs/generic-x86_64.toml"))
            .unwrap();
    let tight: Vec<String> = board
        .lines()
        .map(|line| match line.trim_start().starts_with("budget") {
            // All that could be alive together counts.
            true => "budget = \"40MiB\"\novercommit = \"none\"".to_owned(),
            false => line.to_owned(),
        })
        .collect();
    std::fs::write(app.file("tight.toml"), tight.join("\n")).unwrap();
    let file = app.file("tight.toml");
    refused_with(
        &app,
        &["--board", file.to_str().unwrap()],
        &["does not fit the board", "app-a", "40 MiB"],
    );
}

/// An app that a trigger with these lines fires, and what stands at the end of its manifest.
fn fired_by(trigger: &str, more: &str) -> ScratchApp {
    ScratchApp::with_manifest(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n{trigger}\ncomponent = \"app\"\n\
         [component.app]\nsource = \"timer.wasm\"\n{more}\n"
    ))
}

const ON_A_PI: &[&str] = &["--board", "pi-zero-2w"];

#[test]
fn an_unknown_line_with_the_names_that_there_are() {
    let app = fired_by("[[trigger.gpio]]\nline = \"GPIO71\"", "");
    refused_with(&app, ON_A_PI, &["spin.toml:", "unknown line \"GPIO71\"", "GPIO2", "GPIO27"]);
    refused(&app, &["lists no GPIO lines", "--board"]);
}

#[test]
fn a_line_that_is_both_input_and_output() {
    let grant = "[component.app.tool.pirn]\ngpio = { GPIO17 = \"output\" }";
    let app = fired_by("[[trigger.gpio]]\nline = \"GPIO17\"", grant);
    refused_with(&app, ON_A_PI, &["gpio: line \"GPIO17\" is an input already", "one or the other"]);
}

#[test]
fn a_debounce_that_is_no_duration() {
    let app = fired_by("[[trigger.gpio]]\nline = \"GPIO17\"\ndebounce = \"soon\"", "");
    refused_with(&app, ON_A_PI, &["debounce: cannot read \"soon\"", "\"250ms\""]);
}

#[test]
fn a_cron_expression_that_never_fires() {
    let app = fired_by("[[trigger.cron]]\ncron_expression = \"0 0 0 30 2 *\"", "");
    refused(&app, &["cron_expression", "never fires"]);
}

#[test]
fn a_cron_expression_with_a_field_that_is_wrong_or_missing() {
    let app = fired_by("[[trigger.cron]]\ncron_expression = \"0 61 6 * * *\"", "");
    refused(&app, &["minute \"61\"", "0 to 59"]);
    let app = fired_by("[[trigger.cron]]\ncron_expression = \"30 6 * * *\"", "");
    refused(&app, &["5 fields", "second"]);
}

#[test]
fn a_chip_that_this_machine_does_not_have() {
    let board =
        std::fs::read_to_string(guests::repository().join("board-configs/generic-x86_64.toml"))
            .unwrap();
    let chip = "\n[[chip]]\nlabel = \"pinctrl-nowhere\"\nlines = { LAMP = \"1\" }\n";
    let grant = "[component.app.tool.pirn]\ngpio = { LAMP = \"output\" }";
    let app = fired_by("[[trigger.timer]]\ninterval = \"1s\"", grant);
    app.copy(&guests::guest("timer"), "timer.wasm");
    let file = app.file("chip.toml");
    std::fs::write(&file, board + chip).unwrap();
    let file = file.to_str().unwrap();
    let app = app.built_for(file);
    refused_with(&app, &["--board", file], &["no GPIO chip with the label \"pinctrl-nowhere\""]);
}

#[test]
fn a_forbidden_host_is_refused_to_the_guest_by_name() {
    let broker = pirn_tests::broker::Mosquitto::start();
    let app = ScratchApp::of(&broker.address(), &[Part::new("app", "mqtt-sync", "cmd/#")]).built();
    let outside = pirn_tests::peer::Peer::subscribed(broker.port(), "answer/#");
    let _pirnd = app.connected(&[]);
    outside.publish("cmd/open", "mqtt://127.0.0.1:9");
    let answer = outside.next().1;
    assert!(answer.contains("address mqtt://127.0.0.1:9 is not permitted"), "{answer}");
}

#[test]
fn a_command_line_that_is_wrong() {
    for (words, part) in [
        (&["fly"][..], "unknown command"),
        (&["up", "--bord", "x"], "--bord"),
        (&["invoke", "app"], "--topic"),
        (&["invoke", "app", "--tick", "--timestamp", "1"], "one event"),
    ] {
        expect(&run(Command::new(pirnd()).args(words)), &[part, "pirnd --help"]);
    }
}

#[test]
fn a_component_that_starts_with_more_memory_than_it_may_have_on_every_engine() {
    for engine in ["native", "pulley", "interpreted"] {
        let engine = machine::engine(engine);
        let settings =
            format!("[component.app.tool.pirn]\nmemory = \"1MiB\"\nengine = \"{engine}\"");
        let part = Part::new("app", "mqtt-sync", "cmd/#").with(&settings);
        let app = ScratchApp::of(BROKER, &[part]).built();
        refused(&app, &["component `app` starts with 1", "KiB", "its limit is 1024 KiB: raise"]);
    }
}
