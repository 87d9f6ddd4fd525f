//! RESP2: commands as bytes, and bytes as replies, whatever pieces they come in.
//!
//! A server is not trusted: what it announces is compared with a cap before anything is kept for it, and lists
//! within lists are counted, not descended into.

use crate::limits::redis as limits;
use bytes::{Buf, Bytes, BytesMut};

/// What a server answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nil,
    /// A word, like `OK`.
    Status(String),
    /// Its complaint.
    Error(String),
    /// A number.
    Int(i64),
    /// Bytes.
    Bytes(Bytes),
    /// A list.
    List(Vec<Reply>),
}

/// Why what came is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("what the server says is not Redis's protocol")]
    Malformed,
    #[error("the reply is larger than {max} bytes or {elements} elements", max = limits::REPLY_BYTES_MAX, elements = limits::REPLY_ELEMENTS_MAX)]
    TooLarge,
}

/// Writes a command: a list of bytes.
pub(super) fn command(parts: &[&[u8]], into: &mut Vec<u8>) {
    into.extend_from_slice(format!("*{}\r\n", parts.len()).as_bytes());
    for part in parts {
        into.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        into.extend_from_slice(part);
        into.extend_from_slice(b"\r\n");
    }
}

/// Makes replies of bytes.
#[derive(Default)]
pub(super) struct Reader {
    pub(super) buffer: BytesMut,
    /// Lists that are not complete, the outermost first, each with how many of its elements are missing.
    open: Vec<(usize, Vec<Reply>)>,
    /// Bytes that are announced and have not all come.
    bytes: Option<usize>,
    /// Of the reply that is being read.
    bytes_taken: usize,
    elements: usize,
}

/// What one line begins.
enum Begun {
    Whole(Reply),
    Bytes(usize),
    List(usize),
}

impl Reader {
    /// The next reply, if all of it has come.
    pub(super) fn next(&mut self) -> Result<Option<Reply>, WireError> {
        loop {
            let Some(begun) = self.element()? else { return Ok(None) };
            let mut reply = match begun {
                Begun::Whole(reply) => reply,
                Begun::Bytes(count) => {
                    self.bytes = Some(count);
                    continue;
                }
                Begun::List(0) => Reply::List(Vec::new()),
                Begun::List(missing) => {
                    if self.open.len() >= limits::REPLY_DEPTH_MAX {
                        return Err(WireError::TooLarge);
                    }
                    self.open.push((missing, Vec::new()));
                    continue;
                }
            };
            // A list that is complete is an element of the one around it.
            loop {
                let Some((missing, list)) = self.open.last_mut() else {
                    (self.bytes_taken, self.elements) = (0, 0);
                    return Ok(Some(reply));
                };
                list.push(reply);
                *missing -= 1;
                if *missing > 0 {
                    break;
                }
                reply = Reply::List(self.open.pop().map(|(_, list)| list).unwrap_or_default());
            }
        }
    }

    fn element(&mut self) -> Result<Option<Begun>, WireError> {
        if let Some(count) = self.bytes {
            if self.buffer.len() < count + 2 {
                return Ok(None);
            }
            self.bytes = None;
            let bytes = self.take(count)?.freeze();
            return Ok(Some(Begun::Whole(Reply::Bytes(bytes))));
        }
        let Some(end) = self.buffer.windows(2).position(|two| two == b"\r\n") else {
            let room = limits::REPLY_BYTES_MAX - self.bytes_taken;
            return if self.buffer.len() > room { Err(WireError::TooLarge) } else { Ok(None) };
        };
        self.elements += 1;
        if self.elements > limits::REPLY_ELEMENTS_MAX {
            return Err(WireError::TooLarge);
        }
        let line = self.take(end)?;
        self.begun(&line).map(Some)
    }

    fn begun(&self, line: &[u8]) -> Result<Begun, WireError> {
        let (kind, rest) = line.split_first().ok_or(WireError::Malformed)?;
        let text = || String::from_utf8_lossy(rest).into_owned();
        let number = || -> Option<i64> { std::str::from_utf8(rest).ok()?.parse().ok() };
        let count = || number().ok_or(WireError::Malformed);
        Ok(match kind {
            b'+' => Begun::Whole(Reply::Status(text())),
            b'-' => Begun::Whole(Reply::Error(text())),
            b':' => Begun::Whole(Reply::Int(count()?)),
            b'$' | b'*' if count()? == -1 => Begun::Whole(Reply::Nil),
            b'$' => {
                let count = usize::try_from(count()?).map_err(|_| WireError::Malformed)?;
                match count <= limits::REPLY_BYTES_MAX - self.bytes_taken {
                    true => Begun::Bytes(count),
                    false => return Err(WireError::TooLarge),
                }
            }
            b'*' => {
                let count = usize::try_from(count()?).map_err(|_| WireError::Malformed)?;
                match count <= limits::REPLY_ELEMENTS_MAX - self.elements {
                    true => Begun::List(count),
                    false => return Err(WireError::TooLarge),
                }
            }
            _ => return Err(WireError::Malformed),
        })
    }

