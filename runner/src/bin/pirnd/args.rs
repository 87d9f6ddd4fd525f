//! pirnd's command line. Flags that Spin has keep Spin's names.

mod help;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use lexopt::{Arg, Parser, ValueExt};
use pirn_runner::plan::{AppFiles, PortChoice};
use pirn_runner::serve::control::Verb;
use pirn_triggers::gpio::EdgeKind;
use pirn_triggers::http::TlsFiles;

use pirn_runner::serve::apps::Change;

use crate::log::Format;
use crate::serve::{App, Serve, Wish};
use values::{duration, edge, log_format, output, pair};

pub(crate) use help::HELP;

pub(crate) enum Command {
    Help,
    Version,
    Up(Up),
    Serve(Serve),
    App(App),
    Verify(Common),
    Invoke(Invoke),
    SafeState(Common, Option<PathBuf>),
    Status(Status),
    DeadLetters(DeadLetters),
}

/// What all commands that load an app share.
#[derive(Default)]
pub(crate) struct Common {
    pub(crate) files: AppFiles,
    pub(crate) format: Format,
    pub(crate) detail: Detail,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Detail {
    /// What went wrong, and the runner's own life; not what components write.
    Quiet,
    /// Also what components write.
    #[default]
    Usual,
    /// Also every event.
    Verbose,
}

#[derive(Default)]
pub(crate) struct Up {
    pub(crate) common: Common,
    pub(crate) once: bool,
}

pub(crate) struct Invoke {
    pub(crate) common: Common,
    pub(crate) component: String,
    pub(crate) cause: Cause,
}

/// The event that a component is to be handed.
pub(crate) enum Cause {
    Message { topic: String, payload: Payload },
    Edge { line: String, edge: EdgeKind },
    Tick,
    Time(u64),
    Run,
}

pub(crate) enum Payload {
    Given(Vec<u8>),
    File(PathBuf),
}

#[derive(Default)]
pub(crate) struct Status {
    pub(crate) common: Common,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Output {
    #[default]
    Table,
    Json,
}

pub(crate) struct DeadLetters {
    pub(crate) common: Common,
    pub(crate) verb: Verb,
    pub(crate) id: Option<i64>,
    pub(crate) component: Option<String>,
    pub(crate) older_than: Option<Duration>,
    pub(crate) newer_than: Option<Duration>,
    pub(crate) output: Output,
    pub(crate) file: Option<PathBuf>,
}

/// Everything that may stand on the line, before it is known whether it belongs together.
#[derive(Default)]
struct Words {
    positional: Vec<String>,
    common: Common,
    from: Option<PathBuf>,
    once: bool,
    topic: Option<String>,
    payload: Option<Payload>,
    line: Option<String>,
    edge: Option<EdgeKind>,
    tick: bool,
    run: bool,
    timestamp: Option<u64>,
    socket: Option<PathBuf>,
    output: Option<Output>,
    letters: Letters,
    apps: Option<PathBuf>,
    name: Option<String>,
    tls: (Option<PathBuf>, Option<PathBuf>),
}

/// What may be said about dead letters.
#[derive(Default)]
struct Letters {
    all: bool,
    component: Option<String>,
    older_than: Option<Duration>,
    newer_than: Option<Duration>,
    file: Option<PathBuf>,
}

impl Letters {
    /// Whether it is said which letters are meant.
    fn is_pick(&self) -> bool {
        self.all
            || self.component.is_some()
            || self.older_than.is_some()
            || self.newer_than.is_some()
    }

