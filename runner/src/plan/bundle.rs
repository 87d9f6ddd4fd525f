//! What `pirn build` makes for a board: a folder of artifacts, and the lock file that lists them, each with
//! its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::engine::config::{Code, PointerWidth, artifact_version};
use crate::files::board::{ArtifactKind, Board};
use crate::files::config::{Document, Error, Table, read_file};
use crate::files::pins::word;

/// The lock file's name, in its folder.
pub const LOCK_FILE: &str = "lock.toml";
/// The lock file's own format.
const FORMAT: u32 = 2;

/// Where the artifacts for a board are: one folder per processor, below the app.
pub fn folder(app_dir: &Path, board: &Board) -> PathBuf {
    let processor = board.target.split('-').next().unwrap_or("unknown");
    app_dir.join(".pirn").join(processor)
}

/// The compiled engine's word for a kind of artifact; `None` if nothing is compiled.
pub fn code_of(kind: ArtifactKind) -> Option<Code> {
    match kind {
        ArtifactKind::Native => Some(Code::Native),
        ArtifactKind::Pulley32 => Some(Code::Pulley(PointerWidth::Bits32)),
        ArtifactKind::Pulley64 => Some(Code::Pulley(PointerWidth::Bits64)),
        ArtifactKind::Wasm => None,
    }
}

/// The lock file: what `pirn build` made, and from what. Components made from one file share an
/// artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lock {
    /// The app's name.
    pub app: String,
    /// The settings that the artifacts were made with: [`artifact_version`].
    pub made_by: String,
    /// The artifacts, by their files.
    artifacts: BTreeMap<String, LockedArtifact>,
    /// The file of each component.
    components: BTreeMap<String, String>,
}

/// One artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LockedArtifact {
    /// Its file, in the lock file's folder.
    pub file: String,
    /// What kind of code.
    pub code: Code,
    /// Its digest.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// The digest of the component that it was made from.
    pub source_sha256: String,
}

impl Lock {
    /// An empty lock file of this build.
    pub fn new(app: &str) -> Self {
        let (artifacts, components) = Default::default();
        Self { app: app.into(), made_by: artifact_version(), artifacts, components }
    }

    /// What this component runs as.
    pub fn artifact_of(&self, component: &str) -> Option<&LockedArtifact> {
        self.artifacts.get(self.components.get(component)?)
    }

    /// An artifact that was made from this source, whoever runs it.
    pub fn made_from(&self, source_sha256: &str, code: Code) -> Option<&LockedArtifact> {
        let fits =
            |made: &&LockedArtifact| made.source_sha256 == source_sha256 && made.code == code;
        self.artifacts.values().find(fits)
    }

    /// Whether a component runs as the artifact in this file.
    pub fn has_file(&self, file: &str) -> bool {
        self.artifacts.contains_key(file)
    }

    /// From now on these components run as this artifact.
    pub fn set(&mut self, components: &[String], artifact: LockedArtifact) {
        for component in components {
            self.components.insert(component.clone(), artifact.file.clone());
        }
        self.artifacts.insert(artifact.file.clone(), artifact);
        self.drop_unused();
    }

    /// Forgets components that are not wanted any more.
    pub fn retain(&mut self, wanted: impl Fn(&str) -> bool) {
        self.components.retain(|component, _| wanted(component));
        self.drop_unused();
    }

    fn drop_unused(&mut self) {
        let used: BTreeSet<&String> = self.components.values().collect();
        self.artifacts.retain(|file, _| used.contains(file));
    }

