//! From the manifest's `files` to the tree that a guest sees. Like Spin, which copies them, what
//! counts is what is there when the app starts; unlike Spin, nothing is copied.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use glob::{MatchOptions, Pattern};

use super::beneath::{Folder, HostFile};
use super::tree::Files;
use crate::files::manifest::FileEntry;
use crate::limits::wasi::FILES_GRANTED_MAX;

/// Why the files of a component cannot be granted.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// The pattern is none.
    #[error("`files` has {pattern:?}, which is no pattern: {reason}")]
    Pattern {
        /// As written.
        pattern: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The system does not let us look.
    #[error("`files` grants {path}, which cannot be read: {error}")]
    Unreadable {
        /// The file or folder.
        path: String,
        /// The system's reason.
        error: io::Error,
    },
    /// A link or a `..` leads out of the app's folder.
    #[error("`files` grants {0}, which is not inside the app's folder: copy it there")]
    Outside(String),
    /// A guest's paths are Unicode.
    #[error("`files` grants {0}, whose name is not UTF-8: rename it")]
    Name(String),
    /// Two entries do not fit.
    #[error("`files` makes {0} both a file and a folder")]
    Clash(String),
    /// More than a guest may see.
    #[error("`files` grants more than {FILES_GRANTED_MAX} files: narrow the patterns")]
    TooMany,
}

/// As Spin matches: a `*` stays within one folder, and finds names that begin with a dot.
const MATCHING: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

impl Files {
    /// The files that a component's entries grant. `app_dir` is the folder of the manifest; nothing
    /// outside of it is granted, whatever links there are.
    pub fn gather(
        app_dir: &Path,
        entries: &[FileEntry],
        exclude: &[String],
    ) -> Result<Self, FilesError> {
        if entries.is_empty() {
            return Ok(Self::default());
        }
        let app_dir = canonical(app_dir)?;
        let folder = Folder::open(&app_dir);
        let folder = folder
            .map_err(|error| FilesError::Unreadable { path: shown(&app_dir), error })
            .map(Arc::new)?;
        let exclude: Result<_, _> = exclude.iter().map(|text| pattern(text)).collect();
        let mut gathering =
            Gathering { app_dir, folder, exclude: exclude?, files: Self::default(), count: 0 };
        for entry in entries {
            match entry {
                FileEntry::Glob(text) => gathering.by_pattern(text)?,
                FileEntry::Mount { source, destination } => {
                    gathering.by_mount(source, destination)?;
                }
            }
        }
        Ok(gathering.files)
    }
}

struct Gathering {
    app_dir: PathBuf,
    folder: Arc<Folder>,
    exclude: Vec<Pattern>,
    files: Files,
    count: usize,
}

impl Gathering {
    /// Files keep their place below the app's folder.
    fn by_pattern(&mut self, text: &str) -> Result<(), FilesError> {
        let path = self.app_dir.join(text);
        match path.is_dir() {
            true => self.folder(&path, Path::new(text)),
            false if path.is_file() => self.file(&path, Path::new(text)),
            false => self.matching(text, &self.app_dir.clone(), Path::new("")),
        }
    }

    /// A file or folder appears elsewhere.
    fn by_mount(&mut self, source: &str, destination: &str) -> Result<(), FilesError> {
        let path = self.app_dir.join(source);
        match path.is_dir() {
            true => self.folder(&path, Path::new(destination)),
            false => self.file(&path, Path::new(destination)),
        }
    }

    fn folder(&mut self, folder: &Path, destination: &Path) -> Result<(), FilesError> {
        self.matching("**/*", folder, destination)
    }

