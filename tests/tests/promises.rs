//! The promises of RELIABILITY.md, one test of its name for each: a recording broker, a real runner, whatever can
//! happen in between. The fault battery (`tests/faults`) tries each of them in many more ways.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use pirn_tests::faults::kept;
use pirn_tests::faults::scene::{Piece, Scene};
use serde_json::Value;

/// Kills the runner in the middle of a stream of messages, twice, and once the broker.
fn through_kills(scene: &mut Scene, lane: &str, command: &str, count: u64) {
    for (round, half) in (1..=3_u64).zip([false, true, false]) {
        let numbers = (round - 1) * count / 3..round * count / 3;
        scene.publish(lane, command, numbers);
        let so_far = usize::try_from(round * count / 3 - count / 6).unwrap();
        scene.broker.wait(Duration::from_secs(10), |look| {
            look.received_on(&format!("out/{lane}")) >= so_far
        });
        if half {
            scene.broker.kill();
            scene.broker.restart();
        } else {
            scene.kill();
            scene.start();
        }
    }
}

/// The status, as JSON.
fn status(scene: &Scene) -> Value {
    let output = scene.pirnd(&["status", "--format", "json"]).output().unwrap();
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is wrong with the books of one trigger or component.
fn imbalance(book: &Value) -> Option<String> {
    let count = |name: &str| book.get(name).and_then(Value::as_u64).unwrap_or(0);
    let dropped = book.get("dropped").and_then(Value::as_u64).unwrap_or_else(|| {
        ["no_room", "coalesced", "missed", "gone"]
            .map(|why| count(&format!("dropped_{why}")))
            .iter()
            .sum()
    });
    let sum = count("delivered") + count("dead_letters") + dropped + count("pending");
    (count("accepted") != sum).then(|| book.to_string())
}

#[test]
fn every_message_that_the_broker_saw_acknowledged_was_handled_or_is_a_dead_letter() {
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    // Nine failures in one process: the last rests are the longest.
    scene.be_patient(Duration::from_secs(40));
    scene.publish("b", "refuse", 0..3);
    through_kills(&mut scene, "a", "pass", 300);
    let books = scene.drain().unwrap();
    assert_eq!(books.problems(), Vec::<String>::new());
    assert_eq!((books.accepted, books.delivered, books.dead), (303, 300, 3));
}

#[test]
fn every_publish_that_a_component_was_told_is_accepted_arrives_in_order_over_outages_and_kills() {
    let mut scene = Scene::connected(&[Piece::ledger("timed").every("50ms")]);
    for _ in 0..2 {
        scene.broker.wait(Duration::from_secs(5), |look| look.received_on("out/tick") >= 3);
        scene.broker.kill();
        std::thread::sleep(Duration::from_millis(600));
        scene.kill();
        scene.broker.restart();
        scene.start();
    }
    scene.kill();
    let values = kept::values(scene.state()).unwrap();
    let (_, told) = values.iter().find(|(key, _)| key == "told").expect("something was accepted");
    assert!(*told > 20, "while the broker is away too: {told}");
    scene.start();
    let last = (told + 1).to_string();
    let came = scene.broker.wait(Duration::from_secs(10), |look| {
        look.record().iter().any(|one| one.topic == "out/tick" && one.text == last)
    });
    assert!(came, "{}", scene.printed());
    let look = scene.broker.look();
    let ticks = look.record().iter().filter(|one| one.topic == "out/tick");
    let mut next = 1;
    for number in ticks.filter_map(|one| one.text.parse::<u64>().ok()) {
        assert!(number <= next, "{number} came before {next}");
        next = next.max(number + 1);
    }
    assert!(next > told + 1, "{told} were accepted, {next} is the first that did not come");
}

#[test]
fn every_key_value_that_was_set_is_there_after_a_kill() {
    let mut scene = Scene::connected(&[Piece::ledger("k")]);
    through_kills(&mut scene, "k", "keep", 300);
    assert_eq!(scene.drain().unwrap().problems(), Vec::<String>::new());
    scene.kill();
    assert_eq!(scene.key_value_problems("k").unwrap(), Vec::<String>::new());
    assert!(kept::values(scene.state()).unwrap().len() >= 100);
}

// That every edge is delivered or counted as missed is shown with lines: `triggers/tests/gpio`, `tests/tests/pins.rs`,
// `tests/tests/board_apps.rs`, and the battery's `edges while broker away`.
#[test]
fn every_tick_ran_or_is_counted_as_skipped() {
    // Each takes its component half a second, and ten a second are due.
    let scene = Scene::connected(&[Piece::ledger("slow").every("100ms")]);
    for number in 0..4 {
        scene.broker.publish("in/slow/late", &format!("{number} 500"), 1);
    }
    std::thread::sleep(Duration::from_millis(2_500));
    let status = status(&scene);
    let triggers = status["triggers"].as_array().unwrap();
    let timer = triggers.iter().find(|t| t["id"].as_str().unwrap().contains("timer")).unwrap();
    assert_eq!(imbalance(timer), None);
    let (due, skipped) =
        (timer["accepted"].as_u64().unwrap(), timer["dropped_coalesced"].as_u64().unwrap());
    assert!(due >= 15 && skipped >= 5 && timer["delivered"].as_u64().unwrap() >= 1, "{timer}");
}

#[test]
fn the_books_balance_at_any_moment() {
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b").every("20ms")]);
    scene.publish("b", "refuse", 0..5);
    for round in 0..30_u64 {
        scene.publish("a", "pass", round * 20..(round + 1) * 20);
        if round == 10 {
            scene.broker.kill();
        }
        if round == 20 {
            scene.broker.restart();
        }
        let status = status(&scene);
        for list in ["components", "triggers"] {
            let books = status[list].as_array().unwrap();
            assert!(!books.is_empty());
            assert_eq!(
                books.iter().filter_map(imbalance).collect::<Vec<_>>(),
                Vec::<String>::new()
            );
        }
        let outbox = &status["outbox"];
        let count = |name: &str| outbox[name].as_u64().unwrap();
        let sum = ["delivered", "refused", "dropped", "expired", "pending"]
            .map(count)
            .iter()
            .sum::<u64>();
        assert_eq!(count("accepted"), sum, "{outbox}");
    }
    scene.drain().unwrap();
    let table = String::from_utf8(scene.pirnd(&["status"]).output().unwrap().stdout).unwrap();
    assert!(
        ["accepted", "pending", "\ntrigger"].iter().all(|word| table.contains(word)),
        "{table}"
    );
    assert!(scene.is_running());
}

#[test]
fn a_component_that_fails_or_is_slow_costs_its_neighbours_nothing_but_their_share() {
    let failing = Piece::ledger("failing");
    let slow = Piece::ledger("slow").limits("deadline = \"60s\"");
    let mut scene = Scene::connected(&[failing, slow, Piece::ledger("good")]);
    // More than the 20 that a broker has under way, of both: without lanes of their own the good one gets nothing.
    for number in 0..40 {
        scene.publish("failing", "refuse", [number]);
        scene.broker.publish("in/slow/late", &format!("{number} 10000"), 1);
    }
    scene.publish("good", "pass", 0..100);
    assert!(scene.wait_for("good", 100), "{}", scene.printed());
    scene.kill();
    assert_eq!(scene.books_into(&scene.broker).unwrap().lost, []);
}
