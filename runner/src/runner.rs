//! From a checked plan to a running app: loads what the plan names, then turns messages into events
//! until it is told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pirn_triggers::mqtt::{Inbox, Session, topic_matches};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::app::{App, CodeSize, ComponentPlan, OverBudget, TriggerPlanKind};
use crate::dispatch::{Inbound, Lane, LaneEntry, Unit};
use crate::engine::artifact::{self, ArtifactError, Lock, LockedArtifact};
use crate::engine::compiled::{LoadError, Pool, StartError};
use crate::engine::config::Code;
use crate::engine::{Component, Engine};
use crate::host::brokers::{Brokers, Login};
use crate::host::{self, Grants, log::Log, wasi};
use crate::limits::dispatch as limits;
use crate::report::{Report, Reporter};
use crate::session;
use crate::status::ComponentCounters;
use crate::store::{Layout, Store};
use crate::worlds::mqtt::MqttWorld;
use crate::worlds::{Outcome, WorldError};

/// Why an app cannot be run: something about its artifacts or its components. Exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum LoadAppError {
    /// The lock file says something wrong, or is not there.
    #[error(transparent)]
    Lock(#[from] crate::config::Error),
    /// The app changed since it was built.
    #[error("component `{component}` is not in {lock}: run `pirn build` again")]
    NotBuilt {
        /// The component.
        component: String,
        /// The lock file.
        lock: PathBuf,
    },
    /// An artifact is missing or altered.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The app does not fit the board.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
    /// The engine does not start.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// The engine does not take an artifact.
    #[error("{path}: {error}")]
    Load {
        /// The artifact.
        path: PathBuf,
        /// Why.
        error: LoadError,
    },
    /// A component does not do what its trigger calls.
    #[error("component `{component}`: {error}")]
    World {
        /// The component.
        component: String,
        /// What is missing.
        error: WorldError,
    },
    /// A component cannot even start within its memory.
    #[error(
        "component `{component}` starts with {needed} KiB of memory, its limit is {limit} KiB: raise `memory` in [component.{component}.tool.pirn]"
    )]
    Memory {
        /// The component.
        component: String,
        /// KiB.
        needed: u64,
        /// KiB.
        limit: u64,
    },
    /// The manifest grants files that cannot be granted.
    #[error("component `{component}`: {error}")]
    Files {
        /// The component.
        component: String,
        /// Why.
        error: wasi::FilesError,
    },
    /// The store's thread does not start.
    #[error("the store does not start: {0}")]
    Store(std::io::Error),
    /// There is no place for state.
    #[error("state folder {path}: {error}; name another with --state-dir")]
    State {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// The session's options are wrong.
    #[error("the app's broker: {0}")]
    Session(String),
}

/// A loaded app.
pub struct Runner {
    app: App,
    units: Vec<Arc<Unit>>,
    brokers: Arc<Brokers>,
    store: Store,
    reporter: Arc<dyn Reporter>,
}

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Until {
    /// Never.
    Stopped,
    /// When the first event was handled and acknowledged.
    OneEvent,
}

impl Runner {
    /// Loads everything that the plan names; nothing of it runs yet. All that can be wrong with an
    /// app on this machine is found here.
    pub fn load(app: App, reporter: Arc<dyn Reporter>) -> Result<Self, LoadAppError> {
        let folder = artifact::folder(&app.dir, &app.board);
        let lock = Lock::read(&folder)?;
        let locked = locked_artifacts(&app, &lock, &folder)?;
        check_budget(&app, &locked)?;
        let store =
            Store::start(Layout { state_dir: app.state_dir.clone(), paths: store_paths(&app) })
                .map_err(LoadAppError::Store)?;
        let tls = session::tls(&app);
        let brokers = Arc::new(Brokers::new(&app.name, tls, Arc::clone(&reporter)));
        let mut engines = Engines::new(&app);
        let mut units = Vec::with_capacity(app.components.len());
        for (plan, artifact) in app.components.iter().zip(locked) {
            let path = folder.join(&artifact.file);
            let compiled = engines.load(&path, artifact)?;
            let world = fitting(plan, &compiled)?;
            let wasi = wasi_grant(&app, plan)?;
            let grants = Arc::new(grants(&app, plan, &store, &brokers, &reporter, wasi));
            let counters = Arc::<ComponentCounters>::default();
            units.push(Arc::new(Unit { compiled, world, grants, limits: plan.limits, counters }));
        }
        Ok(Self { app, units, brokers, store, reporter })
    }

