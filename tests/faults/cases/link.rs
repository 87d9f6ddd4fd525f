//! What a wire may do: carry nothing, carry little, carry rubbish, carry too much.

use std::time::Duration;

use pirn_tests::faults::packet::{self, Payload};
use pirn_tests::faults::proxy::Proxy;
use pirn_tests::faults::scene::{LINK_BACK, Piece, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;
use pirn_tests::dice::Dice;

fn wired(pieces: &[Piece]) -> (Scene, Proxy) {
    let scene = Scene::of(pieces);
    let proxy = Proxy::before(scene.broker.port());
    let mut scene = scene.by(proxy.address());
    scene.start();
    (scene, proxy)
}

pub(super) fn half_open(_: &Context) -> Outcome {
    dead_wire(100, |proxy| {
        proxy.deaden_up();
        proxy.deaden_down();
    })
}

pub(super) fn half_open_full(context: &Context) -> Outcome {
    dead_wire(context.times(3_000, 30_000), Proxy::deaden_up)
}

fn dead_wire(count: u64, deaden: fn(&Proxy)) -> Outcome {
    let (scene, proxy) = wired(&[Piece::ledger("a")]);
    let mut tally = Tally::of(1);
    scene.publish("a", "pass", 0..count);
    scene.wait_for("a", 10);
    let before = scene.broker.look().connects();
    deaden(&proxy);
    let back = scene.broker.wait(LINK_BACK, |look| look.connects() > before);
    tally.expect(back, format!("a dead wire was not noticed within {LINK_BACK:?}"));
    close(&scene, &mut tally);
    Ok(tally)
}

pub(super) fn wire_cut(context: &Context) -> Outcome {
    let (scene, proxy) = wired(&[Piece::ledger("a")]);
    let (mut tally, mut dice) = (Tally::default(), Dice::new(context.seed));
    for round in 0..context.times(5, 500) {
        let before = scene.broker.look().connects();
        proxy.cut_after(i64::try_from(dice.between(1, 1_500)).unwrap_or(1));
        scene.publish("a", "pass", round * 40..(round + 1) * 40);
        tally.runs += 1;
        let back =
            scene.broker.wait(LINK_BACK, |look| look.connects() > before && look.is_subscribed());
        tally.expect(back, format!("not back within {LINK_BACK:?} after cut {}", round + 1));
        if !back {
            break;
        }
    }
    close(&scene, &mut tally);
    Ok(tally)
}

pub(super) fn wire_slow(context: &Context) -> Outcome {
    let (scene, proxy) = wired(&[Piece::ledger("a")]);
    let mut tally = Tally::of(1);
    proxy.delay(Duration::from_millis(20));
    proxy.narrow(64);
    scene.publish("a", "pass", 0..context.times(60, 1_000));
    close(&scene, &mut tally);
    let reconnects = scene.broker.look().connects() - 1;
    tally.expect(reconnects == 0, format!("{reconnects} reconnects over a wire that is only slow"));
    Ok(tally)
}

/// Packets that are none, by hand: of each kind (2.2.1) with each flag, too short, too long, and with lengths that
/// never end. Some of them are allowed; a runner must then go on as if nothing had been.
fn rubbish() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    for first in 0..=255_u8 {
        all.push(vec![first, 0]);
        all.push(vec![first, 2, 0, 1]);
    }
    let topic = |text: &[u8], rest: &[u8]| {
        let mut packet = vec![0x32, u8::try_from(2 + text.len() + rest.len()).unwrap_or(0)];
        packet.extend(u16::try_from(text.len()).unwrap_or(0).to_be_bytes());
        packet.extend(text);
        packet.extend(rest);
        packet
    };
    all.extend([
        vec![0x30, 0xff, 0xff, 0xff, 0xff, 0x7f],
        vec![0x30, 0xff, 0xff, 0xff, 0xff],
        vec![0x30, 0x80, 0x80, 0x80, 0x00],
        vec![0x32, 3, 0xff, 0xff, b'a'],
        topic(b"in/a/+", &[0, 9]),
        topic(b"in/a/\xff\xfe", &[0, 9]),
        topic(b"in/a/\0", &[0, 9]),
        topic(b"", &[0, 9]),
        topic(b"in/a/pass", &[0, 0]),
        topic(b"in/a/pass", &[]),
        b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec(),
        vec![0; 4_096],
        vec![0xff; 4_096],
    ]);
    all
}

