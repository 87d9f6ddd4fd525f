//! A snapshot as people read it.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Broker, Disk, Line, Outbox, Snapshot};

/// A snapshot as a table for people; `None` if it is none of this version.
pub fn table(json: &str) -> Option<String> {
    let (snapshot, _) = serde_json_core::from_str::<Snapshot<'_>>(json).ok()?;
    let mut text = String::new();
    let Snapshot { app, board, version, pid, uptime_s, rss_kib, .. } = snapshot;
    let _ = writeln!(
        text,
        "{app} on {board}: pirnd {version}, process {pid}, up {uptime_s} s, {rss_kib} KiB resident"
    );
    if let Some(broker) = &snapshot.broker {
        let state = if broker.connected { "connected" } else { "NOT CONNECTED" };
        let Broker {
            address,
            received,
            redelivered,
            dropped,
            published,
            acknowledged,
            connects,
            ..
        } = broker;
        let _ = writeln!(
            text,
            "{address}: {state} ({connects} connects), received {received} ({redelivered} again), dropped {dropped}, published {published}, acknowledged {acknowledged}"
        );
        if broker.subscriptions_refused > 0 {
            let _ = writeln!(
                text,
                "! the broker refused {} subscriptions",
                broker.subscriptions_refused
            );
        }
    }
    for Line { name, way, level } in &snapshot.lines {
        let level = if level.is_empty() { "NOT THERE" } else { level };
        let _ = writeln!(text, "line {name} ({way}): {level}");
    }
    text.push_str(&snapshot.instances.shown("instances", ""));
    text.push_str(&snapshot.memory_kib.shown("memory of instances", "KiB"));
    sentences(&mut text, &snapshot);
    let width = snapshot.components.iter().map(|c| c.id.len()).max().unwrap_or(0).max(9);
    let _ = writeln!(
        text,
        "{:width$} {:8} {:>9} {:>9} {:>12} {:>8} {:>8} {:>8} {:>8} {:>11} {:>9}",
        "component",
        "code",
        "accepted",
        "delivered",
        "dead letters",
        "dropped",
        "pending",
        "refused",
        "faulted",
        "undelivered",
        "mean"
    );
    for c in &snapshot.components {
        let runs = (c.done + c.refused + c.faulted).max(1);
        let mean = Duration::from_micros(c.busy_us / runs);
        let _ = writeln!(
            text,
            "{:width$} {:8} {:>9} {:>9} {:>12} {:>8} {:>8} {:>8} {:>8} {:>11} {:>9}",
            c.id,
            c.code,
            c.accepted,
            c.delivered,
            c.dead_letters,
            c.dropped,
            c.pending,
            c.refused,
            c.faulted,
            c.undelivered,
            format!("{mean:.1?}")
        );
    }
    triggers(&mut text, &snapshot);
    if snapshot.components_total > snapshot.components.len() {
        let more = snapshot.components_total - snapshot.components.len();
        let _ = writeln!(text, "and {more} more");
    }
    Some(text)
}

/// What an operator should read before the table.
fn sentences(text: &mut String, snapshot: &Snapshot<'_>) {
    let Outbox { pending, on_disk, refused, dropped, expired, .. } = snapshot.outbox;
    if pending > 0 {
        let _ = writeln!(text, "outbox: {pending} publishes pending, {on_disk} of them on disk");
    }
    if refused + dropped + expired > 0 {
        let _ = writeln!(
            text,
            "! publishes that did not arrive: {refused} refused by a broker, {dropped} given up for newer ones, {expired} too old"
        );
    }
    let Disk { outbox_failures, unburied, waiting, letters_dropped, losses } = snapshot.disk;
    if letters_dropped > 0 {
        let _ = writeln!(text, "! {letters_dropped} dead letters gave way to newer ones");
    }
    if losses > 0 {
        let _ = writeln!(text, "! the disk lost something {losses} times; the log says what");
    }
    if waiting > 0 {
        let _ = writeln!(text, "{waiting} events wait on disk for components that do not keep up");
    }
    if outbox_failures > 0 {
        let _ = writeln!(
            text,
            "! the outbox cannot be written ({outbox_failures} times in a row); publishes wait in memory"
        );
    }
    if unburied > 0 {
        let _ = writeln!(
            text,
            "! {unburied} dead letters cannot be written; they are tried again, and not acknowledged until then"
        );
    }
}

/// The books of each trigger, where a component has more than one.
fn triggers(text: &mut String, snapshot: &Snapshot<'_>) {
    if snapshot.triggers_total <= snapshot.components_total {
        return;
    }
    let width = snapshot.triggers.iter().map(|t| t.id.len()).max().unwrap_or(0).max(7);
    let _ = writeln!(
        text,
        "{:width$} {:>9} {:>9} {:>12} {:>8} {:>8}",
        "trigger", "accepted", "delivered", "dead letters", "dropped", "pending"
    );
    for t in &snapshot.triggers {
        let dropped = t.dropped_no_room + t.dropped_coalesced + t.dropped_missed + t.dropped_gone;
        let _ = writeln!(
            text,
            "{:width$} {:>9} {:>9} {:>12} {:>8} {:>8}",
            t.id, t.accepted, t.delivered, t.dead_letters, dropped, t.pending
        );
    }
    if snapshot.triggers_total > snapshot.triggers.len() {
        let more = snapshot.triggers_total - snapshot.triggers.len();
        let _ = writeln!(text, "and {more} more");
    }
}
