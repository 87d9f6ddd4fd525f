//! Events that could not be handled, kept aside until somebody looks at them, has them tried again, or
//! lets go of them. Bounded in number and bytes; what becomes of one too many is the operator's choice,
//! and nothing goes without being counted and said.
//!
//! A letter that is to be tried again is marked in its row, so the wish survives the process; who runs
//! events takes marked letters, and says of each how it ended. A letter is gone only when its event was
//! handled: dying in between means that it is tried once more.

mod letter;
mod pick;

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};

use super::{Place, Store, StoreError, Terms, Tx};
use crate::limits::bounds::{LetterBounds, WhenFull};
pub use letter::{DeadLetter, Kept, LetterKind, Retry};
pub use pick::Pick;

/// `size` is what a letter counts for; it stands before the payload, so that sums do not read that.
/// `retry` is a [`Retry`].
pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS pirn_letter (
        id INTEGER PRIMARY KEY, size INTEGER NOT NULL, retry INTEGER NOT NULL, time INTEGER NOT NULL,
        component TEXT NOT NULL, kind TEXT NOT NULL, source TEXT NOT NULL, qos INTEGER NOT NULL,
        retained INTEGER NOT NULL, attempts INTEGER NOT NULL, reason TEXT NOT NULL,
        payload_bytes INTEGER NOT NULL, payload BLOB NOT NULL);
    CREATE TABLE IF NOT EXISTS pirn_letter_total (
        one INTEGER PRIMARY KEY CHECK (one = 1), last_id INTEGER NOT NULL, letters INTEGER NOT NULL,
        bytes INTEGER NOT NULL, dropped INTEGER NOT NULL);
    INSERT OR IGNORE INTO pirn_letter_total VALUES (1, 0, 0, 0, 0);";

/// What is kept, and what had to go, since the file was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterTotals {
    /// Letters.
    pub letters: u64,
    /// What they count for, in bytes.
    pub bytes: u64,
    /// Letters that gave way to newer ones.
    pub dropped_oldest: u64,
}

impl Store {
    /// Keeps an event that could not be handled and gives it a number; it is on the disk when this
    /// returns. Dropped half-way, it may or may not be.
    pub async fn bury(&self, letter: DeadLetter) -> Result<i64, StoreError> {
        let (letter, bounds) = (letter.cut(), self.layout().letters);
        let terms = Terms::holding(usize::try_from(letter.size()).unwrap_or(usize::MAX));
        let (id, gave_way) =
            self.write(Place::State, terms, move |tx| bury(tx, &letter, bounds)).await?;
        self.count_letters_dropped(gave_way);
        Ok(id)
    }

