//! From values to a guest's core values and memory. What is written goes where the guest's own
//! `realloc` says, which is trusted no more than any of its pointers.

use super::handles::Handles;
use super::text::{self, Encoding};
use super::types::{Abi, FuncType, ResourceId, Shape, Type, aligned};
use super::value::{Handle, Value};
use super::{Fault, trap};

/// A guest's memory, as far as values are put into it.
pub trait Heap {
    /// All of it.
    fn bytes(&mut self) -> &mut [u8];

    /// Room for so many bytes, given by the guest; the address is not checked yet.
    fn allocate(&mut self, align: u32, bytes: u32) -> Result<u32, Fault>;
}

/// One passage of values into a guest.
pub struct Lower<'a, H> {
    heap: &'a mut H,
    encoding: Encoding,
    handles: &'a mut Handles,
    call: u32,
    defines: &'a dyn Fn(ResourceId) -> bool,
    /// Handles lent to the guest so far.
    borrowed: u32,
}

impl<'a, H: Heap> Lower<'a, H> {
    /// Values into this memory and these handles. What is lent belongs to `call`; a component that
    /// `defines` a resource gets what is behind a borrowed handle instead of the handle.
    pub fn new(
        heap: &'a mut H,
        encoding: Encoding,
        handles: &'a mut Handles,
        call: u32,
        defines: &'a dyn Fn(ResourceId) -> bool,
    ) -> Self {
        Self { heap, encoding, handles, call, defines, borrowed: 0 }
    }

    /// A call's parameters as core values, and how many handles were lent with them.
    pub fn params(mut self, ty: &FuncType, values: Vec<Value>) -> Result<(Vec<u64>, u32), Fault> {
        let mut cells = Vec::with_capacity(super::types::FLAT_PARAMS_MAX);
        let Some(params) = &ty.params else { return Ok((cells, 0)) };
        if ty.flat_params(Abi::Sync).is_some() {
            self.flat(params, Value::Fields(values), &mut cells)?;
        } else {
            let at = self.place(params.align(), params.bytes().into())?;
            self.store(params, Value::Fields(values), at)?;
            cells.push(at.into());
        }
        Ok((cells, self.borrowed))
    }

    /// A call's result as core values, or in memory at `at` if the function's type says so.
    pub fn result(
        mut self,
        ty: &FuncType,
        value: Option<Value>,
        at: Option<u32>,
    ) -> Result<Vec<u64>, Fault> {
        let mut cells = Vec::with_capacity(1);
        match (&ty.result, value, at) {
            (None, None, _) => {}
            (Some(result), Some(value), None) => self.flat(result, value, &mut cells)?,
            (Some(result), Some(value), Some(at)) => {
                self.check(at, result.align(), result.bytes().into())?;
                self.store(result, value, at)?;
            }
            _ => return Err(disagree()),
        }
        Ok(cells)
    }

    /// Some of a stream's values, one after another in a place with room for `room` of them.
    pub fn items(mut self, ty: &Type, values: Vec<Value>, at: u32, room: u32) -> Result<(), Fault> {
        self.check(at, ty.align(), u64::from(ty.bytes()) * u64::from(room))?;
        if let [Value::Bytes(bytes)] = &*values {
            same(bytes.len(), bytes.len().min(room as usize))?;
            self.heap.bytes()[at as usize..][..bytes.len()].copy_from_slice(bytes);
            return Ok(());
        }
        same(values.len(), values.len().min(room as usize))?;
        for (index, value) in (0..).zip(values) {
            self.store(ty, value, at + index * ty.bytes())?;
        }
        Ok(())
    }

    fn flat(&mut self, ty: &Type, value: Value, cells: &mut Vec<u64>) -> Result<(), Fault> {
        match (ty.shape(), value) {
            (Shape::String, Value::Text(text)) => {
                let (at, length) = self.string(text)?;
                cells.extend([at.into(), length]);
            }
            (Shape::List(element), value) => {
                let (at, count) = self.list(element, value)?;
                cells.extend([at.into(), count]);
            }
            (Shape::Record(fields), Value::Fields(values)) => {
                same(fields.len(), values.len())?;
                for ((_, field), value) in fields.iter().zip(values) {
                    self.flat(field, value, cells)?;
                }
            }
            (Shape::Tuple(fields), Value::Fields(values)) => {
                same(fields.len(), values.len())?;
                for (field, value) in fields.iter().zip(values) {
                    self.flat(field, value, cells)?;
                }
            }
            (_, Value::Case(index, payload)) => {
                let end = cells.len() + ty.flat().map_or(1, <[_]>::len);
                cells.push(index.into());
                match (ty.case(index).ok_or_else(disagree)?, payload) {
                    (Some(ty), Some(payload)) => self.flat(ty, *payload, cells)?,
                    (None, None) => {}
                    _ => return Err(disagree()),
                }
                cells.resize(end, 0);
            }
            (_, value) => {
                let bits = self.scalar(ty, value)?;
                cells.push(match ty.bytes() {
                    8 => bits,
                    _ => u64::from(bits as u32),
                });
            }
        }
        Ok(())
    }

