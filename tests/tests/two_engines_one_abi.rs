//! The interpreted engine's canonical ABI against wasmtime's, on the same components: random values of
//! random types go in and come back, and what a guest sees of them in between is compared.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fmt::Write as _;
use std::time::Duration;

use pirn_runner::engine::canonical::{Flat, Shape, Type, Value};
use pirn_runner::engine::door::Answer;
use pirn_runner::engine::interpreted::{Engine, Interpreted};
use pirn_runner::engine::{Allowance, Holds};
use wasmtime::component::{Component, Linker, Resource, Val};

/// A xorshift: the same values in every run.
struct Random(u64);

impl Random {
    fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.word() >> 16) as usize % limit
    }
}

fn new(shape: Shape) -> Type {
    Type::new(shape).unwrap()
}

fn some_type(random: &mut Random, depth: usize) -> Type {
    let kinds = if depth == 0 { 14 } else { 21 };
    let inner = |random: &mut Random| some_type(random, depth - 1);
    let maybe = |random: &mut Random| (random.below(3) > 0).then(|| some_type(random, depth - 1));
    new(match random.below(kinds) {
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
        13 => Shape::Flags((0..=random.below(32)).map(|n| format!("f{n}").into()).collect()),
        14 => Shape::List(inner(random)),
        15 => Shape::Option(inner(random)),
        16 => Shape::Result(maybe(random), maybe(random)),
        17 => Shape::Tuple((0..=random.below(8)).map(|_| inner(random)).collect()),
        18 => Shape::Record(
            (0..=random.below(16)).map(|n| (format!("m{n}").into(), inner(random))).collect(),
        ),
        19 => Shape::Variant(
            (0..=random.below(5)).map(|n| (format!("c{n}").into(), maybe(random))).collect(),
        ),
        _ => Shape::Variant(
            (0..=random.below(300)).map(|n| (format!("e{n}").into(), None)).collect(),
        ),
    })
}

fn some_value(random: &mut Random, ty: &Type) -> Value {
    let case = |random: &mut Random, payloads: &[Option<Type>]| {
        let index = random.below(payloads.len());
        let payload = payloads[index].as_ref().map(|ty| Box::new(some_value(random, ty)));
        Value::Case(index as u32, payload)
    };
    match ty.shape() {
        Shape::Bool => Value::Bits(random.word() & 1),
        Shape::U8 => Value::Bits(u64::from(random.word() as u8)),
        Shape::U16 => Value::Bits(u64::from(random.word() as u16)),
        Shape::U32 => Value::Bits(u64::from(random.word() as u32)),
        Shape::S8 => Value::Bits(i64::from(random.word() as i8) as u64),
        Shape::S16 => Value::Bits(i64::from(random.word() as i16) as u64),
        Shape::S32 => Value::Bits(i64::from(random.word() as i32) as u64),
        Shape::S64 | Shape::U64 => Value::Bits(random.word()),
        // No NaN: what becomes of one is nobody's promise.
        Shape::F32 => Value::Bits(u64::from((random.word() as i32 as f32 / 3.0).to_bits())),
        Shape::F64 => Value::Bits((random.word() as i64 as f64 / 3.0).to_bits()),
        Shape::Char => {
            let chars = ['a', 'é', '日', '🦀', '\0', char::MAX];
            Value::Bits(u64::from(u32::from(chars[random.below(chars.len())])))
        }
        Shape::String => {
            let parts = ["", "a", "ß", "日本", "🦀", "\0", "longer than that"];
            Value::Text((0..random.below(4)).map(|_| parts[random.below(parts.len())]).collect())
        }
        Shape::Flags(names) => Value::Bits(random.word() & (u64::MAX >> (64 - names.len()))),
        Shape::List(of) if *of.shape() == Shape::U8 => {
            Value::Bytes((0..random.below(20)).map(|_| random.word() as u8).collect())
        }
        Shape::List(of) => {
            Value::List((0..random.below(4)).map(|_| some_value(random, of)).collect())
        }
        Shape::Tuple(types) => {
            Value::Fields(types.iter().map(|ty| some_value(random, ty)).collect())
        }
        Shape::Record(fields) => {
            Value::Fields(fields.iter().map(|(_, ty)| some_value(random, ty)).collect())
        }
        Shape::Variant(cases) => {
            let payloads: Vec<_> = cases.iter().map(|(_, payload)| payload.clone()).collect();
            case(random, &payloads)
        }
        Shape::Option(payload) => case(random, &[None, Some(payload.clone())]),
        Shape::Result(ok, err) => case(random, &[ok.clone(), err.clone()]),
        Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => {
            unreachable!("no such types are made")
        }
    }
}

