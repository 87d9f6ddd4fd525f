//! Misuse of what the host gives: handles, and the bytes of a call.

use crate::bindings::fermyon::spin::key_value::Store;
use wasip2::clocks::monotonic_clock;

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
