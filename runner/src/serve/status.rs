//! Counters of a running app and their snapshot: what `pirnd status` shows. It travels as one line of
//! JSON; `control.rs` is what serves it.

mod table;

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use pirn_triggers::gpio::{InputHandle, Level, Outputs};
use pirn_triggers::mqtt::{Session, State};
use serde::{Deserialize, Serialize};

use crate::flow::all::Lanes;
use crate::flow::books::Balance;
use crate::flow::counters::ComponentCounters;
use crate::host::brokers::Brokers;
use crate::limits::status as limits;
use crate::serve::at_work::Outside;
use crate::serve::link::Link;
use crate::serve::overview::Used;
use crate::serve::runner::Runner;

pub use table::table;

/// A snapshot, as it goes over the socket.
#[derive(Debug, Serialize, Deserialize)]
struct Snapshot<'a> {
    app: &'a str,
    board: &'a str,
    version: &'a str,
    pid: u32,
    uptime_s: u64,
    /// Resident memory of the process, from the kernel.
    rss_kib: u64,
    #[serde(borrow)]
    broker: Option<Broker<'a>>,
    /// The app's.
    instances: Used,
    /// What these may take, in KiB.
    memory_kib: Used,
    /// All brokers' together.
    outbox: Outbox,
    disk: Disk,
    #[serde(borrow)]
    lines: heapless::Vec<Line<'a>, { limits::LINES_MAX }>,
    /// How many components there are; the list may hold fewer.
    components_total: usize,
    #[serde(borrow)]
    components: heapless::Vec<Component<'a>, { limits::COMPONENTS_MAX }>,
    /// How many triggers there are; the list may hold fewer.
    triggers_total: usize,
    #[serde(borrow)]
    triggers: heapless::Vec<Trigger<'a>, { limits::TRIGGERS_MAX }>,
}

/// Publishes: accepted = delivered + refused + dropped + expired + pending.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Outbox {
    accepted: u64,
    delivered: u64,
    refused: u64,
    dropped: u64,
    expired: u64,
    pending: u64,
    /// Of those that are pending.
    on_disk: u64,
    /// Written since the start.
    written: u64,
}

/// What the disk takes, or does not.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Disk {
    /// Writes to the outbox that failed since the last that did not.
    outbox_failures: u32,
    /// Dead letters that are tried again.
    unburied: u64,
    /// Events that wait on disk for components that do not keep up.
    waiting: usize,
    /// Dead letters that gave way to newer ones.
    letters_dropped: u64,
    /// Times that something was found to be gone that had been on the disk.
    losses: u64,
}

/// A trigger's book: accepted = delivered + dead letters + dropped + pending.
#[derive(Debug, Serialize, Deserialize)]
struct Trigger<'a> {
    id: &'a str,
    component: &'a str,
    accepted: u64,
    delivered: u64,
    dead_letters: u64,
    dropped_no_room: u64,
    dropped_coalesced: u64,
    dropped_missed: u64,
    dropped_gone: u64,
    pending: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Broker<'a> {
    address: &'a str,
    connected: bool,
    received: u64,
    redelivered: u64,
    dropped: u64,
    published: u64,
    acknowledged: u64,
    connects: u64,
    subscriptions_refused: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    name: &'a str,
    /// `in` or `out`.
    way: &'a str,
    /// `high`, `low`, or empty if it is not to be had.
    level: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct Component<'a> {
    id: &'a str,
    code: &'a str,
    done: u64,
    refused: u64,
    faulted: u64,
    undelivered: u64,
    busy_us: u64,
    accepted: u64,
    delivered: u64,
    dead_letters: u64,
    dropped: u64,
    coalesced: u64,
    missed: u64,
    pending: u64,
}

/// What can be seen of what an app is connected to.
#[derive(Default)]
pub struct Seen {
    link: Option<Arc<Link>>,
    inputs: Vec<InputHandle>,
    outputs: Option<Outputs>,
    since: Option<Instant>,
}

impl Seen {
    /// Of what it is about to be connected to.
    pub fn of(outside: &Outside) -> Self {
        Self {
            link: outside.link().cloned(),
            inputs: outside.inputs(),
            outputs: Some(outside.outputs().clone()),
            since: Some(Instant::now()),
        }
    }
}

