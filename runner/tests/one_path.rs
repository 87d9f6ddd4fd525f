//! `pirnd verify` and `pirnd up` go one way: whatever one refuses, the other refuses with the same
//! sentence, for every manifest that this folder and the examples have.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Exit status and what is said, without the times of log lines; `None` for a runner that runs.
type Ended = Option<(i32, String)>;

fn pirnd(command: &str, manifest: &Path, state: &Path, more: &[String]) -> Command {
    let mut pirnd = Command::new(env!("CARGO_BIN_EXE_pirnd"));
    pirnd.arg(command).arg(manifest).args(more).env_clear();
    // As systemd's journal has it: lines without their time.
    pirnd.env("JOURNAL_STREAM", "1:1");
    pirnd.arg("--state-dir").arg(state).stdout(Stdio::null()).stderr(Stdio::piped());
    pirnd
}

/// Waits for the end, or for the words of a runner that runs, which is then ended.
fn watched(mut child: Child) -> Ended {
    let mut said = String::new();
    let mut lines = BufReader::new(child.stderr.take().unwrap());
    while lines.read_line(&mut said).unwrap() > 0 {
        if said.lines().last().is_some_and(|line| line.starts_with("pirnd: running ")) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
    }
    lines.read_to_string(&mut said).unwrap();
    Some((child.wait().unwrap().code().unwrap_or(-1), said))
}

fn verify_and_up(manifest: &Path, state: &Path, more: &[String]) -> (Ended, Ended) {
    let verified = watched(pirnd("verify", manifest, state, more).spawn().unwrap());
    let up = watched(pirnd("up", manifest, state, more).spawn().unwrap());
    (verified.filter(|(code, _)| *code != 0), up)
}

/// The command line in the first lines of a golden file; `None` for one that only `pirn` has.
fn command_line(path: &Path) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
    let lines = text.lines().map_while(|line| line.strip_prefix("#! "));
    let words: Vec<String> = lines.flat_map(str::split_whitespace).map(str::to_owned).collect();
    let mut line = Vec::new();
    for pair in words.chunks(2) {
        let [flag, value] = pair else { panic!("{}: odd command line", path.display()) };
        let beside = |folder: &str| format!("tests/{folder}/{value}.toml");
        let (flag, value) = match flag.as_str() {
            "--board" => ("--board", beside("board")),
            "--shipped-board" => ("--board", value.clone()),
            "--runtime-config" => ("--runtime-config-file", beside("runtime-config")),
            "--profile" => ("--profile", value.clone()),
            "--variable" => ("--variable", value.clone()),
            "--env" => ("--env", value.clone()),
            _ => return None,
        };
        line.extend([flag.to_owned(), value]);
    }
    Some(line)
}

#[test]
fn verify_and_up_say_the_same_of_every_golden_file() {
    let outer = tempfile::tempdir().unwrap();
    let mut cases: Vec<PathBuf> =
        fs::read_dir("tests/manifest").unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    cases.sort();
    let mut compared = 0;
    for path in cases {
        let Some(line) = command_line(&path) else { continue };
        let (verified, up) = verify_and_up(&path, &outer.path().join("state"), &line);
        assert_eq!(verified, up, "{}", path.display());
        compared += 1;
    }
    assert!(compared > 60, "only {compared} were compared");
}

#[test]
fn verify_and_up_say_the_same_of_every_example() {
    let outer = tempfile::tempdir().unwrap();
    let mut passed = 0;
    for example in fs::read_dir("../examples").unwrap() {
        let manifest = example.unwrap().path().join("spin.toml");
        if !manifest.exists() {
            continue;
        }
        let state = outer.path().join("state");
        let line = ["--board", "generic-x86_64"].map(str::to_owned);
        let interpreted = interpreted(&manifest, outer.path());
        let (verified, up) = verify_and_up(&interpreted, &state, &line);
        assert_eq!(verified, up, "{}", manifest.display());
        passed += usize::from(up.is_none());
    }
    assert!(passed > 0, "no example runs");
}

