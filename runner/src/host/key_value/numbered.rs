//! `fermyon:spin/key-value` without a version, as guests of Spin 1 import it: the same stores, with numbers for handles.

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Door, Host, OpenStore};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::store::StoreError;

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub(super) enum Error {
        /// A cap is reached.
        #[component(name = "store-table-full")]
        StoreTableFull,
        /// No store has this label.
        #[component(name = "no-such-store")]
        NoSuchStore,
        /// The component's manifest does not name this store.
        #[component(name = "access-denied")]
        AccessDenied,
        /// The number stands for no store.
        #[component(name = "invalid-store")]
        InvalidStore,
        /// The key has no value.
        #[component(name = "no-such-key")]
        NoSuchKey,
        /// Anything else, in a sentence.
        #[component(name = "io")]
        Io(String),
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Io(error.to_string())
    }
}

type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut oldest = door.interface("fermyon:spin/key-value")?;
    oldest.at_once("open", open)?;
    oldest.waiting(
        Twin::Sync,
        "get",
        |host, asked| async move { Ok((get(host, asked).await,)) },
    )?;
    oldest.waiting(
        Twin::Sync,
        "set",
        |host, asked| async move { Ok((set(host, asked).await,)) },
    )?;
    oldest.waiting(Twin::Sync, "delete", |host, asked| async move {
        Ok((delete(host, asked).await,))
    })?;
    oldest.waiting(Twin::Sync, "exists", |host, asked| async move {
        Ok((exists(host, asked).await,))
    })?;
    oldest.waiting(Twin::Sync, "get-keys", |host, asked| async move {
        Ok((keys(host, asked).await,))
    })?;
    oldest.at_once("close", close)
}

fn open(host: &Host, (label,): (String,)) -> Of<u32> {
    if !host.grants().key_value_stores.contains(&label) {
        return Ok((Err(Error::AccessDenied),));
    }
    let handle = host.try_push(OpenStore { label });
    Ok((handle.map(|handle| handle.rep()).ok_or(Error::StoreTableFull),))
}

fn label(host: &Host, number: u32) -> Result<String, Error> {
    let store = Resource::<OpenStore>::new_borrow(number);
    host.with(&store, |open| open.label.clone()).map_err(|_| Error::InvalidStore)
}

async fn get(host: Host, (number, key): (u32, String)) -> Result<Vec<u8>, Error> {
    let label = label(&host, number)?;
    host.grants().store.get(&label, &key).await?.ok_or(Error::NoSuchKey)
}

async fn set(host: Host, (number, key, value): (u32, String, Vec<u8>)) -> Result<(), Error> {
    let label = label(&host, number)?;
    let grants = host.grants();
    Ok(grants.store.set_within(&label, &key, value, &grants.quotas()).await?)
}

async fn delete(host: Host, (number, key): (u32, String)) -> Result<(), Error> {
    let label = label(&host, number)?;
    Ok(host.grants().store.delete(&label, &key).await?)
}

async fn exists(host: Host, (number, key): (u32, String)) -> Result<bool, Error> {
    let label = label(&host, number)?;
    Ok(host.grants().store.get(&label, &key).await?.is_some())
}

async fn keys(host: Host, (number,): (u32,)) -> Result<Vec<String>, Error> {
    let label = label(&host, number)?;
    Ok(host.grants().store.keys(&label).await?)
}

/// A number that stands for nothing is closed already.
fn close(host: &Host, (number,): (u32,)) -> Answer<()> {
    let _ = host.take(Resource::<OpenStore>::new_own(number));
    Ok(())
}
