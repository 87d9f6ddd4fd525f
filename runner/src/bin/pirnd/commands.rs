//! What each command does, and the exit status it ends with.

use std::fmt::Display;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pirn_runner::engine::outcome::Outcome;
use pirn_runner::flow::event::Event;
use pirn_runner::happening::Happening;
use pirn_runner::plan::{App, AppFiles, Purpose};
use pirn_runner::report::shown;
use pirn_runner::report::{Report, Reporter};
use pirn_runner::serve::at_work::Outside;
use pirn_runner::serve::control;
use pirn_runner::serve::log_files::LogFiles;
use pirn_runner::serve::readiness::check_folders;
use pirn_runner::serve::runner::{Runner, Until};
use pirn_runner::serve::status;
use pirn_runner::serve::tenant::{Claimed, Tenant};
use pirn_triggers::gpio::{Chips, Edge};
use pirn_triggers::mqtt::Qos;
use sd_notify::NotifyState;

use crate::args::{Cause, Common, Invoke, Output, Payload, Status, Up};
use crate::log::Printer;
use crate::ways_out::{on_the_loop, safe_on_panic, stop_signal};

pub(crate) const FAILED: u8 = 1;
pub(crate) const WRONG_INPUT: u8 = 2;
const REFUSED: u8 = 3;
const FAULTED: u8 = 4;

/// Says what is wrong and gives the exit status for it.
pub(crate) fn wrong(error: &dyn Display) -> ExitCode {
    say(error);
    ExitCode::from(WRONG_INPUT)
}

pub(crate) fn failed(error: &dyn Display) -> ExitCode {
    say(error);
    ExitCode::from(FAILED)
}

/// A file's key or a broker's sentence may be in it: text from outside.
pub(crate) fn say(error: &dyn Display) {
    eprintln!("pirnd: {}", shown::lines(&error.to_string()));
}

/// What was asked for, on stdout. `println!` would panic if nobody reads it.
pub(crate) fn answer(answer: &dyn Display) {
    let _ = writeln!(std::io::stdout(), "{}", shown::lines(&answer.to_string()));
}

/// Takes the state folder before anything else is opened or connected, then loads the app. A second
/// `up`, and an `invoke` beside it, would write to the first one's files: both are refused.
fn load(common: Common) -> Result<Tenant, ExitCode> {
    let app = runnable(&common.files)?;
    let bare = Printer::new(common.format, common.detail, None);
    let claimed = Claimed::claim(app, &bare).map_err(|error| wrong(&error))?;
    let app = claimed.app();
    let files = app.log_dir.clone().map(LogFiles::new).transpose();
    let files = files.map_err(|error| wrong(&format!("log folder: {error}")))?;
    let reporter: Arc<dyn Reporter> = Arc::new(Printer::new(common.format, common.detail, files));
    warn(app, &*reporter);
    claimed.load(reporter).map_err(|error| wrong(&error))
}

/// What works but should not stay so.
fn warn(app: &App, reporter: &dyn Reporter) {
    for warning in app.warnings.iter().chain(&app.exposed()) {
        reporter.report(&Report::Warning(warning));
    }
}

pub(crate) fn plan(files: &AppFiles) -> Result<App, ExitCode> {
    App::load(files).map_err(|error| wrong(&error))
}

/// The plan of an app that is to run, or would be.
fn runnable(files: &AppFiles) -> Result<App, ExitCode> {
    let app = plan(files)?;
    check_folders(&app).map_err(|error| wrong(&error))?;
    Ok(app)
}

/// Runs on the loop to the exit status.
pub(crate) fn run_loop(work: impl Future<Output = ExitCode>) -> ExitCode {
    let ended = on_the_loop(work);
    ended.unwrap_or_else(|error| failed(&format!("the event loop does not start: {error}")))
}

pub(crate) fn up(up: Up) -> ExitCode {
    let tenant = match load(up.common) {
        Ok(tenant) => tenant,
        Err(status) => return status,
    };
    let until = if up.once { Until::OneEvent } else { Until::Stopped };
    run_loop(run(tenant, until))
}

async fn run(tenant: Tenant, until: Until) -> ExitCode {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("signals: {error}")),
    };
    let stopping = async {
        stop.await;
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    };
    let watched = tokio::spawn(watchdog());
    let ready = |outside: &Outside| {
        let app = tenant.runner().app();
        let note = format!("running {} on {}", app.name, app.board.name);
        tenant.reporter().report(&Report::Note(&note));
        if let Some(routes) = outside.address().zip(app.http.as_ref()) {
            app.routes_shown(routes).lines().for_each(|line| answer(&line));
        }
        let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&note)]);
        safe_on_panic(outside.outputs())
    };
    if let Err(error) = tenant.serve(&Chips::Kernel, ready, stopping, until).await {
        return wrong(&error);
    }
    watched.abort();
    tenant.reporter().report(&Report::Note("stopped"));
    match tenant.runner().commands_failed() {
        true => ExitCode::from(FAILED),
        false => ExitCode::SUCCESS,
    }
}

