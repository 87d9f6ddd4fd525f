//! The test guests import and export what the other tests take for granted. The two that were built with
//! the real SDKs also hold our own `.wit` files to the names that guests in the wild have.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod component;

use component::Shape;
use pirn_tests::guests::{example, guest};
use std::fs;
use wasmparser::{Parser, Payload};

fn shape(name: &str) -> Shape {
    Shape::of(&fs::read(guest(name)).unwrap())
}

/// How many of each are immediately inside a component.
#[derive(Debug, PartialEq, Eq)]
struct Holds {
    modules: usize,
    components: usize,
}

impl Holds {
    fn at_the_top_of(guest_name: &str) -> Self {
        let (mut holds, mut depth) = (Self { modules: 0, components: 0 }, 0_u32);
        for payload in Parser::new(0).parse_all(&fs::read(guest(guest_name)).unwrap()) {
            match payload.unwrap() {
                Payload::ModuleSection { .. } => {
                    holds.modules += usize::from(depth == 0);
                    depth += 1;
                }
                Payload::ComponentSection { .. } => {
                    holds.components += usize::from(depth == 0);
                    depth += 1;
                }
                Payload::End(_) => depth = depth.saturating_sub(1),
                _ => {}
            }
        }
        holds
    }
}

#[track_caller]
fn imports_all(shape: &Shape, names: &[&str]) {
    for name in names {
        assert!(shape.imports.contains(*name), "{name} is not among {:#?}", shape.imports);
    }
}

#[test]
fn a_guest_of_the_spin_3_sdk_uses_the_sync_interfaces() {
    let shape = shape("mqtt-sync");
    assert!(shape.exports.contains("handle-message"));
    imports_all(
        &shape,
        &[
            "spin:mqtt-trigger/spin-mqtt-types",
            "fermyon:spin/variables@2.0.0",
            "fermyon:spin/key-value@2.0.0",
            "fermyon:spin/mqtt@2.0.0",
        ],
    );
}

#[test]
fn a_guest_of_the_spin_4_sdk_uses_the_async_interfaces() {
    let shape = shape("mqtt-async");
    assert!(shape.exports.contains("handle-message"));
    imports_all(
        &shape,
        &[
            "spin:mqtt-trigger/spin-mqtt-types@3.0.0",
            "spin:variables/variables@3.0.0",
            "spin:key-value/key-value@3.0.0",
            "spin:mqtt/mqtt@3.0.0",
        ],
    );
}

#[test]
fn the_guest_with_unknown_imports_imports_what_nobody_offers() {
    let shape = shape("imports-unknown");
    imports_all(&shape, &["acme:thing/maker@1.0.0"]);
    assert!(shape.imports.iter().any(|name| name.starts_with("wasi:http/outgoing-handler@0.2.")));
}

#[test]
fn the_plain_rust_guest_asks_for_files_clocks_randomness_and_sockets() {
    let shape = shape("wasi-std");
    for interface in [
        "wasi:cli/stdout",
        "wasi:clocks/wall-clock",
        "wasi:filesystem/preopens",
        "wasi:random/insecure-seed",
        "wasi:sockets/tcp-create-socket",
    ] {
        let versioned = format!("{interface}@0.2.");
        assert!(shape.imports.iter().any(|name| name.starts_with(&versioned)), "{interface}");
    }
}

#[test]
fn guests_built_for_preview_1_ask_for_wasi_as_their_adapter_does() {
    for name in ["wasi-std-preview1", "c-libc"] {
        let shape = shape(name);
        assert!(shape.exports.contains("handle-message"), "{name}");
        imports_all(&shape, &["wasi:filesystem/preopens@0.2.12", "wasi:clocks/wall-clock@0.2.12"]);
        let modules = Holds::at_the_top_of(name).modules;
        assert!(modules > 1, "{name} is one module: where is the adapter?");
    }
}

#[test]
fn the_composed_guest_holds_two_components_and_settles_between_them_what_they_need() {
    let [socket, plug, composed] = ["composed-socket", "composed-plug", "composed"].map(shape);
    let between = "test:series/series@1.0.0";
    assert!(socket.imports.contains(between) && plug.exports.contains(between));
    assert!(!composed.imports.contains(between));
    imports_all(&composed, &["fermyon:spin/key-value@2.0.0", "fermyon:spin/mqtt@2.0.0"]);
    assert!(composed.exports.contains("handle-message"));
    assert_eq!(Holds::at_the_top_of("composed"), Holds { modules: 0, components: 2 });
}

#[test]
fn the_misfits_do_not_fit() {
    assert!(!shape("not-a-trigger").exports.contains("handle-message"));
    assert!(shape("wrong-shape").exports.contains("handle-message"));
    let core = fs::read(guest("core-module")).unwrap();
    assert!(Parser::is_core_wasm(&core));
}

#[test]
fn echo_imports_nothing_but_what_its_job_needs() {
    let echo = Shape::of(&fs::read(example("echo").join("echo.wasm")).unwrap());
    let imports: Vec<&str> = echo.imports.iter().map(String::as_str).collect();
    assert_eq!(
        imports,
        [
            "fermyon:spin/mqtt@2.0.0",
            "fermyon:spin/variables@2.0.0",
            "spin:mqtt-trigger/spin-mqtt-types",
        ]
    );
}
