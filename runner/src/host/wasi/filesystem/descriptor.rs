//! An open folder or file of a guest's.
//!
//! Files are read on the loop's thread: they are local, regular and read-only, each read is bounded
//! (`READ_BYTES_MAX`), and most come from the page cache. A thread for each read would cost more than
//! it waits for.

use std::fs::{File, Metadata, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::OFlags;
use tokio::sync::OwnedSemaphorePermit;

use super::tree::{Directory, Node};
use super::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHash,
    OpenFlags,
};
use crate::host::wasi::Slots;
use crate::host::wasi::streams::{Ended, IoError, Origin};
use crate::limits::wasi::READ_BYTES_MAX;

type Result<T> = std::result::Result<T, ErrorCode>;

/// `resource descriptor`
pub(super) enum Descriptor {
    Directory(Arc<Directory>),
    File(Arc<OpenFile>),
}

/// An open file, which counts against the component's as long as anything reads from it.
pub(in crate::host::wasi) struct OpenFile {
    file: File,
    metadata: Metadata,
    _slot: OwnedSemaphorePermit,
}

/// What makes two descriptors the same object.
#[derive(PartialEq, Eq)]
pub(super) enum Identity {
    Directory(u64),
    File { device: u64, inode: u64 },
}

impl Descriptor {
    pub(super) fn kind(&self) -> DescriptorType {
        match self {
            Self::Directory(_) => DescriptorType::Directory,
            Self::File(_) => DescriptorType::RegularFile,
        }
    }

    fn directory(&self) -> Result<&Arc<Directory>> {
        match self {
            Self::Directory(directory) => Ok(directory),
            Self::File(_) => Err(ErrorCode::NotDirectory),
        }
    }

    fn file(&self) -> Result<&Arc<OpenFile>> {
        match self {
            Self::Directory(_) => Err(ErrorCode::IsDirectory),
            Self::File(file) => Ok(file),
        }
    }

    pub(super) fn open_at(
        &self,
        path: &str,
        open: OpenFlags,
        wanted: DescriptorFlags,
        slots: &Slots,
    ) -> Result<Self> {
        let changes = OpenFlags::CREATE | OpenFlags::TRUNCATE;
        let writes = DescriptorFlags::WRITE | DescriptorFlags::MUTATE_DIRECTORY;
        let node = match self.directory()?.resolve(path) {
            Err(ErrorCode::NoEntry) if open.intersects(OpenFlags::CREATE) => {
                return Err(ErrorCode::ReadOnly);
            }
            other => other?,
        };
        if open.contains(OpenFlags::CREATE | OpenFlags::EXCLUSIVE) {
            return Err(ErrorCode::Exist);
        }
        if open.intersects(changes) || wanted.intersects(writes) {
            return Err(ErrorCode::ReadOnly);
        }
        match node {
            Node::Directory(directory) => Ok(Self::Directory(directory)),
            Node::File(_) if open.contains(OpenFlags::DIRECTORY) => Err(ErrorCode::NotDirectory),
            Node::File(host) => {
                let slot = slots.file().ok_or(ErrorCode::Quota)?;
                let (file, metadata) = open_regular(&host)?;
                Ok(Self::File(Arc::new(OpenFile { file, metadata, _slot: slot })))
            }
        }
    }

    /// Bytes at an offset, and whether the file ends there.
    pub(super) fn read(&self, len: u64, offset: u64) -> Result<(Vec<u8>, bool)> {
        let bytes = self.file()?.read(len, offset).map_err(|error| ErrorCode::from(&error))?;
        let ended = bytes.is_empty() && len > 0;
        Ok((bytes, ended))
    }

    pub(super) fn reader(&self, offset: u64) -> Result<FileReader> {
        Ok(FileReader { file: Arc::clone(self.file()?), offset })
    }

    pub(super) fn entries(&self) -> Result<Vec<DirectoryEntry>> {
        let entries = &self.directory()?.entries;
        let entry = |(name, node): (&String, &Node)| DirectoryEntry {
            name: name.clone(),
            kind: match node {
                Node::Directory(_) => DescriptorType::Directory,
                Node::File(_) => DescriptorType::RegularFile,
            },
        };
        Ok(entries.iter().map(entry).collect())
    }

    pub(super) fn stat(&self) -> Result<DescriptorStat> {
        match self {
            Self::Directory(_) => Ok(directory_stat()),
            Self::File(open) => {
                let now = open.file.metadata().map_err(|error| ErrorCode::from(&error))?;
                Ok(file_stat(&now))
            }
        }
    }

