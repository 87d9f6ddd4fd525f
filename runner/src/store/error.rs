//! Why a request failed, in a sentence that says what to do; and what of it means that the file itself
//! can no longer be trusted.

use std::path::Path;

use rusqlite::ErrorCode;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The file cannot be opened or read or written; the sentence names it.
    #[error("{0}")]
    Disk(String),
    /// The disk is full; the sentence names the file.
    #[error("{0}")]
    Full(String),
    /// What the file holds is no database, or a damaged one; the sentence names it.
    #[error("{0}")]
    Damaged(String),
    /// A cap of this build or of the plan.
    #[error("{0}")]
    Limit(String),
    /// The database refused this piece of work and is otherwise well; the sentence names the file.
    #[error("{0}")]
    Refused(String),
    /// The store's thread is gone.
    #[error("the store has stopped")]
    Stopped,
}

impl StoreError {
    /// The same, with the name of its file, once.
    pub(super) fn of(self, path: &Path) -> Self {
        let name = format!("{}: ", path.display());
        let named = |sentence: String| match sentence.starts_with(&name) {
            true => sentence,
            false => name.clone() + &sentence,
        };
        match self {
            Self::Disk(sentence) => Self::Disk(named(sentence)),
            Self::Full(sentence) => Self::Full(named(sentence)),
            Self::Damaged(sentence) => Self::Damaged(named(sentence)),
            Self::Refused(sentence) => Self::Refused(named(sentence)),
            other => other,
        }
    }

    /// Whether the whole transaction is lost, not just one piece of it.
    pub(super) fn is_of_the_file(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Full(_) | Self::Damaged(_))
    }

    /// Whether the file may be in another state than SQLite thinks, so that it is better opened anew.
    pub(super) fn is_suspect(&self) -> bool {
        matches!(self, Self::Disk(_) | Self::Damaged(_))
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        let advice = match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                return Self::Damaged(error.to_string());
            }
            Some(ErrorCode::DiskFull) => {
                return Self::Full("the disk is full: make room".into());
            }
            Some(ErrorCode::CannotOpen) => "; does the folder exist, may this user write it?",
            Some(ErrorCode::ReadOnly) => "; may this user write the file and its folder?",
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                return Self::Refused(format!("{error}; another program holds the file"));
            }
            Some(ErrorCode::SystemIoFailure) => "; is the card or disk failing?",
            Some(ErrorCode::OutOfMemory | ErrorCode::PermissionDenied) => "",
            _ => return Self::Refused(error.to_string()),
        };
        Self::Disk(format!("{error}{advice}"))
    }
}
