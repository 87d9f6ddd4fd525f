//! The filters that the session has to do with, and which of them are to be with the broker: the fewest that
//! take everything that is wanted. Pure.
//!
//! Each filter counts how many others cover it, and what those that it covers ask for, so that a filter which
//! comes or goes costs by these and not by how many there are.

use super::super::filters::Filters;
use super::super::message::Qos;
use std::collections::BTreeMap;

/// A filter that is known. Given in the order in which they become known.
pub(super) type Id = u32;

#[derive(Debug)]
pub(super) struct Filter {
    pub(super) name: Box<str>,
    /// What is asked for by the program; `None` if it no longer wants it.
    pub(super) wish: Option<Qos>,
    /// The reason code, if the broker refused it last.
    pub(super) refused: Option<u8>,
    /// It was refused on this connection, so others that it covers are asked for by themselves.
    pub(super) avoided: bool,
    pub(super) broker: Broker,
    /// How many others that are in play cover it.
    covers: u32,
    /// How many others that are in play it covers, by their QoS.
    covered: [u32; 3],
}

/// What the broker has of a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broker {
    Nothing,
    /// It may have it. Nobody may rely on it.
    Perhaps,
    /// It has granted it, as it was asked for.
    Holds(Qos),
}

impl Filter {
    /// At which QoS it is to be with the broker; `None` if it is not, or is covered by another.
    pub(super) fn target(&self) -> Option<Qos> {
        let wish = self.in_play().filter(|_| self.covers == 0)?;
        let covered = [Qos::AtLeastOnce, Qos::ExactlyOnce].into_iter();
        Some(covered.filter(|qos| self.covered[*qos as usize] > 0).fold(wish, Qos::max))
    }

    /// Whether it is to be with the broker and is not, or at too low a QoS.
    pub(super) fn is_missing(&self) -> bool {
        // At a higher one it stays: asking again would bring its retained messages again.
        let held = |qos| matches!(self.broker, Broker::Holds(held) if held >= qos);
        self.target().is_some_and(|qos| !held(qos))
    }

    /// Whether the broker may have it, and should not.
    pub(super) fn is_excess(&self) -> bool {
        self.broker != Broker::Nothing && self.target().is_none()
    }

    fn in_play(&self) -> Option<Qos> {
        self.wish.filter(|_| !self.avoided)
    }
}

/// All of them, by name and by what they cover.
#[derive(Debug, Default)]
pub(super) struct Known {
    filters: BTreeMap<Id, Filter>,
    ids: Filters<Id>,
    next: Id,
}

impl Known {
    pub(super) fn get(&self, id: Id) -> Option<&Filter> {
        self.filters.get(&id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (Id, &Filter)> {
        self.filters.iter().map(|(id, filter)| (*id, filter))
    }

    pub(super) fn find(&self, name: &str) -> Option<Id> {
        let mut found = None;
        self.ids.exactly(name, |id| found = Some(*id));
        found
    }

    pub(super) fn find_or_add(&mut self, name: &str) -> Id {
        self.find(name).unwrap_or_else(|| {
            // There are far fewer than there are numbers.
            while self.filters.contains_key(&self.next) {
                self.next = self.next.wrapping_add(1);
            }
            let id = self.next;
            self.next = id.wrapping_add(1);
            let filter = Filter {
                name: name.into(),
                wish: None,
                refused: None,
                avoided: false,
                broker: Broker::Nothing,
                covers: 0,
                covered: [0; 3],
            };
            self.filters.insert(id, filter);
            self.ids.insert(name, id);
            id
        })
    }

    /// Forgets a filter that nobody wants and the broker does not have. Says whether it is one.
    pub(super) fn forget(&mut self, id: Id) -> bool {
        let Some(filter) = self.filters.get(&id) else { return true };
        if filter.wish.is_some() || filter.broker != Broker::Nothing {
            return false;
        }
        self.ids.remove(&filter.name, |known| *known == id);
        self.filters.remove(&id);
        true
    }

    /// Notes what the broker has of a filter. Says what it had before.
    pub(super) fn set_broker(&mut self, id: Id, broker: Broker) -> Broker {
        let filter = self.filters.get_mut(&id);
        filter.map_or(broker, |filter| std::mem::replace(&mut filter.broker, broker))
    }

    /// Changes what is wished or refused of a filter. Says for which the target may have changed.
    pub(super) fn change(&mut self, id: Id, change: impl FnOnce(&mut Filter)) -> Vec<Id> {
        let Some(filter) = self.filters.get_mut(&id) else { return Vec::new() };
        let before = filter.in_play();
        change(filter);
        let after = filter.in_play();
        let mut touched = vec![id];
        if before != after {
            let name = filter.name.clone();
            for (qos, by) in [(before, -1), (after, 1)] {
                if let Some(qos) = qos {
                    self.count(id, &name, qos, by, &mut touched);
                }
            }
        }
        touched
    }

    /// Counts one in or out that is in play at this QoS.
    fn count(&mut self, id: Id, name: &str, qos: Qos, by: i32, touched: &mut Vec<Id>) {
        let (mut covering, mut covered) = (Vec::new(), Vec::new());
        let in_play = |other: &Id| {
            *other != id && self.filters.get(other).is_some_and(|one| one.in_play().is_some())
        };
        self.ids.covering(name, |other| covering.extend(Some(*other).filter(in_play)));
        self.ids.covered(name, |other| covered.extend(Some(*other).filter(in_play)));
        let (mut covers, mut asked) = (0, [0; 3]);
        for other in &covering {
            let Some(wide) = self.filters.get_mut(other) else { continue };
            let count = &mut wide.covered[qos as usize];
            (*count, covers) = (count.wrapping_add_signed(by), covers + 1);
        }
        for other in &covered {
            let Some(narrow) = self.filters.get_mut(other) else { continue };
            narrow.covers = narrow.covers.wrapping_add_signed(by);
            asked[narrow.wish.unwrap_or(qos) as usize] += 1;
        }
        if let Some(own) = self.filters.get_mut(&id) {
            (own.covers, own.covered) = (covers, asked);
        }
        touched.extend(covering.into_iter().chain(covered));
    }
}
