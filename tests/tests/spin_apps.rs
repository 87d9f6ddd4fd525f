//! Components made for Spin, sync and async, run unmodified: every command of the two guests, on
//! native code and on Pulley, through a real broker.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::machine;
use pirn_tests::peer::Peer;

/// Questions to both guests, and what they must answer.
const CONVERSATION: &[(&str, &str, &str)] = &[
    ("echo", "grüße", "grüße"),
    ("var", "nonsense", "error: "),
    ("kv-open", "default", "ok"),
    ("kv-open", "secret", "error: "),
    ("kv-get", "a", "none"),
    ("kv-set", "a=1", "ok"),
    ("kv-set", "b=2=3", "ok"),
    ("kv-get", "b", "some 2=3"),
    ("kv-exists", "a", "true"),
    ("kv-exists", "z", "false"),
    ("kv-keys", "", "a\nb"),
    ("kv-delete", "a", "ok"),
    ("kv-keys", "", "b"),
    ("kv-count", "n", "1"),
    ("kv-count", "n", "2"),
    ("open", "no address", "error: "),
    ("open", "mqtt://elsewhere.example", "error: "),
    ("publish", "answer/more 1 hello", "hello"),
    ("publish", "answer/more 1 hello", "ok"),
    ("log", "a line", "ok"),
];

fn converse(guest: &str, engine: &str) {
    let broker = Mosquitto::start();
    let engine = machine::engine(engine);
    let settings = format!("[component.app.tool.pirn]\nengine = \"{engine}\"");
    let app =
        ScratchApp::of(&broker.address(), &[Part::new("app", guest, "cmd/#").with(&settings)]);
    let app = app.built();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(&["--verbose"]);
    let mut skip_question = false;
    for (command, payload, expected) in CONVERSATION {
        // `publish` is answered twice: what was asked for, and `ok`.
        if !std::mem::take(&mut skip_question) {
            outside.publish(&format!("cmd/{command}"), *payload);
        }
        skip_question = *command == "publish" && *expected != "ok";
        let (topic, answer) = outside.next();
        let fits = match expected.ends_with(": ") {
            true => answer.starts_with(expected),
            false => answer == *expected,
        };
        assert!(fits, "{command} {payload:?}: {answer:?} on {topic}\n{}", pirnd.printed());
    }
    pirnd.wait_for("app: a line");
    outside.publish("cmd/refuse", "not today");
    pirnd.wait_for("refused: not today");
}

#[test]
fn a_sync_component_runs_as_native_code() {
    converse("mqtt-sync", "native");
}

#[test]
fn a_sync_component_runs_as_pulley_bytecode() {
    converse("mqtt-sync", "pulley");
}

#[test]
fn a_sync_component_runs_interpreted() {
    converse("mqtt-sync", "interpreted");
}

#[test]
fn an_async_component_runs_as_native_code() {
    converse("mqtt-async", "native");
}

#[test]
fn an_async_component_runs_as_pulley_bytecode() {
    converse("mqtt-async", "pulley");
}

#[test]
fn an_async_component_runs_interpreted() {
    converse("mqtt-async", "interpreted");
}

#[test]
fn concurrent_imports_and_half_read_streams_work_in_an_async_component() {
    for engine in ["native", "pulley", "interpreted"] {
        let broker = Mosquitto::start();
        let settings =
            format!("[component.app.tool.pirn]\nengine = \"{}\"", machine::engine(engine));
        let part = Part::new("app", "mqtt-async", "cmd/#").with(&settings);
        let app = ScratchApp::of(&broker.address(), &[part]).built();
        let outside = Peer::subscribed(broker.port(), "answer/#");
        let _pirnd = app.connected(&[]);
        outside.publish("cmd/at-once", "20");
        assert_eq!(outside.next(), ("answer/at-once".into(), "20".into()));
        outside.publish("cmd/half-read", "");
        let (topic, first) = outside.next();
        assert_eq!(topic, "answer/half-read");
        assert!(!first.starts_with("error"), "{first}");
    }
}

