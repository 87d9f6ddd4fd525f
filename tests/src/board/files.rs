//! What is in a board's file system beside busybox and the kernel's modules: named by the test, packed
//! into the initramfs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::cpio::{Archive, Device};

/// Files for a board, by their path there.
#[derive(Debug, Clone, Default)]
pub struct Files {
    files: BTreeMap<String, Vec<u8>>,
}

impl Files {
    /// None.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// With this file of the host at this path of the board (without the first `/`).
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn with(mut self, path: &str, from: &Path) -> Self {
        let bytes = std::fs::read(from);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self.files.insert(path.to_owned(), bytes);
        self
    }

    /// With this text at this path.
    #[must_use]
    pub fn with_text(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.into());
        self
    }

    /// With a folder of the host, and all below it, at this path.
    ///
    /// # Panics
    /// If it cannot be read.
    #[must_use]
    pub fn with_folder(mut self, path: &str, from: &Path) -> Self {
        for entry in std::fs::read_dir(from).expect("a folder that can be read") {
            let entry = entry.expect("an entry of it");
            let path = format!("{path}/{}", entry.file_name().to_string_lossy());
            self = match entry.path().is_dir() {
                true => self.with_folder(&path, &entry.path()),
                false => self.with(&path, &entry.path()),
            };
        }
        self
    }

    /// The initramfs, with the folders that the files are in.
    pub(super) fn initramfs(&self) -> Vec<u8> {
        let mut folders =
            BTreeSet::from(["dev".into(), "proc".into(), "sys".into(), "run".into(), "tmp".into()]);
        for path in self.files.keys() {
            folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
        }
        let mut archive = Archive::new(Vec::new());
        let write = || -> std::io::Result<Vec<u8>> {
            for folder in &folders {
                archive.directory(folder)?;
            }
            // What `/init` prints on, before there is anything in /dev.
            archive.character_device("dev/console", Device { major: 5, minor: 1 })?;
            for (path, bytes) in &self.files {
                archive.file(path, bytes)?;
            }
            archive.finish()
        };
        write().expect("files of less than 4 GiB")
    }
}
