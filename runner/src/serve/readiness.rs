//! Everything that can be wrong with an app on this device, found before it runs: `up` goes this way
//! and then connects, `verify` goes it and stops. One way for both, so that they cannot disagree.
//!
//! What only the outside can say (whether the broker answers, whether a line is free) is not asked here.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Arc;

use pirn_triggers::gpio::{Chips, Outputs};
use pirn_triggers::mqtt::Session;
use pirn_triggers::time::{ClockNotice, First, Interval, Rule, Schedule, WallClock};
use rustix::fs::{Access, access};

use crate::files::board::Board;
use crate::files::manifest::FirstTick;
use crate::host::brokers::options::options;
use crate::limits::serve::TOPICS_MAX;
use crate::plan::{App, TriggerPlan, TriggerPlanKind};
use crate::report::{Nobody, Report, Reporter};
use crate::serve::loading::LoadAppError;
use crate::serve::session;

/// Checks what can be checked and makes what can be made. Must be called inside a tokio runtime;
/// makes no folder, writes no file, opens no line.
pub(crate) fn ready(app: &App, chips: &Chips) -> Result<(), LoadAppError> {
    check_chips(chips, &app.pins.chip_labels())?;
    let outputs: Vec<_> = app.pins.outputs.iter().map(|pin| pin.options.clone()).collect();
    Outputs::check(&outputs).map_err(|error| LoadAppError::Chips(error.to_string()))?;
    check_topics(app)?;
    check_timers(app)
}

/// One app must not take all subscriptions of a connection that it may share.
fn check_topics(app: &App) -> Result<(), LoadAppError> {
    let topics: BTreeSet<&str> = app.triggers.iter().filter_map(topic).collect();
    if topics.len() > TOPICS_MAX {
        return Err(LoadAppError::Session(format!(
            "{} subscriptions are more than the {TOPICS_MAX} that one app may have",
            topics.len()
        )));
    }
    Ok(())
}

/// Whether the app's connection with its broker could be begun.
fn check_session(app: &App, reporter: &Arc<dyn Reporter>) -> Result<(), LoadAppError> {
    let Some(plan) = &app.broker else { return Ok(()) };
    let known = session::known_client_id(app).map_err(LoadAppError::Session)?;
    let client_id = known.unwrap_or_else(|| format!("{}-0", app.name));
    let started = Session::start(options(app, plan, client_id, Arc::clone(reporter)));
    started.map(drop).map_err(|error| LoadAppError::Session(error.to_string()))
}

fn topic(trigger: &TriggerPlan) -> Option<&str> {
    match &trigger.kind {
        TriggerPlanKind::Mqtt { topic, .. } => Some(topic.as_str()),
        _ => None,
    }
}

/// Whether `up` would get as far as connecting. Nothing is started, because the loop never turns.
pub(crate) fn verify(
    app: &App,
    chips: &Chips,
    reporter: &Arc<dyn Reporter>,
) -> Result<(), LoadAppError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| LoadAppError::Schedule(error.to_string()))?;
    let inside = runtime.enter();
    let result = ready(app, chips).and_then(|()| check_session(app, reporter));
    drop(inside);
    runtime.shutdown_background();
    result
}

/// Whether the folders that the runner writes to are there and writable, or can be made: asked before
/// anything else, because the rest writes to them.
pub fn check_folders(app: &App) -> Result<(), LoadAppError> {
    let state = |error| LoadAppError::State { path: app.state_dir.clone(), error };
    writable(&app.state_dir).map_err(state)?;
    let Some(logs) = &app.log_dir else { return Ok(()) };
    writable(logs).map_err(|error| LoadAppError::Logs { path: logs.clone(), error })
}