#[test]
fn refusals_are_retried_kept_aside_and_acknowledged() {
    let broker = Mosquitto::start();
    let app = ScratchApp::of(&broker.address(), &[Part::new("app", "mqtt-sync", "cmd/#")]).built();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(&[]);
    outside.publish("cmd/refuse", "never");
    outside.publish("cmd/echo", "next");
    assert_eq!(outside.next().1, "next");
    let refusals = pirnd.printed().matches("refused: never").count();
    assert_eq!(refusals, 3, "{}", pirnd.printed());
    let status = pirn_tests::process::run(&mut app.pirnd(&["status"]));
    assert_eq!(status.code, Some(0), "{}", status.err);
    let row = status.out.lines().find(|line| line.starts_with("app")).unwrap();
    let fields: Vec<&str> = row.split_whitespace().collect();
    assert_eq!(
        &fields[..10],
        ["app", machine::code().as_str(), "2", "1", "1", "0", "0", "3", "0", "0"],
        "{}",
        status.out
    );
}

#[test]
fn one_message_that_two_triggers_match_goes_to_both() {
    let broker = Mosquitto::start();
    let parts =
        [Part::new("one", "mqtt-sync", "cmd/+"), Part::new("two", "mqtt-async", "cmd/echo")];
    let app = ScratchApp::of(&broker.address(), &parts).built();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let _pirnd = app.connected(&[]);
    outside.publish("cmd/echo", "both");
    assert_eq!(outside.next().1, "both");
    assert_eq!(outside.next().1, "both");
}

/// A component fired by time, which publishes what it was handed.
fn fired_by_time(trigger: &str, guest: &str, engine: &str) -> (Mosquitto, ScratchApp) {
    let (broker, engine) = (Mosquitto::start(), machine::engine(engine));
    let address = broker.address();
    let app = ScratchApp::with_manifest(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
         [application.trigger.mqtt]\naddress = \"{address}\"\n\
         [variables]\nbroker = {{ default = \"{address}\" }}\n{trigger}\ncomponent = \"app\"\n\
         [component.app]\nsource = \"{guest}.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n\
         variables = {{ broker = \"{{{{ broker }}}}\" }}\n\
         [component.app.tool.pirn]\nengine = \"{engine}\"\n"
    ));
    app.copy(&pirn_tests::guests::guest(guest), &format!("{guest}.wasm"));
    (broker, app.built())
}

/// Every second, with the second that was due; and a refusal is the guest's own.
fn cron(guest: &str, engine: &str) {
    let trigger = "[[trigger.cron]]\ncron_expression = \"* * * * * *\"";
    let (broker, app) = fired_by_time(trigger, guest, engine);
    let outside = Peer::subscribed(broker.port(), "answer/cron");
    let pirnd = app.connected(&[]);
    let first: u64 = outside.next().1.parse().unwrap();
    let second: u64 = outside.next().1.parse().unwrap();
    assert!(second > first, "{first}, then {second}\n{}", pirnd.printed());
    drop(pirnd);
    let invoke = |timestamp| {
        let words = ["invoke", "app", "--timestamp", timestamp];
        pirn_tests::process::run(&mut app.pirnd(&words))
    };
    let refused = invoke("13");
    assert_eq!(refused.code, Some(3), "{}{}", refused.out, refused.err);
    assert!(refused.out.contains("refused: an unlucky second"), "{}", refused.out);
    let fine = invoke("14");
    assert_eq!(fine.code, Some(0), "{}{}", fine.out, fine.err);
    assert_eq!(outside.next().1, "14");
}

#[test]
fn a_sync_component_of_spins_cron_world_runs_on_every_engine() {
    cron("cron-sync", "native");
    cron("cron-sync", "pulley");
    cron("cron-sync", "interpreted");
}

#[test]
fn an_async_component_of_spins_cron_world_runs_on_every_engine() {
    cron("cron-async", "native");
    cron("cron-async", "pulley");
    cron("cron-async", "interpreted");
}

#[test]
fn a_component_of_spins_timer_example_runs_on_every_engine() {
    for engine in ["native", "pulley", "interpreted"] {
        let trigger = "[[trigger.timer]]\ninterval_secs = 1\nfirst = \"at-once\"";
        let (broker, app) = fired_by_time(trigger, "timer", engine);
        let outside = Peer::subscribed(broker.port(), "answer/timer");
        let _pirnd = app.connected(&[]);
        for _ in 0..3 {
            assert_eq!(outside.next().1, "tick");
        }
    }
}
