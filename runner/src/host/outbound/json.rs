//! As much JSON as model servers speak: written piece by piece, read from front to back, each value where it stands.
//!
//! Not the reader of the control socket's lines: what comes here is another machine's, in any depth and order, and must
//! end neither the stack nor the memory. What nobody asked for is skipped without being kept.

/// Why a text is not the JSON that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not the JSON that was expected, at byte {0}")]
pub(super) struct JsonError(usize);

type Read<T> = Result<T, JsonError>;

/// Reads one document.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    fn wrong<T>(&self) -> Read<T> {
        Err(JsonError(self.at))
    }

    /// The next byte that is no blank; it stays.
    fn peek(&mut self) -> Option<u8> {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Read<()> {
        if self.takes(byte) { Ok(()) } else { self.wrong() }
    }

    /// An object. `each` is given every key and reads its value, or skips it.
    pub(super) fn object(&mut self, mut each: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        self.expect(b'{')?;
        if self.takes(b'}') {
            return Ok(());
        }
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            each(self, &key)?;
            if self.takes(b'}') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// A list. `each` reads an element, or skips it.
    pub(super) fn list(&mut self, mut each: impl FnMut(&mut Self) -> Read<()>) -> Read<()> {
        self.expect(b'[')?;
        if self.takes(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.takes(b']') {
                return Ok(());
            }
            self.expect(b',')?;
        }
    }

    /// A number.
    pub(super) fn number(&mut self) -> Read<f64> {
        self.peek();
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let length = rest.iter().take_while(|byte| of_number(byte)).count();
        let text = std::str::from_utf8(&rest[..length]).unwrap_or_default();
        match text.parse() {
            Ok(number) => {
                self.at += length;
                Ok(number)
            }
            Err(_) => self.wrong(),
        }
    }

    /// How many of something.
    pub(super) fn count(&mut self) -> Read<u32> {
        let number = self.number()?;
        let whole = number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0;
        // In range and whole, so nothing is lost.
        if whole { Ok(number as u32) } else { self.wrong() }
    }

    /// `null`, if it is that.
    pub(super) fn null(&mut self) -> bool {
        self.peek();
        let found = self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(b"null"));
        self.at += if found { 4 } else { 0 };
        found
    }

    /// A text.
    pub(super) fn text(&mut self) -> Read<String> {
        self.expect(b'"')?;
        let mut text = Vec::new();
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..0x20));
            let plain = plain.count();
            text.extend_from_slice(&rest[..plain]);
            self.at += plain;
            match rest.get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(text).or_else(|_| self.wrong());
                }
                Some(b'\\') => {
                    self.at += 1;
                    let mut encoded = [0; 4];
                    let escaped = self.escaped()?.encode_utf8(&mut encoded);
                    text.extend_from_slice(escaped.as_bytes());
                }
                _ => return self.wrong(),
            }
        }
    }

    fn escaped(&mut self) -> Read<char> {
        let kind = self.bytes.get(self.at).copied();
        self.at += 1;
        Ok(match kind {
            Some(b'n') => '\n',
            Some(b't') => '\t',
            Some(b'r') => '\r',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(other @ (b'"' | b'\\' | b'/')) => char::from(other),
            Some(b'u') => return self.unicode(),
            _ => return self.wrong(),
        })
    }

    /// Four digits, or twice that for what does not fit in one. Half of a pair stands for nothing.
    fn unicode(&mut self) -> Read<char> {
        let first = self.four_digits()?;
        let unit = match first {
            0xd800..0xdc00 if self.bytes.get(self.at..).is_some_and(|r| r.starts_with(b"\\u")) => {
                self.at += 2;
                let second = self.four_digits()?;
                match second {
                    0xdc00..0xe000 => 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00),
                    _ => return Ok(char::REPLACEMENT_CHARACTER),
                }
            }
            unit => unit,
        };
        Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn four_digits(&mut self) -> Read<u32> {
        let digits = self.bytes.get(self.at..self.at + 4).and_then(|d| std::str::from_utf8(d).ok());
        let plain = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match plain.and_then(|digits| u32::from_str_radix(digits, 16).ok()) {
            Some(unit) => {
                self.at += 4;
                Ok(unit)
            }
            None => self.wrong(),
        }
    }

    /// Whatever stands here, in whatever depth.
    pub(super) fn skip(&mut self) -> Read<()> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => drop(self.text()?),
                Some(b'{' | b'[') => {
                    self.at += 1;
                    depth += 1;
                    continue;
                }
                Some(b'}' | b']') if depth > 0 => {
                    self.at += 1;
                    depth -= 1;
                }
                Some(b',' | b':') if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                Some(b'a'..=b'z' | b'0'..=b'9' | b'-') => self.word(),
                _ => return self.wrong(),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn word(&mut self) {
        let of_word =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.');
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        self.at += rest.iter().take_while(|byte| of_word(byte)).count();
    }
}

