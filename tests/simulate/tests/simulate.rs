//! The suite's histories, and that none of the guards could be missing without being noticed in them.

use pirn_simulate::{Mutant, explain, run, search};

/// As many as `tests/simulate/run` takes by itself.
const HISTORIES: u64 = 2000;

#[test]
fn nothing_is_lost_in_two_thousand_histories_of_faults() {
    let found = search(1, HISTORIES, None);
    if let Some(seed) = found.failed {
        panic!("{}", explain(seed, None, 100));
    }
    assert_eq!(found.histories, HISTORIES);
}

#[test]
fn a_seed_gives_the_same_history_again() {
    for seed in 1..20 {
        let (once, again) = (run(seed, None, usize::MAX), run(seed, None, usize::MAX));
        assert_eq!((once.steps, once.words), (again.steps, again.words), "seed {seed}");
    }
}

#[test]
fn every_guard_that_is_taken_away_is_noticed() {
    let noticed = |mutant: &Mutant| search(1, HISTORIES, Some(*mutant)).failed.is_some();
    let unnoticed: Vec<Mutant> =
        Mutant::ALL.into_iter().filter(|mutant| !noticed(mutant)).collect();
    assert!(unnoticed.is_empty(), "nobody would notice without {unnoticed:?}");
}
