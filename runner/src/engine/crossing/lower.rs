//! Into a guest: values become core values and bytes in its memory.

use std::mem::MaybeUninit;

use wasmtime::ValRaw;
use wasmtime::component::__internal::{CanonicalAbiInfo, InterfaceType, LowerContext};
use wasmtime::component::{FutureAny, Lower, StreamAny};

use super::{bytes, case, disagree, each, variant, width};
use crate::engine::canonical::{Flow, Handle, Value};
use crate::engine::door::Answer;

/// Core values of a result: of one at most, so there are no strings and no lists among them.
pub(super) fn put<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    cells: &mut Vec<u64>,
) -> Answer<()> {
    let types = cx.types;
    match value {
        Value::Fields(values) => each(types, ty, values, |ty, value| put(cx, ty, value, cells)),
        Value::Case(index, payload) => {
            let end = cells.len() + width(types, &ty);
            cells.push((*index).into());
            match (case(types, ty, *index).ok_or_else(disagree)?, payload) {
                (Some(ty), Some(payload)) => put(cx, ty, payload, cells)?,
                (None, None) => {}
                _ => return Err(disagree()),
            }
            cells.resize(end, 0);
            Ok(())
        }
        value => {
            let bits = bits(cx, ty, value)?;
            cells.push(match bytes(types, &ty) {
                8 => bits,
                _ => u64::from(bits as u32),
            });
            Ok(())
        }
    }
}

/// Writes a value at an address whose bounds and alignment were checked.
pub(super) fn store<T>(
    cx: &mut LowerContext<'_, T>,
    ty: InterfaceType,
    value: &Value,
    at: usize,
) -> Answer<()> {
    let types = cx.types;
    match (ty, value) {
        (_, Value::Fields(values)) => {
            let mut end = at;
            each(types, ty, values, |ty, value| {
                let at = types.canonical_abi(&ty).next_field32_size(&mut end);
                store(cx, ty, value, at)
            })
        }
        (_, Value::Case(index, payload)) => {
            let info = variant(types, ty)?;
            write(cx, at, usize::from(info.size), (*index).into())?;
            match (case(types, ty, *index).ok_or_else(disagree)?, payload) {
                (Some(ty), Some(payload)) => {
                    store(cx, ty, payload, at + info.payload_offset32 as usize)
                }
                (None, None) => Ok(()),
                _ => Err(disagree()),
            }
        }
        (InterfaceType::String, Value::Text(text)) => text.linear_lower_to_memory(cx, ty, at),
        (InterfaceType::List(index), Value::Bytes(bytes))
            if types[index].element == InterfaceType::U8 =>
        {
            bytes.linear_lower_to_memory(cx, ty, at)
        }
        (InterfaceType::List(index), Value::List(values)) => {
            let element = types[index].element;
            let CanonicalAbiInfo { size32: each, align32: align, .. } =
                *types.canonical_abi(&element);
            let each = each as usize;
            let room = values.len().checked_mul(each).ok_or_else(disagree)?;
            let start = cx.realloc(0, 0, align, room)?;
            write(cx, at, 4, start as u64)?;
            write(cx, at + 4, 4, values.len() as u64)?;
            (values.iter().enumerate())
                .try_for_each(|(index, value)| store(cx, element, value, start + index * each))
        }
        (_, value) => {
            let bits = bits(cx, ty, value)?;
            write(cx, at, bytes(types, &ty), bits)
        }
    }
}

/// A value that is one core value.
fn bits<T>(cx: &mut LowerContext<'_, T>, ty: InterfaceType, value: &Value) -> Answer<u64> {
    let mut cell = MaybeUninit::new(ValRaw::u32(0));
    match (ty, value) {
        (InterfaceType::Own(table), Value::Handle(Handle::Own(rep))) => {
            return Ok(cx.guest_resource_lower_own(table, *rep)?.into());
        }
        (InterfaceType::Stream(_), Value::Stream(Flow::Foreign(stream))) => {
            let stream = stream.get::<StreamAny>().ok_or_else(disagree)?;
            stream.linear_lower_to_flat(cx, ty, &mut cell)?;
        }
        (InterfaceType::Future(_), Value::Future(Flow::Foreign(future))) => {
            let future = future.get::<FutureAny>().ok_or_else(disagree)?;
            future.linear_lower_to_flat(cx, ty, &mut cell)?;
        }
        (
            InterfaceType::Bool
            | InterfaceType::U8
            | InterfaceType::U16
            | InterfaceType::U32
            | InterfaceType::U64
            | InterfaceType::S8
            | InterfaceType::S16
            | InterfaceType::S32
            | InterfaceType::S64
            | InterfaceType::Float32
            | InterfaceType::Float64
            | InterfaceType::Char
            | InterfaceType::Flags(_),
            Value::Bits(bits),
        ) => return Ok(*bits),
        _ => return Err(disagree()),
    }
    // SAFETY: it was made with a value in it.
    #[allow(unsafe_code, reason = "reads what the engine wrote; see SAFETY")]
    Ok(unsafe { cell.assume_init() }.get_u32().into())
}

fn write<T>(cx: &mut LowerContext<'_, T>, at: usize, bytes: usize, bits: u64) -> Answer<()> {
    let place = cx.as_slice_mut().get_mut(at..at + bytes).ok_or_else(disagree)?;
    place.copy_from_slice(bits.to_le_bytes().get(..bytes).ok_or_else(disagree)?);
    Ok(())
}
