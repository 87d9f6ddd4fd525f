//! Values and calls across the borders of components, their hosts and each other.

use super::*;

/// A component whose one core module is `module`, with what all of these need: a memory, a `realloc`
/// that takes the next place, and the test's interface lowered as `host`.
fn with_host(module: &str, exports: &str) -> String {
    format!(
        r#"(component
        (import "test:host/it@1.0.0" (instance $host
            (export "double" (func (param "n" u32) (result u32)))
            (export "shout" (func (param "text" string) (result string)))
            (export "wait" (func (param "ms" u32) (result u32)))
            (export "fail" (func))))
        (core module $libc
            (memory (export "memory") 1)
            (global $next (mut i32) (i32.const 1024))
            (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and
                    (i32.add (global.get $next) (i32.sub (local.get 2) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get 2))))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3)))))
        (core instance $libc (instantiate $libc))
        (core func $double (canon lower (func $host "double")))
        (core func $wait (canon lower (func $host "wait")))
        (core func $fail (canon lower (func $host "fail")))
        (core func $shout (canon lower (func $host "shout")
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $main {module})
        (core instance $main (instantiate $main
            (with "libc" (instance $libc))
            (with "host" (instance
                (export "double" (func $double)) (export "wait" (func $wait))
                (export "fail" (func $fail)) (export "shout" (func $shout))))))
        {exports})"#
    )
}

#[tokio::test]
async fn a_string_goes_through_guest_and_host_and_comes_back() {
    let text = with_host(
        r#"(import "host" "shout" (func $shout (param i32 i32 i32)))
        (func (export "run") (param i32 i32) (result i32)
            (call $shout (local.get 0) (local.get 1) (i32.const 16))
            (i32.const 16))"#,
        r#"(func (export "run") (param "text" string) (result string)
            (canon lift (core func $main "run")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))"#,
    );
    let result = call(&text, "run", vec![Value::Text("zażółć 🦀".into())]).await.unwrap();
    assert_eq!(result, Some(Value::Text("ZAŻÓŁĆ 🦀".into())));
}

const WAITS: &str = r#"(import "host" "wait" (func $wait (param i32) (result i32)))
    (import "host" "double" (func $double (param i32) (result i32)))
    (global $waited (mut i32) (i32.const 0))
    (func $start (global.set $waited (call $wait (i32.const 1000))))
    (start $start)
    (func (export "run") (param i32) (result i32)
        (i32.add (call $double (call $wait (local.get 0))) (global.get $waited)))"#;
const WAITS_EXPORT: &str =
    r#"(func (export "run") (param "ms" u32) (result u32) (canon lift (core func $main "run")))"#;

