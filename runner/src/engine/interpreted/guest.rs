//! One instance of a component while it runs: its core instances, its handles, and the calls that
//! cross its borders.
//!
//! A guest that calls out is suspended: the call comes back to the loop in [`Guest::invoke`], which
//! does what was asked, waiting if need be, and resumes the guest with the answer. So host functions
//! never run on top of a guest, and neither does one component on top of another.

use std::fmt;
use std::sync::Arc;

use wasmi::errors::HostError;
use wasmi::{Error, Extern, F32, F64, Func, Memory, ResumableCall, Store, TrapCode, Val};

use super::plan::{Core, Does, Lowered, Options, Plan, Resource, Target};
use crate::engine::canonical::{
    Dropped, Flat, Handles, Heap, Lift, Lower, ResourceId, Value, trap,
};
use crate::engine::door::Answer;
use crate::engine::fault::Fault;
use crate::engine::limiter::Limiter;
use crate::host::Host;
use crate::limits::engine as limits;

/// A live instance.
pub(super) struct Guest<'p> {
    plan: &'p Plan,
    host: Host,
    store: Store<State>,
    instances: Vec<wasmi::Instance>,
    components: Vec<Component>,
    /// For each call of a component under way, the handles lent to it that it still has.
    borrowed: Vec<u32>,
}

/// What wasmi keeps with a store.
struct State {
    limiter: Limiter,
    /// The call out that suspended the guest: which trampoline, with which core values.
    pending: Option<(usize, Vec<u64>)>,
}

