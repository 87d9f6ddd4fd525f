//! Streams and futures at the compiled engine: what it asks of whoever writes to a guest or reads from it, in terms of
//! pipes.

use std::any::{Any, TypeId};
use std::future::poll_fn;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use wasmtime::StoreContextMut;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, InstanceType, InterfaceType, LiftContext, LowerContext,
};
use wasmtime::component::{
    ComponentType, Destination, FutureAny, FutureConsumer, FutureReader, Lift, Lower,
    Source as Written, StreamAny, StreamConsumer, StreamProducer, StreamReader, StreamResult,
    WriteBuffer,
};

use super::{Held, Promise, Stream};
use crate::engine::canonical::{End, Next, Sink, Source, Value, pipe};
use crate::engine::door::Answer;
use crate::engine::wire::{Bound, Wire};
use crate::limits::engine::{PIPE_BYTES, PIPE_ITEMS};

/// What becomes of a guest, for those who read what it writes: known before its end, unless it does not end by itself.
#[derive(Clone, Debug, Default)]
pub struct Fate(Arc<OnceLock<End>>);

impl Fate {
    /// It ends like this. What was said first counts.
    pub fn seal(&self, end: End) {
        let _ = self.0.set(end);
    }

    fn is_broken(&self) -> bool {
        self.0.get() == Some(&End::Broken)
    }
}

/// What a store keeps with a guest, as far as streams ask.
pub trait Fated: Send + 'static {
    /// The guest's fate.
    fn fate(&self) -> &Fate;
}

/// What a future may bring.
pub trait Payload: Wire + Lift + Lower + Send + Sync + 'static {}

impl<T: Wire + Lift + Lower + Send + Sync + 'static> Payload for T {}

/// What a stream may bring.
pub trait Item: Payload + Unpin {
    /// How the compiled engine wants them.
    type Buffer: WriteBuffer<Self> + Default;
    /// How many of them wait between who writes and who reads.
    const ROOM: usize;

    /// What was taken from a pipe, for a guest.
    fn buffered(values: Vec<Value>) -> Self::Buffer;

    /// Some of what a guest writes, for a pipe that has this much room.
    fn written<D: Fated>(
        written: Written<'_, Self>,
        store: StoreContextMut<'_, D>,
        room: usize,
    ) -> Answer<Vec<Value>>;
}

impl Item for u8 {
    type Buffer = Bytes;
    const ROOM: usize = PIPE_BYTES;

    fn buffered(values: Vec<Value>) -> Bytes {
        match values.into_iter().next() {
            Some(Value::Bytes(bytes)) => bytes,
            _ => Bytes::new(),
        }
    }

    fn written<D: Fated>(
        written: Written<'_, Self>,
        store: StoreContextMut<'_, D>,
        room: usize,
    ) -> Answer<Vec<Value>> {
        let mut written = written.as_direct(store);
        let bytes = written.remaining();
        let bytes = Bytes::copy_from_slice(&bytes[..bytes.len().min(room)]);
        written.mark_read(bytes.len());
        Ok(vec![Value::Bytes(bytes)])
    }
}

/// What any other item needs.
pub fn written_items<T: Payload, D: Fated>(
    mut written: Written<'_, T>,
    mut store: StoreContextMut<'_, D>,
    room: usize,
) -> Answer<Vec<Value>> {
    let mut items: Vec<T> = Vec::with_capacity(room.min(written.remaining(&mut store)));
    written.read(&mut store, &mut items)?;
    items.iter_mut().try_for_each(|item| item.connect(&mut store, Bound::Host))?;
    Ok(items.into_iter().map(T::into_value).collect())
}

/// Declares that a stream may bring these, which are no bytes.
macro_rules! items {
    ($($item:ty),* $(,)?) => {$(
        impl $crate::engine::streams::Item for $item {
            type Buffer = wasmtime::component::VecBuffer<Self>;
            const ROOM: usize = $crate::limits::engine::PIPE_ITEMS;

            fn buffered(values: Vec<$crate::engine::canonical::Value>) -> Self::Buffer {
                let items = values.into_iter().map(<Self as $crate::engine::wire::Wire>::from_value);
                items.flatten().collect::<Vec<_>>().into()
            }

            fn written<D: $crate::engine::streams::Fated>(
                written: wasmtime::component::Source<'_, Self>,
                store: wasmtime::StoreContextMut<'_, D>,
                room: usize,
            ) -> $crate::engine::door::Answer<Vec<$crate::engine::canonical::Value>> {
                $crate::engine::streams::written_items(written, store, room)
            }
        }
    )*};
}

