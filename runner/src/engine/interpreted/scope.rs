//! The index spaces of one component while it is walked: each definition adds to one of them, and
//! later ones refer to it by its place there.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use wasmparser::{
    ComponentAlias, ComponentExport, ComponentExternalKind, ComponentImport, ComponentInstance,
    ComponentOuterAliasKind, ComponentType, ComponentTypeRef, ExternalKind, Instance, TypeBounds,
};

use super::LoadError;
use super::items::{Func, Item, Items};
use super::link::Linker;
use super::plan::{Core, Resource};
use super::types::{TypeDef, Types};

/// One component's index spaces.
#[derive(Default)]
pub(super) struct Scope<'a> {
    /// Which component instance this is.
    pub(super) instance: usize,
    pub(super) modules: Vec<usize>,
    core_instances: Vec<CoreItems>,
    pub(super) core_funcs: Vec<Core>,
    core_memories: Vec<Core>,
    core_tables: Vec<Core>,
    core_globals: Vec<Core>,
    pub(super) types: Types<'a>,
    pub(super) funcs: Vec<Func>,
    instances: Vec<Rc<Items<'a>>>,
    components: Vec<Component<'a>>,
    /// What it imports; `None` for the outermost, whose imports come from the host.
    imports: Option<BTreeMap<String, Item<'a>>>,
    outer: Option<Rc<Surroundings<'a>>>,
    pub(super) exports: BTreeMap<String, Item<'a>>,
}

/// What a component nested here may refer to: fixed when it is defined.
struct Surroundings<'a> {
    types: Rc<Types<'a>>,
    modules: Vec<usize>,
    components: Vec<Component<'a>>,
    outer: Option<Rc<Surroundings<'a>>>,
}

/// A component that is not instantiated yet: its bytes, and what was around it.
#[derive(Clone)]
pub(super) struct Component<'a> {
    range: Range<usize>,
    outer: Rc<Surroundings<'a>>,
}

/// What a core instance has to offer.
enum CoreItems {
    /// Whatever its module exports.
    Instance(usize),
    /// These.
    Named(BTreeMap<String, Core>),
}

impl CoreItems {
    fn get(&self, name: &str) -> Result<Core, LoadError> {
        match self {
            Self::Instance(instance) => {
                Ok(Core::Export { instance: *instance, name: Arc::from(name) })
            }
            Self::Named(items) => items.get(name).cloned().ok_or_else(|| LoadError::missing(name)),
        }
    }
}

fn at<'s, T>(space: &'s [T], what: &str, index: u32) -> Result<&'s T, LoadError> {
    space.get(index as usize).ok_or_else(|| LoadError::no_such(what, index))
}

impl<'a> Scope<'a> {
    /// The core function of this index.
    pub(super) fn core_func(&self, index: u32) -> Result<&Core, LoadError> {
        at(&self.core_funcs, "core function", index)
    }

    /// The core memory of this index.
    pub(super) fn core_memory(&self, index: u32) -> Result<&Core, LoadError> {
        at(&self.core_memories, "core memory", index)
    }

    /// The function of this index.
    pub(super) fn func(&self, index: u32) -> Result<&Func, LoadError> {
        at(&self.funcs, "function", index)
    }

    /// A component is defined within this one.
    pub(super) fn nested(
        &mut self,
        range: Range<usize>,
        linker: &mut Linker<'_>,
    ) -> Result<(), LoadError> {
        linker.copies(self.types.list.len() + self.modules.len() + self.components.len())?;
        let outer = Rc::new(Surroundings {
            types: Rc::new(self.types.clone()),
            modules: self.modules.clone(),
            components: self.components.clone(),
            outer: self.outer.clone(),
        });
        self.components.push(Component { range, outer });
        Ok(())
    }

    /// A type is defined; resources are new with each instance.
    pub(super) fn define_type(
        &mut self,
        ty: ComponentType<'a>,
        linker: &mut Linker<'_>,
    ) -> Result<(), LoadError> {
        let ty = match ty {
            ComponentType::Resource { dtor, .. } => {
                let dtor = dtor.map(|index| self.core_func(index).cloned()).transpose()?;
                let resource = Resource::Guest { component: self.instance, dtor };
                TypeDef::Resource(linker.resource(resource))
            }
            ty => self.types.define(ty, linker)?,
        };
        self.types.list.push(ty);
        Ok(())
    }

