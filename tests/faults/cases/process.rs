//! What may happen to the runner's own process: ended, asked to end, squeezed.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pirn_tests::faults::proxy::Proxy;
use pirn_tests::faults::scene::{Piece, STOPPED, Scene};

use super::{Context, Outcome, Unfinished, close};
use crate::table::Tally;
use pirn_tests::dice::Dice;

pub(super) fn runner_killed(context: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    let (mut tally, mut dice) = (Tally::default(), Dice::new(context.seed));
    for round in 0..context.times(20, 1_000) {
        scene.publish("a", "keep", round * 20..(round + 1) * 20);
        scene.publish("b", "pass", round * 20..(round + 1) * 20);
        std::thread::sleep(Duration::from_millis(dice.below(60)));
        scene.kill();
        tally.runs += 1;
        match dice.below(4) {
            // Ended before it has done anything, or while it connects.
            0 => {
                scene.start_under(&[]);
                std::thread::sleep(Duration::from_millis(dice.below(80)));
            }
            _ => scene.start(),
        }
    }
    if !scene.broker.look().is_subscribed() {
        tally.must(scene.link_back());
    }
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    Ok(tally)
}

pub(super) fn sigterm_in_invocation(_: &Context) -> Outcome {
    let mut tally = Tally::default();
    // One that ends within its time, and one that does not.
    for late in [800, 60_000] {
        let long = Piece::ledger("a").limits("deadline = \"60s\"");
        let mut scene = Scene::connected(&[long]);
        scene.broker.publish("in/a/late", &format!("1 {late}"), 1);
        scene.broker.wait(Duration::from_secs(5), |look| look.received_on("begun/a") == 1);
        stop(&mut scene, &mut tally);
        if late < 5_000 {
            scene.start();
            close(&scene, &mut tally);
            let runs = scene.broker.look().received_on("begun/a");
            tally.expect(runs == 1, format!("what was running at SIGTERM ran {runs} times"));
        } else if let Some(books) = tally.must(scene.books_into(&scene.broker)) {
            tally.expect(books.lost.is_empty(), "what was running at SIGTERM is gone");
            tally.add(&books);
        }
    }
    Ok(tally)
}

/// Asks the runner to end, which it must within five seconds.
fn stop(scene: &mut Scene, tally: &mut Tally) {
    tally.runs += 1;
    match scene.stop(STOPPED) {
        Some(took) => tally.note(format!("SIGTERM was obeyed after {:.1} s", took.as_secs_f64())),
        None => tally.expect(false, format!("SIGTERM was not obeyed within {STOPPED:?}")),
    }
}

pub(super) fn sigterm_in_flight(context: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::default();
    for round in 0..context.times(3, 100) {
        scene.publish("a", "pass", round * 300..(round + 1) * 300);
        let before = scene.broker.look().received_on("out/a");
        scene.broker.wait(Duration::from_secs(2), |look| look.received_on("out/a") > before + 50);
        stop(&mut scene, &mut tally);
        scene.start();
    }
    close(&scene, &mut tally);
    if let Ok(books) = scene.books_into(&scene.broker) {
        let again = books.duplicates;
        tally.expect(
            again == 0,
            format!("{again} messages that were done were done again after an orderly stop"),
        );
    }
    Ok(tally)
}

pub(super) fn sigterm_in_connect(_: &Context) -> Outcome {
    let mut tally = Tally::default();
    let scene = Scene::of(&[Piece::ledger("a")]);
    let proxy = Proxy::before(scene.broker.port());
    let mut scene = scene.by(proxy.address());
    proxy.swallow_all(true);
    scene.start_under(&[]);
    std::thread::sleep(Duration::from_millis(800));
    stop(&mut scene, &mut tally);
    scene.broker.behave(|manners| manners.silent = true);
    proxy.swallow_all(false);
    scene.start_under(&[]);
    std::thread::sleep(Duration::from_millis(800));
    stop(&mut scene, &mut tally);
    Ok(tally)
}

/// A control group that goes with this value.
struct Group {
    folder: PathBuf,
    limit: &'static str,
    most: &'static str,
}

