//! Streams and futures as capabilities and worlds see them: the same on both engines, and the same whoever made them. A
//! [`Stream`] is what a guest passes as `stream<T>`, and what it is given as one; a [`Promise`] the same of `future<T>`.
//! Behind both is a pipe that holds little, so whoever writes has to wait for whoever reads.
//!
//! Nothing is read ahead of who reads. When a guest ends before it has ended its stream, whoever reads is told that it is
//! not whole.

mod compiled;

use std::future::poll_fn;
use std::marker::PhantomData;
use std::task::{Context, Poll};

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::{FutureAny, StreamAny};

#[allow(unused_imports, reason = "for capabilities that stream types of their own")]
pub(crate) use self::compiled::items;
pub use self::compiled::{Fate, Fated, Item, Payload, written_items};
use super::canonical::{End, Flow, Foreign, Next, Shape, Sink, Source, Type, Value, pipe};
use super::door::Answer;
use super::wire::{Bound, Wire, payload_fits};
use crate::limits::engine::PIPE_BYTES;

/// A `stream<T>`, to be read, or to be given to a guest.
pub struct Stream<T>(Held<StreamAny>, PhantomData<fn(T)>);

/// A `future<T>`, to be waited for, or to be given to a guest.
pub struct Promise<T>(Held<FutureAny>, PhantomData<fn(T)>);

/// Where it comes from.
enum Held<R> {
    Pipe(Source),
    /// The compiled engine's: a pipe is put to what comes from a guest before anybody sees it, and this is made of a pipe
    /// before a guest sees it.
    Guest(R),
    /// Nothing comes: what it was was taken.
    Gone,
}

/// What a [`Stream`] brings is written here. Dropped without [`Writer::finish`], the stream is not whole.
pub struct Writer<T>(Sink, PhantomData<fn(T)>);

/// Keeps a [`Promise`].
pub struct Resolver<T>(Sink, PhantomData<fn(T)>);

/// Nobody reads any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody reads it any more")]
pub struct Unread;

/// Whoever wrote is gone, and did not end what it wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its writer was gone before its end")]
pub struct Cut;

/// A stream, and where what it brings is written.
pub fn stream<T: Item>() -> (Writer<T>, Stream<T>) {
    let (sink, source) = pipe(T::ROOM);
    (Writer(sink, PhantomData), Stream(Held::Pipe(source), PhantomData))
}

/// A future, and who decides what it will be. Where that is dropped without a decision, a guest that waits for it ends.
pub fn promise<T: Wire>() -> (Resolver<T>, Promise<T>) {
    let (sink, source) = pipe(1);
    (Resolver(sink, PhantomData), Promise(Held::Pipe(source), PhantomData))
}

impl<T: Item> Stream<T> {
    /// A stream of what is there already.
    pub fn of(items: Vec<T>) -> Self {
        let (writer, stream) = stream();
        match T::list_into_value(items) {
            Value::List(values) => values.into_iter().for_each(|value| writer.0.put(value)),
            bytes => writer.0.put(bytes),
        }
        writer.finish();
        stream
    }
}

impl<T: Wire> Stream<T> {
    /// The next item; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<T>, Cut> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same for futures written by hand.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<T>, Cut>> {
        let next = match self.source() {
            Some(source) => source.poll_next(cx, PIPE_BYTES),
            None => return Poll::Ready(Ok(None)),
        };
        next.map(|next| match next {
            Next::Value(value) => T::from_value(value).map(Some).ok_or(Cut),
            Next::End(End::Whole) => Ok(None),
            Next::End(End::Broken) => Err(Cut),
        })
    }

    fn source(&self) -> Option<&Source> {
        match &self.0 {
            Held::Pipe(source) => Some(source),
            Held::Guest(_) | Held::Gone => None,
        }
    }
}

impl Stream<u8> {
    /// The next bytes, as many as are there up to `most`; `None` at the end.
    pub async fn chunk(&mut self, most: usize) -> Result<Option<Bytes>, Cut> {
        poll_fn(|cx| self.poll_chunk(cx, most)).await
    }

    /// The same for futures written by hand. `most` is not 0.
    pub fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<Result<Option<Bytes>, Cut>> {
        let next = match self.source() {
            Some(source) => source.poll_next(cx, most.max(1)),
            None => return Poll::Ready(Ok(None)),
        };
        next.map(|next| match next {
            Next::Value(Value::Bytes(bytes)) => Ok(Some(bytes)),
            Next::End(End::Whole) => Ok(None),
            Next::Value(_) | Next::End(End::Broken) => Err(Cut),
        })
    }