    /// A core instance is defined.
    pub(super) fn core_instance(
        &mut self,
        instance: Instance<'a>,
        linker: &mut Linker<'_>,
    ) -> Result<(), LoadError> {
        let items = match instance {
            Instance::Instantiate { module_index, args } => {
                let module = *at(&self.modules, "core module", module_index)?;
                let mut given = BTreeMap::new();
                for arg in &args {
                    let items = at(&self.core_instances, "core instance", arg.index)?;
                    given.insert(arg.name, items);
                }
                let find = |module: &str, name: &str| {
                    let items = given.get(module).ok_or_else(|| LoadError::missing(module))?;
                    items.get(name)
                };
                CoreItems::Instance(linker.instance(module, find)?)
            }
            Instance::FromExports(exports) => {
                let mut items = BTreeMap::new();
                for export in &exports {
                    let core = self.core(export.kind, export.index)?.clone();
                    items.insert(export.name.to_string(), core);
                }
                CoreItems::Named(items)
            }
        };
        self.core_instances.push(items);
        Ok(())
    }

    fn core(&self, kind: ExternalKind, index: u32) -> Result<&Core, LoadError> {
        match kind {
            ExternalKind::Func | ExternalKind::FuncExact => self.core_func(index),
            ExternalKind::Memory => self.core_memory(index),
            ExternalKind::Table => at(&self.core_tables, "core table", index),
            ExternalKind::Global => at(&self.core_globals, "core global", index),
            ExternalKind::Tag => Err(LoadError::Unsupported("it uses exceptions".into())),
        }
    }

    /// A component instance is defined.
    pub(super) fn component_instance(
        &mut self,
        bytes: &'a [u8],
        instance: ComponentInstance<'a>,
        linker: &mut Linker<'_>,
    ) -> Result<(), LoadError> {
        let exports = match instance {
            ComponentInstance::Instantiate { component_index, args } => {
                let component = at(&self.components, "component", component_index)?.clone();
                let mut imports = BTreeMap::new();
                for arg in &args {
                    imports.insert(arg.name.to_string(), self.item(arg.kind, arg.index)?);
                }
                let outer = Some(Rc::clone(&component.outer.types));
                let scope = Scope {
                    // Whose it is: it has none of its own yet.
                    instance: self.instance,
                    types: Types { list: Vec::new(), outer },
                    imports: Some(imports),
                    outer: Some(component.outer),
                    ..Scope::default()
                };
                linker.instantiate(bytes, component.range, scope)?
            }
            ComponentInstance::FromExports(exports) => {
                let mut items = BTreeMap::new();
                for export in &exports {
                    items.insert(
                        export.name.name.to_string(),
                        self.item(export.kind, export.index)?,
                    );
                }
                items
            }
        };
        self.instances.push(Items::new(exports)?);
        Ok(())
    }

