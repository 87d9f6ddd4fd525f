//! How a file is opened: what is wrong with it is found before anybody reads from it, and what is
//! damaged is set aside whole, under a name of its own.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::mark::{Mark, MarkFile, beside, log_salts};
use super::{StoreError, caps};
use crate::store::folder::{FILE_MODE, sync_folder};

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// The runner's own, and key-value stores without a file of their own.
    State,
    /// Key-value stores only: their table is Spin's, so that such a file can move between the two.
    KeyValue,
}

/// The tables of the runner's own file. Modules of this folder add theirs here.
const STATE_TABLES: &[&str] = &[
    super::key_value::TABLES,
    super::dead_letters::TABLES,
    super::publishes::TABLES,
    super::events::TABLES,
];

/// How much a file is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// As its mark and its size say.
    Usual,
    /// Something went wrong with it: it is read whole before it is used.
    None,
}

/// An open file.
pub(super) struct Opened {
    pub(super) db: Connection,
    /// `None` where it cannot be written; then nothing is claimed.
    pub(super) mark: Option<MarkFile>,
    /// What was wrong with it, in sentences for the operator.
    pub(super) said: Vec<String>,
    /// Whether something that was on the disk is gone.
    pub(super) loss: bool,
}

/// Opens the file, or a new one in the place of one that is damaged.
pub(super) fn open(path: &Path, contents: Contents, trust: Trust) -> Result<Opened, StoreError> {
    let (result, sentence) = match opened(path, contents, trust) {
        Err(StoreError::Damaged(reason)) => {
            let aside = set_aside(path)?;
            let sentence = format!(
                "{}: {reason}; what was there is kept as {}, and a new one is begun: what it held is lost to the app until somebody mends it",
                path.display(),
                aside.display()
            );
            (opened(path, contents, Trust::Usual), Some(sentence))
        }
        result => (result, None),
    };
    let mut opened = result?;
    opened.loss |= sentence.is_some();
    opened.said.extend(sentence);
    Ok(opened)
}

fn opened(path: &Path, contents: Contents, trust: Trust) -> Result<Opened, StoreError> {
    let mark = Mark::of(path);
    let bytes = present(path, mark)?;
    let salts = log_salts(path);
    let db = Connection::open(path)?;
    db.busy_timeout(caps::BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", caps::CACHE_PAGES)?;
    // The thread folds the log back itself, when it has answered.
    db.pragma_update(None, "wal_autocheckpoint", 0)?;
    check(&db, depth(trust, mark, bytes))?;
    let frames = log_frames(&db)?;
    let loss = shorter(mark, salts, frames);
    let said = loss.iter().map(|reason| format!("{}: {reason}", path.display())).collect();
    make_tables(&db, contents)?;
    let mark = MarkFile::open(path).ok();
    let loss = loss.is_some();
    Ok(Opened { db, mark, said, loss })
}

fn make_tables(db: &Connection, contents: Contents) -> Result<(), StoreError> {
    if contents == Contents::KeyValue {
        return Ok(db.execute_batch(super::key_value::TABLES)?);
    }
    // In one transaction: each of them alone would wait for the card once more.
    let making = Transaction::new_unchecked(db, TransactionBehavior::Immediate)?;
    for tables in STATE_TABLES {
        making.execute_batch(tables)?;
    }
    super::dead_letters::take_over(&making)?;
    Ok(making.commit()?)
}

/// How many bytes the database has; made for this user only if it never was there. What was there and
/// is gone is damage.
fn present(path: &Path, mark: Option<Mark>) -> Result<u64, StoreError> {
    let damaged = |reason: &str| Err(StoreError::Damaged(reason.into()));
    match fs::metadata(path) {
        Ok(about) if !about.is_file() => damaged("it is no file"),
        Ok(about) if about.len() == 0 && mark.is_some() => {
            damaged("it is empty, although it was not when it was last used")
        }
        Ok(about) => Ok(about.len()),
        Err(error) if error.kind() == ErrorKind::NotFound && mark.is_some() => {
            damaged("it is gone, although it was there when it was last used")
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let mut options = OpenOptions::new();
            // Its log and its index get the same mode from SQLite.
            let made = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
            made.map(|_| 0).map_err(|error| unusable(&error))
        }
        Err(error) => Err(unusable(&error)),
    }
}

fn unusable(error: &std::io::Error) -> StoreError {
    StoreError::Disk(format!("{error}; does its folder exist, may this user write it?"))
}

/// How thoroughly a file is looked at before it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Depth {
    /// What SQLite looks at itself: its header, and each page when it is read.
    Header,
    /// Every page's structure.
    Pages,
    /// Also whether indices agree with their tables.
    All,
}

