//! Values across the border of a compiled guest, whatever their types: the engine knows those of each function, so one
//! piece of code carries the calls of all of them. (The engine's own way, a copy of this for each Rust type of a function,
//! made `pirnd` 1.3 MB larger.)
//!
//! Strings, handles, streams and all that has to be checked with them are the engine's; what is here walks through types.

use std::mem::MaybeUninit;

use bytes::Bytes;
use wasmtime::ValRaw;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
    wasmtime_environ::component::VariantInfo,
};
use wasmtime::component::{ComponentNamedList, ComponentType, FutureAny, Lift, Lower, StreamAny};

use super::canonical::{Flow, Foreign, Handle, Value};
use super::door::Answer;

/// What a guest passes to a function, or is given by it: a list, as the function's type has it. That its types are those
/// that the function is offered with was checked when the component was linked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Crossing(pub(super) Vec<Value>);

// SAFETY: the engine asks for layout only to know what it may read and write by itself, which here is nothing: values are
// found by the type that it passes with them.
#[allow(unsafe_code, reason = "says how values cross a guest's border; see SAFETY")]
unsafe impl ComponentType for Crossing {
    type Lower = [ValRaw; 0];

    const ABI: CanonicalAbiInfo =
        CanonicalAbiInfo { size32: 0, align32: 1, size64: 0, align64: 1, flat_count: Some(0) };

    fn typecheck(_: &InterfaceType, _: &InstanceType<'_>) -> Answer<()> {
        Ok(())
    }
}

// SAFETY: it is a list, as the engine asks for.
#[allow(unsafe_code, reason = "says how values cross a guest's border; see SAFETY")]
unsafe impl ComponentNamedList for Crossing {}

// SAFETY: whatever a guest passes is checked on the way: characters, cases, addresses, handles.
#[allow(unsafe_code, reason = "says how values cross a guest's border; see SAFETY")]
unsafe impl Lift for Crossing {
    fn linear_lift_from_flat(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        src: &[ValRaw; 0],
    ) -> Answer<Self> {
        // SAFETY: `src` is the beginning of as many core values as the type takes, which the guest has all given: the
        // engine cut them to that before it gave them to us as our `Lower`.
        let mut cells = unsafe { std::slice::from_raw_parts(src.as_ptr(), width(cx.types, &ty)) };
        fields(flat(cx, ty, &mut cells)?)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Answer<Self> {
        // Of no bytes, but at the place where they begin.
        let at = bytes.as_ptr() as usize - cx.memory().as_ptr() as usize;
        fields(load(cx, ty, at)?)
    }
}

// SAFETY: it writes as many core values, or bytes, as the type takes, each of the type that is there.
#[allow(unsafe_code, reason = "says how values cross a guest's border; see SAFETY")]
unsafe impl Lower for Crossing {
    fn linear_lower_to_flat<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        dst: &mut MaybeUninit<[ValRaw; 0]>,
    ) -> Answer<()> {
        let mut cells = Vec::with_capacity(1);
        each(cx.types, ty, &self.0, |ty, value| put(cx, ty, value, &mut cells))?;
        if cells.len() != width(cx.types, &ty) {
            return Err(disagree());
        }
        for (index, bits) in cells.into_iter().enumerate() {
            // SAFETY: there is room for as many core values as the type takes, see above.
            unsafe { dst.as_mut_ptr().cast::<ValRaw>().add(index).write(ValRaw::u64(bits)) };
        }
        Ok(())
    }

    fn linear_lower_to_memory<T>(
        &self,
        cx: &mut LowerContext<'_, T>,
        ty: InterfaceType,
        offset: usize,
    ) -> Answer<()> {
        let (types, mut end) = (cx.types, offset);
        each(types, ty, &self.0, |ty, value| {
            let at = types.canonical_abi(&ty).next_field32_size(&mut end);
            store(cx, ty, value, at)
        })
    }
}

fn fields(value: Value) -> Answer<Crossing> {
    match value {
        Value::Fields(values) => Ok(Crossing(values)),
        _ => Err(disagree()),
    }
}

