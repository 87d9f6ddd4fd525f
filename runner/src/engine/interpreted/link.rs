//! Takes a component apart into a [`Plan`]: walks its definitions once, with stand-ins for what exists
//! only at run time, through all the components nested in it (`Explainer.md`: index spaces, aliases,
//! instantiation). The component is valid: `valid.rs` has seen to that.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use wasmi::{FuncType as CoreFuncType, Module, ValType};
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding as Form, Payload};

use super::LoadError;
use super::builtins;
use super::items::{Func, Item};
use super::module;
use super::nesting;
use super::plan::{
    Core, CoreInstance, CoreModule, Does, Export, Lifted, Lowered, Options, Plan, Resource, Target,
    Trampoline,
};
use super::scope::Scope;
use crate::engine::canonical::{Abi, Encoding, Flat, FuncType, ResourceId};
use crate::engine::offered::{Offered, another_type};
use crate::limits::engine as limits;

/// The plan while it is made.
pub(super) struct Linker<'o> {
    engine: wasmi::Engine,
    offered: &'o Offered,
    plan: Plan,
    /// Modules by where they begin, so that each is translated once.
    modules: BTreeMap<usize, usize>,
    /// Definitions so far: instantiating a component often must not cost much more than its size.
    definitions: usize,
}

/// Makes the plan of the component in `bytes`, which is valid.
pub(super) fn link(
    engine: &wasmi::Engine,
    offered: &Offered,
    bytes: &[u8],
) -> Result<Plan, LoadError> {
    let mut linker = Linker {
        engine: engine.clone(),
        offered,
        plan: Plan::default(),
        modules: BTreeMap::new(),
        definitions: 0,
    };
    let exports = linker.instantiate(bytes, 0..bytes.len(), Scope::default())?;
    let mut plan = linker.plan;
    plan.exports = exported(&exports);
    plan.missing.sort_unstable();
    plan.missing.dedup();
    Ok(plan)
}

/// What can be called from outside: functions and those of interfaces, but not what is in interfaces within
/// interfaces. One that is in two others unfolds into two, so these could become any number.
fn exported(items: &BTreeMap<String, Item<'_>>) -> BTreeMap<String, Export> {
    callable(items, &|items| Export::Instance(Arc::new(callable(items, &|_| Export::Other))))
}

fn callable<'a>(
    items: &BTreeMap<String, Item<'a>>,
    interface: &dyn Fn(&BTreeMap<String, Item<'a>>) -> Export,
) -> BTreeMap<String, Export> {
    let one = |(name, item): (&String, &Item<'a>)| {
        let export = match item {
            Item::Func(Func::Typed { target: Target::Lifted(index), .. }) => Export::Func(*index),
            Item::Instance(items) => interface(&items.all),
            _ => Export::Other,
        };
        (name.clone(), export)
    };
    items.iter().filter(|(_, item)| !matches!(item, Item::Type(_))).map(one).collect()
}

