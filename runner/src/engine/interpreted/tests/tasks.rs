//! Async components by hand: what they wait for, what they read, and how they go wrong.

use super::*;

/// A component whose one core module is `module`, which has everything that async components may call.
/// Its `run` is lifted with a callback, its `stay` without: that one waits where it stands.
fn asynchronous(module: &str) -> String {
    format!(
        r#"(component
        (import "test:host/it@1.0.0" (instance $host
            (export "wait" (func async (param "ms" u32) (result u32)))
            (export "add" (func async (param "a" u32) (param "b" u32) (param "c" u32)
                (param "d" u32) (param "e" u32) (result u32)))
            (export "count" (func async (param "to" u32)
                (result (tuple (stream u32) (future (result (error string)))))))
            (export "thing" (type $thing (sub resource)))
            (export "make" (func (result (own $thing))))
            (export "look-slowly" (func async (param "thing" (borrow $thing)) (result u32)))))
        (alias export $host "thing" (type $thing))
        (type $items (stream u32))
        (type $end (future (result (error string))))
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
        (alias core export $libc "memory" (core memory $memory))
        (alias core export $libc "realloc" (core func $realloc))
        (core func $wait (canon lower (func $host "wait") async (memory $memory)))
        (core func $wait-here (canon lower (func $host "wait")))
        (core func $add (canon lower (func $host "add") async (memory $memory)))
        (core func $count (canon lower (func $host "count") async (memory $memory)))
        (core func $make (canon lower (func $host "make")))
        (core func $look (canon lower (func $host "look-slowly") async (memory $memory)))
        (core func $drop-thing (canon resource.drop $thing))
        (core func $return (canon task.return (result u32)))
        (core func $return-text (canon task.return (result string) (memory $memory)))
        (core func $task-cancel (canon task.cancel))
        (core func $get (canon context.get i32 0))
        (core func $set (canon context.set i32 0))
        (core func $yield (canon thread.yield))
        (core func $new-set (canon waitable-set.new))
        (core func $wait-in (canon waitable-set.wait (memory $memory)))
        (core func $poll-in (canon waitable-set.poll (memory $memory)))
        (core func $drop-set (canon waitable-set.drop))
        (core func $join (canon waitable.join))
        (core func $cancel (canon subtask.cancel))
        (core func $drop-call (canon subtask.drop))
        (core func $new (canon stream.new $items))
        (core func $read (canon stream.read $items async (memory $memory)))
        (core func $close (canon stream.drop-readable $items))
        (core func $read-end (canon future.read $end async (memory $memory) (realloc $realloc)))
        (core func $close-end (canon future.drop-readable $end))
        (core module $main
            (import "libc" "memory" (memory 1))
            (import "it" "wait" (func $wait (param i32 i32) (result i32)))
            (import "it" "wait-here" (func $wait-here (param i32) (result i32)))
            (import "it" "add" (func $add (param i32 i32) (result i32)))
            (import "it" "count" (func $count (param i32 i32) (result i32)))
            (import "it" "make" (func $make (result i32)))
            (import "it" "look" (func $look (param i32 i32) (result i32)))
            (import "it" "drop-thing" (func $drop-thing (param i32)))
            (import "it" "return" (func $return (param i32)))
            (import "it" "return-text" (func $return-text (param i32 i32)))
            (import "it" "task-cancel" (func $task-cancel))
            (import "it" "get" (func $get (result i32)))
            (import "it" "set" (func $set (param i32)))
            (import "it" "yield" (func $yield (result i32)))
            (import "it" "new-set" (func $new-set (result i32)))
            (import "it" "wait-in" (func $wait-in (param i32 i32) (result i32)))
            (import "it" "poll-in" (func $poll-in (param i32 i32) (result i32)))
            (import "it" "drop-set" (func $drop-set (param i32)))
            (import "it" "join" (func $join (param i32 i32)))
            (import "it" "cancel" (func $cancel (param i32) (result i32)))
            (import "it" "drop-call" (func $drop-call (param i32)))
            (import "it" "new" (func $new (result i64)))
            (import "it" "read" (func $read (param i32 i32 i32) (result i32)))
            (import "it" "close" (func $close (param i32)))
            (import "it" "read-end" (func $read-end (param i32 i32) (result i32)))
            (import "it" "close-end" (func $close-end (param i32)))
            (func $callback (export "callback") (param $code i32) (param $index i32) (param $what i32)
                (result i32) (call $event (local.get $code) (local.get $index) (local.get $what)))
            {module})
        (core instance $main (instantiate $main
            (with "libc" (instance $libc))
            (with "it" (instance
                (export "wait" (func $wait)) (export "wait-here" (func $wait-here))
                (export "add" (func $add)) (export "count" (func $count))
                (export "make" (func $make)) (export "look" (func $look))
                (export "drop-thing" (func $drop-thing))
                (export "return" (func $return)) (export "return-text" (func $return-text))
                (export "task-cancel" (func $task-cancel))
                (export "get" (func $get)) (export "set" (func $set)) (export "yield" (func $yield))
                (export "new-set" (func $new-set)) (export "wait-in" (func $wait-in))
                (export "poll-in" (func $poll-in)) (export "drop-set" (func $drop-set))
                (export "join" (func $join)) (export "cancel" (func $cancel))
                (export "drop-call" (func $drop-call)) (export "new" (func $new))
                (export "read" (func $read)) (export "close" (func $close))
                (export "read-end" (func $read-end)) (export "close-end" (func $close-end))))))
        (func (export "run") async (param "n" u32) (result u32)
            (canon lift (core func $main "run") async (callback (core func $main "callback"))))
        (func (export "stay") async (param "n" u32) (result u32)
            (canon lift (core func $main "stay") async)))"#
    )
}

