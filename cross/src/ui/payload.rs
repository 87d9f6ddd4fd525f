//! Payloads, topics and names from outside as text that is safe to print: a message must not be able
//! to move the cursor of whoever watches it.

use std::fmt::Write as _;

/// Bytes of a binary payload that are shown.
const BINARY_BYTES_SHOWN_MAX: usize = 32;

/// Text with its control characters written out.
pub(crate) fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => shown.push_str("\\n"),
            '\r' => shown.push_str("\\r"),
            '\t' => shown.push_str("\\t"),
            c if c.is_control() || is_bidirectional_control(c) => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that make text read in another order than it is written.
fn is_bidirectional_control(c: char) -> bool {
    matches!(c, '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
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
