//! What ends a guest that wants too much: the same outcomes as with compiled code.

use super::*;

const GREEDY: &str = r#"(component
    (core module $m
        (memory 1)
        (table 1 funcref)
        (type $nothing (func))
        (func (export "spin") (loop (br 0)))
        (func $deep (export "deep") (call $deep))
        (func (export "grow")
            (loop (br_if 0 (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
            unreachable)
        (func (export "table")
            (drop (table.grow 0 (ref.null func) (i32.const 1000000)))
            (unreachable))
        (func (export "null") (call_indirect (type $nothing) (i32.const 0)))
        (func (export "far") (drop (i32.load (i32.const -4))))
        (func (export "zero") (drop (i32.div_u (i32.const 1) (i32.const 0)))))
    (core instance $i (instantiate $m))
    (func (export "spin") (canon lift (core func $i "spin")))
    (func (export "deep") (canon lift (core func $i "deep")))
    (func (export "grow") (canon lift (core func $i "grow")))
    (func (export "table") (canon lift (core func $i "table")))
    (func (export "null") (canon lift (core func $i "null")))
    (func (export "far") (canon lift (core func $i "far")))
    (func (export "zero") (canon lift (core func $i "zero"))))"#;

#[tokio::test]
async fn a_busy_guest_lets_the_loop_turn_and_ends_at_its_deadline() {
    let loaded = load(GREEDY).unwrap();
    let (_, index) = loaded.exported_function("spin").unwrap();
    let allowance = Allowance { deadline: Duration::from_millis(300), ..ALLOWANCE };
    let turns = AtomicU32::new(0);
    let neighbour = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            turns.fetch_add(1, Relaxed);
        }
    };
    let result = tokio::select! {
        result = loaded.call(index, Shelf::default(), allowance, vec![]) => result,
        () = neighbour => unreachable!("it never ends"),
    };
    assert_eq!(result, Err(Fault::Deadline(allowance.deadline)));
    assert!(turns.load(Relaxed) >= 2, "the neighbour never ran");
}

#[tokio::test]
async fn each_cap_ends_a_guest_with_its_own_outcome() {
    let fault = async |name| call(GREEDY, name, vec![]).await.unwrap_err();
    assert!(matches!(fault("deep").await, Fault::Stack { .. }));
    let bytes_max = ALLOWANCE.memory_bytes_max;
    assert_eq!(fault("grow").await, Fault::Memory { bytes_max, backtrace: vec![] });
    let table = fault("table").await;
    assert!(matches!(&table, Fault::Limit(limit) if limit.contains("32768 entries")), "{table}");
}

#[tokio::test]
async fn traps_have_the_words_of_compiled_code() {
    for (name, trap) in [
        ("null", wasmtime::Trap::IndirectCallToNull),
        ("far", wasmtime::Trap::MemoryOutOfBounds),
        ("zero", wasmtime::Trap::IntegerDivisionByZero),
    ] {
        traps(call(GREEDY, name, vec![]).await, &format!("it trapped: {trap}"));
    }
}

#[tokio::test]
async fn an_instance_that_starts_beyond_its_memory_does_not_start() {
    let text = r#"(component
        (core module $m (memory 100) (func (export "run")))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#;
    assert!(matches!(call(text, "run", vec![]).await, Err(Fault::Memory { .. })));
}
