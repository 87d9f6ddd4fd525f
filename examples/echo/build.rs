//! What the linker must be told for a component without Rust's standard library.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // A small stack: every live instance pays for it, and a board counts in bytes.
    println!("cargo:rustc-link-arg-cdylib=-zstack-size=16384");
    // `memcpy` and its kin; nothing else of the C library ends up inside.
    println!("cargo:rustc-link-arg-cdylib=-lc");
}
