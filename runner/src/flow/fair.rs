//! Whose lane is next when more of them have work than may run: of the apps that wait the one that had the least time,
//! and of its lanes the one that waits longest. Pure.
//!
//! What an app had counts from when it had nothing to do last: nobody saves up time by sleeping. An app that runs has
//! paid a slice in advance, so that one with many lanes does not take every place before its first run ends. (A deficit
//! round robin would give the same shares; but what a run costs is known only when it is over.)
//!
//! An app has no more turns at the same time than it may have instances, and memory for; the others do not wait for it.
//!
//! That alone would let a dozen components that loop until their deadline hold every place for seconds. So long runs may
//! hold three quarters of the places; the others stay for what is done in a moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::limits::engine::SLICE;

/// The lanes that have work, by app.
#[derive(Debug)]
pub struct Fair<L> {
    /// Those that wait or run. An app that sleeps is not known here.
    apps: BTreeMap<u32, Share<L>>,
    /// Those that wait: what they had, and their numbers.
    order: BTreeSet<(u64, u32)>,
    /// What the one had that was served last.
    level: u64,
    /// Places that long runs may hold, and that they hold.
    long_max: u32,
    long: u32,
}

#[derive(Debug)]
struct Share<L> {
    /// Microseconds, the advances included.
    had: u64,
    waiting: VecDeque<(Ask, L)>,
    running: u32,
    /// What those may take that run.
    bytes: u64,
    bounds: Bounds,
}

impl<L> Share<L> {
    /// Whether the app may have one more turn, for whoever waits longest: behind a large one the small ones wait too, or
    /// it would for ever.
    fn may_run(&self) -> bool {
        self.waiting.front().is_some_and(|(ask, _)| self.has_place(ask))
    }

    fn has_place(&self, ask: &Ask) -> bool {
        let fits = || self.bytes.saturating_add(ask.bytes) <= self.bounds.bytes_max;
        self.running == 0 || self.running < self.bounds.turns_max && fits()
    }
}

/// What an app may have at the same time. One turn it may have in any case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Instances.
    pub turns_max: u32,
    /// What they may take together.
    pub bytes_max: u64,
}

/// What a lane asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How long its runs are.
    pub runs: Runs,
    /// What an instance may take.
    pub bytes: u64,
}

/// Whether a lane's runs are long, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// Nobody waits for one of them.
    Short,
    /// They hold a place for long.
    Long,
}

/// A turn that was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Turn {
    app: u32,
    runs: Runs,
    bytes: u64,
}

const ADVANCE: u64 = SLICE.as_micros() as u64;

impl<L> Fair<L> {
    /// Nobody has work. Of so many places there is one at least that no long run may hold, if there are two.
    pub fn new(places: u32) -> Self {
        let long_max = places.saturating_sub((places / 4).max(1)).max(1);
        Self { apps: BTreeMap::new(), order: BTreeSet::new(), level: 0, long_max, long: 0 }
    }

    /// A lane of this app has work. It is to be here once. How long its runs are is for its owner to remember.
    pub fn enter(&mut self, (app, bounds): (u32, Bounds), ask: Ask, lane: L) {
        let level = self.level;
        let new = || Share { had: level, waiting: VecDeque::new(), running: 0, bytes: 0, bounds };
        let share = self.apps.entry(app).or_insert_with(new);
        if share.waiting.is_empty() {
            share.had = share.had.max(level);
        }
        share.waiting.push_back((ask, lane));
        if share.may_run() {
            self.order.insert((share.had, app));
        }
    }

    /// The next lane; [`Self::ended`] is to follow.
    pub fn take(&mut self) -> Option<(Turn, L)> {
        let full = self.long >= self.long_max;
        let may = |ask: &Ask| !full || ask.runs == Runs::Short;
        let first = |app: u32| {
            let share = self.apps.get(&app)?;
            share.waiting.iter().position(|(ask, _)| may(ask) && share.has_place(ask))
        };
        let mut order = self.order.iter();
        let (had, app, at) = order.find_map(|(had, app)| Some((*had, *app, first(*app)?)))?;
        self.order.remove(&(had, app));
        let share = self.apps.get_mut(&app)?;
        let (Ask { runs, bytes }, lane) = share.waiting.remove(at)?;
        self.level = self.level.max(had);
        share.running += 1;
        share.bytes = share.bytes.saturating_add(bytes);
        share.had += ADVANCE;
        if share.may_run() {
            self.order.insert((share.had, app));
        }
        self.long += u32::from(runs == Runs::Long);
        Some((Turn { app, runs, bytes }, lane))
    }

