//! `wasi:keyvalue@0.2.0-draft2`: the same stores in WASI's words, with changes that nobody else's come between and
//! several keys in one call.

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Door, Host};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::store::{Seen, StoreError, Swapped, seen};

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum Error {
        /// No store has this label.
        #[component(name = "no-such-store")]
        NoSuchStore,
        /// The component's manifest does not name this store.
        #[component(name = "access-denied")]
        AccessDenied,
        /// Anything else, in a sentence.
        #[component(name = "other")]
        Other(String),
    }
}

wire! {
    /// `record key-response`.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(record)]
    pub(super) struct KeyResponse {
        /// Keys.
        #[component(name = "keys")]
        pub(super) keys: Vec<String>,
        /// Where to go on, if there are more.
        #[component(name = "cursor")]
        pub(super) cursor: Option<String>,
    }
}

wire! {
    /// `variant cas-error`.
    #[derive(Debug, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum CasError {
        /// The store failed.
        #[component(name = "store-error")]
        StoreError(Error),
        /// Somebody else changed the value: this one knows what it is now.
        #[component(name = "cas-failed")]
        CasFailed(Resource<Cas>),
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
    }
}

/// An open store: the label was granted when it was opened.
pub(super) struct Bucket(String);

/// A value as it was seen. Only what it is known by is kept: values may be large, and handles many.
pub(super) struct Cas {
    label: String,
    key: String,
    seen: Seen,
}

type Of<T> = Answer<(Result<T, Error>,)>;
type Handle = Resource<Bucket>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut store = door.interface("wasi:keyvalue/store@0.2.0-draft2")?;
    store.resource::<Bucket>("bucket")?;
    store.waiting(Twin::Sync, "open", open)?;
    store.waiting(Twin::Sync, "[method]bucket.get", get)?;
    store.waiting(Twin::Sync, "[method]bucket.set", set)?;
    store.waiting(Twin::Sync, "[method]bucket.delete", delete)?;
    store.waiting(Twin::Sync, "[method]bucket.exists", exists)?;
    store.waiting(Twin::Sync, "[method]bucket.list-keys", list_keys)?;
    let mut atomics = door.interface("wasi:keyvalue/atomics@0.2.0-draft2")?;
    atomics.resource::<Cas>("cas")?;
    atomics.waiting(Twin::Sync, "[static]cas.new", new_cas)?;
    atomics.waiting(Twin::Sync, "[method]cas.current", current)?;
    atomics.waiting(Twin::Sync, "increment", increment)?;
    atomics.waiting(Twin::Sync, "swap", swap)?;
    let mut batch = door.interface("wasi:keyvalue/batch@0.2.0-draft2")?;
    batch.waiting(Twin::Sync, "get-many", get_many)?;
    batch.waiting(Twin::Sync, "set-many", set_many)?;
    batch.waiting(Twin::Sync, "delete-many", delete_many)
}

async fn open(host: Host, (label,): (String,)) -> Of<Handle> {
    if !host.grants().key_value_stores.contains(&label) {
        return Ok((Err(Error::AccessDenied),));
    }
    let handle = host.try_push(Bucket(label));
    Ok((handle.ok_or_else(|| Error::Other("too many handles are open".into())),))
}

fn label(host: &Host, bucket: &Handle) -> Answer<String> {
    host.with(bucket, |bucket| bucket.0.clone())
}

async fn get(host: Host, (bucket, key): (Handle, String)) -> Of<Option<Vec<u8>>> {
    let label = label(&host, &bucket)?;
    Ok((host.grants().store.get(&label, &key).await.map_err(Error::from),))
}

async fn set(host: Host, (bucket, key, value): (Handle, String, Vec<u8>)) -> Of<()> {
    let label = label(&host, &bucket)?;
    let grants = host.grants();
    let quotas = grants.quotas();
    let set = grants.store.set_within(&label, &key, value, &quotas);
    Ok((set.await.map_err(Error::from),))
}

async fn delete(host: Host, (bucket, key): (Handle, String)) -> Of<()> {
    let label = label(&host, &bucket)?;
    Ok((host.grants().store.delete(&label, &key).await.map_err(Error::from),))
}