/// One component instance.
#[derive(Default)]
struct Component {
    handles: Handles,
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

impl<'p> Guest<'p> {
    /// Makes the instance and runs its start functions.
    pub(super) async fn start(
        engine: &wasmi::Engine,
        plan: &'p Plan,
        host: Host,
        memory_bytes_max: usize,
    ) -> Result<Self, Fault> {
        let limiter = Limiter::new(memory_bytes_max);
        let mut store = Store::new(engine, State { limiter, pending: None });
        store.limiter(|state| &mut state.limiter);
        let components = (0..plan.components).map(|_| Component::default()).collect();
        let instances = Vec::with_capacity(plan.instances.len());
        let mut guest = Self { plan, host, store, instances, components, borrowed: Vec::new() };
        for instance in &plan.instances {
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

    fn func(&mut self, core: &Core) -> Result<Func, Fault> {
        match self.resolve(core)? {
            Extern::Func(func) => Ok(func),
            _ => Err(trap("one of its functions is none")),
        }
    }

    fn memory(&mut self, options: &Options) -> Result<Option<Memory>, Fault> {
        let Some(core) = &options.memory else { return Ok(None) };
        match self.resolve(core)? {
            Extern::Memory(memory) => Ok(Some(memory)),
            _ => Err(trap("one of its memories is none")),
        }
    }

    /// Runs a core function to its end: a slice at a time, and answering what it calls on the way.
    async fn invoke(
        &mut self,
        func: Func,
        params: &[Val],
        results: &mut [Val],
    ) -> Result<(), Fault> {
        self.refuel(limits::FUEL_SLICE);
        let mut call = func.call_resumable(&mut self.store, params, results);
        loop {
            call = match call {
                Ok(ResumableCall::Finished) => return Ok(()),
                Ok(ResumableCall::OutOfFuel(stopped)) => {
                    self.refuel(stopped.required_fuel().max(limits::FUEL_SLICE));
                    tokio::task::yield_now().await;
                    stopped.resume(&mut self.store, results)
                }
                Ok(ResumableCall::HostTrap(stopped)) => {
                    let Some((index, cells)) = self.store.data_mut().pending.take() else {
                        return Err(self.fault(stopped.host_error()));
                    };
                    let answer = self.answer(index, &cells).await?;
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
                self.call_out(&lowered, cells).await
            }
            Does::New { component, resource } => {
                let handles = &mut self.components[*component].handles;
                Ok(Some(Val::I32(handles.own(ResourceId(*resource), first)? as i32)))
            }
            Does::Rep { component, resource } => {
                let handles = &mut self.components[*component].handles;
                Ok(Some(Val::I32(handles.rep(ResourceId(*resource), first)? as i32)))
            }
            Does::Drop { component, resource } => {
                let handles = &mut self.components[*component].handles;
                match handles.drop(ResourceId(*resource), first)? {
                    Dropped::Own(rep) => self.end(*resource, rep).await?,
                    Dropped::Borrow(call) => {
                        if let Some(borrowed) = self.borrowed.get_mut(call as usize) {
                            *borrowed = borrowed.saturating_sub(1);
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
            Resource::Host(drop) => self.fine(drop(&self.host, rep)),
            Resource::Missing | Resource::Guest { dtor: None, .. } => Ok(()),
            Resource::Guest { dtor: Some(dtor), .. } => {
                let dtor = self.func(dtor)?;
                Box::pin(self.invoke(dtor, &[Val::I32(rep as i32)], &mut [])).await
            }
        }
    }

    /// A call out of a component: to a capability, or to another component within this one.
    async fn call_out(&mut self, call: &Lowered, cells: &[u64]) -> Result<Option<Val>, Fault> {
        let Lowered { target, ty, options } = call;
        if self.components[options.component].closed {
            return Err(trap(CallsOut.to_string()));
        }
        let memory = self.memory(options)?;
        let (params, lent) = self.lift(memory, options).params(ty, cells)?;
        let result = match target {
            Target::Host(function) => {
                let answer = function.call(&self.host, params).await;
                self.fine(answer)?
            }
            Target::Lifted(index) => Box::pin(self.call(*index, params)).await?,
            Target::Missing(sentence) => return Err(trap(&**sentence)),
        };
        for index in lent {
            self.components[options.component].handles.give_back(index);
        }
        let at = ty.flat_result().is_none().then(|| cells.last().map_or(0, |cell| *cell as u32));
        let cells = self.lower(memory, options, |lower| lower.result(ty, result, at))?;
        let flat = ty.flat_result().unwrap_or_default();
        Ok(cells.first().zip(flat.first()).map(|(cell, flat)| val(*flat, *cell)))
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
        self.borrowed.push(0);
        let memory = self.memory(options)?;
        let (cells, borrowed) = self.lower(memory, options, |lower| lower.params(ty, params))?;
        if let Some(call) = self.borrowed.last_mut() {
            *call = borrowed;
        }
        let (param_types, result_types) = ty.lifted();
        let params: Vec<Val> =
            param_types.iter().zip(cells).map(|(flat, cell)| val(*flat, cell)).collect();
        let mut results: Vec<Val> = result_types.iter().map(|flat| val(*flat, 0)).collect();
        let func = self.func(&lifted.core)?;
        self.invoke(func, &params, &mut results).await?;
        let cells: Vec<u64> = results.iter().map(cell).collect();
        let result = self.lift(memory, options).result(ty, &cells)?;
        if let Some(post_return) = &options.post_return {
            let post_return = self.func(post_return)?;
            self.components[component].closed = true;
            self.invoke(post_return, &results, &mut []).await?;
            self.components[component].closed = false;
        }
        if self.borrowed.pop() != Some(0) {
            return Err(trap("it kept a handle that was only lent to it"));
        }
        self.components[component].entered = false;
        Ok(result)
    }

    /// Values out of a component.
    fn lift(&mut self, memory: Option<Memory>, options: &Options) -> Lift<'_> {
        let bytes = memory.map_or(&[][..], |memory| memory.data(&self.store));
        Lift::new(bytes, options.encoding, &mut self.components[options.component].handles)
    }

    /// Values into a component.
    fn lower<R>(
        &mut self,
        memory: Option<Memory>,
        options: &Options,
        values: impl FnOnce(Lower<'_, Room<'_>>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let realloc = options.realloc.as_ref().map(|core| self.func(core)).transpose()?;
        let (component, resources) = (options.component, &self.plan.resources);
        let defines = |ResourceId(id)| matches!(resources[id as usize], Resource::Guest { component: by, .. } if by == component);
        let call = self.borrowed.len().saturating_sub(1) as u32;
        let handles = &mut self.components[component].handles;
        let mut room = Room { store: &mut self.store, memory, realloc };
        values(Lower::new(&mut room, options.encoding, handles, call, &defines))
    }

    /// What a capability answered; its error ends the guest.
    fn fine<R>(&self, answer: Answer<R>) -> Result<R, Fault> {
        answer.map_err(|error| Fault::from_error(&error, &self.store.data().limiter))
    }

    fn fault(&self, error: &Error) -> Fault {
        Fault::from_interpreter(error, &self.store.data().limiter)
    }
}

/// A guest's memory, with its own allocator.
struct Room<'a> {
    store: &'a mut Store<State>,
    memory: Option<Memory>,
    realloc: Option<Func>,
}

impl Heap for Room<'_> {
    fn bytes(&mut self) -> &mut [u8] {
        match self.memory {
            Some(memory) => memory.data_mut(&mut *self.store),
            None => &mut [],
        }
    }

    /// Calls the guest's `realloc`, which gets one slice and may not call out: allocating is quick.
    fn allocate(&mut self, align: u32, bytes: u32) -> Result<u32, Fault> {
        let realloc = self.realloc.ok_or_else(|| trap("it gave no `realloc` for a value"))?;
        let params = [0, 0, align, bytes].map(|word| Val::I32(word as i32));
        let mut result = [Val::I32(0)];
        let left = self.store.get_fuel().unwrap_or(0);
        let _ = self.store.set_fuel(limits::FUEL_SLICE + u64::from(bytes));
        let called = realloc.call(&mut *self.store, &params, &mut result);
        let _ = self.store.set_fuel(left);
        match (called, result) {
            (Ok(()), [Val::I32(at)]) => Ok(at as u32),
            (Ok(()), _) => Err(trap("its `realloc` returned no address")),
            (Err(error), _) if error.as_trap_code() == Some(TrapCode::OutOfFuel) => {
                Err(trap("its `realloc` did not return"))
            }
            (Err(error), _) => Err(Fault::from_interpreter(&error, &self.store.data().limiter)),
        }
    }
}

fn val(flat: Flat, cell: u64) -> Val {
    match flat {
        Flat::I32 => Val::I32(cell as i32),
        Flat::I64 => Val::I64(cell as i64),
        Flat::F32 => Val::F32(F32::from_bits(cell as u32)),
        Flat::F64 => Val::F64(F64::from_bits(cell)),
    }
}

/// A core value's bits. References are never among the values of a trampoline's or a lifted
/// function's type.
fn cell(val: &Val) -> u64 {
    match val {
        Val::I32(word) => u64::from(*word as u32),
        Val::I64(word) => *word as u64,
        Val::F32(float) => u64::from(float.to_bits()),
        Val::F64(float) => float.to_bits(),
        Val::V128(_) | Val::FuncRef(_) | Val::ExternRef(_) => 0,
    }
}