impl Linker<'_> {
    /// Walks one component, nested or not. `scope` holds its imports and what surrounds it.
    pub(super) fn instantiate<'a>(
        &mut self,
        bytes: &'a [u8],
        range: Range<usize>,
        mut scope: Scope<'a>,
    ) -> Result<BTreeMap<String, Item<'a>>, LoadError> {
        let around = std::mem::replace(&mut scope.instance, self.plan.components.len());
        let is_outermost = self.plan.components.is_empty();
        self.plan.components.push((!is_outermost).then_some(around));
        if self.plan.components.len() > limits::COMPONENT_INSTANCES_MAX {
            let most = limits::COMPONENT_INSTANCES_MAX;
            return Err(LoadError::Refused(format!("it is made of more than {most} components")));
        }
        let whole = bytes.get(range.clone()).ok_or_else(LoadError::truncated)?;
        let mut parser = wasmparser::Parser::new(range.start as u64);
        let mut rest = whole;
        loop {
            let (payload, consumed) = match parser.parse(rest, true)? {
                wasmparser::Chunk::NeedMoreData(_) => return Err(LoadError::truncated()),
                wasmparser::Chunk::Parsed { consumed, payload } => (payload, consumed),
            };
            rest = rest.get(consumed..).ok_or_else(LoadError::truncated)?;
            self.count()?;
            let nested = match payload {
                Payload::Version { encoding: Form::Module, .. } => {
                    return Err(LoadError::Refused(
                        "it is a core module, not a component: build it for wasm32-wasip2".into(),
                    ));
                }
                Payload::ModuleSection { unchecked_range, .. } => {
                    let body = bytes.get(unchecked_range.clone());
                    let body = body.ok_or_else(LoadError::truncated)?;
                    scope.modules.push(self.module(unchecked_range.start, body)?);
                    unchecked_range
                }
                Payload::ComponentSection { unchecked_range, .. } => {
                    scope.nested(unchecked_range.clone(), self)?;
                    unchecked_range
                }
                Payload::End(_) => return Ok(scope.exports),
                payload => {
                    self.section(bytes, payload, &mut scope)?;
                    continue;
                }
            };
            rest = rest.get(nested.len()..).ok_or_else(LoadError::truncated)?;
        }
    }

    fn section<'a>(
        &mut self,
        bytes: &'a [u8],
        payload: Payload<'a>,
        scope: &mut Scope<'a>,
    ) -> Result<(), LoadError> {
        match payload {
            Payload::InstanceSection(entries) => {
                for entry in entries {
                    self.count()?;
                    scope.core_instance(entry?, self)?;
                }
            }
            Payload::ComponentInstanceSection(entries) => {
                for entry in entries {
                    self.count()?;
                    scope.component_instance(bytes, entry?, self)?;
                }
            }
            Payload::ComponentAliasSection(entries) => {
                for entry in entries {
                    self.count()?;
                    scope.alias(entry?)?;
                }
            }
            Payload::ComponentTypeSection(entries) => {
                let range = entries.range();
                let section = bytes.get(range.clone()).ok_or_else(LoadError::truncated)?;
                nesting::check(section, entries.count(), range.start)?;
                for entry in entries {
                    self.count()?;
                    scope.define_type(entry?, self)?;
                }
            }
            Payload::ComponentCanonicalSection(entries) => {
                for entry in entries {
                    self.count()?;
                    self.canonical(entry?, scope)?;
                }
            }
            Payload::ComponentImportSection(entries) => {
                for entry in entries {
                    self.count()?;
                    scope.import(entry?, self)?;
                }
            }
            Payload::ComponentExportSection(entries) => {
                for entry in entries {
                    self.count()?;
                    scope.export(entry?)?;
                }
            }
            Payload::ComponentStartSection { .. } => {
                return Err(LoadError::Unsupported("it has a component start function".into()));
            }
            // Custom sections, and core types, which only say what is checked later anyway.
            _ => {}
        }
        Ok(())
    }

    /// Counts one more definition.
    pub(super) fn count(&mut self) -> Result<(), LoadError> {
        self.copies(1)
    }

    /// Counts definitions that are noted once more, for what is nested among them.
    pub(super) fn copies(&mut self, definitions: usize) -> Result<(), LoadError> {
        self.definitions = self.definitions.saturating_add(definitions);
        if self.definitions > limits::DEFINITIONS_MAX {
            let most = limits::DEFINITIONS_MAX;
            return Err(LoadError::Refused(format!("it has more than {most} definitions")));
        }
        Ok(())
    }

    fn module(&mut self, start: usize, bytes: &[u8]) -> Result<usize, LoadError> {
        if let Some(&index) = self.modules.get(&start) {
            return Ok(index);
        }
        let (bytes, start_name) = module::with_exported_start(bytes)?;
        let module = unchecked(&self.engine, &bytes)?;
        let index = self.plan.modules.len();
        self.plan.modules.push(CoreModule { module, start: start_name });
        self.modules.insert(start, index);
        Ok(index)
    }

    /// Adds a core instance; `find` says what a module's import is.
    pub(super) fn instance(
        &mut self,
        module: usize,
        find: impl Fn(&str, &str) -> Result<Core, LoadError>,
    ) -> Result<usize, LoadError> {
        let most = limits::CORE_INSTANCES_MAX;
        if self.plan.instances.len() >= most {
            return Err(LoadError::Refused(format!("it has more than {most} core instances")));
        }
        let imports = self.plan.modules[module].module.imports();
        let imports = imports.map(|import| find(import.module(), import.name()));
        let imports = imports.collect::<Result<_, _>>()?;
        self.plan.instances.push(CoreInstance { module, imports });
        Ok(self.plan.instances.len() - 1)
    }

    fn trampoline(&mut self, (params, results): (Vec<Flat>, Vec<Flat>), does: Does) -> Core {
        let types = |flat: Vec<Flat>| flat.into_iter().map(core_type).collect::<Vec<_>>();
        let ty = CoreFuncType::new(types(params), types(results));
        self.plan.trampolines.push(Trampoline { ty, does });
        Core::Trampoline(self.plan.trampolines.len() - 1)
    }

    /// A function that the outermost component imports: what is offered under this name, if its type
    /// is the same.
    pub(super) fn import(
        &mut self,
        interface: &str,
        name: &str,
        ty: &FuncType,
    ) -> Result<Target, LoadError> {
        match self.offered.function(interface, name) {
            Some(function) if (function.fits)(ty) => Ok(Target::Host(function.place)),
            Some(_) => Err(LoadError::Refused(another_type(interface, name))),
            None => {
                self.miss(interface, name);
                let sentence =
                    format!("it called `{interface}#{name}`, which this build does not offer");
                Ok(Target::Missing(sentence.into()))
            }
        }
    }

    /// Notes what nobody offers.
    pub(super) fn miss(&mut self, interface: &str, name: &str) {
        self.plan.missing.push(format!("{interface}#{name}"));
    }

    /// A resource that the outermost component imports.
    pub(super) fn host_resource(&mut self, interface: &str, name: &str) -> ResourceId {
        let resource = match self.offered.resource(interface, name) {
            Some(place) => Resource::Host(place),
            None => {
                self.miss(interface, name);
                Resource::Missing
            }
        };
        self.resource(resource)
    }

    pub(super) fn resource(&mut self, resource: Resource) -> ResourceId {
        self.plan.resources.push(resource);
        ResourceId(self.plan.resources.len() as u32 - 1)
    }

    /// A resource that this very component defines: what is behind handles of others is not its business.
    fn own_resource(&self, index: u32, scope: &Scope<'_>) -> Result<u32, LoadError> {
        let ResourceId(resource) = scope.types.resource(index)?;
        match self.plan.resources.get(resource as usize) {
            Some(Resource::Guest { component, .. }) if *component == scope.instance => Ok(resource),
            _ => Err(LoadError::Refused("it makes handles of a resource that is another's".into())),
        }
    }

    fn canonical(
        &mut self,
        function: CanonicalFunction,
        scope: &mut Scope<'_>,
    ) -> Result<(), LoadError> {
        let component = scope.instance;
        let one = vec![Flat::I32];
        match function {
            CanonicalFunction::Lift { core_func_index, type_index, options } => {
                let options = canonical_options(&options, scope)?;
                let ty = scope.types.func(type_index)?;
                let core = scope.core_func(core_func_index)?.clone();
                let lifted = Lifted { core, ty: Arc::clone(&ty), options };
                self.plan.lifts.push(Arc::new(lifted));
                let target = Target::Lifted(self.plan.lifts.len() - 1);
                scope.funcs.push(Func::Typed { target, ty });
                return Ok(());
            }
            CanonicalFunction::Lower { func_index, options } => {
                let options = canonical_options(&options, scope)?;
                let core = match scope.func(func_index)?.clone() {
                    Func::Unsupported(reason) => {
                        return Err(LoadError::Unsupported(reason.to_string()));
                    }
                    Func::Typed { target, ty } => {
                        let flat = ty.lowered(options.abi);
                        let lowered = Lowered { target, ty, options };
                        self.trampoline(flat, Does::Lower(Arc::new(lowered)))
                    }
                };
                scope.core_funcs.push(core);
            }
            CanonicalFunction::ResourceNew { resource } => {
                let resource = self.own_resource(resource, scope)?;
                let does = Does::New { component, resource };
                scope.core_funcs.push(self.trampoline((one.clone(), one), does));
            }
            CanonicalFunction::ResourceRep { resource } => {
                let resource = self.own_resource(resource, scope)?;
                let does = Does::Rep { component, resource };
                scope.core_funcs.push(self.trampoline((one.clone(), one), does));
            }
            CanonicalFunction::ResourceDrop { resource } => {
                let ResourceId(resource) = scope.types.resource(resource)?;
                let does = Does::Drop { component, resource };
                scope.core_funcs.push(self.trampoline((one, Vec::new()), does));
            }
            function => {
                let (flat, builtin) = builtins::builtin(function, scope)?;
                let does = Does::Builtin { component, builtin: Arc::new(builtin) };
                scope.core_funcs.push(self.trampoline(flat, does));
            }
        }
        Ok(())
    }
}