    /// Reads the lock file in this folder.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(LOCK_FILE);
        if !path.exists() {
            let error = Error::about_file(
                path.display().to_string(),
                "the app is not built for this board",
            );
            return Err(error.with_help("run `pirn build --board NAME` where the app's sources are, and copy the folder .pirn with it"));
        }
        Self::parse(&path.display().to_string(), &read_file(&path)?)
    }

    /// Checks the text of a lock file; `file` is its name in errors.
    pub fn parse(file: &str, written: &str) -> Result<Self, Error> {
        let document = Document::parse(file, written)?;
        let root = document.root();
        if root.number("format", 0, u32::MAX)? != Some(FORMAT) {
            let message =
                format!("expected {FORMAT}; build the app again with this version of pirn");
            return Err(root.error("format", message));
        }
        let root = root.only(&["format", "app", "made_by", "artifact"])?;
        let (artifacts, components) = Default::default();
        let (app, made_by) = (text(&root, "app")?, text(&root, "made_by")?);
        let mut lock = Self { app, made_by, artifacts, components };
        for entry in root.get("artifact").map(|list| list.list()).transpose()?.unwrap_or_default() {
            let table = entry.table()?;
            let artifact = locked(&table)?;
            for component in table.strings("components")? {
                lock.components.insert(component, artifact.file.clone());
            }
            lock.artifacts.insert(artifact.file.clone(), artifact);
        }
        Ok(lock)
    }

    /// The file's text.
    pub fn to_toml(&self) -> String {
        let mut text = format!(
            "# Made by `pirn build`. Copy this folder to the board together with spin.toml.\nformat = {FORMAT}\napp = {:?}\nmade_by = {:?}\n",
            self.app, self.made_by
        );
        let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (component, file) in &self.components {
            users.entry(file).or_default().push(component);
        }
        for (file, artifact) in &self.artifacts {
            let components = users.get(file.as_str()).map(Vec::as_slice).unwrap_or_default();
            let LockedArtifact { file, code, sha256, bytes, source_sha256 } = artifact;
            let _ = write!(
                text,
                "\n[[artifact]]\ncomponents = {components:?}\nfile = {file:?}\ncode = \"{code}\"\nsha256 = {sha256:?}\nbytes = {bytes}\nsource_sha256 = {source_sha256:?}\n"
            );
        }
        text
    }
}

fn text(table: &Table<'_>, key: &str) -> Result<String, Error> {
    Ok(table.require(key, "a string")?.string()?.to_owned())
}

fn locked(table: &Table<'_>) -> Result<LockedArtifact, Error> {
    let keys = ["components", "file", "code", "sha256", "bytes", "source_sha256"];
    let table = table.clone().only(&keys)?;
    let file = text(&table, "file")?;
    if file.contains('/') {
        return Err(table.error("file", "expected the name of a file in the same folder"));
    }
    let words = [
        ("native", Code::Native),
        ("pulley32", Code::Pulley(PointerWidth::Bits32)),
        ("pulley64", Code::Pulley(PointerWidth::Bits64)),
    ];
    Ok(LockedArtifact {
        file,
        code: word(&table.require("code", "a string")?, "kind of code", &words)?,
        sha256: text(&table, "sha256")?,
        bytes: table.require("bytes", "a number")?.number(0, u32::MAX)?.into(),
        source_sha256: text(&table, "source_sha256")?,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn lock() -> Lock {
        let mut lock = Lock::new("echo");
        let artifact = LockedArtifact {
            file: "echo.cwasm".into(),
            code: Code::Native,
            sha256: "00".into(),
            bytes: 12,
            source_sha256: "11".into(),
        };
        lock.set(&["echo".into(), "twin".into()], artifact);
        lock
    }

    #[test]
    fn components_of_one_source_share_an_artifact_which_goes_with_the_last_of_them() {
        let mut lock = lock();
        assert_eq!(lock.artifact_of("twin"), lock.artifact_of("echo"));
        lock.retain(|component| component == "twin");
        assert!(lock.made_from("11", Code::Native).is_some());
        lock.retain(|_| false);
        assert_eq!(lock.made_from("11", Code::Native), None);
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        assert_eq!(Lock::parse("lock.toml", &lock().to_toml()).unwrap(), lock());
    }

    #[test]
    fn a_lock_file_of_another_format_is_refused_with_what_to_do() {
        let text = lock().to_toml().replace("format = 2", "format = 1");
        let error = Lock::parse("lock.toml", &text).unwrap_err().to_string();
        assert!(error.contains("build the app again"), "{error}");
    }

    #[test]
    fn a_file_outside_the_folder_is_refused() {
        let text = lock().to_toml().replace("echo.cwasm", "../echo.cwasm");
        assert!(Lock::parse("lock.toml", &text).is_err());
    }
}
