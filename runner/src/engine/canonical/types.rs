//! The types of the component model, with their layout in linear memory and as core values
//! (`CanonicalABI.md`: alignment, element size, flattening). Layout is worked out once, when a type is
//! made; nothing here can overflow or recurse without end, because a type that is too large or too
//! deep is refused then.

use std::sync::Arc;

use crate::limits::engine::{TYPE_BYTES_MAX, TYPE_DEPTH_MAX, TYPE_NODES_MAX};

/// Core values that a function's parameters may take; more are spilled to memory.
pub(super) const FLAT_PARAMS_MAX: usize = 16;
/// The same for functions that are called without waiting for them.
const FLAT_ASYNC_PARAMS_MAX: usize = 4;
/// Core values that a function's result may take.
pub(super) const FLAT_RESULTS_MAX: usize = 1;
/// Flags in one type: the specification's limit.
const FLAGS_MAX: usize = 32;

/// The type of one core value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flat {
    /// `i32`
    I32,
    /// `i64`
    I64,
    /// `f32`
    F32,
    /// `f64`
    F64,
}

/// Which resource a handle is for: an index into the component's resources, made when it is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceId(pub u32);

/// A type whose layout is known; cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub struct Type(Arc<Node>);

#[derive(Debug, PartialEq)]
struct Node {
    shape: Shape,
    bytes: u32,
    align: u32,
    depth: u32,
    /// Types it is made of, itself included.
    nodes: u32,
    /// Where a variant's payload begins.
    payload_at: u32,
    /// `None` if there are more than a function's parameters may take.
    flat: Option<Box<[Flat]>>,
    /// There are streams or futures in it.
    flows: bool,
}

/// What a type is made of. Enums are variants without payloads.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// `bool`
    Bool,
    /// `s8`
    S8,
    /// `u8`
    U8,
    /// `s16`
    S16,
    /// `u16`
    U16,
    /// `s32`
    S32,
    /// `u32`
    U32,
    /// `s64`
    S64,
    /// `u64`
    U64,
    /// `f32`
    F32,
    /// `f64`
    F64,
    /// `char`
    Char,
    /// `string`
    String,
    /// `list<T>`
    List(Type),
    /// `record`, by name
    Record(Box<[(Box<str>, Type)]>),
    /// `tuple`
    Tuple(Box<[Type]>),
    /// `variant` and `enum`, by name
    Variant(Box<[(Box<str>, Option<Type>)]>),
    /// `option<T>`
    Option(Type),
    /// `result<T, E>`
    Result(Option<Type>, Option<Type>),
    /// `flags`, by name
    Flags(Box<[Box<str>]>),
    /// `own<R>`
    Own(ResourceId),
    /// `borrow<R>`
    Borrow(ResourceId),
    /// `stream<T>`: its readable end
    Stream(Option<Type>),
    /// `future<T>`: its readable end
    Future(Option<Type>),
}

/// How a component calls out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Abi {
    /// The call returns with the result.
    #[default]
    Sync,
    /// The call returns at once; the result comes later, in memory.
    Async,
}

/// A type that this engine does not take, in a sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TypeError(pub String);

/// Size, alignment and core values of what a composite type is made of.
struct Layout {
    bytes: u32,
    align: u32,
    depth: u32,
    payload_at: u32,
    flat: Option<Vec<Flat>>,
}

impl Layout {
    const EMPTY: Self =
        Self { bytes: 0, align: 1, depth: 0, payload_at: 0, flat: Some(Vec::new()) };

    fn scalar(bytes: u32, flat: Flat) -> Self {
        Self { bytes, align: bytes, flat: Some(vec![flat]), ..Self::EMPTY }
    }

    /// A pointer and a length.
    fn pair(inner_depth: u32) -> Self {
        let flat = Some(vec![Flat::I32, Flat::I32]);
        Self { bytes: 8, align: 4, depth: inner_depth, flat, ..Self::EMPTY }
    }

