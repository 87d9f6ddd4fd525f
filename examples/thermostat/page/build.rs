//! Asks the linker for a smaller stack than the usual 1 MiB: every live instance needs room for it,
//! and a board counts in bytes. This component's deepest call chain is formatting one room.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_FAMILY").as_deref() == Ok("wasm") {
        println!("cargo:rustc-link-arg-cdylib=-zstack-size=65536");
    }
}
