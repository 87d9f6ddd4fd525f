//! An app at work: connected to its broker, its lines and the clock; and how it rests.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use pirn_triggers::gpio::{Chips, Input, InputHandle, InputOptions, NoticeHandler, Outputs};
use pirn_triggers::http::Address;
use tokio::task::{JoinHandle, JoinSet};

use super::channels;
use super::gate::{Gate, Kept, OpenGate};
use super::inward::Within;
use super::link::Link;
use super::loading::LoadAppError;
use super::readiness;
use super::runner::Runner;
use crate::flow::all::Lanes;
use crate::flow::clock::{TickRoute, Timers};
use crate::flow::counters::ComponentCounters;
use crate::flow::event::Event;
use crate::flow::feeds::{self, EdgeRoute, Route};
use crate::flow::lanes::Entry;
use crate::flow::site::Site;
use crate::flow::{keeper, letters};
use crate::happening::Happening;
use crate::host::brokers::Login;
use crate::limits::dispatch as limits;
use crate::plan::{Durable, Pin, TriggerPlan, TriggerPlanKind};
use crate::report::Report;

/// What an app is about to be connected to. Its lines are held as long as this, or what it becomes, is there.
pub struct Outside {
    link: Option<Arc<Link>>,
    gate: Option<Gate>,
    inputs: Vec<Input>,
    outputs: Outputs,
}

impl Outside {
    /// The connection with its broker.
    pub fn link(&self) -> Option<&Arc<Link>> {
        self.link.as_ref()
    }

    /// Where it takes requests.
    pub fn address(&self) -> Option<&Address> {
        self.gate.as_ref().map(Gate::address)
    }

    /// The lines that are driven, for those who look at them.
    pub fn outputs(&self) -> &Outputs {
        &self.outputs
    }

    /// The lines that are read, for those who look at them; in the order of the plan.
    pub fn inputs(&self) -> Vec<InputHandle> {
        self.inputs.iter().map(Input::handle).collect()
    }
}

/// What an app that works does beside its lanes.
pub struct AtWork {
    feeds: JoinSet<()>,
    timers: Option<Timers>,
    gate: Option<OpenGate>,
    outputs: Outputs,
    driving: Option<JoinHandle<()>>,
}

impl AtWork {
    /// It is about to be replaced: its clients are not turned away meanwhile.
    pub(super) fn keep_gate(&self) -> Option<Kept> {
        self.gate.as_ref().and_then(OpenGate::keep)
    }

    /// Sets what it drives to its safe levels, and leaves it there.
    pub fn make_lines_safe(&self) {
        self.outputs.stop();
    }
}

impl Runner {
    /// What connects the app to the outside; of its broker, the connection in `link`. Lines that cannot be had now are
    /// tried again; a chip that is not there is an error. The lines come last: until everything else is fine, they
    /// stay as they are.
    pub fn connect(&self, chips: &Chips, link: Option<Arc<Link>>) -> Result<Outside, LoadAppError> {
        readiness::ready(self.app(), chips)?;
        let http = self.app().http.as_ref();
        let gate = http.map(|plan| Gate::bind(plan, &self.app().name, self.process().addresses()));
        let gate = gate.transpose()?;
        let (inputs, outputs) = self.open_lines(chips)?;
        Ok(Outside { link, gate, inputs, outputs })
    }

    /// The app's GPIO lines, for its guests to use; they are held as long as what this returns.
    pub fn open_lines(&self, chips: &Chips) -> Result<(Vec<Input>, Outputs), LoadAppError> {
        let pins = &self.app().pins;
        readiness::check_chips(chips, &pins.chip_labels())?;
        let reporter = Arc::clone(self.reporter());
        let on_notice: NoticeHandler =
            Arc::new(move |notice| reporter.report(&Report::Line(&notice)));
        let open = |pin: &Pin<InputOptions>| {
            Input::open(chips.clone(), pin.options.clone(), Some(Arc::clone(&on_notice)))
        };
        let inputs: Vec<Input> = pins.inputs.iter().map(open).collect();
        let outputs = pins.outputs.iter().map(|pin| pin.options.clone()).collect();
        let outputs = Outputs::open(chips.clone(), outputs, Some(on_notice.clone()));
        let outputs = outputs.map_err(|error| LoadAppError::Chips(error.to_string()))?;
        self.lines().open(inputs.iter().map(Input::handle).collect(), outputs.clone());
        Ok((inputs, outputs))
    }

