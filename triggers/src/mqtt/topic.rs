//! Topic names and topic filters: which are valid, and which filter takes which topic.
//!
//! Sections 4.7 of MQTT 3.1.1 and of MQTT 5, and 4.8.2 of MQTT 5 for `$share/group/filter`.
//! Not rumqttc's: its check accepts empty topics and NUL, and its match knows no shared filters.

use crate::limits::mqtt::TOPIC_BYTES_MAX;

/// Why a topic or a filter is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// Nothing there.
    #[error("it is empty")]
    Empty,
    /// Longer than MQTT can say.
    #[error("it is longer than 65535 bytes")]
    TooLong,
    /// NUL is forbidden in every MQTT string.
    #[error("it contains a NUL character")]
    Nul,
    /// `+` or `#` in a name to publish to.
    #[error("a topic to publish to cannot contain the wildcards + and #")]
    Wildcard,
    /// `a+/b`, `a/b#`, `a/#/b`.
    #[error("+ must fill a whole level, and # must be the whole last level")]
    MisplacedWildcard,
    /// `$share/group`, `$share//a`, `$share/g+/a`.
    #[error("a shared filter is $share/group/filter, the group without wildcards")]
    Share,
}

/// Checks a topic name to publish to.
pub fn validate_topic(topic: &str) -> Result<(), TopicError> {
    validate_text(topic)?;
    match topic.contains(['+', '#']) {
        true => Err(TopicError::Wildcard),
        false => Ok(()),
    }
}

/// Checks a filter to subscribe to, shared or not.
pub fn validate_filter(filter: &str) -> Result<(), TopicError> {
    validate_text(filter)?;
    let plain = match filter.strip_prefix("$share/") {
        Some(shared) => split_share(shared).ok_or(TopicError::Share)?,
        None if filter == "$share" => return Err(TopicError::Share),
        None => filter,
    };
    let last = plain.split('/').count() - 1;
    let valid = |(at, level): (usize, &str)| match level {
        "+" => true,
        "#" => at == last,
        _ => !level.contains(['+', '#']),
    };
    match plain.split('/').enumerate().all(valid) {
        true => Ok(()),
        false => Err(TopicError::MisplacedWildcard),
    }
}

