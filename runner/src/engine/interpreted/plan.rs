//! A component, taken apart: what to instantiate in which order, what each import is, how each
//! function crosses a border. Made once when the component is loaded, shared by all its instances. What a
//! capability gives is known by its place behind the door, so no plan knows what capabilities live in.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmi::{FuncType as CoreFuncType, Module};

use super::builtins::Builtin;
use crate::engine::canonical::{Abi, Encoding, FuncType};

/// What every instance of a component shares.
#[derive(Default)]
pub(super) struct Plan {
    /// Core modules, each translated once.
    pub(super) modules: Vec<CoreModule>,
    /// Core instances, in order; a definition may use those before it.
    pub(super) instances: Vec<CoreInstance>,
    /// Functions that core modules import from us.
    pub(super) trampolines: Vec<Trampoline>,
    /// Core functions that are functions of the component model.
    pub(super) lifts: Vec<Arc<Lifted>>,
    /// Resource types.
    pub(super) resources: Vec<Resource>,
    /// Component instances, the outermost first: the one around each, if there is one.
    pub(super) components: Vec<Option<usize>>,
    /// What the outermost exports.
    pub(super) exports: BTreeMap<String, Export>,
    /// What it imports and nobody offers, as `interface#name`.
    pub(super) missing: Vec<String>,
}

impl Plan {
    /// Whether one component is within the other, or they are the same: then neither may call the other, which may be
    /// on its stack already.
    pub(super) fn are_nested(&self, one: usize, other: usize) -> bool {
        self.is_within(one, other) || self.is_within(other, one)
    }

    fn is_within(&self, inner: usize, outer: usize) -> bool {
        let mut around = Some(inner);
        while let Some(component) = around {
            if component == outer {
                return true;
            }
            around = self.components.get(component).copied().flatten();
        }
        false
    }
}

/// A core module, and the name under which it exports its start function, if it has one: a start
/// function may call imports that wait, so it is called like any other.
pub(super) struct CoreModule {
    pub(super) module: Module,
    pub(super) start: Option<&'static str>,
}

pub(super) struct CoreInstance {
    pub(super) module: usize,
    /// In the order of the module's imports.
    pub(super) imports: Vec<Core>,
}

/// A core definition: where a function, a memory, a table or a global comes from.
#[derive(Clone, Debug)]
pub(super) enum Core {
    /// What a core instance exports by this name.
    Export { instance: usize, name: Arc<str> },
    /// One of ours.
    Trampoline(usize),
}

pub(super) struct Trampoline {
    pub(super) ty: CoreFuncType,
    pub(super) does: Does,
}

/// What a trampoline does. `component` is the component instance whose handles it works on.
#[derive(Clone)]
pub(super) enum Does {
    /// Calls out of a component.
    Lower(Arc<Lowered>),
    /// `resource.new`
    New { component: usize, resource: u32 },
    /// `resource.rep`
    Rep { component: usize, resource: u32 },
    /// `resource.drop`
    Drop { component: usize, resource: u32 },
    /// One of the functions with which async components wait and answer.
    Builtin { component: usize, builtin: Arc<Builtin> },
}

/// A function of the component model as a core function.
pub(super) struct Lowered {
    pub(super) target: Target,
    pub(super) ty: Arc<FuncType>,
    pub(super) options: Options,
}

impl Lowered {
    /// Where the caller wants a result that is not a core value.
    pub(super) fn result_at(&self, cells: &[u64]) -> Option<u32> {
        let in_memory = self.ty.result_in_memory(self.options.abi);
        in_memory.then(|| cells.last().map_or(0, |cell| *cell as u32))
    }
}

/// A core function as a function of the component model.
pub(super) struct Lifted {
    pub(super) core: Core,
    pub(super) ty: Arc<FuncType>,
    pub(super) options: Options,
}

/// Where a call goes.
#[derive(Clone)]
pub(super) enum Target {
    /// To a capability: the place of its function behind the door.
    Host(usize),
    /// To another component within this one.
    Lifted(usize),
    /// To nobody: the sentence says what this build does not offer.
    Missing(Arc<str>),
}

/// How values cross a border of this component instance.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) component: usize,
    pub(super) encoding: Encoding,
    pub(super) memory: Option<Core>,
    pub(super) realloc: Option<Core>,
    pub(super) post_return: Option<Core>,
    /// Lowered: whether the caller waits. Lifted: whether the function answers by returning.
    pub(super) abi: Abi,
    /// Of an async lifted function, what is called with each event that it waits for.
    pub(super) callback: Option<Core>,
}

/// Whose a resource type is.
pub(super) enum Resource {
    /// A capability's: the place behind the door of what happens when the guest drops it.
    Host(usize),
    /// Nobody's: this build does not offer it, so no value of it exists.
    Missing,
    /// A component instance's own, with its destructor.
    Guest { component: usize, dtor: Option<Core> },
}

/// What a component exports.
#[derive(Clone)]
pub(super) enum Export {
    /// A function: an index into the lifted ones.
    Func(usize),
    /// An interface.
    Instance(Arc<BTreeMap<String, Export>>),
    /// Something that cannot be called.
    Other,
}
