//! The canonical ABI by itself: layouts, and every mistake that a guest can make, with its sentence.

mod properties;

use super::types::{FLAT_PARAMS_MAX, FLAT_RESULTS_MAX};
use super::*;
use crate::limits::engine as limits;

/// A guest's memory whose `realloc` takes the next free place, or gives what a test tells it to.
struct Arena {
    bytes: Vec<u8>,
    next: u32,
    told: Option<u32>,
}

impl Arena {
    fn new(bytes: usize) -> Self {
        Self { bytes: vec![0xAA; bytes], next: 8, told: None }
    }
}

impl Heap for Arena {
    fn bytes(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    fn allocate(&mut self, align: u32, bytes: u32) -> Result<u32, Fault> {
        let at = self.next.next_multiple_of(align);
        self.next = at + bytes;
        Ok(self.told.unwrap_or(at))
    }
}

fn ty(shape: Shape) -> Type {
    Type::new(shape).unwrap()
}

fn tuple(types: impl Into<Box<[Type]>>) -> Type {
    ty(Shape::Tuple(types.into()))
}

fn variant(payloads: Vec<Option<Type>>) -> Type {
    let name = |index: usize| format!("case{index}").into();
    ty(Shape::Variant(payloads.into_iter().enumerate().map(|(i, p)| (name(i), p)).collect()))
}

fn flags(count: usize) -> Type {
    ty(Shape::Flags((0..count).map(|index| format!("flag{index}").into()).collect()))
}

fn nothing(_: ResourceId) -> bool {
    false
}

/// Puts a value into a guest as a parameter, and gets it out as one.
fn there_and_back(
    encoding: Encoding,
    ty: &Type,
    value: Value,
    arena: &mut Arena,
) -> Result<Value, Fault> {
    let function =
        FuncType { params: Some(tuple([ty.clone()])), result: Some(ty.clone()), waits: false };
    let mut handles = Handles::default();
    let lower = Lower::new(arena, encoding, &mut handles, 0, &nothing);
    let (cells, _) = lower.params(&function, vec![value])?;
    assert!(cells.len() <= FLAT_PARAMS_MAX);
    let lift = Lift::new(&arena.bytes, encoding, &mut handles);
    Ok(lift.params(&function, Abi::Sync, &cells)?.0.remove(0))
}

/// The same as a result, in memory or not.
fn out_and_in(
    encoding: Encoding,
    ty: &Type,
    value: Value,
    arena: &mut Arena,
) -> Result<Value, Fault> {
    let function = FuncType { params: None, result: Some(ty.clone()), waits: false };
    let mut handles = Handles::default();
    let at = match function.flat_result() {
        Some(_) => None,
        None => Some(arena.allocate(ty.align(), ty.bytes())?),
    };
    let lower = Lower::new(arena, encoding, &mut handles, 0, &nothing);
    let cells = lower.result(&function, Some(value), at)?;
    let cells = at.map_or(cells, |at| vec![at.into()]);
    assert!(cells.len() <= FLAT_RESULTS_MAX);
    let lift = Lift::new(&arena.bytes, encoding, &mut handles);
    Ok(lift.result(&function, &cells)?.unwrap())
}

#[test]
fn types_are_laid_out_as_the_specification_says() {
    let (u8, u16, u32, u64) = (ty(Shape::U8), ty(Shape::U16), ty(Shape::U32), ty(Shape::U64));
    for (ty, bytes, align, flat) in [
        (ty(Shape::Bool), 1, 1, 1),
        (ty(Shape::Char), 4, 4, 1),
        (ty(Shape::String), 8, 4, 2),
        (ty(Shape::List(u64.clone())), 8, 4, 2),
        (tuple([u8.clone(), u32.clone(), u8.clone()]), 12, 4, 3),
        (tuple([u8.clone(), u64.clone()]), 16, 8, 2),
        (ty(Shape::Option(u8.clone())), 2, 1, 2),
        (ty(Shape::Option(u64.clone())), 16, 8, 2),
        (ty(Shape::Result(None, None)), 1, 1, 1),
        (ty(Shape::Result(Some(u16), Some(ty(Shape::String)))), 12, 4, 3),
        (variant(vec![None; 256]), 1, 1, 1),
        (variant(vec![None; 257]), 2, 2, 1),
        (variant(vec![None, Some(u64), Some(u8)]), 16, 8, 2),
        (flags(8), 1, 1, 1),
        (flags(9), 2, 2, 1),
        (flags(32), 4, 4, 1),
    ] {
        assert_eq!(
            (ty.bytes(), ty.align(), ty.flat().unwrap().len()),
            (bytes, align, flat),
            "{ty}"
        );
    }
}

#[test]
fn payloads_of_different_kinds_share_core_values_wide_enough_for_both() {
    use Flat::{F32, F64, I32, I64};
    let joined = |a, b| variant(vec![Some(ty(a)), Some(ty(b))]).flat().unwrap()[1];
    assert_eq!(joined(Shape::F32, Shape::F32), F32);
    assert_eq!(joined(Shape::F32, Shape::U32), I32);
    assert_eq!(joined(Shape::F64, Shape::F64), F64);
    assert_eq!(joined(Shape::F32, Shape::F64), I64);
    assert_eq!(joined(Shape::U64, Shape::F64), I64);
}

#[test]
fn types_without_members_and_types_beyond_measure_are_refused() {
    for shape in [
        Shape::Tuple(Box::default()),
        Shape::Record(Box::default()),
        Shape::Variant(Box::default()),
        Shape::Flags(Box::default()),
    ] {
        assert!(Type::new(shape).unwrap_err().to_string().contains("without members"));
    }
    assert!(Type::new(flags(32).shape().clone()).is_ok());
    let too_many = (0..33).map(|index| format!("f{index}").into()).collect();
    assert!(Type::new(Shape::Flags(too_many)).unwrap_err().to_string().contains("more than 32"));
    // Each step doubles the size, so without a cap this would overflow.
    let mut wide = Ok(ty(Shape::U64));
    let mut deep = Ok(ty(Shape::U8));
    for _ in 0..100 {
        wide = wide.and_then(|inner: Type| Type::new(Shape::Tuple([inner.clone(), inner].into())));
        deep = deep.and_then(|inner| Type::new(Shape::List(inner)));
    }
    assert!(wide.unwrap_err().to_string().contains("bytes"));
    assert!(deep.unwrap_err().to_string().contains("nest deeper"));
}

#[test]
fn functions_are_in_words_what_wit_says() {
    let error = ty(Shape::Variant(Box::new([("other".into(), Some(ty(Shape::String)))])));
    let record = ty(Shape::Record(Box::new([("topic".into(), ty(Shape::String))])));
    let function = FuncType {
        params: Some(tuple([ty(Shape::List(ty(Shape::U8))), record])),
        result: Some(ty(Shape::Result(None, Some(error)))),
        waits: false,
    };
    assert_eq!(
        function.to_string(),
        "func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>"
    );
}

#[test]
fn strings_survive_in_every_encoding() {
    for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Compact] {
        for text in ["", "a", "zażółć", "héllo", "日本", "🦀 and \0"] {
            let value = Value::Text(text.into());
            let back =
                there_and_back(encoding, &ty(Shape::String), value.clone(), &mut Arena::new(256));
            assert_eq!(back.unwrap(), value, "{encoding:?}");
        }
    }
}