    fn is_empty(&self) -> bool {
        !self.is_pick() && self.file.is_none()
    }
}

pub(crate) fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Command, lexopt::Error> {
    let mut parser = Parser::from_iter(args);
    let mut words = Words::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Command::Help),
            Arg::Short('V') | Arg::Long("version") => return Ok(Command::Version),
            Arg::Value(value) => words.positional.push(value.string()?),
            Arg::Short('v') | Arg::Long("verbose") => words.common.detail = Detail::Verbose,
            Arg::Short('q') | Arg::Long("quiet") => words.common.detail = Detail::Quiet,
            Arg::Long("once") => words.once = true,
            Arg::Short('f') | Arg::Long("from") => words.from = Some(parser.value()?.into()),
            Arg::Long("topic") => words.topic = Some(parser.value()?.string()?),
            Arg::Long("payload") => {
                words.payload = Some(Payload::Given(parser.value()?.into_encoded_bytes()));
            }
            Arg::Long("payload-file") => {
                words.payload = Some(Payload::File(parser.value()?.into()));
            }
            Arg::Long("line") => words.line = Some(parser.value()?.string()?),
            Arg::Long("edge") => words.edge = Some(parser.value()?.parse_with(edge)?),
            Arg::Long("tick") => words.tick = true,
            Arg::Long("run") => words.run = true,
            Arg::Long("timestamp") => words.timestamp = Some(parser.value()?.parse()?),
            Arg::Long("socket") => words.socket = Some(parser.value()?.into()),
            Arg::Long("format") => words.output = Some(parser.value()?.parse_with(output)?),
            Arg::Long("apps") => words.apps = Some(parser.value()?.into()),
            Arg::Long("name") => words.name = Some(parser.value()?.string()?),
            Arg::Long("all") => words.letters.all = true,
            Arg::Long("component") => words.letters.component = Some(parser.value()?.string()?),
            Arg::Long("older-than") => {
                words.letters.older_than = Some(parser.value()?.parse_with(duration)?);
            }
            Arg::Long("newer-than") => {
                words.letters.newer_than = Some(parser.value()?.parse_with(duration)?);
            }
            Arg::Short('o') | Arg::Long("output") => {
                words.letters.file = Some(parser.value()?.into());
            }
            Arg::Long("log-format") => {
                words.common.format = parser.value()?.parse_with(log_format)?;
            }
            Arg::Short('e') | Arg::Long("env") => {
                let pair = parser.value()?.parse_with(pair)?;
                words.common.files.guest_environment.push(pair);
            }
            Arg::Long("variable") => {
                words.common.files.variables.push(parser.value()?.parse_with(pair)?);
            }
            Arg::Long("listen") => words.common.files.listen = Some(parser.value()?.parse()?),
            Arg::Long("tls-cert") => words.tls.0 = Some(parser.value()?.into()),
            Arg::Long("tls-key") => words.tls.1 = Some(parser.value()?.into()),
            Arg::Long("find-free-port") => words.common.files.port = PortChoice::NextFree,
            Arg::Long("board") => words.common.files.board = Some(parser.value()?.string()?),
            Arg::Long("profile") => words.common.files.profile = Some(parser.value()?.string()?),
            Arg::Long("runtime-config-file") => {
                words.common.files.runtime_config = Some(parser.value()?.into());
            }
            Arg::Long("state-dir") => words.common.files.state_dir = Some(parser.value()?.into()),
            Arg::Short('L') | Arg::Long("log-dir") => {
                words.common.files.log_dir = Some(parser.value()?.into());
            }
            other => return Err(other.unexpected()),
        }
    }
    command(words)
}

/// Puts the words of one command together; words of another command are an error.
fn command(mut words: Words) -> Result<Command, lexopt::Error> {
    let mut positional = std::mem::take(&mut words.positional).into_iter();
    let Some(name) = positional.next() else { return Ok(Command::Help) };
    let component = match name.as_str() {
        "invoke" => Some(positional.next().ok_or("invoke needs the name of a component")?),
        _ => None,
    };
    let verb = (name == "dead-letters").then(|| verb(positional.next())).transpose()?;
    let id = match (verb, words.letters.is_pick()) {
        (Some(Verb::Show), _) | (Some(Verb::Retry | Verb::Drop), false) => {
            Some(id(positional.next())?)
        }
        _ => None,
    };
    let wish = (name == "app").then(|| wish(&mut positional, words.name.take())).transpose()?;
    let path = positional.next().map(PathBuf::from);
    if name == "serve" && (path.is_some() || words.from.is_some()) {
        return Err("serve runs the apps of a folder: --apps DIR; `pirnd up PATH` runs one".into());
    }
    if let Some(more) = positional.next() {
        return Err(format!("unexpected word {more:?}").into());
    }
    let manifest = words.from.take().or(path).unwrap_or_else(|| PathBuf::from("."));
    words.common.files.manifest = manifest;
    words.common.files = std::mem::take(&mut words.common.files).with_process_environment();
    words.only_for(&name)?;
    words.common.files.tls = words.tls()?;
    Ok(match (name.as_str(), component) {
        ("up", _) => Command::Up(Up { common: words.common, once: words.once }),
        ("serve", _) => Command::Serve(Serve { common: words.common, apps: words.apps }),
        ("app", _) => Command::App(App {
            wish: wish.ok_or("app: what about it?")?,
            state_dir: words.common.files.state_dir,
            output: words.output.unwrap_or_default(),
        }),
        ("verify", _) => Command::Verify(words.common),
        ("invoke", Some(component)) => {
            let cause = words.cause()?;
            Command::Invoke(Invoke { common: words.common, component, cause })
        }
        ("safe-state", _) => Command::SafeState(words.common, words.apps),
        ("status", _) => Command::Status(Status {
            common: words.common,
            socket: words.socket,
            output: words.output.unwrap_or_default(),
        }),
        ("dead-letters", _) => Command::DeadLetters(words.dead_letters(verb, id)?),
        (other, _) => {
            let known = "up, serve, app, verify, invoke, safe-state, status, dead-letters";
            return Err(format!("unknown command {other:?}; known are {known}").into());
        }
    })
}