    /// One letter.
    pub async fn dead_letter(&self, id: i64) -> Result<Option<Kept>, StoreError> {
        let one = format!("SELECT {COLUMNS}, payload FROM pirn_letter WHERE id = ?1");
        let look = move |tx: &Tx<'_>| {
            Ok(tx.prepare_cached(&one)?.query_row([id], |row| kept(row, true)).optional()?)
        };
        self.read(Place::State, look).await
    }

    /// Some letters, oldest first: those of a pick that come after a number, at most so many. Without
    /// payloads unless asked for.
    pub async fn dead_letters(
        &self,
        pick: Pick,
        after: i64,
        most: u32,
        payloads: Payloads,
    ) -> Result<Vec<Kept>, StoreError> {
        let with = payloads == Payloads::With;
        let payload = if with { ", payload" } else { "" };
        let query = format!(
            "SELECT {COLUMNS}{payload} FROM pirn_letter WHERE id > {after} AND {} ORDER BY id LIMIT {most}",
            Pick::SQL
        );
        let look = move |tx: &Tx<'_>| {
            let mut query = tx.prepare(&query)?;
            let rows = query.query_map(&pick.params()[..], |row| kept(row, with))?;
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.read(Place::State, look).await
    }

    /// Lets go of letters; how many.
    pub async fn drop_dead_letters(&self, pick: Pick) -> Result<u64, StoreError> {
        let work = move |tx: &Tx<'_>| {
            let sum = format!(
                "SELECT count(*), coalesce(sum(size), 0) FROM pirn_letter WHERE {}",
                Pick::SQL
            );
            let (letters, bytes): (i64, i64) =
                tx.query_row(&sum, &pick.params()[..], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let delete = format!("DELETE FROM pirn_letter WHERE {}", Pick::SQL);
            tx.execute(&delete, &pick.params()[..])?;
            add_to_totals(tx, -letters, -bytes, 0)?;
            Ok(letters.unsigned_abs())
        };
        self.write(Place::State, Terms::default(), work).await
    }

    /// Marks letters to be tried again, and wakes whoever takes them: how many were marked, and how many
    /// cannot be, since only the first bytes of them were kept.
    pub async fn retry_dead_letters(&self, pick: Pick) -> Result<(u64, u64), StoreError> {
        let work = move |tx: &Tx<'_>| {
            let cut = format!(
                "SELECT count(*) FROM pirn_letter WHERE length(payload) < payload_bytes AND {}",
                Pick::SQL
            );
            super::kept::note(tx)?;
            let cut: i64 = tx.query_row(&cut, &pick.params()[..], |row| row.get(0))?;
            let mark = format!(
                "UPDATE pirn_letter SET retry = max(retry, 1)
                 WHERE length(payload) = payload_bytes AND {}",
                Pick::SQL
            );
            let marked = tx.execute(&mark, &pick.params()[..])?;
            Ok((marked as u64, cut.unsigned_abs()))
        };
        self.write(Place::State, Terms::default(), work).await
    }

    /// Takes letters that are marked to be tried again, oldest first. Each must be followed by
    /// [`Store::letter_handled`] or [`Store::letter_failed`]; those that are not are marked again when the file
    /// is opened the next time.
    pub async fn take_retries(&self, most: u32) -> Result<Vec<Kept>, StoreError> {
        let work = move |tx: &Tx<'_>| {
            let query = format!(
                "SELECT {COLUMNS}, payload FROM pirn_letter WHERE retry = 1 ORDER BY id LIMIT ?1"
            );
            let mut query = tx.prepare_cached(&query)?;
            let rows = query.query_map([most], |row| kept(row, true))?;
            let letters: Vec<Kept> = rows.collect::<Result<_, _>>()?;
            for letter in &letters {
                tx.execute("UPDATE pirn_letter SET retry = 2 WHERE id = ?1", [letter.id])?;
            }
            Ok(letters)
        };
        self.write(Place::State, Terms::default(), work).await
    }

    /// A letter's event was handled after all: it is gone when this returns.
    pub async fn letter_handled(&self, id: i64) -> Result<(), StoreError> {
        let work = move |tx: &Tx<'_>| remove(tx, id, 0);
        self.write(Place::State, Terms::default(), work).await
    }

    /// A letter's event failed again, after so many attempts more.
    pub async fn letter_failed(
        &self,
        id: i64,
        attempts: u32,
        reason: String,
    ) -> Result<(), StoreError> {
        let reason = letter::shortened(reason);
        let terms = Terms::holding(reason.len());
        let work = move |tx: &Tx<'_>| {
            let longer: Option<i64> = tx
                .query_row(
                    "SELECT ?2 - length(CAST(reason AS BLOB)) FROM pirn_letter WHERE id = ?1",
                    params![id, reason.len() as i64],
                    |row| row.get(0),
                )
                .optional()?;
            let Some(longer) = longer else { return Ok(()) };
            tx.execute(
                "UPDATE pirn_letter SET retry = 0, attempts = attempts + ?2, reason = ?3,
                 size = size + ?4 WHERE id = ?1",
                params![id, attempts, reason, longer],
            )?;
            add_to_totals(tx, 0, longer, 0)
        };
        self.write(Place::State, terms, work).await
    }

    /// What is kept and what had to go.
    pub async fn letter_totals(&self) -> Result<LetterTotals, StoreError> {
        self.read(Place::State, |tx| totals(tx)).await
    }
}

/// Whether payloads are wanted: they may be megabytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Payloads {
    /// With them.
    With,
    /// Without; they come empty.
    Without,
}

const COLUMNS: &str = "id, retry, time, component, kind, source, qos, retained, attempts, reason, \
    payload_bytes, length(payload)";

/// Its number, and how many gave way to it.
fn bury(tx: &Tx<'_>, letter: &DeadLetter, bounds: LetterBounds) -> Result<(i64, u64), StoreError> {
    let size = letter.size();
    let gave_way = make_room(tx, size, bounds)?;
    let last = "UPDATE pirn_letter_total SET last_id = last_id + 1, letters = letters + 1,
                bytes = bytes + ?1 RETURNING last_id";
    let id: i64 = tx.prepare_cached(last)?.query_row([size as i64], |row| row.get(0))?;
    tx.prepare_cached(
        "INSERT INTO pirn_letter (id, size, retry, time, component, kind, source, qos, retained,
                                  attempts, reason, payload_bytes, payload)
         VALUES (:id, :size, 0, :time, :component, :kind, :source, :qos, :retained,
                 :attempts, :reason, :payload_bytes, :payload)",
    )?
    .execute(named_params! {
        ":id": id, ":size": size as i64, ":time": letter.time as i64,
        ":component": letter.component, ":kind": letter.kind.word(), ":source": letter.source,
        ":qos": letter.qos, ":retained": letter.retained, ":attempts": letter.attempts,
        ":reason": letter.reason, ":payload_bytes": letter.payload_bytes as i64,
        ":payload": letter.payload,
    })?;
    Ok((id, gave_way))
}