    /// Whether all of it was read, and it was whole.
    pub fn is_ended(&self) -> bool {
        self.source().is_none_or(|source| source.ended() == Some(End::Whole))
    }
}

impl<T: Wire> Writer<T> {
    /// Writes one item as soon as there is room for it.
    pub async fn send(&self, item: T) -> Result<(), Unread> {
        poll_fn(|cx| self.0.poll_room(cx)).await.ok_or(Unread)?;
        self.0.put(item.into_value());
        Ok(())
    }

    /// Done when nobody reads any more.
    pub async fn unread(&self) {
        poll_fn(|cx| self.0.poll_deserted(cx)).await;
    }

    /// That was all.
    pub fn finish(self) {
        self.0.end();
    }
}

impl Writer<u8> {
    /// How many bytes there is room for, once there is some.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<Result<usize, Unread>> {
        self.0.poll_room(cx).map(|room| room.ok_or(Unread))
    }

    /// Puts bytes in for which there is room.
    pub fn put(&self, bytes: Bytes) {
        self.0.put(Value::Bytes(bytes));
    }

    /// Writes all of these, as there is room for them.
    pub async fn write(&self, mut bytes: Bytes) -> Result<(), Unread> {
        while !bytes.is_empty() {
            let room = poll_fn(|cx| self.poll_room(cx)).await?;
            self.put(bytes.split_to(room.min(bytes.len())));
        }
        Ok(())
    }
}

impl<T: Wire> Promise<T> {
    /// A future whose value is there already.
    pub fn ready(value: T) -> Self {
        let (resolver, promise) = promise();
        resolver.resolve(value);
        promise
    }

    /// What it will be; `None` if nobody will ever say.
    pub async fn wait(mut self) -> Option<T> {
        poll_fn(|cx| self.poll_wait(cx)).await
    }

    /// The same for futures written by hand; not to be asked again afterwards.
    pub fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let Held::Pipe(source) = &self.0 else { return Poll::Ready(None) };
        source.poll_next(cx, 1).map(|next| match next {
            Next::Value(value) => T::from_value(value),
            Next::End(_) => None,
        })
    }
}

impl<T: Wire> Resolver<T> {
    /// This is what it is.
    pub fn resolve(self, value: T) {
        self.0.put(value.into_value());
        self.0.end();
    }

    /// Done when nobody waits for it any more.
    pub async fn unread(&self) {
        poll_fn(|cx| self.0.poll_deserted(cx)).await;
    }
}

impl<T: Item> Wire for Stream<T> {
    const FLOWS: bool = true;

    fn fits(ty: &Type) -> bool {
        matches!(ty.shape(), Shape::Stream(Some(item)) if T::fits(item))
    }

    fn into_value(self) -> Value {
        match self.0 {
            Held::Pipe(source) => Value::Stream(Flow::Host(source)),
            Held::Guest(it) => Value::Stream(Flow::Foreign(Foreign::new(it))),
            Held::Gone => Value::Stream(Flow::Host(nothing())),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Stream(Flow::Host(source)) => Some(Self(Held::Pipe(source), PhantomData)),
            Value::Stream(Flow::Foreign(it)) => {
                it.get::<StreamAny>().map(|it| Self(Held::Guest(it.clone()), PhantomData))
            }
            _ => None,
        }
    }

    fn connect<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        self.connect_stream(store, bound)
    }
}

impl<T: Payload> Wire for Promise<T> {
    const FLOWS: bool = true;

    fn fits(ty: &Type) -> bool {
        matches!(ty.shape(), Shape::Future(payload) if payload_fits::<T>(payload.as_ref()))
    }

    fn into_value(self) -> Value {
        match self.0 {
            Held::Pipe(source) => Value::Future(Flow::Host(source)),
            Held::Guest(it) => Value::Future(Flow::Foreign(Foreign::new(it))),
            Held::Gone => Value::Future(Flow::Host(nothing())),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Future(Flow::Host(source)) => Some(Self(Held::Pipe(source), PhantomData)),
            Value::Future(Flow::Foreign(it)) => {
                it.get::<FutureAny>().map(|it| Self(Held::Guest(it.clone()), PhantomData))
            }
            _ => None,
        }
    }

    fn connect<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        self.connect_future(store, bound)
    }
}

/// A pipe from which nothing comes.
fn nothing() -> Source {
    pipe(1).1
}
