//! The control socket: how a running pirnd is asked how it is, and told what to do with its dead letters.
//! Only this user can open it, and the folder that it is in.
//!
//! A client writes one line of JSON, a [`Request`], and reads until the end. `status` is answered by one
//! line, all else by lines and an [`End`] that says how it went: an answer without one was cut off. A
//! client that writes nothing gets the status, as it did when that was all there was.

mod answers;
mod show;

use std::future::Future;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream as Blocking;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::flow::{all::Lanes, letters};
use crate::limits::{control as limits, status};
use crate::serve::status::Source;
use crate::store::folder::{self, FILE_MODE, StateFolder};
use crate::store::{Pick, Store};

pub use answers::Answers;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// The counters.
    Status,
    /// Dead letters, a line each, without their payloads.
    List,
    /// One letter with its payload.
    Show,
    /// Letters with their payloads, a line of JSON each.
    Export,
    /// Have letters tried again.
    Retry,
    /// Let go of letters.
    Drop,
}

/// For whom an answer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// One line to the socket. Letters are those for which everything holds that is given.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Request<'a> {
    /// What to do.
    #[serde(rename = "do")]
    pub verb: Verb,
    /// For whom the answer is.
    pub format: Format,
    /// The letter of this number.
    pub id: Option<i64>,
    /// Letters of this component.
    #[serde(borrow)]
    pub component: Option<&'a str>,
    /// Letters put aside at this second or before.
    pub until: Option<u64>,
    /// Letters put aside at this second or after.
    pub since: Option<u64>,
    /// The app, where a process has several.
    #[serde(borrow)]
    pub of: Option<&'a str>,
}

impl Request<'_> {
    /// A request about everything.
    pub fn new(verb: Verb) -> Self {
        let (id, component, until, since, of) = (None, None, None, None, None);
        Self { verb, format: Format::default(), id, component, until, since, of }
    }

    fn pick(&self) -> Pick {
        let component = self.component.map(str::to_owned);
        Pick { id: self.id, component, until: self.until, since: self.since }
    }
}

/// The last line of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Letters that it is about.
    pub letters: u64,
    /// What went wrong, if anything did.
    pub error: heapless::String<{ limits::ERROR_BYTES_MAX }>,
}

/// How every [`End`] begins, and no other line.
const END: &str = "{\"end\":";

#[derive(Serialize, Deserialize)]
struct Last {
    end: End,
}

/// What the socket gives access to.
pub struct Control {
    /// The counters.
    pub status: Source,
    /// The letters.
    pub store: Store,
    /// Where letters go that are to be tried again.
    pub lanes: Option<Arc<Lanes>>,
}

/// Where the socket of an app with this state folder is.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("pirnd.sock")
}

/// Where an app with this state folder is to be asked, and under which name: of a process that has several, at the
/// process's own socket.
pub fn reach(state_dir: &Path) -> (PathBuf, Option<&str>) {
    let own = socket_path(state_dir);
    let above = folder::above(state_dir).map(socket_path).filter(|socket| socket.exists());
    match (above, state_dir.file_name().and_then(|name| name.to_str())) {
        (Some(socket), Some(name)) if !own.exists() => (socket, Some(name)),
        _ => (own, None),
    }
}

/// The listening socket; its file goes with it.
pub struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl ControlSocket {
    /// Opens the socket, mode 0600, in a folder that is ours: so a file in its place is one that a killed
    /// runner left, and is replaced.
    pub fn bind(folder: &StateFolder) -> io::Result<Self> {
        let path = socket_path(folder.path());
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(FILE_MODE))?;
        Ok(Self { listener, path })
    }

    /// Answers connections, a few at a time. Dropped at any point, nothing is lost but answers; letters
    /// that were marked or let go of stay so.
    pub async fn serve<A: Answer>(self, answerer: Arc<A>) {
        let mut clients = JoinSet::new();
        loop {
            if clients.len() >= limits::CLIENTS_MAX {
                clients.join_next().await;
                continue;
            }
            match self.listener.accept().await {
                Ok((stream, _)) => drop(clients.spawn(serve(stream, Arc::clone(&answerer)))),
                Err(_) => tokio::time::sleep(limits::ACCEPT_PAUSE).await,
            }
            while clients.try_join_next().is_some() {}
        }
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Who answers on a control socket.
pub trait Answer: Send + Sync + 'static {
    /// Answers one request; an empty one is of a client that only listens. Dropped at any point, what was done is done.
    fn answer(&self, line: &[u8], client: &mut Client) -> impl Future<Output = ()> + Send;
}

