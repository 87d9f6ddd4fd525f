//! From a guest's core values and memory to values: the half of the canonical ABI that trusts
//! nothing. Whatever does not fit ends the guest with a sentence.

use bytes::Bytes;

use super::handles::Handles;
use super::text::{self, Encoding};
use super::types::{Abi, FuncType, Shape, Type, aligned};
use super::value::{Handle, Value};
use super::{Fault, trap};
use crate::limits::engine::HOST_CALL_BYTES_MAX;

/// One passage of values out of a guest.
pub struct Lift<'a> {
    memory: &'a [u8],
    encoding: Encoding,
    handles: &'a mut Handles,
    /// Handles that are lent for the time of the call.
    lent: Vec<u32>,
    /// Bytes that may still be copied.
    room: usize,
}

impl<'a> Lift<'a> {
    /// Values out of this memory and these handles.
    pub fn new(memory: &'a [u8], encoding: Encoding, handles: &'a mut Handles) -> Self {
        Self { memory, encoding, handles, lent: Vec::new(), room: HOST_CALL_BYTES_MAX }
    }

    /// A call's parameters, and the handles that are lent to it.
    pub fn params(
        mut self,
        ty: &FuncType,
        abi: Abi,
        cells: &[u64],
    ) -> Result<(Vec<Value>, Vec<u32>), Fault> {
        let Some(params) = &ty.params else { return Ok((Vec::new(), Vec::new())) };
        match self.either(params, ty.flat_params(abi).is_some(), cells)? {
            Value::Fields(values) => Ok((values, self.lent)),
            other => Ok((vec![other], self.lent)),
        }
    }

    /// A call's result.
    pub fn result(mut self, ty: &FuncType, cells: &[u64]) -> Result<Option<Value>, Fault> {
        let Some(result) = &ty.result else { return Ok(None) };
        self.either(result, ty.flat_result().is_some(), cells).map(Some)
    }

    /// Some of a stream's values, which stand one after another: bytes as one value, all others each by itself.
    pub fn items(mut self, ty: Option<&Type>, at: u32, count: u32) -> Result<Vec<Value>, Fault> {
        let Some(ty) = ty else { return Ok(vec![Value::Fields(Vec::new()); count as usize]) };
        match self.list(ty, at, count)? {
            Value::List(values) => Ok(values),
            bytes => Ok(vec![bytes]),
        }
    }

    /// A value that is either in core values or where the only one of them points.
    fn either(&mut self, ty: &Type, flat: bool, mut cells: &[u64]) -> Result<Value, Fault> {
        if flat {
            return self.flat(ty, &mut cells);
        }
        let at = next(&mut cells)? as u32;
        self.slice(at, ty.bytes().into(), ty.align())?;
        self.load(ty, at)
    }

    fn flat(&mut self, ty: &Type, cells: &mut &[u64]) -> Result<Value, Fault> {
        match ty.shape() {
            Shape::String => {
                let (at, length) = (next(cells)? as u32, next(cells)? as u32);
                self.string(at, length)
            }
            Shape::List(element) => {
                let (at, count) = (next(cells)? as u32, next(cells)? as u32);
                self.list(element, at, count)
            }
            Shape::Record(fields) => {
                let fields = fields.iter().map(|(_, field)| self.flat(field, cells));
                Ok(Value::Fields(fields.collect::<Result<_, _>>()?))
            }
            Shape::Tuple(fields) => {
                let fields = fields.iter().map(|field| self.flat(field, cells));
                Ok(Value::Fields(fields.collect::<Result<_, _>>()?))
            }
            Shape::Variant(_) | Shape::Option(_) | Shape::Result(..) => {
                let index = next(cells)? as u32;
                let payload = ty.case(index).ok_or_else(|| no_case(index))?;
                let width = ty.flat().map_or(0, <[_]>::len).saturating_sub(1);
                let (mut mine, rest) = cells.split_at(width.min(cells.len()));
                *cells = rest;
                let payload = payload.map(|ty| self.flat(ty, &mut mine).map(Box::new));
                Ok(Value::Case(index, payload.transpose()?))
            }
            _ => self.scalar(ty, next(cells)?),
        }
    }

    /// Reads a value at an address whose bounds and alignment were checked.
    fn load(&mut self, ty: &Type, at: u32) -> Result<Value, Fault> {
        match ty.shape() {
            Shape::String => {
                let (at, length) = self.pair(at)?;
                self.string(at, length)
            }
            Shape::List(element) => {
                let (at, count) = self.pair(at)?;
                self.list(element, at, count)
            }
            Shape::Record(fields) => self.sequence(fields.iter().map(|(_, field)| field), at),
            Shape::Tuple(fields) => self.sequence(fields.iter(), at),
            Shape::Variant(_) | Shape::Option(_) | Shape::Result(..) => {
                let index = self.word(at, ty.tag_bytes())? as u32;
                let payload = ty.case(index).ok_or_else(|| no_case(index))?;
                let at = at.saturating_add(ty.payload_at());
                let payload = payload.map(|ty| self.load(ty, at).map(Box::new));
                Ok(Value::Case(index, payload.transpose()?))
            }
            _ => {
                let bits = self.word(at, ty.bytes())?;
                self.scalar(ty, bits)
            }
        }
    }

