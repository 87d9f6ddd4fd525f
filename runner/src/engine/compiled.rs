//! The compiled engine: native code and Pulley bytecode on wasmtime, built without a compiler. A
//! component is loaded and linked once; each event gets a fresh instance of it.

use std::fs::File;
use std::future::poll_fn;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::pin::Pin;

use wasmtime::component::{
    Accessor, Component, ComponentExportIndex, ComponentNamedList, Instance, InstancePre, Lift,
    Lower, types,
};
use wasmtime::{AsContextMut as _, InstanceAllocationStrategy, PoolingAllocationConfig, Store};

use super::canonical::End;
use super::component::Allowance;
use super::config::{self, Code};
use super::door::{Door, Holds};
use super::fault::Fault;
use super::limiter::Limiter;
use super::offered::compatible;
use super::streams::{Fate, Fated};
use super::ticker::Ticker;
use super::turns;
use super::wire::{Bound, Wire};
use crate::limits::engine as limits;

/// The engine for one form of code, with everything that guests may import.
pub struct Engine<H: Holds> {
    inner: wasmtime::Engine,
    door: Door<H>,
    ticker: Ticker,
    code: Code,
    stack_bytes: usize,
}

/// Places for instances, made once: an event then costs no mapping and unmapping of memory.
#[derive(Clone, Copy, Debug)]
pub struct Pool {
    /// Instances alive at the same time.
    pub instances: u32,
    /// The largest linear memory that any of them may have.
    pub memory_bytes_max: usize,
    /// The stack of each: the guest's calls and ours on top of them.
    pub stack_bytes: usize,
}

impl Pool {
    /// `None` where address space is too dear for places that are mostly empty (32-bit boards), and for
    /// memories larger than a place: each instance is then mapped when it is made.
    fn strategy(self, code: Code) -> Option<InstanceAllocationStrategy> {
        let place_bytes = config::memory_reservation_bytes(code);
        if size_of::<usize>() < 8 || self.memory_bytes_max as u64 > place_bytes {
            return None;
        }
        let each = |count: usize| self.instances * u32::try_from(count).unwrap_or(u32::MAX);
        let memories =
            limits::POOL_ADDRESSES_BYTES / (place_bytes + config::memory_guard_bytes(code));
        let memories = u32::try_from(memories).unwrap_or(u32::MAX);
        let mut pool = PoolingAllocationConfig::new();
        // What an instance may have is the limiter's to say. If places were only that large, a component that
        // starts with more would be refused as no component at all.
        let largest = usize::try_from(place_bytes).ok()?;
        pool.total_component_instances(self.instances)
            .total_stacks(self.instances)
            .total_core_instances(each(limits::CORE_INSTANCES_MAX))
            .total_memories(each(limits::MEMORIES_MAX).min(memories))
            .total_tables(each(limits::TABLES_MAX))
            .table_elements(limits::TABLE_ELEMENTS_MAX)
            .max_memory_size(largest)
            .max_unused_warm_slots(self.instances)
            .linear_memory_keep_resident(limits::KEPT_MEMORY_BYTES)
            .table_keep_resident(limits::KEPT_TABLE_BYTES)
            .async_stack_keep_resident(limits::KEPT_STACK_BYTES);
        Some(InstanceAllocationStrategy::Pooling(pool))
    }
}

/// What the engine keeps with an instance.
pub struct Guest<H> {
    pub(super) host: H,
    limiter: Limiter,
    fate: Fate,
}

impl<H: Send + 'static> Fated for Guest<H> {
    fn fate(&self) -> &Fate {
        &self.fate
    }
}

/// Says of a guest that it was cut short, unless it was told otherwise. Dropped before the store.
struct Short(Fate);

impl Drop for Short {
    fn drop(&mut self) {
        self.0.seal(End::Broken);
    }
}

/// Why an artifact cannot be used. The caller names the file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The engine does not take it.
    #[error("{0}")]
    Refused(String),
    /// It cannot be linked.
    #[error("{0}")]
    Link(String),
}

/// Why the engine cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings do not fit this machine.
    #[error("the engine does not start on this machine: {0:#}")]
    Engine(wasmtime::Error),
    /// No thread for the ticker.
    #[error("the engine's ticker does not start: {0}")]
    Ticker(#[from] std::io::Error),
}

