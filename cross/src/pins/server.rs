//! The running app's side of the socket. A request is one line of words, the name last:
//! `press MILLISECONDS NAME`, `set high|low|float NAME`, `list`, `watch`. The answer is `ok`, or `!` and
//! a sentence, or rows up to a line with a dot; `watch` answers rows again and again.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::Duration;

use pirn_runner::plan::App;
use pirn_triggers::gpio::simulated::{Pin, SimulatedPins};
use pirn_triggers::gpio::{Active, Level};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::sync::broadcast::error::RecvError;
use tokio::task::JoinSet;

use super::{END, Row, socket_path};
use crate::limits::pins as limits;

/// The listening socket and what it speaks of.
pub(crate) struct Server {
    listener: UnixListener,
    pins: Described,
}

/// The simulated lines, with what the app and the board say of them.
#[derive(Clone)]
struct Described {
    pins: SimulatedPins,
    /// Header and way, by name.
    known: BTreeMap<String, (String, &'static str)>,
}

impl Server {
    /// Opens the socket; one that an earlier run left is replaced. The state folder belongs to this
    /// run alone: the status socket saw to that.
    pub(crate) fn bind(app: &App, pins: SimulatedPins) -> io::Result<Self> {
        let path = socket_path(&app.state_dir);
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path)?;
        Ok(Self { listener, pins: Described { pins, known: known(app) } })
    }

    /// Answers until it is dropped.
    pub(crate) async fn serve(self) {
        let slots = Semaphore::new(limits::CLIENTS_MAX);
        let slots = std::sync::Arc::new(slots);
        let mut clients = JoinSet::new();
        loop {
            while clients.try_join_next().is_some() {}
            let Ok(slot) = std::sync::Arc::clone(&slots).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let pins = self.pins.clone();
                    clients.spawn(async move {
                        let _slot = slot;
                        // A client that went away is no trouble of ours.
                        let _ = answer(stream, &pins).await;
                    });
                }
                Err(_) => tokio::time::sleep(limits::ACCEPT_PAUSE).await,
            }
        }
    }

    /// Takes the socket's file away.
    pub(crate) fn remove(state_dir: &Path) {
        let _ = std::fs::remove_file(socket_path(state_dir));
    }
}

fn known(app: &App) -> BTreeMap<String, (String, &'static str)> {
    let header = |header: &Option<String>| header.clone().unwrap_or_default();
    let board = app.board.lines().map(|(_, name, line)| (name.to_owned(), (line.pin.clone(), "-")));
    let inputs = app
        .pins
        .inputs
        .iter()
        .map(|pin| (pin.options.line.name.to_string(), (header(&pin.header), "in")));
    let outputs = app
        .pins
        .outputs
        .iter()
        .map(|pin| (pin.options.line.name.to_string(), (header(&pin.header), "out")));
    board.chain(inputs).chain(outputs).collect()
}

async fn answer(mut stream: UnixStream, pins: &Described) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut request = String::new();
    BufReader::new(reader).take(limits::REQUEST_BYTES_MAX).read_line(&mut request).await?;
    let words: Vec<&str> = request.trim_end_matches('\n').splitn(3, ' ').collect();
    let done = match words[..] {
        ["list"] => return writer.write_all(pins.rows().as_bytes()).await,
        ["watch"] => return stream_rows(&mut writer, pins).await,
        ["press", millis, name] => press(pins, millis, name).await,
        ["set", level, name] => set(pins, level, name),
        _ => Err("unknown request".to_owned()),
    };
    let text = match done {
        Ok(()) => "ok\n".to_owned(),
        Err(sentence) => format!("! {sentence}\n"),
    };
    writer.write_all(text.as_bytes()).await
}

/// Rows now and after every change, until the client goes away.
async fn stream_rows(
    writer: &mut (impl tokio::io::AsyncWrite + Unpin),
    pins: &Described,
) -> io::Result<()> {
    let mut changes = pins.pins.watch();
    loop {
        writer.write_all(pins.rows().as_bytes()).await?;
        if let Err(RecvError::Closed) = changes.recv().await {
            return Ok(());
        }
        // Changes that come together are shown together.
        tokio::time::sleep(limits::FRAME).await;
        changes = changes.resubscribe();
    }
}

async fn press(pins: &Described, millis: &str, name: &str) -> Result<(), String> {
    let millis: u64 = millis.parse().map_err(|_| "the time is no number".to_owned())?;
    pins.check_driven_from_outside(name)?;
    let hold = Duration::from_millis(millis).min(limits::PRESS_MAX);
    pins.pins.press(name, hold).await.map_err(|error| error.to_string())
}

fn set(pins: &Described, level: &str, name: &str) -> Result<(), String> {
    pins.check_driven_from_outside(name)?;
    let active = pins.pins.pin(name).map_err(|error| error.to_string())?.active;
    let done = match level {
        "high" => pins.pins.drive(name, on_the_wire(Level::High, active)),
        "low" => pins.pins.drive(name, on_the_wire(Level::Low, active)),
        _ => pins.pins.float(name),
    };
    done.map_err(|error| error.to_string())
}

/// Turns between what guests see and the wire; its own inverse.
fn on_the_wire(level: Level, active: Active) -> Level {
    match active {
        Active::High => level,
        Active::Low => !level,
    }
}

impl Described {
    fn rows(&self) -> String {
        let rows = self.pins.pins().into_iter().map(|pin| self.row(&pin).to_line());
        rows.chain([format!("{END}\n")]).collect()
    }

    fn row(&self, pin: &Pin) -> Row {
        let (header, way) = self.known.get(&*pin.name).cloned().unwrap_or_default();
        let level = on_the_wire(pin.level, pin.active).to_string();
        Row { name: pin.name.to_string(), header, way: way.to_owned(), level }
    }

    /// What the app drives cannot be driven from outside as well: on a board that is a short circuit.
    fn check_driven_from_outside(&self, name: &str) -> Result<(), String> {
        match self.known.get(name) {
            Some((_, "out")) => Err(format!("{name} is an output: the app drives it")),
            _ => Ok(()),
        }
    }
}
