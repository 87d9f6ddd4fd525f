//! Messages that could not be handled, kept aside.

use rusqlite::{Connection, Row, params};

use super::{Place, Store, StoreError, Terms, caps};

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS pirn_dead_letter (
        id INTEGER PRIMARY KEY AUTOINCREMENT, component TEXT NOT NULL, source TEXT NOT NULL,
        payload BLOB NOT NULL, reason TEXT NOT NULL);";

/// A message that could not be handled, kept aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The component that failed on it.
    pub component: String,
    /// Where it came from: an MQTT topic.
    pub source: String,
    /// The message.
    pub payload: Vec<u8>,
    /// How the last try ended.
    pub reason: String,
}

impl DeadLetter {
    /// Of an event that could not be handled.
    pub fn of_event(event: super::KeptEvent, reason: &str) -> Self {
        let super::KeptEvent { component, source, payload, .. } = event;
        Self { component, source, payload, reason: reason.into() }
    }

    /// Of a publish that was promised and that the broker will never take.
    pub fn of_publish(component: String, topic: String, payload: Vec<u8>, reason: String) -> Self {
        Self { component, source: topic, payload, reason }
    }
}

impl Store {
    /// Keeps a message that could not be handled; it is on the disk when this returns. Beyond the
    /// cap the oldest is overwritten.
    pub async fn bury(&self, letter: DeadLetter) -> Result<(), StoreError> {
        let terms = Terms::holding(letter.payload.len() + letter.reason.len());
        self.write(Place::State, terms, move |db| bury(db, &letter)).await
    }

    /// The messages kept aside, oldest first.
    pub async fn dead_letters(&self) -> Result<Vec<DeadLetter>, StoreError> {
        self.read(Place::State, |db| graves(db)).await
    }
}

fn bury(db: &Connection, letter: &DeadLetter) -> Result<(), StoreError> {
    let DeadLetter { component, source, payload, reason } = letter;
    db.prepare_cached(
        "INSERT INTO pirn_dead_letter (component, source, payload, reason) VALUES (?1, ?2, ?3, ?4)",
    )?
    .execute(params![component, source, payload, reason])?;
    db.execute(
        "DELETE FROM pirn_dead_letter WHERE id <=
         (SELECT max(id) FROM pirn_dead_letter) - ?1",
        params![caps::DEAD_LETTERS_MAX],
    )?;
    Ok(())
}

fn graves(db: &Connection) -> Result<Vec<DeadLetter>, StoreError> {
    let letter = |row: &Row<'_>| {
        Ok(DeadLetter {
            component: row.get(0)?,
            source: row.get(1)?,
            payload: row.get(2)?,
            reason: row.get(3)?,
        })
    };
    let mut query = db.prepare_cached(
        "SELECT component, source, payload, reason FROM pirn_dead_letter ORDER BY id",
    )?;
    let letters = query.query_map([], letter)?;
    Ok(letters.collect::<Result<_, _>>()?)
}