/// The example with its components interpreted, so that nothing has to be compiled.
fn interpreted(manifest: &Path, outer: &Path) -> PathBuf {
    let folder = manifest.parent().unwrap();
    let copy = outer.join(folder.file_name().unwrap());
    fs::create_dir_all(&copy).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    let text = fs::read_to_string(manifest).unwrap();
    let mut engine = String::new();
    for line in text.lines() {
        let id = line.strip_prefix("[component.").and_then(|rest| rest.strip_suffix(".tool.pirn]"));
        engine.push_str(line);
        engine.push('\n');
        if id.is_some() {
            engine.push_str("engine = \"interpreted\"\n");
        }
    }
    fs::write(copy.join("spin.toml"), engine).unwrap();
    copy.join("spin.toml")
}

/// A component that a timer may call, and that does nothing.
const DOES_NOTHING: &str = r#"(component
    (core module $m (func (export "f")))
    (core instance $i (instantiate $m))
    (func (export "handle-timer-request") (canon lift (core func $i "f"))))"#;

struct Scratch(tempfile::TempDir);

impl Scratch {
    fn new(triggers: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("c.wasm"), wat::parse_str(DOES_NOTHING).unwrap()).unwrap();
        let manifest = format!(
            "spin_manifest_version = 2\n[application]\nname = \"app\"\n{triggers}\n\
             [component.c]\nsource = \"c.wasm\"\n[component.c.tool.pirn]\nengine = \"interpreted\"\n"
        );
        fs::write(folder.path().join("spin.toml"), manifest).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn operator(&self, text: &str) -> Vec<String> {
        fs::write(self.path("operator.toml"), text).unwrap();
        fs::set_permissions(self.path("operator.toml"), fs::Permissions::from_mode(0o600)).unwrap();
        ["--runtime-config-file", self.path("operator.toml").to_str().unwrap()]
            .map(str::to_owned)
            .to_vec()
    }

