//! What brings events to the lanes: one feed for each connection with a broker or a Redis server, one for each watched line; for timers and
//! times of the day it is the clock. No feed waits for a lane: what one component does with its events is
//! nobody else's business. Only the memory for all events that wait is bounded for all, and edges stay with the
//! kernel when too many wait for their component.

use std::sync::Arc;

use pirn_triggers::gpio::{EdgeKind, Edges, Input};
use pirn_triggers::mqtt::Inbox;
#[cfg(feature = "redis")]
use pirn_triggers::redis;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use crate::flow::crew::Crew;
use crate::flow::event::Event;
use crate::flow::lanes::Entry;
use crate::flow::router::Router;
use crate::happening::Happening;
use crate::limits::dispatch::{EVENT_OVERHEAD_BYTES, WAITING_BYTES_MAX};

/// Where a trigger's events go.
#[derive(Clone)]
pub(crate) struct Route {
    /// The trigger's number in the plan.
    pub(crate) trigger: u32,
    pub(crate) lane: Entry,
    /// What is published for its events need not be on disk at once.
    pub(crate) late: bool,
}

/// Which lane takes which edges of a line.
pub(crate) struct EdgeRoute {
    pub(crate) edges: Edges,
    pub(crate) to: Route,
}

/// Hands messages to the lanes that take them, once for each trigger. Between looking where one goes and handing it
/// over nothing waits, so that an app can take the place of another. Ends when the session does. Dropped
/// half-way, a message that was not handed over stays unacknowledged.
pub(crate) async fn messages(mut inbox: Inbox, router: Arc<Router>, crew: Arc<Crew>) {
    let (memory, settled) = (&crew.memory, &crew.settled);
    while let Some(message) = inbox.next().await {
        let room = room(memory, message.topic.len() + message.payload.len()).await;
        let to = router.routes(&message.topic);
        // A message of a subscription that an earlier version of the app had: nobody's, so done.
        if to.is_empty() {
            message.delivery.settle();
            continue;
        }
        let oversize = message.oversize;
        let event = Arc::new(Event::message(message, to.len(), Arc::clone(settled), room));
        for Route { trigger, lane, .. } in to {
            let event = Arc::clone(&event);
            match oversize {
                None => lane.offer(event, trigger),
                Some(bytes) => {
                    let reason =
                        format!("it has {bytes} bytes, more than is accepted; these are the first");
                    lane.refuse(event, trigger, reason);
                }
            }
        }
    }
}

/// Waits for the memory that a message takes while it waits.
async fn room(memory: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let bytes = EVENT_OVERHEAD_BYTES + bytes;
    let bytes = u32::try_from(bytes.min(WAITING_BYTES_MAX)).unwrap_or(u32::MAX);
    match Arc::clone(memory).try_acquire_many_owned(bytes) {
        Ok(room) => Some(room),
        Err(_) => Arc::clone(memory).acquire_many_owned(bytes).await.ok(),
    }
}

/// Hands messages of Redis channels to the lanes that take them, once for each trigger. Ends when the subscription does.
#[cfg(feature = "redis")]
pub(crate) async fn heard(
    mut messages: redis::Messages,
    routes: Vec<(Arc<str>, Route)>,
    crew: Arc<Crew>,
) {
    while let Some(redis::Message { channel, payload }) = messages.next().await {
        let room = room(&crew.memory, channel.len() + payload.len()).await;
        let to = routes.iter().filter(|(of, _)| *of == channel);
        let settled = Arc::clone(&crew.settled);
        let event = Event::heard(Arc::clone(&channel), payload, to.clone().count(), settled, room);
        let event = Arc::new(event);
        for (_, Route { trigger, lane, .. }) in to {
            lane.offer(Arc::clone(&event), *trigger);
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
        for EdgeRoute { to: Route { trigger, lane, late }, .. } in
            routes.iter().filter(|route| wants(route.edges, edge.edge))
        {
            lane.count_missed(*trigger, edge.missed);
            lane.has_room_for_edges().await;
            let settled = Arc::clone(&settled);
            let event = Event::local(Arc::clone(&line), Happening::Edge(edge), 1, settled);
            lane.offer(Arc::new(if *late { event.late() } else { event }), *trigger);
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
