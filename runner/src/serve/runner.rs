//! From a checked plan to a running app: loads what the plan names, then turns messages into events
//! until it is told to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use pirn_triggers::gpio::{Chips, Input, InputHandle, InputOptions, NoticeHandler, Outputs};
use pirn_triggers::mqtt::{Inbox, Session};
use pirn_triggers::time::Schedule;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::engine::outcome::Outcome;
use crate::flow::all::Lanes;
use crate::flow::counters::ComponentCounters;
use crate::flow::event::Event;
use crate::flow::feeds::{self, EdgeRoute, Route, TickRoute, TopicRoute};
use crate::flow::house::House;
use crate::flow::lanes::Entry;
use crate::flow::unit::Unit;
use crate::flow::{keeper, letters};
use crate::host::brokers::{Brokers, Login};
use crate::host::gpio::Lines;
use crate::limits::dispatch as limits;
use crate::outbox::Ended;
use crate::plan::{App, Durable, Pin, TriggerPlan, TriggerPlanKind};
use crate::report::{Report, Reporter};
use crate::serve::loading::{self, LoadAppError, Shared};
use crate::serve::readiness::{self, Ready};
use crate::serve::session;
use crate::serve::shop::{Process, Purpose, Ware};
use crate::store::folder;
use crate::store::{Layout, Store};

/// A loaded app.
pub struct Runner {
    app: Arc<App>,
    wares: Vec<Arc<Ware>>,
    units: Vec<Arc<Unit>>,
    brokers: Arc<Brokers>,
    lines: Arc<Lines>,
    store: Store,
    process: Arc<Process>,
    reporter: Arc<dyn Reporter>,
}

/// What a running app is connected to.
pub struct Outside {
    /// The session with the app's broker, if it has one.
    pub session: Option<Session>,
    inbox: Option<Inbox>,
    schedule: Option<Schedule>,
    inputs: Vec<Input>,
    outputs: Outputs,
}

