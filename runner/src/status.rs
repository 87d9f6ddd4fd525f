//! Counters of a running app and their snapshot: what `pirnd status` shows. A Unix socket that only
//! this user can open answers each connection with one line of JSON.

use std::fmt::Write as _;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pirn_triggers::gpio::{InputHandle, Level, Outputs};
use pirn_triggers::mqtt::{Session, State};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixListener;

use crate::limits::status as limits;
use crate::runner::{Outside, Runner};
use crate::worlds::Outcome;

/// What one component did since the start.
#[derive(Debug, Default)]
pub struct ComponentCounters {
    /// Invocations that took their event.
    pub done: AtomicU64,
    /// Invocations that said no.
    pub refused: AtomicU64,
    /// Invocations that failed.
    pub faulted: AtomicU64,
    /// Events that were taken but whose publishes a broker refused.
    pub undelivered: AtomicU64,
    /// QoS 0 events dropped from a full queue.
    pub dropped: AtomicU64,
    /// Ticks that were one with another because the component was busy.
    pub coalesced: AtomicU64,
    /// Edges that were lost before they reached us.
    pub missed: AtomicU64,
    /// Events kept aside.
    pub dead_letters: AtomicU64,
    /// Time in invocations, in microseconds.
    pub busy_us: AtomicU64,
}

impl ComponentCounters {
    /// Counts one ended invocation.
    pub fn count(&self, outcome: &Outcome, took: Duration) {
        let counter = match outcome {
            Outcome::Done => &self.done,
            Outcome::Refused(_) => &self.refused,
            Outcome::Faulted(_) => &self.faulted,
            Outcome::Undelivered(_) => &self.undelivered,
        };
        counter.fetch_add(1, Relaxed);
        let took = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.busy_us.fetch_add(took, Relaxed);
    }
}

/// A snapshot, as it goes over the socket.
#[derive(Debug, Serialize, Deserialize)]
struct Snapshot<'a> {
    app: &'a str,
    board: &'a str,
    version: &'a str,
    pid: u32,
    uptime_s: u64,
    /// Resident memory of the process, from the kernel.
    rss_kib: u64,
    #[serde(borrow)]
    broker: Option<Broker<'a>>,
    #[serde(borrow)]
    lines: heapless::Vec<Line<'a>, { limits::LINES_MAX }>,
    /// How many components there are; the list may hold fewer.
    components_total: usize,
    #[serde(borrow)]
    components: heapless::Vec<Component<'a>, { limits::COMPONENTS_MAX }>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Broker<'a> {
    address: &'a str,
    connected: bool,
    received: u64,
    redelivered: u64,
    dropped: u64,
    published: u64,
    acknowledged: u64,
    connects: u64,
    subscriptions_refused: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Line<'a> {
    name: &'a str,
    /// `in` or `out`.
    way: &'a str,
    /// `high`, `low`, or empty if it is not to be had.
    level: &'a str,
}

#[derive(Debug, Serialize, Deserialize)]
struct Component<'a> {
    id: &'a str,
    code: &'a str,
    done: u64,
    refused: u64,
    faulted: u64,
    undelivered: u64,
    dropped: u64,
    coalesced: u64,
    missed: u64,
    dead_letters: u64,
    busy_us: u64,
}

/// Where a snapshot's numbers come from.
pub struct Source {
    app: String,
    board: String,
    broker: Option<(String, Session)>,
    inputs: Vec<InputHandle>,
    outputs: Option<Outputs>,
    components: Vec<(String, String, Arc<ComponentCounters>)>,
    started: Instant,
}

impl Source {
    /// The numbers of this app and what it is connected to.
    pub fn new(runner: &Runner, outside: &Outside) -> Self {
        let app = runner.app();
        let address = app.broker.as_ref().map(|broker| broker.address.to_string());
        Self {
            app: app.name.clone(),
            board: app.board.name.clone(),
            broker: address.zip(outside.session.clone()),
            inputs: outside.inputs(),
            outputs: Some(outside.outputs().clone()),
            components: runner.counters(),
            started: Instant::now(),
        }
    }

