//! One instance of a component while it runs: its core instances, its handles, and the calls that
//! cross its borders.
//!
//! A guest that calls out is suspended: the call comes back to the loop in [`Guest::invoke`], which
//! does what was asked, waiting if need be, and resumes the guest with the answer. So host functions
//! never run on top of a guest, and neither does one component on top of another.

use std::fmt;
use std::sync::Arc;

use tokio::time::timeout;
use wasmi::errors::HostError;
use wasmi::{Error, Extern, Func, Memory, ResumableCall, Store, Val};

use super::plan::{Core, Does, Lifted, Lowered, Options, Plan, Resource, Target};
use super::room::{Room, cell, val};
use super::tasks::{Task, Underway};
use crate::engine::canonical::{Abi, Dropped, Handles, Lift, Lower, ResourceId, Value, trap};
use crate::engine::door::{Answer, Behind, Holds};
use crate::engine::fault::Fault;
use crate::engine::limiter::Limiter;
use crate::engine::turns;
use crate::limits::engine as limits;

/// A live instance.
pub(super) struct Guest<'p, H> {
    pub(super) plan: &'p Plan,
    /// Where its calls out go.
    pub(super) behind: &'p Behind<H>,
    pub(super) host: H,
    pub(super) store: Store<State>,
    pub(super) instances: Vec<wasmi::Instance>,
    pub(super) components: Vec<Component>,
    /// The calls of components that are under way, each made by the one before it.
    pub(super) tasks: Vec<Task>,
    /// Calls out that nobody waits for right now.
    pub(super) underway: Vec<Underway>,
    /// Core functions under way, each called for the one before.
    nested: usize,
    /// The size of its memories when they were last looked through for zeroes.
    pub(super) looked_through_bytes: usize,
}

/// What wasmi keeps with a store.
pub(super) struct State {
    pub(super) limiter: Limiter,
    /// The call out that suspended the guest: which trampoline, with which core values.
    pending: Option<(usize, Vec<u64>)>,
}

/// One component instance.
#[derive(Default)]
pub(super) struct Component {
    pub(super) handles: Handles,
    /// A call of it is under way: it cannot be called again before that returns.
    entered: bool,
    /// It cleans up after a call, and may not call anyone.
    closed: bool,
}

/// Suspends the guest.
#[derive(Debug)]
struct CallsOut;

impl fmt::Display for CallsOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("it called an import where it may not")
    }
}

impl HostError for CallsOut {}

impl<'p, H: Holds> Guest<'p, H> {
    /// Makes the instance and runs its start functions.
    pub(super) async fn start(
        engine: &wasmi::Engine,
        plan: &'p Plan,
        behind: &'p Behind<H>,
        host: H,
        limiter: Limiter,
    ) -> Result<Self, Fault> {
        let mut store = Store::new(engine, State { limiter, pending: None });
        store.limiter(|state| &mut state.limiter);
        let components = (0..plan.components).map(|_| Component::default()).collect();
        let instances = Vec::with_capacity(plan.instances.len());
        let (tasks, underway) = (Vec::new(), Vec::new());
        let (nested, looked_through_bytes) = (0, 0);
        let mut guest = Self {
            plan,
            behind,
            host,
            store,
            instances,
            components,
            tasks,
            underway,
            nested,
            looked_through_bytes,
        };
        for instance in &plan.instances {
            turns::end_if_over().await;
            guest.refuel(limits::FUEL_SLICE);
            let module = &plan.modules[instance.module];
            let imports: Result<Vec<Extern>, Fault> =
                instance.imports.iter().map(|core| guest.resolve(core)).collect();
            let made = wasmi::Instance::new(&mut guest.store, &module.module, &imports?);
            let made = made.map_err(|error| guest.fault(&error))?;
            guest.instances.push(made);
            if let Some(name) = module.start {
                let start = made.get_func(&guest.store, name);
                let start = start.ok_or_else(|| trap("it has no start function"))?;
                guest.invoke(start, &[], &mut []).await?;
            }
        }
        Ok(guest)
    }

