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

/// A little less than a deadline of a second: the healthy one is asked while the other one runs, not after it.
const WHILE: Duration = Duration::from_millis(900);
/// Between two questions.
const PAUSE: Duration = Duration::from_millis(4);

fn beside(context: &Context, what: &str) -> Outcome {
    let pieces = [Piece::misbehaving("bad"), Piece::ledger("good")];
    let scene = Scene::connected(&pieces);
    judge(context, &scene, |_| scene.broker.publish("in/bad/do", what, 1))
}

pub(super) fn guest_calls_host(context: &Context) -> Outcome {
    let bad = Piece::ledger("bad").limits("deadline = \"1s\"\nattempts_max = 1");
    let scene = Scene::connected(&[bad, Piece::ledger("good")]);
    judge(context, &scene, |round| {
        scene.broker.publish("in/bad/calls", &format!("{round} 1000000"), 1);
    })
}

fn judge(context: &Context, scene: &Scene, start: impl Fn(u64)) -> Outcome {
    let mut tally = Tally::default();
    let alone = ask(scene, &mut tally);
    let mut beside = Vec::new();
    for round in 0..context.times(2, 40) {
        start(round);
        beside.extend(ask(scene, &mut tally));
        // Over, and rested from it.
        std::thread::sleep(WHILE);
        tally.runs += 1;
    }
    let [alone, beside] = [alone, beside].map(|mut times| p50_and_p99(&mut times));
    let sentence = "round trip of the healthy one, p50 and p99 (how often)";
    tally.note(format!("{sentence}: alone {alone}, beside {beside}"));
    close(scene, &mut tally);
    Ok(tally)
}

/// Asks for one number after the other, for as long as the other one runs; how long each answer took.
fn ask(scene: &Scene, tally: &mut Tally) -> Vec<Duration> {
    let (mut times, since) = (Vec::new(), Instant::now());
    while since.elapsed() < WHILE {
        let number = scene.broker.look().received_on("out/good");
        let begun = Instant::now();
        scene.publish("good", "pass", [number as u64]);
        if !scene.wait_for("good", number + 1) {
            tally.expect(false, format!("the healthy one did not answer {number}"));
            break;
        }
        times.push(begun.elapsed());
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
    format!("{:.2} and {:.2} ms ({})", at(50), at(99), times.len())
}
