//! The rules of a plan by their ids, which are never given twice. Those that are removed leave a gap, and many gaps are
//! closed at once: so a rule is found in a few steps and costs little more than itself.

use super::plan::{Rule, RuleId, ScheduleError};
use crate::limits::time::RULES_MAX;

#[derive(Debug, Default)]
pub(super) struct Rules {
    /// In the order of their ids.
    list: Vec<Planned>,
    gaps: usize,
    crons: usize,
    next: u32,
}

#[derive(Debug)]
pub(super) struct Planned {
    pub(super) id: u32,
    /// Of an interval: what it is due for.
    pub(super) phase: u64,
    /// `None` once it is removed.
    pub(super) rule: Option<Rule>,
}

impl Rules {
    pub(super) fn reserve(&mut self, more: usize) {
        self.list.reserve_exact(more);
    }

    /// The id of the next that is added.
    pub(super) fn next_id(&self) -> Result<u32, ScheduleError> {
        let count = self.list.len() - self.gaps;
        // The ids last for an addition a second for 136 years.
        match count < RULES_MAX && self.next < u32::MAX {
            true => Ok(self.next),
            false => Err(ScheduleError::TooMany(count + 1)),
        }
    }

    /// Adds one, under the next id.
    pub(super) fn push(&mut self, planned: Planned) {
        if self.list.len() == self.list.capacity() {
            self.list.reserve_exact(grown(self.list.len()) - self.list.len());
        }
        self.next = planned.id + 1;
        self.crons += usize::from(matches!(planned.rule, Some(Rule::Cron(_))));
        self.list.push(planned);
    }

    pub(super) fn remove(&mut self, id: RuleId) -> bool {
        let at = u32::try_from(id).ok().and_then(|id| self.position(id));
        let Some(rule) = at.and_then(|at| self.list[at].rule.take()) else { return false };
        self.crons -= usize::from(matches!(rule, Rule::Cron(_)));
        self.gaps += 1;
        true
    }

    /// Whether it is time to close the gaps.
    pub(super) fn is_sparse(&self) -> bool {
        self.gaps > 16 + (self.list.len() - self.gaps) / 16
    }

    pub(super) fn compact(&mut self) {
        self.list.retain(|planned| planned.rule.is_some());
        self.list.shrink_to(grown(self.list.len()));
        self.gaps = 0;
    }

    pub(super) fn get(&self, id: u32) -> Option<&Rule> {
        self.list[self.position(id)?].rule.as_ref()
    }

    pub(super) fn get_with_phase(&mut self, id: u32) -> Option<(&Rule, &mut u64)> {
        let at = self.position(id)?;
        let Planned { phase, rule, .. } = &mut self.list[at];
        Some((rule.as_ref()?, phase))
    }

    pub(super) fn all_of_cron(&self) -> impl Iterator<Item = (u32, &super::Cron)> {
        self.list.iter().filter_map(|planned| match &planned.rule {
            Some(Rule::Cron(cron)) => Some((planned.id, cron)),
            _ => None,
        })
    }

    /// How many are of cron.
    pub(super) fn crons(&self) -> usize {
        self.crons
    }

    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.list.capacity() * size_of::<Planned>()
    }

    fn position(&self, id: u32) -> Option<usize> {
        self.list.binary_search_by_key(&id, |planned| planned.id).ok()
    }
}

/// The places for so many and a few more: doubling would cost as much as the rules.
pub(super) fn grown(len: usize) -> usize {
    len + len / 16 + 4
}
