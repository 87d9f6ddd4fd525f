//! A connection's bytes, as hyper reads and writes them, and who is late: the client is, if it sends no head, or takes no
//! answer. tokio's and hyper's traits differ by little; this is all that is between them.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::limits::http as limits;

/// Whatever carries bytes.
pub(super) trait Carrier: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Carrier for T {}

/// A connection.
pub(super) struct Wire {
    carrier: Pin<Box<dyn Carrier>>,
    /// A request's first byte, read before anybody made room for the rest.
    first: Option<u8>,
    pace: Arc<Pace>,
}

/// Where a connection is, seen by its wire, its requests and who keeps the time.
#[derive(Debug)]
pub(super) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    stage: Stage,
    /// Since when the client is waited for to take bytes.
    stuck: Option<Instant>,
    /// Since when it is waited for to send more of a body.
    hungry: Option<Instant>,
    waited: Duration,
    written: usize,
    is_at_end: bool,
    /// What of a request and its answer is not over.
    open: u32,
}

/// What of a request or its answer is not over, as long as this is not dropped.
pub(super) struct Part(Arc<Pace>);

impl Part {
    pub(super) fn of(pace: &Arc<Pace>) -> Self {
        pace.state().open += 1;
        Self(Arc::clone(pace))
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.open = state.open.saturating_sub(1);
        if state.open == 0 {
            (state.stage, state.hungry) = (Stage::Answered, None);
        }
    }
}

/// What a connection is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// A head is coming, since then.
    Head(Instant),
    /// A request is under way.
    Request,
    /// Both bodies are over; what is left of the answer is being written.
    Answered,
    /// Nothing is under way, since then.
    Idle(Instant),
}

/// A client that is waited for, and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// To ask something.
    Idle(Instant),
    /// To send the rest of what it began, or to take what it asked for.
    Slow(Instant),
}

impl Pace {
    pub(super) fn new() -> Arc<Self> {
        let stage = Stage::Idle(Instant::now());
        let (stuck, waited, written, open) = (None, Duration::ZERO, 0, 0);
        let is_at_end = false;
        Arc::new(Self(Mutex::new(State {
            stage,
            stuck,
            hungry: None,
            waited,
            written,
            is_at_end,
            open,
        })))
    }

    pub(super) fn stage(&self) -> Stage {
        self.state().stage
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.state().stage = stage;
    }

    /// Whether the client is waited for.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        let state = self.state();
        match state.stage {
            Stage::Idle(since) => Some(Awaited::Idle(since)),
            Stage::Head(since) => Some(Awaited::Slow(since)),
            Stage::Request | Stage::Answered => state.stuck.or(state.hungry).map(Awaited::Slow),
        }
    }

    /// More of a body is waited for, or came.
    pub(super) fn body(&self, is_waited_for: bool) {
        let mut state = self.state();
        match is_waited_for {
            true => drop(state.hungry.get_or_insert_with(Instant::now)),
            false => state.hungry = None,
        }
    }

    /// The client sends nothing more.
    pub(super) fn is_at_end(&self) -> bool {
        self.state().is_at_end
    }

    /// When the client is late, as things are.
    pub(super) fn due(&self) -> Option<Instant> {
        let state = self.state();
        let writes =
            state.stuck.map(|since| since + limits::SLOW_TIME.saturating_sub(state.waited));
        match state.stage {
            Stage::Head(since) => Some(since + limits::HEAD_TIME),
            Stage::Idle(since) => Some(since + limits::QUIET_AFTER),
            Stage::Request | Stage::Answered => writes,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, result: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        match (result, state.stage) {
            (Poll::Ready(Ok(0)), _) => state.is_at_end = true,
            (Poll::Ready(Ok(_)), Stage::Idle(_) | Stage::Answered) => {
                state.stage = Stage::Head(Instant::now());
            }
            (Poll::Pending, Stage::Answered) => state.stage = Stage::Idle(Instant::now()),
            _ => {}
        }
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        let mut state = self.state();
        match result {
            Poll::Pending => {
                state.stuck.get_or_insert_with(Instant::now);
            }
            Poll::Ready(Ok(bytes)) => {
                if let Some(since) = state.stuck.take() {
                    state.waited += since.elapsed();
                }
                state.written = state.written.saturating_add(*bytes);
                if state.written >= limits::SLOW_BYTES {
                    (state.waited, state.written) = (Duration::ZERO, 0);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }
}

impl Wire {
    pub(super) fn new(carrier: impl Carrier + 'static, pace: &Arc<Pace>) -> Self {
        Self { carrier: Box::pin(carrier), first: None, pace: Arc::clone(pace) }
    }

    /// Waits for the first byte of a request; whether one came. Dropping it loses nothing.
    pub(super) async fn begins(&mut self) -> io::Result<bool> {
        if self.first.is_some() {
            return Ok(true);
        }
        let mut byte = [0];
        let count = std::future::poll_fn(|context| {
            let mut buffer = ReadBuf::new(&mut byte);
            let read = self.carrier.as_mut().poll_read(context, &mut buffer);
            read.map_ok(|()| buffer.filled().len())
        })
        .await?;
        self.first = (count > 0).then_some(byte[0]);
        Ok(count > 0)
    }

    /// The carrier, for what is not hyper's.
    pub(super) fn carrier(&mut self) -> Pin<&mut dyn Carrier> {
        self.carrier.as_mut()
    }
}

impl hyper::rt::Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut cursor: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let wire = self.get_mut();
        if cursor.remaining() > 0
            && let Some(first) = wire.first.take()
        {
            cursor.put_slice(&[first]);
            return Poll::Ready(Ok(()));
        }
        // hyper's buffer is not initialised, and to say so takes `unsafe`: so the bytes pass through here.
        let mut room = [0; READ_BYTES];
        let wanted = cursor.remaining().min(READ_BYTES);
        let mut buffer = ReadBuf::new(&mut room[..wanted]);
        let read = wire.carrier.as_mut().poll_read(context, &mut buffer);
        let read = read.map_ok(|()| buffer.filled().len());
        wire.pace.read(&read);
        ready!(read)?;
        cursor.put_slice(buffer.filled());
        Poll::Ready(Ok(()))
    }
}

/// What is read at once.
const READ_BYTES: usize = 8 << 10;

impl hyper::rt::Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = wire.carrier.as_mut().poll_write(context, bytes);
        wire.pace.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wire = self.get_mut();
        let written = wire.carrier.as_mut().poll_write_vectored(context, pieces);
        wire.pace.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.carrier.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().carrier.as_mut().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().carrier.as_mut().poll_shutdown(context)
    }
}
