//! Dead letters as people and as programs read them. What came from outside is escaped, so that a topic
//! cannot forge a line or move a cursor.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;

use super::{END, End, Last};
use crate::store::{Kept, Payloads};

/// A letter as a line of JSON. A payload that is text is text; any other is Base64 (RFC 4648, 4).
#[derive(Serialize)]
struct Line<'a> {
    id: i64,
    time: u64,
    component: &'a str,
    kind: &'a str,
    source: &'a str,
    qos: u8,
    retained: bool,
    attempts: u32,
    retry: &'a str,
    reason: &'a str,
    payload_bytes: u64,
    kept_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<&'a str>,
}

pub(super) fn json(kept: &Kept, payloads: Payloads) -> String {
    let letter = &kept.letter;
    let encoded;
    let (payload, payload_base64) = match (payloads, std::str::from_utf8(&letter.payload)) {
        (Payloads::Without, _) => (None, None),
        (Payloads::With, Ok(text)) => (Some(text), None),
        (Payloads::With, Err(_)) => {
            encoded = base64(&letter.payload);
            (None, Some(&*encoded))
        }
    };
    written(&Line {
        id: kept.id,
        time: letter.time,
        component: &letter.component,
        kind: letter.kind.word(),
        source: &letter.source,
        qos: letter.qos,
        retained: letter.retained,
        attempts: letter.attempts,
        retry: kept.retry.word(),
        reason: &letter.reason,
        payload_bytes: letter.payload_bytes,
        kept_bytes: kept.kept_bytes,
        payload,
        payload_base64,
    })
}

/// The last line of an answer.
pub(super) fn end(letters: u64, error: &str) -> String {
    let mut short = heapless::String::new();
    // What does not fit is the end of a sentence.
    let _ = error.chars().try_for_each(|c| short.push(c));
    let line = written(&Last { end: End { letters, error: short } });
    debug_assert!(line.starts_with(END));
    line
}

/// A line of JSON, in a buffer that grows until it fits.
fn written(value: &impl Serialize) -> String {
    let mut buffer = vec![0; 512];
    loop {
        match serde_json_core::to_slice(value, &mut buffer) {
            Ok(bytes) => {
                buffer.truncate(bytes);
                buffer.push(b'\n');
                return String::from_utf8(buffer).unwrap_or_default();
            }
            Err(_) => buffer.resize(2 * buffer.len(), 0),
        }
    }
}

pub(super) fn heading() -> String {
    format!(
        "{:>6} {:20} {:16} {:5} {:>8} {:>8} {:11} source: reason\n",
        "id", "put aside", "component", "kind", "bytes", "attempts", "again"
    )
}

pub(super) fn row(kept: &Kept) -> String {
    let letter = &kept.letter;
    format!(
        "{:>6} {:20} {:16} {:5} {:>8} {:>8} {:11} {}: {}\n",
        kept.id,
        time(letter.time),
        escaped(&letter.component),
        letter.kind.word(),
        letter.payload_bytes,
        letter.attempts,
        kept.retry.word(),
        escaped(&letter.source),
        escaped(&letter.reason)
    )
}

/// All of a letter, with what can be shown of its payload.
pub(super) fn whole(kept: &Kept) -> String {
    let letter = &kept.letter;
    let mut text = String::new();
    let mut say = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:10} {value}");
    };
    say("id", &kept.id.to_string());
    say("put aside", &time(letter.time));
    say("component", &escaped(&letter.component));
    say("kind", letter.kind.word());
    say("source", &escaped(&letter.source));
    say("qos", &letter.qos.to_string());
    say("retained", if letter.retained { "yes" } else { "no" });
    say("attempts", &letter.attempts.to_string());
    say("again", kept.retry.word());
    say("reason", &escaped(&letter.reason));
    let kept_bytes = match letter.payload_bytes > kept.kept_bytes {
        true => format!(", of which {} were kept", kept.kept_bytes),
        false => String::new(),
    };
    say("bytes", &format!("{}{kept_bytes}", letter.payload_bytes));
    match std::str::from_utf8(&letter.payload) {
        Ok(payload) => say("payload", &escaped(payload)),
        Err(_) => say("base64", &base64(&letter.payload)),
    }
    text
}

fn time(seconds: u64) -> String {
    match UNIX_EPOCH.checked_add(Duration::from_secs(seconds)) {
        Some(time) if (1..=LAST_YEAR).contains(&seconds) => {
            humantime::format_rfc3339_seconds(time).to_string()
        }
        _ => "unknown".into(),
    }
}

/// The end of the year 9999, beyond which there is no way to write a date.
const LAST_YEAR: u64 = 253_402_300_799;

/// Control characters, and those that turn the direction of writing, as escapes.
fn escaped(text: &str) -> String {
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}');
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() || turns(c) {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            match digit <= three.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_its_rfc() {
        for (bytes, text) in [
            (&b""[..], ""),
            (b"f", "Zg=="),
            (b"fo", "Zm8="),
            (b"foo", "Zm9v"),
            (b"foob", "Zm9vYg=="),
            (b"\xff\xfe\xfd", "//79"),
        ] {
            assert_eq!(base64(bytes), text);
        }
    }

    #[test]
    fn what_came_from_outside_cannot_forge_a_line_or_turn_its_direction() {
        assert_eq!(escaped("a\nb\x1b[2J\u{202e}c"), "a\\nb\\u{1b}[2J\\u{202e}c");
        assert_eq!(escaped("grün 温度"), "grün 温度");
    }

    #[test]
    fn a_clock_that_was_never_set_is_no_date() {
        assert_eq!(time(0), "unknown");
        assert_eq!(time(u64::MAX), "unknown");
        assert_eq!(time(LAST_YEAR), "9999-12-31T23:59:59Z");
    }
}
