//! Round trips of random values of random types, and memories that make no sense.

use proptest::prelude::*;

use super::*;

/// Bytes from which types and values are made: all zeroes once they end, so that what is made is finite.
struct Chance<'a>(std::slice::Iter<'a, u8>);

impl Chance<'_> {
    fn byte(&mut self) -> u8 {
        self.0.next().copied().unwrap_or(0)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit
    }

    fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    fn text(&mut self) -> String {
        let chars = ['a', 'ß', '日', '🦀', '\0', 'z'];
        (0..self.below(9)).map(|_| chars[self.below(chars.len())]).collect()
    }

    fn some_type(&mut self, depth: usize) -> Type {
        let kinds = if depth == 0 { 15 } else { 22 };
        let inner = |this: &mut Self| this.some_type(depth - 1);
        let maybe = |this: &mut Self| (this.byte() % 2 == 1).then(|| inner(this));
        ty(match self.below(kinds) {
            0 => Shape::Bool,
            1 => Shape::S8,
            2 => Shape::U8,
            3 => Shape::S16,
            4 => Shape::U16,
            5 => Shape::S32,
            6 => Shape::U32,
            7 => Shape::S64,
            8 => Shape::U64,
            9 => Shape::F32,
            10 => Shape::F64,
            11 => Shape::Char,
            12 => Shape::String,
            13 => flags(1 + self.below(32)).shape().clone(),
            14 => variant(vec![None; 1 + self.below(255) * 2]).shape().clone(),
            15 => Shape::List(inner(self)),
            16 => Shape::Option(inner(self)),
            17 => Shape::Result(maybe(self), maybe(self)),
            18 => Shape::Tuple((0..=self.below(6)).map(|_| inner(self)).collect()),
            19 => {
                let count = 1 + self.below(20);
                let field = |index: usize| (format!("f{index}").into(), inner(self));
                Shape::Record((0..count).map(field).collect())
            }
            20 => {
                let cases = (0..=self.below(5)).map(|_| maybe(self)).collect();
                variant(cases).shape().clone()
            }
            _ => Shape::List(ty(Shape::U8)),
        })
    }

    fn value(&mut self, ty: &Type) -> Value {
        let case = |this: &mut Self, count: usize| {
            let index = (this.word() % count as u64) as u32;
            let payload = ty.case(index).unwrap();
            Value::Case(index, payload.map(|ty| Box::new(this.value(ty))))
        };
        match ty.shape() {
            Shape::Bool => Value::Bits(u64::from(self.byte() % 2)),
            Shape::U8 => Value::Bits(self.byte().into()),
            Shape::U16 => Value::Bits(u64::from(self.word() as u16)),
            Shape::U32 | Shape::F32 => Value::Bits(u64::from(self.word() as u32)),
            Shape::S8 => Value::Bits(i64::from(self.byte() as i8) as u64),
            Shape::S16 => Value::Bits(i64::from(self.word() as i16) as u64),
            Shape::S32 => Value::Bits(i64::from(self.word() as i32) as u64),
            Shape::S64 | Shape::U64 | Shape::F64 => Value::Bits(self.word()),
            Shape::Char => Value::Bits(u64::from(char::from(self.byte()) as u32)),
            Shape::String => Value::Text(self.text()),
            Shape::Flags(names) => Value::Bits(self.word() & (u64::MAX >> (64 - names.len()))),
            Shape::List(of) if *of.shape() == Shape::U8 => {
                Value::Bytes((0..self.below(9)).map(|_| self.byte()).collect())
            }
            Shape::List(of) => Value::List((0..self.below(5)).map(|_| self.value(of)).collect()),
            Shape::Tuple(types) => Value::Fields(types.iter().map(|ty| self.value(ty)).collect()),
            Shape::Record(fields) => {
                Value::Fields(fields.iter().map(|(_, ty)| self.value(ty)).collect())
            }
            Shape::Variant(cases) => case(self, cases.len()),
            Shape::Option(_) | Shape::Result(..) => case(self, 2),
            Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => {
                unreachable!("not made here")
            }
        }
    }
}

proptest! {
    #[test]
    fn any_value_of_any_type_comes_back_equal(
        bytes in proptest::collection::vec(any::<u8>(), 0..600),
        encoding in prop_oneof![
            Just(Encoding::Utf8), Just(Encoding::Utf16), Just(Encoding::Compact)
        ],
    ) {
        let mut chance = Chance(bytes.iter());
        let ty = chance.some_type(4);
        let value = chance.value(&ty);
        for crossing in [there_and_back, out_and_in] {
            let back = crossing(encoding, &ty, value.clone(), &mut Arena::new(1 << 20));
            prop_assert_eq!(back.unwrap(), value.clone());
        }
    }

    #[test]
    fn no_memory_and_no_core_value_makes_lifting_panic(
        bytes in proptest::collection::vec(any::<u8>(), 0..300),
        memory in proptest::collection::vec(any::<u8>(), 0..300),
        mut cells in proptest::collection::vec(
            prop_oneof![0_u64..300, any::<u64>()], FLAT_PARAMS_MAX
        ),
    ) {
        let params = tuple([Chance(bytes.iter()).some_type(4)]);
        let function = FuncType { params: Some(params), result: None, waits: false };
        cells.truncate(function.flat_params(Abi::Sync).map_or(1, <[_]>::len));
        let mut handles = Handles::default();
        let lifted = Lift::new(&memory, Encoding::Compact, &mut handles).params(&function, Abi::Sync, &cells);
        let faulted = matches!(lifted, Err(Fault::Trap { .. } | Fault::Limit(_)));
        prop_assert!(lifted.is_ok() || faulted);
    }
}