    /// All files below `base` that match, below `destination`.
    fn matching(&mut self, text: &str, base: &Path, destination: &Path) -> Result<(), FilesError> {
        pattern(text)?;
        let base_text = base.to_str().ok_or_else(|| FilesError::Name(shown(base)))?;
        let full = format!("{}/{text}", Pattern::escape(base_text.trim_end_matches('/')));
        let found = glob::glob_with(&full, MATCHING).map_err(|error| bad(text, &error))?;
        for path in found {
            let path = path.map_err(|error| FilesError::Unreadable {
                path: shown(error.path()),
                error: io::Error::from(error.error().kind()),
            })?;
            let below = path.strip_prefix(base).unwrap_or(&path);
            self.file(&path, &destination.join(below))?;
        }
        Ok(())
    }

    /// One path that was found or named; folders and special files are passed over.
    fn file(&mut self, path: &Path, destination: &Path) -> Result<(), FilesError> {
        let below = path.strip_prefix(&self.app_dir).unwrap_or(path);
        if self.exclude.iter().any(|pattern| pattern.matches_path_with(below, MATCHING)) {
            return Ok(());
        }
        let host = canonical(path)?;
        let Ok(below) = host.strip_prefix(&self.app_dir) else {
            return Err(FilesError::Outside(shown(path)));
        };
        if !host.is_file() {
            return Ok(());
        }
        self.count += 1;
        if self.count > FILES_GRANTED_MAX {
            return Err(FilesError::TooMany);
        }
        let names = names(destination)?;
        let host = HostFile::new(&self.folder, below.to_path_buf());
        let added = self.files.add(names.into_iter(), host);
        added.map_err(|_| FilesError::Clash(shown(destination)))
    }
}

/// The names on the way to a file in the guest's tree.
fn names(path: &Path) -> Result<Vec<&str>, FilesError> {
    let mut names = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => {
                names.push(name.to_str().ok_or_else(|| FilesError::Name(shown(path)))?);
            }
            Component::ParentDir => return Err(FilesError::Outside(shown(path))),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    Ok(names)
}

fn pattern(text: &str) -> Result<Pattern, FilesError> {
    if Path::new(text).components().any(|part| part == Component::ParentDir) {
        return Err(FilesError::Outside(text.to_string()));
    }
    Pattern::new(text.trim_start_matches("./")).map_err(|error| bad(text, &error))
}

fn bad(pattern: &str, error: &glob::PatternError) -> FilesError {
    FilesError::Pattern { pattern: pattern.to_string(), reason: error.msg }
}

