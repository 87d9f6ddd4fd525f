//! Guests that do what they must not do, each beside a healthy component that must go on being answered. How long
//! its answers take is printed, not judged: this machine is not a board, and not alone.

use std::time::{Duration, Instant};

use pirn_tests::faults::scene::{Piece, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;

pub(super) fn guest_loops(context: &Context) -> Outcome {
    beside(context, "loop")
}

pub(super) fn guest_eats_memory(context: &Context) -> Outcome {
    beside(context, "memory")
}

pub(super) fn guest_overflows_stack(context: &Context) -> Outcome {
    beside(context, "stack")
}

pub(super) fn guest_leaks_handles(context: &Context) -> Outcome {
    beside(context, "wasi-handles")
}

pub(super) fn guest_waits(context: &Context) -> Outcome {
    beside(context, "sleep")
}

pub(super) fn guest_floods_log(context: &Context) -> Outcome {
    beside(context, "log-flood")
}

/// Between two questions.
const PAUSE: Duration = Duration::from_millis(4);

fn beside(context: &Context, what: &str) -> Outcome {
    let pieces = [Piece::misbehaving("bad"), Piece::ledger("good")];
    let scene = Scene::connected(&pieces);
    judge(context, &scene, |count| {
        (0..count).for_each(|_| scene.broker.publish("in/bad/do", what, 1));
    })
}

pub(super) fn guest_calls_host(context: &Context) -> Outcome {
    let bad = Piece::ledger("bad").limits("deadline = \"1s\"\nattempts_max = 1");
    let scene = Scene::connected(&[bad, Piece::ledger("good")]);
    judge(context, &scene, |count| {
        for number in 0..count {
            scene.broker.publish("in/bad/calls", &format!("{number} 1000000"), 1);
        }
    })
}

fn judge(context: &Context, scene: &Scene, start: impl Fn(u64)) -> Outcome {
    let mut tally = Tally::of(1);
    let (count, first) = (context.times(200, 2_000), 0);
    let alone = ask(scene, first..count, &mut tally);
    // Each takes a second, the whole of its deadline, or is over at once.
    start(context.times(3, 40));
    let beside = ask(scene, count..count * 2, &mut tally);
    let [alone, beside] = [alone, beside].map(|mut times| p50_and_p99(&mut times));
    tally.note(format!(
        "round trip of the healthy one, p50 and p99: alone {alone}, beside {beside}"
    ));
    close(scene, &mut tally);
    Ok(tally)
}

/// Asks for one number after the other; how long each took.
fn ask(scene: &Scene, numbers: std::ops::Range<u64>, tally: &mut Tally) -> Vec<Duration> {
    let mut times = Vec::new();
    for number in numbers {
        let begun = Instant::now();
        scene.publish("good", "pass", [number]);
        let expected = usize::try_from(number).unwrap_or(0) + 1;
        if !scene.wait_for("good", expected) {
            tally.expect(false, format!("the healthy one did not answer {number}"));
            break;
        }
        times.push(begun.elapsed());
        // Spread over the time in which the other one runs, and not all in its first rest.
        std::thread::sleep(PAUSE);
    }
    times
}

fn p50_and_p99(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |percent: usize| {
        let place = (times.len() * percent / 100).min(times.len().saturating_sub(1));
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    format!("{:.2} and {:.2} ms", at(50), at(99))
}
