//! `pirnd` as a user types it: verify, invoke, status, logs, systemd.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;
use pirn_tests::process::run;
use pirn_tests::{eventually, machine};

fn app(broker: &str) -> ScratchApp {
    let limits = "[component.bad.tool.pirn]\ndeadline = \"500ms\"";
    let parts = [
        Part::new("good", "mqtt-sync", "good/#"),
        Part::new("bad", "misbehave", "bad").with(limits),
    ];
    ScratchApp::of(broker, &parts).built()
}

#[test]
fn the_runner_has_at_most_eight_mebibytes_with_everything_in_it() {
    let bytes = std::fs::metadata(pirn_tests::pirnd()).unwrap().len();
    assert!(bytes <= 8 << 20, "{bytes} bytes");
}

#[test]
fn verify_says_what_would_run() {
    let ended = run(&mut app("mqtt://127.0.0.1:1").pirnd(&["verify"]));
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("scratch is fine for generic-"), "{}", ended.out);
    assert!(ended.out.contains(&format!("good ({},", machine::code())), "{}", ended.out);
}

#[test]
fn invoke_prints_the_outcome_and_its_exit_status_tells_it() {
    let app = app("mqtt://127.0.0.1:1");
    std::fs::write(app.file("payload"), "refuse from a file").unwrap();
    let file = app.file("payload");
    let file = file.to_str().unwrap();
    for (words, code, part) in [
        (&["bad", "--payload", "exit 0"][..], 0, "done"),
        (&["bad", "--payload", "refuse no thanks"], 3, "refused: no thanks"),
        (&["bad", "--payload-file", file], 3, "refused: from a file"),
        (&["bad", "--payload", "trap"], 4, "faulted (trap)"),
        (&["bad", "--payload", "loop"], 4, "faulted (deadline)"),
    ] {
        let ended = run(app.pirnd(&["invoke", "--topic", "t"]).args(words));
        assert_eq!(ended.code, Some(code), "{words:?}: {}{}", ended.out, ended.err);
        assert!(ended.out.contains(part), "{words:?}: {}", ended.out);
    }
    let ended =
        run(app.pirnd(&["invoke", "--topic", "t", "nobody", "--payload", ""]).args([""; 0]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("good") && ended.err.contains("bad"), "{}", ended.err);
}

#[test]
fn status_of_nobody_says_where_it_looked() {
    let ended = run(&mut app("mqtt://127.0.0.1:1").pirnd(&["status"]));
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("pirnd.sock"), "{}", ended.err);
}

#[test]
fn logs_are_json_when_asked_for_and_components_logs_go_to_files() {
    let broker = Mosquitto::start();
    let app = app(&broker.address());
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let logs = app.file("logs");
    let pirnd = app.connected(&["--log-format", "json", "-L", logs.to_str().unwrap()]);
    outside.publish("good/log", "for the \"file\"");
    assert_eq!(outside.next().1, "ok");
    for line in pirnd.printed().lines() {
        assert!(line.starts_with("{\"time\":\"20") && line.ends_with('}'), "{line}");
    }
    assert!(!pirnd.printed().contains("for the"));
    // A thread of its own writes them.
    eventually("the line in its file", || {
        let log = std::fs::read_to_string(logs.join("good.log")).ok()?;
        log.contains("for the \"file\"").then_some(())
    });
}

#[test]
fn a_topic_cannot_turn_a_line_of_the_log_around_in_either_format() {
    for (format, expected) in
        [("text", "good/a\\u{202e}b\\u{2028}c"), ("json", "good/a\\u202eb\\u2028c")]
    {
        let broker = Mosquitto::start();
        let app = app(&broker.address());
        let outside = Peer::subscribed(broker.port(), "answer/#");
        let pirnd = app.connected(&["--log-format", format, "-v"]);
        outside.publish("good/a\u{202e}b\u{2028}c", "x");
        let _ = outside.next();
        pirnd.wait_for(expected);
        assert!(!pirnd.printed().contains(['\u{202e}', '\u{2028}']), "{}", pirnd.printed());
    }
}

#[test]
fn systemd_is_told_ready_alive_and_stopping() {
    let app = app("mqtt://127.0.0.1:1");
    let socket = app.file("notify");
    let systemd = UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = app.pirnd(&["up"]);
    command.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "400000");
    let mut pirnd = pirn_tests::process::Running::start(&mut command);
    let heard = |part: &str| {
        let mut buffer = [0; 1024];
        for _ in 0..100 {
            let bytes = systemd.recv(&mut buffer).unwrap();
            if String::from_utf8_lossy(&buffer[..bytes]).contains(part) {
                return;
            }
        }
        panic!("systemd was not told {part}");
    };
    heard("READY=1");
    heard("WATCHDOG=1");
    heard("WATCHDOG=1");
    pirnd.signal("TERM");
    heard("STOPPING=1");
    assert_eq!(pirnd.wait().code(), Some(0));
}