/// Where a snapshot's numbers come from.
pub struct Source {
    app: String,
    board: String,
    broker: Option<(String, Arc<Link>)>,
    inputs: Vec<InputHandle>,
    outputs: Option<Outputs>,
    components: Vec<(String, String, Arc<ComponentCounters>)>,
    lanes: Option<Arc<Lanes>>,
    brokers: Option<Arc<Brokers>>,
    started: Instant,
}

impl Source {
    /// The numbers of this app and what it is connected to.
    pub fn new(runner: &Runner, seen: &Seen, lanes: &Arc<Lanes>) -> Self {
        let app = runner.app();
        let address = app.broker.as_ref().map(|broker| broker.address.to_string());
        Self {
            app: app.name.clone(),
            board: app.board.name.clone(),
            broker: address.zip(seen.link.clone()),
            inputs: seen.inputs.clone(),
            outputs: seen.outputs.clone(),
            components: runner.counters(),
            lanes: Some(Arc::clone(lanes)),
            brokers: Some(Arc::clone(runner.brokers())),
            started: seen.since.unwrap_or_else(Instant::now),
        }
    }

    /// The snapshot now, as a line of JSON.
    pub fn json(&self) -> Vec<u8> {
        let balances = self.lanes.as_ref().map(|lanes| lanes.balances()).unwrap_or_default();
        let (outbox, outbox_failures) = self.outbox();
        let lanes = self.lanes.as_ref();
        let disk = Disk {
            outbox_failures,
            unburied: lanes.map_or(0, |lanes| lanes.unburied()),
            waiting: lanes.map_or(0, |lanes| lanes.on_disk()),
            letters_dropped: lanes.map_or(0, |lanes| lanes.house.store().letters_dropped()),
            losses: lanes.map_or(0, |lanes| lanes.house.store().losses()),
        };
        let (instances, memory_kib) = self.in_use();
        let of = |index: usize| {
            let own = balances.iter().filter(|(of, ..)| *of == index);
            own.fold(Balance::default(), |sum, (.., balance)| sum + *balance)
        };
        let components = self.components.iter().enumerate().take(limits::COMPONENTS_MAX);
        let name = |index: &usize| self.components.get(*index).map_or("", |(id, ..)| id);
        let triggers = balances.iter().take(limits::TRIGGERS_MAX);
        let snapshot = Snapshot {
            app: &self.app,
            board: &self.board,
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            rss_kib: rss_kib(),
            broker: self.broker.as_ref().map(|(address, link)| broker(address, link.session())),
            instances,
            memory_kib,
            lines: self.lines(),
            components_total: self.components.len(),
            components: components
                .map(|(index, (id, code, counters))| component(id, code, counters, &of(index)))
                .collect(),
            triggers_total: balances.len(),
            triggers: triggers
                .map(|(index, id, balance)| trigger(id, name(index), balance))
                .collect(),
            outbox,
            disk,
        };
        let mut buffer = vec![0; limits::JSON_BYTES_MAX];
        let written = serde_json_core::to_slice(&snapshot, &mut buffer).unwrap_or(0);
        buffer.truncate(written);
        buffer.push(b'\n');
        buffer
    }
}

impl Source {
    /// The app's instances and their memory.
    fn in_use(&self) -> (Used, Used) {
        let Some(lanes) = &self.lanes else { return Default::default() };
        let ((instances, bytes), may) = (lanes.house.in_use(), lanes.house.limits());
        let used = |now: u64, of: u64| Used { now, most: 0, of };
        (
            used(instances.into(), may.instances_max.into()),
            used(bytes / 1024, may.memory_bytes_max / 1024),
        )
    }

    fn outbox(&self) -> (Outbox, u32) {
        let (mut all, mut failures) = (Outbox::default(), 0);
        let outlets = self.brokers.iter().flat_map(|brokers| brokers.outlets());
        for outlet in outlets {
            let (tally, pending, on_disk, failed) = outlet.state();
            all.accepted += tally.accepted;
            all.delivered += tally.delivered;
            all.refused += tally.refused;
            all.dropped += tally.dropped;
            all.expired += tally.expired;
            all.written += tally.stored;
            all.pending += pending;
            all.on_disk += on_disk;
            failures += failed;
        }
        (all, failures)
    }

