//! Async components (`CanonicalABI.md`: tasks, subtasks, waitables), as far as guests of Spin 4 go: a
//! function may answer by `task.return` instead of returning, and wait between its callbacks; a call out may
//! go on in the background until the guest asks what became of it.
//!
//! Not here: components that call each other do so one after the other, each call to its end; so they
//! cannot stream to each other, and streams and futures come from the host alone. A component that
//! makes one of its own ends with a sentence that names what can run it. What a component would do after its
//! answer is done until it waits for something: then the instance is gone, as on the other engine.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::timeout;
use wasmi::{Memory, Val};

use super::builtins::{Builtin, is_result_of};
use super::guest::Guest;
use super::plan::{Core, Lifted, Lowered, Options, Target};
use super::room::{cell, val};
use crate::engine::canonical::{
    Abi, Event, FuncType, Shape, Status, Taken, Type, Value, Waitables, trap,
};
use crate::engine::door::{Answer, Answering, Holds};
use crate::engine::fault::Fault;
use crate::engine::turns;
use crate::limits::engine as limits;

/// One call of a component.
pub(super) struct Task {
    /// The function: an index into the lifted ones.
    function: usize,
    /// Handles lent to it that it still has.
    pub(super) borrowed: u32,
    /// What the guest keeps with its task.
    context: [u64; 2],
    /// What it answered with `task.return`.
    answer: Option<Option<Value>>,
}

impl Task {
    /// A call of this function.
    pub(super) fn of(function: usize) -> Self {
        Self { function, borrowed: 0, context: [0; 2], answer: None }
    }
}

/// A call out that goes on in the background.
pub(super) struct Underway {
    /// Its number in the caller's table.
    subtask: u32,
    call: Arc<Lowered>,
    memory: Option<Memory>,
    lent: Vec<u32>,
    /// Where the caller wants the result.
    at: Option<u32>,
    answering: Answering,
}

/// What an async function or its callback asks for when it returns (`CanonicalABI.md`: callback codes).
enum Next {
    Exit,
    Yield,
    Wait { set: u32 },
}

impl Next {
    fn of(code: u32) -> Result<Self, Fault> {
        match (code & 0xf, code >> 4) {
            (0, _) => Ok(Self::Exit),
            (1, _) => Ok(Self::Yield),
            (2, set) => Ok(Self::Wait { set }),
            (other, _) => Err(trap(format!("its callback returned the unknown code {other}"))),
        }
    }
}

/// Reads that came to their end, as the guest is told: how many values, and this.
const COMPLETED: u32 = 0;
const DROPPED: u32 = 1;

