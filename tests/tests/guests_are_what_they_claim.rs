//! The test guests import and export what the other tests take for granted. The two that were built with
//! the real SDKs also hold our own `.wit` files to the names that guests in the wild have.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod component;

use component::Shape;
use pirn_tests::guests::{example, guest};
use std::fs;

fn shape(name: &str) -> Shape {
    Shape::of(&fs::read(guest(name)).unwrap())
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
fn the_misfits_do_not_fit() {
    assert!(!shape("not-a-trigger").exports.contains("handle-message"));
    assert!(shape("wrong-shape").exports.contains("handle-message"));
    let core = fs::read(guest("core-module")).unwrap();
    assert!(wasmparser::Parser::is_core_wasm(&core));
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