    /// Begins to work: events come from here on. Messages come to lanes that have joined the connection.
    pub fn begin(&self, outside: Outside, lanes: &Arc<Lanes>) -> Result<AtWork, LoadAppError> {
        let Outside { link, gate, inputs, outputs } = outside;
        if let (Some(plan), Some(link)) = (&self.app().broker, &link) {
            let session = link.start()?;
            let username = plan.username.clone().unwrap_or_default();
            let password = plan.password.clone().unwrap_or_default();
            let login = Login::new(plan.address.clone(), username, password);
            self.brokers().share(login, link.client_id(), session.clone());
        }
        lanes.open();
        self.run_commands(lanes);
        if self.store().has_kept() {
            tokio::spawn(letters::retry(Arc::clone(lanes)));
        }
        let driven = (!outputs.options().is_empty()).then(|| outputs.clone());
        let driving = driven.map(|driven| tokio::spawn(async move { driven.run().await }));
        let (mut feeds, timers) = (self.edges(inputs, lanes), self.timers(lanes)?);
        channels::listen(self, lanes, &mut feeds);
        if let Some(gate) = gate.as_ref().filter(|_| self.process().is_shared()) {
            let note = format!("takes requests at {}", gate.address());
            self.reporter().report(&Report::Note(&note));
        }
        let http = gate.zip(self.app().http.as_ref());
        let gate = http.map(|(gate, plan)| {
            let site = Arc::new(Site::new(plan, lanes));
            let within = Within::new(&site, gate.address());
            self.outbound().open_inward(Arc::new(within));
            gate.open(plan, site, Arc::clone(&lanes.house))
        });
        Ok(AtWork { feeds, timers, gate, outputs, driving })
    }

    /// Stops working. Invocations under way get a few seconds; events that are not done then wait in their lanes. What
    /// ended is made safe and acknowledged as far as that is possible now. At the end every output is at its safe level,
    /// and sessions with guests' brokers are over.
    pub async fn rest(&self, mut at_work: AtWork, lanes: &Lanes) {
        at_work.feeds.shutdown().await;
        drop(at_work.timers);
        if let Some(gate) = &mut at_work.gate {
            gate.drain().await;
        }
        if !lanes.stop(limits::STOP_GRACE).await {
            self.reporter().report(&Report::Note(
                "invocations were still running; their events stay with the broker",
            ));
        }
        if let Some(driving) = &at_work.driving {
            driving.abort();
        }
        at_work.outputs.stop();
        if let Some(gate) = at_work.gate {
            gate.stop().await;
        }
        self.make_safe(lanes).await;
        self.close().await;
    }

    /// Closes the store: what is in its log is folded back, so that the next start has nothing to recover.
    pub(super) async fn close_store(&self) {
        if tokio::time::timeout(limits::STORE_CLOSE_GRACE, self.close_files()).await.is_err() {
            let sentence =
                "the store takes long to close; what was answered is on the disk all the same";
            self.reporter().report(&Report::Warning(sentence));
        }
    }