    /// Writes a value at an address whose bounds and alignment were checked.
    fn store(&mut self, ty: &Type, value: Value, at: u32) -> Result<(), Fault> {
        match (ty.shape(), value) {
            (Shape::String, Value::Text(text)) => {
                let pair = self.string(text)?;
                self.pair(at, pair)
            }
            (Shape::List(element), value) => {
                let pair = self.list(element, value)?;
                self.pair(at, pair)
            }
            (Shape::Record(fields), Value::Fields(values)) => {
                same(fields.len(), values.len())?;
                self.sequence(fields.iter().map(|(_, field)| field).zip(values), at)
            }
            (Shape::Tuple(fields), Value::Fields(values)) => {
                same(fields.len(), values.len())?;
                self.sequence(fields.iter().zip(values), at)
            }
            (_, Value::Case(index, payload)) => {
                let payload_type = ty.case(index).ok_or_else(disagree)?;
                self.word(at, ty.tag_bytes(), index.into())?;
                match (payload_type, payload) {
                    (Some(inner), Some(payload)) => {
                        self.store(inner, *payload, at.saturating_add(ty.payload_at()))
                    }
                    (None, None) => Ok(()),
                    _ => Err(disagree()),
                }
            }
            (_, value) => {
                let bits = self.scalar(ty, value)?;
                self.word(at, ty.bytes(), bits)
            }
        }
    }

    fn sequence<'t>(
        &mut self,
        fields: impl Iterator<Item = (&'t Type, Value)>,
        mut at: u32,
    ) -> Result<(), Fault> {
        for (field, value) in fields {
            let here = aligned(at, field.align());
            at = here.saturating_add(field.bytes());
            self.store(field, value, here)?;
        }
        Ok(())
    }

    fn scalar(&mut self, ty: &Type, value: Value) -> Result<u64, Fault> {
        match (ty.shape(), value) {
            (Shape::Own(resource), Value::Handle(Handle::Own(rep))) => {
                Ok(self.handles.own(*resource, rep)?.into())
            }
            (Shape::Borrow(resource), Value::Handle(Handle::Borrow(rep))) => {
                if (self.defines)(*resource) {
                    return Ok(rep.into());
                }
                self.borrowed += 1;
                Ok(self.handles.borrow(*resource, rep, self.call)?.into())
            }
            (Shape::Stream(_) | Shape::Future(_), value) => {
                Ok(self.handles.give_end(ty, value)?.into())
            }
            (
                Shape::Own(_)
                | Shape::Borrow(_)
                | Shape::Variant(_)
                | Shape::Option(_)
                | Shape::Result(..)
                | Shape::String
                | Shape::Record(_)
                | Shape::Tuple(_),
                _,
            ) => Err(disagree()),
            (_, Value::Bits(bits)) => Ok(bits),
            _ => Err(disagree()),
        }
    }

    fn string(&mut self, text: String) -> Result<(u32, u64), Fault> {
        let (bytes, align, length) = text::encode(self.encoding, text);
        Ok((self.put(&bytes, align)?, length))
    }

    fn list(&mut self, element: &Type, value: Value) -> Result<(u32, u64), Fault> {
        match (element.shape(), value) {
            (Shape::U8, Value::Bytes(bytes)) => Ok((self.put(&bytes, 1)?, bytes.len() as u64)),
            (Shape::U8, _) => Err(disagree()),
            (_, Value::List(values)) => {
                let count = values.len() as u64;
                let start = self.place(element.align(), count * u64::from(element.bytes()))?;
                for (index, value) in (0..).zip(values) {
                    self.store(element, value, start + index * element.bytes())?;
                }
                Ok((start, count))
            }
            _ => Err(disagree()),
        }
    }

    /// Copies bytes to a place of their own.
    fn put(&mut self, bytes: &[u8], align: u32) -> Result<u32, Fault> {
        let at = self.place(align, bytes.len() as u64)?;
        self.heap.bytes()[at as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(at)
    }

    /// Room from the guest's `realloc`, checked.
    fn place(&mut self, align: u32, bytes: u64) -> Result<u32, Fault> {
        let Ok(wanted) = u32::try_from(bytes) else {
            return Err(trap("it was passed more than its memory can hold"));
        };
        let at = self.heap.allocate(align, wanted)?;
        self.check(at, align, bytes)?;
        Ok(at)
    }

    fn check(&mut self, at: u32, align: u32, bytes: u64) -> Result<(), Fault> {
        if at & (align - 1) != 0 {
            return Err(trap(format!(
                "it gave address {at:#x}, which is not a multiple of {align}"
            )));
        }
        if u64::from(at) + bytes > self.heap.bytes().len() as u64 {
            return Err(trap(format!(
                "it gave room for {bytes} bytes at {at:#x}, which reaches outside of its memory"
            )));
        }
        Ok(())
    }

    fn pair(&mut self, at: u32, (start, length): (u32, u64)) -> Result<(), Fault> {
        self.word(at, 4, start.into())?;
        self.word(at.saturating_add(4), 4, length)
    }

    fn word(&mut self, at: u32, bytes: u32, bits: u64) -> Result<(), Fault> {
        let range = at as usize..at as usize + bytes as usize;
        let place = self.heap.bytes().get_mut(range).ok_or_else(disagree)?;
        place.copy_from_slice(&bits.to_le_bytes()[..bytes as usize]);
        Ok(())
    }
}

fn same(types: usize, values: usize) -> Result<(), Fault> {
    if types == values { Ok(()) } else { Err(disagree()) }
}

/// Only a component whose parts were put together wrongly gets here: our own types were compared
/// when it was linked.
pub(super) fn disagree() -> Fault {
    trap("two of its parts disagree on a type")
}
