//! Bodies: the request's, which somebody writes, and the answer's, which somebody reads.

use std::future::{Future as _, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::HeaderMap;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Sleep, sleep};

use super::error::{HttpError, Phase};
use super::pool::Back;

/// A request's body: nothing, bytes that are there, or a stream of somebody's.
pub struct Outgoing(Pin<Box<dyn Body<Data = Bytes, Error = HttpError> + Send>>);

impl Outgoing {
    /// Of whatever streams. An error of its own means that whoever writes it did not finish.
    pub fn of<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
    {
        Self(Box::pin(Told(Box::pin(body))))
    }
}

/// A body whose errors are in our words.
struct Told<B>(Pin<Box<B>>);

impl<B: Body<Data = Bytes>> Body for Told<B> {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = ready!(self.0.as_mut().poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|_| HttpError::Unfinished)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.0.as_mut().poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// No body.
pub fn empty() -> Outgoing {
    full(Bytes::new())
}

/// These bytes.
pub fn full(bytes: Bytes) -> Outgoing {
    Outgoing::of(Full(Some(bytes).filter(|bytes| !bytes.is_empty())))
}

/// A body that is written while it is sent. `length` is what was promised, if anything was.
pub fn channel(length: Option<u64>) -> (Sender, Outgoing) {
    // One piece waits while another is sent; the next one's writer waits too.
    let (pieces, queue) = mpsc::channel(1);
    (Sender(pieces), Outgoing::of(Written { queue, length, done: false }))
}

struct Full(Option<Bytes>);

impl Body for Full {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.as_ref().map_or(0, |bytes| bytes.len() as u64))
    }
}

/// Who writes a request's body. Dropped without [`Sender::finish`], the request fails: what was sent is not taken for
/// all there is.
pub struct Sender(mpsc::Sender<Step>);

enum Step {
    Piece(Bytes),
    End(Option<HeaderMap>),
}

impl Sender {
    /// Writes a piece, once there is room for it; `false` if nobody reads any more.
    pub async fn send(&self, piece: Bytes) -> bool {
        piece.is_empty() || self.0.send(Step::Piece(piece)).await.is_ok()
    }

    /// That was all; `false` if nobody reads any more.
    pub async fn finish(self, trailers: Option<HeaderMap>) -> bool {
        self.0.send(Step::End(trailers)).await.is_ok()
    }
}

struct Written {
    queue: mpsc::Receiver<Step>,
    length: Option<u64>,
    done: bool,
}

impl Body for Written {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if self.done {
            return Poll::Ready(None);
        }
        Poll::Ready(match ready!(self.queue.poll_recv(cx)) {
            Some(Step::Piece(piece)) => Some(Ok(Frame::data(piece))),
            Some(Step::End(trailers)) => {
                self.done = true;
                trailers.map(|trailers| Ok(Frame::trailers(trailers)))
            }
            None => {
                self.done = true;
                Some(Err(HttpError::Unfinished))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.done
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let piece = ready!(self.poll_next(cx));
        Poll::Ready(piece.map(|piece| {
            piece.map(|piece| match piece {
                Piece::Data(data) => Frame::data(data),
                Piece::Trailers(trailers) => Frame::trailers(trailers),
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What comes of an answer's body.
#[derive(Debug, Clone, PartialEq)]
pub enum Piece {
    /// Bytes.
    Data(Bytes),
    /// What comes after them.
    Trailers(HeaderMap),
}

/// An answer's body. Read to its end, its connection serves the next request; dropped before, it is closed.
pub struct Incoming {
    body: Source,
    /// Where the connection goes, and the request's place among those under way.
    rest: Option<(Back, OwnedSemaphorePermit)>,
    patience: Duration,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// Where an answer comes from.
enum Source {
    /// From another machine.
    Wire(hyper::body::Incoming),
    /// From within this process: whoever answers there answers as if it had come over a connection.
    Within(Outgoing),
}

impl Source {
    fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match self {
            Self::Wire(body) => {
                Pin::new(body).poll_frame(cx).map_err(|error| HttpError::of(&error))
            }
            Self::Within(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Wire(body) => body.is_end_stream(),
            Self::Within(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Wire(body) => body.size_hint(),
            Self::Within(body) => body.size_hint(),
        }
    }
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}

impl Incoming {
    pub(super) fn new(
        body: hyper::body::Incoming,
        back: Back,
        place: OwnedSemaphorePermit,
        patience: Duration,
    ) -> Self {
        let body = Source::Wire(body);
        let ended = body.is_end_stream();
        let mut incoming = Self { body, rest: Some((back, place)), patience, waiting: None };
        if ended {
            incoming.give_back();
        }
        incoming
    }

    /// The body of an answer that comes from within this process.
    pub fn within(body: Outgoing, patience: Duration) -> Self {
        Self { body: Source::Within(body), rest: None, patience, waiting: None }
    }

    /// The next piece; `None` is the end.
    pub async fn next(&mut self) -> Option<Result<Piece, HttpError>> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, to be polled.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, HttpError>>> {
        let frame = match self.body.poll_frame(cx) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return self.wait(cx),
        };
        self.waiting = None;
        Poll::Ready(match frame {
            None => {
                self.give_back();
                None
            }
            Some(Err(error)) => {
                self.rest = None;
                Some(Err(error))
            }
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => Some(Ok(Piece::Data(data))),
                Err(frame) => Some(Ok(Piece::Trailers(frame.into_trailers().unwrap_or_default()))),
            },
        })
    }

    /// The whole of it, if it has no more bytes than this.
    pub async fn all(mut self, bytes_max: usize) -> Result<Bytes, HttpError> {
        let announced = self.body.size_hint().exact().unwrap_or(0);
        if announced > bytes_max as u64 {
            return Err(HttpError::BodyTooLarge(bytes_max));
        }
        let mut all = Vec::new();
        while let Some(piece) = self.next().await {
            let Piece::Data(data) = piece? else { continue };
            if all.len() + data.len() > bytes_max {
                return Err(HttpError::BodyTooLarge(bytes_max));
            }
            all.extend_from_slice(&data);
        }
        Ok(all.into())
    }

    /// How many bytes it has, if that was announced.
    pub fn announced(&self) -> Option<u64> {
        self.body.size_hint().exact()
    }

    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Piece, HttpError>>> {
        let patience = self.patience;
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(waiting.as_mut().poll(cx));
        self.rest = None;
        Poll::Ready(Some(Err(HttpError::Timeout(Phase::BetweenBytes))))
    }

    fn give_back(&mut self) {
        if let Some((back, _place)) = self.rest.take() {
            back.give();
        }
    }
}