/// Lifts core values of a type from a memory of 16 bytes, all 0xFF.
fn lifted(shape: Shape, cells: &[u64]) -> Result<Value, Fault> {
    lifted_as(Encoding::Utf8, shape, cells)
}

fn lifted_as(encoding: Encoding, shape: Shape, cells: &[u64]) -> Result<Value, Fault> {
    let function = FuncType { params: Some(tuple([ty(shape)])), result: None, waits: false };
    let mut handles = Handles::default();
    let lift = Lift::new(&[0xFF; 16], encoding, &mut handles);
    Ok(lift.params(&function, Abi::Sync, cells)?.0.remove(0))
}

fn traps<T: std::fmt::Debug>(result: Result<T, Fault>, sentence: &str) {
    match result.unwrap_err() {
        Fault::Trap { message, .. } => assert!(message.contains(sentence), "{message}"),
        other => panic!("{other}"),
    }
}

#[test]
fn a_pointer_outside_of_memory_is_the_guests_fault() {
    traps(lifted(Shape::String, &[17, 0]), "outside of its memory");
    traps(lifted(Shape::String, &[10, 7]), "outside of its memory");
    traps(lifted(Shape::String, &[u32::MAX.into(), 2]), "outside of its memory");
    let words = Shape::List(ty(Shape::U32));
    traps(lifted(words.clone(), &[8, 3]), "outside of its memory");
    traps(lifted(words, &[0, 0x4000_0001]), "outside of its memory");
}

