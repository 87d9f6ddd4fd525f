//! Async components (`CanonicalABI.md`: tasks, subtasks, waitables): a function may answer by `task.return` instead of
//! returning, go on after that, and wait between its callbacks; a call out may go on in the background until the guest
//! asks what became of it; a call may be given up.

use std::sync::Arc;

use wasmi::Val;

use super::builtins::Builtin;
use super::guest::{Guest, Inner};
use super::plan::Lifted;
use super::room::{cell, val};
use crate::engine::canonical::{Abi, BLOCKED, Cancel, Event, Value, trap};
use crate::engine::door::Holds;
use crate::engine::fault::Fault;

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

impl<'p, H: Holds> Guest<'p, H> {
    /// A call of a component, from when it may begin to its end.
    pub(super) async fn run_job(
        self: &Arc<Self>,
        me: usize,
        params: Vec<Value>,
        at_once: bool,
    ) -> Result<(), Fault> {
        let function = self.it().task(me)?.function;
        let lifted: &'p Lifted = &self.plan.lifts[function];
        if !at_once && !self.until(|it| it.may_begin(me, lifted.options.component)).await? {
            self.it().tasks[me] = None;
            return Ok(());
        }
        let params = self.it().begin_task(me, lifted, params)?;
        match lifted.options.abi {
            Abi::Sync => self.run_sync(me, lifted, &params).await?,
            Abi::Async => self.run_async(me, lifted, &params).await?,
        }
        self.it().end_task(me)
    }

    /// A function that answers with `task.return`.
    async fn run_async(
        self: &Arc<Self>,
        me: usize,
        lifted: &'p Lifted,
        params: &[Val],
    ) -> Result<(), Fault> {
        let Lifted { core, options, .. } = lifted;
        let func = self.it().func(core)?;
        let Some(callback) = &options.callback else {
            return self.invoke(me, func, params, &mut []).await;
        };
        let component = options.component;
        let callback = self.it().func(callback)?;
        let mut code = [Val::I32(0)];
        self.it().components[component].exclusive = true;
        self.invoke(me, func, params, &mut code).await?;
        self.it().components[component].exclusive = false;
        while let Some(event) = self.next_event(me, component, &code[0]).await? {
            let Event { code: what, index, payload } = event;
            let event = [what, index, payload].map(|word| Val::I32(word as i32));
            self.it().components[component].exclusive = true;
            self.invoke(me, callback, &event, &mut code).await?;
            self.it().components[component].exclusive = false;
        }
        Ok(())
    }

    /// What a callback is called with next; `None` if there is nothing more to call it for.
    async fn next_event(
        &self,
        me: usize,
        component: usize,
        code: &Val,
    ) -> Result<Option<Event>, Fault> {
        let next = Next::of(cell(code) as u32)?;
        self.it().moved = true;
        match next {
            Next::Exit => Ok(None),
            Next::Yield => {
                if self.it().may_wait(me).is_ok() {
                    self.give_way().await;
                }
                let free =
                    |it: &mut Inner<'_>| Ok((!it.components[component].exclusive).then_some(()));
                self.until(free).await?;
                let event = self.it().asked_to_end(me).unwrap_or(Event::NONE);
                Ok(Some(event))
            }
            Next::Wait { set } => {
                self.it().may_wait(me)?;
                self.wait(me, component, set, true, true).await.map(Some)
            }
        }
    }

    /// Waits until something happens in a set.
    async fn wait(
        &self,
        me: usize,
        component: usize,
        set: u32,
        cancellable: bool,
        returns: bool,
    ) -> Result<Event, Fault> {
        self.it().handles(component).wait_in(set, true)?;
        let event = self
            .until(|it| {
                // A callback is called when no other code of its component runs.
                if returns && it.components[component].exclusive {
                    return Ok(None);
                }
                match cancellable.then(|| it.asked_to_end(me)).flatten() {
                    Some(event) => Ok(Some(event)),
                    None => it.handles(component).event(set),
                }
            })
            .await?;
        self.it().handles(component).wait_in(set, false)?;
        Ok(event)
    }

