//! What the engines cost: time of compute kernels against native Rust in the same run, and memory of components
//! and instances. Prints tables. One event on a fresh instance is `cargo bench -p pirn-runner --bench event`;
//! the bytes that each engine adds to `pirnd` are what `cross/targets/bytes-by-crate` prints.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl
//! cross/targets/pirnd --kernels x86_64-unknown-linux-musl
//! tests/guests/build
//! cargo build --workspace --all-targets && target/debug/examples/engines
//! ```
//!
//! With `PIRN_TEST_PROCESSOR` both the runner and the native program are those for that processor, emulated. That
//! says which engine is faster there, and roughly by how much; it is no measurement of a board.
#![allow(clippy::unwrap_used)]

mod memory;
mod speed;

/// The wishes that this machine can fulfil: not every processor has native artifacts.
fn engines() -> Vec<&'static str> {
    let all = ["native", "pulley", "interpreted"];
    all.into_iter().filter(|wish| pirn_tests::machine::engine(wish) == *wish).collect()
}

/// The middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    speed::print(&engines());
    match std::env::var("PIRN_TEST_PROCESSOR") {
        Ok(processor) => println!(
            "\nMemory: not measured for {processor}, since what an emulator takes is not what a board takes."
        ),
        Err(_) => memory::print(&engines()),
    }
}
