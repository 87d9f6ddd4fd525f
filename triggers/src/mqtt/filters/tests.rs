//! The tree against the two functions that it must agree with, and what it weighs.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::mqtt::validate_filter;

/// SplitMix64, as in the other tests that go by a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % end as u64) as usize
    }

    /// Few levels of few names, so that much is alike.
    fn levels(&mut self, names: &[&str]) -> String {
        let count = 1 + self.below(4);
        let levels: Vec<&str> = (0..count).map(|_| names[self.below(names.len())]).collect();
        levels.join("/")
    }

    fn topic(&mut self) -> String {
        loop {
            let first = ["", "$", "$SYS/"][self.below(12).saturating_sub(9)];
            let topic = first.to_owned() + &self.levels(&["a", "b", "", LONG]);
            if !topic.is_empty() {
                return topic;
            }
        }
    }

    fn filter(&mut self) -> String {
        loop {
            let first = ["", "$", "$SYS/", "$share/g/", "$share/h/", &"+/".repeat(70)];
            let first = first[self.below(20).saturating_sub(14)];
            let filter = first.to_owned() + &self.levels(&["a", "b", "", LONG, "+", "+", "#"]);
            if validate_filter(&filter).is_ok() {
                return filter;
            }
        }
    }
}

/// Longer than what is kept without an allocation.
const LONG: &str = "a-level-with-a-name-as-long-as-few-are";

/// What one of the questions answers, in order.
fn all(ask: impl FnOnce(&mut dyn FnMut(&usize))) -> Vec<usize> {
    let mut all = Vec::new();
    ask(&mut |value| all.push(*value));
    all.sort_unstable();
    all
}

#[test]
fn the_tree_says_what_is_said_of_one_filter_and_another() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let list: Vec<String> = (0..random.below(80)).map(|_| random.filter()).collect();
        let mut filters = Filters::new();
        for (at, filter) in list.iter().enumerate() {
            filters.insert(filter, at);
        }
        let expect = |is: &dyn Fn(&str) -> bool| -> Vec<usize> {
            (0..list.len()).filter(|&at| is(&list[at])).collect()
        };
        for _ in 0..60 {
            let (topic, filter) = (random.topic(), random.filter());
            let said = all(|each| filters.matching(&topic, each));
            assert_eq!(said, expect(&|one| topic_matches(one, &topic)), "{seed} {topic} {list:?}");
            let said = all(|each| filters.covering(&filter, each));
            assert_eq!(
                said,
                expect(&|one| filter_covers(one, &filter)),
                "{seed} {filter} {list:?}"
            );
            let said = all(|each| filters.covered(&filter, each));
            assert_eq!(
                said,
                expect(&|one| filter_covers(&filter, one)),
                "{seed} {filter} {list:?}"
            );
            let said = all(|each| filters.exactly(&filter, each));
            assert_eq!(said, expect(&|one| one == filter), "{seed} {filter}");
        }
    }
}

#[test]
fn what_was_inserted_and_removed_leaves_nothing_and_touches_nothing_else() {
    for seed in 0..400 {
        let mut random = Random(seed);
        let (mut filters, mut list) = (Filters::new(), Vec::new());
        for at in 0..150 {
            let filter = random.filter();
            filters.insert(&filter, at);
            list.push((filter, at));
            if random.below(3) == 0 {
                let (filter, at) = list.swap_remove(random.below(list.len()));
                assert_eq!(filters.remove(&filter, |value| *value == at + 1_000), 0);
                assert_eq!(filters.remove(&filter, |value| *value == at), 1);
                assert_eq!(filters.remove(&filter, |value| *value == at), 0);
            }
        }
        let topic = random.topic();
        let mut expected: Vec<usize> =
            list.iter().filter(|(one, _)| topic_matches(one, &topic)).map(|one| one.1).collect();
        expected.sort_unstable();
        assert_eq!(all(|each| filters.matching(&topic, each)), expected, "{seed}");
        for (filter, _) in list {
            // The first of several takes them all.
            filters.remove(&filter, |_| true);
        }
        assert!(filters.is_empty(), "{seed}: {filters:?}");
        assert_eq!(filters.deep.capacity(), 0);
    }
}

#[test]
fn a_filter_and_a_topic_of_all_levels_that_there_can_be_overflow_no_stack() {
    let deep = "/".repeat(65_535);
    let mut filters = Filters::new();
    filters.insert("#", 1);
    filters.insert("+/+/+/#", 2);
    filters.insert(&deep, 3);
    assert_eq!(all(|each| filters.matching(&deep, each)), [1, 2, 3]);
    assert_eq!(all(|each| filters.covering(&deep, each)), [1, 2, 3]);
    assert_eq!(filters.remove(&deep, |_| true), 1);
}

#[test]
fn a_filter_among_five_thousand_takes_less_than_two_hundred_bytes() {
    type Name = fn(u32) -> String;
    let rows: [(Name, usize); 3] = [
        (|n| format!("in/{n}"), 100),
        (|n| format!("site/a/{n}/set"), 150),
        (|n| format!("$share/g/in/{n}/+"), 200),
    ];
    for (name, most) in rows {
        let mut filters = Filters::new();
        for n in 0..5_000 {
            filters.insert(&name(n), n);
        }
        let bytes = filters.plain.bytes_max() + filters.shared.bytes_max();
        assert!(bytes / 5_000 <= most, "{} bytes for {}", bytes / 5_000, name(0));
    }
}