impl<H: Holds> Engine<H> {
    /// Starts the engine; `offer` fills the door.
    pub fn start(
        code: Code,
        pool: Pool,
        offer: impl FnOnce(&mut Door<H>) -> wasmtime::Result<()>,
    ) -> Result<Self, StartError> {
        let build = || {
            let mut config = config::config(code, None)?;
            config::stack(&mut config, pool.stack_bytes);
            // Without places each instance is mapped when it is made: where a system gives a process few addresses.
            let pooled = pool.strategy(code).and_then(|strategy| {
                wasmtime::Engine::new(config.clone().allocation_strategy(strategy)).ok()
            });
            let inner = pooled.map_or_else(|| wasmtime::Engine::new(&config), Ok)?;
            let mut door = Door::compiled(&inner);
            offer(&mut door)?;
            Ok((inner, door))
        };
        let (inner, door) = build().map_err(StartError::Engine)?;
        let ticker = Ticker::start(&inner)?;
        Ok(Self {
            inner,
            door,
            ticker,
            code,
            stack_bytes: limits::wasm_stack_bytes(pool.stack_bytes),
        })
    }

    /// The form of code that this engine runs.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Maps an artifact into memory and links it. `file` must stay what it was when its digest was
    /// taken, as what `Private::open` gives does: those very bytes were checked, through this very descriptor.
    #[allow(unsafe_code, reason = "loading compiled code is unsafe by contract; see SAFETY")]
    pub fn load(&self, file: &File) -> Result<Compiled<H>, LoadError> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        // SAFETY: the bytes were produced by `precompile_component`: the caller compared their
        // digest with the lock file's, and nobody writes to the copy that is mapped. Whoever can write the
        // lock file can also replace the app.
        let component = unsafe { Component::deserialize_file(&self.inner, Path::new(&path)) };
        self.linked(component.map_err(|error| LoadError::Refused(refusal(&error)))?)
    }

    fn linked(&self, component: Component) -> Result<Compiled<H>, LoadError> {
        let missing = self.door.offered.missing(&component);
        let missing = missing.iter().filter_map(|m| m.callable()).collect();
        let link = || self.door.linker_for(&component)?.instantiate_pre(&component);
        let pre = link().map_err(|error| LoadError::Link(format!("{error:#}")))?;
        let (ticker, stack_bytes) = (self.ticker.clone(), self.stack_bytes);
        Ok(Compiled { pre, ticker, code: self.code, missing, stack_bytes })
    }
}

/// wasmtime's reason, in a sentence that says what to do.
fn refusal(error: &wasmtime::Error) -> String {
    let reason = error.root_cause().to_string();
    let version = config::artifact_version();
    if let Some((_, other)) = reason.split_once("incompatible version '") {
        let other = other.trim_end_matches('\'');
        return format!(
            "it was made for {other}, this runner is {version}: build it again with the same pirn"
        );
    }
    if reason.contains("architecture") || reason.contains("operating system") {
        return format!("it was made for another CPU ({reason}): build it for this board");
    }
    if reason.contains("compiled") || reason.contains("setting") || reason.contains("feature") {
        return format!(
            "it was made with other settings ({reason}): build it again with the same pirn"
        );
    }
    format!("it is no compiled component ({reason}): build it again")
}

/// A loaded component, linked and ready for instances.
pub struct Compiled<H: Holds> {
    pre: InstancePre<Guest<H>>,
    ticker: Ticker,
    code: Code,
    missing: Vec<String>,
    stack_bytes: usize,
}

/// A fresh instance and its store; both end together.
pub(super) struct Running<H: Holds> {
    pub(super) store: Store<Guest<H>>,
    pub(super) instance: Instance,
}