/// The type in the text format. Types that need a name in an export get one, by an import, in `named`.
fn written(ty: &Type, named: &mut String, names: &mut usize) -> String {
    let mut of = |ty: &Type| written(ty, named, names);
    let shape = match ty.shape() {
        Shape::Bool => return "bool".into(),
        Shape::S8 => return "s8".into(),
        Shape::U8 => return "u8".into(),
        Shape::S16 => return "s16".into(),
        Shape::U16 => return "u16".into(),
        Shape::S32 => return "s32".into(),
        Shape::U32 => return "u32".into(),
        Shape::S64 => return "s64".into(),
        Shape::U64 => return "u64".into(),
        Shape::F32 => return "f32".into(),
        Shape::F64 => return "f64".into(),
        Shape::Char => return "char".into(),
        Shape::String => return "string".into(),
        Shape::List(element) => return format!("(list {})", of(element)),
        Shape::Option(payload) => return format!("(option {})", of(payload)),
        Shape::Tuple(types) => {
            let types: Vec<String> = types.iter().map(of).collect();
            return format!("(tuple {})", types.join(" "));
        }
        Shape::Result(ok, err) => {
            let mut text = "(result".to_string();
            if let Some(ok) = ok {
                write!(text, " {}", of(ok)).unwrap();
            }
            if let Some(err) = err {
                write!(text, " (error {})", of(err)).unwrap();
            }
            return text + ")";
        }
        Shape::Flags(flags) => {
            let flags: Vec<String> = flags.iter().map(|name| format!("\"{name}\"")).collect();
            format!("(flags {})", flags.join(" "))
        }
        Shape::Record(fields) => {
            let field = |(name, ty): &(Box<str>, Type)| format!("(field \"{name}\" {})", of(ty));
            let fields: Vec<String> = fields.iter().map(field).collect();
            format!("(record {})", fields.join(" "))
        }
        Shape::Variant(cases) => {
            let case = |(name, payload): &(Box<str>, Option<Type>)| match payload {
                Some(ty) => format!("(case \"{name}\" {})", of(ty)),
                None => format!("(case \"{name}\")"),
            };
            let cases: Vec<String> = cases.iter().map(case).collect();
            format!("(variant {})", cases.join(" "))
        }
        Shape::Own(_) | Shape::Borrow(_) | Shape::Stream(_) | Shape::Future(_) => {
            unreachable!("no such types are made")
        }
    };
    let name = *names;
    *names += 1;
    writeln!(named, "(type $d{name} {shape}) (import \"t{name}\" (type $t{name} (eq $d{name})))")
        .unwrap();
    format!("$t{name}")
}

/// A component with two functions over the type. `echo` has so many parameters that they are in
/// memory, and answers with the place of one of them there: whatever was put there comes back. `flat`
/// answers with its parameter's core values, as bits.
fn component(ty: &Type, encoding: &str) -> String {
    let (mut named, mut names) = (String::new(), 0);
    let text = written(ty, &mut named, &mut names);
    let wide = new(Shape::Tuple([ty.clone(), new(Shape::U64), new(Shape::U64)].into()));
    let place = 136_u32.next_multiple_of(wide.align());
    let flat = ty.flat().unwrap_or(&[]);
    let params: String = flat.iter().map(|flat| format!("{} ", core(*flat))).collect();
    let stores: String = (0..flat.len()).map(|n| store(n, flat[n])).collect();
    let bits = vec!["u64"; flat.len().max(2)].join(" ");
    let pad = vec!["u64"; 17].join(" ");
    let flat_export = match ty.flat() {
        None => String::new(),
        Some(_) => format!(
            r#"(func (export "flat") (param "x" {text}) (result (tuple {bits}))
                (canon lift (core func $i "flat") (memory (core memory $i "memory"))
                    (realloc (core func $i "realloc"))))"#
        ),
    };
    format!(
        r#"(component
        {named}
        (core module $m
            (memory (export "memory") 16)
            (global $next (mut i32) (i32.const 4096))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                ;; What moves takes its bytes along, as far as both places have room.
                (memory.copy (global.get $next) (local.get 0)
                    (select (local.get 1) (local.get 3)
                        (i32.lt_u (local.get 1) (local.get 3))))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3))))
            (func (export "echo") (param i32) (result i32)
                (i32.add (local.get 0) (i32.const {place})))
            (func (export "flat") (param {params}) (result i32) {stores} (i32.const 0)))
        (core instance $i (instantiate $m))
        (func (export "echo") (param "pad" (tuple {pad})) (param "x" (tuple {text} u64 u64))
            (result (tuple {text} u64 u64))
            (canon lift (core func $i "echo") (memory (core memory $i "memory"))
                (realloc (core func $i "realloc")) string-encoding={encoding}))
        {flat_export})"#
    )
}

