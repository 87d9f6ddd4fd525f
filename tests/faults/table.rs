//! What a case came to, as a line of the table: fault, runs, accepted, delivered, duplicates, dead letters, lost.

use std::fmt::Write as _;
use std::time::Duration;

use pirn_tests::faults::books::Books;

/// The sums of a case, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// How often the fault was made.
    pub(crate) runs: usize,
    accepted: usize,
    delivered: usize,
    duplicates: usize,
    dead: usize,
    lost: usize,
    notes: Vec<String>,
    pub(crate) problems: Vec<String>,
}

impl Tally {
    /// Of a fault that was made so often.
    pub(crate) fn of(runs: usize) -> Self {
        Self { runs, ..Self::default() }
    }

    /// Adds the sums of books.
    pub(crate) fn add(&mut self, books: &Books) {
        self.accepted += books.accepted;
        self.delivered += books.delivered;
        self.duplicates += books.duplicates;
        self.dead += books.dead;
        self.lost += books.lost.len();
    }

    /// Adds another's.
    pub(crate) fn merge(&mut self, other: Self) {
        self.runs += other.runs;
        self.accepted += other.accepted;
        self.delivered += other.delivered;
        self.duplicates += other.duplicates;
        self.dead += other.dead;
        self.lost += other.lost;
        self.notes.extend(other.notes);
        self.problems.extend(other.problems);
    }

    /// Counts what the books of messages do not know: ticks.
    pub(crate) fn count(&mut self, accepted: usize, delivered: usize, duplicates: usize) {
        self.accepted += accepted;
        self.delivered += delivered;
        self.duplicates += duplicates;
        self.lost += accepted.saturating_sub(delivered);
    }

    /// Something that one wants to know, right or wrong.
    pub(crate) fn note(&mut self, sentence: impl Into<String>) {
        self.notes.push(sentence.into());
    }

    /// Something that must be so.
    pub(crate) fn expect(&mut self, is_so: bool, otherwise: impl Into<String>) {
        if !is_so {
            self.problems.push(otherwise.into());
        }
    }

    /// The same of what may have gone wrong.
    pub(crate) fn must<T>(&mut self, result: Result<T, String>) -> Option<T> {
        result.map_err(|sentence| self.problems.push(sentence)).ok()
    }
}

/// How a case ended.
pub(crate) enum Verdict {
    Passed(Tally),
    Failed(Tally),
    /// With what to install.
    Skipped(String),
}

/// A case's line.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) verdict: Verdict,
    pub(crate) took: Duration,
}

const HEAD: [&str; 9] = [
    "fault",
    "runs",
    "accepted",
    "delivered",
    "duplicates",
    "dead letters",
    "lost",
    "result",
    "seconds",
];

impl Row {
    fn cells(&self) -> [String; 9] {
        let seconds = format!("{:.1}", self.took.as_secs_f64());
        let (tally, result) = match &self.verdict {
            Verdict::Passed(tally) => (tally.clone(), "passed"),
            Verdict::Failed(tally) => (tally.clone(), "FAILED"),
            Verdict::Skipped(_) => (Tally::default(), "skipped"),
        };
        let Tally { runs, accepted, delivered, duplicates, dead, lost, .. } = tally;
        let [runs, accepted, delivered, duplicates, dead, lost] =
            [runs, accepted, delivered, duplicates, dead, lost].map(|count| count.to_string());
        let name = self.name.replace('_', " ");
        [name, runs, accepted, delivered, duplicates, dead, lost, result.into(), seconds]
    }

    /// What is to be said of it beside its numbers.
    pub(crate) fn remarks(&self) -> Vec<String> {
        match &self.verdict {
            Verdict::Passed(tally) => tally.notes.clone(),
            Verdict::Failed(tally) => {
                let problems = tally.problems.iter().map(|problem| format!("FAILED: {problem}"));
                problems.chain(tally.notes.iter().cloned()).collect()
            }
            Verdict::Skipped(why) => vec![format!("skipped: {why}")],
        }
    }
}

/// The table for people, each row's remarks below it.
pub(crate) fn text(rows: &[Row]) -> String {
    let mut text = line(&HEAD.map(str::to_owned));
    for row in rows {
        text += &line(&row.cells());
        for remark in row.remarks() {
            let _ = writeln!(text, "    {remark}");
        }
    }
    text
}

fn line(cells: &[String; 9]) -> String {
    let [name, numbers @ .., seconds] = cells;
    let numbers: String = numbers.iter().map(|cell| format!(" {cell:>12}")).collect();
    format!("{name:<36}{numbers} {seconds:>8}\n")
}

/// The table as it stands in a document: without seconds, which are this machine's.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let row = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let mut text = row(&HEAD[..8].iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
    text += "|---|--:|--:|--:|--:|--:|--:|---|\n";
    rows.iter().for_each(|one| text += &row(&one.cells()[..8]));
    text
}