async fn exists(host: Host, (bucket, key): (Handle, String)) -> Of<bool> {
    let label = label(&host, &bucket)?;
    let value = host.grants().store.get(&label, &key).await;
    Ok((value.map(|value| value.is_some()).map_err(Error::from),))
}

/// A store has so few keys that they are one answer; a cursor is the key after which to go on.
async fn list_keys(host: Host, (bucket, cursor): (Handle, Option<String>)) -> Of<KeyResponse> {
    let label = label(&host, &bucket)?;
    let keys = host.grants().store.keys(&label).await;
    let after = |key: &String| cursor.as_ref().is_none_or(|cursor| key > cursor);
    let answer = keys
        .map(|keys| KeyResponse { keys: keys.into_iter().filter(after).collect(), cursor: None });
    Ok((answer.map_err(Error::from),))
}

async fn new_cas(host: Host, (bucket, key): (Handle, String)) -> Of<Resource<Cas>> {
    let label = label(&host, &bucket)?;
    let seen = match host.grants().store.get(&label, &key).await {
        Ok(value) => seen(value.as_deref()),
        Err(error) => return Ok((Err(error.into()),)),
    };
    Ok((keep(&host, Cas { label, key, seen }),))
}

fn keep(host: &Host, cas: Cas) -> Result<Resource<Cas>, Error> {
    host.try_push(cas).ok_or_else(|| Error::Other("too many handles are open".into()))
}

/// What the value is now, which is what a swap expects from here on.
async fn current(host: Host, (cas,): (Resource<Cas>,)) -> Of<Option<Vec<u8>>> {
    let (label, key) = host.with(&cas, |cas| (cas.label.clone(), cas.key.clone()))?;
    let value = match host.grants().store.get(&label, &key).await {
        Ok(value) => value,
        Err(error) => return Ok((Err(error.into()),)),
    };
    host.with(&cas, |cas| cas.seen = seen(value.as_deref()))?;
    Ok((Ok(value),))
}

async fn increment(host: Host, (bucket, key, delta): (Handle, String, i64)) -> Of<i64> {
    let label = label(&host, &bucket)?;
    let grants = host.grants();
    let quotas = grants.quotas();
    let added = grants.store.add_within(&label, &key, delta, &quotas);
    Ok((added.await.map_err(Error::from),))
}

async fn swap(
    host: Host,
    (cas, value): (Resource<Cas>, Vec<u8>),
) -> Answer<(Result<(), CasError>,)> {
    let Cas { label, key, seen } = host.take(cas)?;
    let grants = host.grants();
    let swapped = grants.store.swap_within(&label, &key, seen, value, &grants.quotas()).await;
    let answer = match swapped {
        Ok(Swapped::Done) => Ok(()),
        Ok(Swapped::Changed(seen)) => match keep(&host, Cas { label, key, seen }) {
            Ok(again) => Err(CasError::CasFailed(again)),
            Err(error) => Err(CasError::StoreError(error)),
        },
        Err(error) => Err(CasError::StoreError(error.into())),
    };
    Ok((answer,))
}

async fn get_many(
    host: Host,
    (bucket, keys): (Handle, Vec<String>),
) -> Of<Vec<(String, Option<Vec<u8>>)>> {
    let label = label(&host, &bucket)?;
    Ok((host.grants().store.get_many(&label, keys).await.map_err(Error::from),))
}

async fn set_many(host: Host, (bucket, pairs): (Handle, Vec<(String, Vec<u8>)>)) -> Of<()> {
    let label = label(&host, &bucket)?;
    let grants = host.grants();
    let quotas = grants.quotas();
    let set = grants.store.set_many_within(&label, pairs, &quotas);
    Ok((set.await.map_err(Error::from),))
}

async fn delete_many(host: Host, (bucket, keys): (Handle, Vec<String>)) -> Of<()> {
    let label = label(&host, &bucket)?;
    Ok((host.grants().store.delete_many(&label, keys).await.map_err(Error::from),))
}
