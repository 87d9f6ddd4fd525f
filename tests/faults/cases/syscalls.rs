//! Faults of system calls, made by strace: the runner ended at one of them, a failing and a slow fsync.

use std::process::Command;
use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::faults::scene::{Piece, Scene};

use super::{Context, Outcome, Unfinished, close, words_of};
use crate::table::Tally;
use pirn_tests::dice::Dice;

/// Whether a program is there.
///
/// # Errors
/// Says what to install.
pub(super) fn needs(program: &str, package: &str) -> Result<(), Unfinished> {
    let there = std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    });
    match there {
        true => Ok(()),
        false => {
            Err(Unfinished::Missing(format!("{program} is missing: apt-get install {package}")))
        }
    }
}

/// Whether strace is there and may trace.
fn tracing() -> Result<(), Unfinished> {
    needs("strace", "strace")?;
    let tried = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    match tried.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err(Unfinished::Missing(
            "strace may not trace here: allow ptrace (CAP_SYS_PTRACE, kernel.yama.ptrace_scope)"
                .into(),
        )),
    }
}

/// Places that are tried at the same time.
const AT_ONCE: usize = 4;

fn pieces() -> [Piece; 2] {
    [Piece::ledger("a"), Piece::ledger("b")]
}

fn injecting(fault: &str) -> Vec<String> {
    let [calls, _] = fault.split_once(':').map_or([fault, ""], |(calls, rest)| [calls, rest]);
    [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        &format!("trace={calls}"),
        "-e",
        &format!("inject={fault}"),
    ]
    .map(str::to_owned)
    .to_vec()
}

fn start(scene: &mut Scene, words: &[String]) {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    scene.start_under(&words);
}

/// The system calls of a short run, and how often each was made.
fn calls_of_a_run() -> Result<Vec<(String, u64)>, String> {
    let mut scene = Scene::connected(&pieces());
    scene.kill();
    let file = scene.app.file("calls");
    let counting = ["strace", "-f", "-c", "-o", &file.display().to_string()].map(str::to_owned);
    start(&mut scene, &counting);
    scene.link_back()?;
    scene.publish("a", "keep", 0..10);
    scene.publish("b", "pass", 0..10);
    scene.wait_for("a", 10);
    scene.stop(Duration::from_secs(10));
    let text = std::fs::read_to_string(&file).map_err(|error| format!("strace -c: {error}"))?;
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let name = words.last().filter(|name| **name != "total" && **name != "syscall")?;
        Some(((*name).to_owned(), words.get(3)?.parse().ok()?))
    };
    Ok(text.lines().filter_map(row).collect())
}

pub(super) fn runner_ended_at_syscalls(context: &Context) -> Outcome {
    tracing()?;
    let calls = calls_of_a_run()?;
    let mut tally = Tally::default();
    tally.expect(calls.len() > 10, format!("a run made only these system calls: {calls:?}"));
    let mut dice = Dice::new(context.seed);
    let mut places: Vec<(String, u64)> = calls
        .iter()
        .flat_map(|(name, count)| (1..=(*count).min(300)).map(|when| (name.clone(), when)))
        .collect();
    if !context.long && !calls.is_empty() {
        places = (0..10)
            .map(|_| {
                let (name, count) = &calls[dice.below(calls.len() as u64) as usize];
                (name.clone(), dice.between(1, count.min(&40) + 1))
            })
            .collect();
    }
    // Built once: that would take most of the time.
    let app = pirn_tests::faults::piece::app(&pieces());
    for ended in at_once(&places, &app) {
        tally.merge(ended?);
    }
    Ok(tally)
}

/// Each place is mostly waited for, so some are tried at once.
fn at_once(places: &[(String, u64)], app: &ScratchApp) -> Vec<Outcome> {
    let part = |first: usize| -> Outcome {
        let mut tally = Tally::default();
        for (name, when) in places.iter().skip(first).step_by(AT_ONCE) {
            let before = tally.problems.len();
            one(app, &format!("{name}:signal=KILL:when={when}"), &mut tally)?;
            for problem in &mut tally.problems[before..] {
                *problem = format!("ended at {name} {when}: {problem}");
            }
        }
        Ok(tally)
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|first| scope.spawn(move || part(first))).collect();
        let ended = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        ended.map(|ended| ended.unwrap_or_else(|panic| Err(words_of(&*panic).into()))).collect()
    })
}

fn one(app: &ScratchApp, fault: &str, tally: &mut Tally) -> Result<(), String> {
    let mut scene = Scene::with(app.twin());
    scene.start();
    scene.kill();
    scene.publish("a", "keep", 0..10);
    start(&mut scene, &injecting(fault));
    scene.wait_or_end("a", 5, Duration::from_secs(2));
    scene.publish("a", "keep", 10..20);
    scene.publish("b", "pass", 0..20);
    scene.wait_or_end("b", 20, Duration::from_millis(800));
    scene.kill();
    scene.start();
    tally.runs += 1;
    close(&scene, tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    Ok(())
}

pub(super) fn fsync_fails_once(context: &Context) -> Outcome {
    tracing()?;
    let mut tally = Tally::default();
    let times = context.times(3, 40);
    for when in 1..=times {
        let mut scene = Scene::connected(&pieces());
        scene.kill();
        start(&mut scene, &injecting(&format!("fsync,fdatasync:error=EIO:when={when}")));
        tally.must(scene.link_back());
        scene.publish("a", "keep", 0..40);
        scene.publish("b", "pass", 0..40);
        tally.runs += 1;
        close(&scene, &mut tally);
        tally.problems.extend(scene.key_value_problems("a")?);
    }
    Ok(tally)
}

pub(super) fn fsync_takes_two_seconds(context: &Context) -> Outcome {
    tracing()?;
    let mut tally = Tally::of(1);
    // Making the database takes several of them.
    let [a, b] = pieces();
    let mut scene = Scene::connected(&[a.limits("deadline = \"40s\""), b]);
    scene.kill();
    start(&mut scene, &injecting("fsync,fdatasync:delay_exit=2000000"));
    scene.be_patient(Duration::from_secs(40));
    tally.must(scene.link_back());
    scene.publish("a", "keep", 0..context.times(3, 50));
    scene.publish("b", "pass", 0..200);
    tally.expect(scene.wait_for("b", 200), "what needs no disk waited for it");
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    scene.publish("a", "keep", 1_000..1_003);
    std::thread::sleep(Duration::from_millis(300));
    let stopped = scene.stop(pirn_tests::faults::scene::STOPPED);
    tally.expect(stopped.is_some(), "SIGTERM was not obeyed in the middle of an fsync");
    Ok(tally)
}