/// Whoever asked.
pub struct Client(UnixStream);

impl Client {
    /// Gives it some lines. One that does not read its answer is left.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        timeout(status::ANSWER_TIMEOUT, self.0.write_all(bytes)).await?
    }

    /// The last line: how it went.
    pub async fn end(&mut self, error: &str) -> io::Result<()> {
        self.send(show::end(0, error).as_bytes()).await
    }
}

/// One client: its request, its answer.
async fn serve<A: Answer>(mut stream: UnixStream, answerer: Arc<A>) {
    let mut line = Vec::new();
    let (reader, _) = stream.split();
    let mut reader = tokio::io::BufReader::new(reader).take(limits::REQUEST_BYTES_MAX);
    // Who has said nothing by then is one of those who only listen.
    let _ = timeout(limits::REQUEST_WAIT, reader.read_until(b'\n', &mut line)).await;
    answerer.answer(&line, &mut Client(stream)).await;
}

impl Answer for Control {
    async fn answer(&self, line: &[u8], client: &mut Client) {
        let request = match line.is_empty() {
            true => Some(Request::new(Verb::Status)),
            false => request(line),
        };
        match request {
            None => drop(client.end(UNKNOWN_REQUEST).await),
            Some(Request { verb: Verb::Status, .. }) => {
                drop(client.send(&self.status.json()).await);
            }
            Some(request) => {
                let mut answers = Answers::new(&self.store, request);
                while let Some(lines) = answers.next().await {
                    if client.send(lines.as_bytes()).await.is_err() {
                        break;
                    }
                }
                if let (Verb::Retry, Some(lanes)) = (request.verb, &self.lanes) {
                    tokio::spawn(letters::retry(Arc::clone(lanes)));
                }
            }
        }
    }
}

/// The request that a line is, if it is one.
pub(super) fn request(line: &[u8]) -> Option<Request<'_>> {
    serde_json_core::from_slice(line).ok().map(|(request, _)| request)
}

/// What a client of another version learns.
pub(super) const UNKNOWN_REQUEST: &str =
    "this request is not known; is the client of another version of pirn?";

/// Asks a running pirnd for its snapshot.
pub fn ask_status(path: &Path, of: Option<&str>) -> io::Result<String> {
    let stream = asked(path, &Request { of, ..Request::new(Verb::Status) })?;
    let mut json = String::new();
    stream.take(status::JSON_BYTES_MAX as u64 + 1).read_to_string(&mut json)?;
    Ok(json)
}

/// Asks a running pirnd about its dead letters; `line` is given each line but the last, which comes back.
pub fn ask(
    path: &Path,
    request: &impl Serialize,
    mut line: impl FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<End> {
    let stream = asked(path, request)?;
    stream.set_read_timeout(Some(limits::ANSWER_WAIT))?;
    let mut stream = BufReader::new(stream);
    let mut text = Vec::new();
    while stream.read_until(b'\n', &mut text)? > 0 {
        match end(&text) {
            Some(end) => return Ok(end),
            None => line(&text)?,
        }
        text.clear();
    }
    Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the answer was cut off"))
}

/// The end that a line is, if it is one.
pub fn end(line: &[u8]) -> Option<End> {
    if !line.starts_with(END.as_bytes()) {
        return None;
    }
    let text = std::str::from_utf8(line).ok()?;
    let mut unescaped = [0; limits::ERROR_BYTES_MAX];
    let (last, _) = serde_json_core::from_str_escaped::<Last>(text, &mut unescaped).ok()?;
    Some(last.end)
}

fn asked(path: &Path, request: &impl Serialize) -> io::Result<Blocking> {
    let mut stream = Blocking::connect(path)?;
    stream.set_read_timeout(Some(status::ASK_TIMEOUT))?;
    stream.set_write_timeout(Some(status::ASK_TIMEOUT))?;
    let mut line = vec![0; limits::REQUEST_BYTES_MAX as usize];
    let bytes = serde_json_core::to_slice(request, &mut line).map_err(io::Error::other)?;
    line.truncate(bytes);
    line.push(b'\n');
    stream.write_all(&line)?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
