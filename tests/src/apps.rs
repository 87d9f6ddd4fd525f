//! Apps in scratch folders: a manifest written by the test, components from the guests, built by the
//! workbench as a developer would.
//!
//! `PIRN_TEST_ARTIFACT` (`native`, `pulley64`, `wasm`) makes every scratch app run as that kind of artifact: one
//! suite for all engines.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::guests::guest;
use crate::process::{Ended, Running, run};
use crate::{machine, pirn};

/// An app in a folder of its own.
pub struct ScratchApp {
    folder: tempfile::TempDir,
}

/// One component of a scratch app.
pub struct Part<'a> {
    /// Its id.
    pub id: &'a str,
    /// The guest that it is.
    pub guest: &'a str,
    /// The topic filter of its trigger.
    pub topic: &'a str,
    /// Lines for its `[component.<id>]` table, and tables of it.
    pub more: &'a str,
}

impl<'a> Part<'a> {
    /// A component without anything special.
    #[must_use]
    pub fn new(id: &'a str, guest: &'a str, topic: &'a str) -> Self {
        Self { id, guest, topic, more: "" }
    }

    /// With these lines in its table.
    #[must_use]
    pub fn with(self, more: &'a str) -> Self {
        Self { more, ..self }
    }
}

impl ScratchApp {
    /// An app of these components, with the variable `broker` and every grant that guests need.
    ///
    /// # Panics
    /// If the folder cannot be written.
    #[must_use]
    pub fn of(broker: &str, parts: &[Part<'_>]) -> Self {
        let mut manifest = format!(
            "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
             [application.trigger.mqtt]\naddress = \"{{{{ broker }}}}\"\n\
             username = \"\"\npassword = \"\"\nkeep_alive_interval = \"30\"\n\
             [variables]\nbroker = {{ default = \"{broker}\" }}\n"
        );
        for Part { id, guest, topic, more } in parts {
            manifest += &format!(
                "[[trigger.mqtt]]\ncomponent = \"{id}\"\ntopic = \"{topic}\"\nqos = \"1\"\n\
                 [component.{id}]\nsource = \"{guest}.wasm\"\n\
                 allowed_outbound_hosts = [\"mqtt://127.0.0.1:*\"]\n\
                 key_value_stores = [\"default\"]\n{more}\n\
                 [component.{id}.variables]\nbroker = \"{{{{ broker }}}}\"\n"
            );
        }
        let manifest =
            manifest.replace("mqtt://127.0.0.1:*", broker.split('?').next().unwrap_or(broker));
        let app = Self::with_manifest(&manifest);
        for part in parts {
            app.copy(&guest(part.guest), &format!("{}.wasm", part.guest));
        }
        app
    }

    /// A folder with this manifest and nothing else.
    ///
    /// # Panics
    /// If the folder cannot be written.
    #[must_use]
    pub fn with_manifest(manifest: &str) -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        std::fs::write(folder.path().join("spin.toml"), manifest).expect("its manifest");
        Self { folder }
    }

    /// A copy of an example, as it stands in the repository: without its source, and what running it there left.
    ///
    /// # Panics
    /// If it cannot be copied.
    #[must_use]
    pub fn example(name: &str) -> Self {
        let app = Self { folder: tempfile::tempdir().expect("a scratch folder") };
        let but = ["src", "target", "state", ".pirn", ".pirn-state"];
        copy_files(&crate::guests::example(name), app.path(), &but);
        app
    }

    /// Has its component of this id run by this engine.
    ///
    /// # Panics
    /// If its manifest says something about that already, or has no table for it.
    #[must_use]
    pub fn on(self, component: &str, engine: &str) -> Self {
        let (file, table) =
            (self.file("spin.toml"), format!("[component.{component}.tool.pirn]\n"));
        let manifest = std::fs::read_to_string(&file).expect("its manifest");
        let is_chosen = manifest.contains(&format!("{table}engine ="));
        assert!(manifest.contains(&table) && !is_chosen, "{manifest}");
        let chosen = manifest.replace(&table, &format!("{table}engine = \"{engine}\"\n"));
        std::fs::write(file, chosen).expect("its manifest");
        self
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A file of it.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Copies a file into it.
    ///
    /// # Panics
    /// If that fails.
    pub fn copy(&self, from: &Path, name: &str) {
        std::fs::copy(from, self.file(name)).expect("the file can be copied");
    }

    /// The same app in a folder of its own, built if this one is; without what it keeps.
    ///
    /// # Panics
    /// If it cannot be copied.
    #[must_use]
    pub fn twin(&self) -> Self {
        let twin = Self { folder: tempfile::tempdir().expect("a scratch folder") };
        copy_files(self.path(), twin.path(), &["state", ".pirn-state"]);
        twin
    }

    /// Runs `pirn build` on it, whatever it answers.
    #[must_use]
    pub fn try_build(&self, more: &[&str]) -> Ended {
        run(Command::new(pirn()).arg("build").arg("-f").arg(self.path()).args(more))
    }

    /// Compiles it with `pirn build`, which must succeed.
    ///
    /// # Panics
    /// With what it printed if it does not.
    #[must_use]
    pub fn built(self) -> Self {
        self.built_with(&[])
    }

    /// The same for a board.
    #[must_use]
    pub fn built_for(self, board: &str) -> Self {
        self.built_with(&["--board", board])
    }

    /// The board of the machine under test, if it is not the one that is assumed.
    fn board(&self) -> Vec<String> {
        let Some(text) = machine::board() else { return Vec::new() };
        let file = self.file("board.toml");
        std::fs::write(&file, text).expect("a board");
        vec!["--board".into(), file.display().to_string()]
    }

    fn built_with(self, more: &[&str]) -> Self {
        let board = self.board();
        let board: Vec<&str> = board.iter().map(String::as_str).collect();
        let more = if more.is_empty() { &board[..] } else { more };
        let ended = self.try_build(&[&["--compile-only"], more].concat());
        assert_eq!(ended.code, Some(0), "pirn build: {}{}", ended.out, ended.err);
        self
    }

    /// The command `pirnd NAME … -f APP …`.
    #[must_use]
    pub fn pirnd(&self, words: &[&str]) -> Command {
        let mut command = machine::runner();
        command.args(words).arg("-f").arg(self.path()).args(self.board());
        command.env_remove("JOURNAL_STREAM");
        command
    }

    /// Starts `pirnd up` and waits until it is connected to its broker.
    #[must_use]
    pub fn connected(&self, more: &[&str]) -> Running {
        let running = self.up(more);
        running.wait_for(": connected");
        running
    }

    /// Starts `pirnd up` and waits until it says that it runs, with or without a broker.
    #[must_use]
    pub fn up(&self, more: &[&str]) -> Running {
        let running = Running::start(self.pirnd(&["up"]).args(more));
        running.wait_for("running ");
        running
    }
}

/// Copies what is in a folder, but not what is called so.
fn copy_files(from: &Path, to: &Path, but: &[&str]) {
    for entry in std::fs::read_dir(from).expect("a folder").map(|entry| entry.expect("its entry")) {
        let name = entry.file_name();
        let target = to.join(&name);
        if but.iter().any(|but| name == *but) {
            continue;
        }
        if entry.path().is_dir() {
            std::fs::create_dir(&target).expect("a folder");
            copy_files(&entry.path(), &target, but);
        } else {
            std::fs::copy(entry.path(), target).expect("the file can be copied");
        }
    }
}
