//! What many apps in one process cost: `pirnd serve` with 1, 10, 100, 1 000 … apps, each with a component of its own
//! (other bytes, another digest, a file that nobody shares), a topic of its own, every tenth with a timer and a
//! key-value store, all with one broker, which is a process of its own. Prints a table: memory, time to start, the
//! first and a later event of an app, a steady rate over all of them at random; and beside it what separate processes
//! take.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && tests/guests/build && cargo build --workspace --all-targets
//! target/debug/examples/density                            1, 10, 100 and 1 000 apps
//! target/debug/examples/density 5000 --seconds 10          this many
//! target/debug/examples/density 1000 --events 1000000      and then so many messages as fast as they go
//! target/debug/examples/density 1 1000 --artifact wasm     interpreted
//! target/debug/examples/density --pirnd FILE               with this runner
//! target/debug/examples/density --boards 500 200           on emulated boards: so many compiled, so many interpreted
//! ```
//!
//! `--rate` messages a second (1 000), `--seconds` of them (60), `--alone` processes beside it (20), `--seed` (1). An
//! app takes about as many bytes on the disk as its component and twice what was compiled from it: 5 000 take 3 GB,
//! in `TMPDIR`, until the end.
#![allow(clippy::unwrap_used)]

mod boards;
mod scene;
mod table;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pirn_tests::dice::Dice;
use pirn_tests::footprint::{self, Footprint};
use pirn_tests::traffic::{Times, Traffic};

use scene::{Apps, Broker, topic};
use table::Measured;

/// How long a process has to come to rest: threads that only the start needed end after ten seconds.
const COMES_TO_REST: Duration = Duration::from_secs(12);
/// How long it is watched then: as long as the apps' keep-alive, so that every session has its ping.
const AT_REST: Duration = Duration::from_secs(30);
/// How many apps' first events are measured, and how many later ones.
const FIRST_EVENTS: usize = 50;
const LATER_EVENTS: usize = 200;
/// Messages under way when they are to go as fast as they can.
const WINDOW: usize = 64;
/// Descriptors that an app may take, and those that nobody counts.
const DESCRIPTORS_EACH: usize = 8;
const DESCRIPTORS_MORE: usize = 1_000;
/// Set when the limit on descriptors was raised, as far as it goes.
const RAISED: &str = "PIRN_DENSITY_RAISED";

struct Settings {
    counts: Vec<usize>,
    pirnd: PathBuf,
    artifact: Option<String>,
    rate: u32,
    seconds: u64,
    events: u64,
    alone: usize,
    seed: u64,
    on_boards: bool,
}

impl Settings {
    fn given() -> Self {
        let mut settings = Self {
            counts: Vec::new(),
            pirnd: PathBuf::new(),
            artifact: None,
            rate: 1_000,
            seconds: 60,
            events: 0,
            alone: 20,
            seed: 1,
            on_boards: false,
        };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                "--boards" => settings.on_boards = true,
                "--pirnd" => settings.pirnd = value().into(),
                "--artifact" => settings.artifact = Some(value()),
                "--rate" => settings.rate = value().parse().unwrap(),
                "--seconds" => settings.seconds = value().parse().unwrap(),
                "--events" => settings.events = value().parse().unwrap(),
                "--alone" => settings.alone = value().parse().unwrap(),
                "--seed" => settings.seed = value().parse().unwrap(),
                count => settings.counts.push(count.parse().expect("a number of apps")),
            }
        }
        if settings.counts.is_empty() {
            settings.counts =
                if settings.on_boards { vec![500, 200] } else { vec![1, 10, 100, 1_000] };
        }
        if settings.pirnd.as_os_str().is_empty() && !settings.on_boards {
            settings.pirnd = pirn_tests::pirnd();
        }
        settings
    }
}