/// Tells systemd's watchdog that the loop turns, as often as it asks; never if it does not.
pub(crate) async fn watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((period / 2).max(Duration::from_millis(100)));
    loop {
        beat.tick().await;
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

pub(crate) fn verify(common: Common) -> ExitCode {
    let app = match runnable(&common.files) {
        Ok(app) => app,
        Err(status) => return status,
    };
    let reporter: Arc<dyn Reporter> = Arc::new(Printer::new(common.format, common.detail, None));
    warn(&app, &*reporter);
    match Runner::examine(app, reporter) {
        Ok(runner) => {
            let app = runner.app();
            if let Err(error) = runner.verify(&Chips::Kernel) {
                return wrong(&error);
            }
            let (app, board) = (&app.name, &app.board.name);
            answer(&format!("{app} is fine for {board}: {}", runner.described()));
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error),
    }
}

pub(crate) fn invoke(invoke: Invoke) -> ExitCode {
    let event = match event(invoke.cause) {
        Ok(event) => event,
        Err(status) => return status,
    };
    // The folder stays taken until the end.
    let tenant = match load(invoke.common) {
        Ok(tenant) => tenant,
        Err(status) => return status,
    };
    let runner = tenant.runner();
    run_loop(async {
        let stop = match stop_signal() {
            Ok(stop) => stop,
            Err(error) => return failed(&format!("signals: {error}")),
        };
        // Its lines, if it drives any; they are held until it is done.
        let (inputs, outputs) = match runner.open_lines(&Chips::Kernel) {
            Ok(lines) => lines,
            Err(error) => return wrong(&error),
        };
        let _precaution = safe_on_panic(&outputs);
        let outcome = tokio::select! {
            outcome = runner.invoke(&invoke.component, &event) => Some(outcome),
            () = outputs.run() => None,
            () = stop => None,
        };
        outputs.stop();
        drop(inputs);
        runner.close().await;
        let Some(outcome) = outcome else {
            return failed(&"stopped before the component was done");
        };
        let Some(outcome) = outcome else {
            let known: Vec<_> = runner.app().components.iter().map(|c| c.id.as_str()).collect();
            return wrong(&format!(
                "no component {:?}; there are: {}",
                invoke.component,
                known.join(", ")
            ));
        };
        answer(&outcome);
        ExitCode::from(match outcome {
            Outcome::Done => 0,
            Outcome::Refused(_) => REFUSED,
            Outcome::Faulted(_) => FAULTED,
            Outcome::Undelivered(_) => FAILED,
        })
    })
}

fn event(cause: Cause) -> Result<Event, ExitCode> {
    let (source, what) = match cause {
        Cause::Message { topic, payload } => {
            let payload = read(payload)?.into();
            (topic, Happening::Message { payload, qos: Qos::AtLeastOnce })
        }
        Cause::Edge { line, edge } => {
            let (timestamp_ns, sequence, missed, epoch) = (0, 1, 0, 1);
            (line, Happening::Edge(Edge { edge, timestamp_ns, sequence, missed, epoch }))
        }
        Cause::Tick => ("--tick".into(), Happening::Tick),
        Cause::Run => ("--run".into(), Happening::Run),
        Cause::Time(timestamp) => ("--timestamp".into(), Happening::Time { timestamp }),
    };
    Ok(Event::local(source.into(), what, 1, Arc::default()))
}

fn read(payload: Payload) -> Result<Vec<u8>, ExitCode> {
    match payload {
        Payload::Given(bytes) => Ok(bytes),
        Payload::File(path) => {
            std::fs::read(&path).map_err(|error| wrong(&format!("{}: {error}", path.display())))
        }
    }
}

pub(crate) fn status(status: Status) -> ExitCode {
    if let Some(path) = status.socket {
        return show_status((&path, None), status.output);
    }
    match plan(&AppFiles { purpose: Purpose::Inspect, ..status.common.files }) {
        Ok(app) => {
            let (path, of) = control::reach(&app.state_dir);
            show_status((&path, of), status.output)
        }
        Err(status) => status,
    }
}

/// Asks at a socket, for one of several apps if it is named.
pub(crate) fn show_status((path, of): (&Path, Option<&str>), output: Output) -> ExitCode {
    let json = match control::ask_status(path, of) {
        Ok(json) => json,
        Err(error) => {
            return failed(&format!("{}: {error}; does pirnd run there?", path.display()));
        }
    };
    if let Some(end) = control::end(json.as_bytes()) {
        return failed(&end.error);
    }
    let text = match output {
        Output::Json => shown::json(&json).into_owned(),
        Output::Table => match status::table(&json) {
            Some(table) => shown::lines(&table).into_owned(),
            None => return failed(&"the answer is of another version of pirnd; try --format json"),
        },
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