/// A packet that was right once.
fn mutated(dice: &mut Dice) -> Vec<u8> {
    let payload = Payload { head: b"1 and some more"[..].into(), zeros: 0 };
    let mut bytes = match dice.below(4) {
        0 => packet::short(4 + dice.below(4) as u8, dice.below(70_000) as u16),
        1 => packet::suback(dice.below(9) as u16, &[0x80, 1]),
        2 => packet::connack(true, 0),
        _ => packet::publication("elsewhere", &payload, dice.below(4) as u8, 900, 0).concat(),
    };
    for _ in 0..=dice.below(3) {
        let place = dice.below(bytes.len() as u64) as usize;
        match dice.below(3) {
            0 => bytes[place] ^= 1 << dice.below(8),
            1 => bytes.insert(place, dice.below(256) as u8),
            _ => bytes.truncate(place.max(1)),
        }
    }
    bytes
}

pub(super) fn malformed_packets(context: &Context) -> Outcome {
    let mut dice = Dice::new(context.seed);
    let by_hand = rubbish();
    let step = by_hand.len().div_ceil(context.times(26, 10_000) as usize);
    let mut packets: Vec<Vec<u8>> = by_hand.into_iter().skip(1).step_by(step).collect();
    packets.extend((0..context.times(14, 5_000)).map(|_| mutated(&mut dice)));
    let mut scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::default();
    for (number, packet) in packets.iter().enumerate() {
        let before = scene.broker.look().connects();
        scene.broker.say(packet);
        tally.runs += 1;
        // A length without an end waits for its rest: the broker's end shows that it was no more than that.
        std::thread::sleep(Duration::from_millis(20));
        scene.broker.cut();
        scene.publish("a", "pass", [number as u64]);
        let shown: Vec<u8> = packet.iter().take(24).copied().collect();
        tally.expect(scene.is_running(), format!("the runner ended at {shown:02x?}"));
        let back = scene.broker.wait(LINK_BACK, |look| look.received_on("out/a") > number);
        tally.expect(
            back,
            format!("no message came through within {LINK_BACK:?} after {shown:02x?}"),
        );
        if tally.problems.len() > 3 {
            break;
        }
        // A runner of its own for the next, whose pauses are short yet.
        if scene.broker.look().connects() > before {
            scene.kill();
            scene.start();
        }
    }
    close(&scene, &mut tally);
    Ok(tally)
}

pub(super) fn ten_fold_overload(context: &Context) -> Outcome {
    let pieces = [
        Piece::ledger("slow").limits("deadline = \"5s\"\nrate = \"100/s\""),
        Piece::ledger("other"),
    ];
    let scene = Scene::connected(&pieces);
    let mut tally = Tally::of(1);
    let seconds = context.times(2, 60);
    for second in 0..seconds {
        scene.publish("slow", "pass", second * 1_000..(second + 1) * 1_000);
        scene.publish("other", "pass", second * 10..(second + 1) * 10);
        // They balance at any moment, so in the middle of it too.
        tally.problems.extend(scene.own_books());
        std::thread::sleep(Duration::from_secs(1));
    }
    let all = usize::try_from(seconds * 10).unwrap_or(0);
    let came =
        scene.broker.wait(Duration::from_secs(30), |look| look.received_on("out/other") >= all);
    tally.expect(came, "30 s after an overload its neighbour's messages had not come");
    close(&scene, &mut tally);
    Ok(tally)
}