/// Starts this very program again with more descriptors, if it could need more than it has, or with as many as may be
/// had; what it starts then has as many.
fn raise_descriptors(needed: usize) {
    if std::env::var_os(RAISED).is_some() {
        return;
    }
    let again = std::env::current_exe().unwrap();
    let enough =
        format!("[ $(ulimit -Sn) -ge {needed} ] || ulimit -Sn $(ulimit -Hn); exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &enough]).arg(again).args(std::env::args().skip(1)).env(RAISED, "1");
    std::process::exit(command.status().unwrap().code().unwrap_or(1));
}

/// The seldom ones of so many, evenly spread, without those that have a store.
fn some(of: &[usize], at_most: usize) -> Vec<String> {
    let plain: Vec<usize> = of.iter().copied().filter(|n| !scene::has_store(*n)).collect();
    let step = plain.len().div_ceil(at_most).max(1);
    plain.into_iter().step_by(step).map(topic).collect()
}

fn measure(settings: &Settings, apps: &Apps, broker: &mut Broker, count: usize) -> Measured {
    let mut m = Measured { apps: count, ..Measured::default() };
    let mut dice = Dice::new(settings.seed);
    let (_set, mut served) = apps.served(&settings.pirnd, count);
    broker.forget();
    let begun = Instant::now();
    served.start();
    m.first_start = broker.all_subscribed(count, begun).0;
    served.kill();
    broker.forget();
    let begun = Instant::now();
    served.start();
    let (start, lanes) = broker.all_subscribed(count, begun);
    (m.start, m.subscribed) = (start, lanes.len());
    eprintln!("{count} apps: {} subscribed after {start:.1?}", lanes.len());
    if lanes.is_empty() {
        eprintln!("{}", served.printed().lines().take(20).collect::<Vec<_>>().join("\n"));
        return m;
    }
    let process = served.running().id();
    std::thread::sleep(COMES_TO_REST);
    m.wakes = footprint::wakes_within(process, AT_REST) as f64 / AT_REST.as_secs_f64();
    m.at_rest = Footprint::of(process);
    (m.descriptors, m.threads) = (footprint::descriptors(process), footprint::threads(process));

    let mut traffic = Traffic::through(broker.mosquitto.port());
    let few = some(&lanes, FIRST_EVENTS);
    m.cold = Times::of(few.iter().filter_map(|topic| traffic.one(topic)).collect());
    let later = few.iter().cycle().take(LATER_EVENTS);
    m.warm = Times::of(later.filter_map(|topic| traffic.one(topic)).collect());
    let topics: Vec<String> = lanes.iter().copied().map(topic).collect();
    let half = Duration::from_secs(settings.seconds) / 2;
    m.passed = [(); 2].map(|()| traffic.steady(&topics, settings.rate, half, &mut dice));
    m.after = Footprint::of(process);
    if settings.events > 0 {
        let begun = Instant::now();
        let passed = traffic.hasty(&topics, settings.events, WINDOW, &mut dice);
        m.hasty = Some((passed, begun.elapsed()));
        m.at_the_end = Footprint::of(process);
    }
    m
}

/// What processes with one app each take, at rest and after an event of each.
fn alone(settings: &Settings, apps: &Apps, broker: &mut Broker) {
    let (count, of) = (settings.alone, settings.counts.iter().max().copied().unwrap_or(1));
    let state = tempfile::tempdir().unwrap();
    broker.forget();
    let begun = Instant::now();
    let mut running = vec![apps.alone(&settings.pirnd, 0, state.path())];
    broker.all_subscribed(1, begun);
    let first = total(&running);
    running.extend((1..count).map(|number| apps.alone(&settings.pirnd, number, state.path())));
    let (_, lanes) = broker.all_subscribed(count, begun);
    let rest = total(&running);
    let mut traffic = Traffic::through(broker.mosquitto.port());
    let answered = lanes.iter().filter(|lane| traffic.one(&topic(**lane)).is_some()).count();
    let after = total(&running);
    let each = |sum: u64| (sum.saturating_sub(first)) as f64 / (count.max(2) - 1) as f64;
    let many = |sum: u64| (first as f64 + each(sum) * (of.max(1) - 1) as f64) / 1024.0;
    println!(
        "\n{count} processes of one app each (`pirnd up`), {} of them subscribed:",
        lanes.len()
    );
    println!(
        "PSS together {rest} KiB, one more {:.0} KiB: {of} would take {:.0} MiB;",
        each(rest),
        many(rest)
    );
    println!(
        "after an event of each ({answered}) {after} KiB, one more {:.0} KiB: {of} would take {:.0} MiB.",
        each(after),
        many(after)
    );
}

fn total(running: &[pirn_tests::process::Running]) -> u64 {
    running.iter().map(|one| Footprint::of(one.id()).pss_kib).sum()
}

/// What the kernel lets this process, and what it starts, have open.
fn descriptors() -> String {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let number = line.and_then(|line| line.split_whitespace().nth(3));
    format!("at most {} descriptors", number.unwrap_or("?"))
}

fn said(pirnd: &Path) -> String {
    let version = Command::new(pirnd).arg("--version").output().map(|ended| ended.stdout);
    String::from_utf8_lossy(&version.unwrap_or_default()).trim().to_owned()
}

fn main() {
    let settings = Settings::given();
    let most = settings.counts.iter().max().copied().unwrap_or(1).max(settings.alone);
    raise_descriptors(most * DESCRIPTORS_EACH + DESCRIPTORS_MORE);
    if settings.on_boards {
        return boards::measure(&settings.counts, &mut Dice::new(settings.seed));
    }
    let mut broker = Broker::start();
    let apps = Apps::write(most, settings.artifact.as_deref(), &broker);
    let artifact = settings.artifact.as_deref().unwrap_or("the board's own");
    println!(
        "{}; artifact: {artifact}, {} bytes for each app; {} messages a second for {} s; seed {}; {}",
        said(&settings.pirnd),
        apps.bytes_each(),
        settings.rate,
        settings.seconds,
        settings.seed,
        descriptors()
    );
    let all: Vec<Measured> = settings
        .counts
        .iter()
        .map(|count| measure(&settings, &apps, &mut broker, *count))
        .collect();
    table::print(&all);
    if settings.alone > 0 {
        alone(&settings, &apps, &mut broker);
    }
}