#[allow(unused_imports, reason = "for capabilities that stream types of their own")]
pub(crate) use items;

items!(u16, u32, u64, i8, i16, i32, i64, f64, bool, String);

/// The host writes to a guest.
struct Producer<T>(Source, PhantomData<fn(T)>);

impl<D: 'static, T: Item> StreamProducer<D> for Producer<T> {
    type Item = T;
    type Buffer = T::Buffer;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut to: Destination<'a, T, T::Buffer>,
        finish: bool,
    ) -> Poll<Answer<StreamResult>> {
        let waits = || match finish {
            true => Poll::Ready(Ok(StreamResult::Cancelled)),
            false => Poll::Pending,
        };
        let room = to.remaining(store).unwrap_or(PIPE_BYTES);
        if room == 0 {
            let some = self.0.poll_some(cx);
            return if some.is_ready() {
                Poll::Ready(Ok(StreamResult::Completed))
            } else {
                waits()
            };
        }
        match self.0.poll_next(cx, room) {
            Poll::Pending => waits(),
            Poll::Ready(Next::End(_)) => Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(Next::Value(value)) => {
                let mut values = vec![value];
                while T::ROOM == PIPE_ITEMS && values.len() < room.min(PIPE_ITEMS) {
                    let Poll::Ready(Next::Value(value)) = self.0.poll_next(cx, room) else { break };
                    values.push(value);
                }
                to.set_buffer(T::buffered(values));
                Poll::Ready(Ok(StreamResult::Completed))
            }
        }
    }

    /// A guest that gives back what it was given has no part in it any more.
    fn try_into(me: Pin<Box<Self>>, ty: TypeId) -> Result<Box<dyn Any>, Pin<Box<Self>>> {
        match ty == TypeId::of::<Source>() {
            true => Ok(Box::new(me.0.clone())),
            false => Err(me),
        }
    }
}

/// The host reads from a guest.
struct Consumer<T> {
    sink: Sink,
    fate: Fate,
    item: PhantomData<fn(T)>,
}

impl<T> Drop for Consumer<T> {
    /// The guest dropped its end, or is gone itself.
    fn drop(&mut self) {
        if !self.fate.is_broken() {
            self.sink.end();
        }
    }
}

impl<D: Fated, T: Item> StreamConsumer<D> for Consumer<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        written: Written<'_, T>,
        finish: bool,
    ) -> Poll<Answer<StreamResult>> {
        Poll::Ready(match self.sink.poll_room(cx) {
            Poll::Pending if finish => Ok(StreamResult::Cancelled),
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => Ok(StreamResult::Dropped),
            Poll::Ready(Some(_)) if written.remaining(&mut store) == 0 => {
                Ok(StreamResult::Completed)
            }
            Poll::Ready(Some(room)) => T::written(written, store, room).map(|values| {
                values.into_iter().for_each(|value| self.sink.put(value));
                StreamResult::Completed
            }),
        })
    }
}

impl<D: Fated, T: Payload> FutureConsumer<D> for Consumer<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        mut store: StoreContextMut<'_, D>,
        mut written: Written<'_, T>,
        _: bool,
    ) -> Poll<Answer<()>> {
        let mut value = None;
        let read = written.read(&mut store, &mut value).and_then(|()| {
            if let Some(mut value) = value {
                value.connect(&mut store, Bound::Host)?;
                self.sink.put(value.into_value());
            }
            Ok(())
        });
        Poll::Ready(read)
    }
}

impl<T: Item> Stream<T> {
    /// What a compiled guest passed is put to a pipe, and what is for it made of one.
    pub(super) fn connect_stream<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        self.0 = match (std::mem::replace(&mut self.0, Held::Gone), bound) {
            (Held::Guest(stream), Bound::Host) => {
                let reader: StreamReader<T> = stream.try_into_stream_reader()?;
                Held::Pipe(match reader.try_into::<Source>(&mut *store) {
                    Ok(source) => source,
                    Err(reader) => {
                        let (sink, source) = pipe(T::ROOM);
                        let fate = store.data().fate().clone();
                        reader.pipe(store, Consumer::<T> { sink, fate, item: PhantomData })?;
                        source
                    }
                })
            }
            (Held::Pipe(source), Bound::Guest) => {
                let reader = StreamReader::new(&mut *store, Producer::<T>(source, PhantomData))?;
                Held::Guest(StreamAny::try_from_stream_reader(store, reader)?)
            }
            (held, _) => held,
        };
        Ok(())
    }
}