    /// Does what a guest called one of the component model's own functions for. It is known by who calls: the task, its
    /// component, and the function's own number.
    pub(super) async fn builtin(
        self: &Arc<Self>,
        (me, component, by): (usize, usize, usize),
        builtin: &'p Builtin,
        cells: &[u64],
    ) -> Result<Option<Val>, Fault> {
        let cell = |index: usize| cells.get(index).map_or(0, |cell| *cell as u32);
        let (first, second) = (cell(0), cell(1));
        match builtin {
            Builtin::Wait { cancellable, memory } => {
                self.it().may_wait(me)?;
                let event = self.wait(me, component, first, *cancellable, false).await?;
                return self.it().tell(memory, second, event);
            }
            Builtin::Yield { cancellable } => {
                if self.it().may_wait(me).is_ok() {
                    self.give_way().await;
                }
                let is_asked = *cancellable && self.it().asked_to_end(me).is_some();
                return Ok(word(u32::from(is_asked)));
            }
            Builtin::CancelCall { waits } => {
                return self.cancel(me, component, first, *waits).await;
            }
            Builtin::Copy(copying) => {
                let what = [first, second, if copying.is_future() { 1 } else { cell(2) }];
                return self.copy(me, by, copying, what).await;
            }
            _ => {}
        }
        let mut it = self.it();
        match builtin {
            Builtin::Return { ty, options } => it.answer_task(me, ty, options, cells)?,
            Builtin::Cancel => it.end_cancelled(me)?,
            Builtin::Get { slot, flat } => {
                let context = it.task(me)?.context.get(*slot).copied();
                return Ok(Some(val(*flat, context.unwrap_or(0))));
            }
            Builtin::Set { slot } => {
                if let (Some(context), Some(cell)) =
                    (it.task(me)?.context.get_mut(*slot), cells.first())
                {
                    *context = *cell;
                }
            }
            Builtin::Backpressure { more } => it.backpressure(component, *more)?,
            Builtin::NewSet => return Ok(word(it.handles(component).new_set()?)),
            Builtin::Poll { cancellable, memory } => {
                let event = match cancellable.then(|| it.asked_to_end(me)).flatten() {
                    Some(event) => Some(event),
                    None => it.handles(component).event(first)?,
                };
                return it.tell(memory, second, event.unwrap_or(Event::NONE));
            }
            Builtin::DropSet => it.handles(component).drop_set(first)?,
            Builtin::Join => it.handles(component).join(first, second)?,
            Builtin::DropCall => it.handles(component).drop_subtask(first)?,
            Builtin::Make { ty } => {
                let (reads, writes) = it.handles(component).make(ty)?;
                return Ok(Some(Val::I64((u64::from(reads) | u64::from(writes) << 32) as i64)));
            }
            Builtin::CancelCopy { way, ty, waits } => {
                if *waits {
                    it.may_wait(me)?;
                }
                return it.cancel_copy(component, (*way, ty, *waits), first);
            }
            Builtin::DropEnd { way, ty } => it.drop_end(component, *way, ty, first)?,
            Builtin::Wait { .. }
            | Builtin::Yield { .. }
            | Builtin::CancelCall { .. }
            | Builtin::Copy(_) => {}
        }
        Ok(None)
    }

    /// A call is given up. Who does it may have to be asked, and may take its time.
    async fn cancel(
        &self,
        me: usize,
        component: usize,
        subtask: u32,
        waits: bool,
    ) -> Result<Option<Val>, Fault> {
        if waits {
            self.it().may_wait(me)?;
        }
        let cancel = self.it().handles(component).cancel(subtask, waits)?;
        match cancel {
            Cancel::Was(status) => return Ok(word(status as u32)),
            Cancel::Host => self.it().give_up(component, subtask),
            Cancel::Task(task) => {
                if self.it().ask_to_end(task)? {
                    self.one_pass().await;
                }
            }
        }
        let ended = self.it().handles(component).ended(subtask);
        match ended {
            Some(status) => Ok(word(status as u32)),
            None if !waits => Ok(word(BLOCKED)),
            None => {
                let status = self.until(|it| Ok(it.handles(component).ended(subtask))).await?;
                Ok(word(status as u32))
            }
        }
    }
}

pub(super) fn word(word: u32) -> Option<Val> {
    Some(Val::I32(word as i32))
}