/// Whether a message on `topic` belongs to a subscription to `filter`. Both are taken as valid.
///
/// `$share/group/f` matches what `f` matches. A filter that begins with a wildcard does not match
/// a topic that begins with `$` [MQTT-4.7.2-1].
pub fn topic_matches(filter: &str, topic: &str) -> bool {
    let filter = filter.strip_prefix("$share/").and_then(split_share).unwrap_or(filter);
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        match (level, topic.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (name, Some(part)) if name == part => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

/// Whether every topic that `narrow` takes is taken by `wide` too, so that a subscription to `wide` is
/// enough. Both are taken as valid. A shared filter covers only itself: its messages go to one of a group.
pub fn filter_covers(wide: &str, narrow: &str) -> bool {
    if wide == narrow {
        return true;
    }
    if wide.starts_with("$share/") || narrow.starts_with("$share/") {
        return false;
    }
    if narrow.starts_with('$') && wide.starts_with(['+', '#']) {
        return false;
    }
    let mut narrow = narrow.split('/');
    for level in wide.split('/') {
        match (level, narrow.next()) {
            ("#", _) => return true,
            ("+", Some(part)) if part != "#" => {}
            (name, Some(part)) if name == part => {}
            _ => return false,
        }
    }
    narrow.next().is_none()
}

fn validate_text(text: &str) -> Result<(), TopicError> {
    match text {
        "" => Err(TopicError::Empty),
        _ if text.len() > TOPIC_BYTES_MAX => Err(TopicError::TooLong),
        _ if text.contains('\0') => Err(TopicError::Nul),
        _ => Ok(()),
    }
}

/// The group and the filter of `$share/group/filter`.
pub(super) fn split_shared(filter: &str) -> Option<(&str, &str)> {
    let shared = filter.strip_prefix("$share/")?;
    let filter = split_share(shared)?;
    Some((shared.strip_suffix(filter)?.strip_suffix('/')?, filter))
}

/// The filter behind `$share/group/`, if the group is one.
fn split_share(shared: &str) -> Option<&str> {
    let (group, filter) = shared.split_once('/')?;
    let valid = !group.is_empty() && !group.contains(['+', '#']) && !filter.is_empty();
    valid.then_some(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_take_the_topics_that_the_standard_says() {
        let rows = [
            ("a/b", "a/b", true),
            ("a/b", "a/c", false),
            ("a/b", "a/b/c", false),
            ("a/b/c", "a/b", false),
            ("a/+", "a/b", true),
            ("a/+", "a/", true),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("+/b", "a/b", true),
            ("+/b", "/b", true),
            ("+", "a", true),
            ("+", "/a", false),
            ("+/+", "/a", true),
            ("/+", "/a", true),
            ("#", "a/b/c", true),
            ("#", "/", true),
            ("a/#", "a", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("sport/tennis/player1/#", "sport/tennis/player1", true),
            ("#", "$SYS/uptime", false),
            ("+/uptime", "$SYS/uptime", false),
            ("$SYS/#", "$SYS/uptime", true),
            ("$SYS/+", "$SYS/uptime", true),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/a/+", "b/b", false),
            ("$share/g/#", "$SYS/uptime", false),
            ("$share/g/#", "a", true),
            ("A/b", "a/b", false),
            ("ä/+/ß", "ä/ö/ß", true),
        ];
        for (filter, topic, expected) in rows {
            assert_eq!(topic_matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn a_filter_covers_another_if_it_takes_all_of_its_topics() {
        let rows = [
            ("a", "a", true),
            ("a", "b", false),
            ("#", "a/b", true),
            ("#", "+/b/#", true),
            ("#", "$SYS/#", false),
            ("+/x", "$SYS/x", false),
            ("$SYS/#", "$SYS/x", true),
            ("a/#", "a/b", true),
            ("a/#", "a", true),
            ("a/#", "a/+", true),
            ("a/#", "a/b/#", true),
            ("a/#", "+/b", false),
            ("a/b", "a/#", false),
            ("a/+", "a/b", true),
            ("a/+", "a/+", true),
            ("a/+", "a/#", false),
            ("a/+", "a", false),
            ("a/+", "a/b/c", false),
            ("+/b", "a/b", true),
            ("+/b", "a/+", false),
            ("+/+", "a/+", true),
            ("+/#", "a", true),
            ("+/#", "#", false),
            ("a/+/#", "a/b", true),
            ("a/+/#", "a", false),
            ("#", "$share/g/a", false),
            ("$share/g/#", "$share/g/a", false),
            ("$share/g/#", "a", false),
        ];
        for (wide, narrow, expected) in rows {
            assert_eq!(filter_covers(wide, narrow), expected, "{wide} {narrow}");
        }
    }

    #[test]
    fn filters_are_checked_level_by_level() {
        use TopicError::*;
        let rows = [
            ("a", Ok(())),
            ("/", Ok(())),
            ("+", Ok(())),
            ("#", Ok(())),
            ("+/a/#", Ok(())),
            ("a//b", Ok(())),
            ("$share/g/a/#", Ok(())),
            ("$SYS/#", Ok(())),
            ("$shared", Ok(())),
            ("", Err(Empty)),
            ("a\0", Err(Nul)),
            ("a+", Err(MisplacedWildcard)),
            ("a/#/b", Err(MisplacedWildcard)),
            ("a/b#", Err(MisplacedWildcard)),
            ("##", Err(MisplacedWildcard)),
            ("$share", Err(Share)),
            ("$share/g", Err(Share)),
            ("$share/g/", Err(Share)),
            ("$share//a", Err(Share)),
            ("$share/+/a", Err(Share)),
            ("$share/g/a+", Err(MisplacedWildcard)),
        ];
        for (filter, expected) in rows {
            assert_eq!(validate_filter(filter), expected, "{filter}");
        }
    }

    #[test]
    fn a_topic_to_publish_to_has_no_wildcard_and_a_length() {
        use TopicError::*;
        let long = "x".repeat(TOPIC_BYTES_MAX);
        let too_long = "x".repeat(TOPIC_BYTES_MAX + 1);
        let rows = [
            ("a/b", Ok(())),
            ("/", Ok(())),
            (long.as_str(), Ok(())),
            (too_long.as_str(), Err(TooLong)),
            ("", Err(Empty)),
            ("a/+", Err(Wildcard)),
            ("#", Err(Wildcard)),
            ("a\0b", Err(Nul)),
        ];
        for (topic, expected) in rows {
            assert_eq!(validate_topic(topic), expected, "{topic:.20}");
        }
    }
}