    /// The plan.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The store, for those who look at it from outside.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Each component in the order of the plan: its id, its kind of code, what it did so far.
    pub fn counters(&self) -> Vec<(String, String, Arc<ComponentCounters>)> {
        let of = |unit: &Arc<Unit>| {
            let id = unit.grants.component.clone();
            (id, unit.compiled.form().to_string(), Arc::clone(&unit.counters))
        };
        self.units.iter().map(of).collect()
    }

    /// The components and how each runs, in a line.
    pub fn described(&self) -> String {
        let one = |unit: &Arc<Unit>| {
            let (id, code) = (&unit.grants.component, unit.compiled.form());
            format!("{id} ({code}, {} KiB)", unit.compiled.code_bytes() / 1024)
        };
        self.units.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// Makes the folder for state, where there is none yet.
    pub fn make_state_folder(&self) -> Result<(), LoadAppError> {
        let path = &self.app.state_dir;
        let made = std::fs::create_dir_all(path);
        made.map_err(|error| LoadAppError::State { path: path.clone(), error })
    }

    /// Hands one event to a component, without retries; what it published is waited for. `None` if
    /// there is no such component.
    pub async fn invoke(&self, component: &str, topic: &str, payload: &[u8]) -> Option<Outcome> {
        let unit = self.units.iter().find(|unit| unit.grants.component == component)?;
        let (outcome, receipts) = unit.invoke(topic, payload).await;
        for receipt in receipts {
            if let Err(error) = receipt.await {
                return Some(Outcome::Undelivered(error.to_string()));
            }
        }
        Some(outcome)
    }

    /// Ends every session, saying goodbye to brokers.
    pub async fn close(&self) {
        self.brokers.stop(limits::FAREWELL_GRACE).await;
    }

    /// Connects the app to its broker: the session, shared with its guests, and its inbox.
    pub fn connect(&self) -> Result<Option<(Session, Inbox)>, LoadAppError> {
        self.make_state_folder()?;
        let Some(plan) = &self.app.broker else { return Ok(None) };
        let options = session::options(&self.app, plan, Arc::clone(&self.reporter));
        let started = Session::start(options);
        let (session, inbox) = started.map_err(|e| LoadAppError::Session(e.to_string()))?;
        let username = plan.username.clone().unwrap_or_default();
        let password = plan.password.clone().unwrap_or_default();
        self.brokers.share(Login::new(plan.address.clone(), username, password), session.clone());
        Ok(Some((session, inbox)))
    }

    /// Runs until `stop` is done, or the first event if so asked. Invocations under way get a few
    /// seconds; what is not finished then stays unacknowledged, so its broker sends it again.
    pub async fn run(&self, inbox: Option<Inbox>, stop: impl Future<Output = ()>, until: Until) {
        let slots = Arc::new(Semaphore::new(self.app.board.instances_max as usize));
        let settled = Arc::new(Notify::new());
        let mut lanes = JoinSet::new();
        let mut entries = Vec::with_capacity(self.units.len());
        for unit in &self.units {
            let (entry, workers) = Lane::of(unit, &slots);
            entries.push(entry);
            workers.into_iter().for_each(|lane| drop(lanes.spawn(lane.run())));
        }
        let routes = self.routes(&entries);
        drop(entries);
        let first_event = async {
            match until {
                Until::OneEvent => settled.notified().await,
                Until::Stopped => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            () = first_event => {}
            () = feed(inbox, &routes, &settled) => {}
        }
        drop(routes);
        let drained = async { while lanes.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::STOP_GRACE, drained).await.is_err() {
            self.reporter.report(&Report::Note(
                "invocations were still running; their events stay with the broker",
            ));
            lanes.abort_all();
        }
        self.close().await;
    }

    fn routes(&self, entries: &[LaneEntry]) -> Vec<Route> {
        let route = |trigger: &crate::app::TriggerPlan| {
            let TriggerPlanKind::Mqtt { topic, .. } = &trigger.kind;
            let entry = entries.get(trigger.component)?.clone();
            Some(Route { filter: topic.as_str().to_string(), entry })
        };
        self.app.triggers.iter().filter_map(route).collect()
    }
}

/// Which lane takes what matches a filter.
struct Route {
    filter: String,
    entry: LaneEntry,
}

/// Hands messages to the lanes whose filters they match. Ends when the session does. Dropped
/// half-way, a message that was not handed over stays unacknowledged.
async fn feed(inbox: Option<Inbox>, routes: &[Route], settled: &Arc<Notify>) {
    let Some(mut inbox) = inbox else { return std::future::pending().await };
    while let Some(message) = inbox.next().await {
        let matching =
            || routes.iter().filter(|route| topic_matches(&route.filter, &message.topic));
        let entries: Vec<&LaneEntry> = matching().map(|route| &route.entry).collect();
        // A message of a subscription that an earlier version of the app had: nobody's, so done.
        if entries.is_empty() {
            message.delivery.settle();
            continue;
        }
        let event = Arc::new(Inbound::new(message, entries.len(), Arc::clone(settled)));
        for entry in entries {
            entry.push(Arc::clone(&event)).await;
        }
    }
}

/// One engine for each form of code that the app has.
struct Engines {
    started: Vec<Engine>,
    pool: Pool,
}

impl Engines {
    fn new(app: &App) -> Self {
        let memories = app.components.iter().map(|plan| plan.limits.memory_bytes_max);
        let memory_bytes_max = usize::try_from(memories.max().unwrap_or(0)).unwrap_or(usize::MAX);
        let pool = Pool { instances: app.board.instances_max, memory_bytes_max };
        Self { started: Vec::new(), pool }
    }

    fn load(&mut self, path: &Path, artifact: &LockedArtifact) -> Result<Component, LoadAppError> {
        let file = artifact::open_verified(path, &artifact.sha256)?;
        let engine = self.of(artifact.code)?;
        let compiled = engine.load(&file);
        compiled
            .map(Component::Compiled)
            .map_err(|error| LoadAppError::Load { path: path.into(), error })
    }

    fn of(&mut self, code: Code) -> Result<&Engine, StartError> {
        let index = match self.started.iter().position(|engine| engine.code() == code) {
            Some(index) => index,
            None => {
                self.started.push(Engine::start(code, self.pool, host::offer)?);
                self.started.len() - 1
            }
        };
        Ok(&self.started[index])
    }
}

fn locked_artifacts<'a>(
    app: &App,
    lock: &'a Lock,
    folder: &Path,
) -> Result<Vec<&'a LockedArtifact>, LoadAppError> {
    let find = |plan: &ComponentPlan| {
        lock.components.get(&plan.id).ok_or_else(|| LoadAppError::NotBuilt {
            component: plan.id.clone(),
            lock: folder.join(artifact::LOCK_FILE),
        })
    };
    app.components.iter().map(find).collect()
}

