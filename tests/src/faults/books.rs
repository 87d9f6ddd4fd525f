//! The books: what was handed over, what came of it, and whether the two sides are equal. Computed from what the
//! broker recorded and from what lies on the runner's disk; nothing that the runner says of itself goes in.
//!
//! A message is known by its lane, the second level of its topic, and by its number, the first word of its payload.
//! It is handled when its number was published on `out/LANE`.

use std::collections::{BTreeMap, BTreeSet};

use super::broker::{Look, Received};
use super::kept::Kept;
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
    /// Taken over, not handled yet, and on the runner's disk.
    pub waiting: Vec<Key>,
    /// Taken over, and neither handled nor kept.
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

/// The lane and number of what waits, on its way in or on its way out.
fn either(kept: &Kept) -> Option<Key> {
    let out = kept.source.strip_prefix("out/");
    match out {
        Some(lane) => Some((lane.to_owned(), number(&kept.text)?)),
        None => incoming(&kept.source, &kept.text),
    }
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
    /// Closes the books: what was taken over, what is left with the first broker, what came out at the second, what
    /// was kept aside, what else lies on the runner's disk. While the runner runs, these must have been looked at in
    /// the order in which a message passes them, the two brokers last.
    #[must_use]
    pub fn close(
        accepted: &BTreeSet<Key>,
        from: &Look<'_>,
        to: &Look<'_>,
        letters: &[Kept],
        waiting: &[Kept],
    ) -> Self {
        let (seen, disordered) = delivered(to);
        let pending = from.pending();
        let pending = pending.iter().filter_map(|message| of_message(message));
        Self::balance(accepted, &seen, disordered, pending.collect(), letters, waiting)
    }

    fn balance(
        accepted: &BTreeSet<Key>,
        seen: &BTreeMap<Key, usize>,
        disordered: Vec<Key>,
        pending: BTreeSet<Key>,
        letters: &[Kept],
        waiting: &[Kept],
    ) -> Self {
        let dead: BTreeSet<Key> =
            letters.iter().filter_map(|kept| incoming(&kept.source, &kept.text)).collect();
        let waiting: BTreeSet<Key> = waiting.iter().filter_map(either).collect();
        let is_done = |key: &Key| seen.contains_key(key) || dead.contains(key);
        let open = || accepted.iter().filter(|key| !is_done(key));
        Self {
            accepted: accepted.len(),
            delivered: seen.len(),
            duplicates: seen.values().map(|times| times - 1).sum(),
            dead: dead.len(),
            waiting: open().filter(|key| waiting.contains(key)).cloned().collect(),
            lost: open().filter(|key| !waiting.contains(key)).cloned().collect(),
            pending: pending.into_iter().filter(|key| !is_done(key)).collect(),
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
            say("on the runner's disk and not handled", &self.waiting),
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

    fn kept(topic: &str, numbers: &[u64]) -> Vec<Kept> {
        let one =
            |number: &u64| Kept { source: topic.to_owned(), text: format!("{number} and more") };
        numbers.iter().map(one).collect()
    }

    fn balance(accepted: &[u64], seen: &[u64], pending: &[u64], dead: &[u64]) -> Books {
        let seen = keys(seen).into_iter().map(|key| (key, 2)).collect();
        let letters = kept("in/a/pass", dead);
        Books::balance(&keys(accepted), &seen, Vec::new(), keys(pending), &letters, &[])
    }

    #[test]
    fn what_waits_on_the_disk_is_not_lost_whichever_way_it_goes() {
        let waiting = [kept("in/a/pass", &[1]), kept("out/a", &[2])].concat();
        let none = BTreeMap::new();
        let books = Books::balance(&keys(&[1, 2, 3]), &none, Vec::new(), keys(&[]), &[], &waiting);
        let said =
            ["1 acknowledged and gone: a 3", "2 on the runner's disk and not handled: a 1, a 2"];
        assert_eq!(books.problems(), said);
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
