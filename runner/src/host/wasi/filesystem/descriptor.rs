//! An open folder or file of a guest's.
//!
//! What is in memory (a cached path, a cached page) is had at once, on the loop's thread: the kernel is
//! told not to wait for anything. Whatever it would have to wait for goes to the disk's own threads,
//! and the guest waits, not the loop. A thread for each read would cost a small one more than it reads.

use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, IoSliceMut};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::{Errno, ReadWriteFlags, preadv2};
use tokio::sync::OwnedSemaphorePermit;

use super::beneath::{HostFile, Patience};
use super::disk::off_the_loop;
use super::tree::{Directory, Node};
use super::types::{
    DescriptorFlags, DescriptorStat, DescriptorType, DirectoryEntry, ErrorCode, MetadataHash,
    OpenFlags,
};
use crate::host::wasi::Slots;
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

    /// The file behind it, to be read.
    pub(super) fn file(&self) -> Result<Arc<OpenFile>> {
        match self {
            Self::Directory(_) => Err(ErrorCode::IsDirectory),
            Self::File(file) => Ok(Arc::clone(file)),
        }
    }

    /// What a path means, if it may be opened this way.
    pub(super) fn find(
        &self,
        path: &str,
        open: OpenFlags,
        wanted: DescriptorFlags,
    ) -> Result<Node> {
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
            Node::File(_) if open.contains(OpenFlags::DIRECTORY) => Err(ErrorCode::NotDirectory),
            node => Ok(node),
        }
    }

    /// Opens what was found. Dropped half-way, a file that is being opened is closed again.
    pub(super) async fn open(node: Node, slots: &Slots) -> Result<Self> {
        let host = match node {
            Node::Directory(directory) => return Ok(Self::Directory(directory)),
            Node::File(host) => host,
        };
        let slot = slots.file().ok_or(ErrorCode::Quota)?;
        let (file, metadata) = on_the_host(&host, slots, HostFile::open).await?;
        Ok(Self::File(Arc::new(OpenFile { file, metadata, _slot: slot })))
    }

    /// What a path means.
    pub(super) fn resolve(&self, path: &str) -> Result<Node> {
        self.directory()?.resolve(path)
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
}

/// What is behind a path, without opening it.
pub(super) enum Seen {
    Directory(Arc<Directory>),
    File(Metadata),
}

impl Seen {
    /// Dropped half-way, nothing has happened.
    pub(super) async fn of(node: Node, slots: &Slots) -> Result<Self> {
        match node {
            Node::Directory(directory) => Ok(Self::Directory(directory)),
            Node::File(host) => Ok(Self::File(on_the_host(&host, slots, HostFile::look).await?)),
        }
    }

    pub(super) fn stat(&self) -> DescriptorStat {
        match self {
            Self::Directory(_) => directory_stat(),
            Self::File(metadata) => file_stat(metadata),
        }
    }

    pub(super) fn hash(&self) -> MetadataHash {
        match self {
            Self::Directory(directory) => directory_hash(directory),
            Self::File(metadata) => file_hash(metadata),
        }
    }
}

/// Asks the host for a file: at once if that takes no disk.
async fn on_the_host<T: Send + 'static>(
    file: &Arc<HostFile>,
    slots: &Slots,
    ask: fn(&HostFile, Patience) -> Result<T>,
) -> Result<T> {
    match ask(file, Patience::Memory) {
        Err(ErrorCode::WouldBlock) => {
            let file = Arc::clone(file);
            let asked = off_the_loop(slots, move || ask(&file, Patience::Disk)).await;
            asked.map_err(|error| ErrorCode::from(&error))?
        }
        at_once => at_once,
    }
}

impl OpenFile {
    /// Bytes at an offset, none at the end. Dropped half-way, nothing has happened.
    pub(super) async fn read(
        self: Arc<Self>,
        len: u64,
        offset: u64,
        slots: &Slots,
    ) -> io::Result<Vec<u8>> {
        let len = usize::try_from(len).unwrap_or(usize::MAX).min(READ_BYTES_MAX);
        // Offsets that no file can have are past every file's end.
        if len == 0 || i64::try_from(offset.saturating_add(len as u64)).is_err() {
            return Ok(Vec::new());
        }
        match self.read_from_memory(len, offset) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                off_the_loop(slots, move || self.read_from_disk(len, offset)).await?
            }
            at_once => at_once,
        }
    }

    fn read_from_memory(&self, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let mut place = [IoSliceMut::new(&mut bytes)];
        match preadv2(&self.file, &mut place, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) => {
                bytes.truncate(count);
                Ok(bytes)
            }
            // Not in memory; or a file system or a kernel that cannot tell.
            Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => {
                Err(Errno::AGAIN.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn read_from_disk(&self, len: usize, offset: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; len];
        let count = loop {
            match self.file.read_at(&mut bytes, offset) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        bytes.truncate(count);
        Ok(bytes)
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
