//! Streams and futures (`CanonicalABI.md`: `stream.read` and its kin): values go from the memory of whoever writes to that
//! of whoever reads, when both are there. Of whom is not there, nothing is kept but where its memory is. At ends that the
//! host has there is a pipe instead, so that neither waits for the other's turn.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmi::Val;

use super::builtins::{Builtin, Copying};
use super::guest::{Guest, Inner};
use super::plan::Does;
use super::tasks::word;
use crate::engine::canonical::{
    BLOCKED, CANCELLED, COMPLETED, Copy, DROPPED, Flow, FuncType, Link, Next, Shape, Shared, Side,
    Sink, Source, Type, Value, Way, packed, pipe, trap,
};
use crate::engine::door::Holds;
use crate::engine::fault::Fault;
use crate::limits::engine as limits;

/// The most that one copy may be: its number shares a word with what it came to.
const COPY_MAX: u32 = (1 << 28) - 1;

impl<'p, H: Holds> Guest<'p, H> {
    /// `[handle, address, how many at most]`
    pub(super) async fn copy(
        self: &Arc<Self>,
        me: usize,
        by: usize,
        copying: &'p Copying,
        [handle, at, left]: [u32; 3],
    ) -> Result<Option<Val>, Fault> {
        let component = copying.options.component;
        let waits = copying.options.abi == crate::engine::canonical::Abi::Sync;
        if waits {
            self.it().may_wait(me)?;
        }
        self.it().reaches(copying, at, left)?;
        let link = self.it().handles(component).copy(&copying.ty, handle, copying.way, waits)?;
        let mine = Copy { component, handle, by, at, left, done: 0 };
        let mut mine = Some(mine);
        let came_to = poll_fn(|cx| {
            let copied = mine.take().map_or(Ok(None), |mine| self.it().copy(&link, mine, cx));
            Poll::Ready(copied)
        })
        .await?;
        match came_to {
            Some(payload) => {
                self.it().handles(component).copied(handle, payload);
                Ok(word(payload))
            }
            None if waits => {
                let told = self.until(|it| Ok(it.handles(component).copy_ended(handle))).await?;
                Ok(word(told))
            }
            None => Ok(word(BLOCKED)),
        }
    }
}

impl<'p> Inner<'p> {
    /// A copy must be all inside of the component's memory.
    fn reaches(&mut self, copying: &Copying, at: u32, count: u32) -> Result<(), Fault> {
        if count > COPY_MAX {
            return Err(trap("wasm trap: stream read/write count too large"));
        }
        let bytes = u64::from(copying.item_bytes()) * u64::from(count);
        let memory = self.memory_of(&copying.options)?;
        let memory = memory.map_or(0, |memory| memory.data_size(&self.store)) as u64;
        if bytes > 0 && u64::from(at) + bytes > memory {
            return Err(trap(format!(
                "it gave room for {bytes} bytes at {at:#x}, which reaches outside of its memory"
            )));
        }
        Ok(())
    }

