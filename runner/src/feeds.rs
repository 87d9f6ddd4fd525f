//! What brings events to the lanes: one feed for the app's broker, one for each watched line, one for
//! all timers and times of the day together. A feed that finds a lane full waits there, and with it its
//! source: the broker keeps its messages, the kernel its edges; ticks that come too early are one with
//! the tick that waits.

use std::sync::Arc;

use pirn_triggers::gpio::{EdgeKind, Edges, Input};
use pirn_triggers::mqtt::{Inbox, topic_matches};
use pirn_triggers::time::{Schedule, Scheduled, Tick};
use tokio::sync::Notify;

use crate::dispatch::LaneEntry;
use crate::event::{Event, Happening, Waiting};

/// Which lane takes messages that match a filter.
pub(crate) struct TopicRoute {
    pub(crate) filter: String,
    pub(crate) entry: LaneEntry,
}

/// Which lane takes which edges of a line.
pub(crate) struct EdgeRoute {
    pub(crate) edges: Edges,
    pub(crate) entry: LaneEntry,
}

/// Which lane a rule of the schedule fires.
pub(crate) struct TickRoute {
    /// The trigger's id.
    pub(crate) source: Arc<str>,
    pub(crate) entry: LaneEntry,
    pub(crate) waiting: Arc<Waiting>,
}

/// Hands messages to the lanes whose filters they match. Ends when the session does. Dropped
/// half-way, a message that was not handed over stays unacknowledged.
pub(crate) async fn messages(mut inbox: Inbox, routes: Vec<TopicRoute>, settled: Arc<Notify>) {
    while let Some(message) = inbox.next().await {
        // Only its beginning came, and nobody is given half a message for a whole one.
        if message.oversize.is_some() {
            message.delivery.settle();
            continue;
        }
        let matching =
            || routes.iter().filter(|route| topic_matches(&route.filter, &message.topic));
        let entries: Vec<&LaneEntry> = matching().map(|route| &route.entry).collect();
        // A message of a subscription that an earlier version of the app had: nobody's, so done.
        if entries.is_empty() {
            message.delivery.settle();
            continue;
        }
        let event = Arc::new(Event::message(message, entries.len(), Arc::clone(&settled)));
        for entry in entries {
            entry.push(Arc::clone(&event)).await;
        }
    }
}

/// Hands a line's edges to the lanes that want them. Runs for lines that are only read, too: it is
/// what opens them again after they were lost.
pub(crate) async fn edges(
    mut input: Input,
    line: Arc<str>,
    routes: Vec<EdgeRoute>,
    settled: Arc<Notify>,
) {
    loop {
        let edge = input.next().await;
        let entries: Vec<&LaneEntry> = routes
            .iter()
            .filter(|route| wants(route.edges, edge.edge))
            .map(|route| &route.entry)
            .collect();
        if entries.is_empty() {
            continue;
        }
        let happening = Happening::Edge(edge);
        let event = Event::local(Arc::clone(&line), happening, entries.len(), Arc::clone(&settled));
        let event = Arc::new(event);
        for entry in entries {
            entry.count_missed(edge.missed);
            entry.push(Arc::clone(&event)).await;
        }
    }
}

fn wants(edges: Edges, edge: EdgeKind) -> bool {
    match edges {
        Edges::Both => true,
        Edges::Rising => edge == EdgeKind::Rising,
        Edges::Falling => edge == EdgeKind::Falling,
        Edges::None => false,
    }
}

/// Hands ticks to their lanes; `routes` are in the order of the schedule's rules. Never waits for a
/// lane.
pub(crate) async fn ticks(mut schedule: Schedule, routes: Vec<TickRoute>, settled: Arc<Notify>) {
    loop {
        let Tick { rule, scheduled, missed } = schedule.next().await;
        let Some(TickRoute { source, entry, waiting }) = routes.get(rule) else { continue };
        entry.count_coalesced(missed);
        entry.tick(waiting, || {
            let happening = match scheduled {
                Scheduled::Unix(timestamp) => Happening::Time { timestamp },
                Scheduled::Elapsed(_) => Happening::Tick,
            };
            Event::local(Arc::clone(source), happening, 1, Arc::clone(&settled))
        });
    }
}
