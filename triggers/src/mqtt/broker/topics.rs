//! Subscriptions' filters, taken apart for the hub. What is well-formed and what matches what is the session's own
//! `topic.rs`. No state.

use super::super::topic::{topic_matches, validate_filter};

/// A subscription's filter, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    /// As the client wrote it: its identity within the session.
    pub(super) written: String,
    /// The group of `$share/GROUP/…`.
    pub(super) group: Option<String>,
    /// Where the part that is matched begins in `written`.
    start: usize,
}

impl Filter {
    /// `None` when it is not well-formed.
    pub(super) fn parse(written: &str) -> Option<Filter> {
        validate_filter(written).ok()?;
        let (group, start) = match written.strip_prefix("$share/").and_then(|r| r.split_once('/')) {
            None => (None, 0),
            Some((group, pattern)) => (Some(group.to_owned()), written.len() - pattern.len()),
        };
        Some(Filter { written: written.to_owned(), group, start })
    }

    /// The part that topics are compared with.
    pub(super) fn pattern(&self) -> &str {
        self.written.get(self.start..).unwrap_or_default()
    }

    pub(super) fn matches(&self, topic: &str) -> bool {
        topic_matches(self.pattern(), topic)
    }
}

/// Whether a client may publish to it. `$…` is the server's own, and this one has nothing to say
/// there.
pub(super) fn is_publishable(topic: &str) -> bool {
    !topic.is_empty() && !topic.contains(['+', '#'])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn check(filter: &str, topic: &str, expected: bool) {
        let parsed = Filter::parse(filter).unwrap();
        assert_eq!(parsed.matches(topic), expected, "{filter} against {topic}");
    }

    #[test]
    fn filters_match_as_section_4_7_says() {
        for (filter, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a", false),
            ("a", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+", "a/b/c", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("+", "/a", false),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/+/c", "a/b/c", true),
            ("a/+/c", "a/b/d", false),
            ("a//b", "a//b", true),
            ("a//b", "a/b", false),
            ("A", "a", false),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/#", "$SYS/x", false),
        ] {
            check(filter, topic, expected);
        }
    }

    #[test]
    fn malformed_filters_are_refused() {
        for filter in [
            "",
            "a#",
            "#/a",
            "a/#/b",
            "a+",
            "+a",
            "a/b+/c",
            "$share/g",
            "$share//a",
            "$share/+/a",
            "$share/g/",
        ] {
            assert_eq!(Filter::parse(filter), None, "{filter:?}");
        }
    }

    #[test]
    fn a_shared_filter_names_its_group() {
        let filter = Filter::parse("$share/group/a/b").unwrap();
        assert_eq!((filter.group.as_deref(), filter.pattern()), (Some("group"), "a/b"));
    }

    #[test]
    fn nobody_publishes_to_a_wildcard_or_to_nothing() {
        assert!(is_publishable("a/b") && is_publishable("/"));
        assert!(!is_publishable("a/+") && !is_publishable("#") && !is_publishable(""));
    }
}
