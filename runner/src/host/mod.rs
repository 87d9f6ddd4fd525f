//! What a guest may ask of the outside: one file per capability, each written once and served to
//! every engine through the door. The grant is checked first, always, in the capability's own file.
//!
//! A [`Host`] belongs to one invocation: what that guest may do, the objects behind its handles, and
//! what it has published so far.

pub mod brokers;
pub mod gpio;
pub mod key_value;
pub mod log;
pub mod mqtt;
pub mod outbound;
#[cfg(feature = "sqlite-guest")]
pub mod sqlite;
#[cfg(not(feature = "sqlite-guest"))]
#[path = "left_out/sqlite.rs"]
pub mod sqlite;
pub mod topics;
pub mod variables;
pub mod wasi;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::component::{Resource, ResourceTable};

use self::brokers::Brokers;
use self::outbound::Outbound;
use crate::engine::door::{Answer, Holds};
use crate::engine::fault::Fault;
use crate::files::manifest::Hosts;
use crate::files::variables::GuestVariables;
use crate::happening::Urgency;
use crate::limits::engine::HOST_RESOURCES_MAX;
use crate::limits::units::Rate;
use crate::outbox::Receipt;
use crate::plan::TopicGrant;
use crate::report::{Nobody, Reporter};
use crate::store::{Holder, Layout, Quota, Store};

/// A component whose guests live here.
pub type Component = crate::engine::Component<Host>;
/// The door that capabilities go through.
pub type Door = crate::engine::door::Door<Host>;
/// One interface that a capability fills.
pub type Interface<'a> = crate::engine::door::Interface<'a, Host>;

/// What one component is granted: the intersection of its manifest and the device's policy, made
/// once when the app starts.
pub struct Grants {
    /// The component's id.
    pub component: String,
    /// Its variables.
    pub variables: GuestVariables,
    /// Labels of the key-value stores that it may open.
    pub key_value_stores: BTreeSet<String>,
    /// What these may hold in all.
    pub state_bytes_max: u64,
    /// What all stores of its app may hold.
    pub app_state: Arc<AppState>,
    /// The stores' files.
    pub store: Store,
    /// Its databases.
    pub sqlite: sqlite::Grant,
    /// Hosts that it may reach.
    pub hosts: Hosts,
    /// Topics that it may publish to.
    pub publish_topics: TopicGrant,
    /// The app's sessions with brokers.
    pub brokers: Arc<Brokers>,
    /// The app's way to other machines.
    pub outbound: Arc<Outbound>,
    /// Models that it may ask.
    pub ai_models: BTreeSet<String>,
    /// GPIO lines that it may open.
    pub pins: gpio::PinGrants,
    /// Where its output goes.
    pub log: log::Log,
    /// Who is told of what it does.
    pub reporter: Arc<dyn Reporter>,
    /// Environment, arguments, files.
    pub wasi: wasi::Grant,
}

/// What all components of an app may keep.
#[derive(Debug)]
pub struct AppState {
    /// Labels of all stores that one of them may open.
    pub stores: BTreeSet<String>,
    /// What these may hold in all.
    pub bytes_max: u64,
}

impl Default for AppState {
    /// Without a bound.
    fn default() -> Self {
        Self { stores: BTreeSet::new(), bytes_max: u64::MAX }
    }
}

impl Grants {
    /// What may be kept in its stores.
    pub fn quotas(&self) -> [Quota<'_>; 2] {
        let (holder, stores) = (Holder::Component(&self.component), &self.key_value_stores);
        let own = Quota { holder, stores, bytes_max: self.state_bytes_max };
        let AppState { stores, bytes_max } = &*self.app_state;
        [own, Quota { holder: Holder::App, stores, bytes_max: *bytes_max }]
    }