#[test]
fn a_pointer_between_two_places_is_the_guests_fault() {
    traps(lifted(Shape::List(ty(Shape::U32)), &[2, 1]), "multiple of 4");
    traps(lifted_as(Encoding::Utf16, Shape::String, &[1, 1]), "multiple of 2");
    let many = Shape::Tuple(vec![ty(Shape::U64); 17].into());
    traps(lifted(many, &[4]), "multiple of 8");
}

#[test]
fn what_is_no_text_is_the_guests_fault() {
    traps(lifted(Shape::String, &[0, 3]), "not UTF-8");
    let lone = |cells: &[u64]| {
        let function =
            FuncType { params: Some(tuple([ty(Shape::String)])), result: None, waits: false };
        let memory = [0x00, 0xD8, 0x41, 0x00];
        let mut handles = Handles::default();
        Lift::new(&memory, Encoding::Utf16, &mut handles).params(&function, Abi::Sync, cells)
    };
    traps(lone(&[0, 2]), "not UTF-16");
    for char in [0xD800, 0xDFFF, 0x11_0000, u64::from(u32::MAX)] {
        traps(lifted(Shape::Char, &[char]), "as a character");
    }
}

#[test]
fn a_case_that_does_not_exist_is_the_guests_fault() {
    traps(lifted(variant(vec![None; 3]).shape().clone(), &[3]), "passed case 3");
    traps(lifted(Shape::Option(ty(Shape::U8)), &[2, 0]), "passed case 2");
    // In memory, where every byte is 0xFF.
    let list = Shape::List(ty(Shape::Result(None, None)));
    traps(lifted(list, &[0, 1]), "passed case 255");
}

#[test]
fn bits_that_a_type_does_not_have_are_ignored() {
    let bits = |shape, cell| lifted(shape, &[cell]).unwrap();
    assert_eq!(bits(Shape::Bool, 2), Value::Bits(1));
    assert_eq!(bits(Shape::U8, 0x1FF), Value::Bits(0xFF));
    assert_eq!(bits(Shape::S8, 0x1FF), Value::Bits(u64::MAX));
    assert_eq!(bits(Shape::S16, 0x8000), Value::Bits(0xFFFF_FFFF_FFFF_8000));
    assert_eq!(bits(flags(3).shape().clone(), u32::MAX.into()), Value::Bits(7));
}

#[test]
fn more_than_a_host_call_may_take_is_a_limit_and_not_a_trap() {
    let memory = vec![0; limits::HOST_CALL_BYTES_MAX + 1];
    let take = |count: usize, shape| {
        let function = FuncType { params: Some(tuple([ty(shape)])), result: None, waits: false };
        let mut handles = Handles::default();
        let lift = Lift::new(&memory, Encoding::Utf8, &mut handles);
        lift.params(&function, Abi::Sync, &[0, count as u64])
    };
    let bytes = || Shape::List(ty(Shape::U8));
    assert!(take(limits::HOST_CALL_BYTES_MAX, bytes()).is_ok());
    assert!(matches!(take(limits::HOST_CALL_BYTES_MAX + 1, bytes()), Err(Fault::Limit(_))));
    // Each of these takes much more room with us than it did in the guest.
    let cheap = Shape::List(ty(Shape::Bool));
    assert!(matches!(take(limits::HOST_CALL_BYTES_MAX / 4, cheap), Err(Fault::Limit(_))));
}

#[test]
fn an_address_from_realloc_is_trusted_no_more_than_any_other() {
    let put = |told, value| {
        let mut arena = Arena { told: Some(told), ..Arena::new(64) };
        let list = ty(Shape::List(ty(Shape::U32)));
        there_and_back(Encoding::Utf8, &list, value, &mut arena)
    };
    let three = || Value::List(vec![Value::Bits(1), Value::Bits(2), Value::Bits(3)]);
    assert_eq!(put(8, three()).unwrap(), three());
    traps(put(6, three()), "multiple of 4");
    traps(put(56, three()), "outside of its memory");
    traps(put(u32::MAX - 3, three()), "outside of its memory");
}

