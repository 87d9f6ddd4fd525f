//! The types that a component declares, resolved: every index looked up, every resource known. What
//! this engine does not take is kept as a sentence, which counts only where the type is used.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use wasmparser::{
    ComponentAlias, ComponentDefinedType, ComponentFuncType, ComponentOuterAliasKind,
    ComponentType, ComponentTypeRef, ComponentValType, InstanceTypeDeclaration, PrimitiveValType,
    TypeBounds,
};

use super::LoadError;
use super::items::{Func, Item};
use super::link::Linker;
use crate::engine::canonical::{FuncType, ResourceId, Shape, Type, TypeError};

/// One entry of a component's type index space.
#[derive(Clone)]
pub(super) enum TypeDef<'a> {
    /// A type of values.
    Value(Type),
    /// A type of functions.
    Func(Arc<FuncType>),
    /// A resource.
    Resource(ResourceId),
    /// A type of instances, looked into only if such an instance is imported from outside.
    Instance(Rc<InstanceType<'a>>),
    /// Not for this engine, with the reason.
    Unsupported(Arc<str>),
    /// Needs no look: the types of components and of core modules.
    Opaque,
}

/// An instance's type, with the types around it.
pub(super) struct InstanceType<'a> {
    declarations: Box<[InstanceTypeDeclaration<'a>]>,
    outer: Rc<Types<'a>>,
}

/// A type index space and those around it.
#[derive(Clone, Default)]
pub(super) struct Types<'a> {
    pub(super) list: Vec<TypeDef<'a>>,
    pub(super) outer: Option<Rc<Types<'a>>>,
}

