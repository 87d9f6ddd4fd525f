//! Handles of the host's resources and of a component's own.

use super::*;

/// Every use of a host resource that a guest can think of, as exports.
const THINGS: &str = r#"(component
    (import "test:host/it@1.0.0" (instance $host
        (export "thing" (type $thing (sub resource)))
        (export "make" (func (result (own $thing))))
        (export "look" (func (param "thing" (borrow $thing))))
        (export "take" (func (param "thing" (own $thing))))))
    (alias export $host "thing" (type $thing))
    (core func $make (canon lower (func $host "make")))
    (core func $look (canon lower (func $host "look")))
    (core func $take (canon lower (func $host "take")))
    (core func $drop (canon resource.drop $thing))
    (core module $m
        (import "" "make" (func $make (result i32)))
        (import "" "look" (func $look (param i32)))
        (import "" "take" (func $take (param i32)))
        (import "" "drop" (func $drop (param i32)))
        (func (export "well") (local $t i32)
            (local.set $t (call $make))
            (call $look (local.get $t))
            (call $look (local.get $t))
            (call $drop (local.get $t))
            (call $take (call $make)))
        (func (export "twice") (local $t i32)
            (local.set $t (call $make))
            (call $drop (local.get $t))
            (call $drop (local.get $t)))
        (func (export "late") (local $t i32)
            (local.set $t (call $make))
            (call $take (local.get $t))
            (call $look (local.get $t)))
        (func (export "invented") (call $look (i32.const 5)))
        (func (export "many") (loop (drop (call $make)) (br 0))))
    (core instance $i (instantiate $m (with "" (instance
        (export "make" (func $make)) (export "look" (func $look))
        (export "take" (func $take)) (export "drop" (func $drop))))))
    (func (export "well") (canon lift (core func $i "well")))
    (func (export "twice") (canon lift (core func $i "twice")))
    (func (export "late") (canon lift (core func $i "late")))
    (func (export "invented") (canon lift (core func $i "invented")))
    (func (export "many") (canon lift (core func $i "many"))))"#;

#[tokio::test]
async fn a_guest_holds_lends_gives_and_drops_what_the_host_made() {
    let before = DROPPED.load(Relaxed);
    assert_eq!(call(THINGS, "well", vec![]).await, Ok(None));
    assert!(DROPPED.load(Relaxed) >= before + 2);
}

#[tokio::test]
async fn handles_that_a_guest_does_not_have_are_its_fault() {
    for name in ["twice", "late", "invented"] {
        traps(call(THINGS, name, vec![]).await, "which it does not have");
    }
    let result = call(THINGS, "many", vec![]).await;
    assert_eq!(result, Err(Fault::Limit("it held more than 1000 handles".into())));
}

/// A component with a resource of its own, and one that uses it. The resource is a number; its
/// destructor adds it up.
const OWN: &str = r#"(component
    (component $definer
        (core module $dtors
            (global $sum (export "sum") (mut i32) (i32.const 0))
            (func (export "dtor") (param i32)
                (global.set $sum (i32.add (global.get $sum) (local.get 0))))
            (func (export "total") (result i32) (global.get $sum)))
        (core instance $dtors (instantiate $dtors))
        (type $r' (resource (rep i32) (dtor (core func $dtors "dtor"))))
        (export $r "r" (type $r'))
        (core func $new (canon resource.new $r'))
        (core func $drop (canon resource.drop $r'))
        (core module $m
            (import "" "new" (func $new (param i32) (result i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "make") (param i32) (result i32) (call $new (local.get 0)))
            (func (export "get") (param i32) (result i32) (local.get 0))
            (func (export "end") (param i32) (call $drop (local.get 0))))
        (core instance $i (instantiate $m (with "" (instance
            (export "new" (func $new)) (export "drop" (func $drop))))))
        (func (export "make") (param "n" u32) (result (own $r))
            (canon lift (core func $i "make")))
        (func (export "get") (param "r" (borrow $r)) (result u32)
            (canon lift (core func $i "get")))
        (func (export "end") (param "r" (own $r)) (canon lift (core func $i "end")))
        (func (export "total") (result u32) (canon lift (core func $dtors "total"))))
    (component $keeper
        (import "r" (type $r (sub resource)))
        (core func $drop (canon resource.drop $r))
        (core module $m
            (import "" "drop" (func $drop (param i32)))
            (func (export "keep") (param i32))
            (func (export "give-back") (param i32) (call $drop (local.get 0))))
        (core instance $i (instantiate $m (with "" (instance (export "drop" (func $drop))))))
        (func (export "keep") (param "r" (borrow $r)) (canon lift (core func $i "keep")))
        (func (export "give-back") (param "r" (borrow $r))
            (canon lift (core func $i "give-back"))))
    (component $user
        (import "r" (type $r (sub resource)))
        (import "make" (func $make (param "n" u32) (result (own $r))))
        (import "get" (func $get (param "r" (borrow $r)) (result u32)))
        (import "end" (func $end (param "r" (own $r))))
        (import "total" (func $total (result u32)))
        (import "keep" (func $keep (param "r" (borrow $r))))
        (import "give-back" (func $give-back (param "r" (borrow $r))))
        (core func $make (canon lower (func $make)))
        (core func $get (canon lower (func $get)))
        (core func $end (canon lower (func $end)))
        (core func $total (canon lower (func $total)))
        (core func $keep (canon lower (func $keep)))
        (core func $give-back (canon lower (func $give-back)))
        (core func $drop (canon resource.drop $r))
        (core module $m
            (import "" "make" (func $make (param i32) (result i32)))
            (import "" "get" (func $get (param i32) (result i32)))
            (import "" "end" (func $end (param i32)))
            (import "" "total" (func $total (result i32)))
            (import "" "keep" (func $keep (param i32)))
            (import "" "give-back" (func $give-back (param i32)))
            (import "" "drop" (func $drop (param i32)))
            (func (export "well") (result i32) (local $a i32) (local $b i32)
                (local.set $a (call $make (i32.const 100)))
                (local.set $b (call $make (i32.const 20)))
                (call $give-back (local.get $a))
                (call $drop (local.get $a))
                (call $get (local.get $b))
                (call $end (local.get $b))
                (i32.add (call $total)))
            (func (export "kept") (call $keep (call $make (i32.const 1)))))
        (core instance $i (instantiate $m (with "" (instance
            (export "make" (func $make)) (export "get" (func $get)) (export "end" (func $end))
            (export "total" (func $total)) (export "keep" (func $keep))
            (export "give-back" (func $give-back)) (export "drop" (func $drop))))))
        (func (export "well") (result u32) (canon lift (core func $i "well")))
        (func (export "kept") (canon lift (core func $i "kept"))))
    (instance $d (instantiate $definer))
    (instance $k (instantiate $keeper (with "r" (type $d "r"))))
    (instance $u (instantiate $user
        (with "r" (type $d "r"))
        (with "make" (func $d "make")) (with "get" (func $d "get"))
        (with "end" (func $d "end")) (with "total" (func $d "total"))
        (with "keep" (func $k "keep")) (with "give-back" (func $k "give-back"))))
    (export "well" (func $u "well"))
    (export "kept" (func $u "kept")))"#;

#[tokio::test]
async fn a_resource_of_one_component_is_used_by_another_and_its_destructor_runs() {
    assert_eq!(call(OWN, "well", vec![]).await, Ok(Some(Value::Bits(20 + 120))));
}

#[tokio::test]
async fn a_borrowed_handle_has_to_be_given_back_before_the_call_returns() {
    traps(call(OWN, "kept", vec![]).await, "kept a handle that was only lent");
}
