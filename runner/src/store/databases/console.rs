//! A database in the hands of the app's developer, beside the app or before it runs: any SQL, without the rules and the
//! limits that hold for components, and never more than a row in memory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::fallible_iterator::FallibleIterator as _;
use rusqlite::{Batch, Connection, OpenFlags};

use super::connection::row_of;
use super::{SqlError, SqlValue, count_memory};

/// How long it waits for the app's transactions.
const WAIT: Duration = Duration::from_secs(10);

/// An open database.
pub struct Console {
    db: Connection,
    path: PathBuf,
}

/// Whether a file is made that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// It is an error.
    Refused,
    /// It is made.
    Made,
}

impl Console {
    /// Opens the file.
    pub fn open(path: &Path, missing: Missing) -> Result<Self, SqlError> {
        count_memory();
        if missing == Missing::Made {
            super::connection::make(path)?;
        }
        let open = || {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let db = Connection::open_with_flags(path, flags)?;
            db.busy_timeout(WAIT)?;
            db.pragma_update(None, "journal_mode", "WAL")?;
            db.pragma_update(None, "synchronous", "FULL")?;
            Ok(db)
        };
        let db = open().map_err(|error: rusqlite::Error| SqlError::from(error).of(path))?;
        Ok(Self { db, path: path.to_owned() })
    }

    /// Carries out all statements of a text, one after the other, until one fails; `header` is told the columns of each that
    /// has any, then `row` its rows, as they are found. What either returns as an error ends it.
    pub fn run(
        &self,
        text: &str,
        mut header: impl FnMut(&[String]) -> Result<(), SqlError>,
        mut row: impl FnMut(&[SqlValue]) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let named = |error: rusqlite::Error| SqlError::from(error).of(&self.path);
        let mut batch = Batch::new(&self.db, text);
        while let Some(mut statement) = batch.next().map_err(named)? {
            let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
            if !columns.is_empty() {
                header(&columns)?;
            }
            let mut rows = statement.query([]).map_err(named)?;
            let mut room = usize::MAX;
            while let Some(found) = rows.next().map_err(named)? {
                row(&row_of(found, columns.len(), &mut room)?)?;
            }
        }
        Ok(())
    }
}
