//! What goes into the next packet.

use super::super::options::Subscription;
use super::super::packet::Retained;
use super::known::{Broker, Id};
use super::{News, Subscriptions};
use crate::limits::mqtt as limits;

impl Subscriptions {
    /// What to ask for: what is missing, then what is to be asked once more.
    pub(super) fn ask(&mut self) -> Option<(Vec<Subscription>, Retained)> {
        let missing = self.missing.difference(&self.again).copied();
        let (mut ids, mut retained) = (self.chunk(missing), Retained::IfNew);
        if ids.is_empty() {
            (ids, retained) = (self.chunk(self.again.iter().copied()), Retained::Always);
        }
        for id in &ids {
            self.again.remove(id);
        }
        let known = ids.iter().filter_map(|id| self.known.get(*id));
        let filters = known.filter_map(|known| {
            let qos = known.target().or(known.wish)?;
            Some(Subscription { filter: (*known.name).into(), qos })
        });
        let filters: Vec<Subscription> = filters.collect();
        (!filters.is_empty()).then_some((filters, retained))
    }

    /// Takes from what is held what is to be unsubscribed next: from here on nobody may rely on it.
    pub(super) fn part(&mut self) -> Vec<String> {
        let ids = self.chunk(self.excess.iter().copied());
        let mut filters = Vec::with_capacity(ids.len());
        for id in ids {
            filters.extend(self.known.get(id).map(|known| String::from(&*known.name)));
            self.set_broker(id, Broker::Nothing);
            // Also what it only may hold: it may have been told of before that was in doubt.
            self.tell(News::Less);
            self.review(id);
        }
        filters
    }

    /// As many as go into one packet.
    fn chunk(&self, ids: impl Iterator<Item = Id>) -> Vec<Id> {
        let mut bytes = 0;
        let fits = |id: &Id| {
            let first = bytes == 0;
            bytes += self.known.get(*id).map_or(0, |known| known.name.len());
            first || bytes <= limits::SUBSCRIBE_BYTES_MAX
        };
        ids.take(limits::SUBSCRIBE_FILTERS_MAX).take_while(fits).collect()
    }
}
