//! A program that answers a request (CGI, RFC 3875, as wagi has it): what is asked is in its environment, the body is its
//! standard input, and what it prints is the answer, fields first.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use pirn_triggers::http::pipe::{Room, Writer, pipe};
use pirn_triggers::http::{Answer as Reply, Outgoing, Responder, Source};

use super::Host;
use super::bodies::{BodyReader, Moves};
use super::incoming::Exchange;
use crate::host::locked;
use crate::host::wasi::poll::Pollable;
use crate::host::wasi::streams::Ended;
use crate::limits::http::PROGRAM_HEAD_BYTES_MAX;

/// What a program is asked.
pub struct ProgramRequest {
    /// What it finds in its environment, beside its own.
    pub environment: Vec<(String, String)>,
    /// What it finds as its arguments.
    pub arguments: Vec<String>,
    /// What it reads.
    pub body: Arc<Source>,
    /// Who waits for what it prints.
    pub responder: Responder,
}

/// A program at work.
pub(in crate::host::wasi) struct Program {
    pub(in crate::host::wasi) environment: Vec<(String, String)>,
    pub(in crate::host::wasi) arguments: Vec<String>,
    body: Arc<Source>,
    moves: Moves,
    printed: Printed,
}

impl Program {
    pub(in crate::host::wasi) fn input(&self) -> BodyReader {
        BodyReader::new(Arc::clone(&self.body), self.moves.clone())
    }

    pub(in crate::host::wasi) fn output(&self) -> Printed {
        self.printed.clone()
    }
}

/// Where it prints; cheap to clone.
#[derive(Clone)]
pub(in crate::host::wasi) struct Printed(Arc<Mutex<State>>);

enum State {
    /// The fields are not complete.
    Head { text: Vec<u8>, responder: Responder, exchange: Exchange },
    /// They are; this is the body.
    Body { writer: Writer, moves: Moves },
    /// Nothing is taken any more.
    Over,
}

impl Host {
    /// The guest is a program, and this is what it is asked.
    pub fn ask_program(&self, request: ProgramRequest) {
        let ProgramRequest { environment, arguments, body, responder } = request;
        let (exchange, moves) = (self.exchange().clone(), self.moves());
        exchange.asks(&body);
        let state = State::Head { text: Vec::new(), responder, exchange };
        let printed = Printed(Arc::new(Mutex::new(state)));
        // Once: a host is for one invocation.
        let _ = self.wasi().program.set(Program { environment, arguments, body, moves, printed });
    }

    /// The program ended well: what it printed is all.
    pub fn program_ended(&self) {
        if let Some(program) = self.wasi().program.get() {
            program.printed.end();
        }
    }
}

impl Printed {
    pub(in crate::host::wasi) fn room(&self) -> Result<usize, Ended> {
        match &*locked(&self.0) {
            State::Head { text, .. } => {
                Ok(PROGRAM_HEAD_BYTES_MAX.saturating_sub(text.len()).max(1))
            }
            State::Body { writer, .. } => writer.room().ok_or(Ended::Closed),
            State::Over => Err(Ended::Closed),
        }
    }

    pub(in crate::host::wasi) fn write(&self, bytes: &[u8]) -> Result<(), Ended> {
        let mut state = locked(&self.0);
        match &mut *state {
            State::Head { text, .. } => {
                text.extend_from_slice(bytes);
                let end = head_end(text);
                if end.is_some() || text.len() > PROGRAM_HEAD_BYTES_MAX {
                    *state = std::mem::replace(&mut *state, State::Over).answered(end);
                }
                Ok(())
            }
            State::Body { writer, moves } => {
                moves.note();
                writer.write(Bytes::copy_from_slice(bytes)).map_err(|_| Ended::Closed)
            }
            State::Over => Err(Ended::Closed),
        }
    }

    pub(in crate::host::wasi) fn pollable(&self) -> Pollable {
        let printed = self.clone();
        Pollable::new(move || {
            let room = match &*locked(&printed.0) {
                State::Body { writer, .. } => Some(writer.waits()),
                State::Head { .. } | State::Over => None,
            };
            async move {
                if let Some(room) = room {
                    Room::wait(room).await;
                }
            }
        })
    }

