//! How Rust types become values of the component model and back, for both engines. Where guests are called and where
//! streams bring values, the compiled one has derives of its own; `wire!` takes a declaration that uses
//! those and adds what is here, so that a type is written once and its cases stand in one order.

mod declared;

use bytes::Bytes;
pub use wasmtime::StoreContextMut;
use wasmtime::component::Resource;

pub(crate) use declared::wire;
pub use declared::{cases_fit, fields_fit, flags_fit};

use super::canonical::{Handle, Shape, Type, Value};
pub use super::door::Answer;
pub use super::streams::Fated;

/// A Rust type that stands for a type of the component model.
pub trait Wire: Sized {
    /// There are streams or futures in it.
    const FLOWS: bool = false;

    /// Whether a component means the same by this type.
    fn fits(ty: &Type) -> bool;

    /// The value, for the guest.
    fn into_value(self) -> Value;

    /// The value, from a guest; `None` if it is of another type.
    fn from_value(value: Value) -> Option<Self>;

    /// Puts pipes to the streams and futures in it that come from a compiled guest, or makes its of those that are ours.
    fn connect<D: Fated>(&mut self, _: &mut StoreContextMut<'_, D>, _: Bound) -> Answer<()> {
        Ok(())
    }

    /// A list of it.
    fn list_into_value(list: Vec<Self>) -> Value {
        Value::List(list.into_iter().map(Self::into_value).collect())
    }

    /// A list of it.
    fn list_from_value(value: Value) -> Option<Vec<Self>> {
        match value {
            Value::List(values) => values.into_iter().map(Self::from_value).collect(),
            _ => None,
        }
    }
}

/// Where a value goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// To us.
    Host,
    /// To a compiled guest.
    Guest,
}

macro_rules! numbers {
    ($($rust:ty => $shape:ident),*) => {$(
        impl Wire for $rust {
            fn fits(ty: &Type) -> bool {
                *ty.shape() == Shape::$shape
            }

            fn into_value(self) -> Value {
                Value::Bits(self as u64)
            }

            fn from_value(value: Value) -> Option<Self> {
                match value {
                    Value::Bits(bits) => Some(bits as Self),
                    _ => None,
                }
            }
        }
    )*};
}

numbers!(u16 => U16, u32 => U32, u64 => U64, i8 => S8, i16 => S16, i32 => S32, i64 => S64);

impl Wire for u8 {
    fn fits(ty: &Type) -> bool {
        *ty.shape() == Shape::U8
    }

    fn into_value(self) -> Value {
        Value::Bits(self.into())
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bits(bits) => Some(bits as Self),
            _ => None,
        }
    }

    fn list_into_value(list: Vec<Self>) -> Value {
        Value::Bytes(list.into())
    }

    fn list_from_value(value: Value) -> Option<Vec<Self>> {
        match value {
            Value::Bytes(bytes) => Some(bytes.into()),
            _ => None,
        }
    }
}

impl Wire for bool {
    fn fits(ty: &Type) -> bool {
        *ty.shape() == Shape::Bool
    }

    fn into_value(self) -> Value {
        Value::Bits(self.into())
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bits(bits) => Some(bits != 0),
            _ => None,
        }
    }
}

impl Wire for f32 {
    fn fits(ty: &Type) -> bool {
        *ty.shape() == Shape::F32
    }

    fn into_value(self) -> Value {
        Value::Bits(self.to_bits().into())
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bits(bits) => Some(Self::from_bits(u32::try_from(bits).ok()?)),
            _ => None,
        }
    }
}

impl Wire for f64 {
    fn fits(ty: &Type) -> bool {
        *ty.shape() == Shape::F64
    }

    fn into_value(self) -> Value {
        Value::Bits(self.to_bits())
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bits(bits) => Some(Self::from_bits(bits)),
            _ => None,
        }
    }
}

impl Wire for String {
    fn fits(ty: &Type) -> bool {
        *ty.shape() == Shape::String
    }

