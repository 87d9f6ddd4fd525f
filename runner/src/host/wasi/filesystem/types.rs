//! The data types of `wasi:filesystem/types`, and what the kernel's errors are called there.

use std::io;

use rustix::io::Errno;
use wasmtime::component::{ComponentType, Lift, Lower};

use crate::engine::wire::wire;
use crate::host::wasi::clocks::Datetime;

wire! {
    flags PathFlags {
        #[component(name = "symlink-follow")]
        const SYMLINK_FOLLOW;
    }
}

wire! {
    flags OpenFlags {
        #[component(name = "create")]
        const CREATE;
        #[component(name = "directory")]
        const DIRECTORY;
        #[component(name = "exclusive")]
        const EXCLUSIVE;
        #[component(name = "truncate")]
        const TRUNCATE;
    }
}

wire! {
    flags DescriptorFlags {
        #[component(name = "read")]
        const READ;
        #[component(name = "write")]
        const WRITE;
        #[component(name = "file-integrity-sync")]
        const FILE_INTEGRITY_SYNC;
        #[component(name = "data-integrity-sync")]
        const DATA_INTEGRITY_SYNC;
        #[component(name = "requested-write-sync")]
        const REQUESTED_WRITE_SYNC;
        #[component(name = "mutate-directory")]
        const MUTATE_DIRECTORY;
    }
}

wire! {
    /// `enum descriptor-type`, cases in the order of the WIT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "the guest's type has them all; we make two of them")]
    pub(super) enum DescriptorType {
        #[component(name = "unknown")]
        Unknown,
        #[component(name = "block-device")]
        BlockDevice,
        #[component(name = "character-device")]
        CharacterDevice,
        #[component(name = "directory")]
        Directory,
        #[component(name = "fifo")]
        Fifo,
        #[component(name = "symbolic-link")]
        SymbolicLink,
        #[component(name = "regular-file")]
        RegularFile,
        #[component(name = "socket")]
        Socket,
    }
}

wire! {
    /// `record descriptor-stat`
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct DescriptorStat {
        #[component(name = "type")]
        pub(super) kind: DescriptorType,
        #[component(name = "link-count")]
        pub(super) link_count: u64,
        pub(super) size: u64,
        #[component(name = "data-access-timestamp")]
        pub(super) accessed: Option<Datetime>,
        #[component(name = "data-modification-timestamp")]
        pub(super) modified: Option<Datetime>,
        #[component(name = "status-change-timestamp")]
        pub(super) changed: Option<Datetime>,
    }
}

wire! {
    /// `variant new-timestamp`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum NewTimestamp {
        #[component(name = "no-change")]
        NoChange,
        #[component(name = "now")]
        Now,
        #[component(name = "timestamp")]
        Timestamp(Datetime),
    }
}

wire! {
    /// `record directory-entry`
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct DirectoryEntry {
        #[component(name = "type")]
        pub(super) kind: DescriptorType,
        pub(super) name: String,
    }
}

wire! {
    /// `record metadata-hash-value`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct MetadataHash {
        pub(super) lower: u64,
        pub(super) upper: u64,
    }
}

wire! {
    /// `enum advice`
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "guests make them; no advice changes anything")]
    pub(super) enum Advice {
        #[component(name = "normal")]
        Normal,
        #[component(name = "sequential")]
        Sequential,
        #[component(name = "random")]
        Random,
        #[component(name = "will-need")]
        WillNeed,
        #[component(name = "dont-need")]
        DontNeed,
        #[component(name = "no-reuse")]
        NoReuse,
    }
}

wire! {
    /// `enum error-code`, cases in the order of the WIT.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    #[allow(dead_code, reason = "the guest's type has them all; a read-only tree needs a few")]
    pub(super) enum ErrorCode {
        #[component(name = "access")]
        Access,
        #[component(name = "would-block")]
        WouldBlock,
        #[component(name = "already")]
        Already,
        #[component(name = "bad-descriptor")]
        BadDescriptor,
        #[component(name = "busy")]
        Busy,
        #[component(name = "deadlock")]
        Deadlock,
        #[component(name = "quota")]
        Quota,
        #[component(name = "exist")]
        Exist,
        #[component(name = "file-too-large")]
        FileTooLarge,
        #[component(name = "illegal-byte-sequence")]
        IllegalByteSequence,
        #[component(name = "in-progress")]
        InProgress,
        #[component(name = "interrupted")]
        Interrupted,
        #[component(name = "invalid")]
        Invalid,
        #[component(name = "io")]
        Io,
        #[component(name = "is-directory")]
        IsDirectory,
        #[component(name = "loop")]
        Loop,
        #[component(name = "too-many-links")]
        TooManyLinks,
        #[component(name = "message-size")]
        MessageSize,
        #[component(name = "name-too-long")]
        NameTooLong,
        #[component(name = "no-device")]
        NoDevice,
        #[component(name = "no-entry")]
        NoEntry,
        #[component(name = "no-lock")]
        NoLock,
        #[component(name = "insufficient-memory")]
        InsufficientMemory,
        #[component(name = "insufficient-space")]
        InsufficientSpace,
        #[component(name = "not-directory")]
        NotDirectory,
        #[component(name = "not-empty")]
        NotEmpty,
        #[component(name = "not-recoverable")]
        NotRecoverable,
        #[component(name = "unsupported")]
        Unsupported,
        #[component(name = "no-tty")]
        NoTty,
        #[component(name = "no-such-device")]
        NoSuchDevice,
        #[component(name = "overflow")]
        Overflow,
        #[component(name = "not-permitted")]
        NotPermitted,
        #[component(name = "pipe")]
        Pipe,
        #[component(name = "read-only")]
        ReadOnly,
        #[component(name = "invalid-seek")]
        InvalidSeek,
        #[component(name = "text-file-busy")]
        TextFileBusy,
        #[component(name = "cross-device")]
        CrossDevice,
    }
}

impl From<&io::Error> for ErrorCode {
    /// What reading a file can meet; anything else is an input or output error.
    fn from(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::ACCESS) => Self::Access,
            Some(Errno::NOENT) => Self::NoEntry,
            Some(Errno::NOMEM) => Self::InsufficientMemory,
            Some(Errno::PERM) => Self::NotPermitted,
            // A link, a pipe or a file where something else was when the app started, or a way out.
            Some(Errno::LOOP | Errno::NXIO | Errno::NOTDIR | Errno::XDEV) => Self::NotPermitted,
            Some(Errno::AGAIN) => Self::WouldBlock,
            Some(Errno::MFILE | Errno::NFILE) => Self::Quota,
            Some(Errno::INVAL) => Self::Invalid,
            Some(Errno::OVERFLOW) => Self::Overflow,
            Some(Errno::ISDIR) => Self::IsDirectory,
            _ => Self::Io,
        }
    }
}
