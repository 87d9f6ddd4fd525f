//! One connection of a guest's to its database: opened with every limit set and with the rules in place, used by one
//! thread at a time, and given to the next guest only if it is as if it were new.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Row, Statement, ToSql};

use super::memory::{self, Tab};
use super::rules::{Ruling, ruling};
use super::{Answer, Effect, SqlError, SqlValue};
use crate::limits::sqlite as limits;
use crate::limits::units::Seconds;
use crate::store::folder::FILE_MODE;

/// What holds a running statement back: asked between its steps.
#[derive(Default)]
pub(super) struct Reins {
    until: Mutex<Option<Until>>,
    /// Why a statement was refused.
    refused: Mutex<Option<String>>,
    /// The connection is not as new.
    changed: AtomicBool,
    /// What is asked is our own: the rules are for guests.
    is_ours: AtomicBool,
}

/// When a statement ends, whether it is done or not.
struct Until {
    time: Instant,
    allowed: Duration,
    gone: Arc<AtomicBool>,
}

impl Reins {
    fn must_stop(&self) -> bool {
        let until = locked(&self.until);
        let Some(until) = &*until else { return false };
        if Instant::now() >= until.time {
            let allowed = Seconds(until.allowed);
            *locked(&self.refused) =
                Some(format!("it took longer than a statement may: {allowed}"));
            return true;
        }
        until.gone.load(Relaxed)
    }

    fn rule(&self, about: &AuthContext<'_>) -> Authorization {
        if self.is_ours.load(Relaxed) {
            return Authorization::Allow;
        }
        match ruling(about) {
            Ruling::Granted => Authorization::Allow,
            Ruling::GrantedToOne => {
                self.changed.store(true, Relaxed);
                Authorization::Allow
            }
            Ruling::Refused(why) => {
                *locked(&self.refused) = Some(why);
                Authorization::Deny
            }
        }
    }
}

/// An open database.
pub(super) struct Open {
    /// `None` only while it is dropped.
    db: Option<Connection>,
    reins: Arc<Reins>,
    /// What it holds of memory.
    balance: usize,
    page_bytes: i64,
}

/// A statement as a guest gives it.
pub(super) struct Asked {
    pub(super) sql: String,
    pub(super) parameters: Vec<SqlValue>,
    /// How long it may take.
    pub(super) time: Duration,
}

impl Open {
    /// Opens the file, or makes it.
    pub(super) fn at(path: &Path) -> Result<Self, SqlError> {
        make(path)?;
        let mut balance = 0;
        let tab = Tab::open(&mut balance);
        let reins = Arc::<Reins>::default();
        let opened = Connection::open(path).map_err(SqlError::from).and_then(|mut db| {
            let page_bytes = set_up(&mut db, &reins)?;
            Ok((db, page_bytes))
        });
        drop(tab);
        match opened {
            Ok((db, page_bytes)) => Ok(Self { db: Some(db), reins, balance, page_bytes }),
            Err(error) => {
                memory::settle(balance);
                Err(error.of(path))
            }
        }
    }

    /// Says how large the database may become through this connection. What it has already stays.
    pub(super) fn grow_to(&mut self, bytes_max: u64) -> Result<(), SqlError> {
        let Some(db) = &self.db else { return Ok(()) };
        let pages = i64::try_from(bytes_max).unwrap_or(i64::MAX) / self.page_bytes;
        let _tab = Tab::open(&mut self.balance);
        self.reins.is_ours.store(true, Relaxed);
        let limited = db.pragma_update(None, "max_page_count", pages.max(1));
        self.reins.is_ours.store(false, Relaxed);
        Ok(limited?)
    }

    /// Carries out one statement. It ends when its time is over, or when nobody waits for it any more.
    pub(super) fn execute(
        &mut self,
        asked: &Asked,
        gone: &Arc<AtomicBool>,
    ) -> Result<Answer, SqlError> {
        let Some(db) = &self.db else { return Err(SqlError::Io("it is closed".into())) };
        let (time, allowed) = (Instant::now() + asked.time, asked.time);
        let until = Until { time, allowed, gone: Arc::clone(gone) };
        *locked(&self.reins.until) = Some(until);
        *locked(&self.reins.refused) = None;
        let tab = Tab::open(&mut self.balance);
        let answer = execute(db, asked);
        if let Err(SqlError::Io(_)) = &answer
            && !locked(&self.reins.refused).is_some()
        {
            // What a failed write left is unknown: the next one opens the file anew.
            self.reins.changed.store(true, Relaxed);
        }
        drop(tab);
        *locked(&self.reins.until) = None;
        answer.map_err(|error| match locked(&self.reins.refused).take() {
            Some(refused) => SqlError::Io(refused),
            None => error,
        })
    }

