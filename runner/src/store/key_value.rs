//! Key-value stores, in a table that is Spin's. What a store holds is known without looking at all of
//! it: counted once, then kept in step by each write, in memory, so that it costs the card nothing.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Place, Store, StoreError, Terms, Tx};
use crate::limits::host as limits;
use crate::limits::units::Bytes;

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS spin_key_value (
        store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key));";

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) keys: u32,
    pub(super) bytes: u64,
}

/// What the stores of one file hold, as far as anybody asked. Forgotten when a write is taken back, and
/// when another program has written to the file.
#[derive(Debug, Default)]
pub(super) struct Totals {
    known: BTreeMap<String, Held>,
    version: i64,
}

impl Totals {
    /// Nothing is known any more.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// Looks whether another program has written to the file.
    pub(super) fn check(&mut self, db: &Connection) -> Result<(), StoreError> {
        let mut query = db.prepare_cached("PRAGMA data_version")?;
        let version = query.query_row([], |row| row.get(0))?;
        if version != self.version {
            self.forget();
            self.version = version;
        }
        Ok(())
    }
}

/// How much may be kept in some stores together. What others keep in them counts, too: rows do not say whose they are.
#[derive(Clone, Copy, Debug)]
pub struct Quota<'a> {
    /// Whose it is.
    pub holder: Holder<'a>,
    /// The labels of the stores.
    pub stores: &'a BTreeSet<String>,
    /// Bytes of values.
    pub bytes_max: u64,
}

/// Who may keep so much.
#[derive(Clone, Copy, Debug)]
pub enum Holder<'a> {
    /// One component, in all the stores that it may open.
    Component(&'a str),
    /// All components of an app.
    App,
}

impl Quota<'_> {
    pub(super) fn exceeded(&self, would_hold: u64) -> StoreError {
        let (most, would_hold) = (Bytes(self.bytes_max), Bytes(would_hold));
        let (whose, table) = match self.holder {
            Holder::Component(id) => {
                (format!("of component `{id}`"), format!("component.{id}.tool.pirn"))
            }
            Holder::App => ("of the app".to_owned(), "application.tool.pirn".to_owned()),
        };
        StoreError::Limit(format!(
            "the stores {whose} may hold {most} in all, and this would make it {would_hold}: \
             delete keys, or raise `state` in [{table}]"
        ))
    }
}

impl Store {
    /// The value of a key. Dropping this future abandons the answer.
    pub async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (label, key) = (store.to_owned(), key.to_owned());
        self.read(Place::KeyValue(store), move |tx| get(tx, &label, &key)).await
    }

    /// Writes a value; it is on the disk when this returns. Dropped half-way, it may or may not be.
    pub async fn set(&self, store: &str, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        self.set_growing(store, key, value, u64::MAX).await?.map_err(|_| StoreError::Stopped)
    }

    /// The same within all of these. Several writes to different stores at the same time may exceed one by what is under
    /// way.
    pub async fn set_within(
        &self,
        store: &str,
        key: &str,
        value: Vec<u8>,
        quotas: &[Quota<'_>],
    ) -> Result<(), StoreError> {
        let (room, tightest) = self.room(store, quotas).await?;
        self.set_growing(store, key, value, room).await?.map_err(|would_hold| match tightest {
            Some((elsewhere, quota)) => quota.exceeded(would_hold + elsewhere),
            None => StoreError::Stopped,
        })
    }

    /// What this store may hold within all of these, and which of them is the tightest, with what it has elsewhere.
    pub(super) async fn room<'q>(
        &self,
        store: &str,
        quotas: &'q [Quota<'q>],
    ) -> Result<(u64, Option<(u64, &'q Quota<'q>)>), StoreError> {
        let mut tightest: Option<(u64, u64, &Quota<'_>)> = None;
        for quota in quotas.iter().filter(|quota| quota.bytes_max != u64::MAX) {
            let mut elsewhere = 0;
            for label in quota.stores.iter().filter(|label| *label != store) {
                let of_label = label.clone();
                let look = move |tx: &Tx<'_>| held(tx, &of_label);
                elsewhere += self.read(Place::KeyValue(label), look).await?.bytes;
            }
            let room = quota.bytes_max.saturating_sub(elsewhere);
            if tightest.is_none_or(|(least, ..)| room < least) {
                tightest = Some((room, elsewhere, quota));
            }
        }
        let room = tightest.map_or(u64::MAX, |(room, ..)| room);
        Ok((room, tightest.map(|(_, elsewhere, quota)| (elsewhere, quota))))
    }

    /// Writes a value unless the store would then have grown beyond `room`; if so, to how many bytes.
    async fn set_growing(
        &self,
        store: &str,
        key: &str,
        value: Vec<u8>,
        room: u64,
    ) -> Result<Result<(), u64>, StoreError> {
        within("a key", key.len(), limits::KEY_BYTES_MAX)?;
        within("a value", value.len(), limits::VALUE_BYTES_MAX)?;
        let (label, key) = (store.to_owned(), key.to_owned());
        let terms = Terms::holding(key.len() + value.len());
        let work = move |tx: &Tx<'_>| set(tx, &label, &key, &value, room);
        self.write(Place::KeyValue(store), terms, work).await
    }

    /// Removes a key, on the disk when this returns.
    pub async fn delete(&self, store: &str, key: &str) -> Result<(), StoreError> {
        let (label, key) = (store.to_owned(), key.to_owned());
        let terms = Terms::holding(key.len());
        self.write(Place::KeyValue(store), terms, move |tx| delete(tx, &label, &key)).await
    }

    /// All keys of a store, sorted.
    pub async fn keys(&self, store: &str) -> Result<Vec<String>, StoreError> {
        let label = store.to_owned();
        self.read(Place::KeyValue(store), move |tx| keys(tx, &label)).await
    }
}

