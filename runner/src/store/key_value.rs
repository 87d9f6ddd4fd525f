//! Key-value stores, in a table that is Spin's.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::{Place, Store, StoreError, Terms};
use crate::limits::host as limits;

pub(super) const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS spin_key_value (
        store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key));";

impl Store {
    /// The value of a key. Dropping this future abandons the answer.
    pub async fn get(&self, store: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let (label, key) = (store.to_owned(), key.to_owned());
        self.read(Place::KeyValue(store), move |db| get(db, &label, &key)).await
    }

    /// Writes a value; it is on the disk when this returns. Dropped half-way, it may or may not be.
    pub async fn set(&self, store: &str, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
        within("a key", key.len(), limits::KEY_BYTES_MAX)?;
        within("a value", value.len(), limits::VALUE_BYTES_MAX)?;
        let (label, key) = (store.to_owned(), key.to_owned());
        let terms = Terms::holding(key.len() + value.len());
        self.write(Place::KeyValue(store), terms, move |db| set(db, &label, &key, &value)).await
    }

    /// Removes a key, on the disk when this returns.
    pub async fn delete(&self, store: &str, key: &str) -> Result<(), StoreError> {
        let (label, key) = (store.to_owned(), key.to_owned());
        let terms = Terms::holding(key.len());
        self.write(Place::KeyValue(store), terms, move |db| delete(db, &label, &key)).await
    }

    /// All keys of a store, sorted.
    pub async fn keys(&self, store: &str) -> Result<Vec<String>, StoreError> {
        let label = store.to_owned();
        self.read(Place::KeyValue(store), move |db| keys(db, &label)).await
    }
}

fn within(what: &str, bytes: usize, most: usize) -> Result<(), StoreError> {
    match bytes <= most {
        true => Ok(()),
        false => {
            Err(StoreError::Limit(format!("{what} may have {most} bytes, this one has {bytes}")))
        }
    }
}

fn get(db: &Connection, store: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
    let mut query =
        db.prepare_cached("SELECT value FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
    Ok(query.query_row(params![store, key], |row| row.get(0)).optional()?)
}

fn set(db: &Connection, store: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
    let (count, bytes): (u32, i64) = db
        .prepare_cached(
            "SELECT count(*), coalesce(sum(length(value)), 0) FROM spin_key_value
             WHERE store = ?1 AND key <> ?2",
        )?
        .query_row(params![store, key], |row| Ok((row.get(0)?, row.get(1)?)))?;
    if count >= limits::KEYS_PER_STORE_MAX {
        let most = limits::KEYS_PER_STORE_MAX;
        return Err(StoreError::Limit(format!("store `{store}` is full: it holds {most} keys")));
    }
    if bytes.unsigned_abs() + value.len() as u64 > limits::STORE_BYTES_MAX {
        let most = limits::STORE_BYTES_MAX;
        return Err(StoreError::Limit(format!(
            "store `{store}` is full: it may hold {most} bytes"
        )));
    }
    db.prepare_cached(
        "INSERT OR REPLACE INTO spin_key_value (store, key, value) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![store, key, value])?;
    Ok(())
}

fn delete(db: &Connection, store: &str, key: &str) -> Result<(), StoreError> {
    let mut delete =
        db.prepare_cached("DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2")?;
    delete.execute(params![store, key])?;
    Ok(())
}

fn keys(db: &Connection, store: &str) -> Result<Vec<String>, StoreError> {
    let mut query =
        db.prepare_cached("SELECT key FROM spin_key_value WHERE store = ?1 ORDER BY key")?;
    let keys = query.query_map(params![store], |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}
