//! A program under test, started as a user would, with what it printed.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use crate::eventually;

/// A running program. Killed when it is dropped.
pub struct Running {
    child: Child,
    printed: Arc<Mutex<Vec<String>>>,
}

/// How a program ended, and all that it printed.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Running {
    /// Starts a command, gathering both its outputs.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let printed = Arc::<Mutex<Vec<String>>>::default();
        let out: Box<dyn std::io::Read + Send> = Box::new(child.stdout.take().expect("its stdout"));
        let err: Box<dyn std::io::Read + Send> = Box::new(child.stderr.take().expect("its stderr"));
        for stream in [out, err] {
            let printed = Arc::clone(&printed);
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    printed.lock().expect("nobody panicked with it").push(line);
                }
            });
        }
        Self { child, printed }
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it printed so far.
    ///
    /// # Panics
    /// Never, unless a reader did.
    #[must_use]
    pub fn printed(&self) -> String {
        self.printed.lock().expect("nobody panicked with it").join("\n")
    }

    /// Waits until it printed this.
    pub fn wait_for(&self, part: &str) {
        let what = format!("{part:?}");
        let begun = std::time::Instant::now();
        while !self.printed().contains(part) {
            assert!(
                begun.elapsed() < crate::PATIENCE,
                "waited for {what}; it printed:\n{}",
                self.printed()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// Sends a signal: `TERM`, `KILL`, `STOP` …
    pub fn signal(&self, name: &str) {
        let _ = Command::new("kill").args([&format!("-{name}"), &self.id().to_string()]).status();
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the program to end", || self.child.try_wait().ok().flatten())
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a command to its end.
///
/// # Panics
/// If it does not start.
pub fn run(command: &mut Command) -> Ended {
    let output = command.stdin(Stdio::null()).output().expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
