//! What goes into an outbox and what comes out of it. Only data.

/// What a publish is called while it is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// Whose it is.
    pub component: u32,
    pub(super) number: u64,
}

/// Something to do. The driver reports each with the method named.
#[derive(Debug, PartialEq, Eq)]
pub enum Action<P> {
    /// Write down in one transaction, in this order: then `stored` or `not_stored`.
    Store(Vec<(Ticket, P)>),
    /// Read the rows of this component after that one, in order: then `loaded` or `not_loaded`.
    Load(u32, i64),
    /// Delete these rows. Nobody waits for it: what is not deleted is sent twice. If it cannot be: `not_forgotten`.
    Forget(Vec<i64>),
}

/// What one who waits is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// It is acknowledged or on disk.
    Safe,
    /// The broker will not have it.
    Refused(String),
    /// It gave way to others.
    Dropped,
}

/// Why a publish is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Full {
    /// More are accepted than memory is for, and are not yet on disk: ask again soon.
    Memory,
    /// As much is kept as there may be.
    Kept,
}

/// A row read back.
#[derive(Debug, PartialEq, Eq)]
pub struct Row<P> {
    /// Its number: rows of a component are in the order of their numbers.
    pub row: i64,
    /// What it takes.
    pub bytes: usize,
    /// The publish.
    pub publish: P,
    /// It waited longer than anything may.
    pub expired: bool,
}

/// What happened to publishes, for the books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tally {
    /// Taken over from components, or found on disk at the start.
    pub accepted: u64,
    /// Acknowledged by the broker.
    pub delivered: u64,
    /// Refused by the broker for good.
    pub refused: u64,
    /// Given up for others.
    pub dropped: u64,
    /// Given up because of their age.
    pub expired: u64,
    /// Written to disk.
    pub stored: u64,
}
