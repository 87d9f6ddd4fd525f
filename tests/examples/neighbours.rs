//! What a hostile component costs its healthy neighbour: round trips of one message through a real broker, alone
//! and beside each kind of hostility, for each engine. Prints milliseconds: the middle one, the 99th of a hundred,
//! the longest, and by how much the 99th is longer than alone.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && tests/guests/build
//! cargo build --workspace --all-targets && target/debug/examples/neighbours [ENGINE …] [HOSTILITY …]
//! ```
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::machine;
use pirn_tests::peer::Peer;
use pirn_tests::process::Running;

/// What the hostile component is told, and whether it has to be told again because it ends.
const HOSTILE: &[(&str, Again)] = &[
    ("loop", Again::Never),
    ("host-calls", Again::Never),
    ("random-calls", Again::Never),
    ("allocations", Again::Never),
    ("log-flood", Again::Never),
    ("log-endless-line", Again::Never),
    ("sleep", Again::Never),
    ("memory", Again::Often),
    ("stack", Again::Often),
    ("wasi-handles", Again::Often),
    ("publish-flood", Again::Often),
    ("huge-value 3000000", Again::Often),
    ("trap", Again::Often),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Again {
    /// It goes on until its deadline.
    Never,
    /// It ends, and is told again every [`EVERY`].
    Often,
}

/// How often a hostility that ends begins again.
const EVERY: Duration = Duration::from_millis(10);
/// Round trips of each measurement, if they are done by then.
const TRIPS: usize = 300;
const MEASURED_WITHIN: Duration = Duration::from_secs(3);

/// Round trips, shortest first, in milliseconds.
struct Times(Vec<f64>);

impl Times {
    fn at(&self, share: f64) -> f64 {
        let last = self.0.len() - 1;
        self.0[(last as f64 * share).round() as usize]
    }

    fn cells(&self) -> String {
        format!("{:>9.2}{:>9.2}{:>9.2}", self.at(0.5), self.at(0.99), self.at(1.0))
    }
}

/// A running app: `good` answers, `bad` does what it is told. Both on one engine.
struct Scene {
    peer: Peer,
    _pirnd: Running,
    _app: ScratchApp,
    _broker: Mosquitto,
}

impl Scene {
    fn start(engine: &str) -> Self {
        let broker = Mosquitto::start();
        let bad = format!(
            "[component.bad.tool.pirn]\nengine = \"{engine}\"\ndeadline = \"60s\"\nattempts_max = 1\n\
             memory = \"4MiB\"\nlog_rate = \"20/s\""
        );
        let good = format!("[component.good.tool.pirn]\nengine = \"{engine}\"");
        let parts = [
            Part::new("bad", "misbehave", "bad").with(&bad),
            Part::new("good", "mqtt-sync", "good/#").with(&good),
        ];
        let app = ScratchApp::of(&broker.address(), &parts).built();
        let peer = Peer::subscribed(broker.port(), "answer/echo");
        let pirnd = app.connected(&[]);
        Self { peer, _pirnd: pirnd, _app: app, _broker: broker }
    }

    fn trips(&self, hostility: Option<&str>) -> Times {
        let begun = Instant::now();
        let mut told = Instant::now();
        let mut times = Vec::with_capacity(TRIPS);
        for number in 0..TRIPS {
            if let Some(what) = hostility.filter(|_| told.elapsed() >= EVERY) {
                self.peer.publish("bad", what);
                told = Instant::now();
            }
            let sent = Instant::now();
            self.peer.publish("good/echo", number.to_string());
            let (_, answer) = self.peer.next();
            assert_eq!(answer, number.to_string());
            times.push(sent.elapsed().as_secs_f64() * 1e3);
            if begun.elapsed() >= MEASURED_WITHIN {
                break;
            }
        }
        times.sort_by(f64::total_cmp);
        Times(times)
    }
}

/// Alone and beside, on a runner of their own.
fn measured(engine: &str, what: &str, again: Again) -> (Times, Times) {
    let scene = Scene::start(engine);
    // What is translated when it is first called is translated now.
    scene.trips(None);
    let alone = scene.trips(None);
    scene.peer.publish("bad", what);
    std::thread::sleep(Duration::from_millis(200));
    let beside = scene.trips(Some(what).filter(|_| again == Again::Often));
    (alone, beside)
}

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let all = ["native", "pulley", "interpreted"];
    let (engines, hostile): (Vec<&String>, Vec<&String>) =
        wanted.iter().partition(|word| all.contains(&word.as_str()));
    let among =
        |words: &[&String], name: &str| words.is_empty() || words.iter().any(|word| *word == name);
    let here = all.into_iter().filter(|wish| machine::engine(wish) == *wish);
    let engines = here.filter(|wish| among(&engines, wish));
    for engine in engines {
        println!("{engine}, milliseconds{:>21}{:>27}{:>18}", "alone", "beside", "");
        let columns = format!("{:>9}{:>9}{:>9}", "p50", "p99", "max");
        println!("{:20}{columns}{columns}{:>10}", "", "p99 more");
        for (what, again) in HOSTILE.iter().filter(|(what, _)| among(&hostile, what)) {
            let (alone, beside) = measured(engine, what, *again);
            let more = beside.at(0.99) - alone.at(0.99);
            println!("{what:20}{}{}{more:>10.2}", alone.cells(), beside.cells());
        }
        println!();
    }
}
