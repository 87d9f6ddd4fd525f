//! What the store tells the operator, through whoever watches the runner; and what of it is counted.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::report::{Report, Reporter};

/// Who is told, if anybody.
#[derive(Default)]
pub(super) struct Notices {
    reporter: Option<Arc<dyn Reporter>>,
    /// Times that something was gone that had been on the disk.
    pub(super) losses: AtomicU64,
    /// Dead letters that gave way to newer ones.
    pub(super) letters_dropped: AtomicU64,
}

impl Notices {
    pub(super) fn to(reporter: Arc<dyn Reporter>) -> Self {
        Self { reporter: Some(reporter), ..Self::default() }
    }

    /// Something needs a look.
    pub(super) fn warn(&self, sentence: &str) {
        self.report(&Report::Warning(sentence));
    }

    /// Something is as it should be again.
    pub(super) fn note(&self, sentence: &str) {
        self.report(&Report::Note(sentence));
    }

    fn report(&self, report: &Report<'_>) {
        if let Some(reporter) = &self.reporter {
            reporter.report(report);
        }
    }
}

impl fmt::Debug for Notices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Notices").field("losses", &self.losses).finish_non_exhaustive()
    }
}
