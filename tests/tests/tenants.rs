//! `pirnd serve` and `pirnd app`, as an operator types them: apps come, go, are replaced under traffic, and survive
//! whatever happens to the process.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::faults::books;
use pirn_tests::faults::broker::Broker;
use pirn_tests::guests::guest;
use pirn_tests::served::Served;

/// An app that passes numbers on from `in/LANE/…` to `out/LANE`.
fn ledger(broker: &Broker, name: &str, lane: &str) -> ScratchApp {
    let address = broker.address();
    let app = ScratchApp::with_manifest(&format!(
        "spin_manifest_version = 2\n[application]\nname = \"{name}\"\n\
         [application.trigger.mqtt]\naddress = \"{address}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"30\"\n[[trigger.mqtt]]\ncomponent = \"{lane}\"\n\
         topic = \"in/{lane}/#\"\nqos = \"1\"\n[component.{lane}]\nsource = \"ledger.wasm\"\n\
         key_value_stores = [\"default\"]\nallowed_outbound_hosts = [\"{address}\"]\n\
         [component.{lane}.variables]\nbroker = \"{address}\"\nother = \"{address}\"\n"
    ));
    app.copy(&guest("ledger"), "ledger.wasm");
    app.built()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Waits until so many numbers came out of a lane.
fn came(broker: &Broker, lane: &str, count: usize) {
    let topic = format!("out/{lane}");
    let all = broker.wait(Duration::from_secs(20), |look| look.received_on(&topic) >= count);
    assert!(all, "of {count} numbers {} came out of {lane}", broker.look().received_on(&topic));
}

/// Waits until a session of the broker's takes what goes into a lane: an app is at work before its broker answers, and
/// what nobody subscribed to is nobody's.
fn subscribed(broker: &Broker, lane: &str) {
    let filter = format!("in/{lane}/#");
    let is_there = broker.wait(Duration::from_secs(20), |look| look.is_subscribed_to(&filter));
    assert!(is_there, "nobody subscribed to {filter}");
}

fn publish(broker: &Broker, lane: &str, numbers: std::ops::Range<u64>) {
    subscribed(broker, lane);
    for number in numbers {
        broker.publish(&format!("in/{lane}/keep"), &number.to_string(), 1);
    }
}

#[test]
fn apps_come_and_go_without_touching_each_other_and_are_there_again_after_kill_9() {
    let broker = Broker::start();
    let (lamp, door) = (ledger(&broker, "lamp", "a"), ledger(&broker, "door", "b"));
    let mut served = Served::new();
    assert_eq!(served.said(&["add", text(lamp.path())]), "lamp is there and runs\n");
    served.said(&["add", text(door.path()), "--name", "front-door"]);
    assert!(served.refused(&["add", text(lamp.path())]).contains("an app lamp already"));
    publish(&broker, "a", 0..10);
    publish(&broker, "b", 0..10);
    came(&broker, "a", 10);
    came(&broker, "b", 10);

    assert_eq!(served.said(&["stop", "lamp"]), "lamp is stopped\n");
    publish(&broker, "a", 10..20);
    publish(&broker, "b", 10..20);
    came(&broker, "b", 20);
    served.restart();
    assert!(served.printed().contains("1 of 2 apps run"), "{}", served.printed());
    let list = served.said(&["list", "--format", "json"]);
    let rows: Vec<serde_json::Value> =
        list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<_> = rows.iter().map(|row| (&row["name"], &row["state"])).collect();
    assert_eq!(
        states,
        [(&"front-door".into(), &"running".into()), (&"lamp".into(), &"stopped".into())]
    );
    assert_eq!(broker.look().received_on("out/a"), 10, "a stopped app did something");
    served.said(&["start", "lamp"]);
    came(&broker, "a", 20);
    assert!(served.said(&["status", "lamp"]).starts_with("lamp on "));

    let gone = served.said(&["remove", "lamp"]);
    assert!(gone.contains("lamp is gone; what it kept is in "), "{gone}");
    assert_eq!(served.set(), ["front-door"]);
    assert!(served.refused(&["stop", "lamp"]).contains("there is no app lamp"));
}

#[test]
fn an_app_that_is_wrong_is_said_holds_up_nobody_and_is_not_taken_in() {
    let broker = Broker::start();
    let (fine, wrong) = (ledger(&broker, "fine", "a"), ledger(&broker, "wrong", "b"));
    let mut served = Served::new();
    served.said(&["add", text(fine.path())]);
    std::fs::write(wrong.file("spin.toml"), "spin_manifest_version = 7\n").unwrap();
    let refused = served.refused(&["add", text(wrong.path()), "--name", "b"]);
    assert!(
        refused.contains("spin.toml") && refused.contains("spin_manifest_version"),
        "{refused}"
    );
    assert!(served.refused(&["replace", "fine", text(wrong.path())]).contains("spin.toml"));
    assert_eq!(served.set(), ["fine"]);
    publish(&broker, "a", 0..5);
    came(&broker, "a", 5);
    // One that was put there by hand.
    std::os::unix::fs::symlink(wrong.path(), served.state().join("apps/b")).unwrap();
    served.restart();
    assert!(served.printed().contains("1 of 2 apps run"), "{}", served.printed());
    let list = served.said(&["list"]);
    assert!(list.contains("b     wrong") && list.contains("spin_manifest_version"), "{list}");
    // One that was fine when it was stopped is wrong when it does not start.
    served.said(&["stop", "fine"]);
    let manifest = std::fs::read_to_string(fine.file("spin.toml")).unwrap();
    std::fs::write(fine.file("spin.toml"), "spin_manifest_version = 7\n").unwrap();
    assert!(served.refused(&["start", "fine"]).contains("spin_manifest_version"));
    assert!(served.said(&["list"]).contains("fine  wrong"), "{}", served.said(&["list"]));
    std::fs::write(fine.file("spin.toml"), manifest).unwrap();
    served.said(&["start", "fine"]);
    publish(&broker, "a", 5..10);
    came(&broker, "a", 10);
}

#[test]
fn replaced_under_traffic_nothing_is_lost_and_order_is_kept() {
    let broker = Broker::start();
    let versions = [ledger(&broker, "lamp", "a"), ledger(&broker, "lamp", "a")];
    let served = Served::new();
    served.said(&["add", text(versions[0].path())]);
    let replaced = 12;
    let mut next = 0;
    for round in 1..=replaced {
        publish(&broker, "a", next..next + 40);
        next += 40;
        served.said(&["replace", "lamp", text(versions[round % 2].path())]);
    }
    came(&broker, "a", usize::try_from(next).unwrap());
    let look = broker.look();
    let (seen, disordered) = books::delivered(&look);
    assert_eq!((seen.len() as u64, disordered), (next, Vec::new()));
}

#[test]
fn kill_9_in_the_middle_of_a_change_leaves_the_old_set_or_the_new_one() {
    let broker = Broker::start();
    let [one, two] = ["one", "two"].map(|name| ledger(&broker, name, name));
    let mut served = Served::new();
    served.said(&["add", text(one.path())]);
    for round in 0..16_u64 {
        let before = served.set();
        let change: &[&str] = match (round % 3, before.contains(&"two".to_owned())) {
            (0, false) => &["add", text(two.path())],
            (_, false) => &["replace", "one", text(one.path())],
            (1, true) => &["replace", "two", text(two.path())],
            (_, true) => &["remove", "two"],
        };
        let mut asking = served
            .asking(change)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        // Anywhere within what a change takes.
        std::thread::sleep(Duration::from_millis(round * 7 % 90));
        served.restart();
        let _ = asking.wait();
        let after = served.set();
        let whole = [vec!["one".to_owned()], vec!["one".to_owned(), "two".to_owned()]];
        let after: Vec<_> = after.into_iter().filter(|name| !name.starts_with('.')).collect();
        assert!(whole.contains(&after), "{change:?}: {before:?} became {after:?}");
        let ready = format!("{} of {} apps run", after.len(), after.len());
        assert!(served.printed().contains(&ready), "{change:?}: {}", served.printed());
    }
}

#[test]
fn two_apps_of_one_manifest_are_two() {
    let broker = Broker::start();
    let app = ledger(&broker, "lamp", "a");
    let manifest = std::fs::read_to_string(app.file("spin.toml")).unwrap();
    let will = "[application.tool.pirn.mqtt.will]\ntopic = \"gone\"\npayload = \"x\"\n";
    std::fs::write(app.file("spin.toml"), format!("{manifest}{will}")).unwrap();
    let served = Served::new();
    served.said(&["add", text(app.path()), "--name", "one"]);
    served.said(&["add", text(app.path()), "--name", "two"]);
    // Each has a will, so each has a connection, and its name there, of its own.
    assert!(broker.wait(Duration::from_secs(20), |look| look.connects() == 2));
    assert!(served.said(&["status", "two"]).starts_with("two on "));
}

#[test]
fn the_last_app_at_a_broker_leaves_no_subscription_there() {
    let broker = Broker::start();
    let app = ledger(&broker, "lamp", "a");
    let served = Served::new();
    served.said(&["add", text(app.path())]);
    subscribed(&broker, "a");
    served.said(&["remove", "lamp"]);
    let left = broker.wait(Duration::from_secs(10), |look| !look.is_subscribed_to("in/a/#"));
    assert!(left, "the broker goes on keeping messages for nobody");
}

#[test]
fn code_that_takes_for_ever_to_be_read_holds_up_nobody_else() {
    let broker = Broker::start();
    let (slow, fine) = (ledger(&broker, "slow", "a"), ledger(&broker, "fine", "b"));
    let manifest = std::fs::read_to_string(slow.file("spin.toml")).unwrap();
    let interpreted = "[component.a.tool.pirn]\nengine = \"interpreted\"\n";
    std::fs::write(slow.file("spin.toml"), format!("{manifest}{interpreted}")).unwrap();
    // What is read here comes when somebody writes it.
    std::fs::remove_file(slow.file("ledger.wasm")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(slow.file("ledger.wasm")).status().unwrap();
    assert!(made.success());
    let mut served = Served::new();
    for app in [&slow, &fine] {
        let name = if std::ptr::eq(app, &slow) { "slow" } else { "fine" };
        std::os::unix::fs::symlink(app.path(), served.state().join("apps").join(name)).unwrap();
    }
    served.restart();
    subscribed(&broker, "b");
    publish(&broker, "a", 0..3);
    // Its event is with the component before these come.
    let before = broker.wait(Duration::from_secs(20), |look| look.pending_count() == 3);
    assert!(before, "{}", broker.look().pending_count());
    publish(&broker, "b", 0..20);
    came(&broker, "b", 20);
    assert!(served.said(&["list"]).contains("slow"));
    // Now something comes, and it is no component.
    std::fs::write(slow.file("ledger.wasm"), "nothing").unwrap();
    pirn_tests::eventually("the component is refused", || {
        served.printed().contains("ledger.wasm").then_some(())
    });
}