    pub(super) fn stat_at(&self, path: &str) -> Result<DescriptorStat> {
        match self.directory()?.resolve(path)? {
            Node::Directory(_) => Ok(directory_stat()),
            Node::File(host) => Ok(file_stat(&open_regular(&host)?.1)),
        }
    }

    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::Directory(directory) => Identity::Directory(directory.id),
            Self::File(open) => {
                Identity::File { device: open.metadata.dev(), inode: open.metadata.ino() }
            }
        }
    }

    pub(super) fn hash(&self) -> Result<MetadataHash> {
        match self {
            Self::Directory(directory) => Ok(directory_hash(directory)),
            Self::File(open) => {
                let now = open.file.metadata().map_err(|error| ErrorCode::from(&error))?;
                Ok(file_hash(&now))
            }
        }
    }

    pub(super) fn hash_at(&self, path: &str) -> Result<MetadataHash> {
        match self.directory()?.resolve(path)? {
            Node::Directory(directory) => Ok(directory_hash(&directory)),
            Node::File(host) => Ok(file_hash(&open_regular(&host)?.1)),
        }
    }
}

/// Opens what was a regular file when the app started, if it still is one. A link in its place is
/// not followed, and a pipe in its place does not block.
fn open_regular(path: &Path) -> Result<(File, Metadata)> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let open = || {
        let file = OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)?;
        let metadata = file.metadata()?;
        Ok((file, metadata))
    };
    let (file, metadata) = open().map_err(|error: io::Error| ErrorCode::from(&error))?;
    if !metadata.is_file() {
        return Err(ErrorCode::NotPermitted);
    }
    Ok((file, metadata))
}

impl OpenFile {
    fn read(&self, len: u64, offset: u64) -> io::Result<Vec<u8>> {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        let mut bytes = vec![0; len];
        let read = loop {
            match self.file.read_at(&mut bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Offsets that no file can have are past every file's end.
                Err(_) if i64::try_from(offset).is_err() => break 0,
                other => break other?,
            }
        };
        bytes.truncate(read);
        Ok(bytes)
    }
}

/// Reads a file from an offset on, for `wasi:io/streams`.
pub(in crate::host::wasi) struct FileReader {
    file: Arc<OpenFile>,
    offset: u64,
}

impl FileReader {
    pub(in crate::host::wasi) fn read(
        &mut self,
        bytes_max: usize,
    ) -> std::result::Result<Vec<u8>, Ended> {
        match self.file.read(bytes_max as u64, self.offset) {
            Ok(bytes) if bytes.is_empty() => Err(Ended::Closed),
            Ok(bytes) => {
                self.offset = self.offset.saturating_add(bytes.len() as u64);
                Ok(bytes)
            }
            Err(error) => Err(Ended::Failed(IoError { origin: Origin::File, error })),
        }
    }
}

fn directory_stat() -> DescriptorStat {
    DescriptorStat {
        kind: DescriptorType::Directory,
        link_count: 1,
        size: 0,
        accessed: None,
        modified: None,
        changed: None,
    }
}

fn file_stat(metadata: &Metadata) -> DescriptorStat {
    let changed = UNIX_EPOCH.checked_add(Duration::new(
        u64::try_from(metadata.ctime()).unwrap_or(0),
        u32::try_from(metadata.ctime_nsec()).unwrap_or(0),
    ));
    let time = |time: io::Result<SystemTime>| time.ok().map(Into::into);
    DescriptorStat {
        kind: DescriptorType::RegularFile,
        link_count: metadata.nlink(),
        size: metadata.len(),
        accessed: time(metadata.accessed()),
        modified: time(metadata.modified()),
        changed: changed.map(Into::into),
    }
}

fn file_hash(metadata: &Metadata) -> MetadataHash {
    let modified = (metadata.mtime(), metadata.mtime_nsec());
    hash_of(&(metadata.dev(), metadata.ino(), metadata.len(), modified))
}

fn directory_hash(directory: &Directory) -> MetadataHash {
    hash_of(&directory.id)
}

fn hash_of(value: &impl Hash) -> MetadataHash {
    let half = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, value).hash(&mut hasher);
        hasher.finish()
    };
    MetadataHash { lower: half(0), upper: half(1) }
}

#[cfg(test)]
#[path = "descriptor_tests.rs"]
#[allow(clippy::unwrap_used)]
mod tests;
