//! The budget drawn as bars: each holder of memory beside the others, in the order of the sum.

use std::fmt::Write as _;

use anstyle::Style;
use pirn_runner::files::config::Bytes;
use pirn_runner::plan::{Budget, BudgetRow};

use super::{BAD, FAINT, GOOD, NAME, ODD};

/// Characters of a full bar.
const BAR_CHARS: usize = 32;

/// The table, ready to be printed; colours are for `anstream` to keep or strip.
pub(crate) fn budget(budget: &Budget) -> String {
    let labels: Vec<String> = budget.rows.iter().map(BudgetRow::label).collect();
    let width = labels.iter().map(|label| label.chars().count()).max().unwrap_or(0).max(8);
    let mut text = String::new();
    for (row, label) in budget.rows.iter().zip(&labels) {
        match row.bytes {
            Some(bytes) => {
                let bar = bar(bytes, budget.limit_bytes);
                let _ =
                    writeln!(text, "  {label:width$}  {NAME}{bar}{NAME:#} {:>10}", Bytes(bytes));
            }
            None => {
                let missing = "not built";
                let _ =
                    writeln!(text, "  {label:width$}  {:BAR_CHARS$} {ODD}{missing:>10}{ODD:#}", "");
            }
        }
    }
    let total = budget.total_bytes();
    let style = verdict(total, budget.limit_bytes);
    let bar = bar(total, budget.limit_bytes);
    let _ = writeln!(text, "  {:width$}  {style}{bar}{style:#} {:>10}", "sum", Bytes(total));
    let _ = write!(
        text,
        "  {:width$}  {FAINT}{:BAR_CHARS$}{FAINT:#} {:>10}",
        "",
        format!("granted by {}", budget.board),
        Bytes(budget.limit_bytes)
    );
    text
}

/// Green with room to spare, yellow near the end, red beyond it.
fn verdict(bytes: u64, limit_bytes: u64) -> Style {
    match bytes {
        _ if bytes > limit_bytes => BAD,
        _ if bytes > limit_bytes / 10 * 9 => ODD,
        _ => GOOD,
    }
}

/// A bar of fixed width, drawn to an eighth of a character; never empty for something.
fn bar(bytes: u64, limit_bytes: u64) -> String {
    const PARTS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let all = (BAR_CHARS * 8) as u128;
    let scaled = u128::from(bytes) * all / u128::from(limit_bytes.max(1));
    let eighths = scaled.clamp(u128::from(bytes > 0), all) as usize;
    let mut text = "█".repeat(eighths / 8);
    text.push_str(PARTS[eighths % 8]);
    let drawn = text.chars().count();
    text.extend(std::iter::repeat_n(' ', BAR_CHARS - drawn));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_wide_as_all_others_and_shows_the_share() {
        for (bytes, limit, blocks) in
            [(0, 64, 0), (32, 64, 16), (64, 64, 32), (500, 64, 32), (3, 0, 32)]
        {
            let bar = bar(bytes, limit);
            assert_eq!(bar.chars().count(), BAR_CHARS, "{bytes} of {limit}");
            assert_eq!(bar.chars().filter(|c| *c == '█').count(), blocks, "{bytes} of {limit}");
        }
    }

    #[test]
    fn a_little_is_not_shown_as_nothing() {
        assert!(bar(1, u64::MAX).starts_with('▏'));
    }
}