impl<'a> Types<'a> {
    /// The type of this index.
    pub(super) fn get(&self, index: u32) -> Result<&TypeDef<'a>, LoadError> {
        self.list.get(index as usize).ok_or_else(|| LoadError::no_such("type", index))
    }

    /// The function type of this index.
    pub(super) fn func(&self, index: u32) -> Result<Arc<FuncType>, LoadError> {
        match self.get(index)? {
            TypeDef::Func(ty) => Ok(Arc::clone(ty)),
            TypeDef::Unsupported(reason) => Err(LoadError::Unsupported(reason.to_string())),
            _ => Err(LoadError::no_such("function type", index)),
        }
    }

    /// The resource of this index.
    pub(super) fn resource(&self, index: u32) -> Result<ResourceId, LoadError> {
        match self.get(index)? {
            TypeDef::Resource(id) => Ok(*id),
            _ => Err(LoadError::no_such("resource type", index)),
        }
    }

    /// The stream or future type of this index.
    pub(super) fn readable(&self, index: u32) -> Result<Type, LoadError> {
        match self.get(index)? {
            TypeDef::Value(ty) if matches!(ty.shape(), Shape::Stream(_) | Shape::Future(_)) => {
                Ok(ty.clone())
            }
            TypeDef::Unsupported(reason) => Err(LoadError::Unsupported(reason.to_string())),
            _ => Err(LoadError::no_such("stream or future type", index)),
        }
    }

    /// A type of values, wherever it stands.
    pub(super) fn valued(&self, ty: ComponentValType) -> Result<Type, LoadError> {
        self.value(ty).map_err(|error| match error {
            NoType::Unsupported(reason) => LoadError::Unsupported(reason),
            NoType::Wrong(error) => error,
        })
    }

    /// The type `count` components further out.
    pub(super) fn outwards(&self, count: u32, index: u32) -> Result<&TypeDef<'a>, LoadError> {
        let mut types = self;
        for _ in 0..count {
            let outer = types.outer.as_deref();
            types = outer.ok_or_else(|| LoadError::no_such("surrounding component", count))?;
        }
        types.get(index)
    }

    /// Resolves a declared type. Resources are made by the caller: each instance has its own.
    pub(super) fn define(
        &self,
        ty: ComponentType<'a>,
        linker: &mut Linker<'_>,
    ) -> Result<TypeDef<'a>, LoadError> {
        match ty {
            ComponentType::Defined(defined) => match self.defined(&defined) {
                Ok(ty) => Ok(TypeDef::Value(ty)),
                Err(NoType::Unsupported(reason)) => Ok(TypeDef::Unsupported(reason.into())),
                Err(NoType::Wrong(error)) => Err(error),
            },
            ComponentType::Func(func) => match self.func_type(&func) {
                Ok(ty) => Ok(TypeDef::Func(Arc::new(ty))),
                Err(NoType::Unsupported(reason)) => Ok(TypeDef::Unsupported(reason.into())),
                Err(NoType::Wrong(error)) => Err(error),
            },
            ComponentType::Instance(declarations) => {
                linker.copies(self.list.len())?;
                let outer = Rc::new(self.clone());
                Ok(TypeDef::Instance(Rc::new(InstanceType { declarations, outer })))
            }
            ComponentType::Component(_) | ComponentType::Resource { .. } => Ok(TypeDef::Opaque),
        }
    }

    fn func_type(&self, func: &ComponentFuncType<'_>) -> Result<FuncType, NoType> {
        let params: Vec<Type> =
            func.params.iter().map(|(_, ty)| self.value(*ty)).collect::<Result<_, _>>()?;
        let params = match params.is_empty() {
            true => None,
            false => Some(Type::new(Shape::Tuple(params.into()))?),
        };
        Ok(FuncType { params, result: self.optional(func.result)?, waits: func.async_ })
    }

    fn optional(&self, ty: Option<ComponentValType>) -> Result<Option<Type>, NoType> {
        ty.map(|ty| self.value(ty)).transpose()
    }

    fn value(&self, ty: ComponentValType) -> Result<Type, NoType> {
        match ty {
            ComponentValType::Primitive(primitive) => Ok(Type::new(shape_of(primitive)?)?),
            ComponentValType::Type(index) => match self.get(index)? {
                TypeDef::Value(ty) => Ok(ty.clone()),
                TypeDef::Unsupported(reason) => Err(NoType::Unsupported(reason.to_string())),
                _ => Err(LoadError::no_such("type of values", index).into()),
            },
        }
    }

    fn defined(&self, ty: &ComponentDefinedType<'a>) -> Result<Type, NoType> {
        let value = |ty: &ComponentValType| self.value(*ty);
        let shape = match ty {
            ComponentDefinedType::Primitive(primitive) => shape_of(*primitive)?,
            ComponentDefinedType::Record(fields) => {
                let field = |(name, ty): &(&str, _)| Ok::<_, NoType>(((*name).into(), value(ty)?));
                Shape::Record(fields.iter().map(field).collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Variant(cases) => {
                let cases = cases
                    .iter()
                    .map(|case| Ok::<_, NoType>((case.name.into(), self.optional(case.ty)?)));
                Shape::Variant(cases.collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Enum(names) => {
                Shape::Variant(names.iter().map(|name| ((*name).into(), None)).collect())
            }
            ComponentDefinedType::List(element) => Shape::List(value(element)?),
            ComponentDefinedType::Tuple(fields) => {
                Shape::Tuple(fields.iter().map(value).collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Flags(names) => {
                Shape::Flags(names.iter().map(|name| (*name).into()).collect())
            }
            ComponentDefinedType::Option(payload) => Shape::Option(value(payload)?),
            ComponentDefinedType::Result { ok, err } => {
                Shape::Result(self.optional(*ok)?, self.optional(*err)?)
            }
            ComponentDefinedType::Own(index) => Shape::Own(self.resource(*index)?),
            ComponentDefinedType::Borrow(index) => Shape::Borrow(self.resource(*index)?),
            ComponentDefinedType::Future(payload) => Shape::Future(self.optional(*payload)?),
            ComponentDefinedType::Stream(item) => Shape::Stream(self.optional(*item)?),
            ComponentDefinedType::Map(..) => return Err(unsupported("maps")),
            ComponentDefinedType::FixedLengthList(..) => {
                return Err(unsupported("lists of a fixed length"));
            }
        };
        Ok(Type::new(shape)?)
    }
}

fn shape_of(primitive: PrimitiveValType) -> Result<Shape, NoType> {
    Ok(match primitive {
        PrimitiveValType::Bool => Shape::Bool,
        PrimitiveValType::S8 => Shape::S8,
        PrimitiveValType::U8 => Shape::U8,
        PrimitiveValType::S16 => Shape::S16,
        PrimitiveValType::U16 => Shape::U16,
        PrimitiveValType::S32 => Shape::S32,
        PrimitiveValType::U32 => Shape::U32,
        PrimitiveValType::S64 => Shape::S64,
        PrimitiveValType::U64 => Shape::U64,
        PrimitiveValType::F32 => Shape::F32,
        PrimitiveValType::F64 => Shape::F64,
        PrimitiveValType::Char => Shape::Char,
        PrimitiveValType::String => Shape::String,
        PrimitiveValType::ErrorContext => return Err(unsupported("error contexts")),
    })
}

/// Why there is no type.
enum NoType {
    /// It is a fine type that this engine does not take.
    Unsupported(String),
    /// The component is malformed.
    Wrong(LoadError),
}

impl From<LoadError> for NoType {
    fn from(error: LoadError) -> Self {
        Self::Wrong(error)
    }
}

impl From<TypeError> for NoType {
    fn from(error: TypeError) -> Self {
        Self::Wrong(LoadError::Refused(error.to_string()))
    }
}

fn unsupported(what: &str) -> NoType {
    NoType::Unsupported(format!("it uses {what}"))
}

impl<'a> InstanceType<'a> {
    /// What the host gives for an import of this type.
    pub(super) fn imported(
        &self,
        interface: &str,
        linker: &mut Linker<'_>,
    ) -> Result<BTreeMap<String, Item<'a>>, LoadError> {
        let mut types = Types { list: Vec::new(), outer: Some(Rc::clone(&self.outer)) };
        let mut exports = BTreeMap::new();
        for declaration in &self.declarations {
            linker.count()?;
            match declaration {
                InstanceTypeDeclaration::CoreType(_) => {}
                InstanceTypeDeclaration::Type(ty) => {
                    let ty = types.define(ty.clone(), linker)?;
                    types.list.push(ty);
                }
                InstanceTypeDeclaration::Alias(ComponentAlias::Outer {
                    kind: ComponentOuterAliasKind::Type,
                    count,
                    index,
                }) => {
                    let ty = types.outwards(*count, *index)?.clone();
                    types.list.push(ty);
                }
                InstanceTypeDeclaration::Alias(ComponentAlias::Outer { .. }) => {}
                InstanceTypeDeclaration::Alias(_) => {
                    return Err(LoadError::Compile(
                        "it imports interfaces within interfaces".into(),
                    ));
                }
                InstanceTypeDeclaration::Export { name, ty } => {
                    let name = name.name;
                    let item = match ty {
                        ComponentTypeRef::Func(index) => match types.get(*index)? {
                            TypeDef::Func(ty) => {
                                let target = linker.import(interface, name, ty)?;
                                Item::Func(Func::Typed { target, ty: Arc::clone(ty) })
                            }
                            TypeDef::Unsupported(reason) => {
                                linker.miss(interface, name);
                                Item::Func(Func::Unsupported(Arc::clone(reason)))
                            }
                            _ => return Err(LoadError::no_such("function type", *index)),
                        },
                        ComponentTypeRef::Type(TypeBounds::Eq(index)) => {
                            let ty = types.get(*index)?.clone();
                            types.list.push(ty.clone());
                            Item::Type(ty)
                        }
                        ComponentTypeRef::Type(TypeBounds::SubResource) => {
                            let ty = TypeDef::Resource(linker.host_resource(interface, name));
                            types.list.push(ty.clone());
                            Item::Type(ty)
                        }
                        _ => {
                            let what = "it imports interfaces within interfaces";
                            return Err(LoadError::Compile(what.into()));
                        }
                    };
                    exports.insert(name.to_string(), item);
                }
            }
        }
        Ok(exports)
    }
}