    /// Turns that an app has now, and what their instances may take.
    pub fn in_use(&self, app: u32) -> (u32, u64) {
        self.apps.get(&app).map_or((0, 0), |share| (share.running, share.bytes))
    }

    /// Whether a lane waits.
    pub fn is_waited_for(&self) -> bool {
        !self.order.is_empty()
    }

    /// A run turns out to be long. Whether it may go on: there is a place for such.
    pub fn is_long(&mut self, turn: &mut Turn) -> bool {
        if turn.runs == Runs::Short {
            turn.runs = Runs::Long;
            self.long += 1;
        }
        self.long <= self.long_max
    }

    /// A lane's turn took so long.
    pub fn ended(&mut self, turn: Turn, took: Duration) {
        let Turn { app, runs, bytes } = turn;
        self.long -= u32::from(runs == Runs::Long);
        let Some(share) = self.apps.get_mut(&app) else { return };
        share.running = share.running.saturating_sub(1);
        share.bytes = share.bytes.saturating_sub(bytes);
        if share.waiting.is_empty() && share.running == 0 {
            self.apps.remove(&app);
            return;
        }
        let before = share.had;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        share.had = before.saturating_sub(ADVANCE).saturating_add(took);
        self.order.remove(&(before, app));
        if share.may_run() {
            self.order.insert((share.had, app));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    const MANY: Bounds = Bounds { turns_max: 99, bytes_max: 99 };
    const SHORT: Ask = Ask { runs: Runs::Short, bytes: 1 };
    const LONG: Ask = Ask { runs: Runs::Long, bytes: 1 };

    fn fair() -> Fair<u32> {
        Fair::new(8)
    }

    fn turns(fair: &mut Fair<u32>) -> (Vec<Turn>, Vec<u32>) {
        std::iter::from_fn(|| fair.take()).unzip()
    }

    /// Serves so many turns, of lanes that always have work again; says how often each app had one.
    fn served(fair: &mut Fair<u32>, turns: usize, cost: impl Fn(u32) -> Duration) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..turns {
            let Some((turn, lane)) = fair.take() else { break };
            let app = lane / 10;
            assert_eq!(turn.app, app);
            counts[app as usize] += 1;
            fair.enter((app, MANY), SHORT, lane);
            fair.ended(turn, cost(app));
        }
        counts
    }

    #[test]
    fn apps_get_the_same_time_however_many_lanes_they_have() {
        let mut fair = fair();
        (0..9).for_each(|lane| fair.enter((0, MANY), SHORT, lane));
        fair.enter((1, MANY), SHORT, 10);
        fair.enter((2, MANY), SHORT, 20);
        assert_eq!(served(&mut fair, 30, |_| MILLI), [10, 10, 10]);
    }

    #[test]
    fn an_app_whose_runs_are_long_has_fewer() {
        let mut fair = fair();
        (0..3).for_each(|app| fair.enter((app, MANY), SHORT, app * 10));
        let cost = |app| if app == 0 { MILLI * 18 } else { MILLI };
        let counts = served(&mut fair, 380, cost);
        assert!((9..=12).contains(&counts[0]) && counts[1].abs_diff(counts[2]) <= 1, "{counts:?}");
    }

    #[test]
    fn places_are_shared_while_runs_are_under_way() {
        let mut fair = fair();
        (0..4).for_each(|lane| fair.enter((0, MANY), SHORT, lane));
        fair.enter((1, MANY), SHORT, 10);
        let first = [fair.take(), fair.take()].map(|taken| taken.map(|(_, lane)| lane));
        assert_eq!(first, [Some(0), Some(10)]);
    }

    #[test]
    fn long_runs_leave_places_for_the_others_and_get_all_but_those() {
        let mut fair = fair();
        (0..20).for_each(|app| fair.enter((app, MANY), LONG, app));
        let mut held: Vec<_> = std::iter::from_fn(|| fair.take()).map(|(turn, _)| turn).collect();
        assert_eq!(held.len(), 6);
        fair.enter((99, MANY), SHORT, 99);
        let taken = fair.take();
        assert!(taken.as_ref().is_some_and(|(_, lane)| *lane == 99));
        taken.into_iter().for_each(|(turn, _)| fair.ended(turn, MILLI));
        assert!(fair.take().is_none());
        held.pop().into_iter().for_each(|turn| fair.ended(turn, MILLI));
        assert!(fair.take().is_some_and(|(turn, _)| turn.runs == Runs::Long));
    }

    #[test]
    fn runs_that_turn_out_to_be_long_give_way_when_there_are_too_many() {
        let mut fair = fair();
        (0..8).for_each(|app| fair.enter((app, MANY), SHORT, app));
        let mut turns: Vec<_> = std::iter::from_fn(|| fair.take()).map(|(turn, _)| turn).collect();
        let go_on = turns.iter_mut().map(|turn| fair.is_long(turn)).filter(|may| *may).count();
        assert_eq!((turns.len(), go_on), (8, 6));
        turns.into_iter().for_each(|turn| fair.ended(turn, MILLI));
        assert_eq!(fair.long, 0);
    }

    #[test]
    fn a_single_place_is_for_everybody() {
        let mut fair = Fair::new(1);
        fair.enter((0, MANY), LONG, 0);
        assert!(fair.take().is_some());
    }

    #[test]
    fn who_slept_has_saved_nothing_and_nothing_is_kept_of_it() {
        let mut fair = fair();
        fair.enter((0, MANY), SHORT, 0);
        served(&mut fair, 100, |_| MILLI);
        fair.enter((1, MANY), SHORT, 10);
        assert_eq!(served(&mut fair, 20, |_| MILLI)[..2], [10, 10]);
        while let Some((turn, _)) = fair.take() {
            fair.ended(turn, MILLI);
        }
        assert!(fair.apps.is_empty() && fair.order.is_empty() && fair.long == 0);
    }

    #[test]
    fn an_app_has_as_many_turns_as_it_may_have_and_the_others_go_on() {
        let mut fair = fair();
        let two = (0, Bounds { turns_max: 2, bytes_max: 99 });
        (0..4).for_each(|lane| fair.enter(two, SHORT, lane));
        (10..12).for_each(|lane| fair.enter((1, MANY), SHORT, lane));
        let (mut held, lanes) = turns(&mut fair);
        assert_eq!(lanes, [0, 10, 1, 11]);
        assert_eq!((fair.in_use(0), fair.in_use(1)), ((2, 2), (2, 2)));
        fair.ended(held.remove(0), MILLI);
        assert_eq!(turns(&mut fair).1, [2]);
    }

    #[test]
    fn an_app_has_as_many_turns_as_it_has_memory_for_and_nobody_overtakes_a_large_one() {
        let mut fair = fair();
        let small = (0, Bounds { turns_max: 99, bytes_max: 10 });
        for (lane, bytes) in [(0, 6), (1, 3), (2, 4), (3, 1)] {
            fair.enter(small, Ask { bytes, ..SHORT }, lane);
        }
        let (held, lanes) = turns(&mut fair);
        assert_eq!((lanes, fair.in_use(0)), (vec![0, 1], (2, 9)));
        held.into_iter().for_each(|turn| fair.ended(turn, MILLI));
        assert_eq!(turns(&mut fair).1, [2, 3]);
    }

    #[test]
    fn what_is_larger_than_all_that_its_app_may_have_runs_alone() {
        let mut fair = fair();
        let small = (0, Bounds { turns_max: 99, bytes_max: 10 });
        fair.enter(small, Ask { bytes: 11, ..SHORT }, 0);
        fair.enter(small, Ask { bytes: 11, ..SHORT }, 1);
        let (held, lanes) = turns(&mut fair);
        assert_eq!(lanes, [0]);
        held.into_iter().for_each(|turn| fair.ended(turn, MILLI));
        assert_eq!(turns(&mut fair).1, [1]);
    }
}
