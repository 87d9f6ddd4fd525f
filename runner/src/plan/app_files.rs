//! What a plan is made from: where the three hands' files are, what the command line adds, what the plan is for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pirn_triggers::http::{Address, TlsFiles};

use super::{PortChoice, load};
use crate::files::board::Board;
use crate::files::config::Error;
use crate::files::runtime_config::RuntimeConfig;

/// Where the three hands' files are, and what the command line adds. Time and environment are arguments:
/// loading the same `AppFiles` twice gives the same plan.
#[derive(Clone, Default)]
pub struct AppFiles {
    /// `spin.toml`, or the folder that holds it.
    pub manifest: PathBuf,
    /// `--runtime-config-file`.
    pub runtime_config: Option<PathBuf>,
    /// `--board`: a name or a file; [`Board::default_name`] if absent.
    pub board: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--variable name=value`, later ones go before earlier ones.
    pub variables: Vec<(String, String)>,
    /// `-e`: environment of every component, over the manifest's.
    pub guest_environment: Vec<(String, String)>,
    /// The process's environment, for `SPIN_VARIABLE_*`; see [`AppFiles::with_process_environment`].
    pub process_environment: Arc<BTreeMap<String, String>>,
    /// `--state-dir`: goes before the operator's.
    pub state_dir: Option<PathBuf>,
    /// `--log-dir`: goes before the operator's.
    pub log_dir: Option<PathBuf>,
    /// `--listen`: where requests are taken, before anybody else's word.
    pub listen: Option<Address>,
    /// `--tls-cert` and `--tls-key`.
    pub tls: Option<TlsFiles>,
    /// `--find-free-port`.
    pub port: PortChoice,
    /// Whether the plan will be run.
    pub purpose: Purpose,
    /// What becomes of GPIO lines that the board does not list.
    pub unknown_lines: UnknownLines,
    /// Whose processor the components are compiled for.
    pub processor: Processor,
    /// The board and the operator's settings, where they were read before: see [`AppFiles::read_once`].
    pub known: Option<Known>,
}

/// What is the same for all apps of a process.
#[derive(Clone, Debug)]
pub struct Known {
    /// The board.
    pub board: Arc<Board>,
    /// The operator's settings.
    pub operator: Arc<RuntimeConfig>,
}

/// Whose processor the components are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Processor {
    /// The board's.
    #[default]
    Board,
    /// This machine's, within the limits of the board: to try an app before it goes there.
    Here,
}

/// What becomes of GPIO lines that the board does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownLines {
    /// A mistake.
    #[default]
    Refused,
    /// Made up, if the board lists none at all: there the developer tries an app before there is a board.
    Simulated,
}

/// What the plan is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purpose {
    /// To be run: every required variable must have a value, and what templates give is checked.
    #[default]
    Run,
    /// To be looked at or built (`check`, `build`): on the developer's machine nobody has the device's secrets,
    /// so what depends on a missing value is left out of the plan (`broker` is `None`, topics stay templates).
    Inspect,
}

impl AppFiles {
    /// For the manifest (or its folder), with nothing else said.
    pub fn new(manifest: impl Into<PathBuf>) -> Self {
        Self { manifest: manifest.into(), ..Self::default() }
    }

    /// Takes the process's environment as it is now; variables that are not UTF-8 cannot be values.
    #[must_use]
    pub fn with_process_environment(mut self) -> Self {
        let utf8 = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        self.process_environment = Arc::new(std::env::vars_os().filter_map(utf8).collect());
        self
    }

    /// Reads what is the same for all apps, so that it is not read again for each of them.
    pub fn read_once(mut self) -> Result<(Self, Known), Error> {
        let known = load::known(&self)?;
        self.known = Some(known.clone());
        Ok((self, known))
    }

    /// Where state is kept: the command line's word, then the operator's, then systemd's
    /// `StateDirectory=`, then a folder beside the manifest.
    pub fn state_dir_with(&self, operator: Option<&Path>) -> PathBuf {
        let systemd = self.process_environment.get("STATE_DIRECTORY");
        let first = systemd.and_then(|list| list.split(':').next()).filter(|path| !path.is_empty());
        let given = self.state_dir.clone().or_else(|| operator.map(Path::to_owned));
        let given = given.or_else(|| first.map(PathBuf::from));
        given.unwrap_or_else(|| self.dir().join(".pirn-state"))
    }

    /// The manifest's file, whether the folder or the file was named.
    pub fn manifest_file(&self) -> PathBuf {
        match self.manifest.is_dir() {
            true => self.manifest.join("spin.toml"),
            false => self.manifest.clone(),
        }
    }

    /// The folder that paths in the manifest are relative to.
    pub fn dir(&self) -> PathBuf {
        let file = self.manifest_file();
        match file.parent() {
            Some(parent) if parent != Path::new("") => parent.to_owned(),
            _ => PathBuf::from("."),
        }
    }
}

impl fmt::Debug for AppFiles {
    /// Paths only: variables and environments hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AppFiles")
            .field("manifest", &self.manifest)
            .field("runtime_config", &self.runtime_config)
            .field("board", &self.board)
            .field("profile", &self.profile)
            .finish_non_exhaustive()
    }
}