    fn lines(&self) -> heapless::Vec<Line<'_>, { limits::LINES_MAX }> {
        let inputs = self.inputs.iter().map(|input| Line {
            name: &input.options().line.name,
            way: "in",
            level: input.level().map_or("", word),
        });
        let outputs = self.outputs.iter().flat_map(|outputs| {
            outputs.options().iter().enumerate().map(|(index, options)| Line {
                name: &options.line.name,
                way: "out",
                level: outputs.level(index).map_or("", word),
            })
        });
        inputs.chain(outputs).take(limits::LINES_MAX).collect()
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::High => "high",
    }
}

fn broker<'a>(address: &'a str, session: Option<&Session>) -> Broker<'a> {
    let counters = session.map(Session::counters).unwrap_or_default();
    let is_up = |session: &Session| matches!(*session.state().borrow(), State::Connected { .. });
    Broker {
        address,
        connected: session.is_some_and(is_up),
        received: counters.received,
        redelivered: counters.redelivered,
        dropped: counters.dropped_queue_full,
        published: counters.published,
        acknowledged: counters.acknowledged,
        connects: counters.connects,
        subscriptions_refused: counters.subscriptions_refused,
    }
}

fn trigger<'a>(id: &'a str, component: &'a str, balance: &Balance) -> Trigger<'a> {
    Trigger {
        id,
        component,
        accepted: balance.accepted,
        delivered: balance.delivered,
        dead_letters: balance.dead_letters,
        dropped_no_room: balance.no_room,
        dropped_coalesced: balance.coalesced,
        dropped_missed: balance.missed,
        dropped_gone: balance.gone,
        pending: balance.pending,
    }
}

fn component<'a>(
    id: &'a str,
    code: &'a str,
    counters: &ComponentCounters,
    balance: &Balance,
) -> Component<'a> {
    Component {
        id,
        code,
        done: counters.done.load(Relaxed),
        refused: counters.refused.load(Relaxed),
        faulted: counters.faulted.load(Relaxed),
        undelivered: counters.undelivered.load(Relaxed),
        busy_us: counters.busy_us.load(Relaxed),
        accepted: balance.accepted,
        delivered: balance.delivered,
        dead_letters: balance.dead_letters,
        dropped: balance.dropped(),
        coalesced: balance.coalesced,
        missed: balance.missed,
        pending: balance.pending,
    }
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::engine::outcome::Outcome;
    use std::time::Duration;

    impl Source {
        /// An app that is connected to nothing.
        pub(crate) fn for_tests() -> Self {
            let counters = Arc::<ComponentCounters>::default();
            counters.count(&Outcome::Done, Duration::from_micros(40));
            counters.count(&Outcome::Refused("no".into()), Duration::from_micros(20));
            Self {
                app: "thermostat".into(),
                board: "pi-zero".into(),
                broker: None,
                inputs: Vec::new(),
                outputs: None,
                components: vec![("control".into(), "native".into(), counters)],
                lanes: None,
                brokers: None,
                started: Instant::now(),
            }
        }
    }

    #[test]
    fn a_snapshot_survives_the_socket_and_becomes_a_table() {
        let json = String::from_utf8(Source::for_tests().json()).unwrap();
        assert!(json.starts_with("{\"app\":\"thermostat\",\"board\":\"pi-zero\""), "{json}");
        let table = table(&json).unwrap();
        assert!(table.contains("thermostat on pi-zero"), "{table}");
        let row = table.lines().find(|line| line.starts_with("control")).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["control", "native", "0", "0", "0", "0", "0", "1", "0", "0", "30.0µs"]
        );
    }

    #[test]
    fn as_many_components_as_an_app_may_have_fit_the_buffer() {
        let mut source = Source::for_tests();
        let component = ("x".repeat(64), "pulley64".to_string(), source.components[0].2.clone());
        source.components = vec![component; limits::COMPONENTS_MAX];
        let json = String::from_utf8(source.json()).unwrap();
        assert!(table(&json).is_some());
    }
}