    /// Takes so many bytes and the line's end behind them.
    fn take(&mut self, count: usize) -> Result<BytesMut, WireError> {
        self.bytes_taken += count + 2;
        if self.bytes_taken > limits::REPLY_BYTES_MAX {
            return Err(WireError::TooLarge);
        }
        let taken = self.buffer.split_to(count);
        match self.buffer.starts_with(b"\r\n") {
            true => self.buffer.advance(2),
            false => return Err(WireError::Malformed),
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// Read at once, and byte by byte: the same.
    fn read(text: &str) -> Result<Vec<Reply>, WireError> {
        let at_once = pieces(text, text.len().max(1));
        assert_eq!(at_once, pieces(text, 1), "{text:?}");
        at_once
    }

    fn pieces(text: &str, size: usize) -> Result<Vec<Reply>, WireError> {
        let mut reader = Reader::default();
        let mut replies = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            reader.buffer.extend_from_slice(piece);
            while let Some(reply) = reader.next()? {
                replies.push(reply);
            }
        }
        Ok(replies)
    }

    fn bytes(text: &'static str) -> Reply {
        Reply::Bytes(Bytes::from(text))
    }

    #[test]
    fn replies_of_every_shape_are_read_in_whatever_pieces_they_come() {
        use Reply::{Error, Int, List, Nil, Status};
        let text = "+OK\r\n-ERR no\r\n:-7\r\n$5\r\na\r\nb!\r\n$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n*3\r\n:1\r\n*2\r\n$1\r\na\r\n*0\r\n$-1\r\n+end\r\n";
        let nested = List(vec![Int(1), List(vec![bytes("a"), List(Vec::new())]), Nil]);
        let expected = vec![
            Status("OK".into()),
            Error("ERR no".into()),
            Int(-7),
            bytes("a\r\nb!"),
            bytes(""),
            Nil,
            Nil,
            List(Vec::new()),
            nested,
            Status("end".into()),
        ];
        assert_eq!(read(text), Ok(expected));
    }

    #[test]
    fn what_is_incomplete_is_waited_for() {
        for text in ["", "+OK", "+OK\r", "$5\r\nabc", "$1\r\na\r", "*2\r\n:1\r\n", "*1\r\n"] {
            assert_eq!(read(text), Ok(Vec::new()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_reply_or_too_large_is_an_error_and_never_kept() {
        for text in
            ["HTTP/1.1\r\n", "\r\n", "$x\r\n", "$-2\r\n", "*-2\r\n", ":\r\n", "$1\r\nabc\r\n"]
        {
            assert_eq!(read(text), Err(WireError::Malformed), "{text:?}");
        }
        let deep = "*1\r\n".repeat(100_000);
        let many = format!("*2\r\n{}", format!("*10000\r\n{}", ":1\r\n".repeat(10_000)).repeat(2));
        for text in ["$1048577\r\n", "*16385\r\n", "*999999999999\r\n", &deep, &many] {
            assert_eq!(read(text), Err(WireError::TooLarge), "{:?}", text.get(..20));
        }
        let long_line = format!("+{}", "x".repeat(limits::REPLY_BYTES_MAX + 1));
        assert_eq!(pieces(&long_line, 4096), Err(WireError::TooLarge));
        let sum = format!("*3\r\n{}", format!("$500000\r\n{}\r\n", "x".repeat(500_000)).repeat(3));
        assert_eq!(pieces(&sum, 4096), Err(WireError::TooLarge));
    }

    #[test]
    fn a_command_is_a_list_of_bytes() {
        let mut written = Vec::new();
        command(&[b"SET", b"a b", b"\r\n"], &mut written);
        assert_eq!(written, b"*3\r\n$3\r\nSET\r\n$3\r\na b\r\n$2\r\n\r\n\r\n");
    }
}