/// Makes room for one letter, as the operator wants it. How many had to go.
fn make_room(tx: &Tx<'_>, size: u64, bounds: LetterBounds) -> Result<u64, StoreError> {
    let LetterBounds { letters_max, bytes_max, when_full } = bounds;
    let full = |now: LetterTotals| {
        now.letters > 0 && (now.letters >= letters_max.into() || now.bytes + size > bytes_max)
    };
    let mut now = totals(tx)?;
    if !full(now) {
        return Ok(0);
    }
    let before = now.dropped_oldest;
    if when_full == WhenFull::Refuse {
        return Err(StoreError::Limit(format!(
            "dead letters are full ({} letters, {} bytes): look at them with `pirnd dead-letters list`, \
             then `retry` or `drop` them",
            now.letters, now.bytes
        )));
    }
    while full(now) {
        let oldest = tx.query_row("SELECT min(id) FROM pirn_letter", [], |row| row.get(0))?;
        let Some(oldest) = oldest else { break };
        remove(tx, oldest, 1)?;
        now = totals(tx)?;
    }
    // Said at the first, the second, the fourth …: a storm must not fill the log as well.
    if now.dropped_oldest.is_power_of_two() {
        tx.say(format!(
            "dead letters are full: the oldest gave way, {} of them so far; look at them with `pirnd dead-letters list`",
            now.dropped_oldest
        ));
    }
    Ok(now.dropped_oldest - before)
}

fn remove(tx: &Tx<'_>, id: i64, dropped: i64) -> Result<(), StoreError> {
    let size = "DELETE FROM pirn_letter WHERE id = ?1 RETURNING size";
    let size: Option<i64> =
        tx.prepare_cached(size)?.query_row([id], |row| row.get(0)).optional()?;
    match size {
        Some(size) => add_to_totals(tx, -1, -size, dropped),
        None => Ok(()),
    }
}

fn add_to_totals(tx: &Tx<'_>, letters: i64, bytes: i64, dropped: i64) -> Result<(), StoreError> {
    tx.prepare_cached(
        "UPDATE pirn_letter_total SET letters = letters + ?1, bytes = bytes + ?2, dropped = dropped + ?3",
    )?
    .execute([letters, bytes, dropped])?;
    Ok(())
}

fn totals(db: &Connection) -> Result<LetterTotals, StoreError> {
    let row = |row: &Row<'_>| {
        let number = |index| row.get(index).map(i64::unsigned_abs);
        Ok(LetterTotals { letters: number(0)?, bytes: number(1)?, dropped_oldest: number(2)? })
    };
    let mut query = db.prepare_cached("SELECT letters, bytes, dropped FROM pirn_letter_total")?;
    Ok(query.query_row([], row)?)
}

/// What an earlier process left: its letters, if it had another table for them, and those that it was
/// trying again when it ended.
pub(super) fn take_over(db: &Connection) -> Result<(), StoreError> {
    db.execute("UPDATE pirn_letter SET retry = 1 WHERE retry = 2", [])?;
    let old = "SELECT count(*) FROM sqlite_schema WHERE name = 'pirn_dead_letter'";
    let there: i64 = db.query_row(old, [], |row| row.get(0))?;
    if there == 0 {
        return Ok(());
    }
    db.execute_batch(
        "SAVEPOINT take_over;
         INSERT INTO pirn_letter SELECT id, length(payload) + 128, 0, 0, component, 'mqtt', source, 1,
             0, 0, reason, length(payload), payload FROM pirn_dead_letter
             WHERE id NOT IN (SELECT id FROM pirn_letter);
         DROP TABLE pirn_dead_letter;
         UPDATE pirn_letter_total SET
             last_id = max(last_id, (SELECT coalesce(max(id), 0) FROM pirn_letter)),
             letters = (SELECT count(*) FROM pirn_letter),
             bytes = (SELECT coalesce(sum(size), 0) FROM pirn_letter);
         RELEASE take_over",
    )?;
    Ok(())
}

fn kept(row: &Row<'_>, payload: bool) -> rusqlite::Result<Kept> {
    let number = |index| row.get(index).map(i64::unsigned_abs);
    let kind: String = row.get(4)?;
    Ok(Kept {
        id: row.get(0)?,
        retry: Retry::of(row.get(1)?),
        kept_bytes: number(11)?,
        letter: DeadLetter {
            time: number(2)?,
            component: row.get(3)?,
            kind: LetterKind::of(&kind),
            source: row.get(5)?,
            qos: row.get(6)?,
            retained: row.get(7)?,
            attempts: row.get(8)?,
            reason: row.get(9)?,
            payload_bytes: number(10)?,
            payload: if payload { row.get(12)? } else { Vec::new() },
        },
    })
}

#[cfg(test)]
mod tests;
