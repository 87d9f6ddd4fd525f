//! The types of compiled components as the canonical ABI's, so that worlds compare and show both
//! engines' functions alike. Nothing runs on these: handles all are for resource 0.

use wasmtime::component::types::{ComponentFunc, Type as Compiled};

use super::canonical::{FuncType, ResourceId, Shape, Type};

/// A function's type, or `None` if it has types that no world uses.
pub(super) fn func_type(function: &ComponentFunc) -> Option<FuncType> {
    let params: Vec<Type> = function.params().map(|(_, ty)| of(&ty)).collect::<Option<_>>()?;
    let params = match params.is_empty() {
        true => None,
        false => Some(Type::new(Shape::Tuple(params.into())).ok()?),
    };
    let result = function.results().next().map(|ty| of(&ty));
    Some(FuncType { params, result: transposed(result)?, waits: function.async_() })
}

fn of(ty: &Compiled) -> Option<Type> {
    Type::new(match ty {
        Compiled::Bool => Shape::Bool,
        Compiled::S8 => Shape::S8,
        Compiled::U8 => Shape::U8,
        Compiled::S16 => Shape::S16,
        Compiled::U16 => Shape::U16,
        Compiled::S32 => Shape::S32,
        Compiled::U32 => Shape::U32,
        Compiled::S64 => Shape::S64,
        Compiled::U64 => Shape::U64,
        Compiled::Float32 => Shape::F32,
        Compiled::Float64 => Shape::F64,
        Compiled::Char => Shape::Char,
        Compiled::String => Shape::String,
        Compiled::List(list) => Shape::List(of(&list.ty())?),
        Compiled::Option(option) => Shape::Option(of(&option.ty())?),
        Compiled::Own(_) => Shape::Own(ResourceId(0)),
        Compiled::Borrow(_) => Shape::Borrow(ResourceId(0)),
        Compiled::Flags(flags) => Shape::Flags(flags.names().map(Into::into).collect()),
        Compiled::Enum(cases) => {
            Shape::Variant(cases.names().map(|name| (name.into(), None)).collect())
        }
        Compiled::Tuple(tuple) => {
            Shape::Tuple(tuple.types().map(|ty| of(&ty)).collect::<Option<_>>()?)
        }
        Compiled::Record(record) => {
            let field = record.fields().map(|field| Some((field.name.into(), of(&field.ty)?)));
            Shape::Record(field.collect::<Option<_>>()?)
        }
        Compiled::Variant(variant) => {
            let case = |case: wasmtime::component::types::Case<'_>| {
                Some((case.name.into(), transposed(case.ty.map(|ty| of(&ty)))?))
            };
            Shape::Variant(variant.cases().map(case).collect::<Option<_>>()?)
        }
        Compiled::Stream(stream) => Shape::Stream(transposed(stream.ty().map(|ty| of(&ty)))?),
        Compiled::Future(future) => Shape::Future(transposed(future.ty().map(|ty| of(&ty)))?),
        Compiled::Result(result) => {
            let side = |ty: Option<Compiled>| transposed(ty.map(|ty| of(&ty)));
            Shape::Result(side(result.ok())?, side(result.err())?)
        }
        _ => return None,
    })
    .ok()
}

/// Nothing to convert is fine; something that cannot be converted is not.
fn transposed(ty: Option<Option<Type>>) -> Option<Option<Type>> {
    match ty {
        None => Some(None),
        Some(ty) => ty.map(Some),
    }
}
