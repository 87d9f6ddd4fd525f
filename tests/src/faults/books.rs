//! The books: what was handed over, what came of it, and whether the two sides are equal. Computed from what the
//! broker recorded and from what lies on the runner's disk; nothing that the runner says of itself goes in.
//!
//! A message is known by its lane, the second level of its topic, and by its number, the first word of its payload.
//! It is handled when its number was published on `out/LANE`.

use std::collections::{BTreeMap, BTreeSet};

use super::broker::{Look, Received};
use super::kept::DeadLetter;
use super::session::Message;

/// A message's lane and number.
pub type Key = (String, u64);

/// Both sides of the books.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Messages that the runner took over.
    pub accepted: usize,
    /// Messages whose number came out.
    pub delivered: usize,
    /// How often a number came out once more.
    pub duplicates: usize,
    /// Messages kept aside.
    pub dead: usize,
    /// Taken over, and neither handled nor kept aside.
    pub lost: Vec<Key>,
    /// Neither taken over nor handled: with the broker still.
    pub pending: Vec<Key>,
    /// Numbers that came out for the first time after a higher one of their lane.
    pub disordered: Vec<Key>,
}

/// The lane and number of what goes in.
fn incoming(topic: &str, text: &str) -> Option<Key> {
    let lane = topic.strip_prefix("in/")?.split('/').next()?;
    Some((lane.to_owned(), number(text)?))
}

fn number(text: &str) -> Option<u64> {
    text.split([' ', '\0']).next()?.parse().ok()
}

fn of_message(message: &Message) -> Option<Key> {
    incoming(&message.topic, &String::from_utf8_lossy(&message.payload.head))
}

fn outgoing(received: &Received) -> Option<Key> {
    let lane = received.topic.strip_prefix("out/")?;
    Some((lane.to_owned(), number(&received.text)?))
}

/// What the runner took over.
#[must_use]
pub fn accepted(from: &Look<'_>) -> BTreeSet<Key> {
    from.accepted().filter_map(|message| of_message(message)).collect()
}

/// What came out, each with how often, and what of it came out of order.
#[must_use]
pub fn delivered(to: &Look<'_>) -> (BTreeMap<Key, usize>, Vec<Key>) {
    let (mut seen, mut disordered) = (BTreeMap::<Key, usize>::new(), Vec::new());
    let mut highest: BTreeMap<String, u64> = BTreeMap::new();
    for key in to.record().iter().filter_map(outgoing) {
        let times = seen.entry(key.clone()).or_default();
        *times += 1;
        let highest = highest.entry(key.0.clone()).or_default();
        if *times == 1 && key.1 < *highest {
            disordered.push(key.clone());
        }
        *highest = (*highest).max(key.1);
    }
    (seen, disordered)
}

impl Books {
    /// Closes the books: what went in by the first broker, what came out by the second, what was kept aside.
    #[must_use]
    pub fn close(from: &Look<'_>, to: &Look<'_>, letters: &[DeadLetter]) -> Self {
        let (seen, disordered) = delivered(to);
        let pending = from.pending();
        let pending = pending.iter().filter_map(|message| of_message(message));
        Self::balance(&accepted(from), &seen, disordered, pending.collect(), letters)
    }

    fn balance(
        accepted: &BTreeSet<Key>,
        seen: &BTreeMap<Key, usize>,
        disordered: Vec<Key>,
        pending: BTreeSet<Key>,
        letters: &[DeadLetter],
    ) -> Self {
        let dead: BTreeSet<Key> =
            letters.iter().filter_map(|letter| incoming(&letter.source, &letter.text)).collect();
        let is_kept = |key: &Key| seen.contains_key(key) || dead.contains(key);
        Self {
            accepted: accepted.len(),
            delivered: seen.len(),
            duplicates: seen.values().map(|times| times - 1).sum(),
            dead: dead.len(),
            lost: accepted.iter().filter(|key| !is_kept(key)).cloned().collect(),
            pending: pending.into_iter().filter(|key| !is_kept(key)).collect(),
            disordered,
        }
    }

    /// What is wrong with them, in a sentence each.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let say = |what: &str, keys: &[Key]| {
            let first: Vec<String> =
                keys.iter().take(5).map(|(lane, number)| format!("{lane} {number}")).collect();
            let more = if keys.len() > 5 { " …" } else { "" };
            (!keys.is_empty()).then(|| format!("{} {what}: {}{more}", keys.len(), first.join(", ")))
        };
        let problems = [
            say("acknowledged and gone", &self.lost),
            say("never taken over", &self.pending),
            say("out of order", &self.disordered),
        ];
        problems.into_iter().flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(numbers: &[u64]) -> BTreeSet<Key> {
        numbers.iter().map(|number| ("a".to_owned(), *number)).collect()
    }

    fn balance(accepted: &[u64], seen: &[u64], pending: &[u64], dead: &[u64]) -> Books {
        let seen = keys(seen).into_iter().map(|key| (key, 2)).collect();
        let letter = |number: &u64| DeadLetter {
            source: "in/a/pass".to_owned(),
            text: format!("{number} and more"),
        };
        let letters: Vec<DeadLetter> = dead.iter().map(letter).collect();
        Books::balance(&keys(accepted), &seen, Vec::new(), keys(pending), &letters)
    }

    #[test]
    fn books_that_are_even_say_nothing() {
        let books = balance(&[1, 2, 3], &[1, 2, 4], &[4], &[3]);
        assert_eq!((books.problems(), books.duplicates, books.dead), (Vec::new(), 3, 1));
    }

    #[test]
    fn a_message_that_was_acknowledged_and_left_no_trace_is_lost() {
        let books = balance(&[1, 2, 3], &[1, 3], &[], &[]);
        assert_eq!(books.problems(), ["1 acknowledged and gone: a 2"]);
    }

    #[test]
    fn a_message_that_nobody_took_is_pending() {
        let books = balance(&[1], &[1], &[2, 3], &[]);
        assert_eq!(books.problems(), ["2 never taken over: a 2, a 3"]);
    }
}
