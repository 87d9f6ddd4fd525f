//! What components and instances take of this machine's memory, measured. Other tests may run beside these and take some
//! too, so what is asked for is much.

use super::*;

const MIB: usize = 1 << 20;

/// What this process has in memory.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * rustix::param::page_size()
}

/// 64 MiB, of which it uses two places: near the beginning, and the last byte.
const LARGE: &str = r#"
    (import "libc" "memory" (memory 1024))
    (func (export "run") (param $ms i32) (result i32)
        (i32.store (i32.const 0x12345) (i32.const 7))
        (i32.store8 (i32.const 0x3ffffff) (i32.const 11))
        (drop (call $wait (local.get $ms)))
        (i32.add
            (i32.add (i32.load (i32.const 0x12345)) (i32.load (i32.const 0x12000)))
            (i32.add (i32.load8_u (i32.const 0x3ffffff)) (i32.load (i32.const 0x2000000)))))"#;

fn large() -> String {
    format!(
        r#"(component
        (import "test:host/it@1.0.0" (instance $host
            (export "wait" (func (param "ms" u32) (result u32)))))
        (core module $libc (memory (export "memory") 1024))
        (core instance $libc (instantiate $libc))
        (core func $wait (canon lower (func $host "wait")))
        (core module $main
            (import "it" "wait" (func $wait (param i32) (result i32)))
            {LARGE})
        (core instance $main (instantiate $main
            (with "libc" (instance $libc))
            (with "it" (instance (export "wait" (func $wait))))))
        (func (export "run") (param "ms" u32) (result u32)
            (canon lift (core func $main "run"))))"#
    )
}

#[tokio::test]
async fn a_guest_that_waits_keeps_only_the_pages_it_uses_and_finds_all_as_it_was() {
    let loaded = load(&large()).unwrap();
    let (_, index) = loaded.exported_function("run").unwrap();
    let allowance = Allowance { memory_bytes_max: 128 * MIB, ..ALLOWANCE };
    let before = resident_bytes();
    let guest = loaded.call(index, Shelf::default(), allowance, vec![Value::Bits(1_000)]);
    let mut guest = std::pin::pin!(guest);
    let soon = tokio::time::timeout(Duration::from_millis(600), guest.as_mut()).await;
    assert!(soon.is_err(), "it did not wait");
    let waiting = resident_bytes().saturating_sub(before);
    assert!(waiting < 24 * MIB, "it takes {waiting} bytes while it waits");
    assert_eq!(guest.await, Ok(Some(Value::Bits(18))));
}

#[test]
fn a_component_that_is_gone_leaves_nothing_behind() {
    let code = "nop ".repeat(64 << 10);
    let text = format!(
        r#"(component (core module $m (func (export "run") {code}))
        (core instance $i (instantiate $m))
        (func (export "run") (canon lift (core func $i "run"))))"#
    );
    let (bytes, engine) = (wat::parse_str(text).unwrap(), engine());
    engine.load(&bytes).unwrap();
    let before = resident_bytes();
    (0..1_000).for_each(|_| drop(engine.load(&bytes).unwrap()));
    let left = resident_bytes().saturating_sub(before);
    assert!(left < 24 * MIB, "{left} bytes are left of a thousand components of 64 KiB");
}
