//! How a process with several apps is as a whole: who runs, and what of the board's budget is in use.

use serde::{Deserialize, Serialize};

use super::control::Format;

/// The numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Overview {
    /// Apps of the set.
    pub apps: usize,
    /// Those that run.
    pub running: usize,
    /// Memory of instances, in KiB: what those that live may take.
    pub instances_kib: Used,
    /// Memory of code that is at hand, in KiB.
    pub code_kib: Used,
    /// Open databases.
    pub databases: Used,
    /// Connections with brokers.
    pub connections: usize,
}

/// How much of something is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Used {
    /// Now.
    pub now: u64,
    /// The most there ever was, where that is known.
    pub most: u64,
    /// All there is.
    pub of: u64,
}

/// Characters of a bar.
const BAR: u64 = 32;

impl Overview {
    /// For people, or as a line of JSON.
    pub fn shown(&self, format: Format) -> String {
        match format {
            Format::Table => self.table(),
            Format::Json => self.json(),
        }
    }

    fn json(&self) -> String {
        // Every number has twenty digits at most.
        let mut buffer = [0; 1024];
        let written = serde_json_core::to_slice(self, &mut buffer).unwrap_or(0);
        String::from_utf8_lossy(&buffer[..written]).into_owned() + "\n"
    }

    fn table(&self) -> String {
        let Self { apps, running, connections, .. } = self;
        let rows = [
            ("memory of instances", self.instances_kib, "KiB"),
            ("code at hand", self.code_kib, "KiB"),
            ("databases open", self.databases, ""),
        ];
        let row = |(what, used, unit): (&str, Used, &str)| used.shown(what, unit);
        let head =
            format!("{running} of {apps} apps run, {connections} connections with brokers\n");
        rows.into_iter().map(row).fold(head, |text, row| text + &row)
    }
}

impl Used {
    /// A line of a table.
    pub(super) fn shown(self, what: &str, unit: &str) -> String {
        let Self { now, of, .. } = self;
        format!("{what:20} {}  {now} of {of} {unit}", self.bar()).trim_end().to_owned() + "\n"
    }

    /// `#` is in use now, `-` was in use once.
    fn bar(self) -> String {
        let part = |number: u64| (number.min(self.of) * BAR).div_ceil(self.of.max(1));
        let (now, most) = (part(self.now), part(self.most.max(self.now)));
        let mark = |at| match at {
            at if at < now => '#',
            at if at < most => '-',
            _ => '.',
        };
        (0..BAR).map(mark).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_drawn_and_written_for_programs() {
        let used = |now, most, of| Used { now, most, of };
        let overview = Overview {
            apps: 50,
            running: 48,
            instances_kib: used(1024, 4096, 8192),
            code_kib: used(0, 0, 4096),
            databases: used(32, 32, 32),
            connections: 2,
        };
        assert_eq!(
            overview.shown(Format::Table),
            "48 of 50 apps run, 2 connections with brokers\n\
             memory of instances  ####------------................  1024 of 8192 KiB\n\
             code at hand         ................................  0 of 4096 KiB\n\
             databases open       ################################  32 of 32\n"
        );
        assert_eq!(
            overview.shown(Format::Json),
            "{\"apps\":50,\"running\":48,\"instances_kib\":{\"now\":1024,\"most\":4096,\"of\":8192},\
             \"code_kib\":{\"now\":0,\"most\":0,\"of\":4096},\
             \"databases\":{\"now\":32,\"most\":32,\"of\":32},\"connections\":2}\n"
        );
    }
}
