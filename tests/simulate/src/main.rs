//! `tests/simulate/run`: so many histories from a seed on, or one of them with all that happened in it.

use std::process::ExitCode;

use pirn_simulate::{Mutant, explain, search};

const HELP: &str = "\
tests/simulate/run                     2000 histories
tests/simulate/run --histories 100000  as many as one likes
tests/simulate/run --seed 7            that one history, with its last steps if it fails
tests/simulate/run --seed 7 --steps 1000     the same, with more of them
tests/simulate/run --seed 7 --histories 10   ten from the seventh on
tests/simulate/run --mutant NAME       without a guard; the names are in tests/simulate/src/mutant.rs";

/// Histories in the suite.
const HISTORIES: u64 = 2000;

fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Ok(wanted) => go(&wanted),
        Err(why) => {
            eprintln!("{why}\n\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn go(Wanted { seed, histories, mutant, steps }: &Wanted) -> ExitCode {
    let found = search(*seed, *histories, *mutant);
    println!(
        "{} histories, {} steps, {} hours of their own time",
        found.histories,
        found.steps,
        found.seconds / 3600
    );
    match found.failed {
        None => ExitCode::SUCCESS,
        Some(seed) => {
            eprintln!("{}", explain(seed, *mutant, *steps));
            ExitCode::FAILURE
        }
    }
}

struct Wanted {
    seed: u64,
    histories: u64,
    mutant: Option<Mutant>,
    steps: usize,
}

fn arguments(mut words: impl Iterator<Item = String>) -> Result<Wanted, String> {
    let (mut seed, mut histories, mut mutant, mut steps) = (None, None, None, 100);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        let number = || value.parse::<u64>().map_err(|_| format!("{word}: {value} is no number"));
        match word.as_str() {
            "--seed" => seed = Some(number()?),
            "--histories" => histories = Some(number()?),
            "--steps" => steps = usize::try_from(number()?).unwrap_or(usize::MAX),
            "--mutant" => {
                let known = Mutant::ALL.into_iter().find(|one| format!("{one:?}") == value);
                mutant = Some(known.ok_or_else(|| format!("there is no mutant {value}"))?);
            }
            _ => return Err(format!("{word} is not known")),
        }
    }
    let histories = histories.unwrap_or(if seed.is_some() { 1 } else { HISTORIES });
    Ok(Wanted { seed: seed.unwrap_or(1), histories, mutant, steps })
}
