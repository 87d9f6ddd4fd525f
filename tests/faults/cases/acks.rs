//! Acknowledgements as clusters, bridges and broken brokers send them. All must end with everything delivered, and
//! with one reconnect at most.

use pirn_tests::faults::manners::Acks;
use pirn_tests::faults::scene::{Piece, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;

pub(super) fn acks_reordered(context: &Context) -> Outcome {
    with(context, Acks::Reversed(5))
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
    let scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    let mut tally = Tally::of(1);
    scene.broker.behave(|manners| manners.acks = acks);
    let count = context.times(200, 5_000);
    for number in 0..count {
        scene.publish("a", "pass", [number]);
        scene.publish("b", "pass", [number]);
    }
    close(&scene, &mut tally);
    let reconnects = scene.broker.look().connects() - 1;
    tally.expect(reconnects <= 1, format!("{reconnects} reconnects, where one is enough"));
    Ok(tally)
}