    fn copying(&self, by: usize) -> Result<&'p Copying, Fault> {
        match &self.plan.trampolines[by].does {
            Does::Builtin { builtin, .. } => match &**builtin {
                Builtin::Copy(copying) => Ok(copying),
                _ => Err(trap("one of its copies is none")),
            },
            _ => Err(trap("one of its copies is none")),
        }
    }

    /// A component copies. What it comes to, or `None` while it waits for the other end.
    fn copy(
        &mut self,
        link: &Link,
        mine: Copy,
        cx: &mut Context<'_>,
    ) -> Result<Option<u32>, Fault> {
        let (way, item_bytes) = {
            let copying = self.copying(mine.by)?;
            (copying.way, copying.item_bytes())
        };
        let mut shared = link.shared();
        match std::mem::replace(shared.side(way.other()), Side::Idle) {
            Side::Dropped => {
                *shared.side(way.other()) = Side::Dropped;
                Ok(Some(packed(DROPPED, 0)))
            }
            Side::Idle => {
                *shared.side(way) = Side::Copying(mine);
                Ok(None)
            }
            Side::Copying(theirs) => {
                let (from, to) = match way {
                    Way::Write => (&mine, &theirs),
                    Way::Read => (&theirs, &mine),
                };
                self.move_items(from, to, mine.left.min(theirs.left))?;
                let (component, handle) = (theirs.component, theirs.handle);
                let met = shared.meet(way, mine, theirs, item_bytes);
                drop(shared);
                if let Some(payload) = met.theirs {
                    self.handles(component).tell(handle, payload);
                }
                Ok(met.mine)
            }
            host => {
                *shared.side(way.other()) = host;
                *shared.side(way) = Side::Copying(mine);
                let copied = self.copy_outside(&mut shared, cx)?;
                match copied {
                    Some(_) => shared.forget(way),
                    None => self.at_host.push(link.clone()),
                }
                Ok(copied)
            }
        }
    }

    /// From one component's memory to another's, a piece at a time.
    fn move_items(&mut self, from: &Copy, to: &Copy, count: u32) -> Result<(), Fault> {
        let (write, read) = (self.copying(from.by)?, self.copying(to.by)?);
        let (Some(item), Some(taken)) = (write.item(), read.item()) else { return Ok(()) };
        if from.component == to.component && !item.is_number() {
            return Err(trap(
                "it read from a stream or future of its own what is more than a number",
            ));
        }
        let bytes = item.bytes();
        let piece = (limits::PIPE_BYTES as u32 / bytes.max(1)).max(1);
        let mut moved = 0;
        while moved < count {
            let some = piece.min(count - moved);
            let (out, into) = (from.at + moved * bytes, to.at + moved * bytes);
            let values = self.lift(&write.options)?.items(Some(item), out, some)?;
            self.lower(&read.options, 0, |lower| lower.items(taken, values, into, some))?;
            moved += some;
        }
        Ok(())
    }

    /// A copy from or to the host: what it comes to, if it comes to anything now.
    fn copy_outside(
        &mut self,
        shared: &mut Shared,
        cx: &mut Context<'_>,
    ) -> Result<Option<u32>, Fault> {
        match (&shared.reader, &shared.writer) {
            (Side::Copying(copy), Side::Source(source)) => {
                let (copy, source) = (copy.clone(), source.clone());
                self.take_from_host(shared, &copy, &source, cx)
            }
            (Side::Sink(sink), Side::Copying(copy)) => {
                let copy = copy.clone();
                let came_to = match sink.poll_room(cx) {
                    Poll::Pending => return Ok(None),
                    Poll::Ready(None) => None,
                    Poll::Ready(Some(room)) => Some(self.give_host(&copy, sink, room)?),
                };
                Ok(Some(match came_to {
                    None => packed(DROPPED, 0),
                    Some(count) => {
                        shared.done |= shared.once;
                        shared.completed(count)
                    }
                }))
            }
            _ => Ok(None),
        }
    }

    /// Puts into a pipe what it has room for, and says how many values that were.
    fn give_host(&mut self, copy: &Copy, sink: &Sink, room: usize) -> Result<u32, Fault> {
        let copying = self.copying(copy.by)?;
        let count = copy.left.min(u32::try_from(room).unwrap_or(u32::MAX));
        if count > 0 {
            let values = self.lift(&copying.options)?.items(copying.item(), copy.at, count)?;
            let flows = copying.item().is_some_and(Type::flows);
            for mut value in values {
                if flows {
                    self.connect_all(&mut value);
                }
                sink.put(value);
            }
        }
        if copying.is_future() {
            sink.end();
        }
        Ok(count)
    }

    fn take_from_host(
        &mut self,
        shared: &mut Shared,
        copy: &Copy,
        source: &Source,
        cx: &mut Context<'_>,
    ) -> Result<Option<u32>, Fault> {
        let copying = self.copying(copy.by)?;
        if copy.left == 0 {
            return Ok(source.poll_some(cx).is_ready().then_some(packed(COMPLETED, 0)));
        }
        if matches!(copying.ty.shape(), Shape::Stream(Some(item)) if *item.shape() == Shape::U8) {
            let memory = self.memory_of(&copying.options)?;
            let bytes = memory.map_or(&mut [][..], |memory| memory.data_mut(&mut self.store));
            // That it is inside was checked when the copy began, and memories never shrink.
            let room = bytes.get_mut(copy.at as usize..).unwrap_or_default();
            let room = room.get_mut(..copy.left as usize).unwrap_or_default();
            return Ok(match source.poll_fill(cx, room) {
                Poll::Pending => None,
                Poll::Ready(Ok(count)) => Some(packed(COMPLETED, count as u32)),
                Poll::Ready(Err(_)) => Some(packed(DROPPED, 0)),
            });
        }
        let (values, ended) = taken(source, copy.left, cx);
        if values.is_empty() {
            return match (ended, copying.is_future()) {
                (false, _) => Ok(None),
                (true, false) => Ok(Some(packed(DROPPED, 0))),
                (true, true) => Err(trap("it waits for a value that will never come")),
            };
        }
        shared.done |= shared.once;
        let count = values.len() as u32;
        if let Some(item) = copying.item() {
            self.lower(&copying.options, 0, |lower| lower.items(item, values, copy.at, count))?;
        }
        Ok(Some(shared.completed(count)))
    }

    /// Ends copies for which the host is there by now.
    pub(super) fn poll_host_ends(&mut self, cx: &mut Context<'_>) -> Result<(), Fault> {
        for link in std::mem::take(&mut self.at_host) {
            let mut shared = link.shared();
            let (copy, way) = match (&shared.reader, &shared.writer) {
                (Side::Copying(copy), Side::Source(_)) => (copy.clone(), Way::Read),
                (Side::Sink(_), Side::Copying(copy)) => (copy.clone(), Way::Write),
                // It was given up.
                _ => continue,
            };
            match self.copy_outside(&mut shared, cx)? {
                Some(payload) => {
                    shared.forget(way);
                    self.moved = true;
                    self.handles(copy.component).tell(copy.handle, payload);
                }
                None => self.at_host.push(link.clone()),
            }
        }
        Ok(())
    }

    /// `stream.cancel-read` and its kin: what was copied, if it was.
    pub(super) fn cancel_copy(
        &mut self,
        component: usize,
        (way, ty, waits): (Way, &Type, bool),
        handle: u32,
    ) -> Result<Option<Val>, Fault> {
        let (_, came_to) = self.handles(component).cancel_copy(ty, handle, way, waits)?;
        let is_stream = matches!(ty.shape(), Shape::Stream(_));
        Ok(word(match came_to {
            None => packed(CANCELLED, 0),
            Some(payload) if is_stream && payload & 0xf == COMPLETED => {
                packed(CANCELLED, payload >> 4)
            }
            Some(payload) => payload,
        }))
    }

    /// A component drops an end: whoever waits at the other is told.
    pub(super) fn drop_end(
        &mut self,
        component: usize,
        way: Way,
        ty: &Type,
        handle: u32,
    ) -> Result<(), Fault> {
        let link = self.handles(component).drop_end(ty, handle, way)?;
        let mut shared = link.shared();
        *shared.side(way) = Side::Dropped;
        let other = shared.side(way.other());
        match other {
            Side::Sink(sink) => {
                sink.end();
                *other = Side::Dropped;
            }
            Side::Source(_) => *other = Side::Dropped,
            Side::Copying(_) => *other = Side::Idle,
            Side::Idle | Side::Dropped => {}
        }
        // Even who does not wait is told, unless all that there was came.
        let holder = *shared.holder(way.other());
        if let Some((component, handle)) = holder.filter(|_| !(shared.once && shared.done)) {
            drop(shared);
            self.handles(component).tell(handle, packed(DROPPED, 0));
        }
        Ok(())
    }

    /// Values on their way to the host: what they bring comes to it through pipes.
    pub(super) fn outward(&mut self, ty: &FuncType, mut values: Vec<Value>) -> Vec<Value> {
        if ty.flows() {
            values.iter_mut().for_each(|value| self.connect_all(value));
        }
        values
    }

    pub(super) fn connect_all(&mut self, value: &mut Value) {
        match value {
            Value::Stream(flow) | Value::Future(flow) => {
                if let Flow::Guest(link) = flow {
                    *flow = Flow::Host(self.connect(&link.clone()));
                }
            }
            Value::List(values) | Value::Fields(values) => {
                values.iter_mut().for_each(|value| self.connect_all(value));
            }
            Value::Case(_, Some(payload)) => self.connect_all(payload),
            _ => {}
        }
    }

    /// The host has the end from which values are taken. If they are the host's own, it has them back.
    fn connect(&mut self, link: &Link) -> Source {
        self.moved = true;
        let mut shared = link.shared();
        if let Side::Source(source) = &shared.writer {
            let source = source.clone();
            (shared.reader, shared.writer) = (Side::Dropped, Side::Dropped);
            return source;
        }
        let (sink, source) = pipe(shared.room());
        match &shared.writer {
            Side::Dropped => sink.end(),
            Side::Copying(_) => self.at_host.push(link.clone()),
            _ => {}
        }
        shared.reader = Side::Sink(sink);
        source
    }

    /// The guest is done: what it wrote to and did not end is at its end too.
    pub(super) fn end_streams(&self) {
        for link in self.components.iter().flat_map(|component| component.handles.written()) {
            if let Side::Sink(sink) = &link.shared().reader {
                sink.end();
            }
        }
    }
}

/// What a pipe has, up to so many values, and whether there is no more.
fn taken(source: &Source, most: u32, cx: &mut Context<'_>) -> (Vec<Value>, bool) {
    let most = (most as usize).min(limits::PIPE_ITEMS);
    let mut values = Vec::new();
    while values.len() < most {
        match source.poll_next(cx, usize::MAX) {
            Poll::Ready(Next::Value(value)) => values.push(value),
            Poll::Ready(Next::End(_)) => return (values, true),
            Poll::Pending => break,
        }
    }
    (values, false)
}
