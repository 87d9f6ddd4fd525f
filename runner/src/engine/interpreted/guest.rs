//! One instance of a component while it runs: its core instances, its handles, and how values cross its borders.
//!
//! What goes on in it at the same time are jobs (`work.rs`), one for each call of a component, which take turns: each
//! runs until it waits. What they share is here, behind a lock that is never held while anything waits, and for which
//! nobody ever has to wait: they all run on one thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmi::errors::HostError;
use wasmi::{Error, Extern, Func, Memory, Store, Val};

use super::plan::{Core, Lifted, Lowered, Options, Plan, Resource};
use super::room::{Room, cell, val};
use super::task::{Task, Underway};
use super::work::Job;
use crate::engine::canonical::{Handles, Lift, Link, Lower, ResourceId, Value, trap};
use crate::engine::door::{Answer, Behind, Holds};
use crate::engine::fault::Fault;
use crate::engine::limiter::Limiter;
use crate::limits::engine as limits;

/// A live instance.
pub(super) struct Guest<'p, H> {
    pub(super) plan: &'p Plan,
    /// Where its calls out go.
    pub(super) behind: &'p Behind<H>,
    pub(super) host: H,
    inner: Mutex<Inner<'p>>,
}

/// What its jobs share.
pub(super) struct Inner<'p> {
    pub(super) plan: &'p Plan,
    pub(super) store: Store<State>,
    pub(super) instances: Vec<wasmi::Instance>,
    pub(super) components: Vec<Component>,
    /// The calls of components that are under way.
    pub(super) tasks: Vec<Option<Task>>,
    /// Calls out that nobody waits for right now.
    pub(super) underway: Vec<Underway>,
    /// Streams and futures at which a component waits for the host.
    pub(super) at_host: Vec<Link>,
    /// Jobs that nobody has taken up yet.
    pub(super) spawned: Vec<Job<'p>>,
    /// Something happened for which another job may wait.
    pub(super) moved: bool,
    /// The job that was polled last goes on before any other.
    pub(super) held: bool,
    /// A job lets others go first, those outside as well.
    pub(super) yielded: bool,
    /// Calls out that a job waits for.
    pub(super) asking: usize,
    /// What the outermost call came to.
    pub(super) answer: Option<Option<Value>>,
    /// The size of its memories when they were last looked through for zeroes.
    pub(super) looked_through_bytes: usize,
}

/// What wasmi keeps with a store.
pub(super) struct State {
    pub(super) limiter: Limiter,
    /// The call out that suspended the guest: which trampoline, with which core values.
    pub(super) pending: Option<(usize, Vec<u64>)>,
}

/// One component instance.
pub(super) struct Component {
    pub(super) handles: Handles,
    /// Code of it runs, or waits where it stands, that may not be run between: calls have to wait.
    pub(super) exclusive: bool,
    /// It asked so often that calls wait.
    pub(super) backpressure: u16,
    /// It cleans up after a call, and may not call anyone.
    pub(super) closed: bool,
}

impl Component {
    fn new(index: usize) -> Self {
        let handles = Handles::of(index);
        Self { handles, exclusive: false, backpressure: 0, closed: false }
    }
}

/// Suspends the guest.
#[derive(Debug)]
pub(super) struct CallsOut;

impl std::fmt::Display for CallsOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("it called an import where it may not")
    }
}

impl HostError for CallsOut {}

impl<'p, H: Holds> Guest<'p, H> {
    /// A guest without instances.
    pub(super) fn new(
        engine: &wasmi::Engine,
        plan: &'p Plan,
        behind: &'p Behind<H>,
        host: H,
        limiter: Limiter,
    ) -> Arc<Self> {
        let mut store = Store::new(engine, State { limiter, pending: None });
        store.limiter(|state| &mut state.limiter);
        let inner = Inner {
            plan,
            store,
            instances: Vec::with_capacity(plan.instances.len()),
            components: (0..plan.components.len()).map(Component::new).collect(),
            tasks: Vec::new(),
            underway: Vec::new(),
            at_host: Vec::new(),
            spawned: Vec::new(),
            moved: false,
            held: false,
            yielded: false,
            asking: 0,
            answer: None,
            looked_through_bytes: 0,
        };
        Arc::new(Self { plan, behind, host, inner: Mutex::new(inner) })
    }

    /// What all share, for as long as nothing waits.
    pub(super) fn it(&self) -> MutexGuard<'_, Inner<'p>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the core instances and runs their start functions, as this task.
    pub(super) async fn start(self: &Arc<Self>, me: usize) -> Result<(), Fault> {
        for instance in &self.plan.instances {
            self.breathe().await;
            let module = &self.plan.modules[instance.module];
            let made = self.it().instantiate(&module.module, &instance.imports)?;
            if let Some(name) = module.start {
                let start = made.get_func(&self.it().store, name);
                let start = start.ok_or_else(|| trap("it has no start function"))?;
                self.invoke(me, start, &[], &mut []).await?;
            }
        }
        Ok(())
    }
}