    /// Sees to it that what ended is acknowledged or on disk, and that edges which still wait are on disk too.
    async fn make_safe(&self, lanes: &Lanes) {
        let Lanes { house, entries, .. } = lanes;
        // The broker may be about to acknowledge everything, which saves the writes.
        house.all_settled(limits::SAFE_GRACE / 4).await;
        let outlets = self.brokers().outlets();
        let safe = async {
            for outlet in outlets {
                outlet.make_safe(limits::SAFE_GRACE / 2).await;
            }
            house.all_settled(limits::SAFE_GRACE / 2).await;
            lanes.close().await;
            for entry in entries {
                keeper::write_down(house, entry, |event| !event.what.is_sent_again()).await;
            }
            keeper::forget(house).await;
        };
        if tokio::time::timeout(limits::SAFE_GRACE * 3 / 4, safe).await.is_err() {
            let sentence = "not everything could be written down before the end; what the broker sent is sent again";
            self.reporter().report(&Report::Warning(sentence));
        }
    }

    /// One feed for each line.
    fn edges(&self, inputs: Vec<Input>, lanes: &Lanes) -> JoinSet<()> {
        let mut feeds = JoinSet::new();
        for (index, input) in inputs.into_iter().enumerate() {
            let line = Arc::clone(&self.app().pins.inputs[index].options.line.name);
            let routes = self.edge_routes(index, &lanes.entries);
            let settled = Arc::clone(lanes.house.settled());
            feeds.spawn(feeds::edges(input, line, routes, settled));
        }
        feeds
    }

    /// Its timers and times of the day, on the clock of the process.
    fn timers(&self, lanes: &Lanes) -> Result<Option<Timers>, LoadAppError> {
        let rule = |(number, trigger): (u32, &TriggerPlan)| {
            let rule = readiness::rule(&trigger.kind)?;
            let source = Arc::from(trigger.id.as_str());
            let to = self.route(number, trigger, &lanes.entries)?;
            Some((rule, TickRoute { source, to }))
        };
        let rules: Vec<_> = self.triggers().filter_map(rule).collect();
        if rules.is_empty() {
            return Ok(None);
        }
        let clock = self.process().clock(self.app(), self.reporter())?;
        let timers = clock.add(rules);
        timers.map(Some).map_err(|error| LoadAppError::Schedule(error.to_string()))
    }

    /// Has every command of the app run.
    fn run_commands(&self, lanes: &Lanes) {
        for (number, trigger) in self.commands() {
            let Some(Route { lane, .. }) = self.route(number, trigger, &lanes.entries) else {
                continue;
            };
            let (source, settled) = (trigger.id.as_str().into(), lanes.house.settled());
            let event = Event::local(source, Happening::Run, 1, Arc::clone(settled));
            lane.offer(Arc::new(event), number);
        }
    }

    fn commands(&self) -> impl Iterator<Item = (u32, &TriggerPlan)> {
        self.triggers().filter(|(_, trigger)| matches!(trigger.kind, TriggerPlanKind::Command))
    }

    /// Waits until all commands have run, if they are all that the app has: then there is nothing more to wait for.
    pub(super) async fn commands_alone_ended(&self) {
        let commands = self.commands().count();
        if commands < self.app().triggers.len() {
            return std::future::pending().await;
        }
        while self.runs() < commands as u64 {
            self.process().crew().settled.notified().await;
        }
    }

    fn runs(&self) -> u64 {
        let of = |(_, _, did): (String, String, Arc<ComponentCounters>)| did.runs();
        self.counters().into_iter().map(of).sum()
    }

    /// Whether the app has nothing but commands, and one of them failed.
    pub fn commands_failed(&self) -> bool {
        let is_command = |trigger: &TriggerPlan| matches!(trigger.kind, TriggerPlanKind::Command);
        let counters = self.counters();
        self.app().triggers.iter().all(is_command)
            && counters.iter().any(|(_, _, did)| did.runs() > did.done.load(Relaxed))
    }

    pub(super) fn route(
        &self,
        number: u32,
        trigger: &TriggerPlan,
        entries: &[Entry],
    ) -> Option<Route> {
        let lane = entries.get(trigger.component)?.clone();
        Some(Route { trigger: number, lane, late: trigger.durable == Durable::Late })
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
}
