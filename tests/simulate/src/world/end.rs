//! The end of a history: faults stop, then components are healed, then nothing may be left.

use super::*;

impl World {
    pub(super) fn calm(&mut self) {
        self.say(|| "faults stop".into());
        (self.broker.up, self.broker.mute, self.link.reachable) = (true, false, true);
        (self.disk.failing, self.disk.slow) = (false, false);
        self.plan.ack_spread = self.plan.ack_spread.min(20 * MILLI);
        if !self.alive {
            self.start_within(MILLI);
        }
    }

    /// What is of healthy components is done by now, whatever their neighbours do. From here on all are well.
    pub(super) fn heal(&mut self) {
        let well = |one: &usize| {
            self.plan.components[*one].health == Health::Well && self.plan.drains_quickly()
        };
        let behind: Vec<usize> = (0..self.plan.components.len())
            .filter(well)
            .filter(|one| !self.is_done(*one))
            .collect();
        if !behind.is_empty() {
            self.books.problem.get_or_insert(format!(
                "components {behind:?} are well and have not done their work, long after faults stopped: {}",
                self.left()
            ));
        }
        self.say(|| "components are healed".into());
        self.healed = true;
    }

    /// Whether the broker and the lane have nothing more for a component.
    pub(super) fn is_done(&self, component: usize) -> bool {
        let waits = |event: usize| {
            self.events[event].to.iter().any(|(to, _)| *to == component)
                && !self.books.is_handled(event, component, &self.disk.tables)
        };
        let idle = !self.alive || !self.runner.lanes[component].lane.is_waiting();
        idle && !self.broker.pending().any(waits)
    }

    pub(super) fn is_drained(&self) -> bool {
        self.alive
            && self.runner.is_drained()
            && self.broker.is_idle()
            && self.kernel.is_empty()
            && self.disk.tables.outs.is_empty()
            && self.disk.tables.events.is_empty()
    }

    pub(super) fn left(&self) -> String {
        let Self { runner, disk, broker, .. } = self;
        let lanes: Vec<usize> = runner.lanes.iter().map(|lane| lane.lane.len()).collect();
        format!(
            "alive {}, lanes {lanes:?}, outbox {}, rows of publishes {}, of events {}, broker idle {}, kernel {}, after {} steps",
            self.alive,
            runner.outbox.pending(),
            disk.tables.outs.len(),
            disk.tables.events.len(),
            broker.is_idle(),
            self.kernel.len(),
            self.steps,
        )
    }

    /// At the end the broker holds every subscription, or nothing would come any more.
    pub(super) fn look_at_subscriptions(&mut self) {
        let own = (0..self.plan.components.len()).map(|one| format!("in/{one}"));
        for filter in own.chain(["all".to_owned()]) {
            if !self.broker.holds(&filter) {
                let text = format!(
                    "the broker holds no subscription to {filter}, and the runner believes it does"
                );
                self.books.problem.get_or_insert(text);
            }
        }
    }
}
