//! Many topic filters, each with what belongs to it, and which of them take a topic: a tree of levels, so that
//! this costs by the depth of the topic and not by the number of filters. Pure.
//!
//! It says what [`topic_matches`] and [`filter_covers`] say of one filter after the other. What a filter takes
//! is given back when it is removed.

mod node;

use super::topic::{filter_covers, split_shared, topic_matches};
use crate::limits::mqtt::FILTER_LEVELS_MAX;
use node::{Node, step};

/// Values by topic filters; a filter may have several. Filters and topics are taken as valid.
#[derive(Debug)]
pub struct Filters<T> {
    plain: Node<T>,
    /// `$share/group/filter` stands under `filter`, with its group.
    shared: Node<(Box<str>, T)>,
    /// Those with more levels than the tree has.
    deep: Vec<(Box<str>, T)>,
}

impl<T> Filters<T> {
    /// No filters.
    pub fn new() -> Self {
        Self { plain: Node::Empty, shared: Node::Empty, deep: Vec::new() }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        let trees = (&self.plain, &self.shared);
        matches!(trees, (Node::Empty, Node::Empty)) && self.deep.is_empty()
    }

    /// Adds a value.
    pub fn insert(&mut self, filter: &str, value: T) {
        if is_deep(filter) {
            return self.deep.push((filter.into(), value));
        }
        match split_shared(filter) {
            Some((group, filter)) => self.shared.insert(filter, (group.into(), value)),
            None => self.plain.insert(filter, value),
        }
    }

    /// Removes the values of this very filter for which `which` says so. Says how many those were.
    pub fn remove(&mut self, filter: &str, mut which: impl FnMut(&T) -> bool) -> usize {
        if is_deep(filter) {
            let before = self.deep.len();
            self.deep.retain(|(name, value)| **name != *filter || !which(value));
            let removed = before - self.deep.len();
            self.deep.shrink_to(2 * self.deep.len());
            return removed;
        }
        match split_shared(filter) {
            Some((group, filter)) => {
                let mut which = |(name, value): &(Box<str>, T)| **name == *group && which(value);
                self.shared.remove(Some(filter), &mut which)
            }
            None => self.plain.remove(Some(filter), &mut which),
        }
    }

    /// The values of this very filter.
    pub fn exactly(&self, filter: &str, mut each: impl FnMut(&T)) {
        if is_deep(filter) {
            let same = self.deep.iter().filter(|(name, _)| **name == *filter);
            return same.for_each(|(_, value)| each(value));
        }
        match split_shared(filter) {
            Some((group, filter)) => {
                let same = self.shared.exactly(filter).iter().filter(|(name, _)| **name == *group);
                same.for_each(|(_, value)| each(value));
            }
            None => self.plain.exactly(filter).iter().for_each(each),
        }
    }

    /// The values of all filters that take a message on `topic`, as [`topic_matches`] has it.
    pub fn matching(&self, topic: &str, mut each: impl FnMut(&T)) {
        matching(&self.plain, topic, &mut each);
        matching(&self.shared, topic, &mut |(_, value)| each(value));
        let deep = self.deep.iter().filter(|(filter, _)| topic_matches(filter, topic));
        deep.for_each(|(_, value)| each(value));
    }

    /// The values of all filters that cover `filter`, itself too, as [`filter_covers`] has it.
    pub fn covering(&self, filter: &str, mut each: impl FnMut(&T)) {
        if split_shared(filter).is_some() {
            return self.exactly(filter, each);
        }
        match (filter.starts_with('$'), step(filter)) {
            // No wildcard covers it at its first level.
            (true, (level, rest)) => {
                self.plain.child(level).inspect(|child| child.covering(rest, &mut each));
            }
            _ => self.plain.covering(Some(filter), &mut each),
        }
        let deep = self.deep.iter().filter(|(wide, _)| filter_covers(wide, filter));
        deep.for_each(|(_, value)| each(value));
    }

    /// The values of all filters that `filter` covers, itself too, as [`filter_covers`] has it. Costs by the
    /// number of these.
    pub fn covered(&self, filter: &str, mut each: impl FnMut(&T)) {
        if split_shared(filter).is_some() {
            return self.exactly(filter, each);
        }
        match step(filter) {
            ("#", _) => self.plain.each_child(&mut |level, child| {
                if !level.starts_with(b"$") {
                    child.all(&mut each);
                }
            }),
            ("+", rest) => self.plain.each_child(&mut |level, child| {
                if !level.starts_with(b"$") && level != b"#" {
                    child.covered(rest, &mut each);
                }
            }),
            _ => self.plain.covered(Some(filter), &mut each),
        }
        let deep = self.deep.iter().filter(|(narrow, _)| filter_covers(filter, narrow));
        deep.for_each(|(_, value)| each(value));
    }
}

impl<T> Default for Filters<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// A filter that begins with a wildcard takes no topic that begins with `$`.
fn matching<T>(root: &Node<T>, topic: &str, each: &mut dyn FnMut(&T)) {
    match (topic.starts_with('$'), step(topic)) {
        (true, (level, rest)) => {
            root.child(level).inspect(|child| child.matching(rest, each));
        }
        _ => root.matching(Some(topic), each),
    }
}

fn is_deep(filter: &str) -> bool {
    filter.bytes().filter(|&byte| byte == b'/').count() >= FILTER_LEVELS_MAX
}

#[cfg(test)]
mod tests;