    /// The snapshot now, as a line of JSON.
    pub fn json(&self) -> Vec<u8> {
        let components = self.components.iter().take(limits::COMPONENTS_MAX);
        let snapshot = Snapshot {
            app: &self.app,
            board: &self.board,
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            uptime_s: self.started.elapsed().as_secs(),
            rss_kib: rss_kib(),
            broker: self.broker.as_ref().map(|(address, session)| broker(address, session)),
            lines: self.lines(),
            components_total: self.components.len(),
            components: components
                .map(|(id, code, counters)| component(id, code, counters))
                .collect(),
        };
        let mut buffer = vec![0; limits::JSON_BYTES_MAX];
        let written = serde_json_core::to_slice(&snapshot, &mut buffer).unwrap_or(0);
        buffer.truncate(written);
        buffer.push(b'\n');
        buffer
    }
}

impl Source {
    fn lines(&self) -> heapless::Vec<Line<'_>, { limits::LINES_MAX }> {
        let inputs = self.inputs.iter().map(|input| Line {
            name: &input.options().line.name,
            way: "in",
            level: input.level().map_or("", word),
        });
        let outputs = self.outputs.iter().flat_map(|outputs| {
            outputs.options().iter().enumerate().map(|(index, options)| Line {
                name: &options.line.name,
                way: "out",
                level: outputs.level(index).map_or("", word),
            })
        });
        inputs.chain(outputs).take(limits::LINES_MAX).collect()
    }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Low => "low",
        Level::High => "high",
    }
}

fn broker<'a>(address: &'a str, session: &Session) -> Broker<'a> {
    let counters = session.counters();
    Broker {
        address,
        connected: matches!(*session.state().borrow(), State::Connected { .. }),
        received: counters.received,
        redelivered: counters.redelivered,
        dropped: counters.dropped_queue_full,
        published: counters.published,
        acknowledged: counters.acknowledged,
        connects: counters.connects,
        subscriptions_refused: counters.subscriptions_refused,
    }
}

fn component<'a>(id: &'a str, code: &'a str, counters: &ComponentCounters) -> Component<'a> {
    Component {
        id,
        code,
        done: counters.done.load(Relaxed),
        refused: counters.refused.load(Relaxed),
        faulted: counters.faulted.load(Relaxed),
        undelivered: counters.undelivered.load(Relaxed),
        dropped: counters.dropped.load(Relaxed),
        coalesced: counters.coalesced.load(Relaxed),
        missed: counters.missed.load(Relaxed),
        dead_letters: counters.dead_letters.load(Relaxed),
        busy_us: counters.busy_us.load(Relaxed),
    }
}

fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Where the socket of an app with this state folder is.
pub fn socket_path(state_dir: &Path) -> PathBuf {
    state_dir.join("pirnd.sock")
}

/// The listening socket; its file goes with it.
pub struct StatusSocket {
    listener: UnixListener,
    path: PathBuf,
}

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another runner answers there.
    #[error("{0} is in use")]
    InUse(PathBuf),
    /// The file cannot be made.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StatusSocket {
    /// Opens the socket, mode 0600. A file that a killed runner left is replaced.
    pub async fn bind(state_dir: &Path) -> Result<Self, BindError> {
        let path = socket_path(state_dir);
        if tokio::net::UnixStream::connect(&path).await.is_ok() {
            return Err(BindError::InUse(path));
        }
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        Ok(Self { listener, path })
    }

    /// Answers connections, one at a time. Dropped at any point, nothing is lost but an answer.
    pub async fn serve(self, source: &Source) {
        loop {
            match self.listener.accept().await {
                Ok((mut stream, _)) => {
                    let answer = source.json();
                    let write = stream.write_all(&answer);
                    let _ = tokio::time::timeout(limits::ANSWER_TIMEOUT, write).await;
                }
                Err(_) => tokio::time::sleep(limits::ANSWER_TIMEOUT).await,
            }
        }
    }
}

