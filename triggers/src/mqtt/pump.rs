//! Between a connection and the core: reads what there is, writes what is ready in one go, waits.
//!
//! One future, polled as a whole: there is nothing in it that could be dropped half-way, and whatever
//! wakes it (the socket, the clock, a program that settles or publishes) it looks at all three. So what
//! many handlers have settled and published since it last ran leaves in a single write.

use super::codec::{self, Reader};
use super::packet::{Fault, Outgoing};
use super::shared::Shared;
use crate::limits::mqtt as limits;
use crate::net::backoff::now;
use crate::net::{Stream, explain};
use bytes::{Buf, BytesMut};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Sleep, sleep_until, timeout};

/// What broke a connection.
fn fault(error: &std::io::Error) -> Fault {
    Fault::Broken(explain(error))
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// Against our will.
    Broken(Fault),
    /// We left it.
    Left,
}

/// One connection at work.
pub(super) struct Pump<'a> {
    shared: &'a Shared,
    stream: Stream,
    reader: Reader,
    out: BytesMut,
    /// What was given to the stream may still be in it.
    unflushed: bool,
    /// The other side takes nothing at present.
    stuck: bool,
    timer: Pin<Box<Sleep>>,
    stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Flowing,
    /// DISCONNECT is in `out`.
    Leaving,
    /// There is nothing to leave: the session stops before the broker has accepted us.
    Pointless,
}

impl<'a> Pump<'a> {
    pub(super) fn new(shared: &'a Shared, stream: Stream) -> Self {
        Self {
            shared,
            stream,
            reader: Reader::new(&shared.options),
            out: BytesMut::new(),
            unflushed: false,
            stuck: false,
            timer: Box::pin(sleep_until(now().into())),
            stage: Stage::Flowing,
        }
    }

    /// Works until the connection ends. Dropped, it is cut.
    pub(super) async fn run(mut self) -> Ended {
        let ended = poll_fn(|cx| self.poll(cx)).await;
        if self.stage == Stage::Leaving && matches!(ended, Ended::Left) {
            self.drain().await;
        }
        ended
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        loop {
            let read = self.read(cx);
            if let Poll::Ready(Err(fault)) = read {
                return Poll::Ready(Ended::Broken(fault));
            }
            let deadline = match self.fill(cx) {
                Ok(deadline) => deadline,
                Err(fault) => return Poll::Ready(Ended::Broken(fault)),
            };
            let written = self.write(cx);
            if let Poll::Ready(Err(fault)) = written {
                self.read_the_rest(cx);
                return Poll::Ready(Ended::Broken(fault));
            }
            let done = self.out.is_empty() && !self.unflushed;
            if self.stage == Stage::Pointless || self.stage == Stage::Leaving && done {
                return Poll::Ready(Ended::Left);
            }
            let waited = self.wait(deadline, cx);
            if let Poll::Ready(Err(fault)) = waited {
                return Poll::Ready(Ended::Broken(fault));
            }
            if read.is_pending() && written.is_pending() && waited.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Reads once, if the core takes packets at present. If not, it wakes us when it does.
    fn read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        if !self.shared.deliver(&mut self.reader)? {
            return Poll::Pending;
        }
        let room = self.reader.room();
        match ready!(pin!(self.stream.read_buf(room)).poll(cx)) {
            Ok(0) => Poll::Ready(Err(Fault::Broken("the broker closed the connection".into()))),
            Ok(_) => {
                self.shared.heard();
                Poll::Ready(self.shared.deliver(&mut self.reader).map(drop))
            }
            Err(error) => Poll::Ready(Err(fault(&error))),
        }
    }

    /// A broker that closes the connection may have said something before.
    fn read_the_rest(&mut self, cx: &mut Context<'_>) {
        while let Poll::Ready(Ok(())) = self.read(cx) {}
    }

    /// Takes from the core what there is to write, up to a bound. Says when to look at the time.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<Instant, Fault> {
        let (out, stage, stuck) = (&mut self.out, &mut self.stage, self.stuck);
        let options = &self.shared.options;
        self.shared.drive(cx.waker(), |core| {
            let now = now();
            core.written(stuck, now);
            if core.is_stopping() && !core.is_open() {
                *stage = Stage::Pointless;
            }
            while out.len() < limits::WRITE_BYTES {
                let Some(packet) = core.next_to_send(now) else { break };
                codec::write(&packet, options, out).map_err(Fault::Broken)?;
                if packet == Outgoing::Disconnect {
                    *stage = Stage::Leaving;
                }
            }
            Ok(core.deadline(now))
        })
    }

    /// Writes what there is, as far as it goes. `Pending` also if there is nothing.
    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        self.stuck = !self.out.is_empty() || self.unflushed;
        if !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.out));
            match written {
                Ok(0) => return Poll::Ready(Err(Fault::Broken("nothing can be written".into()))),
                Ok(written) => self.out.advance(written),
                Err(error) => return Poll::Ready(Err(fault(&error))),
            }
            self.unflushed = true;
        } else if !self.unflushed {
            return Poll::Pending;
        }
        if self.out.is_empty() {
            self.give_back();
            ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(|error| fault(&error))?;
            self.unflushed = false;
        }
        self.stuck = false;
        Poll::Ready(Ok(()))
    }

    /// A large message's room does not stay with us.
    fn give_back(&mut self) {
        if self.out.capacity() > limits::BUFFER_KEPT_BYTES {
            self.out = BytesMut::new();
        }
    }

    /// Looks at the time. The timer is moved only forward to an earlier deadline, or when it has fired:
    /// deadlines move away with every packet, and moving it costs more than letting it fire for nothing.
    fn wait(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        let deadline = deadline.into();
        if self.timer.is_elapsed() || deadline < self.timer.deadline() {
            self.timer.as_mut().reset(deadline);
        }
        ready!(self.timer.as_mut().poll(cx));
        Poll::Ready(self.shared.on_time())
    }

    /// Reads until the broker closes the connection, which it does after DISCONNECT. A socket closed
    /// with something unread in it resets the connection, and a broker that is told so in the middle of
    /// its work forgets the acknowledgements that it has not looked at yet.
    async fn drain(&mut self) {
        let reading = async {
            // It may be gone already.
            let _ = self.stream.shutdown().await;
            while poll_fn(|cx| self.read(cx)).await.is_ok() {}
        };
        let _ = timeout(limits::DRAIN_TIMEOUT, reading).await;
    }
}
