//! The tree of granted files, and how a guest's path is looked up in it. In memory only: a file is a
//! name in the guest's terms and a path in the host's, decided when the app started.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::beneath::HostFile;
use super::types::ErrorCode;
use crate::limits::wasi::PATH_BYTES_MAX;

/// The files of one component; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Files {
    root: Arc<Directory>,
    /// Folders below the root.
    folders: u64,
}

/// A folder of the guest's.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    /// Unique in its tree; the root's is 0.
    pub(super) id: u64,
    pub(super) entries: BTreeMap<String, Node>,
}

/// What a name in a folder means.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Directory(Arc<Directory>),
    /// A file, by its place below the app's folder, with every link followed when the app started.
    File(Arc<HostFile>),
}

/// A name that is a file in one place and a folder in another.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Clash;

impl Files {
    /// Whether nothing is granted.
    pub fn is_empty(&self) -> bool {
        self.root.entries.is_empty()
    }

    pub(super) fn root(&self) -> Arc<Directory> {
        Arc::clone(&self.root)
    }

    /// Adds a file below the root. The path has no `.` and no `..`. A later file of the same name
    /// takes the earlier one's place, as if both had been copied.
    pub(super) fn add<'a>(
        &mut self,
        path: impl Iterator<Item = &'a str>,
        host: HostFile,
    ) -> Result<(), Clash> {
        let mut names: Vec<&str> = path.collect();
        let name = names.pop().ok_or(Clash)?;
        let mut directory = Arc::make_mut(&mut self.root);
        for parent in names {
            let node = directory.entries.entry(parent.to_string()).or_insert_with(|| {
                self.folders += 1;
                Node::Directory(Arc::new(Directory { id: self.folders, ..Directory::default() }))
            });
            match node {
                Node::Directory(next) => directory = Arc::make_mut(next),
                Node::File(_) => return Err(Clash),
            }
        }
        match directory.entries.insert(name.to_string(), Node::File(Arc::new(host))) {
            Some(Node::Directory(_)) => Err(Clash),
            _ => Ok(()),
        }
    }
}

impl Directory {
    /// What `path` means below this folder. It may go up and down, but never above where it started.
    pub(super) fn resolve(self: &Arc<Self>, path: &str) -> Result<Node, ErrorCode> {
        if path.len() > PATH_BYTES_MAX {
            return Err(ErrorCode::NameTooLong);
        }
        if path.is_empty() {
            return Err(ErrorCode::NoEntry);
        }
        if path.starts_with('/') {
            return Err(ErrorCode::NotPermitted);
        }
        // The folders on the way: `..` goes back to where it came from.
        let mut way = vec![Node::Directory(Arc::clone(self))];
        for name in path.split('/') {
            let Some(Node::Directory(here)) = way.last() else {
                return Err(ErrorCode::NotDirectory);
            };
            match name {
                "" | "." => {}
                ".." if way.len() == 1 => return Err(ErrorCode::NotPermitted),
                ".." => drop(way.pop()),
                name => {
                    let next = here.entries.get(name).cloned().ok_or(ErrorCode::NoEntry)?;
                    way.push(next);
                }
            }
        }
        way.pop().ok_or(ErrorCode::NoEntry)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::beneath::Folder;
    use super::*;

    /// A file of the host's, below a folder that holds nothing.
    fn host(path: &str) -> HostFile {
        let folder = Folder::open(std::path::Path::new("/")).unwrap();
        HostFile::new(&Arc::new(folder), path.into())
    }

    fn files(paths: &[&str]) -> Files {
        let mut files = Files::default();
        for path in paths {
            files.add(path.split('/'), host(&format!("host/{path}"))).unwrap();
        }
        files
    }

    /// The host's file, or `dir` for a folder.
    fn resolved(files: &Files, base: &str, path: &str) -> Result<String, ErrorCode> {
        let Node::Directory(base) = files.root().resolve(base).unwrap() else {
            return Err(ErrorCode::NotDirectory);
        };
        Ok(match base.resolve(path)? {
            Node::Directory(_) => "dir".into(),
            Node::File(host) => host.path().display().to_string(),
        })
    }

    #[test]
    fn paths_lead_to_granted_files_and_nowhere_else() {
        let files = files(&["a.txt", "d/b.txt", "d/e/c.txt"]);
        let ok = |host: &str| Ok(host.to_string());
        for (base, path, expected) in [
            (".", "a.txt", ok("host/a.txt")),
            (".", "./d//e/../b.txt", ok("host/d/b.txt")),
            (".", "d/", ok("dir")),
            (".", ".", ok("dir")),
            ("d", "e/c.txt", ok("host/d/e/c.txt")),
            ("d", "e/..", ok("dir")),
            (".", "", Err(ErrorCode::NoEntry)),
            (".", "x", Err(ErrorCode::NoEntry)),
            (".", "x/../a.txt", Err(ErrorCode::NoEntry)),
            (".", "a.txt/", Err(ErrorCode::NotDirectory)),
            (".", "a.txt/x", Err(ErrorCode::NotDirectory)),
            (".", "a.txt/..", Err(ErrorCode::NotDirectory)),
            (".", "..", Err(ErrorCode::NotPermitted)),
            (".", "d/../../etc/passwd", Err(ErrorCode::NotPermitted)),
            ("d", "../a.txt", Err(ErrorCode::NotPermitted)),
            ("d/e", "../../a.txt", Err(ErrorCode::NotPermitted)),
            (".", "/a.txt", Err(ErrorCode::NotPermitted)),
            (".", "/etc/passwd", Err(ErrorCode::NotPermitted)),
            (".", "a.txt\0", Err(ErrorCode::NoEntry)),
        ] {
            assert_eq!(resolved(&files, base, path), expected, "{path} below {base}");
        }
    }

    #[test]
    fn a_path_longer_than_the_cap_is_not_looked_up() {
        let files = files(&["a"]);
        let path = |bytes| format!("{}a", "./".repeat(bytes / 2));
        assert!(resolved(&files, ".", &path(PATH_BYTES_MAX - 2)).is_ok());
        let long = resolved(&files, ".", &path(PATH_BYTES_MAX));
        assert_eq!(long, Err(ErrorCode::NameTooLong));
    }

    #[test]
    fn a_name_cannot_be_a_file_and_a_folder() {
        let mut files = files(&["a", "d/b"]);
        assert_eq!(files.add("a/b".split('/'), host("x")), Err(Clash));
        assert_eq!(files.add("d".split('/'), host("x")), Err(Clash));
        assert_eq!(files.add("a".split('/'), host("host/later")), Ok(()));
        assert_eq!(resolved(&files, ".", "a"), Ok("host/later".into()));
    }
}
