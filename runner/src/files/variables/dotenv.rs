//! `.env` files: `NAME=value` lines, `#` comments, an optional `export`, values bare or in quotes.
//!
//! No substitution and no escapes but `\n`, `\"` and `\\` within double quotes: a value that means
//! something else on another machine is worse than one that is refused.

use std::collections::BTreeMap;

/// Reads a `.env` file. The error is the number of the first line that cannot be read.
pub fn parse_dotenv(text: &str) -> Result<BTreeMap<String, String>, u32> {
    let mut values = BTreeMap::new();
    for (number, line) in (1_u32..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = assignment(line).ok_or(number)?;
        values.insert(name.to_owned(), value);
    }
    Ok(values)
}

fn assignment(line: &str) -> Option<(&str, String)> {
    let line = line.strip_prefix("export ").unwrap_or(line);
    let (name, value) = line.split_once('=')?;
    let name = name.trim();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let named = !name.is_empty() && name.bytes().all(plain) && !name.as_bytes()[0].is_ascii_digit();
    named.then_some(())?;
    Some((name, unquote(value.trim())?))
}

fn unquote(value: &str) -> Option<String> {
    match value.chars().next() {
        Some('\'') => {
            let (inner, rest) = value[1..].split_once('\'')?;
            only_comment(rest).then(|| inner.to_owned())
        }
        Some('"') => double_quoted(&value[1..]),
        _ => Some(value.split(" #").next().unwrap_or_default().trim_end().to_owned()),
    }
}

fn double_quoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return only_comment(chars.as_str()).then_some(value),
            '\\' => value.push(match chars.next()? {
                'n' => '\n',
                other @ ('"' | '\\') => other,
                _ => return None,
            }),
            other => value.push(other),
        }
    }
}

fn only_comment(rest: &str) -> bool {
    let rest = rest.trim_start();
    rest.is_empty() || rest.starts_with('#')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_a_value_is_read() {
        for (line, value) in [
            ("A=b", "b"),
            ("A = b c ", "b c"),
            ("export A=b", "b"),
            ("A=", ""),
            ("A=b # comment", "b"),
            ("A=b#c", "b#c"),
            ("A='b # c' # d", "b # c"),
            (r#"A="b\n\"c\"\\""#, "b\n\"c\"\\"),
            ("A=a=b", "a=b"),
            ("A=ä", "ä"),
        ] {
            assert_eq!(parse_dotenv(line).unwrap().get("A").unwrap(), value, "{line}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_skipped_and_the_last_value_wins() {
        let values = parse_dotenv("# x\n\nA=1\r\nA=2\n").unwrap();
        assert_eq!(values.into_iter().collect::<Vec<_>>(), [("A".to_owned(), "2".to_owned())]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for line in ["A", "=b", "1A=b", "A B=c", "A='b", "A=\"b", r#"A="\x""#, "A='b' c"] {
            assert_eq!(parse_dotenv(&format!("OK=1\n{line}\n")), Err(2), "{line}");
        }
    }
}
