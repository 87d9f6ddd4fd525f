//! `pirnd serve` and `pirnd app`, as an operator types them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::process::{Ended, Running, run};
use crate::{eventually, pirnd};

/// A process that serves apps, on a state folder of its own.
pub struct Served {
    scratch: tempfile::TempDir,
    program: PathBuf,
    words: Vec<OsString>,
    running: Option<Running>,
}

impl Default for Served {
    fn default() -> Self {
        Self::new()
    }
}

impl Served {
    /// One without apps, which runs.
    #[must_use]
    pub fn new() -> Self {
        let mut served = Self::with(&pirnd(), &[]);
        served.restart();
        served
    }

    /// One of this program and with these words more, which does not run yet.
    ///
    /// # Panics
    /// If there is no place for its state.
    #[must_use]
    pub fn with(program: &Path, words: &[&OsStr]) -> Self {
        let scratch = tempfile::tempdir().expect("a scratch folder");
        let words = words.iter().map(|word| (*word).to_owned()).collect();
        Self { scratch, program: program.to_owned(), words, running: None }
    }

    /// Its state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.scratch.path().join("state")
    }

    /// What the set of apps holds.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn set(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.state().join("apps")).expect("the set");
        let name =
            |entry: std::io::Result<std::fs::DirEntry>| entry.ok()?.file_name().into_string().ok();
        let mut names: Vec<_> = entries.filter_map(name).collect();
        names.sort_unstable();
        names
    }

    /// Ends it with -9, if it runs.
    pub fn kill(&mut self) {
        drop(self.running.take());
    }

    /// Ends it with -9, if it runs, and starts it.
    pub fn restart(&mut self) {
        self.start();
        eventually("pirnd serve to be ready", || self.printed().contains("apps run").then_some(()));
    }

    /// The same without waiting for anything.
    pub fn start(&mut self) {
        self.kill();
        let mut command = Command::new(&self.program);
        command.arg("serve").arg("--state-dir").arg(self.state()).args(&self.words);
        self.running = Some(Running::start(&mut command));
    }

    /// The process.
    ///
    /// # Panics
    /// If it was not started.
    pub fn running(&mut self) -> &mut Running {
        self.running.as_mut().expect("it was started")
    }

    /// What the process printed.
    ///
    /// # Panics
    /// If it was not started.
    #[must_use]
    pub fn printed(&self) -> String {
        self.running.as_ref().expect("it was started").printed()
    }

    /// The command `pirnd app WORDS`, for this process.
    #[must_use]
    pub fn asking(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("app").args(words).arg("--state-dir").arg(self.state());
        command
    }

    /// What the command prints if it succeeds.
    ///
    /// # Panics
    /// With what it printed if it does not.
    pub fn said(&self, words: &[&str]) -> String {
        let ended = self.asked(words);
        assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.out, ended.err);
        ended.out
    }

    /// What the command complains of.
    ///
    /// # Panics
    /// With what it printed if it does not.
    #[must_use]
    pub fn refused(&self, words: &[&str]) -> String {
        let ended = self.asked(words);
        assert_eq!(ended.code, Some(1), "{words:?}: {}{}", ended.out, ended.err);
        ended.err
    }

    fn asked(&self, words: &[&str]) -> Ended {
        run(&mut self.asking(words))
    }
}
