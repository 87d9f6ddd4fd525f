//! The state folder of real processes: whose it is, who may look into it, and what happens when a file
//! in it is not what it was.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;
use pirn_tests::process::run;

fn app(broker: &Mosquitto) -> ScratchApp {
    ScratchApp::of(&broker.address(), &[Part::new("bad", "misbehave", "bad/#")]).built()
}

fn state(app: &ScratchApp) -> PathBuf {
    app.file(".pirn-state")
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_folder_in_use_is_refused_to_a_second_runner_and_to_invoke_before_they_connect() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let first = app.connected(&[]);
    for words in [&["up"][..], &["invoke", "bad", "--topic", "t", "--payload", "exit 0"]] {
        let second = run(&mut app.pirnd(words));
        assert_eq!(second.code, Some(2), "{words:?}: {}", second.err);
        let process = format!("(process {})", first.id());
        assert!(second.err.contains(&process), "{words:?}: {}", second.err);
        assert!(!second.err.contains("connect"), "{words:?}: {}", second.err);
    }
}

#[test]
fn a_folder_that_anybody_could_read_is_closed_with_all_that_is_in_it() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    std::fs::create_dir(state(&app)).unwrap();
    std::fs::set_permissions(state(&app), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::write(state(&app).join("client-id"), "scratch-before").unwrap();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let logs = state(&app).join("logs");
    let pirnd = app.connected(&["-L", logs.to_str().unwrap()]);
    outside.publish("bad/1", "trap");
    pirnd.wait_for("faulted (trap)");
    pirn_tests::eventually("the database", || {
        state(&app).join("pirn.db-wal").exists().then_some(())
    });
    assert_eq!(mode(&state(&app)), 0o700);
    let mut seen = 0;
    for entry in std::fs::read_dir(state(&app)).unwrap() {
        let entry = entry.unwrap();
        let expected = if entry.path().is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(&entry.path()), expected, "{:?}", entry.file_name());
        seen += 1;
    }
    assert!(seen >= 7, "client id, lock, socket, database with three companions, logs: {seen}");
}

#[test]
fn an_emptied_client_id_is_said_and_not_replaced() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let mut first = app.connected(&[]);
    let path = state(&app).join("client-id");
    let id = std::fs::read_to_string(&path).unwrap();
    first.signal("KILL");
    first.wait();
    std::fs::write(&path, "").unwrap();
    let ended = run(&mut app.pirnd(&["up"]));
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    assert!(ended.err.contains("client-id holds no client id"), "{}", ended.err);
    std::fs::write(&path, &id).unwrap();
    app.connected(&[]).wait_for("session resumed");
}

#[test]
fn a_runner_whose_database_is_damaged_starts_says_so_and_keeps_the_remains() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    std::fs::create_dir(state(&app)).unwrap();
    std::fs::write(state(&app).join("pirn.db"), vec![7; 8192]).unwrap();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(&[]);
    outside.publish("bad/1", "trap");
    pirnd.wait_for("pirn.db.damaged-1");
    assert_eq!(std::fs::read(state(&app).join("pirn.db.damaged-1")).unwrap(), vec![7; 8192]);
}