impl<T: Payload> Promise<T> {
    /// The same.
    pub(super) fn connect_future<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        self.0 = match (std::mem::replace(&mut self.0, Held::Gone), bound) {
            (Held::Guest(future), Bound::Host) => {
                let reader: FutureReader<T> = future.try_into_future_reader()?;
                let (sink, source) = pipe(1);
                let fate = store.data().fate().clone();
                reader.pipe(store, Consumer::<T> { sink, fate, item: PhantomData })?;
                Held::Pipe(source)
            }
            (Held::Pipe(source), Bound::Guest) => {
                let reader = FutureReader::new(&mut *store, awaited::<T>(source))?;
                Held::Guest(FutureAny::try_from_future_reader(store, reader)?)
            }
            (held, _) => held,
        };
        Ok(())
    }
}

async fn awaited<T: Payload>(source: Source) -> Answer<T> {
    let value = match poll_fn(|cx| source.poll_next(cx, 1)).await {
        Next::Value(value) => T::from_value(value),
        Next::End(_) => None,
    };
    value.ok_or_else(|| wasmtime::Error::msg("it waits for a value that will never come"))
}

macro_rules! crossing {
    ($name:ident<$bound:ident> as $reader:ident, $any:ident) => {
        // SAFETY: it is on the wire what the engine's own is, which does all of it.
        #[allow(unsafe_code, reason = "says how a type crosses a guest's border; see SAFETY")]
        unsafe impl<T: $bound> ComponentType for $name<T> {
            type Lower = <$any as ComponentType>::Lower;

            const ABI: CanonicalAbiInfo = <$any as ComponentType>::ABI;

            fn typecheck(ty: &InterfaceType, types: &InstanceType<'_>) -> Answer<()> {
                <$reader<T> as ComponentType>::typecheck(ty, types)
            }
        }

        // SAFETY: as above.
        #[allow(unsafe_code, reason = "says how a type crosses a guest's border; see SAFETY")]
        unsafe impl<T: $bound> Lift for $name<T> {
            fn linear_lift_from_flat(
                cx: &mut LiftContext<'_>,
                ty: InterfaceType,
                src: &Self::Lower,
            ) -> Answer<Self> {
                let it = $any::linear_lift_from_flat(cx, ty, src)?;
                Ok(Self(Held::Guest(it), PhantomData))
            }

            fn linear_lift_from_memory(
                cx: &mut LiftContext<'_>,
                ty: InterfaceType,
                bytes: &[u8],
            ) -> Answer<Self> {
                let it = $any::linear_lift_from_memory(cx, ty, bytes)?;
                Ok(Self(Held::Guest(it), PhantomData))
            }
        }

        // SAFETY: as above.
        #[allow(unsafe_code, reason = "says how a type crosses a guest's border; see SAFETY")]
        unsafe impl<T: $bound> Lower for $name<T> {
            fn linear_lower_to_flat<D>(
                &self,
                cx: &mut LowerContext<'_, D>,
                ty: InterfaceType,
                to: &mut MaybeUninit<Self::Lower>,
            ) -> Answer<()> {
                self.0.guests()?.linear_lower_to_flat(cx, ty, to)
            }

            fn linear_lower_to_memory<D>(
                &self,
                cx: &mut LowerContext<'_, D>,
                ty: InterfaceType,
                offset: usize,
            ) -> Answer<()> {
                self.0.guests()?.linear_lower_to_memory(cx, ty, offset)
            }
        }
    };
}

crossing!(Stream<Item> as StreamReader, StreamAny);
crossing!(Promise<Payload> as FutureReader, FutureAny);

impl<R> Held<R> {
    fn guests(&self) -> Answer<&R> {
        match self {
            Self::Guest(it) => Ok(it),
            Self::Pipe(_) | Self::Gone => {
                Err(wasmtime::Error::msg("it was not made for this guest"))
            }
        }
    }
}