impl Group {
    fn new(name: &str) -> Result<Self, Unfinished> {
        let name = format!("pirn-faults-{}-{name}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/memory");
        let (folder, limit, most) = match first.is_dir() {
            true => (first.join(name), "memory.limit_in_bytes", "memory.max_usage_in_bytes"),
            false => (Path::new("/sys/fs/cgroup").join(name), "memory.max", "memory.peak"),
        };
        match std::fs::create_dir(&folder) {
            Ok(()) => Ok(Self { folder, limit, most }),
            Err(error) => Err(Unfinished::Missing(format!(
                "a memory control group is needed: run as root, with /sys/fs/cgroup writable ({error})"
            ))),
        }
    }

    fn limit(&self, bytes: u64) -> Result<(), Unfinished> {
        let limited = std::fs::write(self.folder.join(self.limit), bytes.to_string());
        limited.map_err(|error| {
            let needed = format!("a memory control group that takes {}: {error}", self.limit);
            Unfinished::Missing(needed)
        })
    }

    /// The most bytes that its processes had at once.
    fn most(&self) -> Result<u64, Unfinished> {
        let text = std::fs::read_to_string(self.folder.join(self.most));
        let bytes = text.ok().and_then(|text| text.trim().parse().ok());
        let needed = format!("a kernel whose memory control groups have {}", self.most);
        bytes.ok_or(Unfinished::Missing(needed))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes are gone a moment after they were killed.
        for _ in 0..50 {
            if std::fs::remove_dir(&self.folder).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

pub(super) fn memory_pressure(context: &Context) -> Outcome {
    let group = Group::new("pressure")?;
    let processes = group.folder.join("cgroup.procs").display().to_string();
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::misbehaving("b")]);
    scene.kill();
    let enter = ["sh", "-c", "echo $$ > \"$0\" && exec \"$@\"", &processes];
    let mut tally = Tally::default();
    scene.start_under(&enter);
    let (mut ended, mut bytes) = (0, 0);
    for round in 0..context.times(10, 500) {
        for number in round * 30..(round + 1) * 30 {
            scene.broker.publish_long("in/a/keep", &format!("{number} "), 60_000, 1);
        }
        scene.broker.publish("in/b/do", "memory", 1);
        let all = usize::try_from((round + 1) * 30).unwrap_or(0);
        scene.wait_or_end("a", all, Duration::from_secs(15));
        if round == 0 {
            // Nine tenths of what it takes where there is enough: pages of its program are read again and again.
            bytes = group.most()? / 10 * 9;
            group.limit(bytes)?;
            scene.kill();
            scene.start_under(&enter);
        }
        tally.runs += 1;
        if !scene.is_running() {
            ended += 1;
            scene.start_under(&enter);
        }
    }
    group.limit(bytes * 8)?;
    scene.kill();
    scene.start_under(&enter);
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    tally.note(format!("the kernel ended it {ended} times for want of {} KiB", bytes >> 10));
    scene.kill();
    Ok(tally)
}

pub(super) fn descriptors_exhausted(context: &Context) -> Outcome {
    super::syscalls::needs("prlimit", "util-linux")?;
    let mut scene = Scene::connected(&[Piece::ledger("a")]);
    scene.kill();
    let mut tally = Tally::default();
    scene.start_under(&["prlimit", "--nofile=32:32"]);
    tally.must(scene.link_back());
    for round in 0..context.times(2, 50) {
        let socket = scene.state().join("pirnd.sock");
        let held: Vec<UnixStream> =
            (0..60).map_while(|_| UnixStream::connect(&socket).ok()).collect();
        std::thread::sleep(Duration::from_millis(200));
        scene.broker.cut();
        scene.publish("a", "keep", round * 50..(round + 1) * 50);
        std::thread::sleep(Duration::from_secs(2));
        drop(held);
        tally.runs += 1;
        tally.expect(scene.is_running(), "the runner ended for want of descriptors");
        tally.must(scene.link_back());
    }
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    Ok(tally)
}
