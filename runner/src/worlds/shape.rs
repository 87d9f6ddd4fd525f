//! The type of an exported function in words, as WIT writes it but with every name followed to its
//! meaning: what a world expects can then stand in one line, and be compared and shown.

use std::fmt::Write as _;

use wasmtime::component::types::{ComponentFunc, Type};

/// `func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>`.
pub(super) fn of_function(function: &ComponentFunc) -> String {
    let mut text = String::from("func(");
    list(&mut text, function.params().map(|(_, ty)| ty), of);
    text.push(')');
    if let Some(result) = function.results().next() {
        text.push_str(" -> ");
        of(&mut text, &result);
    }
    text
}

fn list<T>(text: &mut String, items: impl Iterator<Item = T>, each: impl Fn(&mut String, &T)) {
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        each(text, &item);
    }
}

/// `name` alone, or `name(type)`.
fn case(text: &mut String, (name, ty): &(&str, Option<Type>)) {
    text.push_str(name);
    if let Some(ty) = ty {
        text.push('(');
        of(text, ty);
        text.push(')');
    }
}

fn of(text: &mut String, ty: &Type) {
    match ty {
        Type::List(list) => {
            text.push_str("list<");
            of(text, &list.ty());
            text.push('>');
        }
        Type::Record(record) => {
            text.push_str("record { ");
            list(text, record.fields(), |text, field| {
                let _ = write!(text, "{}: ", field.name);
                of(text, &field.ty);
            });
            text.push_str(" }");
        }
        Type::Variant(variant) => {
            text.push_str("variant { ");
            list(text, variant.cases().map(|c| (c.name, c.ty)), case);
            text.push_str(" }");
        }
        Type::Enum(cases) => {
            text.push_str("enum { ");
            list(text, cases.names(), |text, name| text.push_str(name));
            text.push_str(" }");
        }
        Type::Result(result) => match (result.ok(), result.err()) {
            (None, None) => text.push_str("result"),
            (ok, err) => {
                text.push_str("result<");
                match ok {
                    Some(ok) => of(text, &ok),
                    None => text.push('_'),
                }
                if let Some(err) = err {
                    text.push_str(", ");
                    of(text, &err);
                }
                text.push('>');
            }
        },
        Type::Option(option) => {
            text.push_str("option<");
            of(text, &option.ty());
            text.push('>');
        }
        Type::Tuple(tuple) => {
            text.push_str("tuple<");
            list(text, tuple.types(), of);
            text.push('>');
        }
        plain => text.push_str(plain_name(plain)),
    }
}

fn plain_name(ty: &Type) -> &'static str {
    match ty {
        Type::Bool => "bool",
        Type::S8 => "s8",
        Type::U8 => "u8",
        Type::S16 => "s16",
        Type::U16 => "u16",
        Type::S32 => "s32",
        Type::U32 => "u32",
        Type::S64 => "s64",
        Type::U64 => "u64",
        Type::Float32 => "f32",
        Type::Float64 => "f64",
        Type::Char => "char",
        Type::String => "string",
        Type::Flags(_) => "flags",
        Type::Own(_) => "own",
        Type::Borrow(_) => "borrow",
        _ => "a type that no trigger uses",
    }
}
