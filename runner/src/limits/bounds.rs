//! What the files' hands may choose of what is kept on disk, as values: the board's outbox, the operator's dead
//! letters.

use std::time::Duration;

use super::{outbox, store};

/// What becomes of one too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenFull {
    /// It is refused: a component is told so, a message stays with its broker.
    Refuse,
    /// The oldest gives way, counted and said.
    DropOldest,
}

/// How much an outbox keeps, and when it writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxBounds {
    /// Not acknowledged for so long, a publish is written down.
    pub slow_after: Duration,
    /// Bytes of all publishes, in memory and on disk.
    pub bytes_max: u64,
    /// Publishes on disk.
    pub rows_max: u64,
    /// How old a publish may become.
    pub age_max: Duration,
    /// What to do beyond: of what the component that has most published, the oldest may give way.
    pub when_full: WhenFull,
}

impl Default for OutboxBounds {
    fn default() -> Self {
        Self {
            slow_after: outbox::SLOW_AFTER_DEFAULT,
            bytes_max: outbox::BYTES_DEFAULT,
            rows_max: outbox::ROWS_MAX,
            age_max: outbox::AGE_DEFAULT,
            when_full: WhenFull::Refuse,
        }
    }
}

/// How many dead letters may be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LetterBounds {
    /// Letters.
    pub letters_max: u32,
    /// Their bytes: payloads, names and reasons, and a little for each.
    pub bytes_max: u64,
    /// What then.
    pub when_full: WhenFull,
}

impl Default for LetterBounds {
    fn default() -> Self {
        let (letters_max, bytes_max) = (store::DEAD_LETTERS_MAX, store::DEAD_LETTER_BYTES_MAX);
        Self { letters_max, bytes_max, when_full: WhenFull::DropOldest }
    }
}
