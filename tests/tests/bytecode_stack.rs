//! The interpreter of bytecode goes from one instruction to the next by calls in tail position, and stable
//! Rust does not promise that such a call leaves no frame behind: `cross/targets/pirnd` builds it so that none does,
//! and this holds it to that. Each kind of instruction has a loop of its own, of so many rounds that the
//! smallest frame left behind in each would be more than the whole stack.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use pirn_tests::apps::ScratchApp;
use pirn_tests::process::run;

/// Eight bytes in every round are more than the half mebibyte of stack that a guest runs on.
const ROUNDS: u32 = 100_000;

const INTEGERS: [&str; 2] = ["i32", "i64"];
const FLOATS: [&str; 2] = ["f32", "f64"];
const INTEGER_LANES: [&str; 4] = ["i8x16", "i16x8", "i32x4", "i64x2"];
const FLOAT_LANES: [&str; 2] = ["f32x4", "f64x2"];

/// An instruction: the types of its operands and of its result.
struct Instruction {
    text: String,
    operands: Vec<&'static str>,
    result: &'static str,
}

#[test]
fn a_loop_of_any_instruction_leaves_nothing_on_the_stack_of_the_bytecode_interpreter() {
    let app = ScratchApp::with_manifest(
        "spin_manifest_version = 2\n[application]\nname = \"scratch\"\n\
         [[trigger.timer]]\ncomponent = \"loops\"\ninterval = \"1h\"\n\
         [component.loops]\nsource = \"loops.wasm\"\n\
         [component.loops.tool.pirn]\nengine = \"pulley\"\ndeadline = \"60s\"\n",
    );
    let component = wat::parse_str(component()).unwrap();
    std::fs::write(app.file("loops.wasm"), component).unwrap();
    let ended = run(&mut app.built().pirnd(&["invoke", "loops", "--tick"]));
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
}

