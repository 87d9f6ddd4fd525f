//! A mark beside each database: how far its write-ahead log had got when it was last told that something
//! is on the disk. SQLite takes a log that ends too early, or a database that is empty, for what it
//! looks like; the mark is what remembers that there was more.
//!
//! It is written after each commit, without an fsync: never ahead of the disk, at most some seconds
//! behind it after a power cut, and for a process that was killed not behind at all. Before the log is
//! folded back into the database, when it may begin anew, the mark is made to say so, with an fsync; that
//! is one for each megabyte written. So whatever version of it is found, what it claims was true.
//!
//! It cannot tell a database that was replaced by an older copy of itself, mark and all, nor one whose
//! mark was removed too; nor, after a power cut, the loss of what was written in the last seconds by a disk
//! that lies about fsyncs.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crate::store::folder::{FILE_MODE, sync_folder};

/// What a mark claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mark {
    /// The log has these salts and so many frames that were committed.
    Live { salts: [u32; 2], frames: u32 },
    /// The log may begin anew at any time; the database is there.
    Folding,
    /// All is in the database, which was closed in order.
    Closed,
}

/// A mark's place on the disk.
#[derive(Debug)]
pub(super) struct MarkFile(File);

/// One line of this length; a part of one is no mark.
const LINE_BYTES: usize = 45;

impl Mark {
    /// The mark of a database, if there is one that can be read.
    pub(super) fn of(database: &Path) -> Option<Self> {
        let mut text = String::new();
        let file = File::open(beside(database, "-mark")).ok()?;
        file.take(LINE_BYTES as u64).read_to_string(&mut text).ok()?;
        Self::parse(&text)
    }

    fn line(self) -> String {
        let (word, salts, frames) = match self {
            Self::Live { salts, frames } => ("live", salts, frames),
            Self::Folding => ("fold", [0; 2], 0),
            Self::Closed => ("shut", [0; 2], 0),
        };
        let claim = format!("{word} {:08x} {:08x} {frames:010}", salts[0], salts[1]);
        format!("{claim} {:08x}  \n", sum(&claim))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        let (word, first, second) = (words.next()?, words.next()?, words.next()?);
        let salts = [u32::from_str_radix(first, 16).ok()?, u32::from_str_radix(second, 16).ok()?];
        let frames = words.next()?.parse().ok()?;
        let mark = match word {
            "live" => Self::Live { salts, frames },
            "fold" => Self::Folding,
            "shut" => Self::Closed,
            _ => return None,
        };
        (mark.line() == text).then_some(mark)
    }
}

impl MarkFile {
    /// The mark of a database that is open; made, and its name durable, if it is not there.
    pub(super) fn open(database: &Path) -> io::Result<Self> {
        let path = beside(database, "-mark");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(FILE_MODE);
        let is_new = !path.exists();
        let file = options.open(&path)?;
        file.set_len(LINE_BYTES as u64)?;
        if is_new && let Some(folder) = path.parent().filter(|folder| **folder != *Path::new("")) {
            sync_folder(folder)?;
        }
        Ok(Self(file))
    }

    /// Makes a claim that is true already, or that takes one back.
    pub(super) fn set(&self, mark: Mark) -> io::Result<()> {
        self.0.write_all_at(mark.line().as_bytes(), 0)
    }

    /// The same, on the disk when it returns.
    pub(super) fn set_durably(&self, mark: Mark) -> io::Result<()> {
        self.set(mark)?;
        self.0.sync_data()
    }
}

/// The salts of a database's log, if there is one.
pub(super) fn log_salts(database: &Path) -> Option<[u32; 2]> {
    let mut header = [0; 24];
    File::open(beside(database, "-wal")).ok()?.read_exact_at(&mut header, 0).ok()?;
    // SQLite's file format, 4.1: salts are the big-endian numbers at 16 and 20.
    let number = |at: usize| {
        header[at..at + 4].iter().fold(0, |number: u32, byte| number << 8 | u32::from(*byte))
    };
    Some([number(16), number(20)])
}

/// A file that belongs to a database.
pub(super) fn beside(database: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(database);
    name.push(ending);
    name.into()
}

/// FNV-1a: tells half a line from a whole one.
fn sum(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |sum, byte| (sum ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_its_file_and_a_damaged_one_claims_nothing() {
        let scratch = tempfile::tempdir().unwrap();
        let database = scratch.path().join("pirn.db");
        assert_eq!(Mark::of(&database), None);
        let file = MarkFile::open(&database).unwrap();
        for mark in [
            Mark::Live { salts: [7, u32::MAX], frames: 256 },
            Mark::Live { salts: [0, 1], frames: u32::MAX },
            Mark::Folding,
            Mark::Closed,
        ] {
            file.set_durably(mark).unwrap();
            assert_eq!(Mark::of(&database), Some(mark));
            assert_eq!(mark.line().len(), LINE_BYTES);
            let line = mark.line();
            for at in 0..line.len() {
                let mut bytes = line.clone().into_bytes();
                bytes[at] ^= 1;
                std::fs::write(beside(&database, "-mark"), &bytes).unwrap();
                assert_eq!(Mark::of(&database), None, "byte {at} of {line}");
                std::fs::write(beside(&database, "-mark"), &line[..at]).unwrap();
                assert_eq!(Mark::of(&database), None, "{at} bytes of {line}");
            }
            std::fs::write(beside(&database, "-mark"), &line).unwrap();
        }
    }
}
