//! What the end-to-end tests share: real brokers, real processes, scratch folders. Everything listens
//! on loopback, on ports that the system gave; every wait has an end.

pub mod apps;
pub mod board;
pub mod broker;
pub mod crowd;
pub mod dice;
pub mod faults;
pub mod footprint;
pub mod guests;
pub mod machine;
pub mod neighbourhood;
pub mod outward;
pub mod peer;
pub mod pins;
pub mod process;
pub mod redis;
pub mod served;
pub mod traffic;
pub mod web;
pub mod webserver;
pub mod wrk;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// The longest that a test waits for something that must happen. Only a broken build takes it.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Asks again and again until there is an answer.
///
/// # Panics
/// When there is none within [`PATIENCE`]: says what was waited for.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("waited {PATIENCE:?} for {what}");
}

/// Says that it is over when it goes, also in a panic: for threads that work until then.
pub struct Over<'a>(pub &'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The runner under test, the very file that a board gets: `PIRND`, or what `cross/targets/pirnd`
/// built for this machine's processor.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn pirnd() -> PathBuf {
    match std::env::var_os("PIRND").map(PathBuf::from) {
        Some(path) if path.is_file() => path,
        Some(path) => panic!("PIRND is {}, which is no file", path.display()),
        None => pirnd_for(&native_target()),
    }
}

/// The target whose programs boards with this machine's processor run.
fn native_target() -> String {
    format!("{}-unknown-linux-musl", std::env::consts::ARCH)
}

/// The runner for a board's target, as `cross/targets/pirnd` built it.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn pirnd_for(target: &str) -> PathBuf {
    built_for(target, "pirnd")
}

/// A program for a board's target.
fn built_for(target: &str, name: &str) -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| guests::repository().join("target"));
    let path = folder.join(target).join("release").join(name);
    let option = if name == "pirnd" { String::new() } else { format!("--{name} ") };
    let how = format!("run cross/targets/pirnd {option}{target}");
    assert!(path.is_file(), "there is no {}: {how}", path.display());
    path
}

/// The workbench, built beside the tests.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn pirn() -> PathBuf {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder =
        test.ancestors().find(|folder| folder.join("pirn").is_file()).map(Path::to_path_buf);
    folder.expect("there is no pirn beside the tests: run tests/run").join("pirn")
}
