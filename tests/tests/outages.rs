//! What happens when the broker goes and comes back, and when the runner is killed: nothing that was
//! promised is lost, and nobody storms.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::time::Duration;

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::peer::Peer;

fn app(broker: &Mosquitto) -> ScratchApp {
    ScratchApp::of(&broker.address(), &[Part::new("app", "mqtt-sync", "cmd/#")]).built()
}

/// Gathers echoes until all of these numbers were seen.
fn all_come(outside: &Peer, mut missing: BTreeSet<u32>) {
    let mut waited = 0;
    while !missing.is_empty() {
        match outside.next_within(Duration::from_secs(1)) {
            Some((_, answer)) => drop(missing.remove(&answer.parse::<u32>().unwrap())),
            None => {
                waited += 1;
                assert!(waited < 60, "lost: {missing:?}");
            }
        }
    }
}

#[test]
fn a_runner_that_started_first_connects_when_the_broker_comes() {
    let mut broker = Mosquitto::stopped();
    let app = app(&broker);
    let pirnd = app.up(&[]);
    pirnd.wait_for("next try in");
    broker.restart();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    pirnd.wait_for("connected");
    outside.publish("cmd/echo", "there you are");
    assert_eq!(outside.next().1, "there you are");
}

#[test]
fn no_message_is_lost_while_mosquitto_stops_and_starts() {
    let mut broker = Mosquitto::start();
    let app = app(&broker);
    let pirnd = app.connected(&[]);
    pirnd.wait_for("connected");
    let total = 400;
    for round in 0..4_u32 {
        let outside = Peer::subscribed(broker.port(), "answer/#");
        let mine: BTreeSet<u32> = (round * total / 4..(round + 1) * total / 4).collect();
        for n in &mine {
            outside.publish("cmd/echo", n.to_string());
        }
        // The first half of a round's answers, then the broker goes in the middle of the rest.
        if round % 2 == 0 {
            all_come(&outside, mine);
            broker.restart();
        } else {
            all_come(&outside, mine);
        }
    }
    let connects = pirnd.printed().matches(": connected").count();
    assert!((2..=8).contains(&connects), "{connects} connects:\n{}", pirnd.printed());
}

#[test]
fn what_arrives_while_the_runner_is_killed_is_handled_by_the_next() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let mut pirnd = app.connected(&[]);
    pirnd.wait_for("connected");
    let outside = Peer::subscribed(broker.port(), "answer/#");
    for n in 0..300 {
        outside.publish("cmd/echo", n.to_string());
        if n == 100 {
            pirnd.signal("KILL");
        }
    }
    pirnd.wait();
    let second = app.connected(&[]);
    second.wait_for("session resumed");
    all_come(&outside, (0..300).collect());
}

#[test]
fn sigterm_ends_the_runner_at_once_with_nothing_lost() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let mut pirnd = app.connected(&[]);
    pirnd.wait_for("connected");
    let outside = Peer::subscribed(broker.port(), "answer/#");
    for n in 0..200 {
        outside.publish("cmd/echo", n.to_string());
    }
    pirnd.signal("TERM");
    assert_eq!(pirnd.wait().code(), Some(0), "{}", pirnd.printed());
    let _second = app.connected(&[]);
    all_come(&outside, (0..200).collect());
}

#[test]
fn a_second_runner_on_the_same_state_is_refused() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let _pirnd = app.connected(&[]);
    let second = pirn_tests::process::run(&mut app.pirnd(&["up"]));
    assert_eq!(second.code, Some(2));
    assert!(second.err.contains("another pirnd runs with this state folder"), "{}", second.err);
}

#[test]
fn once_handles_one_event_and_exits() {
    let broker = Mosquitto::start();
    let app = app(&broker);
    let mut pirnd = app.connected(&["--once"]);
    pirnd.wait_for("connected");
    let outside = Peer::subscribed(broker.port(), "answer/#");
    outside.publish("cmd/echo", "only me");
    assert_eq!(outside.next().1, "only me");
    assert_eq!(pirnd.wait().code(), Some(0));
}
