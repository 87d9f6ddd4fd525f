//! An app's artifacts may be written over while it runs: `scp` does that, in place. What runs is a copy of the
//! runner's own.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::machine;
use pirn_tests::peer::Peer;
use pirn_tests::process::run;

/// Files with this ending, at most two folders further down.
fn artifacts(folder: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    listed
        .flat_map(|path| match path.is_dir() {
            true => artifacts(&path),
            false => vec![path],
        })
        .filter(|path| path.extension().is_some_and(|ending| ending == "cwasm"))
        .collect()
}

fn app(broker: &Mosquitto) -> ScratchApp {
    ScratchApp::of(&broker.address(), &[Part::new("good", "mqtt-sync", "good/#")]).built()
}

#[test]
fn an_artifact_that_is_written_over_and_cut_short_under_a_running_runner_changes_nothing() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let peer = Peer::subscribed(broker.port(), "answer/#");
    let files = artifacts(&app.file(".pirn"));
    assert_eq!(files.is_empty(), machine::code() == "interpreted", "{files:?}");
    let mut pirnd = app.connected(&[]);
    let answers = |text: &str| {
        peer.publish("good/echo", text);
        assert_eq!(peer.next().1, text);
    };
    answers("before");
    for file in &files {
        let bytes = vec![0xcc; fs::metadata(file).unwrap().len() as usize];
        OpenOptions::new().write(true).open(file).unwrap().write_all(&bytes).unwrap();
    }
    answers("written over");
    for file in &files {
        OpenOptions::new().write(true).open(file).unwrap().set_len(0).unwrap();
    }
    answers("cut short");
    assert!(pirnd.is_running(), "{}", pirnd.printed());
}

#[test]
fn code_is_kept_once_and_what_the_app_no_longer_has_is_removed() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let state = tempfile::tempdir().unwrap();
    let words = ["--state-dir", state.path().to_str().unwrap()];
    let kept = || artifacts(state.path());
    for _ in 0..2 {
        drop(app.connected(&words));
        assert_eq!(kept().len(), artifacts(&app.file(".pirn")).len());
    }
    if machine::code() == "interpreted" {
        return;
    }
    let old = kept();
    app.copy(&pirn_tests::guests::guest("misbehave"), "mqtt-sync.wasm");
    let app = app.built();
    drop(app.connected(&words));
    assert!(kept().len() == 1 && kept() != old, "{:?}", kept());
}

#[test]
fn verify_writes_nothing() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let state = app.file("nothing-here");
    let ended = run(app.pirnd(&["verify"]).arg("--state-dir").arg(&state));
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    assert!(!state.exists());
}
