//! Whose lane is next when more of them have work than may run: of the apps that wait the one that had the least time,
//! and of its lanes the one that waits longest. Pure.
//!
//! What an app had counts from when it had nothing to do last: nobody saves up time by sleeping. An app that runs has
//! paid a slice in advance, so that one with many lanes does not take every place before its first run ends. (A deficit
//! round robin would give the same shares; but what a run costs is known only when it is over.)
//!
//! That alone would let a dozen apps that loop until their deadline hold every place for seconds. So apps whose runs are
//! long may hold three quarters of the places; the others stay for those that are done in a moment.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::limits::engine::SLICE;

/// The lanes that have work, by app.
#[derive(Debug)]
pub struct Fair<L> {
    /// Places that apps may hold whose runs are long; the others stay for those whose runs are short.
    slow_max: u32,
    slow: u32,
    /// Those that wait or run. An app that sleeps is not known here.
    apps: BTreeMap<u32, Share<L>>,
    /// Those that wait: what they had, and their numbers.
    order: BTreeSet<(u64, u32)>,
    /// What the one had that was served last.
    level: u64,
}

#[derive(Debug)]
struct Share<L> {
    /// Microseconds, the advances included.
    had: u64,
    /// Its runs are long, as far as is known.
    is_slow: bool,
    waiting: VecDeque<L>,
    running: u32,
}

const ADVANCE: u64 = SLICE.as_micros() as u64;

/// A turn that was given: what [`Fair::ended`] is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    app: u32,
    is_slow: bool,
}

impl<L> Fair<L> {
    /// Nobody has work. Of so many places there is one at least that no slow app may hold, if there are two.
    pub fn new(places: u32) -> Self {
        let slow_max = places.saturating_sub((places / 4).max(1)).max(1);
        Self { slow_max, slow: 0, apps: BTreeMap::new(), order: BTreeSet::new(), level: 0 }
    }

    /// A lane of this app has work. It is to be here once. Whether the app's runs are long is for the lane's owner to
    /// remember.
    pub fn enter(&mut self, app: u32, is_slow: bool, lane: L) {
        let level = self.level;
        let share = self.apps.entry(app).or_insert_with(|| Share {
            had: level,
            is_slow,
            waiting: VecDeque::new(),
            running: 0,
        });
        share.is_slow = is_slow;
        if share.waiting.is_empty() {
            share.had = share.had.max(level);
            self.order.insert((share.had, app));
        }
        share.waiting.push_back(lane);
    }

    /// The next lane; [`Self::ended`] is to follow.
    pub fn take(&mut self) -> Option<(Turn, L)> {
        let full = self.slow >= self.slow_max;
        let may = |app: u32| !full || !self.apps.get(&app).is_some_and(|share| share.is_slow);
        let (had, app) = self.order.iter().find(|(_, app)| may(*app)).copied()?;
        self.order.remove(&(had, app));
        let share = self.apps.get_mut(&app)?;
        let lane = share.waiting.pop_front()?;
        self.level = self.level.max(had);
        share.running += 1;
        share.had += ADVANCE;
        if !share.waiting.is_empty() {
            self.order.insert((share.had, app));
        }
        let is_slow = share.is_slow;
        self.slow += u32::from(is_slow);
        Some((Turn { app, is_slow }, lane))
    }

    /// A lane's turn took so long.
    pub fn ended(&mut self, turn: Turn, took: Duration) {
        let Turn { app, is_slow } = turn;
        self.slow -= u32::from(is_slow);
        let Some(share) = self.apps.get_mut(&app) else { return };
        share.running = share.running.saturating_sub(1);
        if share.waiting.is_empty() && share.running == 0 {
            self.apps.remove(&app);
            return;
        }
        let before = share.had;
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        share.had = before.saturating_sub(ADVANCE).saturating_add(took);
        if self.order.remove(&(before, app)) {
            self.order.insert((share.had, app));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLI: Duration = Duration::from_millis(1);

    fn fair() -> Fair<u32> {
        Fair::new(8)
    }

    /// Serves so many turns, of lanes that always have work again; says how often each app had one.
    fn served(fair: &mut Fair<u32>, turns: usize, cost: impl Fn(u32) -> Duration) -> [usize; 3] {
        let mut counts = [0; 3];
        for _ in 0..turns {
            let Some((turn, lane)) = fair.take() else { break };
            let app = lane / 10;
            assert_eq!(turn.app, app);
            counts[app as usize] += 1;
            fair.enter(app, false, lane);
            fair.ended(turn, cost(app));
        }
        counts
    }

    #[test]
    fn apps_get_the_same_time_however_many_lanes_they_have() {
        let mut fair = fair();
        (0..9).for_each(|lane| fair.enter(0, false, lane));
        fair.enter(1, false, 10);
        fair.enter(2, false, 20);
        assert_eq!(served(&mut fair, 30, |_| MILLI), [10, 10, 10]);
    }

    #[test]
    fn an_app_whose_runs_are_long_has_fewer() {
        let mut fair = fair();
        (0..3).for_each(|app| fair.enter(app, false, app * 10));
        let cost = |app| if app == 0 { MILLI * 18 } else { MILLI };
        let counts = served(&mut fair, 380, cost);
        assert!((9..=12).contains(&counts[0]) && counts[1].abs_diff(counts[2]) <= 1, "{counts:?}");
    }

    #[test]
    fn places_are_shared_while_runs_are_under_way() {
        let mut fair = fair();
        (0..4).for_each(|lane| fair.enter(0, false, lane));
        fair.enter(1, false, 10);
        let first = [fair.take(), fair.take()].map(|taken| taken.map(|(_, lane)| lane));
        assert_eq!(first, [Some(0), Some(10)]);
    }

    #[test]
    fn slow_apps_leave_places_for_the_others_and_get_all_but_those() {
        let mut fair = fair();
        (0..20).for_each(|app| fair.enter(app, true, app));
        let held: Vec<_> = std::iter::from_fn(|| fair.take()).collect();
        assert_eq!(held.len(), 6);
        fair.enter(99, false, 99);
        let (quick, lane) = fair.take().unwrap_or((held[0].0, 0));
        assert_eq!(lane, 99);
        fair.ended(quick, MILLI);
        assert!(fair.take().is_none());
        fair.ended(held[0].0, MILLI);
        assert!(fair.take().is_some_and(|(turn, _)| turn.is_slow));
    }

    #[test]
    fn a_single_place_is_for_everybody() {
        let mut fair = Fair::new(1);
        fair.enter(0, true, 0);
        assert!(fair.take().is_some());
    }

    #[test]
    fn who_slept_has_saved_nothing_and_nothing_is_kept_of_it() {
        let mut fair = fair();
        fair.enter(0, false, 0);
        served(&mut fair, 100, |_| MILLI);
        fair.enter(1, false, 10);
        assert_eq!(served(&mut fair, 20, |_| MILLI)[..2], [10, 10]);
        while let Some((turn, _)) = fair.take() {
            fair.ended(turn, MILLI);
        }
        assert!(fair.apps.is_empty() && fair.order.is_empty() && fair.slow == 0);
    }
}
