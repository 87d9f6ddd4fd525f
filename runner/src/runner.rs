//! From a checked plan to a running app: loads what the plan names, then turns messages into events
//! until it is told to stop.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use pirn_triggers::gpio::{Chips, Input, InputHandle, InputOptions, NoticeHandler, Outputs};
use pirn_triggers::mqtt::{Inbox, Session};
use pirn_triggers::time::{ClockNotice, First, Interval, Rule, Schedule, WallClock};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::app::{App, Pin, TriggerPlan, TriggerPlanKind};
use crate::dispatch::{Lane, LaneEntry, Unit};
use crate::engine::private::Private;
use crate::event::Event;
use crate::feeds::{self, EdgeRoute, TickRoute, TopicRoute};
use crate::host::brokers::{Brokers, Login};
use crate::host::gpio::Lines;
use crate::limits::dispatch as limits;
use crate::loading::{self, LoadAppError, Shared};
use crate::manifest::FirstTick;
use crate::report::{Report, Reporter};
use crate::session;
use crate::status::ComponentCounters;
use crate::store::{Layout, Store};
use crate::worlds::Outcome;

/// A loaded app.
pub struct Runner {
    app: App,
    units: Vec<Arc<Unit>>,
    brokers: Arc<Brokers>,
    lines: Arc<Lines>,
    store: Store,
    reporter: Arc<dyn Reporter>,
}

/// What a running app is connected to.
pub struct Outside {
    /// The session with the app's broker, if it has one.
    pub session: Option<Session>,
    inbox: Option<Inbox>,
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
    /// Loads everything that the plan names; nothing of it runs yet. All that can be wrong with an
    /// app on this machine is found here.
    pub fn load(app: App, reporter: Arc<dyn Reporter>) -> Result<Self, LoadAppError> {
        let private = Private::kept_in(&app.state_dir);
        Self::with_code(app, reporter, private)
    }

    /// The same for who only wants to know what is wrong: nothing is written.
    pub fn examine(app: App, reporter: Arc<dyn Reporter>) -> Result<Self, LoadAppError> {
        let private = Private::looked_up_in(&app.state_dir);
        Self::with_code(app, reporter, private)
    }