impl<H: Holds> Running<H> {
    /// Calls an export of these types.
    pub(super) async fn call<P, R>(
        &mut self,
        export: ComponentExportIndex,
        mut params: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower + Wire + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Wire + Send + Sync + 'static,
    {
        let Self { store, instance } = self;
        let function = instance.get_typed_func::<P, R>(&mut *store, export)?;
        params.connect(&mut store.as_context_mut(), Bound::Guest)?;
        let mut result = function.call_async(&mut *store, params).await?;
        result.connect(&mut store.as_context_mut(), Bound::Host)?;
        Ok(result)
    }
}

/// What is done with it. In boxes: one piece of code runs all kinds of calls.
pub(super) type Called<'c, H> = Box<dyn FnOnce(Running<H>) -> Calling<'c, H> + Send + 'c>;

type Calling<'c, H> = Pin<Box<dyn Future<Output = (Running<H>, wasmtime::Result<()>)> + Send + 'c>>;

/// Done when the guest has nothing left to do.
async fn rest<H: Holds>(guest: &Accessor<Guest<H>>) {
    poll_fn(|cx| guest.poll_no_interesting_tasks(cx)).await;
}

impl<H: Holds> Compiled<H> {
    /// The exported function of this name, if the component has one.
    pub(crate) fn exported_function(
        &self,
        name: &str,
    ) -> Option<(types::ComponentFunc, ComponentExportIndex)> {
        let component = self.pre.component();
        match component.get_export(None, name)? {
            (types::ComponentItem::ComponentFunc(function), index) => Some((function, index)),
            _ => None,
        }
    }

    /// The function of this name that an exported interface has, whichever compatible version of it that is.
    pub(crate) fn exported_member(
        &self,
        interface: &str,
        name: &str,
    ) -> Option<(types::ComponentFunc, ComponentExportIndex)> {
        let component = self.pre.component();
        let wanted = compatible(interface);
        let full = self.export_names().into_iter().find(|name| compatible(name) == wanted)?;
        let (_, instance) = component.get_export(None, &full)?;
        match component.get_export(Some(&instance), name)? {
            (types::ComponentItem::ComponentFunc(function), index) => Some((function, index)),
            _ => None,
        }
    }

    /// Names of everything the component exports, for messages.
    pub(crate) fn export_names(&self) -> Vec<String> {
        let component = self.pre.component();
        let exports = component.component_type();
        exports.exports(component.engine()).map(|(name, _)| name.to_string()).collect()
    }

    /// What it imports and this build does not offer, as `interface#name`: calls of these trap.
    pub fn missing_imports(&self) -> &[String] {
        &self.missing
    }

    /// Its kind of code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Linear memory that each instance starts with, if it is known before it runs.
    pub fn memory_bytes_min(&self) -> Option<usize> {
        let needs = self.pre.component().resources_required()?;
        // Of the largest of its memories, in pages.
        let pages = needs.max_initial_memory_size.unwrap_or(0);
        usize::try_from(pages.saturating_mul(64 << 10)).ok()
    }

    /// Bytes of the artifact in memory.
    pub fn code_bytes(&self) -> usize {
        let range = self.pre.component().image_range();
        range.end as usize - range.start as usize
    }

    /// Makes a fresh instance, runs `call` on it within the allowance, and what the guest goes on with after that. The store
    /// is gone afterwards, whatever happened. Dropping this future drops the guest where it stands.
    pub(super) async fn run(
        &self,
        host: H,
        allowance: Allowance,
        call: Called<'_, H>,
    ) -> Result<(), Fault> {
        let limiter = Limiter::new(allowance.memory_bytes_max, self.stack_bytes);
        let fate = Fate::default();
        let guest = Guest { host, limiter, fate: fate.clone() };
        let mut store = Store::new(self.pre.engine(), guest);
        store.limiter(|guest| &mut guest.limiter);
        store.set_epoch_deadline(1);
        store.epoch_deadline_async_yield_and_update(1);
        store.set_hostcall_fuel(limits::HOST_CALL_BYTES_MAX);
        store.set_max_component_handles(limits::HANDLES_MAX);
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(limits::HANDLES_MAX);
        }
        let guest = turns::fairly(Some(&self.ticker), async move {
            let instance = match self.pre.instantiate_async(&mut store).await {
                Ok(instance) => instance,
                Err(error) => return Err(Fault::from_error(&error, &store.data().limiter)),
            };
            let mut calling = call(Running { store, instance });
            let mut called = None;
            let _short = Short(fate.clone());
            let (running, result) = calling.as_mut().await;
            let Running { store, .. } = called.insert(running);
            let result = match result {
                Ok(()) => store.run_concurrent(async |guest| rest(guest).await).await,
                Err(error) => Err(error),
            };
            if result.is_ok() {
                fate.seal(End::Whole);
            }
            result.map_err(|error| Fault::from_error(&error, &store.data().limiter))
        });
        match tokio::time::timeout(allowance.deadline, guest).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Deadline(allowance.deadline)),
        }
    }
}
