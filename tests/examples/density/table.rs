//! What is printed: one row for each thing that was measured, one column for each number of apps.

use std::time::Duration;

use pirn_tests::footprint::Footprint;
use pirn_tests::traffic::{Passed, Times};

/// All that was measured of one number of apps.
#[derive(Default)]
pub(crate) struct Measured {
    pub(crate) apps: usize,
    pub(crate) first_start: Duration,
    pub(crate) start: Duration,
    pub(crate) subscribed: usize,
    pub(crate) at_rest: Footprint,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
    pub(crate) wakes: f64,
    pub(crate) cold: Times,
    pub(crate) warm: Times,
    /// In the first half of the time, when most apps have their first event, and in the second.
    pub(crate) passed: [Passed; 2],
    pub(crate) after: Footprint,
    pub(crate) hasty: Option<(Passed, Duration)>,
    pub(crate) at_the_end: Footprint,
}

fn ms(time: Duration) -> String {
    format!("{:.2}", time.as_secs_f64() * 1e3)
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

fn row(name: &str, all: &[Measured], cell: impl Fn(&Measured) -> String) {
    let cells: Vec<String> = all.iter().map(cell).collect();
    println!("| {name} | {} |", cells.join(" | "));
}

fn memory(when: &str, all: &[Measured], of: impl Fn(&Measured) -> Footprint) {
    row(&format!("PSS {when}, KiB"), all, |m| thousands(of(m).pss_kib));
    row("— anonymous", all, |m| thousands(of(m).anonymous_kib));
    row("— of files", all, |m| thousands(of(m).file_kib));
    row("— private and dirty", all, |m| thousands(of(m).private_dirty_kib));
}

pub(crate) fn print(all: &[Measured]) {
    let heads: Vec<String> = all.iter().map(|m| thousands(m.apps as u64)).collect();
    println!("\n| apps | {} |", heads.join(" | "));
    println!("|---|{}", "---:|".repeat(all.len()));
    row("first start until all are subscribed, ms", all, |m| ms(m.first_start));
    row("any later start, ms", all, |m| ms(m.start));
    row("subscribed", all, |m| thousands(m.subscribed as u64));
    memory("at rest", all, |m| m.at_rest);
    row("descriptors", all, |m| thousands(m.descriptors as u64));
    row("threads", all, |m| thousands(m.threads as u64));
    row("wake-ups a second at rest", all, |m| format!("{:.1}", m.wakes));
    row("first event of an app, median, ms", all, |m| ms(m.cold.at(0.5)));
    row("— the longest", all, |m| ms(m.cold.at(1.0)));
    row("a later event, median, ms", all, |m| ms(m.warm.at(0.5)));
    let one = all.iter().find(|m| m.apps == 1).map(|m| m.warm.at(0.5).as_secs_f64());
    row("— by what one app alone takes", all, |m| {
        one.map_or("".into(), |one| format!("{:.2}", m.warm.at(0.5).as_secs_f64() / one))
    });
    for (half, when) in ["first", "second"].into_iter().enumerate() {
        let of = |m: &Measured| m.passed[half].clone();
        row(&format!("messages at the steady rate, {when} half"), all, |m| thousands(of(m).sent));
        for (name, share) in [("p50", 0.5), ("p99", 0.99), ("the longest", 1.0)] {
            row(&format!("— {name}, ms"), all, |m| ms(of(m).times.at(share)));
        }
        row("— p99 of those kept in a database, ms", all, |m| ms(of(m).kept.at(0.99)));
        row("— lost", all, |m| thousands(of(m).lost));
        row("— answered twice", all, |m| thousands(of(m).again));
    }
    memory("after that", all, |m| m.after);
    if all.iter().any(|m| m.hasty.is_some()) {
        let of = |m: &Measured| m.hasty.clone().unwrap_or_default();
        row("messages as fast as they go", all, |m| thousands(of(m).0.sent));
        row("— lost", all, |m| thousands(of(m).0.lost));
        row("— a second", all, |m| {
            let (passed, took) = of(m);
            thousands((passed.sent as f64 / took.as_secs_f64().max(1e-9)) as u64)
        });
        memory("after all that", all, |m| m.at_the_end);
    }
}
