//! Secrets that lie open: files with passwords or keys that every user of the machine can read, and
//! settings that every user can change. Said when an app starts, not refused: whether there are other
//! users is the operator's knowledge.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::App;
use crate::files::runtime_config::ProviderConfig;

const OTHERS_READ: u32 = 0o004;
const OTHERS_WRITE: u32 = 0o002;

impl App {
    /// One sentence for each file that should not be as open as it is.
    pub fn exposed(&self) -> Vec<String> {
        let mut sentences = Vec::new();
        for (path, what) in self.files_with_secrets() {
            if others_may(&path, OTHERS_READ) {
                let path = path.display();
                sentences.push(format!(
                    "{path} holds {what} and every user of this machine can read it: chmod 600 {path}"
                ));
            }
        }
        let operators = Path::new(&*self.runtime_config.file);
        if others_may(operators, OTHERS_WRITE) {
            let path = operators.display();
            sentences.push(format!(
                "{path} says what this device grants and every user of this machine can change it: chmod 600 {path}"
            ));
        }
        sentences
    }

    fn files_with_secrets(&self) -> Vec<(PathBuf, &'static str)> {
        let config = &self.runtime_config;
        let mut files = Vec::new();
        let mut add = |path: PathBuf, what| {
            if !files.iter().any(|(known, _)| *known == path) {
                files.push((path, what));
            }
        };
        for provider in &config.variables_providers {
            match provider {
                ProviderConfig::Static(values) if !values.is_empty() => {
                    add(PathBuf::from(&*config.file), "values of variables");
                }
                ProviderConfig::Env { dotenv_path: Some(path), .. } => {
                    add(path.clone(), "values of variables");
                }
                ProviderConfig::Static(_) | ProviderConfig::Env { .. } => {}
            }
        }
        if !self.manifest.variables.is_empty() {
            add(self.dir.join(".env"), "values of variables");
        }
        if let Some(key) = &config.mqtt.client_key_file {
            add(key.clone(), "the device's key");
        }
        files
    }
}

/// Whether those who are neither owner nor in the group may; a file that is not there has nothing.
fn others_may(path: &Path, what: u32) -> bool {
    std::fs::metadata(path).is_ok_and(|there| there.permissions().mode() & what != 0)
}