impl Drop for StatusSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Asks a running pirnd for its snapshot.
pub fn ask(path: &Path) -> io::Result<String> {
    let stream = std::os::unix::net::UnixStream::connect(path)?;
    stream.set_read_timeout(Some(limits::ASK_TIMEOUT))?;
    let mut json = String::new();
    stream.take(limits::JSON_BYTES_MAX as u64 + 1).read_to_string(&mut json)?;
    Ok(json)
}

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
    let width = snapshot.components.iter().map(|c| c.id.len()).max().unwrap_or(0).max(9);
    let _ = writeln!(
        text,
        "{:width$} {:8} {:>9} {:>8} {:>8} {:>11} {:>8} {:>9} {:>7} {:>12} {:>9}",
        "component",
        "code",
        "done",
        "refused",
        "faulted",
        "undelivered",
        "dropped",
        "coalesced",
        "missed",
        "dead letters",
        "mean"
    );
    for c in &snapshot.components {
        let runs = (c.done + c.refused + c.faulted).max(1);
        let mean = Duration::from_micros(c.busy_us / runs);
        let _ = writeln!(
            text,
            "{:width$} {:8} {:>9} {:>8} {:>8} {:>11} {:>8} {:>9} {:>7} {:>12} {:>9}",
            c.id,
            c.code,
            c.done,
            c.refused,
            c.faulted,
            c.undelivered,
            c.dropped,
            c.coalesced,
            c.missed,
            c.dead_letters,
            format!("{mean:.1?}")
        );
    }
    if snapshot.components_total > snapshot.components.len() {
        let more = snapshot.components_total - snapshot.components.len();
        let _ = writeln!(text, "and {more} more");
    }
    Some(text)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn source() -> Source {
        let counters = Arc::<ComponentCounters>::default();
        counters.count(&Outcome::Done, Duration::from_micros(40));
        counters.count(&Outcome::Refused("no".into()), Duration::from_micros(20));
        Source {
            app: "thermostat".into(),
            board: "pi-zero".into(),
            broker: None,
            inputs: Vec::new(),
            outputs: None,
            components: vec![("control".into(), "native".into(), counters)],
            started: Instant::now(),
        }
    }

    #[test]
    fn a_snapshot_survives_the_socket_and_becomes_a_table() {
        let json = String::from_utf8(source().json()).unwrap();
        assert!(json.starts_with("{\"app\":\"thermostat\",\"board\":\"pi-zero\""), "{json}");
        let table = table(&json).unwrap();
        assert!(table.contains("thermostat on pi-zero"), "{table}");
        let row = table.lines().find(|line| line.starts_with("control")).unwrap();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["control", "native", "1", "1", "0", "0", "0", "0", "0", "0", "30.0µs"]
        );
    }

    #[test]
    fn as_many_components_as_an_app_may_have_fit_the_buffer() {
        let mut source = source();
        let component = ("x".repeat(64), "pulley64".to_string(), source.components[0].2.clone());
        source.components = vec![component; limits::COMPONENTS_MAX];
        let json = String::from_utf8(source.json()).unwrap();
        assert!(table(&json).is_some());
    }

    #[tokio::test]
    async fn only_one_runner_may_hold_the_socket_and_its_file_is_private() {
        let dir = std::env::temp_dir().join(format!("pirn-status-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        std::fs::write(socket_path(&dir), "left by a killed runner").unwrap();
        let socket = StatusSocket::bind(&dir).await.unwrap();
        let mode = std::fs::metadata(socket_path(&dir)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(matches!(StatusSocket::bind(&dir).await, Err(BindError::InUse(_))));
        drop(socket);
        assert!(!socket_path(&dir).exists());
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
