//! From a checked plan to units that can run: artifacts are verified, loaded once each and linked; what
//! each component is granted is put together. Nothing runs yet.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use super::shop::{Origin, Process, Ware};
use crate::engine::artifact::ArtifactError;
use crate::engine::compiled::{LoadError, StartError};
use crate::engine::interpreted;
use crate::engine::private::Stamp;
use crate::files::board::ArtifactKind;
use crate::files::manifest::HttpExecutor;
use crate::flow::counters::ComponentCounters;
use crate::flow::unit::{Code, Unit};
use crate::host::brokers::Brokers;
use crate::host::gpio::{Lines, PinGrants};
use crate::host::outbound::Outbound;
use crate::host::sqlite::Databases;
use crate::host::{AppState, Grants, log::Log, sqlite, wasi};
use crate::plan::bundle::{self, Lock};
use crate::plan::{App, ComponentPlan, OverBudget, TriggerPlanKind};
use crate::report::Reporter;
use crate::store::Store;
use crate::worlds::{WorldError, WorldKind};

/// Why an app cannot be run: something about its artifacts or its components. Exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum LoadAppError {
    /// The lock file says something wrong, or is not there.
    #[error(transparent)]
    Lock(#[from] crate::files::config::Error),
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
    /// A component cannot be interpreted.
    #[error("{path}: {error}")]
    Interpret {
        /// The component's file.
        path: PathBuf,
        /// Why.
        error: interpreted::LoadError,
    },
    /// A component is another than when its app was planned.
    #[error(
        "{path} was written over while the app runs: it goes on with `pirnd app restart` or `replace`"
    )]
    Altered {
        /// The component's file.
        path: PathBuf,
    },
    /// A component is to be interpreted, but its file is not on this machine.
    #[error(
        "component `{component}`: its source is elsewhere; download it and name its path in `source`"
    )]
    Elsewhere {
        /// The component.
        component: String,
    },
    /// Its address is not to be had.
    #[error("{0}")]
    Listen(String),
    /// A component asks for what this build does not have.
    #[error(
        "component `{component}`: it needs {needs}, and this pirnd was built without `{feature}`: take one that has it (cross/targets/pirnd, without `--without {feature}`)"
    )]
    LeftOut {
        /// The component.
        component: String,
        /// The interface, and the function if it is one that it calls.
        needs: String,
        /// The feature that it needs.
        feature: &'static str,
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
    /// An instance of a component would never be admitted.
    #[error(
        "component `{component}`: an instance may take {needed} KiB, and the board has {room} KiB for those of all apps: lower `memory` in [component.{component}.tool.pirn], or raise the board's budget"
    )]
    TooLarge {
        /// The component.
        component: String,
        /// KiB.
        needed: u64,
        /// KiB.
        room: u64,
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
    /// There is no place for the components' logs.
    #[error("log folder {path}: {error}; name another with --log-dir")]
    Logs {
        /// The folder.
        path: PathBuf,
        /// The system's reason.
        error: std::io::Error,
    },
    /// Timers or cron cannot run.
    #[error("timers and cron cannot run: {0}")]
    Schedule(String),
    /// The session's options are wrong.
    #[error("the app's broker: {0}")]
    Session(String),
    /// A GPIO chip of the board is not there, or not ours to open.
    #[error("{0}")]
    Chips(String),
}

/// What the components of an app have in common.
pub(crate) struct Shared<'a> {
    pub(crate) app: &'a App,
    pub(crate) store: &'a Store,
    pub(crate) databases: &'a Databases,
    pub(crate) brokers: &'a Arc<Brokers>,
    pub(crate) outbound: &'a Arc<Outbound>,
    pub(crate) lines: &'a Arc<Lines>,
    pub(crate) reporter: &'a Arc<dyn Reporter>,
}

/// What each component of a plan is loaded from, in its order; they fit the board.
pub(super) struct Origins {
    each: Vec<Origin>,
    /// What all of it takes in memory.
    pub(super) code_bytes: u64,
}

/// The code of every component of the plan, in its order; nothing of it is loaded.
pub(super) fn wares(app: &App, process: &Arc<Process>, origins: Origins) -> Vec<Arc<Ware>> {
    let all = app.components.iter().zip(origins.each).zip(kinds(app));
    let ware = |((plan, origin), kinds)| Ware::new(Arc::clone(process), plan, origin, kinds);
    // Not in the place of what they were made from, which is larger.
    let mut wares = Vec::with_capacity(app.components.len());
    wares.extend(all.map(|one| Arc::new(ware(one))));
    wares
}

/// Every component of the plan, in its order, ready to run.
pub(super) fn units(
    shared: &Shared<'_>,
    wares: &[Arc<Ware>],
) -> Result<Vec<Arc<Unit>>, LoadAppError> {
    let plans = &shared.app.components;
    let stores = plans.iter().flat_map(|plan| plan.capabilities.key_value_stores.keys().cloned());
    let bytes_max = shared.app.limits.state_bytes_max;
    let app_state = Arc::new(AppState { stores: stores.collect(), bytes_max });
    let unit = |(plan, ware): (&ComponentPlan, &Arc<Ware>)| {
        let code: Arc<dyn Code> = Arc::<Ware>::clone(ware);
        let grants = Arc::new(shared.grants(plan, &app_state)?);
        let counters = Arc::<ComponentCounters>::default();
        Ok(Arc::new(Unit {
            code,
            grants,
            limits: plan.limits,
            requests_max: plan.requests_max,
            counters,
        }))
    };
    plans.iter().zip(wares).map(unit).collect()
}

