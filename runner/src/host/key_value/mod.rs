//! Key-value stores: `fermyon:spin/key-value@2.0.0` and its async twin, over the one database. A
//! write that returned is on the disk.

mod numbered;
mod wasi;

use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::{Door, Host, Interface};
use crate::engine::door::{Answer, Twin};
use crate::engine::wire::wire;
use crate::store::StoreError;

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum Error {
        /// A cap is reached.
        #[component(name = "store-table-full")]
        StoreTableFull,
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

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        Self::Other(error.to_string())
    }
}

/// An open store: the label was granted when it was opened.
pub struct OpenStore {
    label: String,
}

type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    let mut sync = door.interface("fermyon:spin/key-value@2.0.0")?;
    offer_both(&mut sync, Twin::Sync)?;
    sync.waiting(Twin::Sync, "[method]store.get-keys", get_keys)?;
    let mut twin = door.interface("spin:key-value/key-value@3.0.0")?;
    offer_both(&mut twin, Twin::Async)?;
    twin.streaming("[method]store.get-keys", keys)?;
    numbered::offer(door)?;
    wasi::offer(door)
}

fn offer_both(interface: &mut Interface<'_>, twin: Twin) -> Answer<()> {
    interface.resource::<OpenStore>("store")?;
    interface.waiting(twin, "[static]store.open", open)?;
    interface.waiting(twin, "[method]store.get", get)?;
    interface.waiting(twin, "[method]store.set", set)?;
    interface.waiting(twin, "[method]store.delete", delete)?;
    interface.waiting(twin, "[method]store.exists", exists)
}

async fn open(host: Host, (label,): (String,)) -> Of<Resource<OpenStore>> {
    if !host.grants().key_value_stores.contains(&label) {
        return Ok((Err(Error::AccessDenied),));
    }
    Ok((host.try_push(OpenStore { label }).ok_or(Error::StoreTableFull),))
}

fn label(host: &Host, store: &Resource<OpenStore>) -> Answer<String> {
    host.with(store, |open| open.label.clone())
}

async fn get(host: Host, (store, key): (Resource<OpenStore>, String)) -> Of<Option<Vec<u8>>> {
    let label = label(&host, &store)?;
    Ok((host.grants().store.get(&label, &key).await.map_err(Error::from),))
}

async fn set(host: Host, (store, key, value): (Resource<OpenStore>, String, Vec<u8>)) -> Of<()> {
    let label = label(&host, &store)?;
    let grants = host.grants();
    let quotas = grants.quotas();
    Ok((grants.store.set_within(&label, &key, value, &quotas).await.map_err(Error::from),))
}

async fn delete(host: Host, (store, key): (Resource<OpenStore>, String)) -> Of<()> {
    let label = label(&host, &store)?;
    Ok((host.grants().store.delete(&label, &key).await.map_err(Error::from),))
}

async fn exists(host: Host, (store, key): (Resource<OpenStore>, String)) -> Of<bool> {
    let label = label(&host, &store)?;
    let value = host.grants().store.get(&label, &key).await;
    Ok((value.map(|value| value.is_some()).map_err(Error::from),))
}

async fn get_keys(host: Host, (store,): (Resource<OpenStore>,)) -> Of<Vec<String>> {
    Ok((keys(host, (store,)).await?,))
}

async fn keys(host: Host, (store,): (Resource<OpenStore>,)) -> Answer<Result<Vec<String>, Error>> {
    let label = label(&host, &store)?;
    Ok(host.grants().store.keys(&label).await.map_err(Error::from))
}
