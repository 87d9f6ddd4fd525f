//! Out of a guest: core values and bytes in its memory become values. Whatever does not fit is an error, which ends it.

use bytes::Bytes;
use wasmtime::ValRaw;
use wasmtime::component::__internal::{CanonicalAbiInfo, InterfaceType, LiftContext};
use wasmtime::component::{FutureAny, Lift, StreamAny};

use super::{bytes, case, count, disagree, member, variant, width};
use crate::engine::canonical::{Flow, Foreign, Handle, Value};
use crate::engine::door::Answer;

/// A value that stands in the next of these core values.
pub(super) fn flat(
    cx: &mut LiftContext<'_>,
    ty: InterfaceType,
    cells: &mut &[ValRaw],
) -> Answer<Value> {
    let types = cx.types;
    if let Some(count) = count(types, ty) {
        let values = (0..count).map(|at| flat(cx, member(types, ty, at), cells));
        return Ok(Value::Fields(values.collect::<Answer<_>>()?));
    }
    match ty {
        InterfaceType::String => {
            let pair = [next(cells)?, next(cells)?];
            String::linear_lift_from_flat(cx, ty, &pair).map(Value::Text)
        }
        InterfaceType::List(index) => match types[index].element {
            InterfaceType::U8 => {
                let pair = [next(cells)?, next(cells)?];
                Bytes::linear_lift_from_flat(cx, ty, &pair).map(Value::Bytes)
            }
            element => {
                let (at, count) = (next(cells)?.get_u32(), next(cells)?.get_u32());
                list(cx, element, at, count)
            }
        },
        InterfaceType::Variant(_)
        | InterfaceType::Enum(_)
        | InterfaceType::Option(_)
        | InterfaceType::Result(_) => {
            let index = next(cells)?.get_u32();
            let payload = case(types, ty, index).ok_or_else(|| no_case(index))?;
            let rest = width(types, &ty).saturating_sub(1).min(cells.len());
            let (mut mine, others) = cells.split_at(rest);
            *cells = others;
            let payload = payload.map(|ty| flat(cx, ty, &mut mine).map(Box::new));
            Ok(Value::Case(index, payload.transpose()?))
        }
        _ => {
            let cell = next(cells)?;
            let bits = match bytes(types, &ty) {
                8 => cell.get_u64(),
                _ => cell.get_u32().into(),
            };
            scalar(cx, ty, bits)
        }
    }
}

/// A value at an address whose bounds and alignment were checked.
pub(super) fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, at: usize) -> Answer<Value> {
    let types = cx.types;
    if let Some(count) = count(types, ty) {
        cx.consume_fuel_array(count, size_of::<Value>())?;
        let mut end = at;
        let values = (0..count).map(|n| {
            let ty = member(types, ty, n);
            let at = types.canonical_abi(&ty).next_field32_size(&mut end);
            load(cx, ty, at)
        });
        return Ok(Value::Fields(values.collect::<Answer<_>>()?));
    }
    let here = cx.memory().get(at..at + bytes(types, &ty)).ok_or_else(disagree)?;
    match ty {
        InterfaceType::String => String::linear_lift_from_memory(cx, ty, here).map(Value::Text),
        InterfaceType::List(index) => match types[index].element {
            InterfaceType::U8 => Bytes::linear_lift_from_memory(cx, ty, here).map(Value::Bytes),
            element => list(cx, element, word(&here[..4]) as u32, word(&here[4..]) as u32),
        },
        InterfaceType::Variant(_)
        | InterfaceType::Enum(_)
        | InterfaceType::Option(_)
        | InterfaceType::Result(_) => {
            let info = variant(types, ty)?;
            let index = word(&here[..usize::from(info.size)]) as u32;
            let payload = case(types, ty, index).ok_or_else(|| no_case(index))?;
            let at = at + info.payload_offset32 as usize;
            let payload = payload.map(|ty| load(cx, ty, at).map(Box::new));
            Ok(Value::Case(index, payload.transpose()?))
        }
        _ => scalar(cx, ty, word(here)),
    }
}

fn list(cx: &mut LiftContext<'_>, element: InterfaceType, at: u32, count: u32) -> Answer<Value> {
    let CanonicalAbiInfo { size32: each, align32: align, .. } = *cx.types.canonical_abi(&element);
    let (at, count, each) = (at as usize, count as usize, each as usize);
    let end = count.checked_mul(each).and_then(|bytes| at.checked_add(bytes));
    if at % align as usize != 0 || end.is_none_or(|end| end > cx.memory().len()) {
        return Err(wasmtime::Error::msg(format!(
            "it passed a list of {count} values at {at:#x}, which is not within its memory"
        )));
    }
    cx.consume_fuel_array(count, each.max(size_of::<Value>()))?;
    let values = (0..count).map(|index| load(cx, element, at + index * each));
    Ok(Value::List(values.collect::<Answer<_>>()?))
}

/// A value that is one core value: only the bits that its type has count.
fn scalar(cx: &mut LiftContext<'_>, ty: InterfaceType, bits: u64) -> Answer<Value> {
    let cell = ValRaw::u32(bits as u32);
    Ok(Value::Bits(match ty {
        InterfaceType::Bool => u64::from(bits as u32 != 0),
        InterfaceType::U8 => u64::from(bits as u8),
        InterfaceType::U16 => u64::from(bits as u16),
        InterfaceType::U32 | InterfaceType::Float32 => u64::from(bits as u32),
        InterfaceType::S8 => i64::from(bits as i8) as u64,
        InterfaceType::S16 => i64::from(bits as i16) as u64,
        InterfaceType::S32 => i64::from(bits as i32) as u64,
        InterfaceType::U64 | InterfaceType::S64 | InterfaceType::Float64 => bits,
        InterfaceType::Char => match char::from_u32(bits as u32) {
            Some(char) => u64::from(u32::from(char)),
            None => {
                let message = format!("it passed {bits:#x} as a character");
                return Err(wasmtime::Error::msg(message));
            }
        },
        InterfaceType::Flags(index) => {
            bits & (u64::MAX >> (64 - cx.types[index].names.len().clamp(1, 32)))
        }
        InterfaceType::Own(table) => {
            let (rep, ..) = cx.guest_resource_lift_own(table, bits as u32)?;
            return Ok(Value::Handle(Handle::Own(rep)));
        }
        InterfaceType::Borrow(table) => {
            let rep = cx.guest_resource_lift_borrow(table, bits as u32)?;
            return Ok(Value::Handle(Handle::Borrow(rep)));
        }
        InterfaceType::Stream(_) => {
            let stream = StreamAny::linear_lift_from_flat(cx, ty, &cell)?;
            return Ok(Value::Stream(Flow::Foreign(Foreign::new(stream))));
        }
        InterfaceType::Future(_) => {
            let future = FutureAny::linear_lift_from_flat(cx, ty, &cell)?;
            return Ok(Value::Future(Flow::Foreign(Foreign::new(future))));
        }
        _ => return Err(disagree()),
    }))
}

/// A little-endian number of 1, 2, 4 or 8 bytes.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    u64::from_le_bytes(word)
}

fn next(cells: &mut &[ValRaw]) -> Answer<ValRaw> {
    let (first, rest) = cells.split_first().ok_or_else(disagree)?;
    *cells = rest;
    Ok(*first)
}

fn no_case(index: u32) -> wasmtime::Error {
    wasmtime::Error::msg(format!("it passed case {index} of a type that has fewer"))
}