    /// Ends a transaction that is open, and says whether another guest may have the connection.
    pub(super) fn reset(&mut self) -> bool {
        let Some(db) = &self.db else { return false };
        let _tab = Tab::open(&mut self.balance);
        let ended = db.is_autocommit() || db.execute_batch("ROLLBACK").is_ok();
        ended && !self.reins.changed.load(Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let tab = Tab::open(&mut self.balance);
        self.db = None;
        drop(tab);
        memory::settle(self.balance);
    }
}

/// Makes the file, for this user only, if it is not there; its log and its index get the same mode from SQLite.
pub(super) fn make(path: &Path) -> Result<(), SqlError> {
    let mut options = OpenOptions::new();
    let made = options.write(true).create(true).truncate(false).mode(FILE_MODE).open(path);
    made.map(drop).map_err(|error| {
        let path = path.display();
        SqlError::Io(format!("{path}: {error}; does its folder exist, may this user write it?"))
    })
}

/// How the file is kept, what a statement may be, and who says so. Returns the size of a page.
fn set_up(db: &mut Connection, reins: &Arc<Reins>) -> Result<i64, SqlError> {
    // Whoever finds it locked lets others go on meanwhile: waiting is done elsewhere.
    db.busy_timeout(Duration::ZERO)?;
    db.pragma_update(None, "page_size", limits::PAGE_BYTES)?;
    db.pragma_update(None, "journal_mode", "WAL")?;
    db.pragma_update(None, "synchronous", "FULL")?;
    db.pragma_update(None, "cache_size", -limits::CACHE_KIB)?;
    db.pragma_update(None, "wal_autocheckpoint", limits::WAL_PAGES)?;
    db.pragma_update(None, "journal_size_limit", limits::WAL_PAGES * limits::PAGE_BYTES)?;
    db.pragma_update(None, "temp_store", "MEMORY")?;
    db.pragma_update(Some("temp"), "max_page_count", limits::TEMPORARY_PAGES)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    db.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    db.set_prepared_statement_cache_capacity(limits::STATEMENTS_KEPT);
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
        (Limit::SQLITE_LIMIT_COLUMN, limits::COLUMNS_MAX),
        (Limit::SQLITE_LIMIT_COMPOUND_SELECT, limits::COMPOUNDS_MAX),
        (Limit::SQLITE_LIMIT_EXPR_DEPTH, limits::EXPRESSION_DEPTH_MAX),
        (Limit::SQLITE_LIMIT_LENGTH, limits::VALUE_BYTES_MAX),
        (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, limits::PATTERN_BYTES_MAX),
        (Limit::SQLITE_LIMIT_SQL_LENGTH, limits::STATEMENT_BYTES_MAX),
        (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, limits::TRIGGER_DEPTH_MAX),
        (Limit::SQLITE_LIMIT_VARIABLE_NUMBER, limits::PARAMETERS_MAX),
        (Limit::SQLITE_LIMIT_VDBE_OP, limits::PROGRAM_STEPS_MAX),
        (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
        db.set_limit(limit, i32::try_from(most).unwrap_or(i32::MAX))?;
    }
    let page_bytes: i64 = db.pragma_query_value(None, "page_size", |row| row.get(0))?;
    let look = Arc::clone(reins);
    db.progress_handler(limits::STEPS_PER_LOOK, Some(move || look.must_stop()))?;
    let rules = Arc::clone(reins);
    db.authorizer(Some(move |about: AuthContext<'_>| rules.rule(&about)))?;
    Ok(page_bytes.max(1))
}

fn execute(db: &Connection, asked: &Asked) -> Result<Answer, SqlError> {
    let mut statement = db.prepare_cached(&asked.sql)?;
    bind(&mut statement, &asked.parameters)?;
    let columns: Vec<String> = statement.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut room = limits::RESULT_BYTES_MAX;
    let mut rows = Vec::new();
    let mut found = statement.raw_query();
    while let Some(row) = found.next()? {
        rows.push(row_of(row, width, &mut room)?);
    }
    drop(found);
    let effect = Effect { last_insert_rowid: db.last_insert_rowid(), changes: db.changes() };
    Ok(Answer { columns, rows, effect })
}

/// A row, if there is room for it.
pub(super) fn row_of(
    row: &Row<'_>,
    width: usize,
    room: &mut usize,
) -> Result<Vec<SqlValue>, SqlError> {
    spend(room, limits::ROW_BYTES + width * limits::CELL_BYTES)?;
    (0..width).map(|column| value(row.get_ref(column)?, room)).collect()
}

fn bind(statement: &mut Statement<'_>, parameters: &[SqlValue]) -> Result<(), SqlError> {
    let (expected, given) = (statement.parameter_count(), parameters.len());
    if expected != given {
        return Err(SqlError::Io(format!(
            "the statement has {expected} parameters, and {given} were given"
        )));
    }
    for (number, parameter) in parameters.iter().enumerate() {
        statement.raw_bind_parameter(number + 1, parameter)?;
    }
    Ok(())
}

impl ToSql for SqlValue {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Integer(integer) => ValueRef::Integer(*integer),
            Self::Real(real) => ValueRef::Real(*real),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
            Self::Null => ValueRef::Null,
        }))
    }
}

fn value(found: ValueRef<'_>, room: &mut usize) -> Result<SqlValue, SqlError> {
    Ok(match found {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(integer) => SqlValue::Integer(integer),
        ValueRef::Real(real) => SqlValue::Real(real),
        ValueRef::Text(text) => {
            spend(room, text.len())?;
            let text = std::str::from_utf8(text);
            let text =
                text.map_err(|_| SqlError::Io("a text is not UTF-8: select it as a blob".into()))?;
            SqlValue::Text(text.to_owned())
        }
        ValueRef::Blob(blob) => {
            spend(room, blob.len())?;
            SqlValue::Blob(blob.to_owned())
        }
    })
}

fn spend(room: &mut usize, bytes: usize) -> Result<(), SqlError> {
    *room = room.checked_sub(bytes).ok_or_else(|| {
        let most = limits::RESULT_BYTES_MAX / 1024;
        SqlError::Io(format!(
            "the rows take more than {most} KiB: ask for fewer at once, with LIMIT"
        ))
    })?;
    Ok(())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
