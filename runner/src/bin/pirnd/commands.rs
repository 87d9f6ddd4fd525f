//! What each command does, and the exit status it ends with.

use std::fmt::Display;
use std::future::Future;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use pirn_runner::app::{App, AppFiles};
use pirn_runner::control::{self, Control, ControlSocket};
use pirn_runner::event::{Event, Happening};
use pirn_runner::log_files::LogFiles;
use pirn_runner::report::{Report, Reporter};
use pirn_runner::runner::{Runner, Until, check_chips};
use pirn_runner::state_folder::StateFolder;
use pirn_runner::status;
use pirn_runner::worlds::Outcome;
use pirn_triggers::gpio::{self, Chips, Edge};
use pirn_triggers::mqtt::Qos;
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Cause, Common, Invoke, Output, Payload, Status, Up};
use crate::log::Printer;

pub(crate) const FAILED: u8 = 1;
pub(crate) const WRONG_INPUT: u8 = 2;
const REFUSED: u8 = 3;
const FAULTED: u8 = 4;

/// Scheduler turns between looks at sockets and timers. tokio's default of 61 would let one busy
/// guest, 10 ms a slice, keep the network waiting for half a second.
const EVENT_INTERVAL: u32 = 3;

/// How long a stopping runner waits for its files to close, after everything else has ended: a slow
/// card's fsync. The farewells before it take four of the five seconds that SIGTERM grants.
const STORE_CLOSE_GRACE: Duration = Duration::from_millis(500);

/// Says what is wrong and gives the exit status for it.
pub(crate) fn wrong(error: &dyn Display) -> ExitCode {
    eprintln!("pirnd: {error}");
    ExitCode::from(WRONG_INPUT)
}

pub(crate) fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("pirnd: {error}");
    ExitCode::from(FAILED)
}

/// An app that is about to work, alone in its state folder.
struct Loaded {
    runner: Runner,
    reporter: Arc<dyn Reporter>,
    folder: StateFolder,
}

/// Takes the state folder before anything else is opened or connected, then loads the app. A second
/// `up`, and an `invoke` beside it, would write to the first one's files: both are refused.
fn load(common: Common) -> Result<Loaded, ExitCode> {
    let app = plan(&common.files)?;
    let bare = Printer::new(common.format, common.detail, None);
    let folder = StateFolder::claim(&app.state_dir, &bare).map_err(|error| wrong(&error))?;
    let files = app.log_dir.clone().map(LogFiles::new).transpose();
    let files = files.map_err(|error| wrong(&format!("log folder: {error}")))?;
    let reporter: Arc<dyn Reporter> = Arc::new(Printer::new(common.format, common.detail, files));
    for warning in &app.warnings {
        reporter.report(&Report::Warning(warning));
    }
    let runner = Runner::load(app, Arc::clone(&reporter)).map_err(|error| wrong(&error))?;
    Ok(Loaded { runner, reporter, folder })
}

pub(crate) fn plan(files: &AppFiles) -> Result<App, ExitCode> {
    App::load(files).map_err(|error| wrong(&error))
}

/// One thread for everything but fsync and the ticker.
pub(crate) fn on_the_loop(work: impl Future<Output = ExitCode>) -> ExitCode {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    match builder.enable_io().enable_time().event_interval(EVENT_INTERVAL).build() {
        Ok(runtime) => runtime.block_on(work),
        Err(error) => failed(&format!("the event loop does not start: {error}")),
    }
}

pub(crate) fn up(up: Up) -> ExitCode {
    let loaded = match load(up.common) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    let until = if up.once { Until::OneEvent } else { Until::Stopped };
    on_the_loop(run(loaded, until))
}

