//! The budget: a sum that anybody can read, one row per holder of memory.
//!
//! Host reserve, plus the code of every component, plus the largest guest memory with its stack, its tables, its handles
//! and the engine's own: less than that is not enough, and how many more are alive at the same time is for the ledger to
//! say while they run. A board that says `overcommit = "none"` wants to know before: then the `instances_max` largest
//! that can be alive together count, and with several apps those of all apps. It is a promise about the worst case, not a
//! measurement.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;

use pirn_triggers::limits::http::CONNECTION_BYTES;

use super::{App, ComponentPlan, TriggerPlan, TriggerPlanKind};
use crate::files::board::{ArtifactKind, Board};
use crate::files::config::Bytes;
use crate::limits::engine::{COMPONENT_BYTES, INSTANCE_BYTES};

/// The table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// The board that sets it.
    pub board: String,
    /// All that the process may use.
    pub limit_bytes: u64,
    /// Who uses what, in the order of the sum.
    pub rows: Vec<BudgetRow>,
}

/// One holder of memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetRow {
    /// What kind.
    pub kind: RowKind,
    /// Who: a component's id, or empty for the host's rows.
    pub holder: String,
    /// How many there are: instances of the same component, components of the same code.
    pub count: u32,
    /// Bytes in all; `None` until the component is built.
    pub bytes: Option<u64>,
}

/// Kinds of holders.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowKind {
    /// The runner itself.
    Host,
    /// Connections over which requests come, and what waits of them.
    Connections,
    /// A component's artifact, and what is kept about it.
    Code,
    /// Linear memory of live instances.
    Memory,
    /// Stacks of live instances.
    Stacks,
    /// Tables and handles of live instances, and what the engine keeps with them.
    Instances,
}

/// An app that does not fit; prints the table.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the app does not fit the board \"{}\": it needs {}, the board grants {}\n{budget}", budget.board, Bytes(budget.total_bytes()), Bytes(budget.limit_bytes))]
pub struct OverBudget {
    /// The sum.
    pub budget: Budget,
}

pub(super) fn of(app: &App, code: &[Option<u64>]) -> Budget {
    let components = app.components.iter().map(|component| (app, component));
    sum(&app.board, connections(app), codes(app, code), components)
}

/// What several apps need of a board, each with what its code takes.
pub(super) fn of_all<'a>(
    board: &Board,
    apps: impl Iterator<Item = (&'a App, u64)> + Clone,
) -> Budget {
    let code = |(app, bytes): (&App, u64)| BudgetRow {
        kind: RowKind::Code,
        holder: app.name.clone(),
        count: 1,
        bytes: Some(bytes),
    };
    let codes = apps.clone().map(code).collect();
    let connected = apps.clone().map(|(app, _)| connections(app)).sum();
    let components = |(app, _): (&'a App, u64)| app.components.iter().map(move |plan| (app, plan));
    sum(board, connected, codes, apps.flat_map(components))
}

/// Over which the app is asked, at most.
fn connections(app: &App) -> u32 {
    app.http.as_ref().map_or(0, |http| http.options.connections_max)
}

fn sum<'a>(
    board: &Board,
    connected: u32,
    codes: Vec<BudgetRow>,
    components: impl Iterator<Item = (&'a App, &'a ComponentPlan)>,
) -> Budget {
    let row = |kind, count: u32, bytes| BudgetRow {
        kind,
        holder: String::new(),
        count,
        bytes: Some(bytes),
    };
    let memories = largest_memories(components, board.counted_instances());
    let instances = memories.iter().map(|row| row.count).sum();
    let each = |bytes: u64| bytes.saturating_mul(u64::from(instances));
    let mut rows = vec![row(RowKind::Host, 1, board.memory.host_bytes)];
    if connected > 0 {
        let bytes = u64::from(connected) * CONNECTION_BYTES as u64;
        rows.push(row(RowKind::Connections, connected, bytes));
    }
    rows.extend(codes);
    rows.extend(memories);
    rows.push(row(RowKind::Stacks, instances, each(board.memory.stack_bytes)));
    rows.push(row(RowKind::Instances, instances, each(INSTANCE_BYTES as u64)));
    Budget { board: board.name.clone(), limit_bytes: board.memory.budget_bytes, rows }
}

/// One row for each artifact: components made from one file share it.
fn codes(app: &App, code: &[Option<u64>]) -> Vec<BudgetRow> {
    let mut rows: Vec<BudgetRow> = Vec::new();
    let mut row_of: HashMap<_, usize> = HashMap::new();
    for (index, component) in app.components.iter().enumerate() {
        match row_of.entry((&component.source, component.artifact)) {
            Entry::Occupied(row) => rows[*row.get()].count += 1,
            Entry::Vacant(place) => {
                place.insert(rows.len());
                rows.push(BudgetRow {
                    kind: RowKind::Code,
                    holder: component.id.clone(),
                    count: 1,
                    bytes: code
                        .get(index)
                        .copied()
                        .flatten()
                        .map(|code| code.saturating_add(beside(component))),
                });
            }
        }
    }
    rows
}