fn canonical(path: &Path) -> Result<PathBuf, FilesError> {
    path.canonicalize().map_err(|error| FilesError::Unreadable { path: shown(path), error })
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::tree::{Directory, Node};
    use super::*;

    /// An app's folder, and a secret beside it.
    fn app() -> tempfile::TempDir {
        let outer = tempfile::tempdir().unwrap();
        let file = |path: &str| {
            let path = outer.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "content").unwrap();
        };
        for path in ["secret.txt", "app/a.txt", "app/b.md", "app/d/c.txt", "app/d/e/f.txt"] {
            file(path);
        }
        file("app/d/.hidden");
        outer
    }

    fn glob(text: &str) -> FileEntry {
        FileEntry::Glob(text.into())
    }

    fn mount(source: &str, destination: &str) -> FileEntry {
        FileEntry::Mount { source: source.into(), destination: destination.into() }
    }

    /// What a guest sees, each file by its path.
    fn seen(
        outer: &Path,
        entries: &[FileEntry],
        exclude: &[&str],
    ) -> Result<Vec<String>, FilesError> {
        let exclude: Vec<String> = exclude.iter().map(|text| (*text).to_string()).collect();
        let files = Files::gather(&outer.join("app"), entries, &exclude)?;
        let mut paths = Vec::new();
        walk(&files.root(), "", &mut paths);
        Ok(paths)
    }

    fn walk(directory: &Arc<Directory>, path: &str, paths: &mut Vec<String>) {
        for (name, node) in &directory.entries {
            match node {
                Node::Directory(next) => walk(next, &format!("{path}/{name}"), paths),
                Node::File(_) => paths.push(format!("{path}/{name}")),
            }
        }
    }

    #[test]
    fn a_guest_sees_the_files_that_the_manifest_grants_and_no_others() {
        let app = app();
        for (entries, exclude, expected) in [
            (vec![], vec![], vec![]),
            (vec![glob("a.txt")], vec![], vec!["/a.txt"]),
            (vec![glob("./a.txt")], vec![], vec!["/a.txt"]),
            (vec![glob("*.txt")], vec![], vec!["/a.txt"]),
            (vec![glob("**/*.txt")], vec![], vec!["/a.txt", "/d/c.txt", "/d/e/f.txt"]),
            (vec![glob("**/*.txt")], vec!["d/e/*"], vec!["/a.txt", "/d/c.txt"]),
            (vec![glob("d")], vec![], vec!["/d/.hidden", "/d/c.txt", "/d/e/f.txt"]),
            (vec![glob("d/*")], vec!["**/.*"], vec!["/d/c.txt"]),
            (vec![glob("nothing*")], vec![], vec![]),
            (vec![mount("d/e", "/x/y")], vec![], vec!["/x/y/f.txt"]),
            (vec![mount("d", "/")], vec![".hidden"], vec!["/.hidden", "/c.txt", "/e/f.txt"]),
            (vec![mount("a.txt", "/z/b.txt")], vec![], vec!["/z/b.txt"]),
            (vec![mount("d/e", "/x"), glob("b.md")], vec![], vec!["/b.md", "/x/f.txt"]),
        ] {
            assert_eq!(seen(app.path(), &entries, &exclude).unwrap(), expected, "{entries:?}");
        }
    }

    #[test]
    fn links_lead_anywhere_inside_the_app_and_nowhere_outside() {
        let app = app();
        let at = |path: &str| app.path().join("app").join(path);
        symlink("c.txt", at("d/inside.txt")).unwrap();
        let inside = seen(app.path(), &[glob("d/inside.txt")], &[]);
        assert_eq!(inside.unwrap(), ["/d/inside.txt"]);

        symlink("../secret.txt", at("outside.txt")).unwrap();
        symlink("/etc", at("etc")).unwrap();
        symlink("..", at("d/up")).unwrap();
        for entry in [
            glob("outside.txt"),
            glob("*.txt"),
            glob("etc/hosts"),
            glob("etc"),
            glob("etc/*"),
            mount("outside.txt", "/x"),
            mount("etc", "/x"),
            mount("../secret.txt", "/x"),
            mount("a.txt", "/x/../../y"),
            glob("../secret.txt"),
            glob("../*"),
            glob("d/../../*.txt"),
        ] {
            let error = seen(app.path(), std::slice::from_ref(&entry), &[]).unwrap_err();
            assert!(matches!(error, FilesError::Outside(_)), "{entry:?}: {error}");
        }
    }

    #[test]
    fn what_cannot_be_granted_is_refused_by_name() {
        let app = app();
        for (entries, expected) in [
            (vec![mount("missing", "/x")], "cannot be read"),
            (vec![glob("a[")], "no pattern"),
            (vec![mount("a.txt", "/d"), glob("d/c.txt")], "both a file and a folder"),
            (vec![mount("a.txt", "/")], "both a file and a folder"),
        ] {
            let error = seen(app.path(), &entries, &[]).unwrap_err().to_string();
            assert!(error.contains(expected), "{entries:?}: {error}");
        }
    }

    #[test]
    fn more_files_than_the_cap_are_refused() {
        let app = app();
        let folder = app.path().join("app/many");
        fs::create_dir(&folder).unwrap();
        for number in 0..FILES_GRANTED_MAX {
            fs::write(folder.join(number.to_string()), "").unwrap();
        }
        assert_eq!(seen(app.path(), &[glob("many")], &[]).unwrap().len(), FILES_GRANTED_MAX);
        let error = seen(app.path(), &[glob("many"), glob("a.txt")], &[]).unwrap_err();
        assert!(matches!(error, FilesError::TooMany), "{error}");
    }
}
