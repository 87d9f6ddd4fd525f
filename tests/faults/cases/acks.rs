//! Acknowledgements as clusters, bridges and broken brokers send them. All must end with everything delivered, and
//! with one reconnect at most.

use pirn_tests::faults::manners::Acks;
use pirn_tests::faults::scene::{Piece, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;

pub(super) fn acks_reordered(context: &Context) -> Outcome {
    let mut tally = Tally::default();
    for acks in [Acks::Reversed(5), Acks::Late(10), Acks::Late(90)] {
        add(context, acks, &mut tally);
    }
    Ok(tally)
}

pub(super) fn acks_twice(context: &Context) -> Outcome {
    with(context, Acks::Twice)
}

pub(super) fn acks_of_unknown(context: &Context) -> Outcome {
    with(context, Acks::Strange)
}

pub(super) fn acks_none_then_cut(context: &Context) -> Outcome {
    with(context, Acks::NoneThenCut(4))
}

fn with(context: &Context, acks: Acks) -> Outcome {
    let mut tally = Tally::default();
    add(context, acks, &mut tally);
    Ok(tally)
}

fn add(context: &Context, acks: Acks, tally: &mut Tally) {
    let scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    tally.runs += 1;
    scene.broker.behave(|manners| manners.acks = acks);
    let count = context.times(200, 5_000);
    for number in 0..count {
        scene.publish("a", "pass", [number]);
        scene.publish("b", "pass", [number]);
    }
    close(&scene, tally);
    let reconnects = scene.broker.look().connects() - 1;
    tally.expect(reconnects <= 1, format!("{reconnects} reconnects, where one is enough"));
}
