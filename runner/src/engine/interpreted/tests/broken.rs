//! Files that are no components, or not for this engine: refused with a sentence, never with a panic.

use super::*;

fn refusal(text: &str) -> String {
    load(text).err().unwrap().to_string()
}

#[test]
fn what_is_not_for_this_engine_is_refused_and_told_where_it_works() {
    let nested = r#"(component (import "a:b/c" (instance (export "inner" (instance)))))"#;
    let error = refusal(nested);
    assert!(error.contains("within") && error.contains("engine = \"pulley\""), "{error}");
}

#[test]
fn instructions_for_vectors_are_refused_and_told_where_they_work() {
    let vectors = r#"(component (core module
        (func (export "f") (result i32) (i32x4.extract_lane 0 (v128.const i32x4 1 2 3 4)))))"#;
    let error = refusal(vectors);
    assert!(error.contains("SIMD") && error.contains("engine = \"pulley\""), "{error}");
}

#[test]
fn what_is_for_no_engine_is_refused_by_name() {
    for (definition, what) in [
        ("(core func (canon error-context.drop))", "error contexts"),
        ("(core func (canon thread.index))", "threads"),
        (
            r#"(type $m (map string u32)) (import "f" (func (param "m" $m)))
            (core func (canon lower (func 0)))"#,
            "maps",
        ),
    ] {
        let error = refusal(&format!("(component {definition})"));
        assert!(error.contains(what) && error.contains("no engine of this build"), "{error}");
    }
}

#[test]
fn a_core_module_is_told_apart_from_a_component() {
    let error = refusal("(module)");
    assert!(error.contains("a core module, not a component"), "{error}");
}

#[test]
fn what_imports_components_has_to_be_composed_first() {
    let error = refusal(r#"(component (import "c" (component)))"#);
    assert!(error.contains("compose it first"), "{error}");
}

#[test]
fn a_component_that_unfolds_into_too_much_is_refused() {
    // Each holds the one before it twice: 2^20 instances from a few hundred bytes.
    let mut text = String::from("(component $c0)\n");
    for level in 1..=20 {
        let inner = level - 1;
        text += &format!(
            "(component $c{level} (alias outer 1 $c{inner} (component $x))
                (instance (instantiate $x)) (instance (instantiate $x)))\n"
        );
    }
    let error = refusal(&format!("(component {text} (instance (instantiate $c20)))"));
    assert!(error.contains("more than 256 components"), "{error}");
}

#[test]
fn a_component_cut_anywhere_is_refused() {
    let echo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/echo/echo.wasm");
    let whole = std::fs::read(echo).unwrap();
    let engine = engine();
    assert!(engine.load(&whole).is_ok());
    for end in (0..whole.len()).step_by(97) {
        assert!(engine.load(&whole[..end]).is_err(), "cut at {end}");
    }
}

#[test]
fn what_is_not_valid_is_refused_though_nobody_would_call_it() {
    for (part, why) in [
        ("(core module (func (result i32) (i64.const 1)))", "type mismatch"),
        (
            r#"(core module $m (func (export "f") (param i32)))
            (core instance $i (instantiate $m))
            (func (export "f") (result string) (canon lift (core func $i "f")))"#,
            "is required",
        ),
        (r#"(type (record (field "a" u8) (field "A" u8)))"#, "conflicts"),
    ] {
        let error = refusal(&format!("(component {part})"));
        assert!(error.contains("no valid component") && error.contains(why), "{error}");
    }
}