async fn run(loaded: Loaded, until: Until) -> ExitCode {
    let Loaded { runner, reporter, folder } = loaded;
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("signals: {error}")),
    };
    let outside = match runner.connect(&Chips::Kernel) {
        Ok(outside) => outside,
        Err(error) => return wrong(&error),
    };
    let status = status::Source::new(&runner, &outside);
    let control = Control { status, store: runner.store().clone() };
    let told = match ControlSocket::bind(&folder) {
        Ok(socket) => Some(tokio::spawn(socket.serve(Arc::new(control)))),
        Err(error) => {
            reporter.report(&Report::Warning(&format!("no control socket: {error}")));
            None
        }
    };
    let watched = tokio::spawn(watchdog());
    let app = runner.app();
    let note = format!("running {} on {}", app.name, app.board.name);
    reporter.report(&Report::Note(&note));
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&note)]);
    let stopping = async {
        stop.await;
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
    };
    runner.run(outside, stopping, until).await;
    // What is in its log is folded back, so that the next start has nothing to recover.
    let closed = tokio::time::timeout(STORE_CLOSE_GRACE, runner.store().close());
    if closed.await.is_err() {
        reporter.report(&Report::Warning(
            "the store takes long to close; what was answered is on the disk all the same",
        ));
    }
    if let Some(told) = told {
        told.abort();
    }
    watched.abort();
    reporter.report(&Report::Note("stopped"));
    ExitCode::SUCCESS
}

fn stop_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Tells systemd's watchdog that the loop turns, as often as it asks; never if it does not.
async fn watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    let mut beat = tokio::time::interval((period / 2).max(Duration::from_millis(100)));
    loop {
        beat.tick().await;
        let _ = sd_notify::notify(&[NotifyState::Watchdog]);
    }
}

pub(crate) fn verify(common: Common) -> ExitCode {
    let app = match plan(&common.files) {
        Ok(app) => app,
        Err(status) => return status,
    };
    let reporter: Arc<dyn Reporter> = Arc::new(Printer::new(common.format, common.detail, None));
    for warning in &app.warnings {
        reporter.report(&Report::Warning(warning));
    }
    match Runner::load(app, reporter) {
        Ok(runner) => {
            let app = runner.app();
            if let Err(error) = check_chips(&Chips::Kernel, &app.pins.chip_labels()) {
                return wrong(&error);
            }
            println!("{} is fine for {}: {}", app.name, app.board.name, runner.described());
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
    let Loaded { runner, folder: _folder, .. } = match load(invoke.common) {
        Ok(loaded) => loaded,
        Err(status) => return status,
    };
    on_the_loop(async {
        // Its lines, if it drives any; they are held until it is done.
        let lines = match runner.open_lines(&Chips::Kernel) {
            Ok(lines) => lines,
            Err(error) => return wrong(&error),
        };
        let outcome = runner.invoke(&invoke.component, &event).await;
        drop(lines);
        runner.close().await;
        let Some(outcome) = outcome else {
            let known: Vec<_> = runner.app().components.iter().map(|c| c.id.as_str()).collect();
            return wrong(&format!(
                "no component {:?}; there are: {}",
                invoke.component,
                known.join(", ")
            ));
        };
        println!("{outcome}");
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

/// For `ExecStopPost=`: a crashed runner leaves lines as they were.
pub(crate) fn safe_state(common: Common) -> ExitCode {
    let app = match plan(&common.files) {
        Ok(app) => app,
        Err(status) => return status,
    };
    let outputs: Vec<_> = app.pins.outputs.iter().map(|pin| pin.options.clone()).collect();
    match gpio::safe_state(&Chips::Kernel, &outputs) {
        Ok(()) => {
            let names: Vec<&str> = outputs.iter().map(|output| &*output.line.name).collect();
            println!("outputs at their safe levels: {}", names.join(", "));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            errors.iter().for_each(|error| eprintln!("pirnd: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

pub(crate) fn status(status: Status) -> ExitCode {
    let path = match status.socket {
        Some(path) => path,
        None => match plan(&status.common.files) {
            Ok(app) => control::socket_path(&app.state_dir),
            Err(status) => return status,
        },
    };
    let json = match control::ask_status(&path) {
        Ok(json) => json,
        Err(error) => {
            return failed(&format!("{}: {error}; does pirnd run there?", path.display()));
        }
    };
    let text = match status.output {
        Output::Json => json,
        Output::Table => match status::table(&json) {
            Some(table) => table,
            None => return failed(&"the answer is of another version of pirnd; try --format json"),
        },
    };
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}
