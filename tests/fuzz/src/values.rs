//! Values for a function's parameters, made from its type and the bytes of the input, read from their end
//! backwards: so what libFuzzer changes there changes the values, and files need no framing.

use pirn_runner::engine::canonical::{Flow, FuncType, Shape, Type, Value, pipe};

/// Bytes of one string or list, and values of one list.
const LENGTH_MAX: u8 = 32;
/// Values made for one call, so that lists of lists of lists end.
const VALUES_MAX: usize = 10_000;

/// Where values come from.
pub(crate) struct Source<'a> {
    bytes: &'a [u8],
    at: usize,
    made: usize,
}

impl<'a> Source<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: bytes.len(), made: 0 }
    }

    fn byte(&mut self) -> u8 {
        self.at = self.at.checked_sub(1).unwrap_or(self.bytes.len().saturating_sub(1));
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn length(&mut self) -> u8 {
        self.byte() % LENGTH_MAX
    }

    /// A call's parameters, unless they need a resource, which nobody outside has.
    pub(crate) fn params(&mut self, ty: &FuncType) -> Option<Vec<Value>> {
        self.made = 0;
        match &ty.params {
            None => Some(Vec::new()),
            Some(params) => match self.value(params)? {
                Value::Fields(values) => Some(values),
                other => Some(vec![other]),
            },
        }
    }

    fn value(&mut self, ty: &Type) -> Option<Value> {
        self.made += 1;
        if self.made > VALUES_MAX {
            return None;
        }
        Some(match ty.shape() {
            Shape::Bool => Value::Bits(u64::from(self.byte() & 1)),
            Shape::U8 => Value::Bits(self.byte().into()),
            Shape::S8 => Value::Bits(i64::from(self.byte() as i8) as u64),
            Shape::U16 => Value::Bits(u64::from(self.word() as u16)),
            Shape::S16 => Value::Bits(i64::from(self.word() as i16) as u64),
            Shape::U32 | Shape::F32 => Value::Bits(u64::from(self.word() as u32)),
            Shape::S32 => Value::Bits(i64::from(self.word() as i32) as u64),
            Shape::U64 | Shape::S64 | Shape::F64 => Value::Bits(self.word()),
            Shape::Char => {
                Value::Bits(u64::from(u32::from(char::from_u32(self.word() as u32).unwrap_or('ß'))))
            }
            Shape::Flags(names) => Value::Bits(self.word() & (u64::MAX >> (64 - names.len()))),
            Shape::String => {
                let bytes: Vec<u8> = (0..self.length()).map(|_| self.byte()).collect();
                Value::Text(String::from_utf8_lossy(&bytes).into_owned())
            }
            Shape::List(element) if *element.shape() == Shape::U8 => {
                Value::Bytes((0..self.length()).map(|_| self.byte()).collect())
            }
            Shape::List(element) => {
                Value::List((0..self.length()).map(|_| self.value(element)).collect::<Option<_>>()?)
            }
            Shape::Record(fields) => {
                let fields = fields.iter().map(|(_, field)| self.value(field));
                Value::Fields(fields.collect::<Option<_>>()?)
            }
            Shape::Tuple(fields) => {
                let fields = fields.iter().map(|field| self.value(field));
                Value::Fields(fields.collect::<Option<_>>()?)
            }
            Shape::Variant(cases) => {
                let index = self.word() as usize % cases.len();
                self.case(index as u32, cases[index].1.as_ref())?
            }
            Shape::Option(payload) => match self.byte() & 1 {
                0 => Value::case(0),
                _ => self.case(1, Some(payload))?,
            },
            Shape::Result(ok, err) => match self.byte() & 1 {
                0 => self.case(0, ok.as_ref())?,
                _ => self.case(1, err.as_ref())?,
            },
            Shape::Stream(Some(item)) if *item.shape() == Shape::U8 => {
                let bytes: Vec<u8> = (0..self.length()).map(|_| self.byte()).collect();
                Value::Stream(flow(vec![Value::Bytes(bytes.into())]))
            }
            Shape::Stream(Some(item)) => {
                let items = (0..self.length()).map(|_| self.value(item));
                Value::Stream(flow(items.collect::<Option<_>>()?))
            }
            Shape::Future(Some(payload)) => Value::Future(flow(vec![self.value(payload)?])),
            Shape::Stream(None) | Shape::Future(None) | Shape::Own(_) | Shape::Borrow(_) => {
                return None;
            }
        })
    }

    fn case(&mut self, index: u32, payload: Option<&Type>) -> Option<Value> {
        Some(match payload {
            None => Value::case(index),
            Some(ty) => Value::with(index, self.value(ty)?),
        })
    }
}

/// All that a stream or a future will ever bring.
fn flow(values: Vec<Value>) -> Flow {
    let (sink, source) = pipe(values.len().max(1));
    values.into_iter().for_each(|value| sink.put(value));
    sink.end();
    Flow::Host(source)
}
