//! `pirnd serve`: several apps in one process; and `pirnd app`, which tells it what to do with them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use pirn_runner::report::shown;
use pirn_runner::report::{Report, Reporter};
use pirn_runner::serve::apps::{Apps, Change, Request};
use pirn_runner::serve::control::{self, ControlSocket, Format as Shape};
use pirn_runner::serve::log_files::LogFiles;
use pirn_runner::serve::shop::Process;
use pirn_runner::serve::tenants::{AppSet, Tenants};
use pirn_runner::store::folder::StateFolder;
use pirn_triggers::gpio::Chips;
use sd_notify::NotifyState;

use crate::args::{Common, Output};
use crate::commands::{self, failed, run_loop, watchdog, wrong};
use crate::log::Printer;
use crate::ways_out::{on_panic, stop_signal};

/// Where a process that serves apps keeps its state, if nothing is said.
pub(crate) const STATE_DIR: &str = "/var/lib/pirn";

/// What `serve` is given.
#[derive(Default)]
pub(crate) struct Serve {
    pub(crate) common: Common,
    pub(crate) apps: Option<PathBuf>,
}

/// What `app` is given.
pub(crate) struct App {
    pub(crate) wish: Wish,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) output: Output,
}

/// What is to be done with an app.
pub(crate) enum Wish {
    /// Asked of the process.
    Change { change: Change, name: Option<String>, path: Option<PathBuf> },
    /// Asked of the app itself.
    Status(String),
}

fn state_dir(given: Option<&Path>) -> PathBuf {
    given.unwrap_or(Path::new(STATE_DIR)).to_owned()
}

pub(crate) fn serve(serve: Serve) -> ExitCode {
    let Serve { common: Common { files, format, detail }, apps } = serve;
    let (files, known) = match files.read_once() {
        Ok(read) => read,
        Err(error) => return wrong(&error),
    };
    let root = state_dir(files.state_dir.as_deref());
    let reporter: Arc<dyn Reporter> = Arc::new(Printer::new(format, detail, None));
    let folder = match StateFolder::claim(&root, &*reporter) {
        Ok(folder) => folder,
        Err(error) => return wrong(&error),
    };
    let set = match AppSet::open(apps.unwrap_or_else(|| root.join("apps"))) {
        Ok(set) => set,
        Err(error) => return wrong(&error),
    };
    let make = move |files: Option<LogFiles>| -> Arc<dyn Reporter> {
        Arc::new(Printer::new(format, detail, files))
    };
    let process = Process::for_board(&known.board, &root);
    let tenants = Tenants::new(set, &root, files, process, Chips::Kernel, Arc::new(make));
    run_loop(run(tenants, folder, reporter))
}

async fn run(tenants: Arc<Tenants>, folder: StateFolder, reporter: Arc<dyn Reporter>) -> ExitCode {
    let stop = match stop_signal() {
        Ok(stop) => stop,
        Err(error) => return failed(&format!("signals: {error}")),
    };
    // Nobody can change what runs without it.
    let socket = match ControlSocket::bind(&folder) {
        Ok(socket) => socket,
        Err(error) => return failed(&format!("no control socket: {error}")),
    };
    let all = Arc::clone(&tenants);
    let _precaution = on_panic(move || all.make_lines_safe());
    let (running, of) = match tenants.start_all().await {
        Ok(counts) => counts,
        Err(error) => return wrong(&error),
    };
    let told = tokio::spawn(socket.serve(Arc::new(Apps(Arc::clone(&tenants)))));
    let watched = tokio::spawn(watchdog());
    let note = format!("serving: {running} of {of} apps run");
    reporter.report(&Report::Note(&note));
    let _ = sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(&note)]);
    stop.await;
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    told.abort();
    tenants.close().await;
    watched.abort();
    reporter.report(&Report::Note("stopped"));
    ExitCode::SUCCESS
}

pub(crate) fn app(app: App) -> ExitCode {
    let root = state_dir(app.state_dir.as_deref());
    let (change, name, path) = match app.wish {
        Wish::Change { change, name, path } => (change, name, path),
        Wish::Status(name) => {
            return commands::show_status((&control::socket_path(&root), Some(&name)), app.output);
        }
    };
    // As it is called from everywhere: the process is elsewhere.
    let path = match path.map(|path| path.canonicalize().map_err(|error| (path, error))).transpose()
    {
        Ok(path) => path,
        Err((path, error)) => return wrong(&format!("{}: {error}", path.display())),
    };
    let path = match path.as_deref().map(|path| path.to_str().ok_or(path)).transpose() {
        Ok(path) => path,
        Err(path) => return wrong(&format!("{}: a path that is no text", path.display())),
    };
    let format = match app.output {
        Output::Table => Shape::Table,
        Output::Json => Shape::Json,
    };
    let request = Request { change, format, name: name.as_deref(), path };
    let socket = control::socket_path(&root);
    let print = |line: &[u8]| {
        let text = String::from_utf8_lossy(line);
        std::io::stdout().write_all(shown::lines(&text).as_bytes())
    };
    match control::ask(&socket, &request, print) {
        Ok(end) if end.error.is_empty() => ExitCode::SUCCESS,
        Ok(end) => failed(&end.error),
        Err(error) => {
            failed(&format!("{}: {error}; does `pirnd serve` run there?", socket.display()))
        }
    }
}
