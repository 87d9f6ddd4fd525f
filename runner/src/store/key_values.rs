//! Changes of key-values that look before they write, and of several keys at once: each is one piece of work, so nobody
//! else's comes between, and it is done wholly or not at all.

use sha2::{Digest as _, Sha256};

use super::key_value::{delete, get, set, within};
use super::{Place, Quota, Store, StoreError, Terms};
use crate::limits::host as limits;

/// A number is kept as these bytes, the highest first, as Spin reads it.
const NUMBER_BYTES: usize = 8;

/// What a value is known by; `None` is that of no value.
pub type Seen = Option<[u8; 32]>;

/// How a swap ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swapped {
    /// The value was what was expected, and is the new one now.
    Done,
    /// It was this one.
    Changed(Seen),
}

/// What a value is known by.
pub fn seen(value: Option<&[u8]>) -> Seen {
    value.map(|value| Sha256::digest(value).into())
}

impl Store {
    /// Adds to a number, which is 0 where there is none; returns what it is now.
    pub async fn add_within(
        &self,
        store: &str,
        key: &str,
        delta: i64,
        quotas: &[Quota<'_>],
    ) -> Result<i64, StoreError> {
        within("a key", key.len(), limits::KEY_BYTES_MAX)?;
        let (room, tightest) = self.room(store, quotas).await?;
        let (label, key) = (store.to_owned(), key.to_owned());
        let terms = Terms::holding(key.len() + NUMBER_BYTES);
        let work = move |tx: &super::Tx<'_>| {
            let now = number(&key, get(tx, &label, &key)?)?;
            let sum = now.checked_add(delta);
            let sum =
                sum.ok_or_else(|| StoreError::Limit(format!("{now} + {delta} is too large")))?;
            Ok(set(tx, &label, &key, &sum.to_be_bytes(), room)?.map(|()| sum))
        };
        let added = self.write(Place::KeyValue(store), terms, work).await?;
        added.map_err(|would_hold| exceeded(tightest, would_hold))
    }

    /// Writes a value if the one that is there is the expected one.
    pub async fn swap_within(
        &self,
        store: &str,
        key: &str,
        expected: Seen,
        value: Vec<u8>,
        quotas: &[Quota<'_>],
    ) -> Result<Swapped, StoreError> {
        within("a key", key.len(), limits::KEY_BYTES_MAX)?;
        within("a value", value.len(), limits::VALUE_BYTES_MAX)?;
        let (room, tightest) = self.room(store, quotas).await?;
        let (label, key) = (store.to_owned(), key.to_owned());
        let terms = Terms::holding(key.len() + value.len());
        let work = move |tx: &super::Tx<'_>| {
            let now = seen(get(tx, &label, &key)?.as_deref());
            match now == expected {
                true => Ok(set(tx, &label, &key, &value, room)?.map(|()| Swapped::Done)),
                false => Ok(Ok(Swapped::Changed(now))),
            }
        };
        let swapped = self.write(Place::KeyValue(store), terms, work).await?;
        swapped.map_err(|would_hold| exceeded(tightest, would_hold))
    }

    /// The values of some keys, in their order.
    pub async fn get_many(
        &self,
        store: &str,
        keys: Vec<String>,
    ) -> Result<Vec<(String, Option<Vec<u8>>)>, StoreError> {
        within_batch(keys.iter().map(String::len))?;
        let label = store.to_owned();
        let work = move |tx: &super::Tx<'_>| {
            let mut bytes = 0;
            let mut found = Vec::with_capacity(keys.len());
            for key in keys {
                let value = get(tx, &label, &key)?;
                bytes += key.len() + value.as_ref().map_or(0, Vec::len);
                within("what one call asks for", bytes, limits::BATCH_BYTES_MAX)?;
                found.push((key, value));
            }
            Ok(found)
        };
        self.read(Place::KeyValue(store), work).await
    }

    /// Writes several values.
    pub async fn set_many_within(
        &self,
        store: &str,
        pairs: Vec<(String, Vec<u8>)>,
        quotas: &[Quota<'_>],
    ) -> Result<(), StoreError> {
        within_batch(pairs.iter().map(|(key, value)| key.len() + value.len()))?;
        for (key, value) in &pairs {
            within("a key", key.len(), limits::KEY_BYTES_MAX)?;
            within("a value", value.len(), limits::VALUE_BYTES_MAX)?;
        }
        let (room, _) = self.room(store, quotas).await?;
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        let label = store.to_owned();
        let work = move |tx: &super::Tx<'_>| {
            for (key, value) in &pairs {
                // As an error it takes those before it along.
                set(tx, &label, key, value, room)?.map_err(|would_hold| {
                    StoreError::Limit(format!(
                        "store `{label}` may hold {room} bytes, and these would make it {would_hold}: none is set"
                    ))
                })?;
            }
            Ok(())
        };
        self.write(Place::KeyValue(store), Terms::holding(bytes), work).await
    }

    /// Removes several keys.
    pub async fn delete_many(&self, store: &str, keys: Vec<String>) -> Result<(), StoreError> {
        within_batch(keys.iter().map(String::len))?;
        let bytes = keys.iter().map(String::len).sum();
        let label = store.to_owned();
        let work =
            move |tx: &super::Tx<'_>| keys.iter().try_for_each(|key| delete(tx, &label, key));
        self.write(Place::KeyValue(store), Terms::holding(bytes), work).await
    }
}

