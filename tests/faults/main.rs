//! The fault battery: real `pirnd` processes, brokers that break, wires that are cut, disks that fill. Whatever
//! happens, what the broker handed over and saw acknowledged must have been handled or be kept aside; the books are
//! computed here, from the broker's own record. `tests/faults/run` builds what this needs and starts it.
//!
//! Cases run two at a time, those that measure alone. Each has its own broker, folder and runner, and an end.

mod cases;
mod table;

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use cases::{CASES, Case, Context, Unfinished};
use table::{Row, Tally, Verdict};

const USAGE: &str = "\
usage: faults [--long] [--list] [--seed N] [--minutes N] [--workers N] [--table FILE] [NAME…]

  --long          each fault as often as the promise says, which takes hours
  --list          names the cases, runs none
  --seed N        for what is left to chance; a failure prints it
  --minutes N     how long the chaos lasts (3; 60 with --long)
  --workers N     cases at once (2)
  --table FILE    writes the table there too, as Markdown
  NAME            only cases whose names contain one of these
";

#[derive(Default)]
struct Options {
    long: bool,
    list: bool,
    seed: Option<u64>,
    minutes: Option<u64>,
    workers: Option<u64>,
    table: Option<PathBuf>,
    names: Vec<String>,
}

fn options(mut words: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{text:?} is no number"));
        match word.as_str() {
            "--long" => options.long = true,
            "--list" => options.list = true,
            "--seed" => options.seed = Some(number(value()?)?),
            "--minutes" => options.minutes = Some(number(value()?)?),
            "--workers" => options.workers = Some(number(value()?)?),
            "--table" => options.table = Some(value()?.into()),
            name if !name.starts_with('-') => options.names.push(name.replace(['-', ' '], "_")),
            _ => return Err(format!("there is no option {word}")),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(sentence) => {
            eprint!("faults: {sentence}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let chosen = chosen(&options.names);
    if options.list {
        chosen.iter().for_each(|case| println!("{:32} {}", case.name, case.says));
        return ExitCode::SUCCESS;
    }
    if chosen.is_empty() {
        eprintln!("faults: no case has such a name; --list names them");
        return ExitCode::from(2);
    }
    let rows = run(&options, &chosen);
    finish(&options, &rows)
}

fn chosen(names: &[String]) -> Vec<&'static Case> {
    let wanted = |case: &&Case| {
        names.is_empty() || names.iter().any(|name| case.name.contains(name.as_str()))
    };
    CASES.iter().filter(wanted).collect()
}

fn run(options: &Options, chosen: &[&'static Case]) -> Vec<Row> {
    // Before anything runs: there must be one.
    let _ = pirn_tests::pirnd();
    // A case that panics is a line of the table.
    std::panic::set_hook(Box::new(|_| {}));
    let by_chance = std::process::id().into();
    let context = Context {
        long: options.long,
        seed: options.seed.unwrap_or(by_chance),
        minutes: options.minutes,
    };
    println!("seed {}", context.seed);
    let (alone, together): (Vec<_>, Vec<_>) = chosen.iter().partition(|case| case.alone);
    let mut rows = at_once(&context, together, options.workers.unwrap_or(2));
    rows.extend(at_once(&context, alone, 1));
    rows.sort_by_key(|row| CASES.iter().position(|case| case.name == row.name));
    rows
}

/// Runs cases, so many at once.
fn at_once(context: &Context, cases: Vec<&'static Case>, workers: u64) -> Vec<Row> {
    let (queue, rows) = (Mutex::new(VecDeque::from(cases)), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let Some(case) = queue.lock().ok().and_then(|mut left| left.pop_front()) else {
                        return;
                    };
                    let row = one(context, case);
                    print!(
                        "{}",
                        table::text(std::slice::from_ref(&row))
                            .split_once('\n')
                            .map_or("", |(_, rest)| rest)
                    );
                    if let Ok(mut rows) = rows.lock() {
                        rows.push(row);
                    }
                }
            });
        }
    });
    rows.into_inner().unwrap_or_default()
}

/// Runs a case. One that panics or cannot go on has failed; one whose tools are missing is skipped.
fn one(context: &Context, case: &'static Case) -> Row {
    let begun = Instant::now();
    let verdict = match catch_unwind(AssertUnwindSafe(|| (case.run)(context))) {
        Ok(Ok(tally)) if tally.problems.is_empty() => Verdict::Passed(tally),
        Ok(Ok(tally)) => Verdict::Failed(tally),
        Ok(Err(Unfinished::Missing(why))) => Verdict::Skipped(why),
        Ok(Err(Unfinished::Broken(why))) => failed(&why),
        Err(panic) => failed(&cases::words_of(&*panic)),
    };
    Row { name: case.name, verdict, took: begun.elapsed() }
}

fn failed(why: &str) -> Verdict {
    let mut tally = Tally::of(1);
    tally.expect(false, why.chars().take(600).collect::<String>());
    Verdict::Failed(tally)
}

fn finish(options: &Options, rows: &[Row]) -> ExitCode {
    println!("\n{}", table::text(rows));
    if let Some(file) = &options.table
        && let Err(error) = std::fs::write(file, table::markdown(rows))
    {
        eprintln!("faults: {}: {error}", file.display());
    }
    let count = |of: fn(&Verdict) -> bool| rows.iter().filter(|row| of(&row.verdict)).count();
    let passed = count(|verdict| matches!(verdict, Verdict::Passed(_)));
    let failed = count(|verdict| matches!(verdict, Verdict::Failed(_)));
    let skipped = count(|verdict| matches!(verdict, Verdict::Skipped(_)));
    println!("{passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