fn core(flat: Flat) -> &'static str {
    match flat {
        Flat::I32 => "i32",
        Flat::I64 => "i64",
        Flat::F32 => "f32",
        Flat::F64 => "f64",
    }
}

fn store(index: usize, flat: Flat) -> String {
    let value = format!("(local.get {index})");
    let bits = match flat {
        Flat::I32 => format!("(i64.extend_i32_u {value})"),
        Flat::I64 => value,
        Flat::F32 => format!("(i64.extend_i32_u (i32.reinterpret_f32 {value}))"),
        Flat::F64 => format!("(i64.reinterpret_f64 {value})"),
    };
    format!("(i64.store (i32.const {}) {bits})", index * 8)
}

/// A value in wasmtime's terms.
fn to_val(ty: &Type, value: &Value) -> Val {
    let boxed = |ty: &Option<Type>, payload: &Option<Box<Value>>| {
        ty.as_ref().zip(payload.as_ref()).map(|(ty, value)| Box::new(to_val(ty, value)))
    };
    match (ty.shape(), value) {
        (Shape::Bool, Value::Bits(bits)) => Val::Bool(*bits != 0),
        (Shape::U8, Value::Bits(bits)) => Val::U8(*bits as u8),
        (Shape::U16, Value::Bits(bits)) => Val::U16(*bits as u16),
        (Shape::U32, Value::Bits(bits)) => Val::U32(*bits as u32),
        (Shape::U64, Value::Bits(bits)) => Val::U64(*bits),
        (Shape::S8, Value::Bits(bits)) => Val::S8(*bits as i8),
        (Shape::S16, Value::Bits(bits)) => Val::S16(*bits as i16),
        (Shape::S32, Value::Bits(bits)) => Val::S32(*bits as i32),
        (Shape::S64, Value::Bits(bits)) => Val::S64(*bits as i64),
        (Shape::F32, Value::Bits(bits)) => Val::Float32(f32::from_bits(*bits as u32)),
        (Shape::F64, Value::Bits(bits)) => Val::Float64(f64::from_bits(*bits)),
        (Shape::Char, Value::Bits(bits)) => Val::Char(char::from_u32(*bits as u32).unwrap()),
        (Shape::Flags(names), Value::Bits(bits)) => {
            let set = names.iter().enumerate().filter(|(index, _)| bits >> index & 1 == 1);
            Val::Flags(set.map(|(_, name)| name.to_string()).collect())
        }
        (Shape::String, Value::Text(text)) => Val::String(text.clone()),
        (Shape::List(_), Value::Bytes(bytes)) => {
            Val::List(bytes.iter().map(|b| Val::U8(*b)).collect())
        }
        (Shape::List(of), Value::List(values)) => {
            Val::List(values.iter().map(|value| to_val(of, value)).collect())
        }
        (Shape::Tuple(types), Value::Fields(values)) => {
            Val::Tuple(types.iter().zip(values).map(|(ty, value)| to_val(ty, value)).collect())
        }
        (Shape::Record(fields), Value::Fields(values)) => {
            let field =
                |((name, ty), value): (&(Box<str>, Type), _)| (name.to_string(), to_val(ty, value));
            Val::Record(fields.iter().zip(values).map(field).collect())
        }
        (Shape::Variant(cases), Value::Case(index, payload)) => {
            let (name, ty) = &cases[*index as usize];
            Val::Variant(name.to_string(), boxed(ty, payload))
        }
        (Shape::Option(ty), Value::Case(_, payload)) => {
            Val::Option(boxed(&Some(ty.clone()), payload))
        }
        (Shape::Result(ok, _), Value::Case(0, payload)) => Val::Result(Ok(boxed(ok, payload))),
        (Shape::Result(_, err), Value::Case(_, payload)) => Val::Result(Err(boxed(err, payload))),
        (shape, value) => panic!("{value:?} is no {shape:?}"),
    }
}

