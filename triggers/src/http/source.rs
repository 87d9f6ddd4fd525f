//! A body that comes in, piece by piece: a client's request, or an answer to a request of ours. Nothing is read that
//! nobody asked for, so a body is as slow as who takes it, and takes one piece's memory.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::time::{Instant, Sleep, sleep};

use crate::limits::http as limits;

/// Why a body has no proper end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It has more bytes than this.
    #[error("the body has more than {0} bytes")]
    TooLarge(u64),
    /// Its sender stopped, or all but.
    #[error("the body does not come")]
    TooSlow,
    /// The connection ended, or what came was no body.
    #[error("{0}")]
    Cut(String),
}

/// Where pieces come from.
type Inner = Pin<Box<dyn Body<Data = Bytes, Error = Broken> + Send>>;

/// A body that comes in. One at a time takes from it; whoever waits last is woken.
pub struct Source(Mutex<State>);

struct State {
    inner: Option<Inner>,
    piece: Bytes,
    /// Bytes that came so far.
    came: u64,
    bytes_max: u64,
    /// `None` for a body that may come as slowly as it likes: somebody else looks at the clock.
    slow: Option<Slow>,
    end: Option<Result<Option<HeaderMap>, Broken>>,
}

/// How long was waited for how little.
#[derive(Default)]
struct Slow {
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
    waited: std::time::Duration,
    bytes: usize,
}

/// What a body gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Some bytes.
    Piece(Bytes),
    /// Nothing yet.
    Nothing,
    /// No more.
    End,
    /// No more, before its end.
    Broken(Broken),
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("came", &self.state().came).finish_non_exhaustive()
    }
}

impl Source {
    /// Of a body, which may have so many bytes.
    pub fn new<B>(body: B, bytes_max: u64) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: fmt::Display,
    {
        let inner: Inner = Box::pin(Told(Box::pin(body)));
        Self::with(Some(inner), Bytes::new(), bytes_max)
    }

    /// Of a body of any length whose sender somebody else keeps an eye on: an answer to a request of ours.
    pub fn patient<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: fmt::Display,
    {
        let source = Self::new(body, u64::MAX);
        source.state().slow = None;
        source
    }

    /// All of it is here.
    pub fn whole(bytes: Bytes) -> Self {
        Self::with(None, bytes, u64::MAX)
    }

    fn with(inner: Option<Inner>, piece: Bytes, bytes_max: u64) -> Self {
        let end = inner.is_none().then_some(Ok(None));
        let came = piece.len() as u64;
        Self(Mutex::new(State { inner, piece, came, bytes_max, slow: Some(Slow::default()), end }))
    }

    /// At most so many bytes, if there are any now.
    pub fn take(&self, bytes_max: usize) -> Taken {
        let mut state = self.state();
        if state.piece.is_empty() {
            // Whoever waits next leaves a waker of its own.
            let _ = state.poll_piece(&mut Context::from_waker(Waker::noop()));
        }
        let count = state.piece.len().min(bytes_max);
        match (&state.end, state.piece.is_empty()) {
            (_, false) => Taken::Piece(state.piece.split_to(count)),
            (None, true) => Taken::Nothing,
            (Some(Ok(_)), true) => Taken::End,
            (Some(Err(broken)), true) => Taken::Broken(broken.clone()),
        }
    }

    /// Ready when [`Self::take`] has something to say.
    pub fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        self.state().poll_piece(context)
    }

    /// The same, to wait for. Dropping it loses nothing.
    pub async fn ready(&self) {
        poll_fn(|context| self.poll_ready(context)).await;
    }

    /// Reads the beginning, so that it is here before anybody asks: so many bytes at least, or all there are. Why not, if
    /// it breaks before.
    pub async fn gather(&self, bytes: usize) -> Result<(), Broken> {
        let mut gathered = BytesMut::new();
        while gathered.len() < bytes {
            self.ready().await;
            match self.take(usize::MAX) {
                Taken::Piece(piece) => gathered.extend_from_slice(&piece),
                Taken::Nothing => {}
                Taken::End => break,
                Taken::Broken(broken) => return Err(broken),
            }
        }
        if !gathered.is_empty() {
            self.state().piece = gathered.freeze();
        }
        Ok(())
    }

    /// What follows the body, once all of it was taken; what nobody took is dropped.
    pub async fn trailers(&self) -> Result<Option<HeaderMap>, Broken> {
        loop {
            self.ready().await;
            let mut state = self.state();
            state.piece = Bytes::new();
            if let Some(end) = &state.end {
                return end.clone();
            }
        }
    }

    /// Since when its sender is waited for.
    pub fn waits_since(&self) -> Option<Instant> {
        self.state().slow.as_ref()?.waiting.as_ref().map(|(since, _)| *since)
    }

    /// How many bytes it has, if all of them were announced or are here.
    pub fn length(&self) -> Option<u64> {
        let state = self.state();
        match &state.inner {
            None => Some(state.piece.len() as u64),
            Some(inner) => Some(inner.size_hint().exact()? + state.piece.len() as u64),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Ready when there is a piece, or the end.
    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.piece.is_empty() && self.end.is_none() {
            let frame = match &mut self.inner {
                Some(inner) => inner.as_mut().poll_frame(context),
                None => Poll::Ready(None),
            };
            let frame = match frame {
                Poll::Ready(frame) => frame,
                Poll::Pending if poll_too_slow(&mut self.slow, context).is_ready() => {
                    Some(Err(Broken::TooSlow))
                }
                Poll::Pending => return Poll::Pending,
            };
            self.came(frame);
        }
        Poll::Ready(())
    }

    fn came(&mut self, frame: Option<Result<Frame<Bytes>, Broken>>) {
        match frame {
            None => self.end = Some(Ok(None)),
            Some(Err(broken)) => self.end = Some(Err(broken)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => {
                    self.slow.iter_mut().for_each(|slow| slow.moved(data.len()));
                    self.came = self.came.saturating_add(data.len() as u64);
                    match self.came > self.bytes_max {
                        true => self.end = Some(Err(Broken::TooLarge(self.bytes_max))),
                        false => self.piece = data,
                    }
                }
                Err(frame) => self.end = Some(Ok(frame.into_trailers().ok())),
            },
        }
        // hyper says so at once, and closes a body that outlasts its answer only with the connection.
        if self.end.is_none() && self.inner.as_ref().is_none_or(|inner| inner.is_end_stream()) {
            self.end = Some(Ok(None));
        }
        if self.end.is_some() {
            // The connection goes on without whoever looks at this body.
            self.inner = None;
        }
    }
}