fn component() -> String {
    let instructions = instructions();
    let mut functions = String::new();
    let mut calls = String::new();
    for (number, instruction) in instructions.iter().enumerate() {
        functions += &function(number, instruction);
        let _ = write!(calls, "(call $loop{number})");
    }
    format!(
        "(component
            (core module $m
                (memory 1)
                (global $g (mut i64) (i64.const 0))
                (table 4 4 funcref)
                (elem (i32.const 0) $leaf $leaf $leaf $leaf)
                (type $leaf (func (param i32) (result i32)))
                (func $leaf (type $leaf) (i32.add (local.get 0) (i32.const 1)))
                {functions}
                (func (export \"tick\") {calls}))
            (core instance $i (instantiate $m))
            (func (export \"handle-timer-request\") (canon lift (core func $i \"tick\"))))"
    )
}

/// A loop around it. Operands come from the counter and the result goes to memory, so that the compiler can
/// neither do it once for all rounds nor leave it out.
fn function(number: usize, Instruction { text, operands, result }: &Instruction) -> String {
    let operands: String = operands.iter().map(|operand| from_counter(operand)).collect();
    format!(
        "(func $loop{number} (local $n i32)
            (local.set $n (i32.const {ROUNDS}))
            (loop $again
                (i32.const 1024)
                {operands}
                {text}
                {result}.store
                (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))"
    )
}

fn from_counter(operand: &str) -> &'static str {
    match operand {
        "i32" => "(local.get $n)",
        "i64" => "(i64.extend_i32_u (local.get $n))",
        "f32" => "(f32.convert_i32_u (local.get $n))",
        "f64" => "(f64.convert_i32_u (local.get $n))",
        "v128" => "(i32x4.splat (local.get $n))",
        "address" => "(i32.and (local.get $n) (i32.const 255))",
        other => panic!("no operand of type {other}"),
    }
}

fn instructions() -> Vec<Instruction> {
    let mut all = Vec::new();
    for ty in INTEGERS {
        integers(&mut all, ty);
        memory(&mut all, ty);
    }
    for ty in FLOATS {
        floats(&mut all, ty);
    }
    conversions(&mut all);
    control(&mut all);
    vectors(&mut all);
    all
}

fn add(
    all: &mut Vec<Instruction>,
    prefix: &str,
    names: &str,
    operands: &[&'static str],
    result: &'static str,
) {
    all.extend(names.split_whitespace().map(|name| Instruction {
        text: format!("{prefix}.{name}"),
        operands: operands.to_vec(),
        result,
    }));
}

fn integers(all: &mut Vec<Instruction>, ty: &'static str) {
    let two = "add sub mul div_s div_u rem_s rem_u and or xor shl shr_s shr_u rotl rotr";
    let compare = "eq ne lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u";
    add(all, ty, two, &[ty, ty], ty);
    add(all, ty, compare, &[ty, ty], "i32");
    add(all, ty, "eqz", &[ty], "i32");
    add(all, ty, "clz ctz popcnt extend8_s extend16_s", &[ty], ty);
}

fn floats(all: &mut Vec<Instruction>, ty: &'static str) {
    add(all, ty, "add sub mul div min max copysign", &[ty, ty], ty);
    add(all, ty, "eq ne lt gt le ge", &[ty, ty], "i32");
    add(all, ty, "abs neg ceil floor trunc nearest sqrt", &[ty], ty);
    add(all, ty, "load", &["address"], ty);
}

fn memory(all: &mut Vec<Instruction>, ty: &'static str) {
    add(all, ty, "load load8_s load8_u load16_s load16_u", &["address"], ty);
    for width in ["8", "16"] {
        let text = format!("{ty}.store{width} ({ty}.const 1)");
        all.push(Instruction { text, operands: vec!["address", ty], result: ty });
    }
}

fn conversions(all: &mut Vec<Instruction>) {
    add(all, "i32", "wrap_i64", &["i64"], "i32");
    add(all, "i64", "extend_i32_s extend_i32_u", &["i32"], "i64");
    add(all, "i64", "extend32_s", &["i64"], "i64");
    add(all, "f32", "demote_f64", &["f64"], "f32");
    add(all, "f64", "promote_f32", &["f32"], "f64");
    add(all, "f32", "reinterpret_i32", &["i32"], "f32");
    add(all, "f64", "reinterpret_i64", &["i64"], "f64");
    add(all, "i32", "reinterpret_f32", &["f32"], "i32");
    add(all, "i64", "reinterpret_f64", &["f64"], "i64");
    for integer in INTEGERS {
        for float in FLOATS {
            for sign in ["s", "u"] {
                let to = format!("trunc_{float}_{sign} trunc_sat_{float}_{sign}");
                add(all, integer, &to, &[float], integer);
                add(all, float, &format!("convert_{integer}_{sign}"), &[integer], float);
            }
        }
    }
}

fn control(all: &mut Vec<Instruction>) {
    let mut one = |text: &str, operands: &[&'static str], result| {
        all.push(Instruction { text: text.into(), operands: operands.to_vec(), result });
    };
    one("(call $leaf)", &["i32"], "i32");
    one("(call_indirect (type $leaf) (i32.and (local.get $n) (i32.const 3)))", &["i32"], "i32");
    one("(if (result i32) (then (i32.const 5)) (else (i32.const 6)))", &["i32"], "i32");
    one("(select (local.get $n))", &["i32", "i32"], "i32");
    one("(select (local.get $n))", &["i64", "i64"], "i64");
    one("(select (local.get $n))", &["f32", "f32"], "f32");
    one("(select (local.get $n))", &["f64", "f64"], "f64");
    one("(global.set $g) (global.get $g)", &["i64"], "i64");
    one("(memory.size)", &[], "i32");
    one("(ref.is_null (table.get 0 (i32.and (local.get $n) (i32.const 3))))", &[], "i32");
    one(
        "(block $c (result i32) (block $b (block $a
            (br_table $a $b $a $b (i32.and (local.get $n) (i32.const 3))))
            (br $c (i32.const 7))) (i32.const 8))",
        &[],
        "i32",
    );
}

fn vectors(all: &mut Vec<Instruction>) {
    const V: &str = "v128";
    add(all, V, "and or xor andnot", &[V, V], V);
    add(all, V, "not", &[V], V);
    add(all, V, "any_true", &[V], "i32");
    add(all, V, "bitselect", &[V, V, V], V);
    add(all, V, "load load8_splat load16_splat load32_splat load64_splat", &["address"], V);
    add(all, V, "load8x8_s load8x8_u load16x4_s load32x2_u load32_zero", &["address"], V);
    for lanes in INTEGER_LANES {
        add(all, lanes, "add sub eq ne lt_s gt_s le_s ge_s", &[V, V], V);
        add(all, lanes, "abs neg", &[V], V);
        add(all, lanes, "shl shr_s shr_u", &[V, "i32"], V);
        add(all, lanes, "all_true bitmask", &[V], "i32");
    }
    for lanes in ["i8x16", "i16x8", "i32x4"] {
        add(all, lanes, "min_s min_u max_s max_u lt_u gt_u", &[V, V], V);
        add(all, lanes, "splat", &["i32"], V);
    }
    for lanes in ["i8x16", "i16x8"] {
        add(all, lanes, "add_sat_s add_sat_u sub_sat_s sub_sat_u avgr_u", &[V, V], V);
    }
    for lanes in FLOAT_LANES {
        add(all, lanes, "add sub mul div min max pmin pmax eq ne lt gt le ge", &[V, V], V);
        add(all, lanes, "abs neg sqrt ceil floor trunc nearest", &[V], V);
    }
    add(all, "i8x16", "swizzle narrow_i16x8_s narrow_i16x8_u", &[V, V], V);
    add(all, "i8x16", "popcnt", &[V], V);
    add(all, "i16x8", "mul q15mulr_sat_s narrow_i32x4_s extmul_low_i8x16_s", &[V, V], V);
    add(all, "i16x8", "extend_low_i8x16_s extend_high_i8x16_u extadd_pairwise_i8x16_s", &[V], V);
    add(all, "i32x4", "mul dot_i16x8_s extmul_high_i16x8_u", &[V, V], V);
    add(all, "i32x4", "trunc_sat_f32x4_s trunc_sat_f32x4_u extend_low_i16x8_u", &[V], V);
    add(all, "i64x2", "mul", &[V, V], V);
    add(all, "i64x2", "splat", &["i64"], V);
    add(all, "f32x4", "convert_i32x4_s convert_i32x4_u demote_f64x2_zero", &[V], V);
    add(all, "f64x2", "promote_low_f32x4 convert_low_i32x4_s", &[V], V);
}
