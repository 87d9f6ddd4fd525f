//! Looks at a lane from time to time while events wait in it: what waits in one that is stuck is written down and settled, so
//! that it does not fill the broker's window; what was written down and is settled is forgotten.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::timeout;

use super::event::Event;
use super::house::House;
use super::lane::Parked;
use super::lanes::{Entry, Inner, locked, now};
use crate::limits::dispatch as limits;
use crate::report::Report;

/// Runs for as long as something waits in the lane. Dropped half-way, an event may be on disk and not settled: it then
/// runs twice.
pub(super) async fn keep(lane: Entry) {
    let Inner { house, urgent, is_kept, .. } = &*lane.0;
    while !house.closing.load(Relaxed) {
        // Mostly there is nothing left to do when that is over.
        let _ = timeout(limits::PARK_AFTER / 4, urgent.notified()).await;
        let stuck = lane.lane().check(now());
        if stuck {
            write_down(house, &lane, |_| true).await;
        }
        forget(house).await;
        // What could not be deleted is tried again, whether or not anything comes.
        if !lane.lane().is_waiting() && locked(&house.forget).is_empty() {
            break;
        }
    }
    is_kept.store(false, Relaxed);
    house.rested.notify_waiters();
}

/// Writes down what waits in a lane, of what `which` picks.
pub(crate) async fn write_down(house: &House, lane: &Entry, which: fn(&Arc<Event>) -> bool) {
    loop {
        let parked = lane.lane().park(limits::PARKED_PER_WRITE_MAX, which);
        if parked.is_empty() {
            return;
        }
        let kept = parked.iter().map(|Parked { trigger, attempts, event, .. }| {
            event.kept(lane.component(), lane.trigger_id(*trigger), *attempts)
        });
        match house.store.keep_events(kept.collect()).await {
            Ok(rows) => {
                for (Parked { key, event, .. }, row) in parked.into_iter().zip(rows) {
                    match lane.lane().parked(key, row) {
                        true => house.forget_tries(event.settle(None)),
                        false => locked(&house.forget).push(row),
                    }
                }
                lane.left();
            }
            Err(error) => {
                for Parked { key, .. } in parked {
                    lane.lane().not_parked(key);
                }
                let sentence = format!(
                    "events that wait for {} cannot be written down; they wait in memory: {error}",
                    lane.component()
                );
                return house.reporter.report(&Report::Warning(&sentence));
            }
        }
    }
}

/// Deletes what is settled.
pub(crate) async fn forget(house: &House) {
    let rows = std::mem::take(&mut *locked(&house.forget));
    if rows.is_empty() {
        return;
    }
    let forgotten = house.store.forget_events(rows.clone()).await;
    let failed_before = house.unforgotten.swap(forgotten.is_err(), Relaxed);
    if let Err(error) = forgotten {
        locked(&house.forget).extend(rows);
        if failed_before {
            return;
        }
        let sentence = format!(
            "events that were handled cannot be deleted; after a restart they run again: {error}"
        );
        house.reporter.report(&Report::Warning(&sentence));
    }
}