#[test]
fn a_value_of_another_type_is_a_fault_and_no_panic() {
    let values = || {
        [
            Value::Bits(1),
            Value::Text("x".into()),
            Value::Bytes("x".into()),
            Value::List(vec![]),
            Value::Fields(vec![]),
            Value::case(9),
            Value::with(0, Value::Bits(1)),
            Value::Handle(Handle::Own(1)),
        ]
    };
    for shape in [
        Shape::String,
        Shape::List(ty(Shape::U8)),
        Shape::List(ty(Shape::U16)),
        Shape::Option(ty(Shape::U8)),
        Shape::Tuple([ty(Shape::U8)].into()),
        Shape::Own(ResourceId(0)),
    ] {
        let fitting = |value: &Value| match (&shape, value) {
            (Shape::String, Value::Text(_)) | (Shape::Own(_), Value::Handle(_)) => true,
            (Shape::List(of), Value::Bytes(_)) => *of.shape() == Shape::U8,
            (Shape::List(of), Value::List(_)) => *of.shape() == Shape::U16,
            _ => false,
        };
        for value in values().into_iter().filter(|value| !fitting(value)) {
            for crossing in [there_and_back, out_and_in] {
                let crossed = crossing(
                    Encoding::Utf8,
                    &ty(shape.clone()),
                    value.clone(),
                    &mut Arena::new(64),
                );
                traps(crossed, "disagree");
            }
        }
    }
}

const FILE: ResourceId = ResourceId(0);
const LINE: ResourceId = ResourceId(1);

#[test]
fn a_handle_that_was_given_away_is_gone() {
    let mut handles = Handles::default();
    let handle = handles.own(FILE, 7).unwrap();
    assert_eq!(handles.rep(FILE, handle).unwrap(), 7);
    assert_eq!(handles.give(FILE, handle).unwrap(), 7);
    traps(handles.give(FILE, handle), "does not have");
    traps(handles.drop(FILE, handle), "does not have");
    traps(handles.lend(FILE, handle), "does not have");
    traps(handles.rep(FILE, 0), "does not have");
    traps(handles.rep(FILE, u32::MAX), "does not have");
}

#[test]
fn a_handle_is_dropped_once() {
    let mut handles = Handles::default();
    let handle = handles.own(FILE, 7).unwrap();
    assert_eq!(handles.drop(FILE, handle).unwrap(), Dropped::Own(7));
    traps(handles.drop(FILE, handle), "does not have");
    let again = handles.own(LINE, 8).unwrap();
    assert_eq!(again, handle, "its place is free again");
}

#[test]
fn a_handle_of_another_resource_is_refused() {
    let mut handles = Handles::default();
    let handle = handles.own(FILE, 7).unwrap();
    traps(handles.rep(LINE, handle), "another type");
    traps(handles.drop(LINE, handle), "another type");
}

#[test]
fn what_is_lent_stays_until_it_is_given_back() {
    let mut handles = Handles::default();
    let handle = handles.own(FILE, 7).unwrap();
    assert_eq!(handles.lend(FILE, handle).unwrap(), (7, true));
    traps(handles.give(FILE, handle), "while it was lent");
    traps(handles.drop(FILE, handle), "while it was lent");
    handles.give_back(handle);
    assert_eq!(handles.give(FILE, handle).unwrap(), 7);
}

#[test]
fn what_is_borrowed_can_be_lent_on_and_dropped_but_not_given_away() {
    let mut handles = Handles::default();
    let handle = handles.borrow(FILE, 7, 3).unwrap();
    assert_eq!(handles.lend(FILE, handle).unwrap(), (7, false));
    traps(handles.give(FILE, handle), "only borrowed");
    assert_eq!(handles.drop(FILE, handle).unwrap(), Dropped::Borrow(3));
}

#[test]
fn handles_end_at_their_limit() {
    let mut handles = Handles::default();
    for rep in 0..limits::HANDLES_MAX {
        handles.own(FILE, rep as u32).unwrap();
    }
    assert!(matches!(handles.own(FILE, 0), Err(Fault::Limit(_))));
    handles.drop(FILE, 5).unwrap();
    assert_eq!(handles.own(FILE, 0).unwrap(), 5);
}

#[test]
fn a_borrowed_handle_reaches_the_definer_as_what_is_behind_it() {
    let borrow = tuple([ty(Shape::Borrow(FILE))]);
    let function = FuncType { params: Some(borrow), result: None, waits: false };
    let lowered = |defines: &dyn Fn(ResourceId) -> bool| {
        let (mut arena, mut handles) = (Arena::new(0), Handles::default());
        let lower = Lower::new(&mut arena, Encoding::Utf8, &mut handles, 0, defines);
        lower.params(&function, vec![Value::Handle(Handle::Borrow(77))]).unwrap()
    };
    assert_eq!(lowered(&|resource| resource == FILE), (vec![77], 0));
    assert_eq!(lowered(&nothing), (vec![1], 1));
}
