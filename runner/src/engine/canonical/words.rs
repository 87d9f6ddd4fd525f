//! Types in words, as WIT writes them but with every name followed to its meaning, so that what a
//! world expects can stand in one line, and be compared and shown.

use std::fmt::{self, Display, Formatter};

use super::types::{FuncType, Shape, Type};

/// `func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>`.
impl Display for FuncType {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("func(")?;
        if let Some(Shape::Tuple(params)) = self.params.as_ref().map(Type::shape) {
            list(f, params, |f, ty| ty.fmt(f))?;
        }
        f.write_str(")")?;
        match &self.result {
            Some(result) => write!(f, " -> {result}"),
            None => Ok(()),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.shape() {
            Shape::List(element) => write!(f, "list<{element}>"),
            Shape::Option(payload) => write!(f, "option<{payload}>"),
            Shape::Tuple(fields) => {
                f.write_str("tuple<")?;
                list(f, fields, |f, ty| ty.fmt(f))?;
                f.write_str(">")
            }
            Shape::Record(fields) => {
                braces(f, "record", fields, |f, (name, ty)| write!(f, "{name}: {ty}"))
            }
            Shape::Variant(cases) if cases.iter().all(|(_, payload)| payload.is_none()) => {
                braces(f, "enum", cases, |f, (name, _)| f.write_str(name))
            }
            Shape::Variant(cases) => {
                braces(f, "variant", cases, |f, (name, payload)| match payload {
                    Some(payload) => write!(f, "{name}({payload})"),
                    None => f.write_str(name),
                })
            }
            Shape::Flags(names) => braces(f, "flags", names, |f, name| f.write_str(name)),
            Shape::Stream(Some(item)) => write!(f, "stream<{item}>"),
            Shape::Future(Some(payload)) => write!(f, "future<{payload}>"),
            Shape::Result(None, None) => f.write_str("result"),
            Shape::Result(Some(ok), None) => write!(f, "result<{ok}>"),
            Shape::Result(None, Some(err)) => write!(f, "result<_, {err}>"),
            Shape::Result(Some(ok), Some(err)) => write!(f, "result<{ok}, {err}>"),
            plain => f.write_str(name(plain)),
        }
    }
}

fn list<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    each: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        each(f, item)?;
    }
    Ok(())
}

fn braces<T>(
    f: &mut Formatter<'_>,
    kind: &str,
    items: &[T],
    each: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{kind} {{ ")?;
    list(f, items, each)?;
    f.write_str(" }")
}

fn name(plain: &Shape) -> &'static str {
    match plain {
        Shape::Bool => "bool",
        Shape::S8 => "s8",
        Shape::U8 => "u8",
        Shape::S16 => "s16",
        Shape::U16 => "u16",
        Shape::S32 => "s32",
        Shape::U32 => "u32",
        Shape::S64 => "s64",
        Shape::U64 => "u64",
        Shape::F32 => "f32",
        Shape::F64 => "f64",
        Shape::Char => "char",
        Shape::String => "string",
        Shape::Own(_) => "own",
        Shape::Borrow(_) => "borrow",
        Shape::Stream(_) => "stream",
        Shape::Future(_) => "future",
        Shape::List(_)
        | Shape::Record(_)
        | Shape::Tuple(_)
        | Shape::Variant(_)
        | Shape::Option(_)
        | Shape::Result(..)
        | Shape::Flags(_) => "?",
    }
}
