//! What the runner writes to its disk for messages: while the broker answers (nothing, is the aim), and while it takes
//! no publishes, so that all of them go through the outbox. Prints bytes as the kernel counts them for the process,
//! fsyncs as strace counts them, and how large the state folder is afterwards.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && tests/guests/build && cargo build --workspace --examples
//! target/debug/examples/wear
//! ```
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::time::Duration;

use pirn_tests::faults::scene::{Piece, Scene};

const MESSAGES: u64 = 10_000;

/// Bytes that the process caused to be written to disks.
fn written(process: u32) -> u64 {
    let io = std::fs::read_to_string(format!("/proc/{process}/io")).unwrap();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().trim().parse().unwrap()
}

fn size(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .map(|entry| entry.metadata().unwrap())
        .filter(|about| about.is_file())
        .map(|about| about.len())
        .sum()
}

/// How often a running process calls fsync and its like while `work` is done; `None` without strace.
fn fsyncs(process: u32, work: impl FnOnce()) -> Option<usize> {
    let counted = std::env::temp_dir().join(format!("pirn-wear-{}", std::process::id()));
    let traced = std::process::Command::new("strace")
        .args(["-f", "-q", "-e", "trace=fsync,fdatasync", "-o"])
        .arg(&counted)
        .args(["-p", &process.to_string()])
        .stderr(std::process::Stdio::null())
        .spawn();
    if traced.is_ok() {
        std::thread::sleep(Duration::from_millis(500));
    }
    work();
    let mut traced = traced.ok()?;
    let _ = std::process::Command::new("kill").args(["-INT", &traced.id().to_string()]).status();
    let _ = traced.wait();
    let text = std::fs::read_to_string(&counted).ok()?;
    let _ = std::fs::remove_file(&counted);
    Some(text.lines().filter(|line| line.contains("sync(") && !line.contains("resumed")).count())
}

fn measure(name: &str, takes_publishes: bool) {
    let mut scene = Scene::connected(&[Piece::ledger("a")]);
    scene.be_patient(Duration::from_secs(60));
    scene.publish("a", "pass", 0..10);
    scene.wait_for("a", 10);
    let process = scene.running().id();
    let before = written(process);
    if !takes_publishes {
        scene.broker.behave(|manners| manners.discards = true);
    }
    let syncs = fsyncs(process, || {
        for hundred in 0..MESSAGES / 100 {
            scene.publish("a", "pass", 10 + hundred * 100..10 + (hundred + 1) * 100);
            if takes_publishes {
                scene.wait_for("a", usize::try_from(10 + (hundred + 1) * 100).unwrap());
            } else {
                scene.broker.wait(Duration::from_secs(30), |look| look.pending_count() == 0);
            }
        }
    });
    let bytes = written(process) - before;
    let database = size(scene.state());
    let syncs = syncs.map_or("(needs strace)".into(), |syncs| syncs.to_string());
    println!(
        "{name:28} {bytes:>12} bytes  {syncs:>8} fsyncs  {database:>10} bytes in the state folder"
    );
    if !takes_publishes {
        scene.broker.behave(|manners| manners.discards = false);
        let begun = std::time::Instant::now();
        let all = usize::try_from(10 + MESSAGES).unwrap();
        scene.broker.wait(Duration::from_secs(120), |look| look.received_on("out/a") >= all);
        let (took, bytes) = (begun.elapsed(), written(process) - before - bytes);
        println!("{:28} {bytes:>12} bytes  in {took:.1?}", "  and drained");
    }
}

fn main() {
    println!("{MESSAGES} messages at QoS 1, each answered with one at QoS 1");
    measure("the broker answers", true);
    measure("it takes no publishes", false);
}
