//! What the fuzzed components may import: everything that a build offers, with nothing granted, and the
//! interface of the engine's own tests, which the seeds use.

use std::sync::Arc;
use std::time::Duration;

use pirn_runner::app::TopicGrant;
use pirn_runner::config::Rate;
use pirn_runner::engine::door::Twin;
use pirn_runner::engine::interpreted::Engine;
use pirn_runner::host::brokers::Brokers;
use pirn_runner::host::gpio::PinGrants;
use pirn_runner::host::log::Log;
use pirn_runner::host::{self, Grants};
use pirn_runner::manifest::{Hosts, Manifest};
use pirn_runner::report::{Report, Reporter};
use pirn_runner::store::{Layout, Store};
use pirn_runner::variables::Variables;

/// Grants for as many hosts as there are calls.
pub(crate) type Shared = Arc<Grants>;

/// Names of functions in exported interfaces, which are looked for by name.
pub(crate) const MEMBERS: [&str; 6] =
    ["run", "handle-message", "handle-cron-event", "handle-timer-request", "handle-edge", "echo"];

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "fuzz"
[application.trigger.mqtt]
address = "mqtt://localhost"
[[trigger.mqtt]]
component = "fuzz"
topic = "t"
[component.fuzz]
source = "fuzz.wasm"
"#;

/// Nobody listens.
struct Nobody;

impl Reporter for Nobody {
    fn report(&self, _: &Report<'_>) {}
}

/// The engine with all that it offers.
pub(crate) fn engine() -> Engine {
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
    let reporter: Arc<dyn Reporter> = Arc::new(Nobody);
    let manifest = Manifest::parse("spin.toml", MANIFEST, None).expect("the manifest is good");
    let rate = Rate { events: 1_000, period: Duration::from_secs(1) };
    let store = Store::start(Layout::default()).expect("a store in memory starts");
    Arc::new(Grants {
        component: "fuzz".into(),
        variables: Variables::new(&manifest, Vec::new()),
        key_value_stores: Default::default(),
        state_bytes_max: 0,
        store: store.clone(),
        hosts: Hosts::default(),
        publish_topics: TopicGrant::default(),
        brokers: Arc::new(Brokers::new(
            "fuzz",
            Default::default(),
            store,
            Default::default(),
            Arc::clone(&reporter),
        )),
        pins: PinGrants::new(Default::default(), Default::default()),
        log: Log::new("fuzz", rate, Arc::clone(&reporter)),
        reporter,
        wasi: Default::default(),
    })
}
