//! How a file is opened: its settings, its check, its tables; and what becomes of one that is damaged.

use std::path::Path;

use rusqlite::Connection;

use super::{StoreError, caps};

/// The schema of key-value tables is Spin's, so that a file can move between the two. Modules of this
/// folder add their tables here.
const SCHEMA: &[&str] = &[
    super::key_value::TABLES,
    super::dead_letters::TABLES,
    super::publishes::TABLES,
    super::events::TABLES,
];

/// Opens the file, or a new one in the place of one that is damaged.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    match opened(path) {
        Err(StoreError::Damaged(_)) => {
            set_aside(path)?;
            opened(path)
        }
        result => result,
    }
}

fn opened(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(path)?;
    db.busy_timeout(caps::BUSY_TIMEOUT)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", caps::CACHE_PAGES)?;
    db.pragma_update(None, "wal_autocheckpoint", caps::WAL_PAGES)?;
    let check: String = db.pragma_query_value(None, "quick_check", |row| row.get(0))?;
    if check != "ok" {
        return Err(StoreError::Damaged(check));
    }
    for tables in SCHEMA {
        db.execute_batch(tables)?;
    }
    Ok(db)
}

/// Keeps a damaged file beside the new one, for whoever can mend it.
fn set_aside(path: &Path) -> Result<(), StoreError> {
    let aside = path.with_extension("db.damaged");
    std::fs::rename(path, &aside).map_err(|error| {
        StoreError::Disk(format!("it is damaged and cannot be set aside: {error}"))
    })
}
