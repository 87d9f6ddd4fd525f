//! What an outlet's task does: it reads what an earlier process left, then writes, reads and forgets as the machine
//! says, and sleeps in between.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pirn_triggers::mqtt::{Publish, Qos, State};
use tokio::time::{Instant as TokioInstant, sleep_until};

use super::{Outlet, limits, locked, now, size};
use crate::limits::time::CLOCK_NOT_BEFORE;
use crate::outbox::machine::{Action, Row, Ticket};
use crate::report::Report;
use crate::store::KeptPublish;

impl Outlet {
    /// Does what is to be done now and needs waiting for. Dropped half-way, a write may or may not have happened.
    async fn step(self: &Arc<Self>) {
        loop {
            let action = locked(&self.machine).next_work(now());
            match action {
                Some(Action::Store(list)) => self.keep(list).await,
                Some(Action::Load(component, after)) => self.load(component, after).await,
                Some(Action::Forget(rows)) => {
                    // What is not forgotten when the power goes is sent twice: that is allowed.
                    if self.store.forget_publishes(rows.clone()).await.is_err() {
                        self.with(|machine| machine.not_forgotten(rows, now()));
                    }
                    self.safe.notify_waiters();
                }
                None => return,
            }
        }
    }

    async fn keep(self: &Arc<Self>, list: Vec<(Ticket, Publish)>) {
        let tickets: Vec<Ticket> = list.iter().map(|(ticket, _)| *ticket).collect();
        let at = clock();
        let kept = list.into_iter().map(|(ticket, publish)| KeptPublish {
            component: locked(&self.components).name(ticket.component).to_string(),
            topic: publish.topic,
            payload: publish.payload,
            qos: publish.qos as u8,
            retain: publish.retain,
            at,
        });
        let kept = kept.collect();
        match self.store.keep_publishes(&self.broker, kept).await {
            Ok(rows) => {
                let rows: Vec<_> = tickets.into_iter().zip(rows).collect();
                self.with(|machine| machine.stored(&rows, now()));
            }
            Err(error) => {
                let failures = self.with(|machine| {
                    machine.not_stored(now());
                    machine.write_failures()
                });
                if failures == 1 {
                    let sentence = format!(
                        "publishes cannot be written to the outbox; they wait in memory and are tried again: {error}"
                    );
                    self.reporter.report(&Report::Warning(&sentence));
                }
            }
        }
        self.safe.notify_waiters();
        self.room.notify_waiters();
    }

    async fn load(self: &Arc<Self>, component: u32, after: i64) {
        let name = locked(&self.components).name(component);
        let (most, bytes_most) = (limits::ROWS_PER_READ, limits::BYTES_PER_READ_MAX);
        let today = clock();
        match self.store.kept_publishes(&self.broker, &name, after, most, bytes_most).await {
            Ok(rows) => {
                let row = |(row, kept): (i64, KeptPublish)| {
                    let expired = self.is_expired(kept.at, today);
                    let publish = publish(kept);
                    Row { row, bytes: size(&publish), publish, expired }
                };
                let rows = rows.into_iter().map(row).collect();
                self.with(|machine| machine.loaded(component, rows, now()));
            }
            Err(error) => {
                self.with(|machine| machine.not_loaded(component, now()));
                let sentence =
                    format!("publishes in the outbox cannot be read; tried again: {error}");
                self.reporter.report(&Report::Warning(&sentence));
            }
        }
    }

    /// Reads what an earlier process left. If that cannot be read, publishes go their way without: it stays for the
    /// next start.
    async fn restore(self: &Arc<Self>) {
        if !self.store.has_kept() {
            return self.with(|machine| machine.restored(now()));
        }
        let mut pause = limits::WRITE_AGAIN_FIRST;
        for again in [true, true, false] {
            match self.store.kept_publish_totals(&self.broker).await {
                Ok(totals) => {
                    for total in totals {
                        let component = locked(&self.components).number(&total.component);
                        let overhead = limits::PUBLISH_OVERHEAD_BYTES as u64;
                        let bytes = total.bytes + total.rows * overhead;
                        self.with(|machine| machine.restore(component, total.rows, bytes));
                    }
                    break;
                }
                Err(_) if again => tokio::time::sleep(pause).await,
                Err(error) => {
                    let sentence = format!(
                        "the outbox cannot be read; what an earlier run left in it waits for the next start: {error}"
                    );
                    self.reporter.report(&Report::Warning(&sentence));
                }
            }
            pause *= 2;
        }
        self.with(|machine| machine.restored(now()));
    }

    /// A clock that was never set tells no age.
    fn is_expired(&self, at: i64, now: i64) -> bool {
        let believable = i64::try_from(CLOCK_NOT_BEFORE).unwrap_or(i64::MAX);
        let age = i64::try_from(self.age_max.as_secs()).unwrap_or(i64::MAX);
        at >= believable && now >= believable && now.saturating_sub(at) > age
    }
}

/// The task. Dropped at any point, what is on disk is there and the rest is not safe.
pub(super) async fn work(outlet: Arc<Outlet>) {
    let mut state = outlet.session.state();
    outlet.restore().await;
    loop {
        let connected = matches!(*state.borrow_and_update(), State::Connected { .. });
        outlet.with(|machine| machine.set_connected(connected, now()));
        outlet.step().await;
        let deadline = locked(&outlet.machine).deadline();
        let sleep = async {
            match deadline {
                Some(at) => sleep_until(TokioInstant::from_std(at)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = outlet.wake.notified() => {}
            () = sleep => {}
            changed = state.changed() => if changed.is_err() { return },
        }
    }
}

fn publish(kept: KeptPublish) -> Publish {
    let qos = match kept.qos {
        2 => Qos::ExactlyOnce,
        _ => Qos::AtLeastOnce,
    };
    Publish { topic: kept.topic, payload: kept.payload, qos, retain: kept.retain }
}

fn clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
