//! The keeper, as `flow/keeper.rs` in the runner is: looks at the lanes from time to time, writes down what waits in one
//! that is stuck, forgets what is settled.

use std::rc::Rc;

use pirn_runner::flow::lane::Parked;
use pirn_runner::limits::dispatch as limits;

use super::{Event, Task, Waits};
use crate::disk::{Answer, KeptEvent, Op};
use crate::mutant::Mutant;
use crate::world::World;

/// Where it is.
#[derive(Debug, Default)]
pub(super) struct Keeper {
    stage: Stage,
    /// Somebody has called it since it last began to look.
    called: bool,
    /// It will look again by itself.
    looks: bool,
    /// It is to look now.
    urgent: bool,
    /// Whether events wait in a lane that it has looked at.
    waiting: bool,
    rests: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Idle,
    /// Looking at this lane next.
    Lane(usize),
    /// Waiting for the disk, at this lane.
    Writing(usize),
    Forgetting,
    Resting,
}

impl World {
    /// Events wait: the keeper is to look from time to time.
    pub(super) fn call_keeper(&mut self) {
        if !std::mem::replace(&mut self.runner.keeper.looks, true) {
            self.runner.keeper.called = true;
            self.soon(Task::Keeper);
        }
    }

    /// The keeper is to look now.
    pub(super) fn keeper_is_urgent(&mut self) {
        self.runner.keeper.urgent = true;
        self.soon(Task::Keeper);
    }

    pub(super) fn keeper_rested(&mut self, number: u32) {
        let Keeper { stage, rests, .. } = &mut self.runner.keeper;
        if *stage == Stage::Resting && *rests == number {
            *stage = Stage::Lane(0);
            self.look();
        }
    }

    pub(super) fn keeper(&mut self) {
        if self.has(Mutant::NeverPark) {
            return self.forget_only();
        }
        let keeper = &mut self.runner.keeper;
        let goes = match keeper.stage {
            Stage::Idle => std::mem::take(&mut keeper.called),
            Stage::Resting => std::mem::take(&mut keeper.urgent),
            Stage::Lane(_) | Stage::Writing(_) | Stage::Forgetting => false,
        };
        if goes {
            keeper.stage = Stage::Lane(0);
            self.look();
        }
    }

    /// Goes on looking, until it has to wait.
    fn look(&mut self) {
        while let Stage::Lane(at) = self.runner.keeper.stage {
            if at == 0 {
                (self.runner.keeper.looks, self.runner.keeper.waiting) = (false, false);
            }
            if at >= self.runner.lanes.len() {
                return self.forget_rows();
            }
            let now = self.instant();
            let stuck = self.runner.lanes[at].lane.check(now);
            if stuck && self.write_down(at) {
                return;
            }
            self.next_lane(at);
        }
    }

    fn next_lane(&mut self, at: usize) {
        self.runner.keeper.waiting |= self.runner.lanes[at].lane.is_waiting();
        self.runner.keeper.stage = Stage::Lane(at + 1);
    }

    /// Writes down what waits in a lane. Whether there is something.
    fn write_down(&mut self, at: usize) -> bool {
        let most = limits::PARKED_PER_WRITE_MAX;
        let parked: Vec<Parked<Rc<Event>>> = self.runner.lanes[at].lane.park(most, |_| true);
        if parked.is_empty() {
            return false;
        }
        let kept = parked.iter().map(|Parked { trigger, attempts, event, .. }| KeptEvent {
            component: at,
            trigger: *trigger,
            event: event.number,
            attempts: *attempts,
        });
        let kept = kept.collect();
        if self.has(Mutant::SettleBeforeParked) {
            parked.iter().for_each(|one| self.settle_event(&one.event, None));
        }
        self.runner.keeper.stage = Stage::Writing(at);
        self.ask_for(Op::KeepEvents(kept), Waits::Park { lane: at, parked });
        true
    }

    /// The disk has taken what waits in a lane, or has not.
    pub(super) fn parked(&mut self, at: usize, parked: Vec<Parked<Rc<Event>>>, answer: Answer) {
        match answer {
            Answer::Rows(rows) => {
                for (Parked { key, event, .. }, row) in parked.into_iter().zip(rows) {
                    match self.runner.lanes[at].lane.parked(key, row) {
                        true => self.settle_event(&event, None),
                        false => self.runner.forget.push(row),
                    }
                }
                self.poke(at);
                if self.write_down(at) {
                    return;
                }
            }
            _ => {
                for Parked { key, .. } in parked {
                    self.runner.lanes[at].lane.not_parked(key);
                }
            }
        }
        self.next_lane(at);
        self.look();
    }

    fn forget_rows(&mut self) {
        self.runner.keeper.stage = Stage::Forgetting;
        let rows = std::mem::take(&mut self.runner.forget);
        match rows.is_empty() {
            true => self.has_looked(),
            false => self.ask_for(Op::ForgetEvents(rows.clone()), Waits::ForgetEvents(rows)),
        }
    }

    /// A mutant's keeper.
    fn forget_only(&mut self) {
        if self.runner.keeper.stage == Stage::Idle && !self.runner.forget.is_empty() {
            self.forget_rows();
        }
    }

    /// Rows of events that are settled are deleted, or could not be.
    pub(super) fn forgotten(&mut self, rows: Vec<i64>, answer: &Answer) {
        if !matches!(answer, Answer::Done) {
            self.runner.forget.extend(rows);
        }
        self.has_looked();
    }

    fn has_looked(&mut self) {
        let left = !self.runner.forget.is_empty();
        let keeper = &mut self.runner.keeper;
        if !keeper.waiting && !left {
            keeper.stage = Stage::Idle;
            if keeper.called {
                self.soon(Task::Keeper);
            }
            return;
        }
        keeper.looks = true;
        keeper.stage = Stage::Resting;
        keeper.rests += 1;
        let number = keeper.rests;
        let rests = (limits::PARK_AFTER / 4).as_micros() as u64;
        self.after(rests, Task::KeeperRests(number));
        if self.runner.keeper.urgent {
            self.soon(Task::Keeper);
        }
    }
}
