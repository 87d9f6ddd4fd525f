//! Text from outside, made harmless to show: a topic, a guest's sentence, a broker's reason, a file's
//! name. Nothing in it may begin a line of its own, move a cursor, change the order in which a line is
//! read, or be there unseen.
//!
//! Asked where text is written (the log, log files, tables, the workbench's terminal), not where it
//! comes from: there are many more of those. What is escaped already passes unchanged, so asking twice
//! does no harm. Not for machines: what they read is JSON, which keeps what was there.

use std::borrow::Cow;
use std::fmt::Write as _;

/// A character that does something else than to be seen.
fn is_unsafe(c: char) -> bool {
    c.is_control() || is_invisible(c)
}

/// Characters without a shape: they turn the order of reading, join or part what stands beside them,
/// or are not seen at all (Unicode's general categories Cf, Zl and Zp, and what is like them).
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// One line: everything that is not seen is written out, tabs excepted.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, &['\t'])
}

/// Text of ours with line breaks of ours, in which something from outside may stand: an error, a table.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, &['\t', '\n'])
}

/// One line without tabs, for columns.
pub fn cell(text: &str) -> Cow<'_, str> {
    escaped(text, &[])
}

fn escaped<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let odd = |c: char| is_unsafe(c) && !kept.contains(&c);
    if !text.chars().any(odd) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match odd(c) {
            true => {
                let _ = write!(shown, "{}", c.escape_default());
            }
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

/// At most so many bytes of a line, marked where it was cut.
pub fn cut(text: &str, bytes_max: usize) -> Cow<'_, str> {
    match text.len() <= bytes_max {
        true => Cow::Borrowed(text),
        false => Cow::Owned(format!("{}…", &text[..text.floor_char_boundary(bytes_max)])),
    }
}

/// A line of JSON with the same characters escaped in JSON's own way: whoever parses it gets what was
/// there, and whoever looks at it is safe. They can only stand within its strings.
pub fn json(text: &str) -> Cow<'_, str> {
    let odd = |c: char| is_unsafe(c) && c != '\n';
    if !text.chars().any(odd) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match odd(c) {
            true => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    let _ = write!(shown, "\\u{unit:04x}");
                }
            }
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One of each kind that must never be written as it is.
    const ODD: &[char] = &[
        '\0',
        '\x07',
        '\x08',
        '\n',
        '\r',
        '\x0b',
        '\x0c',
        '\x1b',
        '\x7f',
        '\u{85}',
        '\u{90}',
        '\u{9b}',
        '\u{9d}',
        '\u{ad}',
        '\u{61c}',
        '\u{200b}',
        '\u{200c}',
        '\u{200d}',
        '\u{200e}',
        '\u{200f}',
        '\u{2028}',
        '\u{2029}',
        '\u{202a}',
        '\u{202e}',
        '\u{2060}',
        '\u{2066}',
        '\u{2069}',
        '\u{feff}',
        '\u{e0041}',
    ];

    #[test]
    fn nothing_that_is_not_seen_passes() {
        for odd in ODD {
            let text = format!("a{odd}b");
            let expected = format!("a{}b", odd.escape_default());
            assert_eq!(line(&text), expected);
            assert_eq!(cell(&text), expected);
            assert_eq!(lines(&text), if *odd == '\n' { text.as_str() } else { expected.as_str() });
        }
        assert_eq!(
            (line("a\tb"), lines("a\tb"), cell("a\tb")),
            ("a\tb".into(), "a\tb".into(), "a\\tb".into())
        );
    }

    #[test]
    fn what_can_be_read_stays_as_it_is() {
        for text in ["", "plain", "Größe 5 µm → 日本 🌡", "C:\\temp\\new", "שלום"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
            assert!(matches!(json(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn escaping_what_is_escaped_changes_nothing() {
        let once = line("a\x1b[2J\nb\u{202e}").into_owned();
        assert_eq!(line(&once), once);
    }

    #[test]
    fn json_keeps_what_was_there() {
        assert_eq!(
            json("{\"a\":\"\u{9b}2J\u{202e}\u{e0041}\"}\n"),
            "{\"a\":\"\\u009b2J\\u202e\\udb40\\udc41\"}\n"
        );
    }

    #[test]
    fn a_cut_stands_between_characters_and_is_marked() {
        assert_eq!(cut("äöü", 6), "äöü");
        assert_eq!(cut("äöü", 5), "äö…");
    }
}
