//! The interpreted engine: components as a compiler left them, run by wasmi on any CPU. wasmi knows
//! core modules; the component model around them is here. A component is taken apart once (`plan`),
//! its functions are translated when they are first called, and every instance shares both.
//!
//! It does what the compiled engine does, under the same budgets: fuel stands in for epochs, and a
//! host function that waits suspends the guest instead of the thread. Of the component model's `async` all is here but
//! threads and error contexts: tasks (`tasks.rs`), streams and futures (`copies.rs`), and who has its turn (`work.rs`).

mod builtins;
mod calls;
mod copies;
mod depth;
mod guest;
mod items;
mod link;
mod module;
mod nesting;
mod plan;
mod room;
mod run;
mod scope;
mod task;
mod tasks;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
mod types;
mod valid;
mod wait;
mod work;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::timeout;
use wasmi::{CompilationMode, Config, CustomFuelCosts, ExternType};

use self::guest::Guest;
use self::plan::{Export, Plan};
use super::canonical::{FuncType, Value, trap};
use super::component::Allowance;
use super::door::{Answer, Behind, Door, Holds};
use super::fault::Fault;
use super::limiter::Limiter;
use super::offered::Offered;
use super::turns;
use crate::limits::engine as limits;

/// The engine, with everything that guests may import.
pub struct Engine<H> {
    config: Config,
    shared: Mutex<Shared>,
    /// Digests of components that were found valid.
    checked: Mutex<BTreeSet<String>>,
    offered: Offered,
    behind: Arc<Behind<H>>,
    stack_bytes: usize,
}

/// What components have in common that were loaded one after the other: buffers, stacks, and a table of code from which
/// nothing is ever removed. It is gone with the last of them.
struct Shared {
    engine: wasmi::Engine,
    /// Of all that it ever took.
    bytes: usize,
}

/// A loaded component, linked and ready for instances.
pub struct Interpreted<H> {
    engine: wasmi::Engine,
    plan: Plan,
    behind: Arc<Behind<H>>,
    bytes: usize,
    stack_bytes: usize,
}

/// Why a component cannot be interpreted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// It is malformed, or does not fit what is offered.
    #[error("{0}")]
    Refused(String),
    /// It uses what no engine of this build is switched on for.
    #[error("{0}, which no engine of this build runs")]
    Unsupported(String),
    /// It is a good component, but not for this engine.
    #[error(
        "{0}, which cannot be interpreted: set engine = \"pulley\" and build an artifact with `pirn build`"
    )]
    Compile(String),
}

impl LoadError {
    fn truncated() -> Self {
        Self::Refused("it is cut short".into())
    }

    fn no_such(what: &str, index: u32) -> Self {
        Self::Refused(format!("it refers to {what} {index}, which it does not have"))
    }

    fn missing(name: &str) -> Self {
        Self::Refused(format!("it refers to `{name}`, which is not there"))
    }

    fn values() -> Self {
        Self::Unsupported("it imports or exports values".into())
    }
}

impl From<wasmparser::Error> for LoadError {
    fn from(error: wasmparser::Error) -> Self {
        Self::Refused(format!("it is no component: {error}"))
    }
}

/// Whether a component is valid, for this engine.
pub fn check(bytes: &[u8]) -> Result<(), LoadError> {
    valid::check(bytes)
}

impl<H: Holds> Engine<H> {
    /// Starts the engine with the stack that most boards give; `offer` fills the door.
    pub fn start(offer: impl FnOnce(&mut Door<H>) -> Answer<()>) -> Answer<Self> {
        Self::with_stack(limits::FIBER_STACK_BYTES, offer)
    }

    /// The same with another stack for each instance, in bytes: guests may nest their calls as deep as
    /// they could if they were compiled.
    pub fn with_stack(
        stack_bytes: usize,
        offer: impl FnOnce(&mut Door<H>) -> Answer<()>,
    ) -> Answer<Self> {
        let mut door = Door::interpreted();
        offer(&mut door)?;
        let stack_bytes = limits::wasm_stack_bytes(stack_bytes);
        let (config, behind) = (config(stack_bytes), Arc::new(door.behind));
        let shared = Mutex::new(Shared { engine: wasmi::Engine::new(&config), bytes: 0 });
        let (checked, offered) = (Mutex::default(), door.offered);
        Ok(Self { config, shared, checked, offered, behind, stack_bytes })
    }

    /// Takes a component apart, after all of it was checked. Its code is translated when it is first called.
    pub fn load(&self, bytes: &[u8]) -> Result<Interpreted<H>, LoadError> {
        valid::check(bytes)?;
        self.load_valid(bytes)
    }

    /// The same of bytes with this digest, which the caller took of these very bytes: checked once for all times that
    /// this engine loads them.
    pub(crate) fn load_once_checked(
        &self,
        bytes: &[u8],
        sha256: &str,
    ) -> Result<Interpreted<H>, LoadError> {
        let is_known = || self.checked().contains(sha256);
        if !is_known() {
            valid::check(bytes)?;
            let mut checked = self.checked();
            if checked.len() >= limits::CHECKED_DIGESTS_MAX {
                checked.clear();
            }
            checked.insert(sha256.to_owned());
        }
        self.load_valid(bytes)
    }

