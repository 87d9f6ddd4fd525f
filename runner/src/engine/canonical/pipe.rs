//! A pipe from whoever makes values to whoever takes them: what is behind every stream and every future that
//! crosses the border between a guest and its host. It holds little, so that who makes them waits for who takes
//! them; and whoever takes them is told whether all of them came.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf as _, Bytes};

use super::value::Value;

/// How a pipe ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All came.
    Whole,
    /// Whoever made the values is gone, and did not say that it was done.
    Broken,
}

/// What is taken from a pipe.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// One value; of a pipe of bytes, some of them at once.
    Value(Value),
    /// There is no more.
    End(End),
}

/// Where values go in. Dropped without [`Sink::end`], the pipe is broken.
#[derive(Debug)]
pub struct Sink(Arc<Mutex<Inside>>);

/// Where they come out. Clones take from the same pipe; with the last of them nobody takes any more.
#[derive(Clone, Debug)]
pub struct Source(Arc<Reading>);

#[derive(Debug)]
struct Reading(Arc<Mutex<Inside>>);

#[derive(Debug)]
struct Inside {
    queue: VecDeque<Value>,
    /// Bytes, or other values, that are in it.
    held: usize,
    /// The most of these.
    most: usize,
    end: Option<End>,
    /// Nobody takes from it any more.
    deserted: bool,
    taker: Option<Waker>,
    maker: Option<Waker>,
}

/// A pipe that holds so many bytes, or so many other values.
pub fn pipe(most: usize) -> (Sink, Source) {
    let inside = Inside {
        queue: VecDeque::new(),
        held: 0,
        most,
        end: None,
        deserted: false,
        taker: None,
        maker: None,
    };
    let inside = Arc::new(Mutex::new(inside));
    (Sink(Arc::clone(&inside)), Source(Arc::new(Reading(inside))))
}

fn locked(inside: &Mutex<Inside>) -> MutexGuard<'_, Inside> {
    inside.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Wakes whoever waits, after the lock is gone.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// How much of a pipe's room this takes.
fn weight(value: &Value) -> usize {
    match value {
        Value::Bytes(bytes) => bytes.len(),
        _ => 1,
    }
}

impl Sink {
    /// How much more it holds, once it holds any more; `None` if nobody takes from it.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Option<usize>> {
        let mut inside = locked(&self.0);
        match inside.most.saturating_sub(inside.held) {
            _ if inside.deserted => Poll::Ready(None),
            0 => {
                inside.maker = Some(cx.waker().clone());
                Poll::Pending
            }
            room => Poll::Ready(Some(room)),
        }
    }

    /// Done when nobody takes from it any more.
    pub fn poll_deserted(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inside = locked(&self.0);
        if inside.deserted {
            return Poll::Ready(());
        }
        inside.maker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Puts a value in, for which there is room.
    pub fn put(&self, value: Value) {
        let mut inside = locked(&self.0);
        if inside.deserted || weight(&value) == 0 {
            return;
        }
        inside.held += weight(&value);
        inside.queue.push_back(value);
        let taker = inside.taker.take();
        drop(inside);
        wake(taker);
    }

    /// That was all.
    pub fn end(&self) {
        self.close(End::Whole);
    }

    fn close(&self, end: End) {
        let mut inside = locked(&self.0);
        inside.end.get_or_insert(end);
        let taker = inside.taker.take();
        drop(inside);
        wake(taker);
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.close(End::Broken);
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut inside = locked(&self.0);
        inside.deserted = true;
        // What is in it may hold other pipes.
        let queue = std::mem::take(&mut inside.queue);
        let maker = inside.maker.take();
        drop(inside);
        drop(queue);
        wake(maker);
    }
}