    fn with_code(
        app: App,
        reporter: Arc<dyn Reporter>,
        private: Private,
    ) -> Result<Self, LoadAppError> {
        let store =
            Store::start(Layout { state_dir: app.state_dir.clone(), paths: store_paths(&app) })
                .map_err(LoadAppError::Store)?;
        let tls = session::tls(&app);
        let brokers = Arc::new(Brokers::new(&app.name, tls, Arc::clone(&reporter)));
        let lines = Arc::<Lines>::default();
        let shared = Shared {
            app: &app,
            store: &store,
            brokers: &brokers,
            lines: &lines,
            reporter: &reporter,
        };
        let units = loading::units(&shared, private)?;
        Ok(Self { app, units, brokers, lines, store, reporter })
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
            (id, unit.code.form().to_string(), Arc::clone(&unit.counters))
        };
        self.units.iter().map(of).collect()
    }

    /// The components and how each runs, in a line.
    pub fn described(&self) -> String {
        let one = |unit: &Arc<Unit>| {
            let (id, form) = (&unit.grants.component, unit.code.form());
            format!("{id} ({form}, {} KiB)", unit.code.code_bytes() / 1024)
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
    pub async fn invoke(&self, component: &str, event: &Event) -> Option<Outcome> {
        let unit = self.units.iter().find(|unit| unit.grants.component == component)?;
        let (outcome, receipts) = unit.invoke(event).await;
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

    /// Connects the app to the outside: its broker, with a session that it shares with its guests, and
    /// its GPIO lines. Lines that cannot be had now are tried again; a chip that is not there is an error.
    pub fn connect(&self, chips: &Chips) -> Result<Outside, LoadAppError> {
        self.make_state_folder()?;
        let (inputs, outputs) = self.open_lines(chips)?;
        let (session, inbox) = self.open_session()?.unzip();
        Ok(Outside { session, inbox, inputs, outputs })
    }

    fn open_session(&self) -> Result<Option<(Session, Inbox)>, LoadAppError> {
        let Some(plan) = &self.app.broker else { return Ok(None) };
        let options = session::options(&self.app, plan, Arc::clone(&self.reporter));
        let started = Session::start(options);
        let (session, inbox) = started.map_err(|e| LoadAppError::Session(e.to_string()))?;
        let username = plan.username.clone().unwrap_or_default();
        let password = plan.password.clone().unwrap_or_default();
        self.brokers.share(Login::new(plan.address.clone(), username, password), session.clone());
        Ok(Some((session, inbox)))
    }

    /// The app's GPIO lines, for its guests to use; they are held as long as what this returns.
    pub fn open_lines(&self, chips: &Chips) -> Result<(Vec<Input>, Outputs), LoadAppError> {
        let pins = &self.app.pins;
        check_chips(chips, &pins.chip_labels())?;
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

    /// Runs until `stop` is done, or the first event if so asked. Invocations under way get a few
    /// seconds; what is not finished then stays unacknowledged, so its broker sends it again. At the
    /// end every output is at its safe level.
    pub async fn run(&self, outside: Outside, stop: impl Future<Output = ()>, until: Until) {
        let Outside { session: _, inbox, inputs, outputs } = outside;
        let settled = Arc::new(Notify::new());
        let (entries, mut lanes) = self.lanes();
        let driven = outputs.clone();
        let driving = tokio::spawn(async move { driven.run().await });
        let mut feeds = self.feeds(inputs, &entries, &settled);
        let topics = self.topics(&entries);
        drop(entries);
        let messages = async {
            match inbox {
                Some(inbox) => feeds::messages(inbox, topics, Arc::clone(&settled)).await,
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
        // With the feeds go the lanes' entries: each lane ends when its queue is empty.
        feeds.shutdown().await;
        let drained = async { while lanes.join_next().await.is_some() {} };
        if tokio::time::timeout(limits::STOP_GRACE, drained).await.is_err() {
            self.reporter.report(&Report::Note(
                "invocations were still running; their events stay with the broker",
            ));
            lanes.abort_all();
        }
        driving.abort();
        outputs.stop();
        self.close().await;
    }

    /// Starts the lanes of every component; the entries are in the order of the plan.
    fn lanes(&self) -> (Vec<LaneEntry>, JoinSet<()>) {
        let slots = Arc::new(Semaphore::new(self.app.board.instances_max as usize));
        let mut lanes = JoinSet::new();
        let mut entries = Vec::with_capacity(self.units.len());
        for unit in &self.units {
            let (entry, workers) = Lane::of(unit, &slots);
            entries.push(entry);
            workers.into_iter().for_each(|lane| drop(lanes.spawn(lane.run())));
        }
        (entries, lanes)
    }

    /// Starts what needs no broker: one feed for each line, one for all timers.
    fn feeds(
        &self,
        inputs: Vec<Input>,
        entries: &[LaneEntry],
        settled: &Arc<Notify>,
    ) -> JoinSet<()> {
        let mut feeds = JoinSet::new();
        for (index, input) in inputs.into_iter().enumerate() {
            let line = Arc::clone(&self.app.pins.inputs[index].options.line.name);
            let routes = self.edge_routes(index, entries);
            feeds.spawn(feeds::edges(input, line, routes, Arc::clone(settled)));
        }
        let (rules, routes) = self.rules(entries);
        if rules.is_empty() {
            return feeds;
        }
        match self.schedule(rules) {
            Ok(schedule) => {
                feeds.spawn(feeds::ticks(schedule, routes, Arc::clone(settled)));
            }
            Err(sentence) => self.reporter.report(&Report::Warning(&sentence)),
        }
        feeds
    }

    fn topics(&self, entries: &[LaneEntry]) -> Vec<TopicRoute> {
        let route = |trigger: &TriggerPlan| match &trigger.kind {
            TriggerPlanKind::Mqtt { topic, .. } => {
                let entry = entries.get(trigger.component)?.clone();
                Some(TopicRoute { filter: topic.as_str().to_string(), entry })
            }
            _ => None,
        };
        self.app.triggers.iter().filter_map(route).collect()
    }

    fn edge_routes(&self, index: usize, entries: &[LaneEntry]) -> Vec<EdgeRoute> {
        let route = |trigger: &TriggerPlan| match &trigger.kind {
            TriggerPlanKind::Gpio { input, edges } if *input == index => {
                let entry = entries.get(trigger.component)?.clone();
                Some(EdgeRoute { edges: *edges, entry })
            }
            _ => None,
        };
        self.app.triggers.iter().filter_map(route).collect()
    }

    fn rules(&self, entries: &[LaneEntry]) -> (Vec<Rule>, Vec<TickRoute>) {
        let rule = |trigger: &TriggerPlan| {
            let rule = match &trigger.kind {
                TriggerPlanKind::Timer { interval, first, jitter } => Rule::Interval(Interval {
                    every: *interval,
                    first: match first {
                        FirstTick::AtOnce => First::AtOnce,
                        FirstTick::AfterInterval => First::AfterInterval,
                    },
                    jitter: *jitter,
                }),
                TriggerPlanKind::Cron { cron, .. } => Rule::Cron(cron.clone()),
                _ => return None,
            };
            let entry = entries.get(trigger.component)?.clone();
            let source = Arc::from(trigger.id.as_str());
            Some((rule, TickRoute { source, entry, waiting: Arc::default() }))
        };
        self.app.triggers.iter().filter_map(rule).unzip()
    }

    /// All timers and times of the day; the latter once the system's clock can be believed.
    fn schedule(&self, rules: Vec<Rule>) -> Result<Schedule, String> {
        let build = crate::limits::time::CLOCK_NOT_BEFORE;
        let not_before = self.app.board.clock_not_before.unwrap_or(build).max(build);
        let clock = WallClock::system(not_before);
        let clock = clock.map_err(|e| format!("timers and cron do not run: the clock: {e}"))?;
        let schedule = Schedule::new(rules, clock);
        let schedule = schedule.map_err(|e| format!("timers and cron do not run: {e}"))?;
        let reporter = Arc::clone(&self.reporter);
        Ok(schedule.on_notice(move |notice| {
            let sentence = notice.to_string();
            reporter.report(&match notice {
                ClockNotice::Believed { .. } => Report::Note(&sentence),
                _ => Report::Warning(&sentence),
            });
        }))
    }
}

/// Every chip that the app's lines are on must be there, and ours to open.
pub fn check_chips(chips: &Chips, labels: &[&str]) -> Result<(), LoadAppError> {
    chips.check(labels).map_err(|faults| {
        let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
        LoadAppError::Chips(sentences.join("\n"))
    })
}

/// Files of stores that the operator put elsewhere, by label.
fn store_paths(app: &App) -> BTreeMap<String, PathBuf> {
    let stores = app.components.iter().flat_map(|plan| &plan.capabilities.key_value_stores);
    stores.map(|(label, path)| (label.clone(), path.clone())).collect()
}
