//! Which topics a guest may publish to at all, whatever it is granted: asked before anything reaches a
//! session, because a broker answers a topic that it does not take by cutting the connection, which
//! costs everybody who shares it, and the message is then sent again for ever.

use std::fmt;

use crate::files::manifest::check_topic;
use crate::limits::host::{
    PUBLISH_TOPIC_BYTES_MAX, PUBLISH_TOPIC_LEVELS_MAX, TOPIC_IN_SENTENCE_BYTES_MAX,
};
use crate::report::shown;

/// Why a topic is refused, in a sentence that is safe to show and of a bounded length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotPublishable(String);

impl fmt::Display for NotPublishable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether a guest's message may be published to this topic, as far as the topic itself says.
pub fn publishable(topic: &str) -> Result<(), NotPublishable> {
    let refused = |why: &str| Err(NotPublishable(format!("topic {} {why}", named(topic))));
    if topic.len() > PUBLISH_TOPIC_BYTES_MAX {
        let bytes = topic.len();
        return refused(&format!("has {bytes} bytes; at most {PUBLISH_TOPIC_BYTES_MAX} are taken"));
    }
    if let Err(error) = check_topic(topic) {
        return refused(&format!("cannot be published to: {error}"));
    }
    if topic.chars().any(|c| c.is_control() || is_noncharacter(c)) {
        return refused("holds control characters, at which brokers close the connection");
    }
    // `$SYS/…` is the broker's own, `$share/…` is for subscriptions, `$queue/…`, `$delayed/…` and
    // others are commands to one broker or another (MQTT 5, 4.7.2: the client should not use any).
    if topic.starts_with('$') {
        return refused("begins with \"$\": those topics are the broker's own");
    }
    let levels = topic.split('/').count();
    match levels > PUBLISH_TOPIC_LEVELS_MAX {
        true => {
            refused(&format!("has {levels} levels; at most {PUBLISH_TOPIC_LEVELS_MAX} are taken"))
        }
        false => Ok(()),
    }
}

/// What MQTT says a receiver may close the connection for (MQTT 5, 1.5.4), beside control characters.
fn is_noncharacter(c: char) -> bool {
    matches!(c, '\u{fdd0}'..='\u{fdef}') || u32::from(c) & 0xfffe == 0xfffe
}

/// The topic for a sentence.
fn named(topic: &str) -> String {
    format!("\"{}\"", shown::cell(&shown::cut(topic, TOPIC_IN_SENTENCE_BYTES_MAX)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_refused_before_a_broker_would_close_the_connection_for_it() {
        let long = "x".repeat(PUBLISH_TOPIC_BYTES_MAX + 1);
        let longest = "x".repeat(PUBLISH_TOPIC_BYTES_MAX);
        let deepest = vec!["a"; PUBLISH_TOPIC_LEVELS_MAX].join("/");
        let deep = format!("{deepest}/a");
        for (topic, part) in [
            ("", "cannot be empty"),
            ("a/+/b", "wildcards"),
            ("#", "wildcards"),
            ("a\0b", "null character"),
            ("a\u{1b}b", "control characters"),
            ("a\nb", "control characters"),
            ("a\u{9b}b", "control characters"),
            ("a\u{ffff}", "control characters"),
            ("$SYS/broker/load", "broker's own"),
            ("$share/group/a", "broker's own"),
            ("$queue/a", "broker's own"),
            ("$", "broker's own"),
            (&long, "bytes; at most"),
            (&deep, "levels; at most"),
        ] {
            let sentence = publishable(topic).unwrap_err().to_string();
            assert!(sentence.contains(part), "{topic:.20}: {sentence}");
            assert!(sentence.len() < 400 && !sentence.contains(char::is_control), "{sentence}");
        }
        for topic in ["a", "/", "a//b", "a/$SYS", "größe/µ", "a b", &longest, &deepest] {
            assert_eq!(publishable(topic), Ok(()), "{topic:.20}");
        }
    }
}
