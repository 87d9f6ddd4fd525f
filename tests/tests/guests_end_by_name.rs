//! What a guest does to its host ends as a named outcome, the same on every engine, and the runner goes on.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::ScratchApp;
use pirn_tests::broker::Mosquitto;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::peer::Peer;

/// A component whose `realloc`, which the host calls to hand over a message, does this.
fn with_realloc(body: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (type $metadata-type (record (field "topic" string)))
            (export $metadata "metadata" (type $metadata-type))
            (type $error-type (variant (case "other" string)))
            (export $error "error" (type $error-type))
            (core module $m
                (memory (export "memory") 1)
                (func $deeper (call $deeper))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) {body} (i32.const 16))
                (func (export "handle") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func (export "handle-message") (param "message" (list u8)) (param "metadata" $metadata)
                (result (result (error $error)))
                (canon lift (core func $i "handle")
                    (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))"#
    );
    wat::parse_str(text).unwrap()
}

fn manifest(broker: &str, engine: &str) -> String {
    let mut manifest = format!(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
         [application.trigger.mqtt]\naddress = \"{broker}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"30\"\n[variables]\nbroker = {{ default = \"{broker}\" }}\n"
    );
    for id in ["bad", "fine", "deep", "stuck"] {
        let file = if ["bad", "fine"].contains(&id) { "misbehave" } else { id };
        manifest += &format!(
            "[[trigger.mqtt]]\ncomponent = \"{id}\"\ntopic = \"{id}\"\nqos = \"1\"\n\
             [component.{id}]\nsource = \"{file}.wasm\"\nallowed_outbound_hosts = [\"{broker}\"]\n\
             [component.{id}.variables]\nbroker = \"{{{{ broker }}}}\"\n\
             [component.{id}.tool.pirn]\nengine = \"{engine}\"\ndeadline = \"500ms\"\n\
             attempts_max = 1\nmemory = \"4MiB\"\n"
        );
    }
    manifest
}

fn check(engine: &str, stuck: &str) {
    let broker = Mosquitto::start();
    let app = ScratchApp::with_manifest(&manifest(&broker.address(), machine::engine(engine)));
    app.copy(&guest("misbehave"), "misbehave.wasm");
    std::fs::write(app.file("deep.wasm"), with_realloc("(call $deeper)")).unwrap();
    std::fs::write(app.file("stuck.wasm"), with_realloc("(loop (br 0))")).unwrap();
    let app = app.built();
    let peer = Peer::subscribed(broker.port(), "answer/#");
    let pirnd = app.connected(&[]);
    for (component, message, outcome) in [
        ("deep", "m", "deep: faulted (stack): its calls nested deeper than"),
        ("stuck", "m", stuck),
        ("bad", "host-calls", "faulted (deadline)"),
        ("bad", "random-calls", "faulted (deadline)"),
        ("bad", "allocations", "faulted (deadline)"),
        ("bad", "sleep", "faulted (deadline)"),
        ("bad", "stack", "bad: faulted (stack)"),
        ("bad", "wasi-handles", "faulted (limit): it held more than 256 host objects"),
    ] {
        let before = pirnd.printed().matches("faulted").count();
        peer.publish(component, message);
        pirn_tests::eventually(message, || {
            (pirnd.printed().matches("faulted").count() > before).then_some(())
        });
        let printed = pirnd.printed();
        let last = printed.lines().rfind(|line| line.contains("faulted")).unwrap();
        assert!(last.contains(outcome), "{message}: {last}");
        peer.publish("fine", "echo still here");
        assert_eq!(peer.next().1, "still here");
    }
}

#[test]
fn each_ends_by_name_as_native_code() {
    check("native", "stuck: faulted (deadline)");
}

#[test]
fn each_ends_by_name_as_bytecode() {
    check("pulley", "stuck: faulted (deadline)");
}

#[test]
fn each_ends_by_name_interpreted() {
    // Nobody else has a turn while an interpreted guest allocates, so it gets little time for that.
    check("interpreted", "stuck: faulted (trap): it trapped: its `realloc` did not return");
}