    fn into_value(self) -> Value {
        Value::Text(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl Wire for Bytes {
    fn fits(ty: &Type) -> bool {
        <Vec<u8>>::fits(ty)
    }

    fn into_value(self) -> Value {
        Value::Bytes(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    const FLOWS: bool = T::FLOWS;

    fn fits(ty: &Type) -> bool {
        matches!(ty.shape(), Shape::List(element) if T::fits(element))
    }

    fn into_value(self) -> Value {
        T::list_into_value(self)
    }

    fn from_value(value: Value) -> Option<Self> {
        T::list_from_value(value)
    }

    fn connect<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        self.iter_mut().try_for_each(|item| item.connect(store, bound))
    }
}

impl<T: Wire> Wire for Option<T> {
    const FLOWS: bool = T::FLOWS;

    fn fits(ty: &Type) -> bool {
        matches!(ty.shape(), Shape::Option(payload) if T::fits(payload))
    }

    fn into_value(self) -> Value {
        match self {
            None => Value::case(0),
            Some(payload) => Value::with(1, payload.into_value()),
        }
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Case(0, None) => Some(None),
            Value::Case(1, Some(payload)) => T::from_value(*payload).map(Some),
            _ => None,
        }
    }

    fn connect<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        self.iter_mut().try_for_each(|payload| payload.connect(store, bound))
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    const FLOWS: bool = T::FLOWS || E::FLOWS;

    fn fits(ty: &Type) -> bool {
        let Shape::Result(ok, err) = ty.shape() else { return false };
        payload_fits::<T>(ok.as_ref()) && payload_fits::<E>(err.as_ref())
    }

    fn into_value(self) -> Value {
        let (index, payload) = match self {
            Ok(ok) => (0, ok.into_value()),
            Err(err) => (1, err.into_value()),
        };
        Value::Case(index, carried(payload))
    }

    fn from_value(value: Value) -> Option<Self> {
        let Value::Case(index, payload) = value else { return None };
        let payload = payload.map_or(Value::Fields(Vec::new()), |payload| *payload);
        match index {
            0 => T::from_value(payload).map(Ok),
            1 => E::from_value(payload).map(Err),
            _ => None,
        }
    }

    fn connect<D: Fated>(
        &mut self,
        store: &mut StoreContextMut<'_, D>,
        bound: Bound,
    ) -> Answer<()> {
        match self {
            Ok(payload) => payload.connect(store, bound),
            Err(payload) => payload.connect(store, bound),
        }
    }
}

/// `()` in a result stands for no payload at all.
pub(super) fn payload_fits<T: Wire>(payload: Option<&Type>) -> bool {
    match payload {
        Some(ty) => T::fits(ty),
        None => T::from_value(Value::Fields(Vec::new())).is_some(),
    }
}

/// A payload, or none where there is nothing in it.
fn carried(payload: Value) -> Option<Box<Value>> {
    match payload {
        Value::Fields(fields) if fields.is_empty() => None,
        payload => Some(Box::new(payload)),
    }
}

impl<T: 'static> Wire for Resource<T> {
    fn fits(ty: &Type) -> bool {
        matches!(ty.shape(), Shape::Own(_) | Shape::Borrow(_))
    }

    fn into_value(self) -> Value {
        let rep = self.rep();
        Value::Handle(if self.owned() { Handle::Own(rep) } else { Handle::Borrow(rep) })
    }

    fn from_value(value: Value) -> Option<Self> {
        match value {
            Value::Handle(Handle::Own(rep)) => Some(Self::new_own(rep)),
            Value::Handle(Handle::Borrow(rep)) => Some(Self::new_borrow(rep)),
            _ => None,
        }
    }
}

macro_rules! tuples {
    ($(($($member:ident),*))*) => {$(
        impl<$($member: Wire),*> Wire for ($($member,)*) {
            const FLOWS: bool = $($member::FLOWS ||)* false;

            fn fits(ty: &Type) -> bool {
                let Shape::Tuple(fields) = ty.shape() else { return false };
                let mut fields = fields.iter();
                $(fields.next().is_some_and($member::fits) &&)* fields.next().is_none()
            }

            #[allow(non_snake_case, reason = "type parameters double as names")]
            fn into_value(self) -> Value {
                let ($($member,)*) = self;
                Value::Fields(vec![$($member.into_value()),*])
            }

            fn from_value(value: Value) -> Option<Self> {
                let Value::Fields(values) = value else { return None };
                let mut values = values.into_iter();
                let all = ($($member::from_value(values.next()?)?,)*);
                values.next().is_none().then_some(all)
            }

            #[allow(non_snake_case, unused_variables, reason = "type parameters double as names")]
            fn connect<Data: Fated>(
                &mut self,
                store: &mut StoreContextMut<'_, Data>,
                bound: Bound,
            ) -> Answer<()> {
                let ($($member,)*) = self;
                $($member.connect(store, bound)?;)*
                Ok(())
            }
        }
    )*};
}

tuples! {
    () (A) (A, B) (A, B, C) (A, B, C, D) (A, B, C, D, E)
    (A, B, C, D, E, F) (A, B, C, D, E, F, G) (A, B, C, D, E, F, G, H)
}