/// What a component takes beside its code; what is interpreted is counted with all that it becomes.
fn beside(component: &ComponentPlan) -> u64 {
    match component.artifact {
        ArtifactKind::Wasm => 0,
        _ => COMPONENT_BYTES,
    }
}

/// The worst set of so many instances that can be alive together.
fn largest_memories<'a>(
    components: impl Iterator<Item = (&'a App, &'a ComponentPlan)>,
    mut left: u32,
) -> Vec<BudgetRow> {
    let mut components: Vec<_> = components.collect();
    components.sort_by_key(|(_, component)| std::cmp::Reverse(component.limits.memory_bytes_max));
    let mut rows = Vec::new();
    for (app, component) in components {
        let count = at_once(app, component).min(left);
        if count == 0 {
            break;
        }
        left -= count;
        let bytes = component.limits.memory_bytes_max.saturating_mul(u64::from(count));
        rows.push(BudgetRow {
            kind: RowKind::Memory,
            holder: component.id.clone(),
            count,
            bytes: Some(bytes),
        });
    }
    rows
}

/// Instances that events and requests may have of a component at the same time.
fn at_once(app: &App, component: &ComponentPlan) -> u32 {
    let is_its = |trigger: &&TriggerPlan| {
        app.components.get(trigger.component).is_some_and(|its| its.id == component.id)
    };
    let is_http = |trigger: &TriggerPlan| matches!(trigger.kind, TriggerPlanKind::Http { .. });
    let (mut events, mut requests) = (0, 0);
    for trigger in app.triggers.iter().filter(is_its) {
        match is_http(trigger) {
            true => requests = component.requests_max,
            false => events = component.limits.instances_max,
        }
    }
    events.saturating_add(requests)
}

impl Budget {
    /// The sum of what is known.
    pub fn total_bytes(&self) -> u64 {
        self.rows.iter().filter_map(|row| row.bytes).fold(0, u64::saturating_add)
    }

    /// What code takes of it.
    pub fn code_bytes(&self) -> u64 {
        let code = self.rows.iter().filter(|row| row.kind == RowKind::Code);
        code.filter_map(|row| row.bytes).fold(0, u64::saturating_add)
    }

    /// Refuses what does not fit. Unknown code counts as nothing, so ask again once it is built.
    pub fn check(self) -> Result<Self, OverBudget> {
        match self.total_bytes() <= self.limit_bytes {
            true => Ok(self),
            false => Err(OverBudget { budget: self }),
        }
    }
}

impl BudgetRow {
    /// What the row is, in words.
    pub fn label(&self) -> String {
        let Self { holder, count, .. } = self;
        match self.kind {
            RowKind::Host => "pirnd itself".to_owned(),
            RowKind::Connections => format!("{count} connections of clients"),
            RowKind::Code if *count == 1 => format!("code of {holder}"),
            RowKind::Code => format!("code of {holder} and {} more", count - 1),
            RowKind::Memory if *count == 1 => format!("memory of {holder}"),
            RowKind::Memory => format!("memory of {holder}, {count} instances"),
            RowKind::Stacks if *count == 1 => "stack of 1 instance".to_owned(),
            RowKind::Stacks => format!("stacks of {count} instances"),
            RowKind::Instances if *count == 1 => "tables and handles of 1 instance".to_owned(),
            RowKind::Instances => format!("tables and handles of {count} instances"),
        }
    }
}

impl fmt::Display for Budget {
    /// A table of two columns, the sum below a line, the limit below that.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let labels: Vec<_> = self.rows.iter().map(BudgetRow::label).collect();
        let wide = labels
            .iter()
            .map(|label| label.chars().count())
            .max()
            .unwrap_or(0)
            .max("granted by the board".len());
        for (row, label) in self.rows.iter().zip(&labels) {
            match row.bytes {
                Some(bytes) => writeln!(f, "  {label:wide$}  {:>10}", Bytes(bytes))?,
                None => writeln!(f, "  {label:wide$}  {:>10}", "not built")?,
            }
        }
        writeln!(f, "  {:-<wide$}  {:->10}", "", "")?;
        writeln!(f, "  {:wide$}  {:>10}", "sum", Bytes(self.total_bytes()))?;
        write!(f, "  {:wide$}  {:>10}", "granted by the board", Bytes(self.limit_bytes))
    }
}
