//! Payloads, topics and names from outside as text that is safe to print: a message must not be able
//! to move the cursor of whoever watches it.

use std::fmt::Write as _;

use pirn_runner::report::shown;

/// Bytes of a binary payload that are shown.
const BINARY_BYTES_SHOWN_MAX: usize = 32;

/// Text in which nothing does anything but be seen, for one line without columns of its own.
pub(crate) fn escaped(text: &str) -> String {
    shown::cell(text).into_owned()
}

/// A payload: text as text, anything else as its size and first bytes.
pub(crate) fn shown(payload: &[u8]) -> String {
    if payload.is_empty() {
        return "(empty)".to_owned();
    }
    match std::str::from_utf8(payload) {
        Ok(text) => escaped(text),
        Err(_) => binary(payload),
    }
}

fn binary(payload: &[u8]) -> String {
    let mut text = format!("({} bytes:", payload.len());
    for byte in payload.iter().take(BINARY_BYTES_SHOWN_MAX) {
        let _ = write!(text, " {byte:02x}");
    }
    text.push_str(if payload.len() > BINARY_BYTES_SHOWN_MAX { " …)" } else { ")" });
    text
}

/// At most `chars_max` characters, with the size of what is not shown.
pub(crate) fn shortened(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (head, tail) = text.split_at(end);
            format!("{head}… ({} bytes more)", tail.len())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_cannot_move_the_cursor() {
        for (payload, expected) in [
            (&b"18.2"[..], "18.2"),
            ("°C ü".as_bytes(), "°C ü"),
            (b"\x1b[2Jgone", "\\u{1b}[2Jgone"),
            (b"a\nb\tc\r", "a\\nb\\tc\\r"),
            ("\u{202e}abc".as_bytes(), "\\u{202e}abc"),
            ("a\u{200b}b\u{2028}c\u{9b}2J".as_bytes(), "a\\u{200b}b\\u{2028}c\\u{9b}2J"),
            (b"", "(empty)"),
            (b"\xff\x00\x01", "(3 bytes: ff 00 01)"),
        ] {
            assert_eq!(shown(payload), expected);
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöüß", 3), "äöü… (2 bytes more)");
    }
}
