//! A host for the tests of this folder: nothing granted but what a test adds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::Grant;
use crate::files::config::Rate;
use crate::files::manifest::Hosts;
use crate::host::log::Log;
use crate::host::{Grants, Host, locked};
use crate::report::{Report, Reporter};

/// Remembers what the guest wrote.
#[derive(Default)]
pub(super) struct Lines(Mutex<Vec<String>>);

impl Lines {
    pub(super) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *locked(&self.0))
    }
}

impl Reporter for Lines {
    fn report(&self, report: &Report<'_>) {
        if let Report::Log { stream, line, .. } = report {
            locked(&self.0).push(format!("{stream:?}: {line}"));
        }
    }
}

/// A host to which nothing is granted.
pub(super) fn host() -> Host {
    host_with(Grant::default(), Hosts::default()).0
}

/// A host with these grants, and the lines that it logs.
pub(super) fn host_with(wasi: Grant, hosts: Hosts) -> (Host, Arc<Lines>) {
    let lines = Arc::new(Lines::default());
    let reporter: Arc<dyn Reporter> = lines.clone();
    let rate = Rate { events: 1_000, period: Duration::from_secs(1) };
    let log = Log::new("test", rate, Arc::clone(&reporter));
    let grants = Grants { hosts, wasi, log, reporter, ..Grants::none("test").unwrap() };
    (Host::new(Arc::new(grants)), lines)
}
