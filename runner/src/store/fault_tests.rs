//! The store on a disk that fails: this very test runs once more under strace, which makes system calls
//! fail or take long, and tells its parent what was answered. What was answered with "done" must be
//! there afterwards; what was not done must have been answered with an error.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::{Layout, Store};

/// Names the folder to the one that is run under strace.
const FOLDER: &str = "PIRN_STORE_FAULTS_FOLDER";
const SETS: usize = 40;

fn store(dir: &Path) -> Store {
    Store::start(Layout { state_dir: dir.to_owned(), ..Layout::default() }).unwrap()
}

/// The child's part: sets keys, prints each answer, and how often the loop turned meanwhile.
async fn set_and_tell(dir: &Path) {
    let store = store(dir);
    let turns = tokio::spawn(async {
        let mut turns = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(10)).await;
            turns += 1;
            println!("\nturn {turns}");
        }
    });
    for n in 0..SETS {
        match store.set("s", &n.to_string(), vec![n as u8; 8000]).await {
            Ok(()) => println!("\ndone {n}"),
            Err(error) => println!("\nfailed {n} {error}"),
        }
    }
    store.close().await;
    turns.abort();
    println!("\nended");
}

struct Told(String);

impl Told {
    fn lines<'a>(&'a self, word: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.lines().filter_map(move |line| line.strip_prefix(word))
    }
}

/// Runs the test of this name under strace with an injection; what it told.
fn under(test: &str, dir: &Path, injection: &str) -> Told {
    let strace = Command::new("strace")
        .args(["-f", "-qq", "-o", "/dev/null", "-e", injection])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", &format!("store::fault_tests::{test}"), "--nocapture"])
        .env(FOLDER, dir)
        .output()
        .expect("strace is needed: install the package of that name");
    let told = String::from_utf8(strace.stdout).unwrap();
    let error = String::from_utf8_lossy(&strace.stderr);
    assert!(told.lines().any(|line| line == "ended"), "{injection}: {told}{error}");
    Told(told)
}

/// Runs both parts: as the child if a parent said so, else as the parent.
async fn check(test: &str, injections: &[&str], expected: impl Fn(&str, &Told)) {
    if let Some(dir) = std::env::var_os(FOLDER) {
        return set_and_tell(Path::new(&dir)).await;
    }
    for injection in injections {
        let scratch = tempfile::tempdir().unwrap();
        // The file is there already, so that faults hit work and not its making.
        let before = store(scratch.path());
        before.set("s", "before", vec![1]).await.unwrap();
        before.close().await;
        let told = under(test, scratch.path(), injection);
        let after = store(scratch.path());
        assert_eq!(after.get("s", "before").await.unwrap(), Some(vec![1]), "{injection}");
        for n in told.lines("done ") {
            let value = after.get("s", n).await.unwrap();
            let expected = vec![n.parse::<usize>().unwrap() as u8; 8000];
            assert_eq!(value, Some(expected), "{injection}: {n} was told as done and is gone");
        }
        assert_eq!(after.losses(), 0, "{injection}");
        expected(injection, &told);
    }
}

#[tokio::test]
async fn what_a_failed_fsync_was_to_secure_is_told_as_failed_and_the_store_goes_on() {
    let injections = [
        "inject=fsync,fdatasync:error=EIO:when=3",
        "inject=fsync,fdatasync:error=EIO:when=9",
        "inject=fsync,fdatasync:error=EIO:when=20..22",
    ];
    let test = "what_a_failed_fsync_was_to_secure_is_told_as_failed_and_the_store_goes_on";
    check(test, &injections, |injection, told| {
        assert!(told.lines("failed ").count() > 0, "{injection}: {}", told.0);
        assert_eq!(told.lines("done ").last(), Some("39"), "{injection}: {}", told.0);
    })
    .await;
}

#[tokio::test]
async fn on_a_full_disk_sets_fail_with_a_sentence_and_work_again_when_there_is_room() {
    let test = "on_a_full_disk_sets_fail_with_a_sentence_and_work_again_when_there_is_room";
    check(test, &["inject=pwrite64:error=ENOSPC:when=30..60"], |_, told| {
        let sentences: Vec<_> = told.lines("failed ").collect();
        assert!(!sentences.is_empty(), "{}", told.0);
        for sentence in sentences {
            assert!(sentence.contains("pirn.db: ") && sentence.contains("make room"), "{sentence}");
        }
        assert_eq!(told.lines("done ").last(), Some("39"), "{}", told.0);
    })
    .await;
}

#[tokio::test]
async fn the_loop_turns_while_an_fsync_takes_two_seconds() {
    let test = "the_loop_turns_while_an_fsync_takes_two_seconds";
    check(test, &["inject=fsync,fdatasync:delay_exit=2000000:when=9"], |_, told| {
        assert_eq!(told.lines("done ").count(), SETS, "{}", told.0);
        // One set, of forty, waited; were the loop to wait with it, it would turn a few times at most.
        assert!(told.lines("turn ").count() > 50, "{}", told.0);
    })
    .await;
}
