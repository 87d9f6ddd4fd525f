//! Which dead letters somebody means.

use rusqlite::ToSql;

/// All letters for which everything holds that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pick {
    /// This one.
    pub id: Option<i64>,
    /// Of this component.
    pub component: Option<String>,
    /// Put aside at this second or before.
    pub until: Option<u64>,
    /// Put aside at this second or after.
    pub since: Option<u64>,
}

impl Pick {
    /// The condition, over the parameters below.
    pub(super) const SQL: &str = "(:id IS NULL OR id = :id)
        AND (:component IS NULL OR component = :component)
        AND (:until IS NULL OR time <= :until) AND (:since IS NULL OR time >= :since)";

    pub(super) fn params(&self) -> [(&'static str, Box<dyn ToSql>); 4] {
        let seconds = |time: Option<u64>| time.map(|time| i64::try_from(time).unwrap_or(i64::MAX));
        [
            (":id", Box::new(self.id)),
            (":component", Box::new(self.component.clone())),
            (":until", Box::new(seconds(self.until))),
            (":since", Box::new(seconds(self.since))),
        ]
    }
}
