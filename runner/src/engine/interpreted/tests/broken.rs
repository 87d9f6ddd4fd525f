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
    assert!(error.contains("more than 64 components"), "{error}");
}

#[test]
fn a_component_cut_anywhere_is_refused() {
    let whole = example("echo");
    let engine = engine();
    assert!(engine.load(&whole).is_ok());
    for end in (0..whole.len()).step_by(97) {
        assert!(engine.load(&whole[..end]).is_err(), "cut at {end}");
    }
}

/// Changes bytes here and there. What still loads is run, for a moment.
#[tokio::test]
async fn a_corrupted_component_is_refused_or_faults_and_never_panics() {
    let allowance = Allowance { memory_bytes_max: 1 << 20, deadline: Duration::from_millis(20) };
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let whole = example("echo");
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next() % 4 {
            let at = match next() % 2 {
                // The component's own sections are around its modules: most of them at the end.
                0 => whole.len() - 1 - next() % (whole.len() / 8),
                _ => next() % whole.len(),
            };
            bytes[at] = next() as u8;
        }
        let Ok(component) = engine().load(&bytes) else {
            refused += 1;
            continue;
        };
        loaded += 1;
        if let Some((_, index)) = component.exported_function("handle-message") {
            let metadata = Value::Fields(vec![Value::Text("t".into())]);
            let params = vec![Value::Bytes("x".into()), metadata];
            let _ = component.call(index, host(), allowance, params).await;
        }
    }
    assert!(loaded > 20 && refused > 20, "{loaded} loaded, {refused} refused");
}
