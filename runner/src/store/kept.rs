//! Whether a start has anything to take up again. Opening the database takes longer than all the rest of a start, so
//! it is opened for this only if a file beside it says that something was kept: it is made before the first row that a
//! later start must find, and removed by the start that finds none.

use std::path::{Path, PathBuf};

use super::{Store, StoreError, Tx};
use crate::store::folder::write_atomically;

const FILE: &str = "kept";

/// The file says that something is kept, on the disk, when this returns.
pub(super) fn note(tx: &Tx<'_>) -> Result<(), StoreError> {
    let path = beside(tx.path());
    match path.exists() {
        true => Ok(()),
        false => write_atomically(&path, b"")
            .map_err(|error| StoreError::Disk(format!("{}: {error}", path.display()))),
    }
}

impl Store {
    /// Whether an earlier run kept something that is to be taken up again. When in doubt, yes.
    pub fn has_kept(&self) -> bool {
        self.layout().state_dir.join(FILE).try_exists().unwrap_or(true)
    }

    /// Nothing was found: the next start need not look, unless something is kept until then.
    pub async fn nothing_is_kept(&self) -> Result<(), StoreError> {
        let work = |tx: &Tx<'_>| {
            let rows = "SELECT (SELECT count(*) FROM pirn_publish) + (SELECT count(*) FROM pirn_event)
                + (SELECT count(*) FROM pirn_attempt) + (SELECT count(*) FROM pirn_letter WHERE retry > 0)";
            let kept: i64 = tx.query_row(rows, [], |row| row.get(0))?;
            if kept == 0 {
                // Left there, it costs the next start a look.
                let _ = std::fs::remove_file(beside(tx.path()));
            }
            Ok(())
        };
        self.write(super::Place::State, super::Terms::default(), work).await
    }
}

fn beside(database: &Path) -> PathBuf {
    database.with_file_name(FILE)
}
