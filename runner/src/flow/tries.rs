//! How often a run of an event was begun whose end nobody saw, because the process died. Pure.

use std::collections::HashMap;

/// Attempts by the event's digest.
#[derive(Debug, Default)]
pub struct Tries(HashMap<u64, Known>);

#[derive(Debug)]
struct Known {
    attempts: u32,
    /// It was kept aside for that.
    spent: bool,
    /// The store has it too.
    stored: bool,
}

impl Tries {
    /// What the store knows.
    pub fn stored(attempts: impl IntoIterator<Item = (u64, u32)>) -> Self {
        let known = |(digest, attempts)| (digest, Known { attempts, spent: false, stored: true });
        Self(attempts.into_iter().map(known).collect())
    }

    /// Attempts at the event. The digest is asked for only where some are known.
    pub fn of(&self, digest: impl FnOnce() -> u64) -> u32 {
        self.known(digest).map_or(0, |(_, known)| known.attempts)
    }

    /// The event's digest, if attempts at it are known.
    pub fn digest(&self, digest: impl FnOnce() -> u64) -> Option<u64> {
        self.known(digest).map(|(digest, _)| digest)
    }

    fn known(&self, digest: impl FnOnce() -> u64) -> Option<(u64, &Known)> {
        if self.0.is_empty() {
            return None;
        }
        let digest = digest();
        self.0.get(&digest).map(|known| (digest, known))
    }

    /// The event killed its runner as often as it was tried. Whatever is equal to it goes the same way for as long as
    /// this process lives: a broker that was not told, and a row that was not deleted, bring it again.
    pub fn spend(&mut self, digest: u64) {
        if let Some(known) = self.0.get_mut(&digest) {
            known.spent = true;
        }
    }

    /// Somebody wants an event again that was spent.
    pub fn pardon(&mut self, digest: impl FnOnce() -> u64) {
        if let Some((digest, Known { spent: true, .. })) = self.known(digest) {
            self.0.remove(&digest);
        }
    }

    /// The event is settled. Whether the store is to forget it.
    pub fn settle(&mut self, digest: u64) -> bool {
        let Some(known) = self.0.get_mut(&digest) else { return false };
        let stored = std::mem::replace(&mut known.stored, false);
        if !known.spent {
            self.0.remove(&digest);
        }
        stored
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_settled_is_forgotten_here_and_in_the_store() {
        let mut tries = Tries::stored([(7, 2)]);
        assert_eq!((tries.of(|| 7), tries.of(|| 8)), (2, 0));
        assert_eq!((tries.settle(7), tries.of(|| 7), tries.settle(7)), (true, 0, false));
    }

    #[test]
    fn an_event_that_is_spent_stays_so_until_somebody_wants_it_again() {
        let mut tries = Tries::stored([(7, 3)]);
        tries.pardon(|| 7);
        assert_eq!(tries.of(|| 7), 3, "it was not spent yet");
        tries.spend(7);
        assert_eq!((tries.settle(7), tries.settle(7), tries.of(|| 7)), (true, false, 3));
        tries.pardon(|| 7);
        assert_eq!(tries.of(|| 7), 0);
    }
}