    fn checked(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn load_valid(&self, bytes: &[u8]) -> Result<Interpreted<H>, LoadError> {
        let engine = self.engine_for(bytes.len());
        let plan = link::link(&engine, &self.offered, bytes)?;
        let behind = Arc::clone(&self.behind);
        let stack_bytes = self.stack_bytes;
        Ok(Interpreted { engine, plan, behind, bytes: bytes.len(), stack_bytes })
    }

    /// What takes the next component: a new one when the last has taken enough.
    fn engine_for(&self, bytes: usize) -> wasmi::Engine {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let together = shared.bytes.saturating_add(bytes);
        if shared.bytes > 0 && together > limits::INTERPRETED_TOGETHER_BYTES_MAX {
            *shared = Shared { engine: wasmi::Engine::new(&self.config), bytes };
        } else {
            shared.bytes = together;
        }
        shared.engine.clone()
    }
}

fn config(stack_bytes: usize) -> Config {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        // Translating is our work, not the guest's: running out of fuel there could not be resumed.
        .fuel_cost(CustomFuelCosts {
            bytes_copied_per_fuel: limits::BYTES_COPIED_PER_FUEL,
            fuel_per_bytes_translated: 0,
            fuel_per_bytes_validated: 0,
        })
        // Of the thermostat's 121 KiB: at once 3.8 ms and 339 KiB, lazily 0.8 ms and 146 KiB.
        .compilation_mode(CompilationMode::LazyTranslation)
        .ignore_custom_sections(true)
        .set_max_recursion_depth(stack_bytes / limits::WASM_FRAME_BYTES)
        .set_max_stack_height(stack_bytes)
        .set_max_cached_stacks(limits::INTERPRETER_STACKS_KEPT);
    config
}

impl<H: Holds> Interpreted<H> {
    /// The exported function of this name, with its type.
    pub fn exported_function(&self, name: &str) -> Option<(&FuncType, usize)> {
        match self.plan.exports.get(name)? {
            Export::Func(index) => Some((&self.plan.lifts.get(*index)?.ty, *index)),
            Export::Instance(_) | Export::Other => None,
        }
    }

    /// The function that an exported interface has by this name.
    pub fn exported_member(&self, interface: &str, name: &str) -> Option<(&FuncType, usize)> {
        let Export::Instance(members) = self.plan.exports.get(interface)? else { return None };
        match members.get(name)? {
            Export::Func(index) => Some((&self.plan.lifts.get(*index)?.ty, *index)),
            Export::Instance(_) | Export::Other => None,
        }
    }

    /// Names of everything the component exports, for messages.
    pub fn export_names(&self) -> Vec<String> {
        self.plan.exports.keys().cloned().collect()
    }

    /// What it imports and this build does not offer, as `interface#name`: calls of these trap.
    pub fn missing_imports(&self) -> &[String] {
        &self.plan.missing
    }

    /// Linear memory that each instance starts with, as far as modules export it.
    pub fn memory_bytes_min(&self) -> Option<usize> {
        let pages = |module: &plan::CoreModule| {
            let memories = module.module.exports().filter_map(|export| match export.ty() {
                ExternType::Memory(memory) => Some(memory.minimum()),
                _ => None,
            });
            memories.sum::<u64>()
        };
        // The limit is for all memories together: a component composed of two has two.
        let pages: u64 = self.plan.modules.iter().map(pages).sum();
        usize::try_from(pages.saturating_mul(64 << 10)).ok()
    }

    /// Bytes of the component.
    pub fn code_bytes(&self) -> usize {
        self.bytes
    }

    /// Makes a fresh instance and calls one of its functions within the allowance. The instance is
    /// gone afterwards, whatever happened. Dropping this future drops the guest where it stands.
    pub async fn call(
        &self,
        function: usize,
        host: H,
        allowance: Allowance,
        params: Vec<Value>,
    ) -> Result<Option<Value>, Fault> {
        let mut answer = None;
        let answered = Box::new(|result| answer = Some(result));
        let ended = self.call_and_go_on(function, host, allowance, params, answered).await;
        match (ended, answer) {
            // What it would have done afterwards took too long.
            (Ok(()) | Err(Fault::Deadline(_)), Some(answer)) => Ok(answer),
            (Err(fault), _) => Err(fault),
            (Ok(()), None) => Err(trap("it ended without giving a result")),
        }
    }

    /// The same for who wants the answer as soon as it is there: the instance lives on until all that it does is done.
    pub async fn call_and_go_on(
        &self,
        function: usize,
        host: H,
        allowance: Allowance,
        params: Vec<Value>,
        answered: work::Told<'_>,
    ) -> Result<(), Fault> {
        let limiter = Limiter::new(allowance.memory_bytes_max, self.stack_bytes);
        let guest = Guest::new(&self.engine, &self.plan, &self.behind, host, limiter);
        let first = Arc::clone(&guest).outermost(function, params);
        let run = turns::fairly(None, work::run(&guest, Box::pin(first), answered));
        match timeout(allowance.deadline, run).await {
            Ok(result) => result,
            Err(_) => Err(Fault::Deadline(allowance.deadline)),
        }
    }
}