/// The parts of the module that a test does not need.
const NO_EVENT: &str = "(func $event (param i32 i32 i32) (result i32) unreachable)";
const NO_STAY: &str = r#"(func (export "stay") (param i32))"#;

/// What `run` answers, with this body and without callbacks: `$n` is its parameter.
async fn run(body: &str) -> Result<Option<Value>, Fault> {
    let run = format!(r#"(func (export "run") (param $n i32) (result i32) {body})"#);
    call(&asynchronous(&[NO_EVENT, NO_STAY, &run].concat()), "run", vec![Value::Bits(3)]).await
}

/// Starts two calls at once, the second of which is done first, and adds up what both said.
const TWO_AT_ONCE: &str = r#"
    (global $set (mut i32) (i32.const 0))
    (global $left (mut i32) (i32.const 2))
    (func $start (param $ms i32) (param $at i32) (result i32) (local $call i32)
        (local.set $call (call $wait (local.get $ms) (local.get $at)))
        ;; Both take a while, so both are under way.
        (if (i32.ne (i32.and (local.get $call) (i32.const 15)) (i32.const 1)) (then unreachable))
        (local.set $call (i32.shr_u (local.get $call) (i32.const 4)))
        (call $join (local.get $call) (global.get $set))
        (local.get $call))
    (func (export "run") (param $n i32) (result i32)
        (call $set (i32.const 77))
        (global.set $set (call $new-set))
        (drop (call $start (i32.const 3000) (i32.const 16)))
        (drop (call $start (i32.const 1000) (i32.const 20)))
        (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))
    (func $event (param $code i32) (param $index i32) (param $what i32) (result i32)
        (if (i32.ne (local.get $code) (i32.const 1)) (then unreachable))
        (if (i32.ne (local.get $what) (i32.const 2)) (then unreachable))
        (if (i32.ne (call $get) (i32.const 77)) (then unreachable))
        (call $drop-call (local.get $index))
        (global.set $left (i32.sub (global.get $left) (i32.const 1)))
        (if (global.get $left)
            (then (return (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))))
        (call $drop-set (global.get $set))
        (call $return (i32.add (i32.load (i32.const 16)) (i32.load (i32.const 20))))
        (i32.const 0))"#;

#[tokio::test(start_paused = true)]
async fn calls_in_the_background_take_as_long_as_the_longest_of_them() {
    let begun = tokio::time::Instant::now();
    let text = asynchronous(&[TWO_AT_ONCE, NO_STAY].concat());
    let result = call(&text, "run", vec![Value::Bits(0)]).await;
    assert_eq!(result, Ok(Some(Value::Bits(4000))));
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_function_without_a_callback_waits_where_it_stands() {
    let stay = r#"(func (export "run") (param i32) (result i32) unreachable)
        (func (export "stay") (param $n i32) (local $set i32) (local $call i32)
            (local.set $set (call $new-set))
            (local.set $call (i32.shr_u (call $wait (local.get $n) (i32.const 16)) (i32.const 4)))
            (call $join (local.get $call) (local.get $set))
            ;; Nothing yet.
            (if (call $poll-in (local.get $set) (i32.const 32)) (then unreachable))
            (if (i32.ne (call $wait-in (local.get $set) (i32.const 32)) (i32.const 1))
                (then unreachable))
            (if (i32.ne (i32.load (i32.const 32)) (local.get $call)) (then unreachable))
            (call $drop-call (i32.load (i32.const 32)))
            (drop (call $yield))
            ;; The status, and what the host said.
            (call $return (i32.add (i32.mul (i32.load (i32.const 36)) (i32.const 10000))
                (i32.add (i32.load (i32.const 16)) (call $wait-here (i32.const 5))))))"#;
    let text = asynchronous(&[NO_EVENT, stay].concat());
    let result = call(&text, "stay", vec![Value::Bits(1000)]).await;
    assert_eq!(result, Ok(Some(Value::Bits(21005))));
}

#[tokio::test]
async fn a_call_that_needs_no_time_has_its_result_at_once_and_many_parameters_are_in_memory() {
    let result = run(r#"
        (i32.store (i32.const 16) (i32.const 1)) (i32.store (i32.const 20) (i32.const 20))
        (i32.store (i32.const 24) (i32.const 300)) (i32.store (i32.const 28) (i32.const 4000))
        (i32.store (i32.const 32) (i32.const 50000))
        (if (i32.ne (call $add (i32.const 16) (i32.const 40)) (i32.const 2)) (then unreachable))
        (call $return (i32.load (i32.const 40)))
        (i32.const 0)"#)
    .await;
    assert_eq!(result, Ok(Some(Value::Bits(54321))));
}

#[tokio::test]
async fn a_stream_is_read_to_its_end_and_the_future_says_how_it_ended() {
    // 1, 2 and 3; read two at most, then what is left, then that there is no more.
    let result = run(r#"(local $items i32) (local $end i32) (local $sum i32)
        (if (i32.ne (call $count (local.get $n) (i32.const 16)) (i32.const 2)) (then unreachable))
        (local.set $items (i32.load (i32.const 16)))
        (local.set $end (i32.load (i32.const 20)))
        (if (i32.ne (call $read (local.get $items) (i32.const 32) (i32.const 2)) (i32.const 0x20))
            (then unreachable))
        (local.set $sum (i32.add (i32.load (i32.const 32)) (i32.load (i32.const 36))))
        (if (i32.ne (call $read (local.get $items) (i32.const 32) (i32.const 2)) (i32.const 0x10))
            (then unreachable))
        (local.set $sum (i32.add (local.get $sum) (i32.mul (i32.load (i32.const 32)) (i32.const 10))))
        (if (i32.ne (call $read (local.get $items) (i32.const 32) (i32.const 2)) (i32.const 1))
            (then unreachable))
        (call $close (local.get $items))
        (i32.store8 (i32.const 48) (i32.const 9))
        (if (call $read-end (local.get $end) (i32.const 48)) (then unreachable))
        (call $close-end (local.get $end))
        (call $return (i32.add (local.get $sum) (i32.load8_u (i32.const 48))))
        (i32.const 0)"#)
    .await;
    assert_eq!(result, Ok(Some(Value::Bits(33))));
}

#[tokio::test]
async fn a_stream_may_be_dropped_unread_but_not_read_after_its_end() {
    let count = "(drop (call $count (i32.const 0) (i32.const 16)))";
    let unread = format!(
        r#"{count} (call $close (i32.load (i32.const 16))) (call $close-end (i32.load (i32.const 20)))
        (call $return (i32.const 5)) (i32.const 0)"#
    );
    assert_eq!(run(&unread).await, Ok(Some(Value::Bits(5))));
    let read = "(drop (call $read (i32.load (i32.const 16)) (i32.const 32) (i32.const 2)))";
    traps(run(&format!("{count} {read} {read} unreachable")).await, "after its end");
    let as_end = "(drop (call $read-end (i32.load (i32.const 16)) (i32.const 32)))";
    traps(run(&format!("{count} {as_end} unreachable")).await, "as a future<");
    let outside = "(drop (call $read (i32.load (i32.const 16)) (i32.const 65532) (i32.const 2)))";
    traps(run(&format!("{count} {outside} unreachable")).await, "outside of its memory");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_call_is_dropped_and_what_was_lent_to_it_is_free_again() {
    let dropped = DROPPED.load(Relaxed);
    let result = run(r#"(local $thing i32) (local $call i32)
        (local.set $thing (call $make))
        (local.set $call (i32.shr_u (call $look (local.get $thing) (i32.const 16)) (i32.const 4)))
        (if (i32.ne (call $cancel (local.get $call)) (i32.const 4)) (then unreachable))
        (call $drop-call (local.get $call))
        (call $drop-thing (local.get $thing))
        (call $return (local.get $call))
        (i32.const 0)"#)
    .await;
    // The thing was its first handle.
    assert_eq!(result, Ok(Some(Value::Bits(2))));
    assert!(DROPPED.load(Relaxed) > dropped);
    let lent = r#"(local $thing i32) (local.set $thing (call $make))
        (drop (call $look (local.get $thing) (i32.const 16)))
        (call $drop-thing (local.get $thing)) unreachable"#;
    traps(run(lent).await, "while it was lent");
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_with_waiting_ends_the_guest_with_a_sentence() {
    let wait = "(drop (call $wait (i32.const 9) (i32.const 16)))";
    for (body, sentence) in [
        ("(i32.const 0)", "without giving a result"),
        (
            "(call $return (i32.const 1)) (call $return (i32.const 1)) (i32.const 0)",
            "more than one",
        ),
        ("(call $return-text (i32.const 0) (i32.const 0)) (i32.const 0)", "not its function's"),
        ("(call $task-cancel) unreachable", "nobody asked it to end"),
        ("(i32.const 7)", "unknown code 7"),
        ("(i32.const 0x52)", "handle 5, which it does not have"),
        ("(i32.or (i32.const 2) (i32.shl (call $new-set) (i32.const 4)))", "nobody will ever do"),
        ("(call $drop-set (i32.const 1)) unreachable", "handle 1, which it does not have"),
        (
            "(call $join (call $new-set) (i32.const 0)) unreachable",
            "as a waitable, which it is not",
        ),
        (&format!("{wait} (call $drop-call (i32.const 1)) unreachable"), "was under way"),
        (
            &format!(
                "{wait} (call $join (i32.const 1) (call $new-set)) (call $drop-set (i32.const 2)) unreachable"
            ),
            "which was not empty",
        ),
        (
            &format!(
                "{wait} (drop (call $cancel (i32.const 1))) (drop (call $cancel (i32.const 1))) unreachable"
            ),
            "of whose end it knew",
        ),
        (
            &format!("{wait} (drop (call $poll-in (i32.const 1) (i32.const 32))) unreachable"),
            "as a waitable set",
        ),
        (
            "(drop (call $poll-in (call $new-set) (i32.const 65530))) unreachable",
            "outside of its memory",
        ),
    ] {
        traps(run(body).await, sentence);
    }
}

#[tokio::test(start_paused = true)]
async fn calls_in_the_background_are_limited() {
    let result = run(
        r#"(loop $again (drop (call $wait (i32.const 9) (i32.const 16))) (br $again)) unreachable"#,
    );
    let sentence = "it had more than 256 calls under way at once".to_string();
    assert_eq!(result.await, Err(Fault::Limit(sentence)));
}

#[tokio::test]
async fn a_guest_that_only_yields_stops_neither_the_loop_nor_its_deadline() {
    let text = [
        NO_STAY,
        r#"(func (export "run") (param i32) (result i32) (i32.const 1))
        (func $event (param i32 i32 i32) (result i32) (i32.const 1))"#,
    ];
    let loaded = load(&asynchronous(&text.concat())).unwrap();
    let (_, index) = loaded.exported_function("run").unwrap();
    let deadline = Duration::from_millis(50);
    let allowance = Allowance { deadline, ..ALLOWANCE };
    let result = loaded.call(index, Shelf::default(), allowance, vec![Value::Bits(0)]).await;
    assert_eq!(result, Err(Fault::Deadline(deadline)));
}

#[tokio::test(start_paused = true)]
async fn what_a_guest_would_do_after_its_answer_is_not_waited_for() {
    let run = r#"(func (export "run") (param i32) (result i32)
            (call $return (i32.const 8))
            (i32.or (i32.const 2) (i32.shl (call $new-set) (i32.const 4))))"#;
    let text = asynchronous(&[NO_EVENT, NO_STAY, run].concat());
    assert_eq!(call(&text, "run", vec![Value::Bits(0)]).await, Ok(Some(Value::Bits(8))));
}

/// A component that starts a call of another and gives way; the other gives way, too, and then uses up its turn.
const GIVES_WAY_TO_A_BUSY_ONE: &str = r#"(component
    (component $busy
        (core func $return (canon task.return (result u32)))
        (core module $main
            (import "it" "return" (func $return (param i32)))
            (func (export "run") (result i32) (i32.const 1))
            (func (export "callback") (param i32 i32 i32) (result i32) (local $n i32)
                (loop $on
                    (local.set $n (i32.add (local.get $n) (i32.const 1)))
                    (br_if $on (i32.lt_u (local.get $n) (i32.const 3000000))))
                (call $return (i32.const 7))
                (i32.const 0)))
        (core instance $main (instantiate $main
            (with "it" (instance (export "return" (func $return))))))
        (func (export "run") async (result u32)
            (canon lift (core func $main "run") async (callback (core func $main "callback")))))
    (component $patient
        (import "run" (func $run async (result u32)))
        (core module $libc (memory (export "memory") 1))
        (core instance $libc (instantiate $libc))
        (alias core export $libc "memory" (core memory $memory))
        (core func $call (canon lower (func $run) async (memory $memory)))
        (core func $return (canon task.return (result u32)))
        (core func $new-set (canon waitable-set.new))
        (core func $join (canon waitable.join))
        (core module $main
            (import "libc" "memory" (memory 1))
            (import "it" "call" (func $call (param i32) (result i32)))
            (import "it" "return" (func $return (param i32)))
            (import "it" "new-set" (func $new-set (result i32)))
            (import "it" "join" (func $join (param i32 i32)))
            (global $set (mut i32) (i32.const 0))
            (func (export "run") (result i32)
                (global.set $set (call $new-set))
                (call $join (i32.shr_u (call $call (i32.const 16)) (i32.const 4)) (global.get $set))
                (i32.const 1))
            (func (export "callback") (param $code i32) (param i32 i32) (result i32)
                (if (i32.eqz (local.get $code))
                    (then (return (i32.or (i32.const 2) (i32.shl (global.get $set) (i32.const 4))))))
                (call $return (i32.load (i32.const 16)))
                (i32.const 0)))
        (core instance $main (instantiate $main
            (with "libc" (instance $libc))
            (with "it" (instance
                (export "call" (func $call)) (export "return" (func $return))
                (export "new-set" (func $new-set)) (export "join" (func $join))))))
        (func (export "run") async (result u32)
            (canon lift (core func $main "run") async (callback (core func $main "callback")))))
    (instance $busy (instantiate $busy))
    (alias export $busy "run" (func $run))
    (instance $patient (instantiate $patient (with "run" (func $run))))
    (alias export $patient "run" (func $patient-run))
    (export "run" (func $patient-run)))"#;

#[tokio::test(start_paused = true)]
async fn who_gives_way_goes_on_although_another_used_up_its_turn_meanwhile() {
    let answer = call(GIVES_WAY_TO_A_BUSY_ONE, "run", Vec::new()).await;
    assert_eq!(answer.unwrap(), Some(Value::Bits(7)));
}