/// Writes a text, quotes and all.
pub(super) fn write_text(text: &str, into: &mut String) {
    into.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => into.extend(['\\', c]),
            '\n' => into.push_str("\\n"),
            c if c < ' ' => into.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => into.push(c),
        }
    }
    into.push('"');
}

/// Writes a number; what is none in JSON is 0.
pub(super) fn write_number(number: f32, into: &mut String) {
    let finite = if number.is_finite() { number } else { 0.0 };
    into.push_str(&finite.to_string());
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn text(json: &str) -> Read<String> {
        Reader::new(json.as_bytes()).text()
    }

    #[test]
    fn texts_are_read_as_they_were_written() {
        for plain in ["", "a", "\"\\/", "line\nand\ttab\u{1}", "grüße 🦀"] {
            let mut written = String::new();
            write_text(plain, &mut written);
            assert_eq!(text(&written).unwrap(), plain);
        }
        assert_eq!(text(r#""\u00fc\uD83E\uDD80\/""#).unwrap(), "ü🦀/");
        assert_eq!(text(r#""\ud83e-""#).unwrap(), "\u{fffd}-");
        for bad in [r#""open"#, r#""\x""#, r#""\u12""#, r#""\u+123""#, "\"\n\"", "1"] {
            assert!(text(bad).is_err(), "{bad}");
        }
        assert!(Reader::new(b"\"\xff\"").text().is_err());
    }

    #[test]
    fn what_is_asked_for_is_found_in_whatever_surrounds_it() {
        let json = br#" {"x": [{"text": "not this"}, null, true, -1.5e3], "text" : "this", "n":7, "y":{}} "#;
        let (mut found, mut count) = (String::new(), 0);
        let mut reader = Reader::new(json);
        let all = reader.object(|reader, key| {
            match key {
                "text" => found = reader.text()?,
                "n" => count = reader.count()?,
                _ => reader.skip()?,
            }
            Ok(())
        });
        assert_eq!((all, found.as_str(), count), (Ok(()), "this", 7));
    }

    #[test]
    fn depth_costs_no_stack_and_what_never_ends_is_an_error() {
        let deep = "[".repeat(1_000_000);
        assert!(Reader::new(deep.as_bytes()).skip().is_err());
        let closed = format!("{deep}{}", "]".repeat(1_000_000));
        assert_eq!(Reader::new(closed.as_bytes()).skip(), Ok(()));
        for bad in ["", "{", "[1", "}", ",", "\u{7f}"] {
            assert!(Reader::new(bad.as_bytes()).skip().is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_and_counts_are_what_they_say() {
        assert_eq!(Reader::new(b" -1.5e2,").number(), Ok(-150.0));
        assert_eq!(Reader::new(b"12.0").count(), Ok(12));
        for bad in ["-1", "1.5", "1e99", "x", "", "--1"] {
            assert!(Reader::new(bad.as_bytes()).count().is_err(), "{bad}");
        }
    }
}
