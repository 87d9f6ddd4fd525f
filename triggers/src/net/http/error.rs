//! What can go wrong with a request.

use std::error::Error as _;
use std::io::ErrorKind;

use crate::net::{DialError, explain};

/// Why there is no answer, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// As many requests are under way as may be.
    #[error("too many requests are under way")]
    Busy,
    /// It took too long.
    #[error("{0} took too long")]
    Timeout(Phase),
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent: {0}")]
    Request(String),
    /// The connection ended in the middle.
    #[error("the connection was closed before the answer was complete")]
    Cut,
    /// The head of the answer is larger than what is accepted.
    #[error("the head of the answer is too large")]
    HeadTooLarge,
    /// What was answered is no HTTP.
    #[error("the answer cannot be read: {0}")]
    Protocol(String),
    /// The body of the answer is larger than what is accepted.
    #[error("the body of the answer has more than {0} bytes")]
    BodyTooLarge(usize),
    /// The request's body was not finished by who wrote it.
    #[error("the request's body was not finished")]
    Unfinished,
}

/// What took too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Until the answer began.
    FirstByte,
    /// From one piece of its body to the next.
    BetweenBytes,
}

impl std::fmt::Display for Phase {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::FirstByte => "the answer",
            Self::BetweenBytes => "the next piece of the answer's body",
        })
    }
}

impl HttpError {
    pub(super) fn of(error: &hyper::Error) -> Self {
        if let Some(own) = error.source().and_then(|source| source.downcast_ref::<Self>()) {
            return own.clone();
        }
        if error.is_parse_too_large() {
            return Self::HeadTooLarge;
        }
        if error.is_incomplete_message() || error.is_canceled() || error.is_closed() {
            return Self::Cut;
        }
        let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
        match io {
            // A reset, a broken pipe: the same as an end that comes too early. TLS has its own words.
            Some(io) if io.kind() == ErrorKind::UnexpectedEof || io.get_ref().is_none() => {
                Self::Cut
            }
            Some(io) => Self::Protocol(explain(io)),
            None => Self::Protocol(error.to_string()),
        }
    }
}