    fn sequence<'t>(
        &mut self,
        fields: impl ExactSizeIterator<Item = &'t Type>,
        mut at: u32,
    ) -> Result<Value, Fault> {
        // Core values are few; in memory there may be any number.
        self.take((size_of::<Value>() * fields.len()) as u64)?;
        let fields = fields.map(|field| {
            let here = aligned(at, field.align());
            at = here.saturating_add(field.bytes());
            self.load(field, here)
        });
        Ok(Value::Fields(fields.collect::<Result<_, _>>()?))
    }

    /// A value that is one core value: only the bits that its type has count.
    fn scalar(&mut self, ty: &Type, bits: u64) -> Result<Value, Fault> {
        Ok(Value::Bits(match ty.shape() {
            Shape::Bool => u64::from(bits as u32 != 0),
            Shape::U8 => u64::from(bits as u8),
            Shape::U16 => u64::from(bits as u16),
            Shape::U32 | Shape::F32 => u64::from(bits as u32),
            Shape::S8 => i64::from(bits as i8) as u64,
            Shape::S16 => i64::from(bits as i16) as u64,
            Shape::S32 => i64::from(bits as i32) as u64,
            Shape::Char => match char::from_u32(bits as u32) {
                Some(char) => u64::from(u32::from(char)),
                None => return Err(trap(format!("it passed {bits:#x} as a character"))),
            },
            Shape::Flags(names) => bits & (u64::MAX >> (64 - names.len().clamp(1, 64))),
            Shape::Own(resource) => {
                let rep = self.handles.give(*resource, bits as u32)?;
                return Ok(Value::Handle(Handle::Own(rep)));
            }
            Shape::Borrow(resource) => {
                let (rep, lent) = self.handles.lend(*resource, bits as u32)?;
                if lent {
                    self.lent.push(bits as u32);
                }
                return Ok(Value::Handle(Handle::Borrow(rep)));
            }
            Shape::Stream(_) | Shape::Future(_) => {
                return self.handles.take_end(ty, bits as u32);
            }
            _ => bits,
        }))
    }

    fn string(&mut self, at: u32, length: u32) -> Result<Value, Fault> {
        let (bytes, align) = text::extent(self.encoding, length);
        let slice = self.slice(at, bytes, align)?;
        self.take(bytes)?;
        text::decode(self.encoding, length, slice).map(Value::Text)
    }

    fn list(&mut self, element: &Type, at: u32, count: u32) -> Result<Value, Fault> {
        let bytes = u64::from(element.bytes()) * u64::from(count);
        if *element.shape() == Shape::U8 {
            let slice = self.slice(at, bytes, 1)?;
            self.take(bytes)?;
            return Ok(Value::Bytes(Bytes::copy_from_slice(slice)));
        }
        self.slice(at, bytes, element.align())?;
        self.take(bytes.max(size_of::<Value>() as u64 * u64::from(count)))?;
        let one = |index| self.load(element, at + index * element.bytes());
        Ok(Value::List((0..count).map(one).collect::<Result<_, _>>()?))
    }

    /// Accounts for bytes that are copied out of the guest.
    fn take(&mut self, bytes: u64) -> Result<(), Fault> {
        let left = usize::try_from(bytes).ok().and_then(|bytes| self.room.checked_sub(bytes));
        let most = HOST_CALL_BYTES_MAX / 1024;
        self.room = left.ok_or_else(|| {
            Fault::Limit(format!("it passed more than {most} KiB to one host call"))
        })?;
        Ok(())
    }

    fn slice(&self, at: u32, bytes: u64, align: u32) -> Result<&'a [u8], Fault> {
        if at & (align - 1) != 0 {
            return Err(trap(format!(
                "it passed address {at:#x}, which is not a multiple of {align}"
            )));
        }
        let end = usize::try_from(u64::from(at) + bytes).ok();
        end.and_then(|end| self.memory.get(at as usize..end)).ok_or_else(|| {
            trap(format!("it passed {bytes} bytes at {at:#x}, which reach outside of its memory"))
        })
    }

    fn pair(&self, at: u32) -> Result<(u32, u32), Fault> {
        Ok((self.word(at, 4)? as u32, self.word(at.saturating_add(4), 4)? as u32))
    }

    /// A little-endian number of 1, 2, 4 or 8 bytes.
    fn word(&self, at: u32, bytes: u32) -> Result<u64, Fault> {
        let slice = self.slice(at, bytes.into(), 1)?;
        let mut word = [0; 8];
        word[..slice.len().min(8)].copy_from_slice(&slice[..slice.len().min(8)]);
        Ok(u64::from_le_bytes(word))
    }
}

fn next(cells: &mut &[u64]) -> Result<u64, Fault> {
    let (first, rest) = cells.split_first().ok_or_else(|| trap("it passed too few values"))?;
    *cells = rest;
    Ok(*first)
}

fn no_case(index: u32) -> Fault {
    trap(format!("it passed case {index} of a type that has fewer"))
}
