//! The other commands' side of the socket.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::{END, Row, socket_path};
use crate::failure::Failure;

/// What the lines are at one moment.
pub(crate) type Pins = Vec<Row>;

/// Sends one request that is answered with `ok` or a sentence.
pub(crate) fn ask(state_dir: &Path, request: &str) -> Result<(), Failure> {
    let mut answers = send(state_dir, request)?;
    let mut answer = String::new();
    answers.read_line(&mut answer).map_err(Failure::failed)?;
    match answer.trim_end().strip_prefix("! ") {
        None if answer.trim_end() == "ok" => Ok(()),
        None => Err(Failure::failed("the app ended before it answered")),
        Some(sentence) => Err(Failure::wrong(sentence)),
    }
}

/// Calls `show` with the lines, once for `list`, with every change for `watch`; until it says that
/// this is enough or the app ends.
pub(crate) fn watch(
    state_dir: &Path,
    request: &str,
    mut show: impl FnMut(Pins) -> bool,
) -> Result<(), Failure> {
    let mut rows = Vec::new();
    for line in send(state_dir, request)?.lines() {
        let line = line.map_err(Failure::failed)?;
        if line != END {
            rows.extend(Row::from_line(&line));
        } else if !show(std::mem::take(&mut rows)) {
            break;
        }
    }
    Ok(())
}

fn send(state_dir: &Path, request: &str) -> Result<BufReader<UnixStream>, Failure> {
    let path = socket_path(state_dir);
    let connect = || {
        let mut stream = UnixStream::connect(&path)?;
        writeln!(stream, "{request}")?;
        Ok(BufReader::new(stream))
    };
    connect().map_err(|error: io::Error| {
        let path = path.display();
        Failure::failed(format!(
            "{path}: {error}; does `pirn up` run with this app, on simulated lines?"
        ))
    })
}
