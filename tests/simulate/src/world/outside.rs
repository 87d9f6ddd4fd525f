//! What happens outside whatever the runner does: messages, edges, times of the day.

use super::*;

impl World {
    pub(super) fn arrives(&mut self, number: usize) {
        let kind = self.plan.arrivals[number].1;
        match kind {
            Arrival::Message { component, qos, bytes, .. } => {
                let shares =
                    |at: &usize| component == Some(*at) || self.plan.components[*at].shares;
                let to: Vec<usize> = match component {
                    Some(one) => vec![one],
                    None => (0..self.plan.components.len()).filter(shares).collect(),
                };
                if to.is_empty() {
                    return;
                }
                let trigger = u32::from(component.is_none());
                let event = self.books.event(to.clone(), false, qos > 0);
                let to = to.into_iter().map(|one| (one, trigger)).collect();
                self.events.push(Event { kind, to, bytes });
                let topic = component.map_or("all".into(), |one| format!("in/{one}"));
                let qos = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce][usize::from(qos)];
                let payload = payload(event as u32, bytes);
                let message = Message { event, topic, payload, qos };
                let taken = self.broker.up && self.broker.publish(message, self.plan.window);
                self.say(|| format!("event {event} for {kind:?}: broker takes it: {taken}"));
            }
            Arrival::Edge { component } => {
                let event = self.local(kind, component, 2);
                if !self.alive || !self.runner.started {
                    return;
                }
                if self.kernel.len() >= self.plan.kernel_max {
                    self.kernel.pop_front();
                    self.kernel_dropped += 1;
                }
                self.kernel.push_back(event);
                self.soon(Task::Edges);
            }
            Arrival::Tick { component } => {
                let event = self.local(kind, component, 3);
                if self.alive && self.runner.started {
                    self.tick(event);
                }
            }
        }
    }

    pub(super) fn local(&mut self, kind: Arrival, component: usize, trigger: u32) -> usize {
        let edge = matches!(kind, Arrival::Edge { .. });
        let event = self.books.event(vec![component], true, edge);
        self.events.push(Event { kind, to: vec![(component, trigger)], bytes: 0 });
        event
    }
}
