//! The set of apps: a folder of folders, and of links to folders.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::limits::serve as limits;
use crate::store::folder::{make, sync_folder, write_atomically};

/// The folder whose entries are the apps.
#[derive(Clone, Debug)]
pub struct AppSet {
    dir: PathBuf,
}

/// An app that is to stay stopped has this in its state folder.
const STOPPED: &str = "stopped";
/// Beginning of the names of links that are being made.
const NEW: &str = ".new-";

impl AppSet {
    /// The set in this folder, which is made if it is not there.
    pub fn open(dir: PathBuf) -> Result<Self, String> {
        if !dir.is_dir() {
            make(&dir).map_err(|error| format!("apps folder {}: {error}", dir.display()))?;
        }
        Ok(Self::at(dir))
    }

    /// The set in this folder, for those who only look.
    pub fn at(dir: PathBuf) -> Self {
        Self { dir }
    }

    /// Where an app is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The apps, in order.
    pub fn names(&self) -> Result<Vec<String>, String> {
        let wrong = |error: io::Error| format!("apps folder {}: {error}", self.dir.display());
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(wrong)? {
            let name = entry.map_err(wrong)?.file_name();
            names.extend(name.into_string().ok().filter(|name| check_name(name).is_ok()));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Whether there is such an app.
    pub fn has(&self, name: &str) -> bool {
        check_name(name).is_ok() && self.path(name).symlink_metadata().is_ok()
    }

    /// Whether an app is a link, and so ours to change.
    pub(super) fn check_link(&self, name: &str) -> Result<(), String> {
        check_name(name)?;
        let path = self.path(name);
        match path.symlink_metadata() {
            Ok(about) if about.is_symlink() => Ok(()),
            Ok(_) => Err(format!(
                "{} is a folder of its own, not a link that `add` made: stop the app and move the folder yourself",
                path.display()
            )),
            Err(_) => Err(format!("there is no app {name}; `pirnd app list` shows those that are")),
        }
    }

    /// Has a name lead to this folder, in one step.
    pub(super) fn link(&self, name: &str, folder: &Path) -> Result<(), String> {
        let fresh = self.dir.join(format!("{NEW}{name}"));
        let _ = std::fs::remove_file(&fresh);
        let linked = symlink(folder, &fresh)
            .and_then(|()| std::fs::rename(&fresh, self.path(name)))
            .and_then(|()| sync_folder(&self.dir));
        linked.map_err(|error| format!("apps folder {}: {error}", self.dir.display()))
    }

    /// Where a link leads to.
    pub(super) fn target(&self, name: &str) -> Result<PathBuf, String> {
        let path = self.path(name);
        std::fs::read_link(&path).map_err(|error| format!("{}: {error}", path.display()))
    }

    pub(super) fn unlink(&self, name: &str) -> Result<(), String> {
        let gone = std::fs::remove_file(self.path(name)).and_then(|()| sync_folder(&self.dir));
        gone.map_err(|error| format!("{}: {error}", self.path(name).display()))
    }
}

/// Whether an app may be called so: it is a folder's name, part of topics' client ids and of log lines.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    match name.len() <= limits::NAME_BYTES_MAX
        && !name.is_empty()
        && !name.starts_with('.')
        && name.chars().all(fine)
    {
        true => Ok(()),
        false => Err(format!(
            "{name:?} is no name for an app: at most {} letters, digits, `-`, `_` and `.`, the first no dot; give another with --name",
            limits::NAME_BYTES_MAX
        )),
    }
}

/// The folder of an app, from it or its spin.toml, as it is called from everywhere.
pub(super) fn folder(path: &Path) -> Result<PathBuf, String> {
    let whole = path.canonicalize().map_err(|error| format!("{}: {error}", path.display()))?;
    match whole.is_dir() {
        true => Ok(whole),
        false => Ok(whole.parent().map_or(whole.clone(), Path::to_path_buf)),
    }
}

pub(super) fn is_stopped(state_dir: &Path) -> bool {
    state_dir.join(STOPPED).exists()
}

/// Remembers over a restart whether an app is to stay stopped.
pub(super) fn set_stopped(state_dir: &Path, stopped: bool) -> Result<(), String> {
    let path = state_dir.join(STOPPED);
    let set = match stopped {
        true => make(state_dir).and_then(|()| write_atomically(&path, b"")),
        false => match std::fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.and_then(|()| sync_folder(state_dir)),
        },
    };
    set.map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_none() {
        for name in ["", ".", "..", ".new-a", "a/b", "a b", "ä", &"x".repeat(65)] {
            assert!(check_name(name).is_err(), "{name:?}");
        }
        assert!(check_name("lamp-2.old_1").is_ok());
    }

    #[test]
    fn a_link_leads_from_one_folder_to_the_next_in_one_step_and_a_folder_stays() {
        let scratch = tempfile::tempdir().unwrap();
        let set = AppSet::open(scratch.path().join("apps")).unwrap();
        let [one, two] = ["one", "two"].map(|name| scratch.path().join(name));
        set.link("a", &one).unwrap();
        set.link("a", &two).unwrap();
        std::fs::create_dir(set.path("b")).unwrap();
        std::fs::write(set.path(".hidden"), "").unwrap();
        assert_eq!(std::fs::read_link(set.path("a")).unwrap(), two);
        assert_eq!(set.names().unwrap(), ["a", "b"]);
        assert!(set.check_link("b").unwrap_err().contains("a folder of its own"));
        set.unlink("a").unwrap();
        assert!(!set.has("a") && set.has("b") && set.check_link("a").is_err());
    }

    #[test]
    fn what_is_stopped_stays_so() {
        let scratch = tempfile::tempdir().unwrap();
        let state = scratch.path().join("state/a");
        set_stopped(&state, false).unwrap();
        assert!(!is_stopped(&state));
        set_stopped(&state, true).unwrap();
        assert!(is_stopped(&state));
        set_stopped(&state, false).unwrap();
        assert!(!is_stopped(&state));
    }
}
