//! Core functions, run to their end: a slice at a time, and answering what they call on the way.
//!
//! A guest that calls out is suspended: the call comes back to the loop here, which does what was asked, waiting if
//! need be, and resumes the guest with the answer. So host functions never run on top of a guest, and neither does one
//! component on top of another.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use wasmi::{Func, ResumableCall, Val};

use super::guest::{Guest, Inner};
use super::plan::{Does, Resource};
use crate::engine::canonical::{Abi, Dropped, ResourceId};
use crate::engine::door::Holds;
use crate::engine::fault::Fault;
use crate::engine::turns;
use crate::limits::engine as limits;

type Running<'a> = Pin<Box<dyn Future<Output = Result<(), Fault>> + Send + 'a>>;

impl<'p, H: Holds> Guest<'p, H> {
    /// Runs a core function to its end, on top of the one that is under way in this task, if any. That one's stack is
    /// the interpreter's, but what waits for its answer is on ours.
    pub(super) async fn invoke(
        self: &Arc<Self>,
        me: usize,
        func: Func,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Fault> {
        self.it().deeper(me)?;
        self.run_core(me, func, params, results).await?;
        self.it().task(me)?.depth -= 1;
        Ok(())
    }

    /// Runs a core function. All calls of an instance share one slice, or a guest could get a new one whenever it calls.
    async fn run_core(
        self: &Arc<Self>,
        me: usize,
        func: Func,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Fault> {
        let mut call = func.call_resumable(&mut self.it().store, params, results);
        loop {
            call = match call {
                Ok(ResumableCall::Finished) => return Ok(()),
                Ok(ResumableCall::OutOfFuel(stopped)) => {
                    self.it().refuel(stopped.required_fuel().max(limits::FUEL_SLICE));
                    self.breathe().await;
                    stopped.resume(&mut self.it().store, results)
                }
                Ok(ResumableCall::HostTrap(stopped)) => {
                    let asked = self.it().asked();
                    let Some((index, cells)) = asked else {
                        return Err(self.it().fault(stopped.host_error()));
                    };
                    let answer = self.answer(me, index, &cells).await?;
                    self.breathe().await;
                    stopped.resume(&mut self.it().store, answer.as_slice(), results)
                }
                Err(error) => {
                    // The function itself may be one of ours.
                    let asked = self.it().asked();
                    let Some((index, cells)) = asked else { return Err(self.it().fault(&error)) };
                    let answer = self.answer(me, index, &cells).await?;
                    results.iter_mut().zip(answer).for_each(|(result, answer)| *result = answer);
                    return Ok(());
                }
            }
        }
    }

    /// Lets others outside have their turn, if it is theirs; no other job goes on meanwhile.
    pub(super) async fn breathe(&self) {
        if turns::is_over() {
            self.it().held = true;
            turns::end().await;
            self.it().held = false;
        }
    }

    /// Does what a guest called a trampoline for; the answer is one core value at most.
    async fn answer(
        self: &Arc<Self>,
        me: usize,
        index: usize,
        cells: &[u64],
    ) -> Result<Option<Val>, Fault> {
        let first = cells.first().map_or(0, |cell| *cell as u32);
        let plan = self.plan;
        match &plan.trampolines[index].does {
            Does::Lower(call) => {
                self.it().may_leave(call.options.component)?;
                match call.options.abi {
                    Abi::Sync => self.call_out(me, call, cells).await,
                    Abi::Async => self.start_call(me, call, cells).await,
                }
            }
            Does::Builtin { component, builtin } => {
                if builtin.leaves() {
                    self.it().may_leave(*component)?;
                }
                self.builtin((me, *component, index), builtin, cells).await
            }
            Does::New { component, resource } => {
                let mut it = self.it();
                it.may_leave(*component)?;
                let handle = it.handles(*component).own(ResourceId(*resource), first)?;
                Ok(Some(Val::I32(handle as i32)))
            }
            Does::Rep { component, resource } => {
                let mut it = self.it();
                let rep = it.handles(*component).rep(ResourceId(*resource), first)?;
                Ok(Some(Val::I32(rep as i32)))
            }
            Does::Drop { component, resource } => {
                self.it().may_leave(*component)?;
                let dropped = self.it().handles(*component).drop(ResourceId(*resource), first)?;
                match dropped {
                    Dropped::Own(rep) => self.end(me, *resource, rep).await?,
                    Dropped::Borrow(call) => self.it().borrow_ended(call as usize),
                }
                Ok(None)
            }
        }
    }

    /// A resource ends: its destructor runs.
    fn end(self: &Arc<Self>, me: usize, resource: u32, rep: u32) -> Running<'_> {
        Box::pin(async move {
            match &self.plan.resources[resource as usize] {
                Resource::Host(place) => {
                    let dropped = (self.behind.resources[*place])(&self.host, rep);
                    self.it().fine(dropped)
                }
                Resource::Missing | Resource::Guest { dtor: None, .. } => Ok(()),
                Resource::Guest { dtor: Some(dtor), .. } => {
                    let dtor = self.it().func(dtor)?;
                    self.invoke(me, dtor, &[Val::I32(rep as i32)], &mut []).await
                }
            }
        })
    }
}

impl Inner<'_> {
    /// What the guest called out for when it was suspended. Whatever it does may be what another job waits for.
    fn asked(&mut self) -> Option<(usize, Vec<u64>)> {
        self.moved = true;
        self.store.data_mut().pending.take()
    }

    fn deeper(&mut self, me: usize) -> Result<(), Fault> {
        let bytes_max = self.store.data().limiter.stack_bytes_max();
        let task = self.task(me)?;
        if task.depth >= limits::CALLS_NESTED_MAX {
            return Err(Fault::Stack { bytes_max, backtrace: Vec::new() });
        }
        task.depth += 1;
        Ok(())
    }
}