fn writable(folder: &Path) -> io::Result<()> {
    for there in folder.ancestors() {
        let there = if there == Path::new("") { Path::new(".") } else { there };
        match std::fs::metadata(there) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(metadata) if !metadata.is_dir() => return Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => return Ok(access(there, Access::WRITE_OK | Access::EXEC_OK)?),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// Every chip that the app's lines are on must be there, and ours to open.
pub(crate) fn check_chips(chips: &Chips, labels: &[&str]) -> Result<(), LoadAppError> {
    chips.check(labels).map_err(|faults| {
        let sentences: Vec<String> = faults.iter().map(ToString::to_string).collect();
        LoadAppError::Chips(sentences.join("\n"))
    })
}

/// Whether its timers and times of the day could run.
fn check_timers(app: &App) -> Result<(), LoadAppError> {
    let rules: Vec<Rule> = app.triggers.iter().filter_map(|trigger| rule(&trigger.kind)).collect();
    let reporter: Arc<dyn Reporter> = Arc::new(Nobody);
    match rules.is_empty() {
        true => Ok(()),
        false => schedule_of(rules, &app.board, &reporter).map(drop),
    }
}

/// A schedule on the system's clock; times of the day come once that can be believed.
pub(crate) fn schedule_of(
    rules: Vec<Rule>,
    board: &Board,
    reporter: &Arc<dyn Reporter>,
) -> Result<Schedule, LoadAppError> {
    let build = crate::limits::time::CLOCK_NOT_BEFORE;
    let not_before = board.clock_not_before.unwrap_or(build).max(build);
    let clock = WallClock::system(not_before);
    let clock = clock.map_err(|error| LoadAppError::Schedule(format!("the clock: {error}")))?;
    let schedule = Schedule::new(rules, clock);
    let schedule = schedule.map_err(|error| LoadAppError::Schedule(error.to_string()))?;
    let reporter = Arc::clone(reporter);
    Ok(schedule.on_notice(move |notice| {
        let sentence = notice.to_string();
        reporter.report(&match notice {
            ClockNotice::Believed { .. } => Report::Note(&sentence),
            _ => Report::Warning(&sentence),
        });
    }))
}

/// The rule of a trigger, if time is what fires it. Ticks name rules by their place among these.
pub(crate) fn rule(kind: &TriggerPlanKind) -> Option<Rule> {
    Some(match kind {
        TriggerPlanKind::Timer { interval, first, jitter } => Rule::Interval(Interval {
            every: *interval,
            first: match first {
                FirstTick::AtOnce => First::AtOnce,
                FirstTick::AfterInterval => First::AfterInterval,
            },
            jitter: *jitter,
        }),
        TriggerPlanKind::Cron { cron, .. } => Rule::Cron((**cron).clone()),
        TriggerPlanKind::Mqtt { .. }
        | TriggerPlanKind::Gpio { .. }
        | TriggerPlanKind::Http { .. }
        | TriggerPlanKind::Command
        | TriggerPlanKind::Redis { .. } => return None,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_cannot_be_written_to_is_known_before_anything_runs() {
        let outer = tempfile::tempdir().unwrap();
        let at = |path: &str| outer.path().join(path);
        std::fs::write(at("file"), "").unwrap();
        assert!(writable(outer.path()).is_ok());
        assert!(writable(&at("not/there/yet")).is_ok());
        for path in [at("file"), at("file/below")] {
            assert!(writable(&path).is_err(), "{path:?}");
        }
    }

    #[tokio::test]
    async fn timers_that_cannot_run_are_an_error_and_not_a_warning() {
        let every = std::time::Duration::from_secs(1);
        let rule = || {
            let (first, jitter) = (First::AtOnce, Default::default());
            Rule::Interval(Interval { every, first, jitter })
        };
        let reporter: Arc<dyn Reporter> = Arc::new(crate::report::Nobody);
        let board = Board::shipped("pi-zero").unwrap();
        assert!(schedule_of(vec![rule(); 10], &board, &reporter).is_ok());
        let error = schedule_of(vec![rule(); 16 * 1024 + 1], &board, &reporter).err().unwrap();
        let sentence = error.to_string();
        assert!(sentence.starts_with("timers and cron cannot run: 16385 rules"), "{sentence}");
    }
}