    /// One field after another. Sizes stay far from overflow: each type's is capped.
    fn sequence<'a>(fields: impl Iterator<Item = &'a Type>) -> Self {
        fields.fold(Self::EMPTY, |all, field| Self {
            bytes: aligned(all.bytes, field.0.align).saturating_add(field.0.bytes),
            align: all.align.max(field.0.align),
            depth: all.depth.max(field.0.depth),
            payload_at: 0,
            flat: all.flat.zip(field.flat()).map(|(mut flat, more)| {
                flat.extend_from_slice(more);
                flat
            }),
        })
    }

    /// A discriminant, then room for any of the payloads.
    fn choice<'a>(cases: usize, payloads: impl Iterator<Item = &'a Type> + Clone) -> Self {
        let tag = discriminant_bytes(cases);
        let widest = payloads.clone().map(|p| p.0.bytes).max().unwrap_or(0);
        let align = payloads.clone().map(|p| p.0.align).max().unwrap_or(1);
        let depth = payloads.clone().map(|p| p.0.depth).max().unwrap_or(0);
        let mut flat = Some(vec![Flat::I32]);
        for payload in payloads {
            flat = flat.zip(payload.flat()).map(|(flat, more)| joined(flat, more));
        }
        let payload_at = aligned(tag, align);
        let bytes = payload_at.saturating_add(widest);
        Self { bytes, align: align.max(tag), depth, payload_at, flat }
    }
}

/// Core values that can carry either of two payloads, after the discriminant in `flat`.
fn joined(mut flat: Vec<Flat>, payload: &[Flat]) -> Vec<Flat> {
    for (index, &one) in payload.iter().enumerate() {
        match flat.get_mut(index + 1) {
            None => flat.push(one),
            Some(other) if *other == one => {}
            Some(other) => {
                let narrow = |flat| matches!(flat, Flat::I32 | Flat::F32);
                *other = if narrow(*other) && narrow(one) { Flat::I32 } else { Flat::I64 };
            }
        }
    }
    flat
}

/// `offset` moved up to a multiple of `align`, a power of two.
pub(super) fn aligned(offset: u32, align: u32) -> u32 {
    offset.saturating_add(align - 1) & !(align - 1)
}

