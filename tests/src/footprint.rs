//! What a process takes of its machine, as the kernel counts it: memory, descriptors, threads, wake-ups.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Memory of a process, in KiB; a page that several processes have counts for each with its share.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Footprint {
    /// All of it.
    pub pss_kib: u64,
    /// The same with shared pages counted in full: it does not grow when somebody else ends.
    pub rss_kib: u64,
    /// What is in no file: heap, stacks, memories of guests, code that was changed when it was loaded.
    pub anonymous_kib: u64,
    /// Pages of files: the program, compiled components.
    pub file_kib: u64,
    /// What nobody else has and no file could give back.
    pub private_dirty_kib: u64,
    /// What nobody else has: what its end would set free.
    pub private_kib: u64,
}

impl Footprint {
    /// Of a running process.
    ///
    /// # Panics
    /// If there is no such process, or it is not ours to look at.
    #[must_use]
    pub fn of(process: u32) -> Self {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup"));
        Self::parsed(&text.expect("a running process of ours"))
    }

    /// From the text of a `smaps_rollup`.
    #[must_use]
    pub fn parsed(text: &str) -> Self {
        let value = |name: &str| number(text, name).unwrap_or(0);
        Self {
            pss_kib: value("Pss"),
            rss_kib: value("Rss"),
            anonymous_kib: value("Pss_Anon"),
            file_kib: value("Pss_File"),
            private_dirty_kib: value("Private_Dirty"),
            private_kib: value("Private_Clean") + value("Private_Dirty"),
        }
    }
}

/// The number behind `NAME:`.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    rest?.split_whitespace().next()?.parse().ok()
}

fn entries(process: u32, folder: &str) -> impl Iterator<Item = fs::DirEntry> {
    fs::read_dir(format!("/proc/{process}/{folder}")).into_iter().flatten().flatten()
}

/// How many descriptors a process has open.
#[must_use]
pub fn descriptors(process: u32) -> usize {
    entries(process, "fd").count()
}

/// How many threads a process has.
#[must_use]
pub fn threads(process: u32) -> usize {
    entries(process, "task").count()
}

/// How often each thread of a process went to sleep of its own accord so far.
#[must_use]
pub fn sleeps(process: u32) -> BTreeMap<String, u64> {
    let of = |task: fs::DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let sleeps = number(&status, "voluntary_ctxt_switches")?;
        Some((task.file_name().to_string_lossy().into_owned(), sleeps))
    };
    entries(process, "task").filter_map(of).collect()
}

/// How often the threads that a process still has went to sleep meanwhile: each of these is a wake-up.
#[must_use]
pub fn wakes_within(process: u32, time: Duration) -> u64 {
    let before = sleeps(process);
    std::thread::sleep(time);
    let earlier = |thread: &String| before.get(thread).copied().unwrap_or(0);
    sleeps(process).iter().map(|(thread, sleeps)| sleeps - earlier(thread)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_summary_is_read_by_whole_names() {
        let text = "00400000-7fff [rollup]\nRss:  900 kB\nPss:  800 kB\nPss_Anon:  500 kB\n\
            Pss_File:  300 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  480 kB\n";
        let expected = Footprint {
            pss_kib: 800,
            rss_kib: 900,
            anonymous_kib: 500,
            file_kib: 300,
            private_dirty_kib: 480,
            private_kib: 580,
        };
        assert_eq!(Footprint::parsed(text), expected);
    }

    #[test]
    fn this_very_process_has_memory_descriptors_and_threads() {
        let own = std::process::id();
        assert!(Footprint::of(own).pss_kib > 0 && descriptors(own) > 2 && threads(own) > 0);
        assert!(wakes_within(own, Duration::from_millis(1)) > 0);
    }
}