impl Outside {
    /// The lines that are driven, for those who look at them.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The lines that are read, for those who look at them; in the order of the plan.
    pub fn inputs(&self) -> Vec<InputHandle> {
        self.inputs.iter().map(Input::handle).collect()
    }
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
        let process = Process::for_app(&app, Purpose::Run);
        let runner = Self::beside(app, process, reporter)?;
        runner.load_code()?;
        runner.process.keep_only(runner.wares());
        Ok(runner)
    }

    /// The same for who only wants to know what is wrong: nothing is written.
    pub fn examine(app: App, reporter: Arc<dyn Reporter>) -> Result<Self, LoadAppError> {
        let process = Process::for_app(&app, Purpose::Look);
        let runner = Self::beside(app, process, reporter)?;
        runner.load_code()?;
        Ok(runner)
    }

    /// An app beside others of a process. Its code is loaded when it is needed.
    pub fn beside(
        app: App,
        process: Arc<Process>,
        reporter: Arc<dyn Reporter>,
    ) -> Result<Self, LoadAppError> {
        let wares = loading::wares(&app, &process)?;
        let (state_dir, paths) = (app.state_dir.clone(), store_paths(&app));
        let letters = app.runtime_config.dead_letters;
        let layout = Layout { state_dir, paths, letters };
        let store = Store::start_reporting(layout, Arc::clone(&reporter));
        let store = store.map_err(LoadAppError::Store)?;
        let client_id = session::known_client_id(&app).ok().flatten();
        let brokers =
            Arc::new(Brokers::for_app(&app, client_id, store.clone(), Arc::clone(&reporter)));
        let lines = Arc::<Lines>::default();
        let shared = Shared {
            app: &app,
            store: &store,
            brokers: &brokers,
            lines: &lines,
            reporter: &reporter,
        };
        let units = loading::units(&shared, &wares)?;
        let app = Arc::new(app);
        Ok(Self { app, wares, units, brokers, lines, store, process, reporter })
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

    /// Each component in the order of the plan: its id, its kind of code, what it did so far.
    pub fn counters(&self) -> Vec<(String, String, Arc<ComponentCounters>)> {
        let of = |(unit, ware): (&Arc<Unit>, &Arc<Ware>)| {
            let id = unit.grants.component.clone();
            (id, ware.form().0.to_string(), Arc::clone(&unit.counters))
        };
        self.units.iter().zip(&self.wares).map(of).collect()
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

    /// Makes the folder for state, where there is none yet.
    pub fn make_state_folder(&self) -> Result<(), LoadAppError> {
        let path = &self.app.state_dir;
        let made = folder::make(path);
        made.map_err(|error| LoadAppError::State { path: path.clone(), error })
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

    /// Connects the app to the outside: its broker, with a session that it shares with its guests, and
    /// its GPIO lines. Lines that cannot be had now are tried again; a chip that is not there is an error.
    /// The lines come last: until everything else is fine, they stay as they are.
    pub fn connect(&self, chips: &Chips) -> Result<Outside, LoadAppError> {
        self.make_state_folder()?;
        let client_id = session::client_id(&self.app).map_err(LoadAppError::Session)?;
        let ready = readiness::ready(&self.app, chips, client_id, &self.reporter)?;
        let Ready { session, client_id, schedule } = ready;
        let (session, inbox) = session.unzip();
        if let (Some(plan), Some(session)) = (&self.app.broker, &session) {
            let username = plan.username.clone().unwrap_or_default();
            let password = plan.password.clone().unwrap_or_default();
            let login = Login::new(plan.address.clone(), username, password);
            self.brokers.share(login, &client_id, session.clone());
            let (state_dir, reporter) = (self.app.state_dir.clone(), Arc::clone(&self.reporter));
            tokio::spawn(session::keep_subscriptions(session.granted(), state_dir, reporter));
        }
        let (inputs, outputs) = self.open_lines(chips)?;
        Ok(Outside { session, inbox, schedule, inputs, outputs })
    }

    /// The app's GPIO lines, for its guests to use; they are held as long as what this returns.
    pub fn open_lines(&self, chips: &Chips) -> Result<(Vec<Input>, Outputs), LoadAppError> {
        let pins = &self.app.pins;
        readiness::check_chips(chips, &pins.chip_labels())?;
        let reporter = Arc::clone(&self.reporter);
        let on_notice: NoticeHandler =
            Arc::new(move |notice| reporter.report(&Report::Line(&notice)));
        let open = |pin: &Pin<InputOptions>| {
            Input::open(chips.clone(), pin.options.clone(), Some(Arc::clone(&on_notice)))
        };
        let inputs: Vec<Input> = pins.inputs.iter().map(open).collect();
        let outputs = pins.outputs.iter().map(|pin| pin.options.clone()).collect();
        let outputs = Outputs::open(chips.clone(), outputs, Some(on_notice.clone()));
        let outputs = outputs.map_err(|error| LoadAppError::Chips(error.to_string()))?;
        self.lines.open(inputs.iter().map(Input::handle).collect(), outputs.clone());
        Ok((inputs, outputs))
    }

    /// The lanes of every component, in the order of the plan, and what they have in common. What an earlier process
    /// wrote down waits in them.
    pub async fn lanes(&self) -> Lanes {
        let settled = Arc::new(Notify::new());
        let store = self.store.clone();
        let of = (self.app.name.as_str(), self.process.state_dir());
        let (told, reporter) = (Arc::clone(&settled), Arc::clone(&self.reporter));
        let house = House::new(of, store, self.process.crew(), told, reporter).await;
        let entry = |(index, unit): (usize, &Arc<Unit>)| {
            let of = self.triggers().filter(|(_, trigger)| trigger.component == index);
            let triggers = of.map(|(number, trigger)| (number, Arc::from(trigger.id.as_str())));
            Entry::new(unit, triggers, self.units.len() > 1, &house)
        };
        let entries: Vec<Entry> = self.units.iter().enumerate().map(entry).collect();
        let lanes = Lanes { app: Arc::clone(&self.app), house, entries, settled };
        lanes.restore().await;
        lanes
    }

    /// Runs until `stop` is done, or the first event if so asked. Invocations under way get a few
    /// seconds; what is not finished then stays unacknowledged, so its broker sends it again. What ended is made safe
    /// and acknowledged before the sessions are. At the end every output is at its safe level.
    pub async fn run(
        &self,
        outside: Outside,
        lanes: &Arc<Lanes>,
        stop: impl Future<Output = ()>,
        until: Until,
    ) {
        let Outside { session: _, inbox, schedule, inputs, outputs } = outside;
        let Lanes { house, entries, settled, .. } = &**lanes;
        if self.store.has_kept() {
            tokio::spawn(letters::retry(Arc::clone(lanes)));
        }
        let driven = outputs.clone();
        let driving = tokio::spawn(async move { driven.run().await });
        let mut feeds = self.feeds((inputs, schedule), entries, settled);
        let topics = self.topics(entries);
        let messages = async {
            match inbox {
                Some(inbox) => {
                    let memory = Arc::clone(&house.memory);
                    feeds::messages(inbox, topics, memory, Arc::clone(settled)).await;
                }
                None => std::future::pending().await,
            }
        };
        let first_event = async {
            match until {
                Until::OneEvent => settled.notified().await,
                Until::Stopped => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stop => {}
            () = first_event => {}
            () = messages => {}
        }
        feeds.shutdown().await;
        if !house.stop(limits::STOP_GRACE).await {
            self.reporter.report(&Report::Note(
                "invocations were still running; their events stay with the broker",
            ));
        }
        driving.abort();
        outputs.stop();
        self.make_safe(lanes).await;
        self.close().await;
    }

    /// Sees to it that what ended is acknowledged or on disk, and that edges which still wait are on disk too.
    async fn make_safe(&self, lanes: &Lanes) {
        let Lanes { house, entries, .. } = lanes;
        // The broker may be about to acknowledge everything, which saves the writes.
        house.all_settled(limits::SAFE_GRACE / 4).await;
        let outlets = self.brokers.outlets();
        let safe = async {
            for outlet in outlets {
                outlet.make_safe(limits::SAFE_GRACE / 2).await;
            }
            house.all_settled(limits::SAFE_GRACE / 2).await;
            for entry in entries {
                keeper::write_down(house, entry, |event| !event.what.is_sent_again()).await;
            }
            keeper::forget(house).await;
        };
        if tokio::time::timeout(limits::SAFE_GRACE * 3 / 4, safe).await.is_err() {
            let sentence = "not everything could be written down before the end; what the broker sent is sent again";
            self.reporter.report(&Report::Warning(sentence));
        }
    }

    /// Starts what needs no broker: one feed for each line, one for all timers.
    fn feeds(
        &self,
        (inputs, schedule): (Vec<Input>, Option<Schedule>),
        entries: &[Entry],
        settled: &Arc<Notify>,
    ) -> JoinSet<()> {
        let mut feeds = JoinSet::new();
        for (index, input) in inputs.into_iter().enumerate() {
            let line = Arc::clone(&self.app.pins.inputs[index].options.line.name);
            let routes = self.edge_routes(index, entries);
            feeds.spawn(feeds::edges(input, line, routes, Arc::clone(settled)));
        }
        if let Some(schedule) = schedule {
            let routes = self.tick_routes(entries);
            feeds.spawn(feeds::ticks(schedule, routes, Arc::clone(settled)));
        }
        feeds
    }

    /// The triggers with their numbers.
    fn triggers(&self) -> impl Iterator<Item = (u32, &TriggerPlan)> {
        (0..).zip(&self.app.triggers)
    }

    fn route(&self, number: u32, trigger: &TriggerPlan, entries: &[Entry]) -> Option<Route> {
        let lane = entries.get(trigger.component)?.clone();
        Some(Route { trigger: number, lane, late: trigger.durable == Durable::Late })
    }

    fn topics(&self, entries: &[Entry]) -> Vec<TopicRoute> {
        let route = |(number, trigger): (u32, &TriggerPlan)| match &trigger.kind {
            TriggerPlanKind::Mqtt { topic, .. } => {
                let to = self.route(number, trigger, entries)?;
                Some(TopicRoute { filter: topic.as_str().to_string(), to })
            }
            _ => None,
        };
        self.triggers().filter_map(route).collect()
    }

    fn edge_routes(&self, index: usize, entries: &[Entry]) -> Vec<EdgeRoute> {
        let route = |(number, trigger): (u32, &TriggerPlan)| match &trigger.kind {
            TriggerPlanKind::Gpio { input, edges } if *input == index => {
                Some(EdgeRoute { edges: *edges, to: self.route(number, trigger, entries)? })
            }
            _ => None,
        };
        self.triggers().filter_map(route).collect()
    }

    /// One route for each rule of the schedule, in its order.
    fn tick_routes(&self, entries: &[Entry]) -> Vec<TickRoute> {
        let of_time = |(_, trigger): &(u32, &TriggerPlan)| readiness::rule(&trigger.kind).is_some();
        let route = |(number, trigger): (u32, &TriggerPlan)| {
            let source = Arc::from(trigger.id.as_str());
            Some(TickRoute { source, to: self.route(number, trigger, entries)? })
        };
        self.triggers().filter(of_time).filter_map(route).collect()
    }
}

/// Files of stores that the operator put elsewhere, by label.
fn store_paths(app: &App) -> BTreeMap<String, PathBuf> {
    let stores = app.components.iter().flat_map(|plan| &plan.capabilities.key_value_stores);
    stores.map(|(label, path)| (label.clone(), path.clone())).collect()
}
