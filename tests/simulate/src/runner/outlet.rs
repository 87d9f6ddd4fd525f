//! The outbox at work, as `outbox/outlet.rs` in the runner does it.

use pirn_runner::happening::Urgency;
use pirn_runner::limits::outbox as limits;
use pirn_runner::outbox::machine::{Action, Full, Outbox, Row, Ticket, Told};
use pirn_triggers::mqtt::core::{Done, Ending};
use pirn_triggers::mqtt::{DeliveryError, Publish};
use std::time::Instant;

use super::{Task as Next, Waits};
use crate::disk::{Answer, KeptOut, Op};
use crate::mutant::Mutant;
use crate::world::{Out, World};

/// Who waits for a publish to be safe.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiter {
    Run(u32),
    Finish(u32),
}

/// What [`Waiter`] waits for.
#[derive(Debug)]
pub(super) struct Receipt {
    pub(super) told: Option<Told>,
    pub(super) waiter: Waiter,
}

/// The outbox's task.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// It waits for the disk.
    busy: bool,
    /// What an earlier process left is known, or cannot be.
    restored: bool,
    deadline: u64,
    /// It was called while it waited for the disk.
    called: bool,
    /// A mutant's: what the session had no room for, while it sent what is behind it.
    passed: Vec<Ticket>,
}

impl World {
    /// Works on the machine, then sends what can be sent and tells whom there is to tell.
    pub(super) fn with_outbox<R>(
        &mut self,
        work: impl FnOnce(&mut Outbox<Out, usize>, Instant) -> R,
    ) -> R {
        let now = self.instant();
        let outbox = &mut self.runner.outbox;
        let before = outbox.deadline();
        let result = work(outbox, now);
        let after = outbox.deadline();
        let sooner = after.is_some_and(|after| before.is_none_or(|before| after < before));
        let look = sooner || outbox.wants_load(now);
        for (receipt, told) in outbox.told() {
            self.tell(receipt, told);
        }
        self.send();
        if look {
            self.soon(Next::Outlet);
        }
        result
    }

    fn tell(&mut self, receipt: usize, told: Told) {
        let receipt = &mut self.runner.receipts[receipt];
        receipt.told = Some(told);
        let task = match receipt.waiter {
            Waiter::Run(run) => Next::Guest(run),
            Waiter::Finish(finish) => Next::Finish(finish),
        };
        self.soon(task);
    }

    fn there_is_room(&mut self) {
        for run in std::mem::take(&mut self.runner.wait_for_room) {
            self.soon(Next::Guest(run));
        }
    }

    /// Hands over what is to be sent, until the session has no room.
    fn send(&mut self) {
        while let Some((ticket, out)) = self.runner.outbox.next_send() {
            let ended = self.runner.ended.clone();
            let done = move |ending: Ending| {
                if let Ok(mut ended) = ended.lock() {
                    ended.push((ticket, ending));
                }
            };
            if self.has(Mutant::ForgetRowWhenSent) {
                self.forget_row_of(out.id);
            }
            if self.publish(out.publish, Some(Done::Call(Box::new(done)))).is_err() {
                if self.has(Mutant::SendPastTheFull) {
                    self.runner.outlet.passed.push(ticket);
                    continue;
                }
                self.runner.outbox.unsent(ticket);
                break;
            }
        }
        for ticket in std::mem::take(&mut self.runner.outlet.passed) {
            self.runner.outbox.unsent(ticket);
        }
    }

    /// A mutant's mistake.
    fn forget_row_of(&mut self, out: u32) {
        let rows = self.disk.tables.outs.iter();
        let row = rows.filter(|(_, kept)| kept.out.id == out).map(|(row, _)| *row).collect();
        self.ask_for(Op::ForgetOuts(row), Waits::Nobody);
    }

    /// The session is done with a publish.
    pub(super) fn sent(&mut self, ticket: Ticket, ending: &Ending) {
        self.ended(ticket, ending);
        self.there_is_room();
    }

    fn ended(&mut self, ticket: Ticket, ending: &Ending) {
        match ending {
            Ok(()) => self.with_outbox(|outbox, now| outbox.acked(ticket, now)),
            Err(DeliveryError::Stopped | DeliveryError::ConnectionLost) => {
                self.runner.outbox.unsent(ticket);
            }
            Err(refusal) => {
                let why = refusal.to_string();
                let unheard = self.with_outbox(|outbox, now| outbox.refused(ticket, &why, now));
                if let Some(out) = unheard {
                    self.ask_for(Op::BuryOut(out.id), Waits::Nobody);
                }
            }
        }
    }

    /// Takes a publish over, or says why not and gives it back.
    pub(super) fn accept(
        &mut self,
        component: usize,
        out: Out,
        urgency: Urgency,
        receipt: usize,
    ) -> Result<(), (Full, Out)> {
        let bytes = out.bytes();
        let accepted = self.with_outbox(|outbox, now| {
            outbox.accept(component as u32, out, bytes, urgency, Some(receipt), now)
        });
        accepted.map_err(|(full, out, _)| (full, out))
    }

    /// Reads what an earlier process left, before anything else is written.
    pub(super) fn restore_outs(&mut self, again: u32) {
        if self.has(Mutant::ForgetKeptPublishes) {
            return self.outs_restored(9, Answer::Failed);
        }
        if self.has(Mutant::OvertakeRows) && again == 0 {
            self.with_outbox(|outbox, now| outbox.restored(now));
            self.runner.outlet.restored = true;
            return self.after(crate::SECOND, Next::Restore(1));
        }
        self.ask_for(Op::Totals, Waits::Totals(again));
    }

