//! Components that misbehave: each ends as a named outcome, and its neighbour's messages keep being
//! answered meanwhile.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::machine;
use pirn_tests::peer::Peer;
use pirn_tests::process::Running;

/// One try per event and a short deadline, so that the tests are quick.
const LIMITS: &str = "[component.bad.tool.pirn]\ndeadline = \"1s\"\nattempts_max = 1\nmemory = \"4MiB\"\nlog_rate = \"20/s\"";

struct Scene {
    outside: Peer,
    pirnd: Running,
    app: ScratchApp,
    _broker: Mosquitto,
}

fn scene() -> Scene {
    let broker = Mosquitto::start();
    let parts = [
        Part::new("bad", "misbehave", "bad").with(LIMITS),
        Part::new("good", "mqtt-sync", "good/#"),
    ];
    let app = ScratchApp::of(&broker.address(), &parts).built();
    let outside = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(&[]);
    Scene { outside, pirnd, app, _broker: broker }
}

/// The component is asked to misbehave; the neighbour must answer every message, and the outcome must
/// be this.
fn check(what: &str, outcome: &str) -> Scene {
    let scene = scene();
    scene.outside.publish("bad", what);
    for n in 0..30 {
        scene.outside.publish("good/echo", n.to_string());
        let (topic, answer) = scene.outside.next();
        assert_eq!((topic.as_str(), answer), ("answer/echo", n.to_string()));
    }
    scene.pirnd.wait_for(outcome);
    // Its next event is handled as if nothing had been: the instance and its store are gone.
    scene.outside.publish("bad", "kept");
    assert_eq!(scene.outside.next(), ("answer/misbehave".into(), "0".into()));
    scene
}

#[test]
fn a_component_that_loops_for_ever_ends_at_its_deadline() {
    check("loop", "faulted (deadline): it ran longer than its deadline of 1s");
}

#[test]
fn a_component_that_waits_for_ever_ends_at_its_deadline() {
    check("sleep", "faulted (deadline)");
}

#[test]
fn a_component_that_eats_memory_ends_at_its_limit() {
    check("memory", "faulted (memory): it needed more than its 4096 KiB of memory");
}

#[test]
fn a_component_that_is_refused_memory_may_go_on() {
    let scene = scene();
    scene.outside.publish("bad", "memory-politely");
    let (_, pages) = scene.outside.next();
    assert_eq!(pages, "64", "4 MiB are 64 pages");
}

#[test]
fn a_component_that_overflows_its_stack_ends() {
    // Bytecode for 32-bit processors needs so little of our stack that the guest's own, in its linear
    // memory, ends first.
    match machine::code().as_str() {
        "pulley32" => check(
            "stack",
            "faulted (trap): it trapped: wasm trap: out of bounds memory access (in misbehave::hardware::call_itself",
        ),
        _ => check("stack", "faulted (stack): its calls nested deeper than"),
    };
}

#[test]
fn a_component_that_traps_ends_and_its_functions_are_named() {
    let scene = check("trap", "faulted (trap): it trapped: wasm trap: ");
    let named = scene.pirnd.printed().contains("the_guest_trips_over_its_own_feet");
    // The interpreter keeps no names of functions.
    assert_eq!(named, machine::code() != "interpreted", "{}", scene.pirnd.printed());
}

#[test]
fn a_component_that_panics_ends_and_its_message_is_in_the_log() {
    let scene = check("panic all is lost", "faulted (trap): ");
    assert!(scene.pirnd.printed().contains("all is lost"));
}

#[test]
fn a_component_that_exits_ends_with_its_status() {
    check("exit 3", "faulted (exit): it exited with status");
}

#[test]
fn a_component_that_floods_its_log_is_cut_off_and_ends_at_its_deadline() {
    let scene = check("log-flood", "faulted (deadline)");
    let printed = scene.pirnd.printed();
    let lines = printed.matches("of a flood that nobody asked for").count();
    assert!((1..=60).contains(&lines), "{lines} lines came through");
    assert!(printed.contains("log rate exceeded"), "{printed}");
}

#[test]
fn a_line_that_never_ends_is_cut() {
    let scene = scene();
    scene.outside.publish("bad", "log-endless-line 100000");
    assert_eq!(scene.outside.next().1, "flooded");
    let longest = scene.pirnd.printed().lines().map(str::len).max().unwrap();
    assert!(longest < 2_000, "{longest}");
}

#[test]
fn a_component_that_hoards_handles_ends_at_the_cap() {
    check("wasi-handles", "faulted (limit): it held more than 256 host objects");
}

#[test]
fn a_component_that_hoards_stores_or_connections_is_told_so() {
    check_without_neighbour("handles", "refused: ");
    check_without_neighbour("connections", "refused: ");
}

#[test]
fn a_component_that_floods_its_broker_ends_at_the_cap() {
    check_without_neighbour("publish-flood", "it published more than 256 messages for one event");
}

#[test]
fn huge_arguments_end_the_guest_or_are_refused() {
    check_without_neighbour("huge-key 300", "refused: ");
    check_without_neighbour("huge-value 3000000", "faulted (limit): it passed more than 2048 KiB");
}

fn check_without_neighbour(what: &str, outcome: &str) {
    let scene = scene();
    scene.outside.publish("bad", what);
    scene.pirnd.wait_for(outcome);
    scene.outside.publish("good/echo", "still here");
    scene.outside.until(|_, answer| answer == "still here");
}

#[test]
fn what_could_not_be_handled_is_counted_and_kept() {
    let scene = check("trap", "faulted");
    let json = pirn_tests::process::run(&mut scene.app.pirnd(&["status", "--format", "json"]));
    assert!(json.out.contains("\"id\":\"bad\""), "{}{}", json.out, json.err);
    let bad = json.out.split("\"id\":\"bad\"").nth(1).unwrap();
    let bad = bad.split('}').next().unwrap();
    assert!(bad.contains("\"faulted\":1") && bad.contains("\"dead_letters\":1"), "{bad}");
}
