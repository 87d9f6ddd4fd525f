//! Which lanes take a message: the triggers of all apps that share a session, by their topics.

use std::sync::Mutex;

use pirn_triggers::mqtt::{Filters, Qos, Subscription};

use super::all::Lanes;
use super::feeds::Route;
use super::lanes::locked;
use crate::plan::{Durable, TriggerPlanKind};

/// The routes of a session.
#[derive(Default)]
pub struct Router(Mutex<Filters<Topic>>);

/// One trigger's.
struct Topic {
    qos: Qos,
    to: Route,
}

/// What the session has to ask for now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A filter that nobody had, or at a higher quality of service.
    For(Subscription),
    /// A filter that others have: for its retained messages.
    Again(String),
    /// A filter that nobody has any more, not to be sent.
    Without(String),
}

impl Router {
    /// From here on messages go to these lanes.
    pub(crate) fn add(&self, lanes: &Lanes) -> Vec<Ask> {
        let mut filters = locked(&self.0);
        topics(lanes)
            .map(|(filter, topic)| {
                let before = wanted(&filters, &filter);
                let qos = before.unwrap_or(topic.qos).max(topic.qos);
                filters.insert(&filter, topic);
                match before {
                    Some(before) if before == qos => Ask::Again(filter),
                    _ => Ask::For(Subscription { filter, qos }),
                }
            })
            .collect()
    }

    /// Messages go to these lanes no longer.
    pub(crate) fn remove(&self, lanes: &Lanes) -> Vec<Ask> {
        let mut filters = locked(&self.0);
        let mut asks = Vec::new();
        for (filter, topic) in topics(lanes) {
            let before = wanted(&filters, &filter);
            filters.remove(&filter, |known| known.to.lane.is(&topic.to.lane));
            match wanted(&filters, &filter) {
                None if before.is_some() => asks.push(Ask::Without(filter)),
                Some(qos) if before != Some(qos) => {
                    asks.push(Ask::For(Subscription { filter, qos }));
                }
                _ => {}
            }
        }
        asks
    }

    /// Messages that went to the old lanes go to the new ones, from one to the next. What both have is not asked for
    /// again.
    pub(crate) fn replace(&self, old: &Lanes, new: &Lanes) -> Vec<Ask> {
        let had: Vec<String> = topics(old).map(|(filter, _)| filter).collect();
        let mut asks = self.add(new);
        asks.retain(|ask| !matches!(ask, Ask::Again(filter) if had.contains(filter)));
        asks.extend(self.remove(old));
        asks
    }

    /// Where a message on this topic goes.
    pub(super) fn routes(&self, topic: &str) -> Vec<Route> {
        let mut to = Vec::new();
        locked(&self.0).matching(topic, |topic| to.push(topic.to.clone()));
        to
    }
}

/// At which quality of service a filter is wanted, if anybody wants it.
fn wanted(filters: &Filters<Topic>, filter: &str) -> Option<Qos> {
    let mut most = None;
    filters.exactly(filter, |topic| most = most.max(Some(topic.qos)));
    most
}

fn topics(lanes: &Lanes) -> impl Iterator<Item = (String, Topic)> {
    (0..).zip(&lanes.app.triggers).filter_map(|(number, trigger)| {
        let TriggerPlanKind::Mqtt { topic, qos } = &trigger.kind else { return None };
        let lane = lanes.entries.get(trigger.component)?.clone();
        let to = Route { trigger: number, lane, late: trigger.durable == Durable::Late };
        Some((topic.as_str().to_owned(), Topic { qos: *qos, to }))
    })
}