fn discriminant_bytes(cases: usize) -> u32 {
    match cases {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

fn flags_bytes(count: usize) -> u32 {
    match count {
        0..=8 => 1,
        9..=16 => 2,
        _ => 4,
    }
}

impl Type {
    /// Works out the layout of a type. Empty, too large and too deep types are refused.
    pub fn new(shape: Shape) -> Result<Self, TypeError> {
        let layout = layout(&shape)?;
        let bytes = aligned(layout.bytes, layout.align);
        let depth = layout.depth + 1;
        if bytes > TYPE_BYTES_MAX {
            return Err(TypeError(format!("it has a type of more than {TYPE_BYTES_MAX} bytes")));
        }
        if depth > TYPE_DEPTH_MAX {
            return Err(TypeError(format!("its types nest deeper than {TYPE_DEPTH_MAX}")));
        }
        let nodes = nodes(&shape);
        if nodes > TYPE_NODES_MAX {
            let sentence = format!("it has a type made of more than {TYPE_NODES_MAX} types");
            return Err(TypeError(sentence));
        }
        let flat = layout.flat.filter(|flat| flat.len() <= FLAT_PARAMS_MAX).map(Into::into);
        let (align, payload_at) = (layout.align, layout.payload_at);
        let flows = flows(&shape);
        Ok(Self(Arc::new(Node { shape, bytes, align, depth, nodes, payload_at, flat, flows })))
    }

    /// Whether there are streams or futures in it.
    pub fn flows(&self) -> bool {
        self.0.flows
    }

    /// Whether it is nothing but a number: all that a component may send to itself.
    pub fn is_number(&self) -> bool {
        use Shape as S;
        matches!(
            self.shape(),
            S::S8 | S::U8 | S::S16 | S::U16 | S::S32 | S::U32 | S::S64 | S::U64 | S::F32 | S::F64
        )
    }

    /// What it is made of.
    pub fn shape(&self) -> &Shape {
        &self.0.shape
    }

    /// Its size in memory.
    pub fn bytes(&self) -> u32 {
        self.0.bytes
    }

    /// Its alignment in memory.
    pub fn align(&self) -> u32 {
        self.0.align
    }

    /// Where the payload of a variant, option or result begins in memory.
    pub(super) fn payload_at(&self) -> u32 {
        self.0.payload_at
    }

    /// The payload's type of each case, if it is a variant, an option or a result.
    pub(super) fn case(&self, index: u32) -> Option<Option<&Self>> {
        match (self.shape(), index) {
            (Shape::Variant(cases), _) => {
                cases.get(index as usize).map(|(_, payload)| payload.as_ref())
            }
            (Shape::Option(_), 0) => Some(None),
            (Shape::Option(payload), 1) => Some(Some(payload)),
            (Shape::Result(ok, _), 0) => Some(ok.as_ref()),
            (Shape::Result(_, err), 1) => Some(err.as_ref()),
            _ => None,
        }
    }

    /// Bytes of the discriminant of a variant, an option or a result.
    pub(super) fn tag_bytes(&self) -> u32 {
        match self.shape() {
            Shape::Variant(cases) => discriminant_bytes(cases.len()),
            _ => 1,
        }
    }

    /// Its core values, or `None` if it is always in memory.
    pub fn flat(&self) -> Option<&[Flat]> {
        self.0.flat.as_deref()
    }
}

/// How many types a shape is made of, the outermost included.
fn nodes(shape: &Shape) -> u32 {
    let sum = |inner: &mut dyn Iterator<Item = &Type>| {
        inner.fold(1, |all: u32, inner| all.saturating_add(inner.0.nodes))
    };
    match shape {
        Shape::List(inner) | Shape::Option(inner) => sum(&mut std::iter::once(inner)),
        Shape::Record(fields) => sum(&mut fields.iter().map(|(_, field)| field)),
        Shape::Tuple(fields) => sum(&mut fields.iter()),
        Shape::Variant(cases) => sum(&mut cases.iter().filter_map(|(_, payload)| payload.as_ref())),
        Shape::Result(ok, err) => sum(&mut ok.iter().chain(err)),
        Shape::Stream(inner) | Shape::Future(inner) => sum(&mut inner.iter()),
        _ => 1,
    }
}

fn flows(shape: &Shape) -> bool {
    match shape {
        Shape::Stream(_) | Shape::Future(_) => true,
        Shape::List(inner) | Shape::Option(inner) => inner.flows(),
        Shape::Record(fields) => fields.iter().any(|(_, field)| field.flows()),
        Shape::Tuple(fields) => fields.iter().any(Type::flows),
        Shape::Variant(cases) => {
            cases.iter().filter_map(|(_, case)| case.as_ref()).any(Type::flows)
        }
        Shape::Result(ok, err) => ok.iter().chain(err).any(Type::flows),
        _ => false,
    }
}

fn layout(shape: &Shape) -> Result<Layout, TypeError> {
    let empty = |what| Err(TypeError(format!("it has a {what} type without members")));
    Ok(match shape {
        Shape::Bool | Shape::S8 | Shape::U8 => Layout::scalar(1, Flat::I32),
        Shape::S16 | Shape::U16 => Layout::scalar(2, Flat::I32),
        Shape::S32 | Shape::U32 | Shape::Char | Shape::Own(_) | Shape::Borrow(_) => {
            Layout::scalar(4, Flat::I32)
        }
        Shape::Stream(inner) | Shape::Future(inner) => {
            let depth = inner.as_ref().map_or(0, |inner| inner.0.depth);
            Layout { depth, ..Layout::scalar(4, Flat::I32) }
        }
        Shape::S64 | Shape::U64 => Layout::scalar(8, Flat::I64),
        Shape::F32 => Layout::scalar(4, Flat::F32),
        Shape::F64 => Layout::scalar(8, Flat::F64),
        Shape::String => Layout::pair(0),
        Shape::List(element) => Layout::pair(element.0.depth),
        Shape::Record(fields) if fields.is_empty() => return empty("record"),
        Shape::Record(fields) => Layout::sequence(fields.iter().map(|(_, field)| field)),
        Shape::Tuple(fields) if fields.is_empty() => return empty("tuple"),
        Shape::Tuple(fields) => Layout::sequence(fields.iter()),
        Shape::Variant(cases) if cases.is_empty() => return empty("variant"),
        Shape::Variant(cases) => {
            Layout::choice(cases.len(), cases.iter().filter_map(|(_, payload)| payload.as_ref()))
        }
        Shape::Option(payload) => Layout::choice(2, std::iter::once(payload)),
        Shape::Result(ok, err) => Layout::choice(2, ok.iter().chain(err)),
        Shape::Flags(names) if names.is_empty() => return empty("flags"),
        Shape::Flags(names) if names.len() > FLAGS_MAX => {
            return Err(TypeError(format!("it has a flags type of more than {FLAGS_MAX}")));
        }
        Shape::Flags(names) => {
            let bytes = flags_bytes(names.len());
            Layout::scalar(bytes, Flat::I32)
        }
    })
}

/// A function's type.
#[derive(Clone, Debug, PartialEq)]
pub struct FuncType {
    /// All parameters, as a tuple; `None` if there are none.
    pub params: Option<Type>,
    /// The result.
    pub result: Option<Type>,
    /// Its calls may wait before they return.
    pub waits: bool,
}

impl FuncType {
    /// Whether streams or futures pass with its calls.
    pub fn flows(&self) -> bool {
        self.params.iter().chain(&self.result).any(Type::flows)
    }

    /// Core values of the parameters, or `None` if they are spilled to memory.
    pub fn flat_params(&self, abi: Abi) -> Option<&[Flat]> {
        let flat = self.params.as_ref().map_or(Some(&[][..]), Type::flat)?;
        let most = match abi {
            Abi::Sync => FLAT_PARAMS_MAX,
            Abi::Async => FLAT_ASYNC_PARAMS_MAX,
        };
        (flat.len() <= most).then_some(flat)
    }

    /// Core values of the result, or `None` if it is in memory.
    pub fn flat_result(&self) -> Option<&[Flat]> {
        let flat = self.result.as_ref().map_or(Some(&[][..]), Type::flat)?;
        (flat.len() <= FLAT_RESULTS_MAX).then_some(flat)
    }

    /// The core parameters of a function that is lifted to this one.
    pub fn lifted_params(&self) -> &[Flat] {
        self.flat_params(Abi::Sync).unwrap_or(&[Flat::I32])
    }

    /// Its core results, if it answers by returning.
    pub fn lifted_results(&self) -> &[Flat] {
        self.flat_result().unwrap_or(&[Flat::I32])
    }

    /// The core type of what this one is lowered to, parameters and results: a result in memory goes
    /// where the caller says.
    pub fn lowered(&self, abi: Abi) -> (Vec<Flat>, Vec<Flat>) {
        let mut params = self.flat_params(abi).unwrap_or(&[Flat::I32]).to_vec();
        if self.result_in_memory(abi) {
            params.push(Flat::I32);
        }
        match abi {
            Abi::Sync => (params, self.flat_result().unwrap_or(&[]).to_vec()),
            // How far the call is.
            Abi::Async => (params, vec![Flat::I32]),
        }
    }

    /// Whether the last of those parameters says where the result goes.
    pub fn result_in_memory(&self, abi: Abi) -> bool {
        match abi {
            Abi::Sync => self.flat_result().is_none(),
            Abi::Async => self.result.is_some(),
        }
    }
}
