//! `pirnd dead-letters`: asks the running process by its socket. If none runs, the command takes the state
//! folder for itself and does the same there; what is marked to be tried again then waits for the next start.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pirn_runner::report::Reporter;
use pirn_runner::serve::control::{self, Answers, End, Format, Request, Verb};
use pirn_runner::store::folder::StateFolder;
use pirn_runner::store::{Layout, Store};

use crate::args::{DeadLetters, Detail, Output};
use crate::commands::{failed, plan, run_loop, wrong};
use crate::log::Printer;

pub(crate) fn run(letters: DeadLetters) -> ExitCode {
    let folder = match state_folder(&letters) {
        Ok(folder) => folder,
        Err(status) => return status,
    };
    let mut sink = match Sink::open(letters.file.as_deref()) {
        Ok(sink) => sink,
        Err(error) => return failed(&format!("{}: {error}", shown(letters.file.as_deref()))),
    };
    let (socket, of) = control::reach(&folder);
    let request = Request { of, ..request(&letters, SystemTime::now()) };
    let ended = match control::ask(&socket, &request, |line| sink.write(line)) {
        Err(error) if nobody_is_there(&error) => on_stopped(&letters, &folder, request, &mut sink),
        result => result.map_err(|error| failed(&format!("{}: {error}", folder.display()))),
    };
    let is_whole = ended.as_ref().is_ok_and(|end| end.error.is_empty());
    if let Err(error) = sink.close(is_whole) {
        return failed(&format!("{}: {error}", shown(letters.file.as_deref())));
    }
    match ended {
        Ok(end) if end.error.is_empty() => ExitCode::SUCCESS,
        Ok(end) => failed(&end.error),
        Err(status) => status,
    }
}

/// `--state-dir` needs no app beside it: on a board the folder may be all that is left.
fn state_folder(letters: &DeadLetters) -> Result<PathBuf, ExitCode> {
    match &letters.common.files.state_dir {
        Some(folder) => Ok(folder.clone()),
        None => Ok(plan(&letters.common.files)?.state_dir),
    }
}

fn request(letters: &DeadLetters, now: SystemTime) -> Request<'_> {
    let now = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    let before = |age: Option<Duration>| age.map(|age| now.saturating_sub(age).as_secs());
    Request {
        format: match letters.output {
            Output::Table => Format::Table,
            Output::Json => Format::Json,
        },
        id: letters.id,
        component: letters.component.as_deref(),
        until: before(letters.older_than),
        since: before(letters.newer_than),
        ..Request::new(letters.verb)
    }
}

/// No socket, or one that a killed process left.
fn nobody_is_there(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused)
}

fn on_stopped(
    letters: &DeadLetters,
    folder: &Path,
    request: Request<'_>,
    sink: &mut Sink,
) -> Result<End, ExitCode> {
    // A listing must not make a folder where somebody has mistyped one.
    if !folder.is_dir() {
        return Err(failed(&format!(
            "{}: no app has kept anything there; --state-dir names another folder",
            folder.display()
        )));
    }
    let reporter: Arc<dyn Reporter> =
        Arc::new(Printer::new(letters.common.format, Detail::Usual, None));
    let claimed = StateFolder::claim(folder, &*reporter).map_err(|error| wrong(&error))?;
    let layout = Layout { state_dir: claimed.path().to_owned(), ..Layout::default() };
    let store = Store::start_reporting(layout, reporter).map_err(|error| failed(&error))?;
    let mut end = Err(io::Error::from(ErrorKind::UnexpectedEof));
    run_loop(async {
        end = answer(&store, request, sink).await;
        store.close().await;
        ExitCode::SUCCESS
    });
    if request.verb == Verb::Retry && end.as_ref().is_ok_and(|end| end.letters > 0) {
        eprintln!("pirnd: the app does not run; they are tried when it starts");
    }
    end.map_err(|error| failed(&error))
}

/// What the running process would have answered.
async fn answer(store: &Store, request: Request<'_>, sink: &mut Sink) -> io::Result<End> {
    let mut answers = Answers::new(store, request);
    while let Some(lines) = answers.next().await {
        for line in lines.split_inclusive('\n') {
            match control::end(line.as_bytes()) {
                Some(end) => return Ok(end),
                None => sink.write(line.as_bytes())?,
            }
        }
    }
    Err(ErrorKind::UnexpectedEof.into())
}

fn shown(file: Option<&Path>) -> String {
    file.map_or_else(|| "stdout".into(), |file| file.display().to_string())
}

/// Where lines go. A file is there whole under its name, or not at all.
enum Sink {
    Out(io::BufWriter<io::Stdout>),
    File { file: io::BufWriter<File>, under_way: PathBuf, path: PathBuf },
}

impl Sink {
    /// What is exported may be anybody's measurements: for this user only.
    fn open(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Out(io::BufWriter::new(io::stdout()))) };
        let mut name = path.file_name().ok_or(ErrorKind::InvalidInput)?.to_owned();
        name.push(".new");
        let under_way = path.with_file_name(name);
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true).mode(0o600).open(&under_way)?;
        Ok(Self::File { file: io::BufWriter::new(file), under_way, path: path.into() })
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Out(out) => out.write_all(line),
            Self::File { file, .. } => file.write_all(line),
        }
    }

    fn close(&mut self, is_whole: bool) -> io::Result<()> {
        match self {
            Self::Out(out) => out.flush(),
            Self::File { under_way, .. } if !is_whole => std::fs::remove_file(under_way),
            Self::File { file, under_way, path } => {
                file.flush()?;
                file.get_ref().sync_all()?;
                std::fs::rename(under_way, path)
            }
        }
    }
}