fn exceeded(tightest: Option<(u64, &Quota<'_>)>, would_hold: u64) -> StoreError {
    match tightest {
        Some((elsewhere, quota)) => quota.exceeded(would_hold + elsewhere),
        None => StoreError::Stopped,
    }
}

fn within_batch(bytes: impl ExactSizeIterator<Item = usize>) -> Result<(), StoreError> {
    let most = limits::KEYS_PER_STORE_MAX as usize;
    if bytes.len() > most {
        let count = bytes.len();
        return Err(StoreError::Limit(format!(
            "one call may have {most} keys, this one has {count}"
        )));
    }
    within("one call", bytes.sum(), limits::BATCH_BYTES_MAX)
}

fn number(key: &str, value: Option<Vec<u8>>) -> Result<i64, StoreError> {
    let Some(value) = value else { return Ok(0) };
    let bytes = <[u8; NUMBER_BYTES]>::try_from(value.as_slice());
    bytes.map(i64::from_be_bytes).map_err(|_| {
        let count = value.len();
        StoreError::Limit(format!(
            "the value of {key:?} is no number: that has {NUMBER_BYTES} bytes, the highest first, and this one {count}"
        ))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::store::Layout;

    fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().unwrap();
        let layout = Layout { state_dir: folder.path().to_owned(), ..Layout::default() };
        let store = Store::start(layout).unwrap();
        (folder, store)
    }

    #[tokio::test]
    async fn a_number_begins_at_zero_and_neither_overflows_nor_takes_something_else_for_one() {
        let (_folder, store) = store();
        assert_eq!(store.add_within("s", "n", 5, &[]).await, Ok(5));
        assert_eq!(store.add_within("s", "n", -7, &[]).await, Ok(-2));
        assert_eq!(store.get("s", "n").await, Ok(Some((-2_i64).to_be_bytes().to_vec())));
        store.add_within("s", "n", i64::MIN, &[]).await.unwrap_err();
        assert_eq!(store.add_within("s", "n", 0, &[]).await, Ok(-2));
        store.set("s", "text", b"12".to_vec()).await.unwrap();
        let error = store.add_within("s", "text", 1, &[]).await.unwrap_err().to_string();
        assert!(error.contains("\"text\" is no number"), "{error}");
    }

    #[tokio::test]
    async fn additions_at_the_same_time_are_all_counted() {
        let (_folder, store) = store();
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..100 {
            let store = store.clone();
            all.spawn(async move { store.add_within("s", "n", 1, &[]).await.unwrap() });
        }
        let mut found = all.join_all().await;
        found.sort_unstable();
        assert_eq!(found, (1..=100).collect::<Vec<i64>>());
    }

    #[tokio::test]
    async fn a_value_is_swapped_only_if_it_is_the_one_that_was_seen() {
        let (_folder, store) = store();
        let swap = |expected: Option<&'static [u8]>, value: &'static [u8]| {
            store.swap_within("s", "k", seen(expected), value.to_vec(), &[])
        };
        assert_eq!(swap(None, b"one").await, Ok(Swapped::Done));
        assert_eq!(swap(None, b"two").await, Ok(Swapped::Changed(seen(Some(b"one")))));
        assert_eq!(swap(Some(b"one"), b"two").await, Ok(Swapped::Done));
        store.delete("s", "k").await.unwrap();
        assert_eq!(swap(Some(b"two"), b"three").await, Ok(Swapped::Changed(None)));
        assert_eq!(store.get("s", "k").await, Ok(None));
    }

    #[tokio::test]
    async fn of_several_values_that_do_not_all_fit_none_is_set() {
        use std::collections::BTreeSet;

        use crate::store::Holder;
        let (_folder, store) = store();
        store.set("s", "old", b"old".to_vec()).await.unwrap();
        let stores = BTreeSet::from(["s".to_owned()]);
        let quotas = [Quota { holder: Holder::Component("c"), stores: &stores, bytes_max: 10 }];
        let pairs = |bytes: usize| {
            vec![("old".to_owned(), b"new".to_vec()), ("more".to_owned(), vec![0; bytes])]
        };
        let error = store.set_many_within("s", pairs(8), &quotas).await.unwrap_err().to_string();
        assert!(error.contains("none is set"), "{error}");
        let all = vec!["old".to_owned(), "more".to_owned()];
        let found = store.get_many("s", all.clone()).await.unwrap();
        assert_eq!(found, [("old".into(), Some(b"old".to_vec())), ("more".into(), None)]);
        store.set_many_within("s", pairs(7), &quotas).await.unwrap();
        // What the store holds is still known rightly.
        store.set_within("s", "more", vec![0; 8], &quotas).await.unwrap_err();
        store.delete_many("s", all).await.unwrap();
        assert_eq!(store.keys("s").await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn one_call_has_only_so_many_keys_and_bytes() {
        let (_folder, store) = store();
        let many = vec![String::new(); 1_025];
        store.get_many("s", many.clone()).await.unwrap_err();
        store.delete_many("s", many).await.unwrap_err();
        for key in ["a", "b", "c"] {
            store.set("s", key, vec![0; 1 << 20]).await.unwrap();
        }
        let all = ["a", "b", "c"].map(str::to_owned).to_vec();
        store.get_many("s", all).await.unwrap_err();
        let large = vec![("a".to_owned(), vec![0; 1 << 20]), ("b".to_owned(), vec![0; 1 << 20])];
        store.set_many_within("s", large, &[]).await.unwrap_err();
    }
}