    /// What a core definition is in this instance.
    fn resolve(&mut self, core: &Core) -> Result<Extern, Fault> {
        match core {
            Core::Export { instance, name } => {
                let exporter = self.instances.get(*instance);
                let found = exporter.and_then(|exporter| exporter.get_export(&self.store, name));
                found.ok_or_else(|| trap(format!("none of its modules exports `{name}`")))
            }
            Core::Trampoline(index) => {
                let (index, ty) = (*index, self.plan.trampolines[*index].ty.clone());
                let suspend =
                    move |mut caller: wasmi::Caller<'_, State>, params: &[Val], _: &mut [Val]| {
                        let cells = params.iter().map(cell).collect();
                        caller.data_mut().pending = Some((index, cells));
                        Err(Error::host(CallsOut))
                    };
                Ok(Extern::Func(Func::new(&mut self.store, ty, suspend)))
            }
        }
    }

    pub(super) fn func(&mut self, core: &Core) -> Result<Func, Fault> {
        match self.resolve(core)? {
            Extern::Func(func) => Ok(func),
            _ => Err(trap("one of its functions is none")),
        }
    }

    pub(super) fn memory(&mut self, core: &Core) -> Result<Memory, Fault> {
        match self.resolve(core)? {
            Extern::Memory(memory) => Ok(memory),
            _ => Err(trap("one of its memories is none")),
        }
    }

    pub(super) fn memory_of(&mut self, options: &Options) -> Result<Option<Memory>, Fault> {
        options.memory.as_ref().map(|core| self.memory(core)).transpose()
    }

    /// Runs a core function to its end, on top of the one that is under way, if any. That one's stack is the
    /// interpreter's, but what waits for its answer is on ours.
    pub(super) async fn invoke(
        &mut self,
        func: Func,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Fault> {
        if self.nested >= limits::CALLS_NESTED_MAX {
            let bytes_max = self.store.data().limiter.stack_bytes_max();
            return Err(Fault::Stack { bytes_max, backtrace: Vec::new() });
        }
        self.nested += 1;
        let done = self.run_core(func, params, results).await;
        self.nested -= 1;
        done
    }

    /// Runs a core function: a slice at a time, and answering what it calls on the way. All calls of an
    /// instance share one slice, or a guest could get a new one whenever it calls.
    async fn run_core(
        &mut self,
        func: Func,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Fault> {
        let mut call = func.call_resumable(&mut self.store, params, results);
        loop {
            call = match call {
                Ok(ResumableCall::Finished) => return Ok(()),
                Ok(ResumableCall::OutOfFuel(stopped)) => {
                    self.refuel(stopped.required_fuel().max(limits::FUEL_SLICE));
                    turns::end_if_over().await;
                    stopped.resume(&mut self.store, results)
                }
                Ok(ResumableCall::HostTrap(stopped)) => {
                    let Some((index, cells)) = self.store.data_mut().pending.take() else {
                        return Err(self.fault(stopped.host_error()));
                    };
                    let answer = self.answer(index, &cells).await?;
                    turns::end_if_over().await;
                    stopped.resume(&mut self.store, answer.as_slice(), results)
                }
                Err(error) => return Err(self.fault(&error)),
            }
        }
    }

    /// Fuel is on in every engine of ours, the only reason for which this could fail.
    fn refuel(&mut self, fuel: u64) {
        let _ = self.store.set_fuel(fuel);
    }

    /// Does what a guest called a trampoline for; the answer is one core value at most.
    async fn answer(&mut self, index: usize, cells: &[u64]) -> Result<Option<Val>, Fault> {
        let first = cells.first().map_or(0, |cell| *cell as u32);
        match &self.plan.trampolines[index].does {
            Does::Lower(lowered) => {
                let lowered = Arc::clone(lowered);
                self.may_leave(lowered.options.component)?;
                match lowered.options.abi {
                    Abi::Sync => self.call_out(&lowered, cells).await,
                    Abi::Async => self.start_call(lowered, cells).await,
                }
            }
            Does::Builtin { component, builtin } => {
                let (component, builtin) = (*component, Arc::clone(builtin));
                self.may_leave(component)?;
                self.builtin(component, &builtin, cells).await
            }
            Does::New { component, resource } => {
                self.may_leave(*component)?;
                let handles = &mut self.components[*component].handles;
                Ok(Some(Val::I32(handles.own(ResourceId(*resource), first)? as i32)))
            }
            Does::Rep { component, resource } => {
                let handles = &mut self.components[*component].handles;
                Ok(Some(Val::I32(handles.rep(ResourceId(*resource), first)? as i32)))
            }
            Does::Drop { component, resource } => {
                self.may_leave(*component)?;
                let handles = &mut self.components[*component].handles;
                match handles.drop(ResourceId(*resource), first)? {
                    Dropped::Own(rep) => self.end(*resource, rep).await?,
                    Dropped::Borrow(call) => {
                        if let Some(task) = self.tasks.get_mut(call as usize) {
                            task.borrowed = task.borrowed.saturating_sub(1);
                        }
                    }
                }
                Ok(None)
            }
        }
    }

    /// A resource ends: its destructor runs.
    async fn end(&mut self, resource: u32, rep: u32) -> Result<(), Fault> {
        match &self.plan.resources[resource as usize] {
            Resource::Host(place) => self.fine((self.behind.resources[*place])(&self.host, rep)),
            Resource::Missing | Resource::Guest { dtor: None, .. } => Ok(()),
            Resource::Guest { dtor: Some(dtor), .. } => {
                let dtor = self.func(dtor)?;
                Box::pin(self.invoke(dtor, &[Val::I32(rep as i32)], &mut [])).await
            }
        }
    }

    /// A component that cleans up has nobody to talk to.
    fn may_leave(&self, component: usize) -> Result<(), Fault> {
        match self.components[component].closed {
            true => Err(trap(CallsOut.to_string())),
            false => Ok(()),
        }
    }

    /// A call out of a component: to a capability, or to another component within this one.
    async fn call_out(&mut self, call: &Lowered, cells: &[u64]) -> Result<Option<Val>, Fault> {
        let Lowered { target, ty, options } = call;
        let memory = self.memory_of(options)?;
        let (params, lent) = self.lift(memory, options).params(ty, options.abi, cells)?;
        let result = match target {
            Target::Host(place) => {
                let mut answering = self.behind.functions[*place].call(&self.host, params);
                let answer = match timeout(limits::WAIT_IN_FULL, answering.as_mut()).await {
                    Ok(answer) => answer,
                    Err(_) => {
                        self.give_back_zeroes().await;
                        answering.await
                    }
                };
                self.fine(answer)?
            }
            Target::Lifted(index) => Box::pin(self.call(*index, params)).await?,
            Target::Missing(sentence) => return Err(trap(&**sentence)),
        };
        let cells = self.returned(call, memory, &lent, result, call.result_at(cells))?;
        let flat = ty.flat_result().unwrap_or_default();
        Ok(cells.first().zip(flat.first()).map(|(cell, flat)| val(*flat, *cell)))
    }

    /// A call out has ended: what was lent is given back, and its result goes where it belongs.
    pub(super) fn returned(
        &mut self,
        call: &Lowered,
        memory: Option<Memory>,
        lent: &[u32],
        result: Option<Value>,
        at: Option<u32>,
    ) -> Result<Vec<u64>, Fault> {
        for index in lent {
            self.components[call.options.component].handles.give_back(*index);
        }
        self.lower(memory, &call.options, |lower| lower.result(&call.ty, result, at))
    }

    /// A call of a component's function.
    pub(super) async fn call(
        &mut self,
        function: usize,
        params: Vec<Value>,
    ) -> Result<Option<Value>, Fault> {
        let lifted = Arc::clone(&self.plan.lifts[function]);
        let (ty, options) = (&lifted.ty, &lifted.options);
        let component = options.component;
        if std::mem::replace(&mut self.components[component].entered, true) {
            return Err(trap("it was called while a call of it was under way"));
        }
        self.tasks.push(Task::of(function));
        let memory = self.memory_of(options)?;
        let (cells, borrowed) = self.lower(memory, options, |lower| lower.params(ty, params))?;
        if let Some(task) = self.tasks.last_mut() {
            task.borrowed = borrowed;
        }
        let params: Vec<Val> =
            ty.lifted_params().iter().zip(cells).map(|(flat, cell)| val(*flat, cell)).collect();
        let result = match options.abi {
            Abi::Sync => self.run(&lifted, memory, &params).await?,
            Abi::Async => self.run_task(&lifted, &params).await?,
        };
        self.tasks.pop();
        self.components[component].entered = false;
        Ok(result)
    }

    /// A function that answers by returning.
    async fn run(
        &mut self,
        lifted: &Lifted,
        memory: Option<Memory>,
        params: &[Val],
    ) -> Result<Option<Value>, Fault> {
        let Lifted { core, ty, options } = lifted;
        let mut results: Vec<Val> = ty.lifted_results().iter().map(|flat| val(*flat, 0)).collect();
        let func = self.func(core)?;
        self.invoke(func, params, &mut results).await?;
        let cells: Vec<u64> = results.iter().map(cell).collect();
        let result = self.lift(memory, options).result(ty, &cells)?;
        if let Some(post_return) = &options.post_return {
            let post_return = self.func(post_return)?;
            self.components[options.component].closed = true;
            self.invoke(post_return, &results, &mut []).await?;
            self.components[options.component].closed = false;
        }
        self.nothing_kept()?;
        Ok(result)
    }

    /// A component that has answered has given back what was lent to it.
    pub(super) fn nothing_kept(&self) -> Result<(), Fault> {
        match self.tasks.last() {
            Some(Task { borrowed: 0, .. }) => Ok(()),
            _ => Err(trap("it kept a handle that was only lent to it")),
        }
    }

    /// Values out of a component.
    pub(super) fn lift(&mut self, memory: Option<Memory>, options: &Options) -> Lift<'_> {
        let bytes = memory.map_or(&[][..], |memory| memory.data(&self.store));
        Lift::new(bytes, options.encoding, &mut self.components[options.component].handles)
    }

    /// Values into a component.
    pub(super) fn lower<R>(
        &mut self,
        memory: Option<Memory>,
        options: &Options,
        values: impl FnOnce(Lower<'_, Room<'_>>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let realloc = options.realloc.as_ref().map(|core| self.func(core)).transpose()?;
        let (component, resources) = (options.component, &self.plan.resources);
        let defines = |ResourceId(id)| matches!(resources[id as usize], Resource::Guest { component: by, .. } if by == component);
        let call = self.tasks.len().saturating_sub(1) as u32;
        let handles = &mut self.components[component].handles;
        let fuel = limits::PASSAGE_FUEL;
        let mut room = Room { store: &mut self.store, memory, realloc, fuel };
        values(Lower::new(&mut room, options.encoding, handles, call, &defines))
    }

    /// What a capability answered; its error ends the guest.
    pub(super) fn fine<R>(&self, answer: Answer<R>) -> Result<R, Fault> {
        answer.map_err(|error| Fault::from_error(&error, &self.store.data().limiter))
    }

    fn fault(&self, error: &Error) -> Fault {
        Fault::from_interpreter(error, &self.store.data().limiter)
    }
}
