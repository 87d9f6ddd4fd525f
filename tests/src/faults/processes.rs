//! Other processes, looked at through `/proc`: what a program under test was started under goes with it.

use std::process::Command;

/// A process's state and its parent, in the kernel's words.
fn state_and_parent(id: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold spaces; behind it are the two.
    let mut behind = stat.rsplit_once(") ")?.1.split(' ');
    Some((behind.next()?.to_owned(), behind.next()?.parse().ok()?))
}

/// Whether a process has not ended; one that nobody waited for has.
#[must_use]
pub fn lives(id: u32) -> bool {
    state_and_parent(id).is_some_and(|(state, _)| state != "Z" && state != "X")
}

/// Processes that this one started, and that did not end yet.
#[must_use]
pub fn children_of(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().map_while(Result::ok);
    let ids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |id: &u32| state_and_parent(*id).is_some_and(|(_, of)| of == parent);
    ids.filter(is_child).collect()
}

/// Ends a process and what it started, with -9.
pub fn end(id: u32) {
    for id in children_of(id).into_iter().chain([id]) {
        let _ = Command::new("kill").args(["-KILL", &id.to_string()]).status();
    }
}
