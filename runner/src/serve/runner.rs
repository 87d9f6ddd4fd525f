//! From a checked plan to an app that can run: everything that the plan names, put together. Nothing of it is
//! connected to anything.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use pirn_triggers::gpio::Chips;

use super::link::Link;
use super::loading::{self, LoadAppError, Origins, Shared};
use super::readiness;
use super::session;
use super::shop::{Process, Purpose, Ware};
use crate::engine::outcome::Outcome;
use crate::files::variables::Variables;
use crate::flow::all::Lanes;
use crate::flow::counters::ComponentCounters;
use crate::flow::event::Event;
use crate::flow::house::House;
use crate::flow::lanes::Entry;
use crate::flow::unit::Unit;
use crate::host::brokers::Brokers;
use crate::host::gpio::Lines;
use crate::host::outbound::Outbound;
use crate::host::sqlite::Databases;
use crate::limits::dispatch as limits;
use crate::outbox::Ended;
use crate::plan::{App, TriggerPlan};
use crate::report::{Report, Reporter};
use crate::store::{Layout, Store};

/// A loaded app.
pub struct Runner {
    app: Arc<App>,
    code_bytes: u64,
    wares: Vec<Arc<Ware>>,
    units: Vec<Arc<Unit>>,
    brokers: Arc<Brokers>,
    outbound: Arc<Outbound>,
    lines: Arc<Lines>,
    store: Store,
    databases: Databases,
    process: Arc<Process>,
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
    /// Loads everything that the plan names; nothing of it runs yet. What can be wrong with an app on
    /// this machine is found here or by [`verify`](Self::verify), which is the way to `connect`.
    pub fn load(app: App, reporter: Arc<dyn Reporter>) -> Result<Self, LoadAppError> {
        let runner = Self::alone(app, Purpose::Run, reporter)?;
        runner.load_code()?;
        runner.process.keep_only(runner.wares());
        Ok(runner)
    }

    /// The same for who only wants to know what is wrong: nothing is written.
    pub fn examine(app: App, reporter: Arc<dyn Reporter>) -> Result<Self, LoadAppError> {
        let runner = Self::alone(app, Purpose::Look, reporter)?;
        runner.load_code()?;
        Ok(runner)
    }

