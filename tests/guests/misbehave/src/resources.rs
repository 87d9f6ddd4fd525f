//! Misuse of what the host gives: handles, and the bytes of a call.

use crate::bindings::fermyon::spin::key_value::Store;
use std::hint::black_box;
use wasip2::clocks::monotonic_clock;
use wasip2::random::random;

/// As much as the host gives in one call.
const RANDOM_BYTES: u64 = 64 * 1024;

/// Keeps what `make` gives until it refuses.
fn hoard<T>(what: &str, mut make: impl FnMut() -> Result<T, String>) -> Result<(), String> {
    let mut kept = Vec::new();
    loop {
        match make() {
            Ok(one) => kept.push(one),
            Err(error) => return Err(format!("{} {what}, then {error}", kept.len())),
        }
    }
}

pub fn open_stores() -> Result<(), String> {
    hoard("stores", || Store::open("default").map_err(|error| format!("{error:?}")))
}

pub fn open_connections() -> Result<(), String> {
    hoard("connections", crate::connect)
}

pub fn make_pollables() -> Result<(), String> {
    hoard("pollables", || Ok(monotonic_clock::subscribe_duration(1)))
}

pub fn pass_huge_key(bytes: u64) -> Result<(), String> {
    let key = "k".repeat(usize::try_from(bytes).unwrap_or(usize::MAX));
    let store = Store::open("default").map_err(|error| format!("{error:?}"))?;
    store.set(&key, b"").map_err(|error| format!("{error:?}"))?;
    crate::answer("taken")
}

pub fn pass_huge_value(bytes: u64) -> Result<(), String> {
    let value = vec![b'v'; usize::try_from(bytes).unwrap_or(usize::MAX)];
    let store = Store::open("default").map_err(|error| format!("{error:?}"))?;
    store.set("huge", &value).map_err(|error| format!("{error:?}"))?;
    crate::answer("taken")
}

/// Each of these calls is answered at once: none of them ever waits.
pub fn call_the_host(count: u64) -> Result<(), String> {
    for _ in 0..count {
        black_box(monotonic_clock::now());
    }
    crate::answer("called")
}

pub fn ask_for_random_bytes(count: u64) -> Result<(), String> {
    for _ in 0..count {
        black_box(random::get_random_bytes(RANDOM_BYTES));
    }
    crate::answer("called")
}