/// A file that was closed in order is read whole only if that is quickly done.
fn depth(trust: Trust, mark: Option<Mark>, bytes: u64) -> Depth {
    match (trust, mark) {
        (Trust::None, _) => Depth::All,
        (Trust::Usual, Some(Mark::Closed)) if bytes > caps::CHECKED_BYTES_MAX => Depth::Header,
        (Trust::Usual, _) => Depth::Pages,
    }
}

fn check(db: &Connection, depth: Depth) -> Result<(), StoreError> {
    let pragma = match depth {
        Depth::Header => return Ok(()),
        Depth::Pages => "PRAGMA quick_check(1)",
        Depth::All => "PRAGMA integrity_check(1)",
    };
    let found: String = db.query_row(pragma, [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        _ => Err(StoreError::Damaged(format!("it is damaged: {}", found.replace('\n', " ")))),
    }
}

/// Frames of the log that are committed.
pub(super) fn log_frames(db: &Connection) -> Result<u32, StoreError> {
    let mut query = db.prepare_cached("PRAGMA wal_checkpoint(NOOP)")?;
    let frames: i64 = query.query_row([], |row| row.get(1))?;
    Ok(u32::try_from(frames).unwrap_or(0))
}

/// What a log lacks of what its mark claims.
fn shorter(mark: Option<Mark>, salts: Option<[u32; 2]>, frames: u32) -> Option<String> {
    let Some(Mark::Live { salts: expected, frames: committed }) = mark else { return None };
    let what = match salts {
        Some(salts) if salts == expected && frames >= committed => return None,
        Some(salts) if salts == expected => {
            format!("its log ends after {frames} of {committed} pages")
        }
        Some(_) => "its log is not the one that was last written".into(),
        None => format!("its log with {committed} pages is gone"),
    };
    Some(format!(
        "{what}: what was set or kept last is lost, although it was on the disk; is the card failing? \
         (If another program has opened the file meanwhile, it may have folded the log in, and nothing is lost.)"
    ))
}

/// Moves what is there out of the way, to a name that nothing has yet.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let failed = |error: std::io::Error| {
        StoreError::Disk(format!(
            "{}: it is damaged and cannot be set aside: {error}",
            path.display()
        ))
    };
    let parts = ["", "-wal", "-shm", "-mark"];
    let is_free = |aside: &PathBuf| {
        parts.iter().all(|part| fs::symlink_metadata(beside(aside, part)).is_err())
    };
    let names = (1..=caps::DAMAGED_MAX).map(|number| beside(path, &format!(".damaged-{number}")));
    let aside = names.into_iter().find(is_free).ok_or_else(|| {
        StoreError::Disk(format!(
            "{}: it is damaged, and {} damaged ones are kept already: mend or remove them (*.damaged-*)",
            path.display(),
            caps::DAMAGED_MAX
        ))
    })?;
    for part in parts {
        match fs::rename(beside(path, part), beside(&aside, part)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
    }
    if let Some(folder) = path.parent().filter(|folder| **folder != *Path::new("")) {
        sync_folder(folder).map_err(failed)?;
    }
    Ok(aside)
}
