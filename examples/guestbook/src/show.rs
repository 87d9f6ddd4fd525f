//! Entries as a page and as JSON. Whatever people wrote is text there, never markup.

use crate::form::{NAME_CHARS_MAX, TEXT_CHARS_MAX};

/// The page without its entries.
const PAGE: &str = include_str!("page.html");

/// One entry, as it was kept.
pub struct Entry {
    pub id: i64,
    pub name: String,
    pub text: String,
    /// `2026-08-31 12:00`, UTC.
    pub at: String,
}

pub fn page(entries: &[Entry]) -> String {
    let shown: String = entries.iter().map(item).collect();
    let nothing = "<p class=\"nothing\">Nobody has written anything yet.</p>";
    // The entries last: what people wrote may look like one of the marks.
    PAGE.replace("{name-max}", &NAME_CHARS_MAX.to_string())
        .replace("{text-max}", &TEXT_CHARS_MAX.to_string())
        .replace("{entries}", if entries.is_empty() { nothing } else { &shown })
}

fn item(Entry { name, text, at, .. }: &Entry) -> String {
    let (name, text, at) = (html(name), html(text), html(at));
    format!(
        "<article>\n<header><strong>{name}</strong> <time datetime=\"{at}Z\">{at}</time></header>\n<p>{text}</p>\n</article>\n"
    )
}

/// Text for HTML, between tags or in a quoted attribute.
fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

pub fn json(entries: &[Entry]) -> String {
    let objects: Vec<String> = entries
        .iter()
        .map(|Entry { id, name, text, at }| {
            let [name, text, at] = [name, text, at].map(|text| json_string(text));
            format!(r#"{{"id":{id},"name":{name},"text":{text},"at":{at}}}"#)
        })
        .collect();
    format!("[{}]\n", objects.join(","))
}

fn json_string(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 2);
    escaped.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push_str("\\n"),
            c if c.is_control() => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    escaped.push('"');
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Entry { id: 7, name: "a \"b\"".into(), text: text.into(), at: "2026-08-31 12:00".into() }
    }

    #[test]
    fn what_people_wrote_is_never_markup() {
        let page = page(&[entry("<script>&'{entries}")]);
        assert!(page.contains("<p>&lt;script&gt;&amp;&#39;{entries}</p>"), "{page}");
        assert!(page.contains("<strong>a &quot;b&quot;</strong>"), "{page}");
        assert!(!page.contains("-max}"), "{page}");
    }

    #[test]
    fn json_survives_quotes_lines_and_controls() {
        let shown = json(&[entry("\\ \n\u{1}")]);
        let expected = "[{\"id\":7,\"name\":\"a \\\"b\\\"\",\"text\":\"\\\\ \\n\\u0001\",\"at\":\"2026-08-31 12:00\"}]\n";
        assert_eq!(shown, expected);
        assert_eq!(json(&[]), "[]\n");
    }
}
