//! A broker in a process of its own, a crowd of apps in folders of their own, and `pirnd` beside it.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pirn_tests::broker::Mosquitto;
use pirn_tests::crowd::{COMPONENT, Model};
use pirn_tests::process::Running;
use pirn_tests::served::Served;

/// Every app of these has a timer and a key-value store.
const WITH_STORE: usize = 10;
/// How long nobody may subscribe before those who did not are given up.
const QUIET: Duration = Duration::from_secs(60);

/// A mosquitto that keeps nothing and writes down who subscribes.
pub(crate) struct Broker {
    pub(crate) mosquitto: Mosquitto,
    log: tempfile::NamedTempFile,
}

impl Broker {
    pub(crate) fn start() -> Self {
        let log = tempfile::NamedTempFile::new().unwrap();
        let settings = format!(
            "persistence false\nautosave_on_changes false\nlog_type subscribe\nlog_dest file {}\n",
            log.path().display()
        );
        Self { mosquitto: Mosquitto::start_with(&settings), log }
    }

    /// Forgets all sessions and waits for new ones: who restarts now subscribes anew.
    pub(crate) fn forget(&mut self) {
        self.mosquitto.restart();
        self.log.as_file().set_len(0).unwrap();
    }

    /// Filters that were subscribed to since it forgot.
    fn subscribed(&self) -> HashSet<String> {
        let text = fs::read_to_string(self.log.path()).unwrap();
        let whole = text.lines().filter(|line| line.ends_with("/#"));
        whole.filter_map(|line| Some(line.rsplit_once(' ')?.1.to_owned())).collect()
    }

    /// How long after `begun` the last of these lanes was subscribed to, and which were.
    pub(crate) fn all_subscribed(&self, lanes: usize, begun: Instant) -> (Duration, Vec<usize>) {
        let (mut seen, mut length, mut last) = (HashSet::new(), 0, begun);
        while seen.len() < lanes && last.elapsed() < QUIET {
            let grown = self.log.as_file().metadata().unwrap().len();
            if grown != length {
                (seen, length, last) = (self.subscribed(), grown, Instant::now());
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let lane = |n: &usize| seen.contains(&format!("in/{}/#", name(*n)));
        (last - begun, (0..lanes).filter(lane).collect())
    }
}

/// The folders of many apps.
pub(crate) struct Apps {
    folder: tempfile::TempDir,
    model: Model,
}

impl Apps {
    pub(crate) fn write(count: usize, artifact: Option<&str>, broker: &Broker) -> Self {
        let apps =
            Self { folder: tempfile::tempdir().unwrap(), model: Model::of("ledger", artifact) };
        let address = broker.mosquitto.address();
        for number in 0..count {
            apps.model.put(&apps.path(number), number as u64, &manifest(number, &address));
        }
        if let Some(text) = apps.model.board() {
            fs::write(apps.folder.path().join("board.toml"), text).unwrap();
        }
        apps
    }

    pub(crate) fn path(&self, number: usize) -> PathBuf {
        self.folder.path().join(name(number))
    }

    pub(crate) fn bytes_each(&self) -> usize {
        self.model.bytes()
    }

    fn board(&self) -> Vec<String> {
        let file = self.folder.path().join("board.toml");
        if !file.is_file() {
            return Vec::new();
        }
        vec!["--board".into(), file.display().to_string()]
    }

    /// A set of the first so many, and what serves it, which does not run yet.
    pub(crate) fn served(&self, program: &Path, count: usize) -> (tempfile::TempDir, Served) {
        let set = tempfile::tempdir().unwrap();
        for number in 0..count {
            symlink(self.path(number), set.path().join(name(number))).unwrap();
        }
        let mut words = vec!["--quiet".into(), "--apps".into(), set.path().display().to_string()];
        words.extend(self.board());
        let words: Vec<&std::ffi::OsStr> = words.iter().map(std::convert::AsRef::as_ref).collect();
        (set, Served::with(program, &words))
    }

    /// A process for one of them alone.
    pub(crate) fn alone(&self, program: &Path, number: usize, state: &Path) -> Running {
        let mut command = Command::new(program);
        command.args(["up", "--quiet", "-f"]).arg(self.path(number)).args(self.board());
        command.arg("--state-dir").arg(state.join(name(number)));
        Running::start(&mut command)
    }
}

/// Writes the first so many apps of this model, which have their broker here.
pub(crate) fn write(model: &Model, folder: &Path, count: usize, address: &str) {
    for number in 0..count {
        model.put(&folder.join(name(number)), number as u64, &manifest(number, address));
    }
}

pub(crate) fn name(number: usize) -> String {
    format!("app-{number:05}")
}

pub(crate) fn has_store(number: usize) -> bool {
    number % WITH_STORE == WITH_STORE - 1
}

/// The topic on which an app takes a message; one that has a store uses it.
pub(crate) fn topic(number: usize) -> String {
    let command = if has_store(number) { "keep" } else { "pass" };
    format!("in/{}/{command}", name(number))
}

fn manifest(number: usize, address: &str) -> String {
    let name = name(number);
    let (timer, store) = match has_store(number) {
        true => (
            format!("[[trigger.timer]]\ncomponent = \"{COMPONENT}\"\ninterval = \"1h\"\n"),
            "key_value_stores = [\"default\"]\n",
        ),
        false => (String::new(), ""),
    };
    format!(
        "spin_manifest_version = 2\n[application]\nname = \"{name}\"\n\
         [application.trigger.mqtt]\naddress = \"{address}\"\nusername = \"\"\npassword = \"\"\n\
         keep_alive_interval = \"30\"\n\
         [[trigger.mqtt]]\ncomponent = \"{COMPONENT}\"\ntopic = \"in/{name}/#\"\nqos = \"1\"\n{timer}\
         [component.{COMPONENT}]\nsource = \"it.wasm\"\n\
         allowed_outbound_hosts = [\"{address}\"]\n{store}\
         [component.{COMPONENT}.variables]\nbroker = \"{address}\"\n\
         [component.{COMPONENT}.tool.pirn]\nmemory = \"2 MiB\"\n"
    )
}
