//! Why something that a guest asked of its database was not done, in the cases that Spin's interface has for it.

use std::path::Path;

use rusqlite::ErrorCode;

/// Why not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SqlError {
    /// Somebody else is in a transaction that this one has to wait for.
    #[error("the database is locked: another transaction did not end in time")]
    Busy,
    /// The database is as large as it may be, or the disk is full.
    #[error("the database is full")]
    Full,
    /// Anything else, in a sentence.
    #[error("{0}")]
    Io(String),
}

impl SqlError {
    /// The same with the name of its file.
    pub(super) fn of(self, path: &Path) -> Self {
        match self {
            Self::Io(sentence) => Self::Io(format!("{}: {sentence}", path.display())),
            other => other,
        }
    }

    /// What cannot be asked for because too many others do.
    pub(super) fn crowded(what: &str) -> Self {
        Self::Io(format!("{what}; close what is not needed, or try again"))
    }
}

impl From<rusqlite::Error> for SqlError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error().map(|error| (error.code, error.extended_code)) {
            // Its snapshot is too old to write on: waiting does not help, a new transaction does.
            Some((_, rusqlite::ffi::SQLITE_BUSY_SNAPSHOT)) => Self::Io(
                "the database has changed since this transaction read from it: roll back and begin anew, with BEGIN IMMEDIATE".into(),
            ),
            Some((ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked, _)) => Self::Busy,
            Some((ErrorCode::DiskFull, _)) => Self::Full,
            Some((ErrorCode::OutOfMemory, _)) => Self::Io(format!(
                "it needs more memory than a database may take ({} KiB): ask for less at once",
                crate::limits::sqlite::CONNECTION_MEMORY_BYTES / 1024
            )),
            Some((ErrorCode::ApiMisuse, _)) => Self::Io("there is no statement in it".into()),
            _ => Self::Io(error.to_string()),
        }
    }
}
