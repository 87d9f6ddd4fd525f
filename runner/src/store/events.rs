//! Events that wait for their component on disk, and how often events were tried whose run nobody saw the end of.

use rusqlite::{OptionalExtension as _, Row, params};

use super::{Place, Store, StoreError, Terms};

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS pirn_event (
        id INTEGER PRIMARY KEY AUTOINCREMENT, component TEXT NOT NULL, trigger_id TEXT NOT NULL, kind TEXT NOT NULL,
        source TEXT NOT NULL, payload BLOB NOT NULL, detail TEXT NOT NULL, attempts INTEGER NOT NULL);
    CREATE TABLE IF NOT EXISTS pirn_attempt (event INTEGER PRIMARY KEY, attempts INTEGER NOT NULL);";

/// An event as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptEvent {
    /// Whose it is.
    pub component: String,
    /// The id of the trigger that it is of.
    pub trigger: String,
    /// `mqtt`, `gpio`, `cron`.
    pub kind: String,
    /// A topic, a line's name, a trigger's id.
    pub source: String,
    /// What it says.
    pub payload: Vec<u8>,
    /// What else is to be known of its kind.
    pub detail: String,
    /// How often it was tried.
    pub attempts: u32,
}

/// An event that waits on disk, without what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingEvent {
    /// Its row.
    pub row: i64,
    /// Whose it is.
    pub component: String,
    /// The id of the trigger that it is of.
    pub trigger: String,
    /// Source and payload together.
    pub bytes: usize,
    /// How often it was tried.
    pub attempts: u32,
}

impl Store {
    /// Keeps events; their rows, in their order, when they are on the disk.
    pub async fn keep_events(&self, events: Vec<KeptEvent>) -> Result<Vec<i64>, StoreError> {
        let size = |event: &KeptEvent| event.source.len() + event.payload.len();
        let terms = Terms::holding(events.iter().map(size).sum());
        let work = move |db: &super::Tx<'_>| {
            super::kept::note(db)?;
            let mut insert = db.prepare_cached(
                "INSERT INTO pirn_event (component, trigger_id, kind, source, payload, detail, attempts)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            )?;
            let mut rows = Vec::with_capacity(events.len());
            for event in &events {
                let KeptEvent { component, trigger, kind, source, payload, detail, attempts } =
                    event;
                insert.execute(params![
                    component, trigger, kind, source, payload, detail, attempts
                ])?;
                rows.push(db.last_insert_rowid());
            }
            Ok(rows)
        };
        self.write(Place::State, terms, work).await
    }

    /// All events that wait on disk, in the order in which they came.
    pub async fn waiting_events(&self) -> Result<Vec<WaitingEvent>, StoreError> {
        let work = |db: &super::Tx<'_>| {
            let mut query = db.prepare_cached(
                "SELECT id, component, trigger_id, length(source) + length(payload), attempts
                 FROM pirn_event ORDER BY id",
            )?;
            let event = |row: &Row<'_>| {
                let bytes: i64 = row.get(3)?;
                Ok(WaitingEvent {
                    row: row.get(0)?,
                    component: row.get(1)?,
                    trigger: row.get(2)?,
                    bytes: usize::try_from(bytes).unwrap_or(0),
                    attempts: row.get(4)?,
                })
            };
            let events = query.query_map([], event)?;
            Ok(events.collect::<Result<_, _>>()?)
        };
        self.read(Place::State, work).await
    }

    /// One event; `None` if somebody deleted it.
    pub async fn kept_event(&self, row: i64) -> Result<Option<KeptEvent>, StoreError> {
        let work = move |db: &super::Tx<'_>| {
            let mut query = db.prepare_cached(
                "SELECT component, trigger_id, kind, source, payload, detail, attempts
                 FROM pirn_event WHERE id = ?1",
            )?;
            let event = |row: &Row<'_>| {
                Ok(KeptEvent {
                    component: row.get(0)?,
                    trigger: row.get(1)?,
                    kind: row.get(2)?,
                    source: row.get(3)?,
                    payload: row.get(4)?,
                    detail: row.get(5)?,
                    attempts: row.get(6)?,
                })
            };
            Ok(query.query_row(params![row], event).optional()?)
        };
        self.read(Place::State, work).await
    }

    /// Forgets events that are settled.
    pub async fn forget_events(&self, rows: Vec<i64>) -> Result<(), StoreError> {
        let work = move |db: &super::Tx<'_>| {
            let mut delete = db.prepare_cached("DELETE FROM pirn_event WHERE id = ?1")?;
            for row in rows {
                delete.execute(params![row])?;
            }
            Ok(())
        };
        self.write(Place::State, Terms::default(), work).await
    }

    /// Adds what an earlier process did not see the end of; all that is known, by the events' digests.
    pub async fn count_attempts(
        &self,
        unseen: Vec<(u64, u32)>,
    ) -> Result<Vec<(u64, u32)>, StoreError> {
        let work = move |db: &super::Tx<'_>| {
            if !unseen.is_empty() {
                super::kept::note(db)?;
            }
            for (event, attempts) in &unseen {
                db.execute(
                    "INSERT INTO pirn_attempt (event, attempts) VALUES (?1, ?2)
                     ON CONFLICT (event) DO UPDATE SET attempts = max(attempts + 1, ?2)",
                    params![event.cast_signed(), attempts],
                )?;
            }
            // Of events that never come again nobody would forget them.
            db.execute(
                "DELETE FROM pirn_attempt WHERE (SELECT count(*) FROM pirn_attempt) > ?1",
                params![super::caps::ATTEMPTS_REMEMBERED_MAX],
            )?;
            let mut query = db.prepare("SELECT event, attempts FROM pirn_attempt")?;
            let attempt = |row: &Row<'_>| {
                let event: i64 = row.get(0)?;
                Ok((event.cast_unsigned(), row.get(1)?))
            };
            let all = query.query_map([], attempt)?;
            Ok(all.collect::<Result<_, _>>()?)
        };
        self.write(Place::State, Terms::default(), work).await
    }

    /// Forgets the attempts at an event that is settled.
    pub async fn forget_attempts(&self, event: u64) -> Result<(), StoreError> {
        let work = move |db: &super::Tx<'_>| {
            let deleted = "DELETE FROM pirn_attempt WHERE event = ?1";
            db.execute(deleted, params![event.cast_signed()])?;
            Ok(())
        };
        self.write(Place::State, Terms::default(), work).await
    }
}
