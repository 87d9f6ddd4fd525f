//! Who comes before whom, without a clock where it can be helped: what is asserted is the order.

use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::sync::Notify;
use tokio::task::LocalSet;

use super::*;

/// What happened, in its order.
#[derive(Clone, Default)]
struct Diary(Rc<RefCell<Vec<String>>>);

impl Diary {
    fn note(&self, what: impl Into<String>) {
        self.0.borrow_mut().push(what.into());
    }

    fn read(&self) -> Vec<String> {
        self.0.borrow().clone()
    }
}

/// A guest that uses up so many slices, as one that nobody interrupts.
async fn slices(name: &'static str, count: u32, diary: Diary) {
    for n in 1..=count {
        diary.note(format!("{name} {n}"));
        end().await;
    }
}

#[test]
fn what_used_up_its_slice_goes_behind_everything_that_becomes_ready_through_what_is_ready() {
    let turns = Loop::build().expect("a loop");
    let diary = Diary::default();
    turns.block_on(LocalSet::new().run_until(async {
        let busy = tokio::task::spawn_local(fairly(None, slices("busy", 3, diary.clone())));
        // A message on its way through five tasks: each is ready only when the one before has run.
        let steps: Vec<Rc<Notify>> = (0..6).map(|_| Rc::default()).collect();
        for n in 0..5 {
            let (on, off) = (Rc::clone(&steps[n]), Rc::clone(&steps[n + 1]));
            let diary = diary.clone();
            tokio::task::spawn_local(async move {
                on.notified().await;
                diary.note(format!("step {n}"));
                off.notify_one();
            });
        }
        steps[0].notify_one();
        steps[5].notified().await;
        diary.note("answered");
        busy.await.expect("it ends");
    }));
    let steps = (0..5).map(|n| format!("step {n}"));
    let expected: Vec<String> = std::iter::once("busy 1".to_owned())
        .chain(steps)
        .chain(["answered", "busy 2", "busy 3"].map(str::to_owned))
        .collect();
    assert_eq!(diary.read(), expected);
}

#[test]
fn busy_guests_take_turns() {
    let turns = Loop::build().expect("a loop");
    let diary = Diary::default();
    turns.block_on(LocalSet::new().run_until(async {
        let guest = |name| tokio::task::spawn_local(fairly(None, slices(name, 3, diary.clone())));
        for guest in ["a", "b", "c"].map(guest) {
            guest.await.expect("it ends");
        }
    }));
    // In each round everybody has one turn, in whatever order.
    for (round, lines) in diary.read().chunks(3).enumerate() {
        let mut lines = lines.to_vec();
        lines.sort();
        assert_eq!(lines, ["a", "b", "c"].map(|name| format!("{name} {}", round + 1)));
    }
}

#[test]
fn the_loop_finds_the_descriptor_that_it_waits_on() {
    let turns = Loop::build().expect("a loop");
    assert!(turns.is_watched());
    let other = Loop::build().expect("another loop");
    let ready = |turns: &Loop| turns.ready.as_deref().is_some_and(descriptor::is_readable);
    assert!(!ready(&turns) && !ready(&other));
    turns.runtime.spawn(async {});
    assert!(ready(&turns) && !ready(&other), "it took another loop's");
}

#[test]
fn a_guest_that_looks_is_told_when_something_becomes_ready() {
    let turns = Loop::build().expect("a loop");
    let (mut near, far) = UnixStream::pair().expect("two sockets");
    far.set_nonblocking(true).expect("a socket that does not block");
    let interrupted = turns.block_on(async move {
        let mut far = tokio::net::UnixStream::from_std(far).expect("a socket of the loop");
        let reads = tokio::spawn(async move { far.read_u8().await });
        tokio::task::yield_now().await;
        let guest = async {
            // From here on it is busy, and its slice would last a millisecond.
            end().await;
            near.write_all(b"x").expect("room");
            while !is_over() {
                std::hint::spin_loop();
            }
            HERE.with(Here::has_ready)
        };
        let interrupted = fairly(None, guest).await;
        reads.await.expect("it ends").expect("a byte");
        interrupted
    });
    assert!(interrupted);
}

#[test]
fn a_loop_that_is_never_idle_leaves_busy_guests_their_share() {
    let turns = Loop::build().expect("a loop");
    let diary = Diary::default();
    turns.block_on(LocalSet::new().run_until(async {
        let busy = tokio::task::spawn_local(fairly(None, slices("busy", 2, diary.clone())));
        // There is always one who is ready: without a share, `busy` would never come to its second slice.
        tokio::task::spawn_local(poll_fn(|cx| -> Poll<()> {
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        busy.await.expect("it ends");
    }));
    assert_eq!(diary.read(), ["busy 1", "busy 2"]);
}

#[test]
fn a_guest_that_is_dropped_while_it_waits_for_its_turn_leaves_no_trace() {
    let turns = Loop::build().expect("a loop");
    let diary = Diary::default();
    turns.block_on(LocalSet::new().run_until(async {
        let ended = tokio::task::spawn_local(fairly(None, slices("ended", 9, diary.clone())));
        let stays = tokio::task::spawn_local(fairly(None, slices("stays", 2, diary.clone())));
        tokio::task::yield_now().await;
        ended.abort();
        stays.await.expect("it ends");
        HERE.with(|here| assert!(here.waiting.borrow().is_empty()));
    }));
    assert_eq!(diary.read().last().map(String::as_str), Some("stays 2"));
}

#[test]
fn elsewhere_than_on_a_loop_a_busy_guest_goes_on_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let diary = Diary::default();
    runtime.block_on(fairly(None, slices("busy", 3, diary.clone())));
    assert_eq!(diary.read().len(), 3);
}

#[test]
fn a_deadline_ends_a_guest_that_waits_for_its_turn() {
    let turns = Loop::build().expect("a loop");
    let diary = Diary::default();
    let guest = fairly(None, slices("busy", u32::MAX, diary.clone()));
    let ended = turns.block_on(async { timeout(Duration::from_millis(20), guest).await });
    assert!(ended.is_err() && diary.read().len() > 1);
}
