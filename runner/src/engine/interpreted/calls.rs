//! Calls out of a component: to a capability, or to another component within the same one. Whoever waits for the answer,
//! the call of a component is a job of its own, which may go on after it has answered.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use wasmi::Val;

use super::guest::Guest;
use super::plan::{Lifted, Lowered, Target};
use super::room::{cell, val};
use super::task::{Caller, Ended, Underway};
use super::tasks::word;
use super::work::Job;
use crate::engine::canonical::{Abi, Status, Value, trap};
use crate::engine::door::Holds;
use crate::engine::fault::Fault;

impl<'p, H: Holds> Guest<'p, H> {
    /// Makes the instances and calls a function from outside.
    pub(super) async fn outermost(
        self: Arc<Self>,
        function: usize,
        params: Vec<Value>,
    ) -> Result<(), Fault> {
        let me = self.it().new_task(usize::MAX, None)?;
        self.start(me).await?;
        let mut result = self.call(me, function, params, false).await?;
        let mut it = self.it();
        result.iter_mut().for_each(|result| it.connect_all(result));
        it.answer = Some(result);
        Ok(())
    }

    /// A call out that the component waits for.
    pub(super) async fn call_out(
        self: &Arc<Self>,
        me: usize,
        call: &'p Lowered,
        cells: &[u64],
    ) -> Result<Option<Val>, Fault> {
        let (params, lent) = self.it().leaving(call, cells)?;
        let result = match &call.target {
            Target::Host(place) => self.ask_host(me, call, *place, params).await?,
            Target::Lifted(index) => self.call_within(me, call, *index, params).await?,
            Target::Missing(sentence) => return Err(trap(&**sentence)),
        };
        let cells = self.it().returned(call, &lent, result, call.result_at(cells))?;
        let flat = call.ty.flat_result().unwrap_or_default();
        Ok(cells.first().zip(flat.first()).map(|(cell, flat)| val(*flat, *cell)))
    }

    async fn ask_host(
        &self,
        me: usize,
        call: &Lowered,
        place: usize,
        params: Vec<Value>,
    ) -> Result<Option<Value>, Fault> {
        let params = {
            let mut it = self.it();
            if call.ty.waits {
                it.may_wait(me)?;
            }
            it.outward(&call.ty, params)
        };
        let answering = self.behind.functions[place].call(&self.host, params);
        let answer = self.await_outside(answering, !call.ty.waits).await;
        self.it().fine(answer)
    }

    async fn call_within(
        self: &Arc<Self>,
        me: usize,
        call: &Lowered,
        index: usize,
        params: Vec<Value>,
    ) -> Result<Option<Value>, Fault> {
        let lifted: &'p Lifted = &self.plan.lifts[index];
        self.may_enter(call, lifted)?;
        if lifted.ty.waits {
            self.it().may_wait(me)?;
        }
        // What answers by returning does so on top of whoever calls, whatever else its component does.
        self.call(me, index, params, lifted.options.abi == Abi::Sync).await
    }

    /// Components that are one within the other cannot call each other: the other may be on the stack.
    fn may_enter(&self, call: &Lowered, lifted: &Lifted) -> Result<(), Fault> {
        match self.plan.are_nested(call.options.component, lifted.options.component) {
            true => Err(trap("wasm trap: cannot enter component instance")),
            false => Ok(()),
        }
    }

    /// Calls a component's function and waits for its answer.
    pub(super) async fn call(
        self: &Arc<Self>,
        me: usize,
        index: usize,
        params: Vec<Value>,
        at_once: bool,
    ) -> Result<Option<Value>, Fault> {
        let task = self.it().new_task(index, Some(me))?;
        let mut job = self.job(task, params, at_once);
        if !self.begin(&mut job).await? {
            self.it().spawned.push(job);
        }
        match self.until(|it| Ok(it.take_answer(task))).await? {
            Ended::Returned(result) => Ok(result),
            Ended::Cancelled => Err(trap("it cancelled a call that nobody gave up")),
        }
    }

    fn job(self: &Arc<Self>, task: usize, params: Vec<Value>, at_once: bool) -> Job<'p> {
        let guest = Arc::clone(self);
        Box::pin(async move { guest.run_job(task, params, at_once).await })
    }

    /// A call out that the component does not wait for. One that can be answered at once is; the caller is told how far
    /// it is, and its number if it is not at its end.
    pub(super) async fn start_call(
        self: &Arc<Self>,
        me: usize,
        call: &'p Arc<Lowered>,
        cells: &[u64],
    ) -> Result<Option<Val>, Fault> {
        let at = call.result_at(cells);
        let (params, lent) = self.it().leaving(call, cells)?;
        match &call.target {
            Target::Host(place) => self.start_host_call(call, *place, params, lent, at).await,
            Target::Lifted(index) => {
                self.may_enter(call, &self.plan.lifts[*index])?;
                let task = self.it().new_task(*index, Some(me))?;
                let mut job = self.job(task, params, false);
                let is_over = self.begin(&mut job).await?;
                let mut it = self.it();
                if !is_over {
                    it.spawned.push(job);
                }
                let caller = Caller { subtask: 0, call: Arc::clone(call), lent, at };
                match it.take_answer(task) {
                    Some(answer) => Ok(word(it.deliver(&caller, answer)? as u32)),
                    None => it.goes_on(task, caller),
                }
            }
            Target::Missing(sentence) => Err(trap(&**sentence)),
        }
    }

    async fn start_host_call(
        &self,
        call: &Arc<Lowered>,
        place: usize,
        params: Vec<Value>,
        lent: Vec<u32>,
        at: Option<u32>,
    ) -> Result<Option<Val>, Fault> {
        let params = self.it().outward(&call.ty, params);
        let mut answering = self.behind.functions[place].call(&self.host, params);
        let first = poll_fn(|cx| Poll::Ready(answering.as_mut().poll(cx))).await;
        let mut it = self.it();
        let Poll::Ready(answer) = first else {
            let subtask = it.handles(call.options.component).start(Status::Started, None)?;
            let caller = Caller { subtask, call: Arc::clone(call), lent, at };
            it.underway.push(Underway { caller, answering });
            return Ok(word(Status::Started as u32 | subtask << 4));
        };
        let result = it.fine(answer)?;
        it.returned(call, &lent, result, at)?;
        Ok(word(Status::Returned as u32))
    }

    /// A function that answers by returning.
    pub(super) async fn run_sync(
        self: &Arc<Self>,
        me: usize,
        lifted: &Lifted,
        params: &[Val],
    ) -> Result<(), Fault> {
        let Lifted { core, ty, options } = lifted;
        let mut results: Vec<Val> = ty.lifted_results().iter().map(|flat| val(*flat, 0)).collect();
        let func = self.it().func(core)?;
        let component = options.component;
        let was = std::mem::replace(&mut self.it().components[component].exclusive, true);
        self.invoke(me, func, params, &mut results).await?;
        self.it().components[component].exclusive = was;
        let cells: Vec<u64> = results.iter().map(cell).collect();
        let result = self.it().lift(options)?.result(ty, &cells)?;
        if let Some(post_return) = &options.post_return {
            let post_return = self.it().func(post_return)?;
            self.it().components[component].closed = true;
            self.invoke(me, post_return, &results, &mut []).await?;
            self.it().components[component].closed = false;
        }
        let mut it = self.it();
        it.nothing_kept(me)?;
        it.answered(me, Ended::Returned(result))
    }
}
