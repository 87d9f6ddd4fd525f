//! What a broker may do to a client: end, forget, flood, refuse.

use std::time::Duration;

use pirn_tests::faults::broker::Broker;
use pirn_tests::faults::packet;
use pirn_tests::faults::scene::{LINK_BACK, Piece, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;
use pirn_tests::dice::Dice;

pub(super) fn broker_killed(context: &Context) -> Outcome {
    killed(context, Piece::ledger("a"), 1)
}

pub(super) fn broker_killed_at_qos_2(context: &Context) -> Outcome {
    killed(context, Piece::ledger("a").at(2), 2)
}

/// Ends of the broker for each runner: its pauses double with each, and the time goes into waiting.
const ENDS: u64 = 5;

fn killed(context: &Context, piece: Piece, qos: u8) -> Outcome {
    let (mut tally, mut dice) = (Tally::default(), Dice::new(context.seed));
    for _ in 0..context.times(2, 40) {
        let scene = Scene::connected(std::slice::from_ref(&piece));
        for round in 0..ENDS {
            for number in round * 40..(round + 1) * 40 {
                scene.broker.publish("in/a/pass", &number.to_string(), qos);
            }
            let before = scene.broker.look().record().len();
            let some = usize::try_from(dice.below(30)).unwrap_or(0);
            scene.broker.wait(Duration::from_secs(1), |look| look.record().len() >= before + some);
            scene.broker.kill();
            std::thread::sleep(Duration::from_millis(dice.below(50)));
            scene.broker.restart();
            tally.runs += 1;
            if tally.must(scene.link_back()).is_none() {
                break;
            }
        }
        close(&scene, &mut tally);
    }
    Ok(tally)
}

pub(super) fn session_lost(context: &Context) -> Outcome {
    let scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::default();
    for round in 0..context.times(3, 50) {
        scene.publish("a", "pass", round * 50..(round + 1) * 50);
        let before = scene.broker.look().record().len();
        scene.broker.wait(Duration::from_secs(1), |look| look.record().len() > before + 20);
        scene.broker.forget_sessions();
        tally.runs += 1;
        if tally.must(scene.link_back()).is_none() {
            break;
        }
    }
    // Only what a broker keeps can be sent again; from here on it keeps.
    scene.publish("a", "pass", 1_000_000..1_000_050);
    close(&scene, &mut tally);
    let last = (1_000_000..1_000_050).collect::<Vec<u64>>();
    let look = scene.broker.look();
    let came =
        last.iter().all(|number| look.record().iter().any(|one| one.text == number.to_string()));
    tally.expect(came, "what came after the session was made anew was not handled");
    Ok(tally)
}

pub(super) fn retained_messages(context: &Context) -> Outcome {
    let count = context.times(2_000, 50_000);
    let mut scene = Scene::of(&[Piece::ledger("a")]);
    for number in 0..count {
        scene.broker.retain(&format!("in/a/pass/{number:06}"), &number.to_string());
    }
    scene.start();
    let mut tally = Tally::of(1);
    let first = tally.must(scene.drain());
    scene.broker.cut();
    tally.must(scene.link_back());
    // Whatever the reconnect sets off is before this one.
    scene.publish("a", "pass", [count]);
    scene.wait_for("a", usize::try_from(count).unwrap_or(0) + 1);
    close(&scene, &mut tally);
    let again = scene.broker.look().received_on("out/a");
    let expected =
        usize::try_from(count).unwrap_or(0) + 1 + first.map_or(0, |books| books.duplicates);
    let more = again.saturating_sub(expected);
    tally.expect(more == 0, format!("{more} retained messages ran again at a reconnect"));
    Ok(tally)
}

pub(super) fn qos_0_flood(context: &Context) -> Outcome {
    let flood = context.times(20_000, 1_000_000);
    let pieces = [Piece::ledger("a"), Piece::ledger("flooded").at(0)];
    let scene = Scene::connected(&pieces);
    let mut tally = Tally::of(1);
    for number in 0..flood {
        scene.broker.publish("in/flooded/pass", &number.to_string(), 0);
        if number % (flood / 200) == 0 {
            scene.publish("a", "pass", [number]);
        }
    }
    let topic = "out/a";
    let came = scene.broker.wait(Duration::from_secs(30), |look| look.received_on(topic) >= 200);
    tally.expect(came, "messages at QoS 1 did not get through the flood");
    close(&scene, &mut tally);
    let through = scene.broker.look().received_on("out/flooded");
    tally.note(format!("of {flood} at QoS 0, {through} were handled"));
    Ok(tally)
}

pub(super) fn client_id_taken_over(context: &Context) -> Outcome {
    let scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::default();
    let id = scene.broker.look().clients().first().cloned().unwrap_or_default();
    for round in 0..context.times(3, 30) {
        scene.publish("a", "pass", round * 30..(round + 1) * 30);
        let before = scene.broker.look().connects();
        let port = scene.broker.port();
        let intruder = std::net::TcpStream::connect(("127.0.0.1", port));
        let said = intruder.and_then(|mut stream| {
            use std::io::{Read as _, Write as _};
            stream.write_all(&packet::connect(&id))?;
            stream.read_exact(&mut [0; 4])
        });
        tally.must(said.map_err(|error| format!("the intruder was not let in: {error}")));
        tally.runs += 1;
        let back = scene
            .broker
            .wait(LINK_BACK, |look| look.connects() >= before + 2 && look.is_subscribed());
        tally.expect(back, format!("not back within {LINK_BACK:?}"));
        if !back {
            break;
        }
    }
    close(&scene, &mut tally);
    Ok(tally)
}

pub(super) fn subscription_refused(_: &Context) -> Outcome {
    let pieces = [Piece::ledger("a"), Piece::ledger("forbidden")];
    let mut scene = Scene::of(&pieces);
    scene.broker.behave(|manners| manners.refused = Some("in/forbidden"));
    scene.start();
    let mut tally = Tally::of(1);
    scene.publish("a", "pass", 0..50);
    tally.expect(scene.wait_for("a", 50), "the subscription that was granted is not served");
    let said = scene.printed().contains("refused") || scene.printed().contains("in/forbidden");
    tally.expect(said, "nothing is said of the refusal");
    scene.broker.behave(|manners| manners.refused = None);
    scene.broker.cut();
    tally.must(scene.link_back());
    let granted = scene.broker.wait(LINK_BACK, |look| look.is_subscribed_to("in/forbidden/#"));
    tally.expect(granted, "what was refused is not asked for again at a reconnect");
    scene.publish("forbidden", "pass", 0..50);
    close(&scene, &mut tally);
    Ok(tally)
}

pub(super) fn login_refused_then_granted(context: &Context) -> Outcome {
    let scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::of(1);
    scene.broker.behave(|manners| manners.connack = 5);
    scene.broker.cut();
    scene.publish("a", "pass", 0..50);
    std::thread::sleep(Duration::from_secs(context.times(20, 300)));
    scene.broker.behave(|manners| manners.connack = 0);
    tally.must(scene.link_back());
    close(&scene, &mut tally);
    Ok(tally)
}

pub(super) fn broker_takes_no_publishes(context: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    let mut tally = Tally::default();
    for round in 0..context.times(2, 100) {
        scene.broker.behave(|manners| manners.discards = true);
        scene.publish("a", "pass", round * 100..round * 100 + 80);
        scene.publish("b", "keep", round * 100..round * 100 + 20);
        // Longer than any bound after which a publish is put on the disk.
        std::thread::sleep(Duration::from_secs(4));
        scene.kill();
        tally.runs += 1;
        scene.broker.behave(|manners| manners.discards = false);
        scene.start();
        scene.publish("a", "pass", round * 100 + 80..(round + 1) * 100);
    }
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("b")?);
    Ok(tally)
}

pub(super) fn second_broker_dies(context: &Context) -> Outcome {
    let second = Broker::start();
    let scene = Scene::of(&[Piece::ledger("a")]);
    let mut scene = scene.beside(second.address());
    scene.start();
    let mut tally = Tally::default();
    for round in 0..context.times(3, 50) {
        scene.publish("a", "other", round * 50..(round + 1) * 50);
        let before = second.look().record().len();
        second.wait(Duration::from_secs(2), |look| look.record().len() >= before + 10);
        second.kill();
        std::thread::sleep(Duration::from_millis(300));
        second.restart();
        tally.runs += 1;
    }
    if let Some(books) = tally.must(scene.drain_into(&second)) {
        tally.add(&books);
        tally.problems.extend(books.problems());
    }
    Ok(tally)
}