    /// Both must refuse, with this in their sentence.
    fn refused(&self, state: &Path, more: &[String], part: &str) {
        let more = [&["--board".to_owned(), "generic-x86_64".to_owned()][..], more].concat();
        let (verified, up) = verify_and_up(&self.path("spin.toml"), state, &more);
        assert_eq!(verified, up);
        let Some((code, said)) = up else { panic!("it runs, and {part:?} was not said") };
        assert_eq!(code, 2, "{said}");
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

const TIMER: &str = "[[trigger.timer]]\ncomponent = \"c\"\ninterval = \"1h\"\n";
const BROKER: &str = "[application.trigger.mqtt]\naddress = \"mqtt://127.0.0.1:1\"\n";

#[test]
fn more_topics_than_a_session_can_have_are_refused_by_both() {
    let topics = |count: usize| -> String {
        let topic = |n| format!("[[trigger.mqtt]]\ncomponent = \"c\"\ntopic = \"t/{n}\"\n");
        (0..count).map(topic).collect()
    };
    let with = |count| {
        let app = Scratch::new(&format!("{BROKER}{}", topics(count)));
        fs::copy("../examples/echo/echo.wasm", app.path("c.wasm")).unwrap();
        app
    };
    let app = with(65);
    app.refused(&app.path("state"), &[], "65 subscriptions are more than the 64");
    let app = with(64);
    let more = ["--board".to_owned(), "generic-x86_64".to_owned()];
    assert_eq!(verify_and_up(&app.path("spin.toml"), &app.path("state"), &more), (None, None));
}

#[test]
fn a_state_folder_that_cannot_be_is_refused_by_both() {
    let app = Scratch::new(TIMER);
    fs::write(app.path("file"), "").unwrap();
    app.refused(&app.path("file"), &[], "state folder");
    app.refused(&app.path("file/below"), &[], "state folder");
    let logs = ["--log-dir".to_owned(), app.path("file/logs").display().to_string()];
    app.refused(&app.path("state"), &logs, "log folder");
}

#[test]
fn an_app_that_is_fine_passes_both_and_verify_leaves_nothing_behind() {
    let app = Scratch::new(TIMER);
    let more = ["--board".to_owned(), "generic-x86_64".to_owned()];
    let verified = watched(
        pirnd("verify", &app.path("spin.toml"), &app.path("state"), &more).spawn().unwrap(),
    );
    assert_eq!(verified.map(|(code, said)| (code, said.contains("error"))), Some((0, false)));
    assert!(!app.path("state").exists());
    let (_, up) = verify_and_up(&app.path("spin.toml"), &app.path("state"), &more);
    assert_eq!(up, None);
}

#[test]
fn the_policy_for_hosts_binds_the_apps_own_broker() {
    let app = Scratch::new(&format!(
        "{BROKER}[[trigger.mqtt]]\ncomponent = \"c\"\ntopic = \"t\"\n{TIMER}"
    ));
    for policy in [
        "[tool.pirn.policy]\nallowed_outbound_hosts = []\n",
        "[tool.pirn.policy]\nallowed_outbound_hosts = [\"mqtt://elsewhere:1883\"]\n",
        "[outbound_networking]\nblock_networks = [\"private\"]\n",
    ] {
        let more = app.operator(policy);
        app.refused(
            &app.path("state"),
            &more,
            "mqtt://127.0.0.1:1 is not granted by this device's policy",
        );
    }
}

#[test]
fn secrets_that_every_user_can_read_are_a_warning() {
    let app = Scratch::new(TIMER);
    let more = app.operator("[[variables_provider]]\ntype = \"static\"\nvalues = { a = \"b\" }\n");
    let more = [&["--board".to_owned(), "generic-x86_64".to_owned()][..], &more].concat();
    let said = |mode| {
        fs::set_permissions(app.path("operator.toml"), fs::Permissions::from_mode(mode)).unwrap();
        let verify = pirnd("verify", &app.path("spin.toml"), &app.path("state"), &more).spawn();
        watched(verify.unwrap()).unwrap().1
    };
    assert!(said(0o644).contains("every user of this machine can read it: chmod 600"));
    assert!(said(0o602).contains("every user of this machine can change it: chmod 600"));
    assert!(!said(0o600).contains("every user"));
}

#[test]
fn outputs_can_be_set_safe_even_if_a_variable_has_no_value() {
    let app = Scratch::new(&format!("[variables]\ntoken = {{ required = true }}\n{TIMER}"));
    let run = |command: &str| {
        let mut pirnd = Command::new(env!("CARGO_BIN_EXE_pirnd"));
        pirnd.arg(command).arg(app.path("spin.toml")).args(["--board", "generic-x86_64"]);
        pirnd.env_clear().output().unwrap()
    };
    assert_eq!(run("verify").status.code(), Some(2));
    let safe = run("safe-state");
    let said = String::from_utf8_lossy(&safe.stderr).into_owned();
    assert_eq!((safe.status.code(), said.as_str()), (Some(0), ""));
}

#[test]
fn every_signal_that_asks_a_runner_to_stop_is_obeyed_in_order() {
    for signal in ["TERM", "INT", "QUIT", "HUP"] {
        let app = Scratch::new(TIMER);
        let more = ["--board".to_owned(), "generic-x86_64".to_owned()];
        let mut child =
            pirnd("up", &app.path("spin.toml"), &app.path("state"), &more).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap());
        let mut said = String::new();
        while !said.contains("pirnd: running ") {
            assert!(lines.read_line(&mut said).unwrap() > 0, "{said}");
        }
        let id = child.id().to_string();
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &id]).status().unwrap().success()
        );
        lines.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0), "{signal}: {said}");
        assert!(said.ends_with("pirnd: stopped\n"), "{signal}: {said}");
    }
}
