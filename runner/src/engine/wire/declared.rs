//! The macro over declarations of variants, enums, records and flags, and what it expands to: names
//! are compared with the component's own when it is linked.

use crate::engine::canonical::{Shape, Type};

/// Whether a type means the same.
type Fits = fn(&Type) -> bool;

/// Whether a variant or an enum has exactly these cases: their names, and what fits their payloads.
pub fn cases_fit(ty: &Type, cases: &[(&str, Option<Fits>)]) -> bool {
    let Shape::Variant(found) = ty.shape() else { return false };
    found.len() == cases.len()
        && found.iter().zip(cases).all(|((found, payload), (name, fits))| {
            **found == **name
                && match (payload, fits) {
                    (Some(payload), Some(fits)) => fits(payload),
                    (None, None) => true,
                    _ => false,
                }
        })
}

/// Whether a record has exactly these fields.
pub fn fields_fit(ty: &Type, fields: &[(&str, Fits)]) -> bool {
    let Shape::Record(found) = ty.shape() else { return false };
    found.len() == fields.len()
        && found.iter().zip(fields).all(|((found, ty), (name, fits))| **found == **name && fits(ty))
}

/// Whether a flags type has exactly these flags.
pub fn flags_fit(ty: &Type, flags: &[&str]) -> bool {
    let Shape::Flags(found) = ty.shape() else { return false };
    found.len() == flags.len() && found.iter().zip(flags).all(|(found, name)| **found == **name)
}

/// Takes the declaration of a type that derives wasmtime's `ComponentType`, and gives it to the other
/// engine too. `flags` is wasmtime's macro of that name.
macro_rules! wire {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[component(name = $case:literal)])?
                $variant:ident $(($payload:ty))?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis enum $name {
            $(
                $(#[doc = $doc])*
                $(#[component(name = $case)])?
                $variant $(($payload))?
            ),*
        }

        #[allow(dead_code, unused_variables, unreachable_patterns, irrefutable_let_patterns, reason = "not all cases need all")]
        #[allow(clippy::enum_variant_names, reason = "the names are the guest's")]
        const _: () = {
            use $crate::engine::canonical::{Type, Value};
            use $crate::engine::wire::{self, Wire};

            enum Index { $($variant),* }

            impl Wire for $name {
                const FLOWS: bool = $($(<$payload as Wire>::FLOWS ||)?)* false;

                fn fits(ty: &Type) -> bool {
                    wire::cases_fit(ty, &[$((
                        wire::wire!(@name $($case)? $variant),
                        wire::wire!(@fits $($payload)?),
                    )),*])
                }

                fn into_value(self) -> Value {
                    let this = self;
                    $(wire::wire!(@take this $variant $($payload)?);)*
                    Value::case(u32::MAX)
                }

                fn from_value(value: Value) -> Option<Self> {
                    let Value::Case(index, payload) = value else { return None };
                    $(if index == Index::$variant as u32 {
                        return wire::wire!(@make payload $variant $($payload)?);
                    })*
                    None
                }

                fn connect<D: wire::Fated>(
                    &mut self,
                    store: &mut wire::StoreContextMut<'_, D>,
                    bound: wire::Bound,
                ) -> wire::Answer<()> {
                    $(wire::wire!(@connect self store bound $variant $($payload)?);)*
                    Ok(())
                }
            }
        };
    };
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[component(name = $label:literal)])?
                $field_vis:vis $field:ident: $ty:ty
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $(
                $(#[doc = $doc])*
                $(#[component(name = $label)])?
                $field_vis $field: $ty
            ),*
        }

        const _: () = {
            use $crate::engine::canonical::{Type, Value};
            use $crate::engine::wire::{self, Wire};

            impl Wire for $name {
                const FLOWS: bool = $(<$ty as Wire>::FLOWS ||)* false;

                fn fits(ty: &Type) -> bool {
                    wire::fields_fit(ty, &[$((
                        wire::wire!(@name $($label)? $field),
                        <$ty as Wire>::fits,
                    )),*])
                }

                fn into_value(self) -> Value {
                    Value::Fields(vec![$(self.$field.into_value()),*])
                }

                fn from_value(value: Value) -> Option<Self> {
                    let Value::Fields(fields) = value else { return None };
                    let mut fields = fields.into_iter();
                    Some(Self { $($field: Wire::from_value(fields.next()?)?),* })
                }

                fn connect<D: wire::Fated>(
                    &mut self,
                    store: &mut wire::StoreContextMut<'_, D>,
                    bound: wire::Bound,
                ) -> wire::Answer<()> {
                    $(self.$field.connect(store, bound)?;)*
                    Ok(())
                }
            }
        };
    };
    (
        flags $name:ident {
            $(#[component(name = $label:literal)] const $flag:ident;)*
        }
    ) => {
        wasmtime::component::flags! {
            $name { $(#[component(name = $label)] const $flag;)* }
        }

        const _: () = {
            use $crate::engine::canonical::{Type, Value};
            use $crate::engine::wire::{self, Wire};

            impl Wire for $name {
                fn fits(ty: &Type) -> bool {
                    wire::flags_fit(ty, &[$($label),*])
                }

                fn into_value(self) -> Value {
                    let flags = [$(Self::$flag),*];
                    let bit = |(index, flag)| u64::from(self.contains(flag)) << index;
                    Value::Bits((0_u32..).zip(flags).map(bit).sum())
                }

                fn from_value(value: Value) -> Option<Self> {
                    let Value::Bits(bits) = value else { return None };
                    let flags = (0_u32..).zip([$(Self::$flag),*]);
                    let set = flags.filter(|(index, _)| bits >> index & 1 == 1);
                    Some(set.fold(Self::empty(), |all, (_, flag)| all | flag))
                }
            }
        };
    };
    (@name $label:literal $name:ident) => { $label };
    (@name $name:ident) => { stringify!($name) };
    (@fits) => { None };
    (@fits $payload:ty) => { Some(<$payload as Wire>::fits) };
    (@take $this:ident $variant:ident) => {
        if let Self::$variant = $this {
            return Value::case(Index::$variant as u32);
        }
    };
    (@take $this:ident $variant:ident $payload:ty) => {
        let $this = match $this {
            Self::$variant(payload) => {
                return Value::with(Index::$variant as u32, payload.into_value());
            }
            other => other,
        };
    };
    (@connect $this:ident $store:ident $bound:ident $variant:ident) => {};
    (@connect $this:ident $store:ident $bound:ident $variant:ident $payload:ty) => {
        if let Self::$variant(payload) = $this {
            payload.connect($store, $bound)?;
        }
    };
    (@make $payload:ident $variant:ident) => { Some(Self::$variant) };
    (@make $payload:ident $variant:ident $ty:ty) => {
        <$ty as Wire>::from_value(*$payload?).map(Self::$variant)
    };
}

pub(crate) use wire;
