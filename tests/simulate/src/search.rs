//! Many histories, on all processors; and one of them with its last steps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

use crate::{Mutant, run};

/// What came of it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Histories that were run.
    pub histories: u64,
    /// Their steps.
    pub steps: u64,
    /// Their own time.
    pub seconds: u64,
    /// The lowest seed that failed, of those that were run.
    pub failed: Option<u64>,
}

/// Runs histories from a seed on, until one fails.
pub fn search(first: u64, histories: u64, mutant: Option<Mutant>) -> Found {
    let (next, stop) = (AtomicU64::new(first), AtomicBool::new(false));
    let end = first.saturating_add(histories);
    let one = || {
        let mut found = Found::default();
        while !stop.load(Relaxed) {
            let seed = next.fetch_add(1, Relaxed);
            if seed >= end {
                break;
            }
            let outcome = run(seed, mutant, 0);
            found.histories += 1;
            found.steps += outcome.steps;
            found.seconds += outcome.seconds;
            if outcome.problem.is_some() {
                stop.store(true, Relaxed);
                found.failed = Some(seed);
            }
        }
        found
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        let all: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let parts = all.into_iter().map(|part| match part.join() {
            Ok(found) => found,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        parts.fold(Found::default(), |sum, part| Found {
            histories: sum.histories + part.histories,
            steps: sum.steps + part.steps,
            seconds: sum.seconds + part.seconds,
            failed: [sum.failed, part.failed].into_iter().flatten().min(),
        })
    })
}

/// A history again, with what went wrong and so many of its last steps.
pub fn explain(seed: u64, mutant: Option<Mutant>, words_max: usize) -> String {
    let outcome = run(seed, mutant, words_max);
    let Some(why) = outcome.problem else {
        return format!("seed {seed} does not fail when it is run alone");
    };
    let steps = outcome.words.join("\n  ");
    let without = mutant.map_or(String::new(), |mutant| format!(" --mutant {mutant:?}"));
    format!("  {steps}\nseed {seed}: {why}\nAgain: tests/simulate/run --seed {seed}{without}")
}
