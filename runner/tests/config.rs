//! Configuration files beside what must come of them: `NAME.toml` with `NAME.error` (the exact error) or
//! `NAME.plan` (what was read). Each folder below is one kind of file.
//!
//! A manifest's first lines may hold the command line: `#! --board tiny --variable a=b`. Boards and
//! operator's files named there are looked up in the folders of those kinds.
//!
//! `PIRN_BLESS=1` writes what came instead of comparing; read the difference before you commit it.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use pirn_runner::files::board::Board;
use pirn_runner::files::runtime_config::RuntimeConfig;
use pirn_runner::plan::{App, AppFiles, Purpose, UnknownLines};

/// Either of the two things that can be expected.
enum Outcome {
    Plan(String),
    Error(String),
}

#[test]
fn every_manifest_gives_the_error_or_the_plan_beside_it() {
    check_folder("tests/manifest", 60, |path| match App::load(&app_files(path)) {
        Ok(app) => Outcome::Plan(summary(&app)),
        Err(error) => Outcome::Error(error.to_string()),
    });
}

#[test]
fn every_operators_file_gives_the_error_or_the_settings_beside_it() {
    check_folder("tests/runtime-config", 15, |path| match RuntimeConfig::read_file(path) {
        Ok(config) => Outcome::Plan(format!("{config:#?}")),
        Err(error) => Outcome::Error(error.to_string()),
    });
}

#[test]
fn every_board_file_gives_the_error_or_the_board_beside_it() {
    check_folder("tests/board", 12, |path| match Board::read_file(path) {
        Ok(board) => Outcome::Plan(format!("{board:#?}")),
        Err(error) => Outcome::Error(error.to_string()),
    });
}

fn check_folder(folder: &str, cases_min: usize, run: impl Fn(&Path) -> Outcome) {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut cases: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    let orphan = cases.iter().find(|path| !path.with_extension("toml").exists());
    assert!(orphan.is_none(), "there is no .toml beside {orphan:?}");
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    assert!(cases.len() >= cases_min, "{folder} has only {} cases", cases.len());
    let different: Vec<String> =
        cases.iter().filter_map(|path| difference(path, run(path))).collect();
    assert!(different.is_empty(), "{}", different.join("\n"));
}

fn difference(path: &Path, outcome: Outcome) -> Option<String> {
    let (kind, other, got) = match outcome {
        Outcome::Plan(text) => ("plan", "error", text),
        Outcome::Error(text) => ("error", "plan", text),
    };
    let expected = path.with_extension(kind);
    let got = format!("{}\n", got.trim_end());
    if std::env::var_os("PIRN_BLESS").is_some() {
        let _ = std::fs::remove_file(path.with_extension(other));
        std::fs::write(&expected, &got).unwrap();
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    let unexpected = path.with_extension(other).exists();
    let name = path.display();
    (unexpected || wanted != got)
        .then(|| format!("{name}: expected\n{wanted}but came, as {kind},\n{got}"))
}

/// The command line in the first lines of a case.
fn app_files(path: &Path) -> AppFiles {
    let mut files = AppFiles::new(path);
    files.board = Some("generic-x86_64".to_owned());
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let lines = text.lines().map_while(|line| line.strip_prefix("#! "));
    let words: Vec<String> = lines.flat_map(str::split_whitespace).map(str::to_owned).collect();
    for pair in words.chunks(2) {
        let [flag, value] = pair else { panic!("{}: odd command line", path.display()) };
        let (name, rest) = value.split_once('=').unwrap_or((value, ""));
        let assignment = (name.to_owned(), rest.to_owned());
        let beside = |folder: &str| format!("tests/{folder}/{value}.toml");
        match flag.as_str() {
            "--board" => files.board = Some(beside("board")),
            "--shipped-board" => files.board = Some(value.clone()),
            "--runtime-config" => files.runtime_config = Some(beside("runtime-config").into()),
            "--profile" => files.profile = Some(value.clone()),
            "--variable" => files.variables.push(assignment),
            "--env" => files.guest_environment.push(assignment),
            "--environment" => {
                std::sync::Arc::make_mut(&mut files.process_environment)
                    .insert(assignment.0, assignment.1);
            }
            "--purpose" if value == "inspect" => files.purpose = Purpose::Inspect,
            "--unknown-lines" if value == "simulated" => {
                files.unknown_lines = UnknownLines::Simulated;
            }
            _ => panic!("{}: unknown flag {flag}", path.display()),
        }
    }
    files
}

fn summary(app: &App) -> String {
    let mut text = format!(
        "app {} in {}, state in {}, logs in {:?}\n",
        app.name,
        app.dir.display(),
        app.state_dir.display(),
        app.log_dir
    );
    for trigger in &app.triggers {
        let (id, fired_by) = (&trigger.id, app.fired_by(trigger));
        let component = &app.components[trigger.component].id;
        writeln!(text, "trigger {id}: {fired_by} to {component}").unwrap();
    }
    if let Some(http) = &app.http {
        let listen = &http.listen;
        writeln!(text, "listens at {listen}, {:?}, {} waiting", http.options, http.waiting_max)
            .unwrap();
        for route in &http.routes {
            writeln!(text, "  {} as {}: {:?}", route.raw, route.route, route.to).unwrap();
        }
    }
    app.pins.inputs.iter().for_each(|pin| writeln!(text, "input {pin:?}").unwrap());
    app.pins.outputs.iter().for_each(|pin| writeln!(text, "output {pin:?}").unwrap());
    summarise_broker(app, &mut text);
    writeln!(text, "all together: {:?}", app.limits).unwrap();
    summarise_components(app, &mut text);
    for warning in &app.warnings {
        writeln!(text, "warning: {warning}").unwrap();
    }
    write!(text, "{}", app.budget(&[])).unwrap();
    text
}

fn summarise_broker(app: &App, text: &mut String) {
    let Some(broker) = &app.broker else { return };
    writeln!(text, "broker {} keep-alive {:?}", broker.address, broker.keep_alive).unwrap();
    writeln!(text, "  client id {:?}", broker.client_id).unwrap();
    let password = broker.password.is_some();
    writeln!(text, "  user {:?} has a password {password}", broker.username).unwrap();
    writeln!(text, "  protocol {:?} expiry {:?}", broker.protocol, broker.session_expiry).unwrap();
    writeln!(text, "  will {:?}\n  online {:?}", broker.will, broker.online).unwrap();
    writeln!(text, "  ca {:?} identity {:?}", broker.ca_file, broker.client_identity).unwrap();
}

fn summarise_components(app: &App, text: &mut String) {
    for component in &app.components {
        let (id, may) = (&component.id, &component.capabilities);
        writeln!(text, "component {id}: {:?}, {:?}", component.source, component.artifact).unwrap();
        writeln!(text, "  {:?}", component.limits).unwrap();
        writeln!(text, "  hosts: {}", may.hosts).unwrap();
        writeln!(text, "  stores: {:?}", may.key_value_stores).unwrap();
        writeln!(text, "  databases: {:?}", may.sqlite_databases).unwrap();
        writeln!(text, "  environment: {:?}", may.environment).unwrap();
        writeln!(text, "  files: {:?} but {:?}", may.files, may.exclude_files).unwrap();
        writeln!(text, "  publishes: {:?}", may.publish_topics).unwrap();
        if !may.pins.is_empty() {
            writeln!(text, "  lines: {:?}", may.pins).unwrap();
        }
        for name in app.manifest.components[id].variables.keys() {
            writeln!(text, "  variable {name}: {:?}", app.variables.resolve(id, name)).unwrap();
        }
    }
}
