//! Whose lane is next when more of them have work than may run: of the apps that wait the one that had the least time,
//! and of its lanes the one that waits longest. Pure.
//!
//! What an app had counts from when it had nothing to do last: nobody saves up time by sleeping. An app that runs has
//! paid a slice in advance, so that one with many lanes does not take every place before its first run ends. (A deficit
//! round robin would give the same shares; but what a run costs is known only when it is over.)

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
}

#[derive(Debug)]
struct Share<L> {
    /// Microseconds, the advances included.
    had: u64,
    waiting: VecDeque<L>,
    running: u32,
}

impl<L> Default for Fair<L> {
    fn default() -> Self {
        Self { apps: BTreeMap::new(), order: BTreeSet::new(), level: 0 }
    }
}

const ADVANCE: u64 = SLICE.as_micros() as u64;

impl<L> Fair<L> {
    /// A lane of this app has work. It is to be here once.
    pub fn enter(&mut self, app: u32, lane: L) {
        let level = self.level;
        let share = self.apps.entry(app).or_insert_with(|| Share {
            had: level,
            waiting: VecDeque::new(),
            running: 0,
        });
        if share.waiting.is_empty() {
            share.had = share.had.max(level);
            self.order.insert((share.had, app));
        }
        share.waiting.push_back(lane);
    }

    /// The next lane and its app; [`Self::ended`] is to follow.
    pub fn take(&mut self) -> Option<(u32, L)> {
        let (had, app) = self.order.pop_first()?;
        let share = self.apps.get_mut(&app)?;
        let lane = share.waiting.pop_front()?;
        self.level = self.level.max(had);
        share.running += 1;
        share.had += ADVANCE;
        if !share.waiting.is_empty() {
            self.order.insert((share.had, app));
        }
        Some((app, lane))
    }

    /// A lane's turn took so long.
    pub fn ended(&mut self, app: u32, took: Duration) {
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

    /// Serves so many turns, of lanes that always have work again; says how often each app had one.
    fn served(fair: &mut Fair<u32>, turns: usize, cost: impl Fn(u32) -> Duration) -> [usize; 3] {
        let mut counts = [0; 3];
        for (app, lane) in std::iter::from_fn(|| {
            let (app, lane) = fair.take()?;
            fair.enter(app, lane);
            fair.ended(app, cost(app));
            Some((app, lane))
        })
        .take(turns)
        {
            counts[app as usize] += 1;
            assert_eq!(lane / 10, app);
        }
        counts
    }

    #[test]
    fn apps_get_the_same_time_however_many_lanes_they_have() {
        let mut fair = Fair::default();
        (0..9).for_each(|lane| fair.enter(0, lane));
        fair.enter(1, 10);
        fair.enter(2, 20);
        assert_eq!(served(&mut fair, 30, |_| MILLI), [10, 10, 10]);
    }

    #[test]
    fn an_app_whose_runs_are_long_has_fewer() {
        let mut fair = Fair::default();
        (0..3).for_each(|app| fair.enter(app, app * 10));
        let cost = |app| if app == 0 { MILLI * 18 } else { MILLI };
        let counts = served(&mut fair, 380, cost);
        assert!((9..=12).contains(&counts[0]) && counts[1].abs_diff(counts[2]) <= 1, "{counts:?}");
    }

    #[test]
    fn places_are_shared_while_runs_are_under_way() {
        let mut fair = Fair::default();
        (0..4).for_each(|lane| fair.enter(0, lane));
        fair.enter(1, 10);
        let first = [fair.take(), fair.take()];
        assert_eq!(first, [Some((0, 0)), Some((1, 10))]);
    }

    #[test]
    fn who_slept_has_saved_nothing_and_nothing_is_kept_of_it() {
        let mut fair = Fair::default();
        fair.enter(0, 0);
        served(&mut fair, 100, |_| MILLI);
        fair.enter(1, 10);
        assert_eq!(served(&mut fair, 20, |_| MILLI)[..2], [10, 10]);
        while let Some((app, _)) = fair.take() {
            fair.ended(app, MILLI);
        }
        assert!(fair.apps.is_empty() && fair.order.is_empty());
    }
}