    /// Nothing more comes. Fields that no empty line follows are an answer without a body.
    fn end(&self) {
        let mut state = locked(&self.0);
        let mut last = std::mem::replace(&mut *state, State::Over);
        if let State::Head { text, .. } = &last {
            let end = (!text.is_empty()).then_some((text.len(), text.len()));
            last = last.answered(end);
        }
        if let State::Body { writer, .. } = last {
            writer.finish(None);
        }
    }
}

impl State {
    /// The answer begins. Without fields that can be read it is dropped, which is 500.
    fn answered(self, end: Option<(usize, usize)>) -> Self {
        let Self::Head { text, responder, exchange } = self else { return self };
        let parsed = end.and_then(|(head, body)| Some((parsed(text.get(..head)?)?, body)));
        let Some(((status, fields), body)) = parsed else { return Self::Over };
        let (mut writer, reader) = pipe();
        exchange.takes(writer.waits());
        exchange.answered();
        responder.answer(Reply { status, fields, body: Outgoing::Piped(reader) });
        // There is room for what came with the head.
        let _ = writer.write(Bytes::copy_from_slice(text.get(body..).unwrap_or_default()));
        Self::Body { writer, moves: exchange.moves.clone() }
    }
}

/// Where the fields end and where the body begins.
fn head_end(text: &[u8]) -> Option<(usize, usize)> {
    let of = |mark: &[u8]| {
        let at = text.windows(mark.len()).position(|window| window == mark)?;
        Some((at, at + mark.len()))
    };
    [of(b"\n\n"), of(b"\r\n\r\n")].into_iter().flatten().min()
}

/// `content-type`, or `location`, and perhaps `status` (RFC 3875, 6.3); other fields as they are.
fn parsed(head: &[u8]) -> Option<(StatusCode, HeaderMap)> {
    let (mut status, mut fields) = (None, HeaderMap::new());
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':')?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if name.eq_ignore_ascii_case(b"status") {
            let code = value.split(|byte| *byte == b' ').next()?;
            status = Some(StatusCode::from_bytes(code).ok().filter(|it| !it.is_informational())?);
            continue;
        }
        let name = HeaderName::from_bytes(name).ok()?;
        let is_ours = [
            header::CONNECTION,
            header::TRANSFER_ENCODING,
            header::UPGRADE,
            header::CONTENT_LENGTH,
        ];
        if !is_ours.contains(&name) {
            fields.try_append(name, HeaderValue::from_bytes(value).ok()?).ok()?;
        }
    }
    let moved = fields.contains_key(header::LOCATION);
    if !moved && !fields.contains_key(header::CONTENT_TYPE) {
        return None;
    }
    let usual = if moved { StatusCode::FOUND } else { StatusCode::OK };
    Some((status.unwrap_or(usual), fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Option<(u16, usize, String)> {
        let (head, body) = head_end(text.as_bytes())?;
        let (status, fields) = parsed(&text.as_bytes()[..head])?;
        Some((status.as_u16(), fields.len(), text[body..].to_owned()))
    }

    #[test]
    fn what_a_program_prints_is_its_answer() {
        for (text, expected) in [
            ("Content-Type: text/plain\n\nhello\n", Some((200, 1, "hello\n"))),
            ("content-type: a/b\r\nx-a: 1\r\n\r\n\n\nb", Some((200, 2, "\n\nb"))),
            ("Status: 404 Not Found\nContent-Type: a/b\n\n", Some((404, 1, ""))),
            ("Location: /x\n\n", Some((302, 1, ""))),
            ("Content-Type: a/b\nTransfer-Encoding: chunked\n\n", Some((200, 1, ""))),
            ("x-a: 1\n\nno type", None),
            ("Status: 100\nContent-Type: a/b\n\n", None),
            ("Status: x\nContent-Type: a/b\n\n", None),
            ("no field\n\n", None),
            ("Content-Type: a/b\n", None),
        ] {
            let expected = expected.map(|(status, fields, body)| (status, fields, body.to_owned()));
            assert_eq!(answer(text), expected, "{text:?}");
        }
    }
}