    fn item(&self, kind: ComponentExternalKind, index: u32) -> Result<Item<'a>, LoadError> {
        Ok(match kind {
            ComponentExternalKind::Func => Item::Func(self.func(index)?.clone()),
            ComponentExternalKind::Type => Item::Type(self.types.get(index)?.clone()),
            ComponentExternalKind::Instance => {
                Item::Instance(Rc::clone(at(&self.instances, "instance", index)?))
            }
            ComponentExternalKind::Component => {
                Item::Component(at(&self.components, "component", index)?.clone())
            }
            ComponentExternalKind::Module => {
                Item::Module(*at(&self.modules, "core module", index)?)
            }
            ComponentExternalKind::Value => return Err(LoadError::values()),
        })
    }

    /// Adds an item to the index space of its kind.
    fn push(&mut self, item: Item<'a>) {
        match item {
            Item::Func(func) => self.funcs.push(func),
            Item::Type(ty) => self.types.list.push(ty),
            Item::Instance(items) => self.instances.push(items),
            Item::Component(component) => self.components.push(component),
            Item::Module(module) => self.modules.push(module),
        }
    }

    /// Another name for something defined elsewhere.
    pub(super) fn alias(&mut self, alias: ComponentAlias<'a>) -> Result<(), LoadError> {
        match alias {
            ComponentAlias::InstanceExport { kind, instance_index, name } => {
                let items = at(&self.instances, "instance", instance_index)?;
                let item = items.all.get(name).cloned().ok_or_else(|| LoadError::missing(name))?;
                self.push(of_kind(kind, item, name)?);
            }
            ComponentAlias::CoreInstanceExport { kind, instance_index, name } => {
                let core = at(&self.core_instances, "core instance", instance_index)?.get(name)?;
                match kind {
                    ExternalKind::Func | ExternalKind::FuncExact => self.core_funcs.push(core),
                    ExternalKind::Memory => self.core_memories.push(core),
                    ExternalKind::Table => self.core_tables.push(core),
                    ExternalKind::Global => self.core_globals.push(core),
                    ExternalKind::Tag => {
                        return Err(LoadError::Unsupported("it uses exceptions".into()));
                    }
                }
            }
            ComponentAlias::Outer { kind, count, index } => self.outer_alias(kind, count, index)?,
        }
        Ok(())
    }

    fn outer_alias(
        &mut self,
        kind: ComponentOuterAliasKind,
        count: u32,
        index: u32,
    ) -> Result<(), LoadError> {
        match kind {
            ComponentOuterAliasKind::CoreType => {}
            ComponentOuterAliasKind::Type => {
                let ty = self.types.outwards(count, index)?.clone();
                self.types.list.push(ty);
            }
            ComponentOuterAliasKind::CoreModule => {
                let module = match count {
                    0 => *at(&self.modules, "core module", index)?,
                    _ => *at(&self.around(count)?.modules, "core module", index)?,
                };
                self.modules.push(module);
            }
            ComponentOuterAliasKind::Component => {
                let component = match count {
                    0 => at(&self.components, "component", index)?.clone(),
                    _ => at(&self.around(count)?.components, "component", index)?.clone(),
                };
                self.components.push(component);
            }
        }
        Ok(())
    }

    /// What is `count` components further out, at least one.
    fn around(&self, count: u32) -> Result<&Surroundings<'a>, LoadError> {
        let none = || LoadError::no_such("surrounding component", count);
        let mut around = self.outer.as_ref().ok_or_else(none)?;
        for _ in 1..count {
            around = around.outer.as_ref().ok_or_else(none)?;
        }
        Ok(around)
    }

    /// Something is imported: from the host by the outermost component, else from what it was given.
    pub(super) fn import(
        &mut self,
        import: ComponentImport<'a>,
        linker: &mut Linker<'_>,
    ) -> Result<(), LoadError> {
        let name = import.name.name;
        let item = match &self.imports {
            Some(given) => given.get(name).cloned().ok_or_else(|| LoadError::missing(name))?,
            None => self.host_import(name, import.ty, linker)?,
        };
        self.push(of_kind(import.ty.kind(), item, name)?);
        Ok(())
    }

    fn host_import(
        &self,
        name: &str,
        ty: ComponentTypeRef,
        linker: &mut Linker<'_>,
    ) -> Result<Item<'a>, LoadError> {
        Ok(match ty {
            ComponentTypeRef::Instance(index) => match self.types.get(index)? {
                TypeDef::Instance(ty) => {
                    Item::Instance(Items::new(Rc::clone(ty).imported(name, linker)?)?)
                }
                _ => return Err(LoadError::no_such("instance type", index)),
            },
            ComponentTypeRef::Func(index) => match self.types.get(index)? {
                TypeDef::Func(ty) => {
                    let target = linker.import("world", name, ty)?;
                    Item::Func(Func::Typed { target, ty: Arc::clone(ty) })
                }
                TypeDef::Unsupported(reason) => Item::Func(Func::Unsupported(Arc::clone(reason))),
                _ => return Err(LoadError::no_such("function type", index)),
            },
            ComponentTypeRef::Type(TypeBounds::Eq(index)) => {
                Item::Type(self.types.get(index)?.clone())
            }
            ComponentTypeRef::Type(TypeBounds::SubResource) => {
                Item::Type(TypeDef::Resource(linker.host_resource("world", name)))
            }
            ComponentTypeRef::Component(_) | ComponentTypeRef::Module(_) => {
                let sentence =
                    format!("it imports the component or module `{name}`: compose it first");
                return Err(LoadError::Refused(sentence));
            }
            ComponentTypeRef::Value(_) => return Err(LoadError::values()),
        })
    }

    /// Something is exported, which gives it a new index here.
    pub(super) fn export(&mut self, export: ComponentExport<'a>) -> Result<(), LoadError> {
        let item = self.item(export.kind, export.index)?;
        self.push(item.clone());
        self.exports.insert(export.name.name.to_string(), item);
        Ok(())
    }
}

/// An item that must be of this kind.
fn of_kind<'a>(
    kind: ComponentExternalKind,
    item: Item<'a>,
    name: &str,
) -> Result<Item<'a>, LoadError> {
    match (kind, &item) {
        (ComponentExternalKind::Func, Item::Func(_))
        | (ComponentExternalKind::Type, Item::Type(_))
        | (ComponentExternalKind::Instance, Item::Instance(_))
        | (ComponentExternalKind::Component, Item::Component(_))
        | (ComponentExternalKind::Module, Item::Module(_)) => Ok(item),
        _ => Err(LoadError::Refused(format!("its `{name}` is not a {}", kind.desc()))),
    }
}