impl Words {
    /// The one event that the options describe.
    fn cause(&mut self) -> Result<Cause, lexopt::Error> {
        let message = self.topic.take().map(|topic| {
            let payload = self.payload.take().ok_or("--topic needs --payload or --payload-file")?;
            Ok(Cause::Message { topic, payload })
        });
        let edge = self.line.take().map(|line| {
            let edge = self.edge.take().ok_or("--line needs --edge rising or --edge falling")?;
            Ok(Cause::Edge { line, edge })
        });
        let tick = self.tick.then_some(Ok(Cause::Tick));
        let run = self.run.then_some(Ok(Cause::Run));
        let time = self.timestamp.take().map(|seconds| Ok(Cause::Time(seconds)));
        let mut given = [message, edge, tick, time, run].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(cause), None) => cause,
            _ => {
                Err("invoke needs one event: --topic, --line, --tick, --timestamp or --run".into())
            }
        }
    }

    fn dead_letters(
        self,
        verb: Option<Verb>,
        id: Option<i64>,
    ) -> Result<DeadLetters, lexopt::Error> {
        let Letters { all, component, older_than, newer_than, file } = self.letters;
        let verb = verb.ok_or("dead-letters: what about them?")?;
        if file.is_some() && verb != Verb::Export {
            return Err("--output belongs to `pirnd dead-letters export`".into());
        }
        if all && !matches!(verb, Verb::Retry | Verb::Drop) {
            return Err("--all belongs to `pirnd dead-letters retry` and `drop`".into());
        }
        let (common, output) = (self.common, self.output.unwrap_or_default());
        Ok(DeadLetters { common, verb, id, component, older_than, newer_than, output, file })
    }

    /// Whether it is said where requests are taken.
    fn listens(&self) -> bool {
        let files = &self.common.files;
        let is_tls = self.tls.0.is_some() || self.tls.1.is_some();
        files.listen.is_some() || files.port != PortChoice::Fixed || is_tls
    }

    fn tls(&mut self) -> Result<Option<TlsFiles>, lexopt::Error> {
        match std::mem::take(&mut self.tls) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
            _ => Err("--tls-cert and --tls-key go together".into()),
        }
    }

    /// Refuses options that belong to another command.
    fn only_for(&self, name: &str) -> Result<(), lexopt::Error> {
        let misplaced = [
            (self.once && name != "up", "--once", "up"),
            (self.listens() && name != "up", "what says where to listen", "up"),
            (self.topic.is_some() && name != "invoke", "--topic", "invoke"),
            (self.payload.is_some() && name != "invoke", "--payload", "invoke"),
            (self.line.is_some() && name != "invoke", "--line", "invoke"),
            (self.edge.is_some() && name != "invoke", "--edge", "invoke"),
            (self.tick && name != "invoke", "--tick", "invoke"),
            (self.run && name != "invoke", "--run", "invoke"),
            (self.timestamp.is_some() && name != "invoke", "--timestamp", "invoke"),
            (self.apps.is_some() && !["serve", "safe-state"].contains(&name), "--apps", "serve"),
            (self.name.is_some(), "--name", "app add"),
            (self.socket.is_some() && name != "status", "--socket", "status"),
            (
                self.output.is_some() && !["status", "app", "dead-letters"].contains(&name),
                "--format",
                "status",
            ),
            (
                !self.letters.is_empty() && name != "dead-letters",
                "what says which dead letters",
                "dead-letters",
            ),
        ];
        match misplaced.iter().find(|(wrong, ..)| *wrong) {
            Some((_, option, owner)) => Err(format!("{option} belongs to `pirnd {owner}`").into()),
            None => Ok(()),
        }
    }
}

/// What `app` is to do: the words after it.
fn wish(
    words: &mut impl Iterator<Item = String>,
    given: Option<String>,
) -> Result<Wish, lexopt::Error> {
    let what = words.next();
    let change = match what.as_deref() {
        Some("list") => Change::List,
        Some("add") => Change::Add,
        Some("remove") => Change::Remove,
        Some("start") => Change::Start,
        Some("stop") => Change::Stop,
        Some("restart") => Change::Restart,
        Some("replace") => Change::Replace,
        Some("status") => match words.next() {
            Some(name) => return Ok(Wish::Status(name)),
            None => Change::Status,
        },
        _ => {
            let known = "list, add, remove, start, stop, restart, replace, status";
            return Err(format!("app needs one of {known}").into());
        }
    };
    let has_name = !matches!(change, Change::List | Change::Add | Change::Status);
    let name = match has_name {
        true => Some(words.next().ok_or("which app? give its name, as `app list` shows it")?),
        false => None,
    };
    if given.is_some() && change != Change::Add {
        return Err("--name belongs to `pirnd app add`".into());
    }
    let path = match change {
        Change::Add | Change::Replace => {
            Some(PathBuf::from(words.next().ok_or("which folder? give the app's")?))
        }
        _ => None,
    };
    Ok(Wish::Change { change, name: name.or(given), path })
}

fn verb(word: Option<String>) -> Result<Verb, lexopt::Error> {
    match word.as_deref() {
        Some("list") => Ok(Verb::List),
        Some("show") => Ok(Verb::Show),
        Some("retry") => Ok(Verb::Retry),
        Some("drop") => Ok(Verb::Drop),
        Some("export") => Ok(Verb::Export),
        _ => Err("dead-letters needs one of list, show, retry, drop, export".into()),
    }
}

fn id(word: Option<String>) -> Result<i64, lexopt::Error> {
    let id = word.and_then(|word| word.parse().ok());
    id.ok_or_else(|| "which dead letter? give its number, as `list` shows it, or --all".into())
}

#[cfg(test)]
mod tests;