fn poll_too_slow(slow: &mut Option<Slow>, context: &mut Context<'_>) -> Poll<()> {
    slow.as_mut().map_or(Poll::Pending, |slow| slow.poll_too_slow(context))
}

impl Slow {
    fn poll_too_slow(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = limits::SLOW_TIME.saturating_sub(self.waited);
        let (_, sleep) =
            self.waiting.get_or_insert_with(|| (Instant::now(), Box::pin(sleep(left))));
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(())
    }

    fn moved(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes >= limits::SLOW_BYTES {
            *self = Self::default();
        }
    }
}

/// A body whose errors are in our words.
struct Told<B>(Pin<Box<B>>);

impl<B> Body for Told<B>
where
    B: Body<Data = Bytes>,
    B::Error: fmt::Display,
{
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let frame = ready!(self.0.as_mut().poll_frame(context));
        Poll::Ready(frame.map(|frame| frame.map_err(|error| Broken::Cut(error.to_string()))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.0.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pipe::pipe;
    use super::*;

    fn piece(text: &'static str) -> Taken {
        Taken::Piece(Bytes::from_static(text.as_bytes()))
    }

    #[tokio::test]
    async fn a_body_gives_what_is_there_and_says_when_it_ends() {
        let (mut writer, reader) = pipe();
        let source = Source::new(reader, 100);
        assert_eq!(source.take(9), Taken::Nothing);
        assert!(writer.write(Bytes::from_static(b"abcdef")).is_ok());
        source.ready().await;
        assert_eq!((source.take(4), source.take(4)), (piece("abcd"), piece("ef")));
        writer.finish(None);
        source.ready().await;
        assert_eq!(source.take(4), Taken::End);
        assert_eq!(source.trailers().await, Ok(None));
    }

    #[tokio::test]
    async fn what_was_gathered_is_given_like_the_rest() {
        let (mut writer, reader) = pipe();
        let source = Source::new(reader, 100);
        for part in ["ab", "cd", "ef"] {
            assert!(writer.write(Bytes::from_static(part.as_bytes())).is_ok());
        }
        writer.finish(None);
        assert_eq!(source.gather(5).await, Ok(()));
        assert_eq!((source.take(99), source.take(99)), (piece("abcdef"), Taken::End));
    }

    #[tokio::test]
    async fn a_body_that_is_too_large_ends_there() {
        let (mut writer, reader) = pipe();
        let source = Source::new(reader, 3);
        assert!(writer.write(Bytes::from_static(b"abcdef")).is_ok());
        assert_eq!(source.gather(9).await, Err(Broken::TooLarge(3)));
        assert_eq!(source.take(9), Taken::Broken(Broken::TooLarge(3)));
        // And who writes it is told.
        assert!(writer.room().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_sender_that_trickles_is_too_slow_and_a_reader_that_dawdles_is_not() {
        let (mut writer, reader) = pipe();
        let source = Source::new(reader, u64::MAX);
        let waits = std::time::Duration::from_secs(15);
        for _ in 0..3 {
            assert!(writer.write(Bytes::from(vec![0; limits::SLOW_BYTES])).is_ok());
            // Nobody looks meanwhile.
            tokio::time::sleep(limits::SLOW_TIME * 2).await;
            source.ready().await;
            assert!(matches!(source.take(usize::MAX), Taken::Piece(_)));
        }
        let trickle = async {
            loop {
                tokio::time::sleep(waits).await;
                if writer.write(Bytes::from_static(b"x")).is_err() {
                    return;
                }
            }
        };
        let read = source.gather(9);
        let (read, ()) = tokio::join!(read, trickle);
        assert_eq!(read, Err(Broken::TooSlow));
    }
}
