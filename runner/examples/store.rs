//! What the store costs: bytes written and time for a thousand sets, one after the other and together,
//! by size of value; how long a file takes to open, checked whole and not; a dead letter.
//!
//! `cargo run --release --example store [FOLDER]`; the folder decides whose fsync it is. Count fsyncs with
//! `strace -f -c -e trace=fsync,fdatasync`.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pirn_runner::store::{DeadLetter, Layout, Store};

const SETS: usize = 1_000;

/// Bytes that this process gave to the disk, and system calls that wrote.
fn written() -> (u64, u64) {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let number = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse().ok()).unwrap_or(0)
    };
    (number("wchar:"), number("syscw:"))
}

fn store(dir: &Path) -> Store {
    Store::start(Layout { state_dir: dir.to_owned(), ..Layout::default() }).unwrap()
}

/// Runs work and says what each of `n` pieces of it took.
async fn measured(what: &str, n: usize, work: impl Future<Output = ()>) {
    let (before, begun) = (written(), Instant::now());
    work.await;
    let (took, after) = (begun.elapsed(), written());
    let n = n as f64;
    println!(
        "{what:44} {:>9.1} µs {:>9.0} B {:>6.2} writes",
        took.as_secs_f64() * 1e6 / n,
        (after.0 - before.0) as f64 / n,
        (after.1 - before.1) as f64 / n
    );
}

async fn sets(store: &Store, bytes: usize, together: usize) {
    let key = |n: usize| format!("k{:03}", n % 200);
    for first in (0..SETS).step_by(together) {
        let set = |n: usize| {
            let store = store.clone();
            tokio::spawn(async move { store.set("s", &key(n), vec![n as u8; bytes]).await })
        };
        for set in (first..first + together).map(set).collect::<Vec<_>>() {
            set.await.unwrap().unwrap();
        }
    }
}

async fn opening(dir: &Path) {
    let large = store(dir);
    for n in 0..64 {
        large.set("large", &n.to_string(), vec![1; 1 << 20]).await.unwrap();
    }
    large.close().await;
    let mark = dir.join("pirn.db-mark");
    let open = |what: &'static str| async move {
        let begun = Instant::now();
        store(dir).get("large", "0").await.unwrap();
        println!("{what:44} {:>9.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    };
    // The store that was just opened closes when its handle goes; that takes a moment.
    open("opened, 64 MiB, closed in order").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    std::fs::remove_file(&mark).unwrap();
    open("opened, 64 MiB, not closed in order").await;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = folder.join(format!("pirn-store-cost-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    println!("{:44} {:>12} {:>11} {:>13}", "each", "time", "written", "");
    let small = store(&dir);
    for bytes in [16, 1_000, 10_000] {
        let what = |how: &str| format!("set of {bytes} B, {how}");
        measured(&what("one after the other"), SETS, sets(&small, bytes, 1)).await;
        measured(&what("20 at the same time"), SETS, sets(&small, bytes, 20)).await;
    }
    measured("dead letter of 1000 B", 100, async {
        for n in 0..100 {
            let letter = DeadLetter::new("c", format!("t/{n}"), vec![0; 1000], "refused");
            small.bury(letter).await.unwrap();
        }
    })
    .await;
    small.close().await;
    opening(&dir).await;
    std::fs::remove_dir_all(&dir).unwrap();
}
