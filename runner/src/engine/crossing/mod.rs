//! Values across the border of a compiled guest, whatever their types: the engine knows those of each function, so one
//! piece of code carries the calls of all of them. (The engine's own way, a copy of this for each Rust type of a function,
//! made `pirnd` 1.3 MB larger.)
//!
//! Strings, handles, streams and all that has to be checked with them are the engine's; what is here walks through types.

mod lift;
mod lower;

use std::mem::MaybeUninit;

use wasmtime::ValRaw;
use wasmtime::component::__internal::{
    CanonicalAbiInfo, ComponentTypes, InstanceType, InterfaceType, LiftContext, LowerContext,
    wasmtime_environ::component::VariantInfo,
};
use wasmtime::component::{ComponentNamedList, ComponentType, Lift, Lower};

use super::canonical::Value;
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
        fields(lift::flat(cx, ty, &mut cells)?)
    }

    fn linear_lift_from_memory(
        cx: &mut LiftContext<'_>,
        ty: InterfaceType,
        bytes: &[u8],
    ) -> Answer<Self> {
        // Of no bytes, but at the place where they begin.
        let at = bytes.as_ptr() as usize - cx.memory().as_ptr() as usize;
        fields(lift::load(cx, ty, at)?)
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
        each(cx.types, ty, &self.0, |ty, value| lower::put(cx, ty, value, &mut cells))?;
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
            lower::store(cx, ty, value, at)
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

/// Nobody gets here: types were compared when the component was linked.
fn disagree() -> wasmtime::Error {
    wasmtime::Error::msg("what it passes and what is offered to it are not of the same types")
}
