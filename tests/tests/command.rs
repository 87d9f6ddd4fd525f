//! Programs: `[[trigger.command]]` runs a component's `main` once when the app starts, or when somebody asks, on every
//! engine.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use pirn_tests::apps::ScratchApp;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::process::{self, Ended, Running};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

fn app(engine: &str, end: &str, more: &str) -> ScratchApp {
    let engine = machine::engine(engine);
    let manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"program\"\n\
         [[trigger.command]]\ncomponent = \"main\"\n\
         [component.main]\nsource = \"command.wasm\"\nenvironment = {{ END = \"{end}\" }}\n\
         [component.main.tool.pirn]\nengine = \"{engine}\"\n{more}"
    );
    let app = ScratchApp::with_manifest(&manifest);
    app.copy(&guest("command"), "command.wasm");
    app
}

fn up(app: &ScratchApp) -> Ended {
    process::run(&mut app.pirnd(&["up"]))
}

#[test]
fn a_program_runs_once_and_the_runner_ends_with_it_on_every_engine() {
    for engine in ENGINES {
        let app = app(engine, "", "").built();
        let ended = up(&app);
        let said = ended.out + &ended.err;
        assert_eq!(ended.code, Some(0), "{engine}: {said}");
        for line in ["arguments: [\"main\"]", "to stderr", "to the end"] {
            assert_eq!(said.matches(line).count(), 1, "{engine}: {line}: {said}");
        }
    }
}

#[test]
fn how_a_program_ends_is_said_and_is_the_runners_own_status() {
    for engine in ENGINES {
        for (end, sentence) in [
            ("error", "refused: its run failed: exit status 1"),
            ("status 3", "faulted (exit): "),
            ("panic", "faulted (trap): "),
        ] {
            let app = app(engine, end, "").built();
            let ended = up(&app);
            assert_eq!(ended.code, Some(1), "{engine}, {end}: {}", ended.err);
            assert!(ended.err.contains(sentence), "{engine}, {end}: {}", ended.err);
            assert_eq!(ended.err.matches("to stderr").count(), 1, "{engine}, {end}: {}", ended.err);
        }
        let app = app(engine, "status 0", "").built();
        assert_eq!(up(&app).code, Some(0), "{engine}");
    }
}

#[test]
fn a_run_can_be_asked_for_without_starting_the_app() {
    for (end, code, sentence) in
        [("", 0, "done"), ("error", 3, "refused: its run failed"), ("panic", 4, "faulted (trap)")]
    {
        let app = app("auto", end, "").built();
        let ended = process::run(&mut app.pirnd(&["invoke", "main", "--run"]));
        assert_eq!(ended.code, Some(code), "{end}: {}", ended.err);
        assert!(ended.out.contains(sentence), "{end}: {}", ended.out);
    }
}

#[test]
fn a_program_beside_another_trigger_runs_once_and_the_app_goes_on() {
    let more = "[[trigger.timer]]\ncomponent = \"tick\"\ninterval = \"1h\"\n\
                [component.tick]\nsource = \"timer.wasm\"\n";
    let app = app("auto", "error", more);
    app.copy(&guest("timer"), "timer.wasm");
    let app = app.built();
    let mut pirnd = Running::start(&mut app.pirnd(&["up"]));
    pirnd.wait_for("refused: its run failed");
    let status = process::run(&mut app.pirnd(&["status"]));
    assert!(status.out.contains("main"), "{}{}", status.out, status.err);
    assert!(pirnd.is_running(), "{}", pirnd.printed());
    assert_eq!(pirnd.printed().matches("its run failed").count(), 1, "{}", pirnd.printed());
}

#[test]
fn what_is_no_program_is_refused_at_start_and_the_workbench_runs_what_is() {
    let app = app("auto", "", "");
    app.copy(&guest("timer"), "command.wasm");
    let app = app.built();
    let ended = up(&app);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(
        ended.err.contains("must export `wasi:cli/run@0.2.0: func() -> result`"),
        "{}",
        ended.err
    );
    app.copy(&guest("command"), "command.wasm");
    let ended = process::run(Command::new(pirn_tests::pirn()).args(["up", "-f"]).arg(app.path()));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!((ended.out + &ended.err).contains("to the end"));
}