    pub(super) fn outs_restored(&mut self, again: u32, answer: Answer) {
        match answer {
            Answer::Totals(totals) => {
                for (component, rows, bytes) in totals {
                    self.with_outbox(|outbox, _| outbox.restore(component, rows, bytes));
                }
            }
            _ if again < 2 => {
                let pause = limits::WRITE_AGAIN_FIRST.as_micros() as u64 * (1 << again);
                return self.after(pause, Next::Restore(again + 1));
            }
            _ => {}
        }
        self.with_outbox(|outbox, now| outbox.restored(now));
        self.runner.outlet.restored = true;
        self.soon(Next::Outlet);
    }

    /// The task: tells the machine whether there is a connection, does what is to be done, waits.
    pub(super) fn outlet(&mut self) {
        if self.runner.outlet.busy || !self.runner.outlet.restored {
            self.runner.outlet.called = true;
            return;
        }
        let connected = self.runner.connected;
        self.with_outbox(|outbox, now| outbox.set_connected(connected, now));
        self.outlet_step();
    }

    /// Rows of publishes are deleted, or could not be.
    pub(super) fn outs_forgotten(&mut self, rows: Vec<i64>, answer: &Answer) {
        if !matches!(answer, Answer::Done) {
            self.with_outbox(|outbox, now| outbox.not_forgotten(rows, now));
        }
        self.outlet_goes_on();
    }

    /// The disk has answered.
    pub(super) fn outlet_goes_on(&mut self) {
        self.runner.outlet.busy = false;
        self.outlet_step();
    }

    fn outlet_step(&mut self) {
        let now = self.instant();
        match self.runner.outbox.next_work(now) {
            Some(Action::Store(list)) => self.keep(list),
            Some(Action::Load(component, after)) => {
                self.runner.outlet.busy = true;
                let most = limits::ROWS_PER_READ;
                self.ask_for(Op::ReadOuts { component, after, most }, Waits::Load(component));
            }
            Some(Action::Forget(rows)) => {
                self.runner.outlet.busy = true;
                self.ask_for(Op::ForgetOuts(rows.clone()), Waits::ForgetOuts(rows));
            }
            None if std::mem::take(&mut self.runner.outlet.called) => self.soon(Next::Outlet),
            None => self.outlet_waits(),
        }
    }

    fn outlet_waits(&mut self) {
        let Some(deadline) = self.runner.outbox.deadline() else { return };
        let deadline = self.micros(deadline) + 1;
        let known = self.runner.outlet.deadline;
        if known <= self.now || deadline < known {
            self.runner.outlet.deadline = deadline;
            self.after(deadline.saturating_sub(self.now), Next::Outlet);
        }
    }

    fn keep(&mut self, list: Vec<(Ticket, Out)>) {
        self.runner.outlet.busy = true;
        let at_secs = (self.now / crate::SECOND) as i64;
        let tickets: Vec<Ticket> = list.iter().map(|(ticket, _)| *ticket).collect();
        let first = self.disk.tables.last_out() + 1;
        let guessed: Vec<_> = tickets.iter().copied().zip(first..).collect();
        let kept = list.into_iter().map(|(ticket, out)| KeptOut {
            component: ticket.component,
            out,
            at_secs,
        });
        let op = Op::KeepOuts(kept.collect());
        if self.has(Mutant::SafeBeforeCommit) {
            self.with_outbox(|outbox, now| outbox.stored(&guessed, now));
        }
        self.ask_for(op, Waits::Store(tickets, guessed));
    }

    pub(super) fn stored(
        &mut self,
        tickets: Vec<Ticket>,
        guessed: &[(Ticket, i64)],
        answer: Answer,
    ) {
        match answer {
            _ if self.has(Mutant::SafeBeforeCommit) => {}
            Answer::Rows(rows) => {
                let rows: Vec<_> = tickets.into_iter().zip(rows).collect();
                self.with_outbox(|outbox, now| outbox.stored(&rows, now));
            }
            _ if self.has(Mutant::IgnoreFailedWrite) => {
                self.with_outbox(|outbox, now| outbox.stored(guessed, now));
            }
            _ => self.with_outbox(|outbox, now| outbox.not_stored(now)),
        }
        self.there_is_room();
        self.outlet_goes_on();
    }

    pub(super) fn loaded(&mut self, component: u32, answer: Answer) {
        match answer {
            Answer::Outs(rows) => {
                let (now, age_max) = ((self.now / crate::SECOND) as i64, self.plan.age_max_secs);
                let row = |(row, kept): (i64, KeptOut)| {
                    let expired = now - kept.at_secs > age_max;
                    Row { row, bytes: kept.out.bytes(), publish: kept.out, expired }
                };
                let rows = rows.into_iter().map(row).collect();
                self.with_outbox(|outbox, now| outbox.loaded(component, rows, now));
            }
            _ => self.with_outbox(|outbox, now| outbox.not_loaded(component, now)),
        }
        self.outlet_goes_on();
    }

    /// A publish of a component at QoS 0: nobody waits for it.
    pub(super) fn publish_unpromised(&mut self, publish: Publish) {
        // What finds no room is dropped.
        let _ = self.publish(publish, None);
    }
}
