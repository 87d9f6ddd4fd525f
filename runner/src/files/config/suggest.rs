//! The nearest known name to a mistyped one.

/// Names longer than this are not compared: nobody mistypes a novel, and the work is quadratic.
const NAME_CHARS_MAX: usize = 64;

/// The known name that `written` was most likely meant to be, if one is close enough.
///
/// Close enough is a third of the longer name's length in edits (swapped neighbours count as one), at
/// least one edit: `memroy` finds `memory`, `cpu` finds nothing.
/// A beginning of one name only will do too: `dest` finds `destination`.
pub(crate) fn nearest<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    if let Some(name) = begun(written, known) {
        return Some(name);
    }
    let (distance, name) = known
        .iter()
        .map(|name| (edits(&fold(written), &fold(name)), *name))
        .min_by_key(|(distance, _)| *distance)?;
    let longer = written.chars().count().max(name.chars().count());
    (distance <= (longer / 3).max(1) && longer <= NAME_CHARS_MAX).then_some(name)
}

fn begun<'k>(written: &str, known: &[&'k str]) -> Option<&'k str> {
    let mut longer = known.iter().filter(|name| name.starts_with(written));
    longer.next().filter(|_| written.len() >= 3 && longer.next().is_none()).copied()
}

/// The clause for a name that is not known: `unknown component "ehco"; did you mean "echo"?`.
pub(crate) fn unknown(what: &str, written: &str, known: &[&str]) -> String {
    match nearest(written, known) {
        Some(near) => format!("unknown {what} {written:?}; did you mean {near:?}?"),
        None => format!("unknown {what} {written:?}"),
    }
}

/// Case and the two word separators are the commonest slips, so they cost nothing.
fn fold(name: &str) -> Vec<char> {
    let fold_char = |c: char| {
        if c == '-' { '_' } else { c.to_ascii_lowercase() }
    };
    name.chars().take(NAME_CHARS_MAX).map(fold_char).collect()
}

/// Edit distance with swaps of neighbours (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before = vec![0; b.len() + 1];
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = above[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(above[j] + 1).min(row[j - 1] + 1);
            let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if swapped {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KEYS: &[&str] = &["source", "memory", "deadline", "rate", "key_value_stores"];

    #[test]
    fn a_typo_finds_the_name_that_was_meant() {
        for (written, meant) in [
            ("souce", "source"),
            ("memroy", "memory"),
            ("dead_line", "deadline"),
            ("Memory", "memory"),
            ("key-value-stores", "key_value_stores"),
            ("rates", "rate"),
            ("dead", "deadline"),
            ("mem", "memory"),
        ] {
            assert_eq!(nearest(written, KEYS), Some(meant), "{written}");
        }
    }

    #[test]
    fn a_word_that_is_near_nothing_finds_nothing() {
        for written in ["cpu", "", "de", "environment", &"x".repeat(10_000)] {
            assert_eq!(nearest(written, KEYS), None, "{written}");
        }
        assert_eq!(nearest("memory", &[]), None);
    }
}