impl PartialEq for Source {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Source {
    /// The next value, or at most so many bytes.
    pub fn poll_next(&self, cx: &mut Context<'_>, bytes_most: usize) -> Poll<Next> {
        let mut inside = locked(&self.0.0);
        let value = match inside.queue.pop_front() {
            Some(Value::Bytes(mut bytes)) if bytes.len() > bytes_most => {
                let some = bytes.split_to(bytes_most);
                inside.queue.push_front(Value::Bytes(bytes));
                Value::Bytes(some)
            }
            Some(value) => value,
            None => match inside.end {
                Some(end) => return Poll::Ready(Next::End(end)),
                None => {
                    inside.taker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            },
        };
        inside.held = inside.held.saturating_sub(weight(&value));
        let maker = inside.maker.take();
        drop(inside);
        wake(maker);
        Poll::Ready(Next::Value(value))
    }

    /// Copies bytes out; how many, or how it ended.
    pub fn poll_fill(&self, cx: &mut Context<'_>, mut room: &mut [u8]) -> Poll<Result<usize, End>> {
        let most = room.len();
        while !room.is_empty() {
            let mut bytes: Bytes = match self.poll_next(cx, room.len()) {
                Poll::Ready(Next::Value(Value::Bytes(bytes))) => bytes,
                Poll::Ready(Next::End(end)) if room.len() == most => return Poll::Ready(Err(end)),
                Poll::Pending if room.len() == most => return Poll::Pending,
                _ => break,
            };
            let (some, rest) = room.split_at_mut(bytes.len());
            bytes.copy_to_slice(some);
            room = rest;
        }
        Poll::Ready(Ok(most - room.len()))
    }

    /// Done when there is something to take, or nothing ever more.
    pub fn poll_some(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inside = locked(&self.0.0);
        if !inside.queue.is_empty() || inside.end.is_some() {
            return Poll::Ready(());
        }
        inside.taker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How it ended, once everything was taken.
    pub fn ended(&self) -> Option<End> {
        let inside = locked(&self.0.0);
        inside.end.filter(|_| inside.queue.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(source: &Source, most: usize) -> Poll<Next> {
        source.poll_next(&mut Context::from_waker(Waker::noop()), most)
    }

    fn room(sink: &Sink) -> Poll<Option<usize>> {
        sink.poll_room(&mut Context::from_waker(Waker::noop()))
    }

    fn bytes(text: &'static str) -> Value {
        Value::Bytes(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn a_full_pipe_has_room_again_when_something_was_taken() {
        let (sink, source) = pipe(4);
        sink.put(bytes("abcd"));
        assert_eq!(room(&sink), Poll::Pending);
        assert_eq!(now(&source, 3), Poll::Ready(Next::Value(bytes("abc"))));
        assert_eq!(room(&sink), Poll::Ready(Some(3)));
        assert_eq!(now(&source, 3), Poll::Ready(Next::Value(bytes("d"))));
        assert_eq!(now(&source, 3), Poll::Pending);
    }

    #[test]
    fn a_pipe_ends_whole_only_if_its_maker_said_so() {
        let (sink, source) = pipe(1);
        sink.put(Value::Bits(7));
        drop(sink);
        assert_eq!(source.ended(), None);
        assert_eq!(now(&source, 1), Poll::Ready(Next::Value(Value::Bits(7))));
        assert_eq!(now(&source, 1), Poll::Ready(Next::End(End::Broken)));
        let (sink, source) = pipe(1);
        sink.end();
        drop(sink);
        assert_eq!(now(&source, 1), Poll::Ready(Next::End(End::Whole)));
    }

    #[test]
    fn whoever_makes_values_is_told_that_nobody_takes_them() {
        let (sink, source) = pipe(1);
        let other = source.clone();
        drop(source);
        assert_eq!(room(&sink), Poll::Ready(Some(1)));
        drop(other);
        assert_eq!(room(&sink), Poll::Ready(None));
    }

    #[test]
    fn bytes_are_filled_in_from_as_many_pieces_as_there_are() {
        let (sink, source) = pipe(10);
        ["ab", "cde", "f"].into_iter().for_each(|text| sink.put(bytes(text)));
        let (cx, mut room) = (&mut Context::from_waker(Waker::noop()), [0; 4]);
        assert_eq!(source.poll_fill(cx, &mut room), Poll::Ready(Ok(4)));
        assert_eq!(&room, b"abcd");
        assert_eq!(source.poll_fill(cx, &mut room), Poll::Ready(Ok(2)));
        assert_eq!(source.poll_fill(cx, &mut room), Poll::Pending);
        sink.end();
        assert_eq!(source.poll_fill(cx, &mut room), Poll::Ready(Err(End::Whole)));
    }
}
