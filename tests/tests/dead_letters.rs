//! `pirnd dead-letters` as an operator types it: of a runner that works and of one that is stopped.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::eventually;
use pirn_tests::guests::guest;
use pirn_tests::peer::Peer;
use pirn_tests::process::{Ended, run};

fn app(broker: &str) -> ScratchApp {
    let once = "[component.bad.tool.pirn]\nattempts_max = 1";
    ScratchApp::of(broker, &[Part::new("bad", "misbehave", "bad/#").with(once)]).built()
}

fn letters(app: &ScratchApp, words: &[&str]) -> Ended {
    run(app.pirnd(&["dead-letters"]).args(words))
}

/// What the command prints if it succeeds.
fn printed(app: &ScratchApp, words: &[&str]) -> String {
    let ended = letters(app, words);
    assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.out, ended.err);
    ended.out
}

/// Waits until so many letters are there.
fn wait_for(app: &ScratchApp, number: usize) {
    eventually("the dead letters", || {
        (printed(app, &["list", "--format", "json"]).lines().count() == number).then_some(())
    });
}

#[test]
fn dead_letters_are_listed_shown_exported_and_dropped_on_a_running_and_on_a_stopped_runner() {
    let broker = Mosquitto::start();
    let app = app(&broker.address());
    let mut pirnd = app.connected(&[]);
    let outside = Peer::subscribed(broker.port(), "answer/#");
    for n in 0..4 {
        outside.publish(&format!("bad/{n}"), format!("refuse number {n}"));
    }
    wait_for(&app, 4);
    let table = printed(&app, &["list"]);
    assert!(table.lines().count() == 5 && table.contains("bad/3: refused: number 3"), "{table}");
    assert!(printed(&app, &["show", "2"]).contains("payload    refuse number 1"));
    assert_eq!(printed(&app, &["list", "--component", "nobody", "--format", "json"]), "");
    assert_eq!(printed(&app, &["list", "--older-than", "1h", "--format", "json"]), "");
    assert_eq!(printed(&app, &["drop", "1"]), "1 dead letter dropped\n");
    let missing = letters(&app, &["drop", "1"]);
    assert_eq!(missing.code, Some(1));
    assert!(missing.err.contains("there is no dead letter 1"), "{}", missing.err);

    pirnd.signal("TERM");
    assert_eq!(pirnd.wait().code(), Some(0), "{}", pirnd.printed());
    let file = app.file("letters");
    printed(&app, &["export", "-o", file.to_str().unwrap()]);
    let exported = std::fs::read_to_string(&file).unwrap();
    assert_eq!(exported.lines().count(), 3, "{exported}");
    assert!(exported.contains("\"payload\":\"refuse number 3\""), "{exported}");
    let marked = letters(&app, &["retry", "--all"]);
    assert_eq!((marked.code, &*marked.out), (Some(0), "3 dead letters will be tried again\n"));
    assert!(marked.err.contains("when it starts"), "{}", marked.err);
    assert_eq!(printed(&app, &["list"]).matches("to be tried").count(), 3);
    assert_eq!(printed(&app, &["drop", "--newer-than", "1h"]), "3 dead letters dropped\n");
    assert_eq!(printed(&app, &["list", "--format", "json"]), "");
}

#[test]
fn a_folder_in_which_nothing_was_ever_kept_is_said_and_not_made() {
    let app = app("mqtt://127.0.0.1:1");
    let nowhere = app.file("nowhere");
    let ended = letters(&app, &["list", "--state-dir", nowhere.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("no app has kept anything there"), "{}", ended.err);
    assert!(!nowhere.exists());
}

#[test]
fn a_message_whose_answer_the_broker_never_takes_is_a_dead_letter_that_says_so() {
    let broker = Mosquitto::start_with("max_packet_size 400\n");
    let address = broker.address();
    let long = "x".repeat(500);
    let app = ScratchApp::with_manifest(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
         [application.trigger.mqtt]\naddress = \"{address}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"5\"\n[application.tool.pirn.mqtt]\nprotocol = \"5\"\n\
         [[trigger.mqtt]]\ncomponent = \"c\"\ntopic = \"c/#\"\nqos = \"1\"\n\
         [component.c]\nsource = \"c.wasm\"\nallowed_outbound_hosts = [\"{address}\"]\n\
         [component.c.variables]\nbroker = \"{address}\"\nlong = \"{long}\"\nshort = \"x\"\n\
         [component.c.tool.pirn]\nattempts_max = 2\n"
    ));
    app.copy(&guest("mqtt-sync"), "c.wasm");
    let app = app.built();
    let pirnd = app.connected(&[]);
    let outside = Peer::subscribed(broker.port(), "answer/#");
    outside.publish("c/var", "long");
    wait_for(&app, 1);
    let shown = printed(&app, &["show", "1"]);
    assert!(shown.contains("undelivered: ") && shown.contains("400"), "{shown}");
    let status = run(&mut app.pirnd(&["status", "--format", "json"])).out;
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    let component = &status["components"][0];
    assert_eq!(component["undelivered"], 1, "{component}");
    assert_eq!(component["dead_letters"], 1, "{component}");
    assert!(pirnd.printed().contains("undelivered"), "{}", pirnd.printed());
    outside.publish("c/var", "short");
    assert_eq!(outside.next().1, "x");
}
