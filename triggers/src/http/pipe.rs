//! A body that goes out, as it is made: one end writes, the other is read by the connection. What waits between them is
//! bounded, so who writes is as slow as who reads.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::source::Broken;
use crate::limits::http::{PIECE_BYTES, PIPE_BYTES};

/// Both ends of a body of any length.
pub fn pipe() -> (Writer, Reader) {
    let shared = Arc::new(Shared(Mutex::new(Pipe { is_read: true, ..Pipe::default() })));
    (Writer(Arc::clone(&shared)), Reader(shared))
}

/// Where a body is written. Dropped before [`Self::finish`], the body is broken, and the reader is told.
#[derive(Debug)]
pub struct Writer(Arc<Shared>);

/// Where it is read. Dropped before its end, the writer is told.
#[derive(Debug)]
pub struct Reader(Arc<Shared>);

/// Waits for room, beside the writer.
#[derive(Clone, Debug)]
pub struct Room(Arc<Shared>);

/// Nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads the body any more")]
pub struct Gone;

#[derive(Debug)]
struct Shared(Mutex<Pipe>);

#[derive(Debug, Default)]
struct Pipe {
    pieces: VecDeque<Bytes>,
    /// What they take, with what each piece takes beside its bytes.
    held: usize,
    /// Since when there is no room.
    full_since: Option<Instant>,
    is_read: bool,
    /// Whatever is written is dropped.
    is_drain: bool,
    end: Option<Result<Option<HeaderMap>, Broken>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Shared {
    fn pipe(&self) -> MutexGuard<'_, Pipe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    fn room(&self) -> Option<usize> {
        (self.is_read || self.is_drain).then(|| PIPE_BYTES.saturating_sub(self.held))
    }

    fn end(&mut self, end: Result<Option<HeaderMap>, Broken>) {
        self.end.get_or_insert(end);
        self.reader.take().into_iter().for_each(Waker::wake);
    }
}

impl Writer {
    /// How many bytes there is room for; `None` if nobody reads any more.
    pub fn room(&self) -> Option<usize> {
        self.0.pipe().room()
    }

    /// What waits for room, apart from the writer.
    pub fn waits(&self) -> Room {
        Room(Arc::clone(&self.0))
    }

    /// Takes bytes, whether there is room or not: the caller has looked.
    pub fn write(&mut self, bytes: Bytes) -> Result<(), Gone> {
        let mut pipe = self.0.pipe();
        if pipe.is_drain {
            return Ok(());
        }
        if !pipe.is_read {
            return Err(Gone);
        }
        if !bytes.is_empty() {
            pipe.held += bytes.len() + PIECE_BYTES;
            pipe.pieces.push_back(bytes);
            if pipe.held >= PIPE_BYTES {
                pipe.full_since.get_or_insert_with(Instant::now);
            }
            pipe.reader.take().into_iter().for_each(Waker::wake);
        }
        Ok(())
    }

    /// The body is complete.
    pub fn finish(self, trailers: Option<HeaderMap>) {
        self.0.pipe().end(Ok(trailers));
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.pipe().end(Err(Broken::Cut("whoever wrote the body ended before it".into())));
    }
}

impl Room {
    /// Since when nobody took anything of a body that is full.
    pub fn full_since(&self) -> Option<Instant> {
        self.0.pipe().full_since
    }

    /// Waits until there is room again, or nobody reads any more.
    pub async fn wait(self) {
        poll_fn(|context| {
            let mut pipe = self.0.pipe();
            if pipe.room() != Some(0) {
                return Poll::Ready(());
            }
            pipe.writer = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Reader {
    /// Nobody is to read it: what is written goes nowhere, as of a body that answers HEAD.
    pub fn drain(self) {
        let mut pipe = self.0.pipe();
        pipe.is_drain = true;
        pipe.clear();
    }
}

impl Pipe {
    fn clear(&mut self) {
        self.pieces = VecDeque::new();
        self.held = 0;
        self.full_since = None;
        self.writer.take().into_iter().for_each(Waker::wake);
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut pipe = self.0.pipe();
        pipe.is_read = false;
        pipe.clear();
    }
}

/// Its length is never said, even if all of it is here already: how an answer goes over the wire must not depend on who was
/// quicker. Who knows it announces it.
impl Body for Reader {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let mut pipe = self.0.pipe();
        if let Some(piece) = pipe.pieces.pop_front() {
            pipe.held = pipe.held.saturating_sub(piece.len() + PIECE_BYTES);
            pipe.full_since =
                pipe.full_since.filter(|_| pipe.held >= PIPE_BYTES).map(|_| Instant::now());
            pipe.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &mut pipe.end {
            None => {
                pipe.reader = Some(context.waker().clone());
                Poll::Pending
            }
            Some(Ok(trailers)) => Poll::Ready(trailers.take().map(|map| Ok(Frame::trailers(map)))),
            Some(Err(broken)) => Poll::Ready(Some(Err(broken.clone()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn next(reader: &mut Reader) -> Option<Result<Frame<Bytes>, Broken>> {
        poll_fn(|context| Pin::new(&mut *reader).poll_frame(context)).await
    }

    #[tokio::test]
    async fn a_writer_waits_for_its_reader() {
        let (mut writer, mut reader) = pipe();
        assert_eq!(writer.write(vec![1; PIPE_BYTES].into()), Ok(()));
        assert_eq!(writer.room(), Some(0));
        let waits = writer.waits();
        let wait = tokio::spawn(waits.wait());
        assert!(next(&mut reader).await.is_some_and(|frame| frame.is_ok()));
        assert!(wait.await.is_ok());
        assert_eq!(writer.room(), Some(PIPE_BYTES));
        writer.finish(None);
        assert!(next(&mut reader).await.is_none());
    }

    #[tokio::test]
    async fn a_body_whose_writer_is_gone_is_broken() {
        let (mut writer, mut reader) = pipe();
        assert_eq!(writer.write(Bytes::from_static(b"x")), Ok(()));
        drop(writer);
        assert!(next(&mut reader).await.is_some_and(|frame| frame.is_ok()));
        assert!(next(&mut reader).await.is_some_and(|frame| frame.is_err()));
    }

    #[tokio::test]
    async fn a_writer_whose_reader_is_gone_is_told_and_one_that_is_drained_is_not() {
        let (mut writer, reader) = pipe();
        drop(reader);
        assert_eq!((writer.room(), writer.write(Bytes::from_static(b"x"))), (None, Err(Gone)));
        let (mut writer, reader) = pipe();
        reader.drain();
        assert_eq!(writer.write(vec![1; 2 * PIPE_BYTES].into()), Ok(()));
        assert_eq!(writer.room(), Some(PIPE_BYTES));
    }
}
