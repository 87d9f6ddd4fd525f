//! Programs that come and go by chance, with a broker that refuses, is slow, breaks and forgets: what it holds in
//! the end is what it should, and no list that was told names what it did not hold.

use super::*;
use crate::mqtt::filter_covers;
use std::collections::BTreeMap;

struct World {
    random: u64,
    all: Subscriptions,
    wanted: BTreeMap<String, Qos>,
    /// What the broker holds.
    broker: BTreeMap<String, Qos>,
    told: Vec<String>,
    under_way: Option<Outgoing>,
    now: Instant,
    refuses: bool,
}

const FILTERS: [&str; 14] = [
    "a",
    "a/b",
    "a/c",
    "a/+",
    "a/#",
    "+/b",
    "#",
    "$SYS/a",
    "$SYS/#",
    "$share/g/a",
    "$share/h/a/#",
    "b",
    "b/c",
    "b/+",
];

impl World {
    fn below(&mut self, end: usize) -> usize {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) as usize % end
    }

    fn listen(&mut self) {
        if let Some(held) = held(&mut self.all) {
            self.told = held;
        }
    }

    /// The program does something.
    fn act(&mut self) {
        let filter = FILTERS[self.below(FILTERS.len())];
        let qos = QOS[self.below(3)];
        match self.below(5) {
            0 | 1 => {
                self.all.want(one(filter, qos)).unwrap();
                self.wanted.insert(filter.into(), qos);
            }
            2 | 3 => {
                self.all.unwant(filter);
                self.wanted.remove(filter);
            }
            _ => self.all.want_again(filter),
        }
        self.listen();
    }

    /// A packet goes out, and is told of before.
    fn send(&mut self) {
        assert!(!self.all.can_ask() || self.under_way.is_none());
        let could = self.all.can_ask();
        let next = self.all.next(self.now, || 5);
        assert!(next.is_some() || !could);
        self.listen();
        if let Some(Outgoing::Unsubscribe { filters, .. }) = &next {
            for filter in filters {
                assert!(!self.told.contains(filter), "{filter} is told to be held");
            }
        }
        self.under_way = next.or(self.under_way.take());
    }

    /// The broker takes what is under way; whether its answer comes is another matter.
    fn take(&mut self, answers: bool) {
        match self.under_way.take() {
            Some(Outgoing::Subscribe { id, filters, .. }) => {
                let mut codes = Vec::new();
                for Subscription { filter, qos } in filters {
                    // It takes back nothing that it has granted.
                    let may = self.refuses && !self.broker.contains_key(&filter);
                    let refused = may && self.below(3) == 0;
                    codes.push(if refused { 0x80 } else { qos as u8 });
                    if !refused {
                        self.broker.insert(filter, qos);
                    }
                }
                if answers {
                    self.all.answered(id, &codes, self.now).unwrap();
                }
            }
            Some(Outgoing::Unsubscribe { id, filters }) => {
                for filter in filters {
                    self.broker.remove(&filter);
                    let lost = self.wanted.keys().filter(|one| filter_covers(&filter, one));
                    let holds =
                        |one: &&String| self.broker.keys().any(|wide| filter_covers(wide, one));
                    let lost: Vec<_> = lost.filter(|one| !holds(one)).collect();
                    assert!(self.refuses || lost.iter().all(|one| self.all.is_open(one)));
                }
                if answers {
                    assert!(self.all.dropped(id));
                }
            }
            _ => {}
        }
        self.listen();
    }

    fn break_and_come_back(&mut self) {
        let taken = self.below(2) == 0;
        if taken {
            self.take(false);
        }
        self.under_way = None;
        self.all.lost();
        self.listen();
        let present = self.below(3) > 0;
        if !present {
            self.broker.clear();
        } else if self.below(4) == 0 {
            self.all.doubt();
        }
        self.all.connected(present);
        self.listen();
    }

    fn settle(&mut self) {
        self.refuses = false;
        for _ in 0..100 {
            self.now += limits::RESUBSCRIBE_MAX;
            self.send();
            self.take(true);
        }
        assert!(self.all.is_settled() && !self.all.can_ask());
    }

    /// What is to be held, found the slow way.
    fn check(&self, seed: u64) {
        let is_top =
            |one: &String| !self.wanted.keys().any(|wide| wide != one && filter_covers(wide, one));
        let tops: Vec<&String> = self.wanted.keys().filter(|one| is_top(one)).collect();
        assert_eq!(self.broker.keys().collect::<Vec<_>>(), tops, "{seed}");
        for (filter, qos) in &self.broker {
            let least = self.wanted.iter().filter(|(one, _)| filter_covers(filter, one));
            assert!(least.map(|(_, qos)| *qos).max() <= Some(*qos), "{seed} {filter}");
        }
        let mut told = self.told.clone();
        told.sort();
        assert_eq!(told.iter().collect::<Vec<_>>(), tops, "{seed}");
        assert_eq!(self.all.known.all().count(), self.wanted.len(), "{seed}");
        assert_eq!(self.all.wanted, self.wanted.len());
        assert_eq!(self.all.held, tops.len());
    }
}

impl Subscriptions {
    /// Whether a filter became wanted since its UNSUBSCRIBE went out, or was, while that was under way.
    fn is_open(&self, filter: &str) -> bool {
        self.find(filter).is_some_and(|(_, known)| known.is_missing() || known.target().is_none())
    }
}

#[test]
fn whatever_happens_the_broker_holds_in_the_end_what_is_wanted() {
    for seed in 0..400 {
        let protocol = if seed % 2 == 0 { Protocol::V311 } else { Protocol::V5 };
        let mut world = World {
            random: seed,
            all: subscriptions(protocol, &[], &[]),
            wanted: BTreeMap::new(),
            broker: BTreeMap::new(),
            told: Vec::new(),
            under_way: None,
            now: Instant::now(),
            refuses: seed % 3 == 0,
        };
        world.all.connected(false);
        for _ in 0..120 {
            match world.below(8) {
                0..4 => world.act(),
                4 | 5 => world.send(),
                6 => world.take(true),
                _ if world.below(6) == 0 => world.break_and_come_back(),
                _ => world.now += limits::RESUBSCRIBE_FIRST,
            }
            for filter in &world.told {
                assert!(world.broker.contains_key(filter), "{seed}: {filter} is not held");
            }
        }
        world.settle();
        world.check(seed);
    }
}