impl Inner<'_> {
    fn instantiate(
        &mut self,
        module: &wasmi::Module,
        imports: &[Core],
    ) -> Result<wasmi::Instance, Fault> {
        self.refuel(limits::FUEL_SLICE);
        let imports: Result<Vec<Extern>, Fault> =
            imports.iter().map(|core| self.resolve(core)).collect();
        let made = wasmi::Instance::new(&mut self.store, module, &imports?);
        let made = made.map_err(|error| self.fault(&error))?;
        self.instances.push(made);
        Ok(made)
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

    /// Fuel is on in every engine of ours, the only reason for which this could fail.
    pub(super) fn refuel(&mut self, fuel: u64) {
        let _ = self.store.set_fuel(fuel);
    }

    /// One component's handles.
    pub(super) fn handles(&mut self, component: usize) -> &mut Handles {
        &mut self.components[component].handles
    }

    /// A component that cleans up has nobody to talk to.
    pub(super) fn may_leave(&self, component: usize) -> Result<(), Fault> {
        match self.components[component].closed {
            true => Err(trap(CallsOut.to_string())),
            false => Ok(()),
        }
    }

    /// What a component passes with a call out, and which handles it lends.
    pub(super) fn leaving(
        &mut self,
        call: &Lowered,
        cells: &[u64],
    ) -> Result<(Vec<Value>, Vec<u32>), Fault> {
        self.lift(&call.options)?.params(&call.ty, call.options.abi, cells)
    }

    /// A call out has ended: what was lent is given back, and its result goes where it belongs.
    pub(super) fn returned(
        &mut self,
        call: &Lowered,
        lent: &[u32],
        result: Option<Value>,
        at: Option<u32>,
    ) -> Result<Vec<u64>, Fault> {
        self.give_back(call.options.component, lent);
        self.lower(&call.options, 0, |lower| lower.result(&call.ty, result, at))
    }

    /// Handles that were lent to a call are the component's alone again.
    pub(super) fn give_back(&mut self, component: usize, lent: &[u32]) {
        let handles = self.handles(component);
        lent.iter().for_each(|index| handles.give_back(*index));
    }

    /// A task's parameters, as its function takes them.
    pub(super) fn entering(
        &mut self,
        task: usize,
        lifted: &Lifted,
        params: Vec<Value>,
    ) -> Result<Vec<Val>, Fault> {
        let (ty, options) = (&lifted.ty, &lifted.options);
        let (cells, borrowed) = self.lower(options, task, |lower| lower.params(ty, params))?;
        self.task(task)?.borrowed = borrowed;
        Ok(ty.lifted_params().iter().zip(cells).map(|(flat, cell)| val(*flat, cell)).collect())
    }

    /// Values out of a component.
    pub(super) fn lift(&mut self, options: &Options) -> Result<Lift<'_>, Fault> {
        let memory = self.memory_of(options)?;
        let bytes = memory.map_or(&[][..], |memory| memory.data(&self.store));
        let handles = &mut self.components[options.component].handles;
        Ok(Lift::new(bytes, options.encoding, handles))
    }

    /// Values into a component. What is lent belongs to that task.
    pub(super) fn lower<R>(
        &mut self,
        options: &Options,
        task: usize,
        values: impl FnOnce(Lower<'_, Room<'_>>) -> Result<R, Fault>,
    ) -> Result<R, Fault> {
        let memory = self.memory_of(options)?;
        let realloc = options.realloc.as_ref().map(|core| self.func(core)).transpose()?;
        let (component, resources) = (options.component, &self.plan.resources);
        let defines = |ResourceId(id)| matches!(resources[id as usize], Resource::Guest { component: by, .. } if by == component);
        let handles = &mut self.components[component].handles;
        let fuel = limits::PASSAGE_FUEL;
        let mut room = Room { store: &mut self.store, memory, realloc, fuel };
        values(Lower::new(&mut room, options.encoding, handles, task as u32, &defines))
    }

    /// What a capability answered; its error ends the guest.
    pub(super) fn fine<R>(&self, answer: Answer<R>) -> Result<R, Fault> {
        answer.map_err(|error| Fault::from_error(&error, &self.store.data().limiter))
    }

    pub(super) fn fault(&self, error: &Error) -> Fault {
        Fault::from_interpreter(error, &self.store.data().limiter)
    }
}