    /// Grants that grant nothing, for tests and fuzz targets: no variable, file, store, host, topic or line.
    /// What the component writes goes nowhere, and its store has no folder. What a test does grant, it
    /// puts in their place: `Grants { hosts, ..Grants::none("test")? }`.
    pub fn none(component: &str) -> std::io::Result<Self> {
        let reporter: Arc<dyn Reporter> = Arc::new(Nobody);
        let store = Store::start(Layout::default())?;
        let rate = Rate { events: 1_000, period: Duration::from_secs(1) };
        let (tls, outbox) = Default::default();
        let brokers = Brokers::new(component, tls, store.clone(), outbox, Arc::clone(&reporter));
        Ok(Self {
            component: component.into(),
            variables: GuestVariables::default(),
            key_value_stores: BTreeSet::new(),
            state_bytes_max: 0,
            app_state: Arc::default(),
            store,
            sqlite: sqlite::Grant::default(),
            hosts: Hosts::default(),
            publish_topics: TopicGrant::default(),
            brokers: Arc::new(brokers),
            outbound: Arc::new(Outbound::new(Default::default(), None)),
            ai_models: BTreeSet::new(),
            pins: gpio::PinGrants::new(Default::default(), Default::default()),
            log: log::Log::new(component, rate, Arc::clone(&reporter)),
            reporter,
            wasi: wasi::Grant::default(),
        })
    }
}

/// The host's side of one invocation; cheap to clone.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

struct Inner {
    grants: Arc<Grants>,
    table: Mutex<ResourceTable>,
    /// How safe what it publishes must be before it goes on.
    urgency: Urgency,
    receipts: Mutex<Vec<Receipt>>,
    publishes: AtomicUsize,
    wasi: wasi::State,
}

impl Host {
    /// A host for one invocation of the component; nobody sends again what caused it.
    pub fn new(grants: Arc<Grants>) -> Self {
        Self::for_event(grants, Urgency::Lasting)
    }

    /// A host for one invocation of the component, for an event of this urgency.
    pub fn for_event(grants: Arc<Grants>, urgency: Urgency) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HOST_RESOURCES_MAX);
        let wasi = wasi::State::new(&grants.log);
        Self(Arc::new(Inner {
            grants,
            wasi,
            urgency,
            table: Mutex::new(table),
            receipts: Mutex::default(),
            publishes: AtomicUsize::new(0),
        }))
    }

    /// What the component may do.
    pub fn grants(&self) -> &Grants {
        &self.0.grants
    }

    /// Receipts of what the guest published and what was not safe at once, in order; each is due before its event
    /// counts as done.
    pub fn take_receipts(&self) -> Vec<Receipt> {
        std::mem::take(&mut *locked(&self.0.receipts))
    }

    fn keep_receipt(&self, receipt: Receipt) {
        locked(&self.0.receipts).push(receipt);
    }

    /// Counts one publish of this invocation and returns how many there are now.
    fn count_publish(&self) -> usize {
        self.0.publishes.fetch_add(1, Relaxed) + 1
    }

    /// Keeps an object for the guest and gives it a handle. Too many end the guest.
    pub(crate) fn push<T: Send + 'static>(&self, value: T) -> Answer<Resource<T>> {
        match locked(&self.0.table).push(value) {
            Ok(handle) => Ok(handle),
            Err(_) => {
                Fault::Limit(format!("it held more than {HOST_RESOURCES_MAX} host objects")).end()
            }
        }
    }

    /// The same for interfaces that have an answer of their own to too many: `None`.
    pub(crate) fn try_push<T: Send + 'static>(&self, value: T) -> Option<Resource<T>> {
        locked(&self.0.table).push(value).ok()
    }

    /// Looks at the object behind a handle. The table stays locked meanwhile: never wait inside.
    pub(crate) fn with<T: Send + 'static, R>(
        &self,
        handle: &Resource<T>,
        look: impl FnOnce(&mut T) -> R,
    ) -> Answer<R> {
        let mut table = locked(&self.0.table);
        Ok(look(table.get_mut(handle)?))
    }

    /// Takes an object back from the guest.
    pub(crate) fn take<T: Send + 'static>(&self, handle: Resource<T>) -> Answer<T> {
        Ok(locked(&self.0.table).delete(handle)?)
    }
}

impl Holds for Host {
    fn drop_resource<T: Send + 'static>(&self, handle: Resource<T>) -> Answer<()> {
        self.take(handle).map(drop)
    }
}

/// A lock whose holder cannot leave a half-done state behind, poisoned or not.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Offers every capability of this build.
pub fn offer(door: &mut Door) -> Answer<()> {
    variables::offer(door)?;
    key_value::offer(door)?;
    sqlite::offer(door)?;
    mqtt::offer(door)?;
    gpio::offer(door)?;
    outbound::offer(door)?;
    wasi::offer(door)
}
