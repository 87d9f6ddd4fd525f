//! What thousands of timers cost: an app with one timer and an app with 5 000, each timer with a component
//! id of its own and all made from one file. Prints start-up, memory and wake-ups of both, and the ratio.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl
//! cargo build --workspace && cargo run -p pirn-tests --example timers
//! ```
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use pirn_tests::apps::ScratchApp;
use pirn_tests::process::Running;

/// How long wake-ups are counted.
const WATCH: Duration = Duration::from_secs(10);

struct Cost {
    start: Duration,
    pss_kib: u64,
    wake_ups: u64,
}

fn main() {
    let (one, many) = (cost(1), cost(5_000));
    let each_bytes = (many.pss_kib - one.pss_kib) * 1024 / 4_999;
    println!("                           1 timer   5 000 timers");
    println!("start-up               {:>11.1?}  {:>13.1?}", one.start, many.start);
    println!("memory (PSS)           {:>7} KiB  {:>9} KiB", one.pss_kib, many.pss_kib);
    println!("  of it each further timer and component: {each_bytes} bytes");
    println!("wake-ups in {WATCH:?}        {:>11}  {:>13}", one.wake_ups, many.wake_ups);
}

fn cost(timers: usize) -> Cost {
    let app = app(timers).built();
    let begun = Instant::now();
    let mut running = Running::start(&mut app.pirnd(&["up"]));
    running.wait_for("running scratch");
    let start = begun.elapsed();
    // What starting left behind settles.
    std::thread::sleep(Duration::from_secs(1));
    let before = context_switches(running.id());
    std::thread::sleep(WATCH);
    let wake_ups = context_switches(running.id()) - before;
    let pss_kib = number(running.id(), "smaps_rollup", "Pss:");
    running.signal("TERM");
    assert!(running.wait().success(), "{}", running.printed());
    Cost { start, pss_kib, wake_ups }
}

/// One component file, one component id for each timer.
fn app(timers: usize) -> ScratchApp {
    let mut manifest = "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n".to_owned();
    for n in 0..timers {
        let id = id(n);
        let _ = write!(
            manifest,
            "[[trigger.timer]]\ncomponent = \"{id}\"\ninterval = \"1h\"\n\
             [component.{id}]\nsource = \"timer.wasm\"\n"
        );
    }
    let app = ScratchApp::with_manifest(&manifest);
    app.copy(&pirn_tests::guests::guest("timer"), "timer.wasm");
    app
}

/// A word of letters: ids have no digits at the beginning of their parts.
fn id(mut n: usize) -> String {
    let mut letters = "t-".to_owned();
    for _ in 0..4 {
        letters.push(char::from(b'a' + (n % 26) as u8));
        n /= 26;
    }
    letters
}

/// Voluntary switches of all threads: each is a wake-up that went to sleep again.
fn context_switches(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of_task = |task: std::fs::DirEntry| {
        number(process, &format!("task/{}/status", task.file_name().display()), "voluntary_ctxt")
    };
    tasks.flatten().map(of_task).sum()
}

fn number(process: u32, file: &str, label: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{process}/{file}")).unwrap();
    let line = text.lines().find(|line| line.starts_with(label)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