impl<H: Holds> Guest<'_, H> {
    /// A function that answers with `task.return`.
    pub(super) async fn run_task(
        &mut self,
        lifted: &Lifted,
        params: &[Val],
    ) -> Result<Option<Value>, Fault> {
        let Lifted { core, options, .. } = lifted;
        let func = self.func(core)?;
        match &options.callback {
            None => self.invoke(func, params, &mut []).await?,
            Some(callback) => {
                let callback = self.func(callback)?;
                let mut code = [Val::I32(0)];
                self.invoke(func, params, &mut code).await?;
                while let Some(event) = self.next_event(options.component, &code[0]).await? {
                    let Event { code: what, index, payload } = event;
                    let event = [what, index, payload].map(|word| Val::I32(word as i32));
                    self.invoke(callback, &event, &mut code).await?;
                }
            }
        }
        let answer = self.tasks.last_mut().and_then(|task| task.answer.take());
        answer.ok_or_else(|| trap("it ended without giving a result"))
    }

    /// What a callback is called with next; `None` if there is nothing more to call it for.
    async fn next_event(&mut self, component: usize, code: &Val) -> Result<Option<Event>, Fault> {
        // Whoever called the outermost component has what it wanted.
        let outermost = self.tasks.len() == 1;
        let answered = self.tasks.last().is_some_and(|task| task.answer.is_some());
        match Next::of(cell(code) as u32)? {
            Next::Exit => Ok(None),
            _ if outermost && answered => Ok(None),
            Next::Yield => {
                self.give_way().await?;
                Ok(Some(Event::NONE))
            }
            Next::Wait { set } => self.event(component, set).await.map(Some),
        }
    }

    /// Waits until something happens in a set.
    async fn event(&mut self, component: usize, set: u32) -> Result<Event, Fault> {
        loop {
            if let Some(event) = self.waitables(component).event(set)? {
                return Ok(event);
            }
            if self.underway.is_empty() {
                return Err(trap("it waits for what nobody will ever do"));
            }
            let ended = poll_fn(|context| self.poll_underway(context));
            let ended = match timeout(limits::WAIT_IN_FULL, ended).await {
                Ok(ended) => ended,
                Err(_) => {
                    self.give_back_zeroes().await;
                    poll_fn(|context| self.poll_underway(context)).await
                }
            };
            self.finish(ended)?;
        }
    }

    /// Lets others go on: calls in the background, and the loop.
    async fn give_way(&mut self) -> Result<(), Fault> {
        turns::end().await;
        let ended = poll_fn(|context| Poll::Ready(self.poll_underway(context))).await;
        match ended {
            Poll::Ready(ended) => self.finish(ended),
            Poll::Pending => Ok(()),
        }
    }

    /// The first call that has ended. Dropped, it leaves the calls as they are.
    fn poll_underway(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<(Underway, Answer<Option<Value>>)> {
        for index in 0..self.underway.len() {
            if let Poll::Ready(answer) = self.underway[index].answering.as_mut().poll(context) {
                return Poll::Ready((self.underway.remove(index), answer));
            }
        }
        Poll::Pending
    }

    fn finish(&mut self, (ended, answer): (Underway, Answer<Option<Value>>)) -> Result<(), Fault> {
        let result = self.fine(answer)?;
        self.returned(&ended.call, ended.memory, &ended.lent, result, ended.at)?;
        self.waitables(ended.call.options.component).end(ended.subtask);
        Ok(())
    }

    fn waitables(&mut self, component: usize) -> &mut Waitables {
        &mut self.components[component].handles.waitables
    }

    /// A call out that the guest does not wait for. One that can be answered at once is; its caller is told
    /// how far it is, and its number if it is not at its end.
    pub(super) async fn start_call(
        &mut self,
        call: Arc<Lowered>,
        cells: &[u64],
    ) -> Result<Option<Val>, Fault> {
        let (options, at) = (&call.options, call.result_at(cells));
        let memory = self.memory_of(options)?;
        let (params, lent) = self.lift(memory, options).params(&call.ty, Abi::Async, cells)?;
        let result = match &call.target {
            Target::Host(place) => {
                let mut answering = self.behind.functions[*place].call(&self.host, params);
                match poll_fn(|context| Poll::Ready(answering.as_mut().poll(context))).await {
                    Poll::Ready(answer) => self.fine(answer)?,
                    Poll::Pending => {
                        let subtask = self.waitables(options.component).start()?;
                        self.underway.push(Underway { subtask, call, memory, lent, at, answering });
                        return Ok(word(Status::Started as u32 | subtask << 4));
                    }
                }
            }
            Target::Lifted(index) => Box::pin(self.call(*index, params)).await?,
            Target::Missing(sentence) => return Err(trap(&**sentence)),
        };
        self.returned(&call, memory, &lent, result, at)?;
        Ok(word(Status::Returned as u32))
    }

    /// Does what a guest called one of the component model's own functions for.
    pub(super) async fn builtin(
        &mut self,
        component: usize,
        builtin: &Builtin,
        cells: &[u64],
    ) -> Result<Option<Val>, Fault> {
        let cell = |index: usize| cells.get(index).map_or(0, |cell| *cell as u32);
        let (first, second) = (cell(0), cell(1));
        match builtin {
            Builtin::Return { ty, options } => self.answer_task(ty, options, cells)?,
            Builtin::Cancel => return Err(trap("it ended a task that nobody asked it to end")),
            Builtin::Get { slot, flat } => {
                let context = self.tasks.last().and_then(|task| task.context.get(*slot));
                return Ok(Some(val(*flat, context.copied().unwrap_or(0))));
            }
            Builtin::Set { slot } => {
                let context = self.tasks.last_mut().and_then(|task| task.context.get_mut(*slot));
                if let (Some(context), Some(cell)) = (context, cells.first()) {
                    *context = *cell;
                }
            }
            Builtin::Backpressure => {}
            Builtin::Yield => {
                self.give_way().await?;
                return Ok(word(0));
            }
            Builtin::NewSet => return Ok(word(self.waitables(component).new_set()?)),
            Builtin::Wait { memory } => {
                let event = self.event(component, first).await?;
                return self.tell(memory, second, event);
            }
            Builtin::Poll { memory } => {
                self.give_way().await?;
                let event = self.waitables(component).event(first)?;
                return self.tell(memory, second, event.unwrap_or(Event::NONE));
            }
            Builtin::DropSet => self.waitables(component).drop_set(first)?,
            Builtin::Join => self.waitables(component).join(first, second)?,
            Builtin::CancelCall => return self.cancel(component, first),
            Builtin::DropCall => self.waitables(component).drop_subtask(first)?,
            Builtin::Read { ty, options } => {
                return self.read(ty, options, [first, second, cell(2)]);
            }
            Builtin::CancelRead => return Err(trap("it cancelled a read that had ended")),
            Builtin::DropReadable { ty } => self.waitables(component).drop_readable(ty, first)?,
            Builtin::Make => {
                return Err(trap(
                    "it made a stream or a future of its own, which cannot be interpreted: set engine = \"pulley\" and build an artifact with `pirn build`",
                ));
            }
            Builtin::Writable => {
                return Err(trap(format!("it used handle {first}, which it does not have")));
            }
        }
        Ok(None)
    }

    fn answer_task(
        &mut self,
        ty: &FuncType,
        options: &Options,
        cells: &[u64],
    ) -> Result<(), Fault> {
        let plan = self.plan;
        let lifted = self.tasks.last().and_then(|task| plan.lifts.get(task.function));
        let fits = |lifted: &&Arc<Lifted>| {
            lifted.options.abi == Abi::Async
                && lifted.options.component == options.component
                && lifted.options.encoding == options.encoding
                && is_result_of(ty, &lifted.ty)
        };
        if lifted.filter(fits).is_none() {
            return Err(trap("it gave a result that is not its function's"));
        }
        let memory = self.memory_of(options)?;
        let (values, _) = self.lift(memory, options).params(ty, Abi::Sync, cells)?;
        self.nothing_kept()?;
        let answer = self.tasks.last_mut().map(|task| &mut task.answer);
        match answer {
            Some(answer @ None) => {
                *answer = Some(values.into_iter().next());
                Ok(())
            }
            _ => Err(trap("it gave more than one result")),
        }
    }

    /// An event, half returned and half in memory.
    fn tell(&mut self, memory: &Core, at: u32, event: Event) -> Result<Option<Val>, Fault> {
        let memory = self.memory(memory)?;
        let mut words = [0; 8];
        words[..4].copy_from_slice(&event.index.to_le_bytes());
        words[4..].copy_from_slice(&event.payload.to_le_bytes());
        let written = memory.write(&mut self.store, at as usize, &words);
        written.map_err(|_| {
            trap(format!("it wants events at {at:#x}, which is outside of its memory"))
        })?;
        Ok(word(event.code))
    }

    fn cancel(&mut self, component: usize, subtask: u32) -> Result<Option<Val>, Fault> {
        let status = match self.waitables(component).cancel(subtask)? {
            Status::Started => {
                let mine = |call: &Underway| {
                    call.subtask == subtask && call.call.options.component == component
                };
                if let Some(index) = self.underway.iter().position(mine) {
                    let Underway { lent, .. } = self.underway.remove(index);
                    let handles = &mut self.components[component].handles;
                    lent.into_iter().for_each(|index| handles.give_back(index));
                }
                Status::Cancelled
            }
            ended => ended,
        };
        Ok(word(status as u32))
    }

    /// `[handle, address]` of a future, `[handle, address, how many at most]` of a stream.
    fn read(
        &mut self,
        ty: &Type,
        options: &Options,
        [index, at, room]: [u32; 3],
    ) -> Result<Option<Val>, Fault> {
        let (item, room) = match ty.shape() {
            Shape::Stream(item) => (item, room),
            Shape::Future(item) => (item, 1),
            _ => return Err(trap("it read from something else than a stream")),
        };
        let Taken { values, dropped } = self.waitables(options.component).read(ty, index, room)?;
        let count = values.len() as u32;
        if let Some(item) = item {
            let memory = self.memory_of(options)?;
            self.lower(memory, options, |lower| lower.items(item, values, at, room))?;
        }
        Ok(word(match (ty.shape(), dropped) {
            (_, true) => DROPPED,
            (Shape::Stream(_), _) => COMPLETED | count << 4,
            _ => COMPLETED,
        }))
    }
}

fn word(word: u32) -> Option<Val> {
    Some(Val::I32(word as i32))
}
