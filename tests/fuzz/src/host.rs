//! What the fuzzed components may import: everything that a build offers, with nothing granted, and the
//! interface of the engine's own tests, which the seeds use.

use std::sync::Arc;
use std::time::Duration;

use pirn_runner::engine::door::Twin;
use pirn_runner::engine::interpreted::Engine;
use pirn_runner::host::{self, Grants, Host};

/// Grants for as many hosts as there are calls.
pub(crate) type Shared = Arc<Grants>;

/// Names of functions in exported interfaces, which are looked for by name.
pub(crate) const MEMBERS: [&str; 6] =
    ["run", "handle-message", "handle-cron-event", "handle-timer-request", "handle-edge", "echo"];

/// The engine with all that it offers.
pub(crate) fn engine() -> Engine<Host> {
    let engine = Engine::start(|door| {
        host::offer(door)?;
        let mut test = door.interface("test:host/it@1.0.0")?;
        test.at_once("double", |_, (number,): (u32,)| Ok((number.wrapping_mul(2),)))?;
        test.at_once("shout", |_, (text,): (String,)| Ok((text.to_uppercase(),)))?;
        test.at_once("many", |_, (texts,): (Vec<String>,)| Ok((texts,)))?;
        test.waiting(Twin::Sync, "wait", |_, (ms,): (u32,)| async move {
            tokio::time::sleep(Duration::from_millis(ms.into())).await;
            Ok((ms,))
        })?;
        test.streaming("count", |_, (to,): (u32,)| async move {
            Ok(Ok::<Vec<u32>, String>((1..=to.min(1_000)).collect()))
        })
    });
    engine.expect("the engine starts")
}

/// Nothing is granted: no file, no store, no host, no line.
pub(crate) fn grants() -> Shared {
    Arc::new(Grants::none("fuzz").expect("a store in memory starts"))
}
