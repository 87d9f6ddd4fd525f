//! A client for HTTP that hides nothing: bytes out, bytes in, taken apart.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::process::Running;

/// An answer, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Answer {
    /// 0 if there was none.
    pub status: u16,
    /// Names in small letters, in the order in which they came.
    pub fields: Vec<(String, String)>,
    /// Without its chunks.
    pub body: Vec<u8>,
    /// Whether all of it came.
    pub is_whole: bool,
}

impl Answer {
    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first field of this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(it, _)| it == name).map(|(_, value)| &**value)
    }
}

/// Where a runner takes requests, as it says.
///
/// # Panics
/// If it says nothing of the kind.
#[must_use]
pub fn port(running: &Running) -> u16 {
    const SAYS: &str = "Serving http://127.0.0.1:";
    running.wait_for(SAYS);
    let printed = running.printed();
    let (_, after) = printed.split_once(SAYS).expect("it was waited for");
    let port = after.split_whitespace().next().unwrap_or_default();
    port.parse().unwrap_or_else(|_| panic!("no port: {port:?}"))
}

/// Connects to it.
///
/// # Panics
/// If that fails.
#[must_use]
pub fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream
}

/// A request on a connection of its own.
#[must_use]
pub fn get(port: u16, path: &str) -> Answer {
    ask(port, format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n"))
}

/// The same with a body.
#[must_use]
pub fn post(port: u16, path: &str, body: &str) -> Answer {
    let length = body.len();
    ask(
        port,
        format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        ),
    )
}

/// Sends bytes and takes the one answer.
///
/// # Panics
/// If nobody listens.
#[must_use]
pub fn ask(port: u16, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = connect(port);
    // Who is refused may be cut off while it sends.
    let _ = stream.write_all(request.as_ref());
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes);
    let mut answer = taken_apart(&bytes);
    answer.is_whole &= ended.is_ok();
    answer
}

/// What came, as an answer.
#[must_use]
pub fn taken_apart(bytes: &[u8]) -> Answer {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Answer::default();
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0);
    let field = |line: &str| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_ascii_lowercase(), value.trim().to_owned()))
    };
    let fields: Vec<(String, String)> = lines.filter_map(field).collect();
    let mut answer = Answer { status, fields, body: bytes[end + 4..].to_vec(), is_whole: true };
    if answer.field("transfer-encoding") == Some("chunked") {
        (answer.body, answer.is_whole) = without_chunks(&answer.body);
    } else if let Some(length) =
        answer.field("content-length").and_then(|it| it.parse::<usize>().ok())
    {
        answer.is_whole = answer.body.len() == length;
    }
    answer
}

fn without_chunks(mut rest: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok();
        let Some(size) = size.and_then(|size| usize::from_str_radix(size, 16).ok()) else { break };
        rest = &rest[end + 2..];
        if size == 0 {
            return (body, true);
        }
        body.extend_from_slice(&rest[..size.min(rest.len())]);
        rest = rest.get(size + 2..).unwrap_or_default();
    }
    (body, false)
}
