//! A host for the tests of this folder: nothing granted but what a test adds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Grant;
use crate::app::TopicGrant;
use crate::config::Rate;
use crate::host::brokers::Brokers;
use crate::host::log::Log;
use crate::host::{Grants, Host, locked};
use crate::manifest::{Hosts, Manifest};
use crate::report::{Report, Reporter};
use crate::store::{Layout, Store};
use crate::variables::Variables;

const MANIFEST: &str = r#"
spin_manifest_version = 2
[application]
name = "test"
[application.trigger.mqtt]
address = "mqtt://localhost"
[[trigger.mqtt]]
component = "test"
topic = "t"
[component.test]
source = "test.wasm"
"#;

/// Remembers what the guest wrote.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl Reporter for Lines {
    fn report(&self, report: &Report<'_>) {
        if let Report::Log { stream, line, .. } = report {
            locked(&self.0).push(format!("{stream:?}: {line}"));
        }
    }
}

/// A host to which nothing is granted.
pub(crate) fn host() -> Host {
    host_with(Grant::default(), Hosts::default()).0
}

/// A host with these grants, and the lines that it logs.
pub(super) fn host_with(wasi: Grant, hosts: Hosts) -> (Host, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let reporter: Arc<dyn Reporter> = lines.clone();
    let rate = Rate { events: 1_000, period: Duration::from_secs(1) };
    let manifest = Manifest::parse("spin.toml", MANIFEST, None).unwrap();
    let store = Store::start(Layout::default()).unwrap();
    let grants = Grants {
        component: "test".into(),
        variables: Variables::new(&manifest, Vec::new()),
        key_value_stores: Default::default(),
        state_bytes_max: 0,
        store: store.clone(),
        hosts,
        publish_topics: TopicGrant::default(),
        brokers: Arc::new(Brokers::new(
            "test",
            Default::default(),
            store,
            Default::default(),
            reporter.clone(),
        )),
        pins: crate::host::gpio::PinGrants::new(Default::default(), Default::default()),
        log: Log::new("test", rate, reporter.clone()),
        reporter,
        wasi,
    };
    (Host::new(Arc::new(grants)), lines)
}