/// Core values that a type takes.
fn width(types: &ComponentTypes, ty: &InterfaceType) -> usize {
    types.canonical_abi(ty).flat_count(usize::MAX).unwrap_or(0)
}

fn bytes(types: &ComponentTypes, ty: &InterfaceType) -> usize {
    types.canonical_abi(ty).size32 as usize
}

/// How many members a record or a tuple has.
fn count(types: &ComponentTypes, ty: InterfaceType) -> Option<usize> {
    match ty {
        InterfaceType::Record(index) => Some(types[index].fields.len()),
        InterfaceType::Tuple(index) => Some(types[index].types.len()),
        _ => None,
    }
}

/// One of them, of which there are as many.
fn member(types: &ComponentTypes, ty: InterfaceType, at: usize) -> InterfaceType {
    match ty {
        InterfaceType::Record(index) => types[index].fields[at].ty,
        InterfaceType::Tuple(index) => types[index].types[at],
        ty => ty,
    }
}

/// The payload of a case, if there is such a case.
fn case(types: &ComponentTypes, ty: InterfaceType, case: u32) -> Option<Option<InterfaceType>> {
    match (ty, case) {
        (InterfaceType::Variant(index), case) => {
            types[index].cases.get_index(case as usize).map(|(_, payload)| *payload)
        }
        (InterfaceType::Enum(index), case) => {
            ((case as usize) < types[index].names.len()).then_some(None)
        }
        (InterfaceType::Option(_), 0) => Some(None),
        (InterfaceType::Option(index), 1) => Some(Some(types[index].ty)),
        (InterfaceType::Result(index), 0) => Some(types[index].ok),
        (InterfaceType::Result(index), 1) => Some(types[index].err),
        _ => None,
    }
}

fn variant(types: &ComponentTypes, ty: InterfaceType) -> Answer<&VariantInfo> {
    match ty {
        InterfaceType::Variant(index) => Ok(&types[index].info),
        InterfaceType::Enum(index) => Ok(&types[index].info),
        InterfaceType::Option(index) => Ok(&types[index].info),
        InterfaceType::Result(index) => Ok(&types[index].info),
        _ => Err(disagree()),
    }
}

fn flat(cx: &mut LiftContext<'_>, ty: InterfaceType, cells: &mut &[ValRaw]) -> Answer<Value> {
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
fn load(cx: &mut LiftContext<'_>, ty: InterfaceType, at: usize) -> Answer<Value> {
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

/// Each member with its type.
fn each(
    types: &ComponentTypes,
    ty: InterfaceType,
    values: &[Value],
    mut act: impl FnMut(InterfaceType, &Value) -> Answer<()>,
) -> Answer<()> {
    if count(types, ty) != Some(values.len()) {
        return Err(disagree());
    }
    (0..).zip(values).try_for_each(|(at, value)| act(member(types, ty, at), value))
}

/// Core values of a result: of one at most, so there are no strings and no lists among them.
fn put<T>(
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
fn store<T>(
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

/// A little-endian number of 1, 2, 4 or 8 bytes.
fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
    u64::from_le_bytes(word)
}

fn write<T>(cx: &mut LowerContext<'_, T>, at: usize, bytes: usize, bits: u64) -> Answer<()> {
    let place = cx.as_slice_mut().get_mut(at..at + bytes).ok_or_else(disagree)?;
    place.copy_from_slice(bits.to_le_bytes().get(..bytes).ok_or_else(disagree)?);
    Ok(())
}

fn next(cells: &mut &[ValRaw]) -> Answer<ValRaw> {
    let (first, rest) = cells.split_first().ok_or_else(disagree)?;
    *cells = rest;
    Ok(*first)
}

fn no_case(index: u32) -> wasmtime::Error {
    wasmtime::Error::msg(format!("it passed case {index} of a type that has fewer"))
}

/// Nobody gets here: types were compared when the component was linked.
fn disagree() -> wasmtime::Error {
    wasmtime::Error::msg("what it passes and what is offered to it are not of the same types")
}