fn check_budget(app: &App, locked: &[&LockedArtifact]) -> Result<(), OverBudget> {
    let sizes = app.components.iter().zip(locked);
    let sizes: Vec<_> = sizes
        .map(|(plan, artifact)| CodeSize { component: &plan.id, bytes: artifact.bytes })
        .collect();
    app.budget(&sizes).check().map(drop)
}

fn fitting(plan: &ComponentPlan, compiled: &Component) -> Result<MqttWorld, LoadAppError> {
    let world = MqttWorld::of(compiled);
    let world = world.map_err(|error| LoadAppError::World { component: plan.id.clone(), error })?;
    let needed = compiled.memory_bytes_min().unwrap_or(0) as u64;
    let limit = plan.limits.memory_bytes_max;
    if needed > limit {
        let (needed, limit) = (needed / 1024, limit / 1024);
        return Err(LoadAppError::Memory { component: plan.id.clone(), needed, limit });
    }
    Ok(world)
}

/// Files of stores that the operator put elsewhere, by label.
fn store_paths(app: &App) -> BTreeMap<String, PathBuf> {
    let stores = app.components.iter().flat_map(|plan| &plan.capabilities.key_value_stores);
    stores.map(|(label, path)| (label.clone(), path.clone())).collect()
}

fn grants(
    app: &App,
    plan: &ComponentPlan,
    store: &Store,
    brokers: &Arc<Brokers>,
    reporter: &Arc<dyn Reporter>,
    wasi: wasi::Grant,
) -> Grants {
    Grants {
        component: plan.id.clone(),
        variables: app.variables.clone(),
        key_value_stores: plan
            .capabilities
            .key_value_stores
            .keys()
            .cloned()
            .collect::<BTreeSet<_>>(),
        store: store.clone(),
        hosts: plan.capabilities.hosts.clone(),
        publish_topics: plan.capabilities.publish_topics.clone(),
        brokers: Arc::clone(brokers),
        log: Log::new(&plan.id, plan.limits.log_rate, Arc::clone(reporter)),
        reporter: Arc::clone(reporter),
        wasi,
    }
}

fn wasi_grant(app: &App, plan: &ComponentPlan) -> Result<wasi::Grant, LoadAppError> {
    let may = &plan.capabilities;
    let files = wasi::Files::gather(&app.dir, &may.files, &may.exclude_files)
        .map_err(|error| LoadAppError::Files { component: plan.id.clone(), error })?;
    Ok(wasi::Grant {
        environment: may.environment.clone().into_iter().collect(),
        arguments: vec![plan.id.clone()],
        files,
        slots: wasi::Slots::default(),
    })
}
