//! What all components of an app may use together, beside other apps, as their manifests and the board's file say it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::faults::broker::Broker;
use pirn_tests::guests::guest;
use pirn_tests::pirnd;
use pirn_tests::served::Served;

const LONG: Duration = Duration::from_secs(20);

/// An app whose components, one for each lane, pass numbers on from `in/LANE/…` to `out/LANE`; they may use so much
/// together.
fn ledger(broker: &Broker, name: &str, lanes: &[&str], together: &str) -> ScratchApp {
    let address = broker.address();
    let component = |lane: &&str| {
        format!(
            "[[trigger.mqtt]]\ncomponent = \"{lane}\"\ntopic = \"in/{lane}/#\"\nqos = \"1\"\n\
             [component.{lane}]\nsource = \"ledger.wasm\"\nkey_value_stores = [\"default\"]\n\
             allowed_outbound_hosts = [\"{address}\"]\n\
             [component.{lane}.variables]\nbroker = \"{address}\"\nother = \"{address}\"\n"
        )
    };
    let app = ScratchApp::with_manifest(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"{name}\"\n\
         [application.tool.pirn]\n{together}\n\
         [application.trigger.mqtt]\naddress = \"{address}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"30\"\n{}",
        lanes.iter().map(component).collect::<String>()
    ));
    app.copy(&guest("ledger"), "ledger.wasm");
    app.built()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn subscribed(broker: &Broker, lanes: &[&str]) {
    for lane in lanes {
        let filter = format!("in/{lane}/#");
        assert!(broker.wait(LONG, |look| look.is_subscribed_to(&filter)), "not to {filter}");
    }
}

#[test]
fn an_app_has_no_more_instances_at_a_time_than_it_may_have() {
    let broker = Broker::start();
    let pair = ledger(&broker, "pair", &["a", "b"], "instances = 1");
    let served = Served::new();
    served.said(&["add", text(pair.path())]);
    subscribed(&broker, &["a", "b"]);
    for number in 0..4 {
        broker.publish("in/a/late", &format!("{number} 100"), 1);
        broker.publish("in/b/late", &format!("{number} 100"), 1);
    }
    let all = |lane| broker.wait(LONG, |look| look.received_on(&format!("out/{lane}")) == 4);
    assert!(all("a") && all("b"));
    let look = broker.look();
    let topics: Vec<_> = look.record().iter().map(|received| &*received.topic).collect();
    // Whoever begins ends before another begins.
    for pair in topics.chunks(2) {
        assert_eq!(pair[0].replace("begun/", "out/"), pair[1], "{topics:?}");
    }
    assert_eq!(topics.len(), 16);
    drop(look);
    let status = served.said(&["status", "pair", "--format", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["instances"]["of"], 1, "{status}");
}

#[test]
fn an_app_s_rate_is_for_all_its_components_and_nobody_else_s() {
    let broker = Broker::start();
    let slow = ledger(&broker, "slow", &["a", "b"], "rate = \"3/h\"");
    let quick = ledger(&broker, "quick", &["c"], "");
    let served = Served::new();
    served.said(&["add", text(slow.path())]);
    served.said(&["add", text(quick.path())]);
    subscribed(&broker, &["a", "b", "c"]);
    for number in 0..10 {
        for lane in ["a", "b", "c"] {
            broker.publish(&format!("in/{lane}/pass"), &number.to_string(), 1);
        }
    }
    let of = |lane: &str| broker.look().received_on(&format!("out/{lane}"));
    assert!(broker.wait(LONG, |look| look.received_on("out/c") == 10));
    assert!(
        broker.wait(LONG, |look| { look.received_on("out/a") + look.received_on("out/b") == 3 })
    );
    // The broker waits for nobody: what may not run yet is written down, and these are after all of it.
    broker.publish("in/c/pass", "10", 1);
    assert!(broker.wait(LONG, |look| look.received_on("out/c") == 11));
    assert_eq!(of("a") + of("b"), 3);
}

#[test]
fn what_all_components_of_an_app_keep_is_bounded_together() {
    let broker = Broker::start();
    // A digit for each number that is kept.
    let full = ledger(&broker, "full", &["a", "b"], "state = \"5B\"");
    let served = Served::new();
    served.said(&["add", text(full.path())]);
    subscribed(&broker, &["a", "b"]);
    for number in 0..3 {
        broker.publish("in/a/keep", &number.to_string(), 1);
    }
    assert!(broker.wait(LONG, |look| look.received_on("out/a") == 3));
    for number in 0..3 {
        broker.publish("in/b/keep", &number.to_string(), 1);
    }
    assert!(broker.wait(LONG, |look| look.received_on("out/b") == 2));
    pirn_tests::eventually("the third is refused with a sentence", || {
        served.printed().contains("the stores of the app may hold 5 B in all").then_some(())
    });
    assert!(served.printed().contains("raise `state` in [application.tool.pirn]"));
}

#[test]
fn a_board_that_counts_before_refuses_an_app_that_does_not_fit_beside_the_others() {
    let broker = Broker::start();
    let board = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
    let shipped = std::fs::read_to_string("../board-configs/generic-x86_64.toml").unwrap();
    let small = shipped.replace("budget = \"256MiB\"", "budget = \"32MiB\"");
    let words = [OsStr::new("--board"), board.path().as_os_str()];
    let [one, two] = ["one", "two"].map(|name| ledger(&broker, name, &[name], ""));
    for (policy, fits) in [("admit", true), ("none", false)] {
        let text_of = small.replace("stack =", &format!("overcommit = \"{policy}\"\nstack ="));
        std::fs::write(board.path(), text_of).unwrap();
        let mut served = Served::with(&pirnd(), &words);
        served.restart();
        served.said(&["add", text(one.path())]);
        if fits {
            served.said(&["add", text(two.path())]);
            continue;
        }
        let refused = served.refused(&["add", text(two.path())]);
        assert!(refused.contains("together: with two they need 4"), "{refused}");
        assert!(refused.contains("the board grants 32 MiB"), "{refused}");
        assert_eq!(served.set(), ["one"]);
        served.said(&["replace", "one", text(two.path())]);
    }
}