    fn alone(
        app: App,
        purpose: Purpose,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, LoadAppError> {
        let origins = loading::origins(&app)?;
        let process = Process::for_app(&app, origins.code_bytes, purpose);
        Self::new((app, origins), process, reporter)
    }

    /// An app beside others of a process. Its code is loaded when it is needed.
    pub fn beside(
        app: App,
        process: Arc<Process>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, LoadAppError> {
        let origins = loading::origins(&app)?;
        Self::new((app, origins), process, reporter)
    }

    fn new(
        (app, origins): (App, Origins),
        process: Arc<Process>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, LoadAppError> {
        let code_bytes = origins.code_bytes;
        let wares = loading::wares(&app, &process, origins);
        let (state_dir, paths) = (app.state_dir.clone(), store_paths(&app));
        let letters = app.runtime_config.dead_letters;
        let layout = Layout {
            state_dir,
            makes_folder: process.is_shared(),
            paths,
            letters,
            desk: process.desk(),
        };
        let store = Store::start_reporting(layout, Arc::clone(&reporter));
        let store = store.map_err(LoadAppError::Store)?;
        let databases = Databases::new(app.state_dir.clone());
        let client_id = session::known_client_id(&app).ok().flatten();
        let brokers =
            Arc::new(Brokers::for_app(&app, client_id, store.clone(), Arc::clone(&reporter)));
        let lines = Arc::<Lines>::default();
        let outbound = Arc::new(Outbound::for_app(&app));
        let shared = Shared {
            app: &app,
            store: &store,
            databases: &databases,
            brokers: &brokers,
            outbound: &outbound,
            lines: &lines,
            reporter: &reporter,
        };
        let units = loading::units(&shared, &wares)?;
        let app = Arc::new(match process.is_shared() {
            // Everything in it is in the plan by now, and there may be thousands.
            true => App { manifest: Arc::default(), variables: Variables::default(), ..app },
            false => app,
        });
        Ok(Self {
            outbound,
            app,
            code_bytes,
            wares,
            units,
            brokers,
            lines,
            store,
            databases,
            process,
            reporter,
        })
    }

    /// Whether one instance of each component finds room beside others of the process.
    pub(super) fn check_room(&self) -> Result<(), LoadAppError> {
        let ledger = &self.process.crew().ledger;
        let large =
            self.units.iter().find(|unit| !ledger.has_room_for(unit.limits.instance_bytes()));
        large.map_or(Ok(()), |unit| {
            Err(LoadAppError::TooLarge {
                component: unit.grants.component.clone(),
                needed: unit.limits.instance_bytes() / 1024,
                room: ledger.account().all.unwrap_or(0).into(),
            })
        })
    }

    /// Loads all its code now, to know whether it can be.
    pub fn load_code(&self) -> Result<(), LoadAppError> {
        self.wares.iter().try_for_each(|ware| ware.load().map(drop))
    }

    pub(super) fn wares(&self) -> impl Iterator<Item = &Ware> {
        self.wares.iter().map(|ware| &**ware)
    }

    /// The plan.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// The store, for those who look at it from outside.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Closes what it keeps things in, so that the next start has nothing to recover.
    pub async fn close_files(&self) {
        tokio::join!(self.databases.close(), self.store.close());
    }

    /// Each component in the order of the plan: its id, its kind of code, what it did so far.
    pub fn counters(&self) -> Vec<(String, String, Arc<ComponentCounters>)> {
        let of = |(unit, ware): (&Arc<Unit>, &Arc<Ware>)| {
            let id = unit.grants.component.clone();
            (id, ware.form().0.to_string(), Arc::clone(&unit.counters))
        };
        self.units.iter().zip(&self.wares).map(of).collect()
    }

    /// Its own connection with its broker, for an app that has a process to itself.
    pub(super) fn link(&self) -> Result<Option<Arc<Link>>, LoadAppError> {
        let Some(plan) = &self.app.broker else { return Ok(None) };
        let of = (self.app.name.as_str(), self.app.state_dir.as_path());
        let reporter = Arc::clone(&self.reporter);
        Link::new(&self.app, plan, of, self.process.crew(), reporter).map(Some)
    }

    /// What all its code takes in memory.
    pub(super) fn code_bytes(&self) -> u64 {
        self.code_bytes
    }

    pub(super) fn process(&self) -> &Arc<Process> {
        &self.process
    }

    pub(super) fn reporter(&self) -> &Arc<dyn Reporter> {
        &self.reporter
    }

    pub(super) fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    pub(super) fn lines(&self) -> &Arc<Lines> {
        &self.lines
    }

    /// The sessions with brokers.
    pub fn brokers(&self) -> &Arc<Brokers> {
        &self.brokers
    }

    /// The components and how each runs, in a line.
    pub fn described(&self) -> String {
        let one = |(unit, ware): (&Arc<Unit>, &Arc<Ware>)| {
            let (id, (form, bytes)) = (&unit.grants.component, ware.form());
            format!("{id} ({form}, {} KiB)", bytes / 1024)
        };
        self.units.iter().zip(&self.wares).map(one).collect::<Vec<_>>().join(", ")
    }

    /// Hands one event to a component, without retries; what it published is waited for, and what a broker does not
    /// acknowledge for long stays in the outbox. `None` if there is no such component.
    pub async fn invoke(&self, component: &str, event: &Event) -> Option<Outcome> {
        let unit = self.units.iter().find(|unit| unit.grants.component == component)?;
        let (outcome, receipts) = unit.invoke(event).await;
        for receipt in receipts {
            match receipt.ended().await {
                Ended::Safe => {}
                Ended::Refused(why) => return Some(Outcome::Undelivered(why)),
                Ended::Stopped => {
                    return Some(Outcome::Undelivered("its session with the broker ended".into()));
                }
            }
        }
        for outlet in self.brokers.outlets() {
            if !outlet.drained(limits::INVOKE_GRACE).await {
                let pending = outlet.pending();
                let sentence = format!(
                    "the broker has not acknowledged what was published: {pending} wait in the outbox for the next run"
                );
                self.reporter.report(&Report::Warning(&sentence));
            }
            outlet.make_safe(limits::SAFE_GRACE).await;
        }
        Some(outcome)
    }

    /// Ends every session, saying goodbye to brokers.
    pub async fn close(&self) {
        self.brokers.stop(limits::FAREWELL_GRACE).await;
    }

    /// Whether `connect` would find anything wrong. Nothing is made, opened or connected.
    pub fn verify(&self, chips: &Chips) -> Result<(), LoadAppError> {
        readiness::verify(&self.app, chips, &self.reporter)
    }

    /// The lanes of every component, in the order of the plan, and what they have in common. What an earlier process
    /// wrote down waits in them.
    pub async fn lanes(&self) -> Lanes {
        let store = self.store.clone();
        let of = (self.app.name.as_str(), self.process.state_dir());
        let reporter = Arc::clone(&self.reporter);
        let house = House::new(of, self.app.limits, store, self.process.crew(), reporter).await;
        let entry = |(index, unit): (usize, &Arc<Unit>)| {
            let of = self.triggers().filter(|(_, trigger)| trigger.component == index);
            let triggers = of.map(|(number, trigger)| (number, Arc::from(trigger.id.as_str())));
            let has_neighbours = self.units.len() > 1 || self.process.is_shared();
            Entry::new(unit, triggers, has_neighbours, &house)
        };
        let entries: Vec<Entry> = self.units.iter().enumerate().map(entry).collect();
        let lanes = Lanes { app: Arc::clone(&self.app), house, entries };
        lanes.restore().await;
        lanes
    }

    /// The triggers with their numbers.
    pub(super) fn triggers(&self) -> impl Iterator<Item = (u32, &TriggerPlan)> {
        (0..).zip(&self.app.triggers)
    }
}

/// Files of stores that the operator put elsewhere, by label.
fn store_paths(app: &App) -> BTreeMap<String, PathBuf> {
    let stores = app.components.iter().flat_map(|plan| &plan.capabilities.key_value_stores);
    let mut paths = BTreeMap::new();
    stores.for_each(|(label, path)| drop(paths.insert(label.clone(), path.clone())));
    paths
}
