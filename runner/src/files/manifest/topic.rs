//! MQTT topics and topic filters, as grants: which filter matches a topic, and which filter covers
//! another (MQTT 3.1.1, section 4.7). Routing is the trigger's own business; this decides permission.

use std::fmt;

use pirn_triggers::mqtt::{filter_covers, topic_matches};

use crate::limits::TOPIC_BYTES_MAX;

/// A topic filter: `sensors/+/temperature`, `site/#`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicFilter(Box<str>);

/// Why a text is no topic or topic filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Topics have at least one character.
    #[error("a topic cannot be empty")]
    Empty,
    /// More than the wire can carry.
    #[error("a topic of {0} bytes; at most {TOPIC_BYTES_MAX}")]
    Long(usize),
    /// The null character is forbidden.
    #[error("a topic cannot hold a null character")]
    Null,
    /// `#` before the end or inside a level.
    #[error("\"#\" must be the last level, alone: site/#")]
    Hash,
    /// `+` inside a level.
    #[error("\"+\" must be a whole level: site/+/door")]
    Plus,
    /// A wildcard in a topic to publish to.
    #[error("a topic to publish to cannot hold the wildcards \"+\" and \"#\"")]
    Wildcard,
    /// `$share` without a group or a filter.
    #[error("a shared subscription is written $share/GROUP/FILTER")]
    Share,
}

/// Checks a topic to publish to.
pub fn check_topic(topic: &str) -> Result<(), TopicError> {
    check_text(topic)?;
    match topic.contains(['+', '#']) {
        true => Err(TopicError::Wildcard),
        false => Ok(()),
    }
}

fn check_text(text: &str) -> Result<(), TopicError> {
    match text {
        "" => Err(TopicError::Empty),
        _ if text.len() > TOPIC_BYTES_MAX => Err(TopicError::Long(text.len())),
        _ if text.contains('\0') => Err(TopicError::Null),
        _ => Ok(()),
    }
}

impl TopicFilter {
    /// Checks a topic filter.
    pub fn parse(text: &str) -> Result<Self, TopicError> {
        check_text(text)?;
        check_levels(unshared(text).ok_or(TopicError::Share)?)?;
        Ok(Self(text.into()))
    }

    /// The filter as it goes to the broker.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The filter without `$share/GROUP/`: what messages are matched with.
    pub fn pattern(&self) -> &str {
        unshared(&self.0).unwrap_or(&self.0)
    }

    /// Whether a message published to `topic` matches.
    pub fn matches(&self, topic: &str) -> bool {
        topic_matches(self.pattern(), topic)
    }

    /// Whether every topic that `other` matches is matched by this one too.
    pub fn covers(&self, other: &TopicFilter) -> bool {
        filter_covers(self.pattern(), other.pattern())
    }
}

/// The filter within a shared subscription; `None` if it is a malformed one.
fn unshared(text: &str) -> Option<&str> {
    let Some(rest) = text.strip_prefix("$share/") else {
        return Some(text);
    };
    let (group, filter) = rest.split_once('/')?;
    let whole = !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty();
    whole.then_some(filter)
}

fn check_levels(filter: &str) -> Result<(), TopicError> {
    let mut levels = filter.split('/').peekable();
    while let Some(level) = levels.next() {
        let last = levels.peek().is_none();
        if level.contains('#') && !(level == "#" && last) {
            return Err(TopicError::Hash);
        }
        if level.contains('+') && level != "+" {
            return Err(TopicError::Plus);
        }
    }
    Ok(())
}

impl fmt::Display for TopicFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn filter(text: &str) -> TopicFilter {
        TopicFilter::parse(text).unwrap()
    }

    #[test]
    fn filters_match_topics_by_the_rules_of_mqtt() {
        for (pattern, topic, expected) in [
            ("a/b", "a/b", true),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a", false),
            ("a/+", "a/", true),
            ("a/+", "a/b/c", false),
            ("+/+", "/a", true),
            ("+", "a", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a/b", true),
            ("#", "$SYS/x", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/a/+", "b/b", false),
            ("A", "a", false),
        ] {
            assert_eq!(filter(pattern).matches(topic), expected, "{pattern} {topic}");
        }
    }

    #[test]
    fn a_filter_covers_those_that_match_no_more_than_it() {
        for (wide, narrow, expected) in [
            ("#", "a/#", true),
            ("#", "+/b", true),
            ("a/#", "a/+/c", true),
            ("a/#", "a", true),
            ("a/#", "#", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/b", "a/+", false),
            ("a/b", "a/b", true),
            ("#", "$SYS/#", false),
            ("a/#", "$share/g/a/b", true),
        ] {
            assert_eq!(filter(wide).covers(&filter(narrow)), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn malformed_filters_are_refused() {
        for (text, error) in [
            ("", TopicError::Empty),
            ("a\0", TopicError::Null),
            ("a/#/b", TopicError::Hash),
            ("a#", TopicError::Hash),
            ("a/b+", TopicError::Plus),
            ("$share/g", TopicError::Share),
            ("$share//a", TopicError::Share),
            ("$share/+/a", TopicError::Share),
            ("$share/g/", TopicError::Share),
            ("$share/g/a#", TopicError::Hash),
        ] {
            assert_eq!(TopicFilter::parse(text), Err(error), "{text:?}");
        }
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        assert_eq!(TopicFilter::parse(&long), Err(TopicError::Long(long.len())));
    }

    #[test]
    fn topics_to_publish_to_have_no_wildcards() {
        assert_eq!(check_topic("a/b"), Ok(()));
        assert_eq!(check_topic("a/+"), Err(TopicError::Wildcard));
        assert_eq!(check_topic("#"), Err(TopicError::Wildcard));
        assert_eq!(check_topic(""), Err(TopicError::Empty));
    }
}