pub(super) fn within(what: &str, bytes: usize, most: usize) -> Result<(), StoreError> {
    match bytes <= most {
        true => Ok(()),
        false => {
            Err(StoreError::Limit(format!("{what} may have {most} bytes, this one has {bytes}")))
        }
    }
}

pub(super) fn get(db: &Connection, store: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut query =
        db.prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
    Ok(query.query_row(params![store, key], |row| row.get(0)).optional()?)
}

/// What a store holds: read from all of its rows the first time only.
pub(super) fn held(tx: &Tx<'_>, store: &str) -> Result<Held, StoreError> {
    if let Some(held) = tx.totals().borrow().known.get(store) {
        return Ok(*held);
    }
    let held = tx
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(value)), 0) FROM spin_key_value WHERE store = ?1",
        )?
        .query_row([store], |row| {
            Ok(Held { keys: row.get(0)?, bytes: row.get::<_, i64>(1)?.unsigned_abs() })
        })?;
    remember(tx, store, held);
    Ok(held)
}

fn remember(tx: &Tx<'_>, store: &str, held: Held) {
    tx.totals().borrow_mut().known.insert(store.to_owned(), held);
}

/// Bytes of the value that a key has, if it has one.
fn bytes_of(db: &Connection, store: &str, key: &str) -> Result<Option<u64>, StoreError> {
    let mut query = db
        .prepare_cached("SELECT length(value) FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
    let bytes = query.query_row(params![store, key], |row| row.get::<_, i64>(0)).optional()?;
    Ok(bytes.map(i64::unsigned_abs))
}

pub(super) fn set(
    tx: &Tx<'_>,
    store: &str,
    key: &str,
    value: &[u8],
    room: u64,
) -> Result<Result<(), u64>, StoreError> {
    let now = held(tx, store)?;
    let old = bytes_of(tx, store, key)?;
    let keys = now.keys + u32::from(old.is_none());
    let bytes = now.bytes.saturating_sub(old.unwrap_or(0)) + value.len() as u64;
    if old.is_none() && now.keys >= limits::KEYS_PER_STORE_MAX {
        let most = limits::KEYS_PER_STORE_MAX;
        return Err(StoreError::Limit(format!("store `{store}` is full: it holds {most} keys")));
    }
    // What shrinks a store is always good, also one that is too full by another's doing.
    if bytes > now.bytes && bytes > limits::STORE_BYTES_MAX {
        let most = limits::STORE_BYTES_MAX;
        return Err(StoreError::Limit(format!(
            "store `{store}` is full: it may hold {most} bytes"
        )));
    }
    if bytes > now.bytes && bytes > room {
        return Ok(Err(bytes));
    }
    tx.prepare_cached(
        "INSERT OR REPLACE INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![store, key, value])?;
    remember(tx, store, Held { keys, bytes });
    Ok(Ok(()))
}

pub(super) fn delete(tx: &Tx<'_>, store: &str, key: &str) -> Result<(), StoreError> {
    let (now, old) = (held(tx, store)?, bytes_of(tx, store, key)?);
    let Some(old) = old else { return Ok(()) };
    tx.prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?
        .execute(params![store, key])?;
    let held = Held { keys: now.keys.saturating_sub(1), bytes: now.bytes.saturating_sub(old) };
    remember(tx, store, held);
    Ok(())
}

fn keys(db: &Connection, store: &str) -> Result<Vec<String>, StoreError> {
    let mut query =
        db.prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key")?;
    let keys = query.query_map(params![store], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}
