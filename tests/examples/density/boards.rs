//! The same on emulated boards of 64 MiB: compiled apps on a 64-bit one, interpreted ones on a 32-bit one. The runner,
//! apps and state are on a disk, as on a board's card: what is read from there may be given back. Times are those of an
//! emulator, so they only say how one compares with another. Needs `cross/targets/pirnd` for both, and mkfs.ext4.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pirn_tests::board::{Board, Cpu, Files, HOST, Started};
use pirn_tests::crowd::Model;
use pirn_tests::dice::Dice;
use pirn_tests::footprint::Footprint;
use pirn_tests::traffic::{Times, Traffic};

use crate::scene::{Broker, name, topic, write};

const BOARDS: [(Cpu, &str); 2] = [(Cpu::Aarch64, "qemu-virt-aarch64"), (Cpu::Arm, "qemu-virt-arm")];
/// Messages a second to all apps together: far from what an emulated processor can do.
const RATE: u32 = 10;
const STEADY: Duration = Duration::from_secs(30);
const FIRST_EVENTS: usize = 20;
/// What a runner may have open, if its kernel lets it.
const DESCRIPTORS: usize = 20_000;
/// Of what it printed, where it did not get on.
const LINES: usize = 5;
/// Room on the disk for state and the file system itself.
const SPARE_MIB: u64 = 128;

pub(crate) fn measure(counts: &[usize], dice: &mut Dice) {
    for ((cpu, board), count) in BOARDS.into_iter().zip(counts) {
        let mut broker = Broker::start();
        on_board(cpu, board, *count, &mut broker, dice);
    }
}

/// A disk with the runner, the apps, their set, and room for their state.
fn disk(folder: &Path, pirnd: &Path, model: &Model, count: usize, broker: &Broker) -> PathBuf {
    let (root, image) = (folder.join("root"), folder.join("image"));
    let address = format!("mqtt://{HOST}:{}", broker.mosquitto.port());
    write(model, &root.join("apps"), count, &address);
    fs::create_dir(root.join("set")).unwrap();
    fs::copy(pirnd, root.join("pirnd")).unwrap();
    for number in 0..count {
        symlink(Path::new("/disk/apps").join(name(number)), root.join("set").join(name(number)))
            .unwrap();
    }
    // The component, what was compiled, and the runner's own copy of that.
    let mib = (count * 4 * model.bytes()) as u64 / (1 << 20) + SPARE_MIB;
    let made = Command::new("mkfs.ext4")
        .args(["-q", "-N", &(count * 40 + 10_000).to_string(), "-d"])
        .arg(&root)
        .arg(&image)
        .arg(format!("{mib}M"))
        .output()
        .expect("mkfs.ext4 is needed: apt-get install e2fsprogs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    fs::remove_dir_all(root).unwrap();
    image
}

/// A number of a process's, by its place in `/proc/PID/stat`.
fn major_faults(board: &Board, pirnd: &Started) -> u64 {
    let stat = board.run(&format!("cat /proc/{}/stat", pirnd.id));
    let behind = stat.rsplit_once(") ").map_or("", |(_, behind)| behind);
    behind.split(' ').nth(9).and_then(|number| number.parse().ok()).unwrap_or(0)
}

/// The end of what it printed.
fn last(board: &Board, pirnd: &Started) -> String {
    let printed = board.printed(pirnd);
    let lines: Vec<&str> = printed.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

fn say(when: &str, board: &Board, pirnd: &Started) {
    let rollup = board.try_run(&format!("cat /proc/{}/smaps_rollup", pirnd.id));
    if rollup.code != Some(0) {
        return println!("{when}: pirnd is gone; it printed at last:\n{}", last(board, pirnd));
    }
    let it = Footprint::parsed(&rollup.out);
    let free = board.run("grep MemAvailable /proc/meminfo");
    println!(
        "{when}: PSS {} KiB (anonymous {}, of files {}), at most {} KiB; {} page faults from the disk; {}",
        it.pss_kib,
        it.anonymous_kib,
        it.file_kib,
        board.peak_kib(pirnd),
        major_faults(board, pirnd),
        free.split_whitespace().collect::<Vec<_>>().join(" ")
    );
}

fn on_board(cpu: Cpu, name: &str, count: usize, broker: &mut Broker, dice: &mut Dice) {
    let budget = pirn_runner::files::board::Board::shipped(name).unwrap().memory.budget_bytes;
    let (folder, model) = (tempfile::tempdir().unwrap(), Model::for_board("ledger", name));
    println!(
        "\n{count} apps on {name}, {} MiB; {} bytes for each app",
        budget >> 20,
        model.bytes()
    );
    let pirnd = pirn_tests::pirnd_for(cpu.target());
    let image = disk(folder.path(), &pirnd, &model, count, broker);
    let serve = format!(
        "#!/bin/sh\nulimit -n {DESCRIPTORS}\n\
         exec /disk/pirnd serve --quiet --board {name} --apps /disk/set --state-dir /disk/state\n"
    );
    let files = Files::new().with_text("bin/serve", &serve);
    let board = Board::boot_with_disk(cpu, budget >> 20, &files, &image);
    let mut pirnd = None;
    for which in ["first start", "a later start"] {
        if let Some(pirnd) = pirnd.take() {
            board.signal(&pirnd, "KILL");
            board.wait_end(&pirnd);
            broker.forget();
        }
        let begun = Instant::now();
        let started = board.start("sh /bin/serve");
        let (took, lanes) = broker.all_subscribed(count, begun);
        println!("{which}: {} subscribed after {:.1} s", lanes.len(), took.as_secs_f64());
        say(which, &board, &started);
        if lanes.len() < count {
            println!("it printed at last:\n{}", last(&board, &started));
            return;
        }
        pirnd = Some(started);
    }
    let Some(pirnd) = pirnd else { return };
    let mut traffic = Traffic::through(broker.mosquitto.port());
    let few: Vec<String> =
        (0..count).step_by(count.div_ceil(FIRST_EVENTS).max(1)).map(topic).collect();
    for which in ["first events", "later events"] {
        let times = few.iter().filter_map(|topic| traffic.one(topic)).collect();
        let times = Times::of(times);
        println!("{which}: median {:.1?}, longest {:.1?}", times.at(0.5), times.at(1.0));
    }
    say("after these", &board, &pirnd);
    let topics: Vec<String> = (0..count).map(topic).collect();
    let passed = traffic.steady(&topics, RATE, STEADY, dice);
    println!(
        "{RATE} messages a second for {STEADY:?}: p50 {:.1?}, p99 {:.1?}, longest {:.1?}, {} of {} lost",
        passed.times.at(0.5),
        passed.times.at(0.99),
        passed.times.at(1.0),
        passed.lost,
        passed.sent
    );
    say("after that", &board, &pirnd);
}
