//! Messages that are larger than anything is ready for. Each must be kept aside, and what is behind it must come.

use pirn_tests::faults::scene::{Piece, STUCK, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;

/// Over the limit of a payload; over that of a packet; over what a board could hold; the most that MQTT can say.
const SIZES: [usize; 4] = [65 * 1_024, 1_200_000, 20 << 20, (256 << 20) - 64];

pub(super) fn payload_over_limits(context: &Context) -> Outcome {
    let mut tally = Tally::default();
    for size in SIZES {
        for _ in 0..context.times(1, 10) {
            one(size, &mut tally);
        }
    }
    Ok(tally)
}

fn one(size: usize, tally: &mut Tally) {
    let scene = Scene::connected(&[Piece::ledger("a")]);
    scene.publish("a", "pass", 0..5);
    scene.broker.publish_long("in/a/pass", "5 and zeros ", size, 1);
    scene.publish("a", "pass", 6..36);
    tally.runs += 1;
    let behind = scene.broker.wait(STUCK, |look| look.received_on("out/a") >= 35);
    let reconnects = scene.broker.look().connects() - 1;
    tally.expect(behind, format!("behind {size} bytes nothing came; {reconnects} reconnects"));
    let first = tally.problems.len();
    close(&scene, tally);
    for problem in &mut tally.problems[first..] {
        *problem = format!("with {size} bytes: {problem}");
    }
}

pub(super) fn announced_256_mb(context: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::default();
    for round in 0..context.times(2, 50) {
        let mut packet = vec![0x32, 0xff, 0xff, 0xff, 0x7f, 0, 9];
        packet.extend(b"in/a/pass\x70\x00");
        packet.extend([b'x'; 100_000]);
        scene.broker.say(&packet);
        std::thread::sleep(std::time::Duration::from_millis(200));
        tally.expect(scene.is_running(), "the runner ended");
        scene.broker.cut();
        scene.publish("a", "pass", round * 30..(round + 1) * 30);
        tally.runs += 1;
        tally.must(scene.link_back());
    }
    close(&scene, &mut tally);
    Ok(tally)
}