#[tokio::test(start_paused = true)]
async fn a_guest_waits_in_a_call_and_in_its_start_function_without_stopping_the_loop() {
    let text = with_host(WAITS, WAITS_EXPORT);
    let begun = tokio::time::Instant::now();
    let guest = call(&text, "run", vec![Value::Bits(3000)]);
    let neighbour = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        begun.elapsed()
    };
    let (result, neighbours) = tokio::join!(guest, neighbour);
    assert_eq!(result.unwrap(), Some(Value::Bits(7000)));
    assert_eq!(neighbours.as_millis(), 500);
    assert_eq!(begun.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_wait_past_the_deadline_ends_there() {
    let loaded = load(&with_host(WAITS, WAITS_EXPORT)).unwrap();
    let (_, index) = loaded.exported_function("run").unwrap();
    let result =
        loaded.call(index, Shelf::default(), ALLOWANCE, vec![Value::Bits(3_600_000)]).await;
    assert_eq!(result, Err(Fault::Deadline(ALLOWANCE.deadline)));
}

#[tokio::test]
async fn what_a_capability_ends_a_guest_for_is_the_outcome() {
    let text = with_host(
        r#"(import "host" "fail" (func $fail)) (func (export "run") (call $fail))"#,
        r#"(func (export "run") (canon lift (core func $main "run")))"#,
    );
    let result = call(&text, "run", vec![]).await;
    assert_eq!(result, Err(Fault::Limit("it asked for too much".into())));
}

#[tokio::test]
async fn nobody_is_called_while_a_guest_allocates_or_cleans_up() {
    let module = r#"(import "host" "double" (func $double (param i32) (result i32)))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (call $double (i32.const 512)))
        (func (export "spin") (param i32 i32 i32 i32) (result i32) (loop (br 0)) unreachable)
        (func (export "after") (drop (call $double (i32.const 1))))
        (func (export "take") (param i32 i32))
        (func (export "run"))"#;
    let exports = r#"
        (func (export "allocates") (param "text" string) (canon lift (core func $main "take")
            (memory (core memory $libc "memory")) (realloc (core func $main "realloc"))))
        (func (export "spins") (param "text" string) (canon lift (core func $main "take")
            (memory (core memory $libc "memory")) (realloc (core func $main "spin"))))
        (func (export "cleans-up") (canon lift (core func $main "run")
            (post-return (core func $main "after"))))"#;
    let text = with_host(module, exports);
    let some_text = || vec![Value::Text("text".into())];
    traps(call(&text, "allocates", some_text()).await, "called an import where it may not");
    traps(call(&text, "spins", some_text()).await, "`realloc` did not return");
    traps(call(&text, "cleans-up", vec![]).await, "called an import where it may not");
}

/// Two components: the inner one doubles the length of a list by its own means, the outer one calls it
/// with what it got. Each has a memory of its own.
const COMPOSED: &str = r#"(component
    (component $inner
        (core module $m
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
            (func (export "twice") (param i32 i32) (result i32)
                (memory.copy (i32.add (local.get 0) (local.get 1)) (local.get 0) (local.get 1))
                (i32.store (i32.const 8) (local.get 0))
                (i32.store (i32.const 12) (i32.mul (local.get 1) (i32.const 2)))
                (i32.const 8)))
        (core instance $i (instantiate $m))
        (func (export "twice") (param "bytes" (list u8)) (result (list u8))
            (canon lift (core func $i "twice") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
    (component $outer
        (import "twice" (func $twice (param "bytes" (list u8)) (result (list u8))))
        (core module $libc
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 128)))
        (core instance $libc (instantiate $libc))
        (core func $lowered (canon lower (func $twice)
            (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
        (core module $m
            (import "" "twice" (func $twice (param i32 i32 i32)))
            (func (export "run") (param i32 i32) (result i32)
                (call $twice (local.get 0) (local.get 1) (i32.const 16))
                (i32.const 16)))
        (core instance $i (instantiate $m
            (with "" (instance (export "twice" (func $lowered))))))
        (func (export "run") (param "bytes" (list u8)) (result (list u8))
            (canon lift (core func $i "run")
                (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))
    (instance $i (instantiate $inner))
    (instance $o (instantiate $outer (with "twice" (func $i "twice"))))
    (export "run" (func $o "run")))"#;

#[tokio::test]
async fn components_within_a_component_call_each_other() {
    let result = call(COMPOSED, "run", vec![Value::Bytes("abc".into())]).await.unwrap();
    assert_eq!(result, Some(Value::Bytes("abcabc".into())));
}

#[tokio::test]
async fn an_import_that_is_not_offered_traps_when_it_is_called_and_not_before() {
    let text = r#"(component
        (import "test:nobody/there@1.0.0" (instance $n (export "f" (func))))
        (core func $f (canon lower (func $n "f")))
        (core module $m
            (import "" "f" (func $f))
            (func (export "good"))
            (func (export "bad") (call $f)))
        (core instance $i (instantiate $m (with "" (instance (export "f" (func $f))))))
        (func (export "good") (canon lift (core func $i "good")))
        (func (export "bad") (canon lift (core func $i "bad"))))"#;
    assert_eq!(load(text).unwrap().missing_imports(), ["test:nobody/there@1.0.0#f"]);
    assert_eq!(call(text, "good", vec![]).await, Ok(None));
    let sentence = "it called `test:nobody/there@1.0.0#f`, which this build does not offer";
    traps(call(text, "bad", vec![]).await, sentence);
}

#[tokio::test]
async fn an_import_of_another_type_or_of_another_version_is_told_apart() {
    let import = |version: &str, result: &str| {
        format!(
            r#"(component (import "test:host/it@{version}" (instance
                (export "double" (func (param "n" u32) (result {result}))))))"#
        )
    };
    assert!(load(&import("1.0.0", "u32")).is_ok());
    assert!(load(&import("1.7.3", "u32")).unwrap().missing_imports().is_empty());
    assert_eq!(load(&import("2.0.0", "u32")).unwrap().missing_imports().len(), 1);
    let error = load(&import("1.0.0", "string")).err().unwrap().to_string();
    assert!(error.contains("`test:host/it@1.0.0#double` has another type"), "{error}");
}