pub(super) fn canonical_options(
    options: &[CanonicalOption],
    scope: &Scope<'_>,
) -> Result<Options, LoadError> {
    let mut all = Options { component: scope.instance, ..Options::default() };
    for option in options {
        match option {
            CanonicalOption::UTF8 => all.encoding = Encoding::Utf8,
            CanonicalOption::UTF16 => all.encoding = Encoding::Utf16,
            CanonicalOption::CompactUTF16 => all.encoding = Encoding::Compact,
            CanonicalOption::Memory(index) => all.memory = Some(scope.core_memory(*index)?.clone()),
            CanonicalOption::Realloc(index) => all.realloc = Some(scope.core_func(*index)?.clone()),
            CanonicalOption::PostReturn(index) => {
                all.post_return = Some(scope.core_func(*index)?.clone());
            }
            CanonicalOption::Async => all.abi = Abi::Async,
            CanonicalOption::Callback(index) => {
                all.callback = Some(scope.core_func(*index)?.clone());
            }
            CanonicalOption::CoreType(_) | CanonicalOption::Gc => {
                return Err(LoadError::Unsupported("it uses garbage-collected types".into()));
            }
        }
    }
    Ok(all)
}

/// A module of a component that was found valid, all of it.
#[allow(unsafe_code, reason = "was checked as part of its component; see SAFETY")]
fn unchecked(engine: &wasmi::Engine, bytes: &[u8]) -> Result<Module, LoadError> {
    // SAFETY: `valid::check` has checked the component that these bytes are from, for no more than wasmi is built with;
    // every way to `link` begins there. One more export of a function that was found to be there is valid too.
    let module = unsafe { Module::new_unchecked(engine, bytes) };
    module.map_err(|error| LoadError::Refused(format!("one of its modules: {error}")))
}

fn core_type(flat: Flat) -> ValType {
    match flat {
        Flat::I32 => ValType::I32,
        Flat::I64 => ValType::I64,
        Flat::F32 => ValType::F32,
        Flat::F64 => ValType::F64,
    }
}