/// What components live in that import nothing.
#[derive(Clone)]
struct Nothing;

impl Holds for Nothing {
    fn drop_resource<T: Send + 'static>(&self, _: Resource<T>) -> Answer<()> {
        Ok(())
    }
}

/// Calls the function of both engines and compares what they answer.
async fn compare(
    interpreted: &Interpreted<Nothing>,
    (engine, compiled): (&wasmtime::Engine, &Component),
    name: &str,
    params: Vec<(Type, Value)>,
    result: &Type,
) -> Value {
    let (_, index) = interpreted.exported_function(name).unwrap();
    let allowance = Allowance { memory_bytes_max: 4 << 20, deadline: Duration::from_secs(20) };
    let vals: Vec<Val> = params.iter().map(|(ty, value)| to_val(ty, value)).collect();
    let values = params.into_iter().map(|(_, value)| value).collect();
    let ours = interpreted.call(index, Nothing, allowance, values).await.unwrap().unwrap();

    let mut store = wasmtime::Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, compiled).unwrap();
    let function = instance.get_func(&mut store, name).unwrap();
    let mut theirs = [Val::Bool(false)];
    function.call(&mut store, &vals, &mut theirs).unwrap();
    assert_eq!(to_val(result, &ours), theirs[0], "{name} of {result}");
    ours
}

#[tokio::test]
async fn random_values_of_random_types_are_the_same_to_both_engines() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let ours = Engine::start(|_| Ok(())).unwrap();
    let theirs = wasmtime::Engine::default();
    let (mut flat, mut spilled, mut encoded) = (0, 0, 0);
    for _ in 0..400 {
        let ty = some_type(&mut random, 3);
        // With UTF-8 strings both engines ask for the same room in the same order, so that even
        // addresses are the same; of the others wasmtime guesses the size first.
        let encoding = ["utf8", "utf8", "utf16", "latin1+utf16"][random.below(4)];
        encoded += usize::from(encoding != "utf8");
        let text = component(&ty, encoding);
        let bytes = wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let interpreted = ours.load(&bytes).unwrap_or_else(|error| panic!("{error}\n{text}"));
        let compiled =
            Component::new(&theirs, &bytes).unwrap_or_else(|error| panic!("{error:#}\n{text}"));
        let (u64, ours, theirs) = (new(Shape::U64), &interpreted, (&theirs, &compiled));
        for _ in 0..4 {
            let value = some_value(&mut random, &ty);
            let pad_type = new(Shape::Tuple(vec![u64.clone(); 17].into()));
            let pad = Value::Fields((0..17).map(|_| Value::Bits(random.word())).collect());
            let wide_type = new(Shape::Tuple([ty.clone(), u64.clone(), u64.clone()].into()));
            let ends = [random.word(), random.word()].map(Value::Bits);
            let wide = Value::Fields([vec![value.clone()], ends.into()].concat());
            let params = vec![(pad_type, pad), (wide_type.clone(), wide.clone())];
            assert_eq!(compare(ours, theirs, "echo", params, &wide_type).await, wide);
            match ty.flat() {
                None => spilled += 1,
                Some(_) if encoding != "utf8" => {}
                Some(cells) => {
                    flat += 1;
                    let bits = new(Shape::Tuple(vec![u64.clone(); cells.len().max(2)].into()));
                    compare(ours, theirs, "flat", vec![(ty.clone(), value)], &bits).await;
                }
            }
        }
    }
    assert!(flat > 50 && spilled > 20, "{flat} flat, {spilled} in memory");
    assert!(encoded > 50, "{encoded} not in UTF-8");
}
