//! The clock of a process: one schedule for the timers and times of the day of all its apps, which come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use pirn_triggers::time::{Rule, RuleId, Rules, Schedule, ScheduleError, Scheduled, Tick};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::event::Event;
use super::feeds::Route;
use super::lanes::locked;
use crate::happening::Happening;

/// The clock, as long as it is there.
pub struct Clock {
    rules: Rules,
    routes: Routes,
    ticks: JoinHandle<()>,
}

type Routes = Arc<Mutex<BTreeMap<RuleId, TickRoute>>>;

/// Which lane a rule of the schedule fires.
pub(crate) struct TickRoute {
    /// The trigger's id.
    pub(crate) source: Arc<str>,
    pub(crate) to: Route,
}

/// The rules of an app; they go with this.
pub(crate) struct Timers {
    clock: Arc<Clock>,
    rules: Vec<RuleId>,
}

impl Clock {
    /// Begins to hand the ticks of a schedule to lanes; `settled` is told when one is handled.
    pub(crate) fn start(schedule: Schedule, settled: Arc<Notify>) -> Arc<Self> {
        let (rules, routes) = (schedule.rules(), Routes::default());
        let ticks = tokio::spawn(hand_over(schedule, Arc::clone(&routes), settled));
        Arc::new(Self { rules, routes, ticks })
    }

    /// From here on these rules fire these lanes.
    pub(crate) fn add(
        self: &Arc<Self>,
        rules: impl IntoIterator<Item = (Rule, TickRoute)>,
    ) -> Result<Timers, ScheduleError> {
        let mut timers = Timers { clock: Arc::clone(self), rules: Vec::new() };
        for (rule, route) in rules {
            // Held, so that it does not fire before it is known whom.
            let mut routes = locked(&self.routes);
            let id = self.rules.add(rule)?;
            routes.insert(id, route);
            timers.rules.push(id);
        }
        Ok(timers)
    }
}

impl Drop for Timers {
    fn drop(&mut self) {
        for id in &self.rules {
            self.clock.rules.remove(*id);
            locked(&self.clock.routes).remove(id);
        }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

async fn hand_over(mut schedule: Schedule, routes: Routes, settled: Arc<Notify>) {
    loop {
        let Tick { rule, scheduled, missed } = schedule.next().await;
        let routes = locked(&routes);
        let Some(TickRoute { source, to }) = routes.get(&rule) else { continue };
        let Route { trigger, lane, late } = to;
        lane.count_coalesced(*trigger, missed);
        let happening = match scheduled {
            Scheduled::Unix(timestamp) => Happening::Time { timestamp },
            Scheduled::Elapsed(_) => Happening::Tick,
        };
        let event = Event::local(Arc::clone(source), happening, 1, Arc::clone(&settled));
        lane.offer(Arc::new(if *late { event.late() } else { event }), *trigger);
    }
}