impl Shared<'_> {
    fn grants(
        &self,
        plan: &ComponentPlan,
        app_state: &Arc<AppState>,
    ) -> Result<Grants, LoadAppError> {
        let may = &plan.capabilities;
        Ok(Grants {
            component: plan.id.clone(),
            variables: self.app.variables.of(&plan.id),
            key_value_stores: may.key_value_stores.keys().cloned().collect(),
            state_bytes_max: plan.limits.state_bytes_max,
            app_state: Arc::clone(app_state),
            store: self.store.clone(),
            sqlite: sqlite::Grant::new(
                self.databases.clone(),
                may.sqlite_databases.clone(),
                plan.limits.database_bytes_max,
            ),
            hosts: may.hosts.clone(),
            publish_topics: may.publish_topics.clone(),
            brokers: Arc::clone(self.brokers),
            outbound: Arc::clone(self.outbound),
            ai_models: may.ai_models.clone(),
            pins: PinGrants::new(may.pins.clone(), Arc::clone(self.lines)),
            log: Log::new(&plan.id, plan.limits.log_rate, Arc::clone(self.reporter)),
            reporter: Arc::clone(self.reporter),
            wasi: self.wasi(plan)?,
        })
    }

    fn wasi(&self, plan: &ComponentPlan) -> Result<wasi::Grant, LoadAppError> {
        let may = &plan.capabilities;
        let files = wasi::Files::gather(&self.app.dir, &may.files, &may.exclude_files)
            .map_err(|error| LoadAppError::Files { component: plan.id.clone(), error })?;
        Ok(wasi::Grant {
            environment: may.environment.clone().into_iter().collect(),
            arguments: vec![plan.id.clone()],
            files,
            slots: wasi::Slots::default(),
        })
    }
}

/// Which types of triggers each component has, in the order of the plan.
fn kinds(app: &App) -> Vec<BTreeSet<WorldKind>> {
    let mut kinds = vec![BTreeSet::new(); app.components.len()];
    for trigger in &app.triggers {
        let kind = match trigger.kind {
            TriggerPlanKind::Mqtt { .. } => WorldKind::Mqtt,
            TriggerPlanKind::Timer { .. } => WorldKind::Timer,
            TriggerPlanKind::Cron { .. } => WorldKind::Cron,
            TriggerPlanKind::Gpio { .. } => WorldKind::Gpio,
            TriggerPlanKind::Http { executor: HttpExecutor::Http, .. } => WorldKind::Http,
            TriggerPlanKind::Http { executor: HttpExecutor::Wagi, .. } => WorldKind::Command,
            TriggerPlanKind::Command => WorldKind::Command,
            TriggerPlanKind::Redis { .. } => WorldKind::Redis,
        };
        if let Some(of_component) = kinds.get_mut(trigger.component) {
            of_component.insert(kind);
        }
    }
    kinds
}

/// What each component of the plan is loaded from. Only what is compiled needs a lock file.
pub(super) fn origins(app: &App) -> Result<Origins, LoadAppError> {
    let folder = bundle::folder(&app.dir, &app.board);
    let compiled = app.components.iter().any(|plan| plan.artifact != ArtifactKind::Wasm);
    let lock = compiled.then(|| Lock::read(&folder)).transpose()?;
    let origin = |plan: &ComponentPlan| match plan.artifact {
        ArtifactKind::Wasm => component(app, plan),
        _ => {
            let locked = lock.as_ref().and_then(|lock| lock.artifact_of(&plan.id)).cloned();
            let locked = locked.ok_or_else(|| LoadAppError::NotBuilt {
                component: plan.id.clone(),
                lock: folder.join(bundle::LOCK_FILE),
            })?;
            Ok(Origin::Artifact(folder.join(&locked.file), locked))
        }
    };
    let each = app.components.iter().map(origin).collect::<Result<Vec<_>, LoadAppError>>()?;
    let code_bytes = check_budget(app, &each)?;
    Ok(Origins { each, code_bytes })
}

fn component(app: &App, plan: &ComponentPlan) -> Result<Origin, LoadAppError> {
    let path = app.component_file(plan);
    let path = path.ok_or_else(|| LoadAppError::Elsewhere { component: plan.id.clone() })?;
    match std::fs::metadata(&path) {
        Ok(about) => Ok(Origin::Component(path, Stamp::of(&about))),
        Err(error) => {
            Err(ArtifactError::Unreadable { path: path.display().to_string(), error }.into())
        }
    }
}

/// What the code takes, if the app fits the board.
fn check_budget(app: &App, origins: &[Origin]) -> Result<u64, OverBudget> {
    let size = |(plan, origin): (&ComponentPlan, &Origin)| match origin {
        Origin::Artifact(_, artifact) => Some(artifact.bytes),
        Origin::Component(..) => app.interpreted_bytes(plan),
    };
    let sizes: Vec<_> = app.components.iter().zip(origins).map(size).collect();
    app.budget(&sizes).check().map(|budget| budget.code_bytes())
}
