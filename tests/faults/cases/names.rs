//! A name server that fails, that says nothing, and that leads somewhere else.

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use pirn_tests::faults::names::{Answer, Names};
use pirn_tests::faults::scene::{Piece, STOPPED, Scene};

use super::syscalls::needs;
use super::{Context, Outcome, Unfinished, close};
use crate::table::Tally;

/// What the operator does not let the app reach.
const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(127, 66, 0, 1);
const OPERATOR: &str = "[outbound_networking]\nblock_networks = [\"127.66.0.0/16\"]\n";

pub(super) fn names_fail_hang_and_rebind(context: &Context) -> Outcome {
    needs("unshare", "util-linux")?;
    let scene = Scene::of(&[Piece::ledger("a")]).operated(OPERATOR);
    let (port, good) = (scene.broker.port(), Answer::Address(Ipv4Addr::LOCALHOST));
    let names = Names::start(scene.app.path(), good).map_err(Unfinished::Missing)?;
    let elsewhere = TcpListener::bind((ELSEWHERE, port)).map_err(|error| error.to_string())?;
    elsewhere.set_nonblocking(true).map_err(|error| error.to_string())?;
    let mut scene = scene.by(format!("mqtt://broker.test:{port}"));
    let mut tally = Tally::default();
    scene.start_under(&names.words());
    tally.must(scene.link_back());
    // Each with what the runner must say of it.
    let bad = [
        (Answer::Failure, "cannot look up `broker.test`"),
        (Answer::NoName, "cannot look up `broker.test`"),
        (Answer::Silence, "look up"),
        (Answer::Address(ELSEWHERE), "127.66.0.1 of `broker.test` is not permitted"),
    ];
    for round in 0..context.times(1, 20) {
        for (place, (answer, says)) in (0..).zip(bad) {
            names.say(answer);
            let before = scene.printed().len();
            scene.broker.cut();
            let first = round * 100 + place * 25;
            scene.publish("a", "keep", first..first + 25);
            let said = scene.wait_until_it_says(before, says);
            tally.runs += 1;
            tally.expect(said, format!("at {answer:?} it does not say \"{says}\""));
            tally.expect(scene.is_running(), format!("the runner ended at {answer:?}"));
            let led_away = elsewhere.accept().is_ok();
            tally.expect(!led_away, "it followed a name to an address that the operator blocks");
            names.say(good);
            tally.must(scene.link_back());
        }
    }
    close(&scene, &mut tally);
    tally.problems.extend(scene.key_value_problems("a")?);
    names.say(Answer::Silence);
    scene.broker.cut();
    std::thread::sleep(Duration::from_millis(1_500));
    let stopped = scene.stop(STOPPED);
    tally.expect(stopped.is_some(), "SIGTERM was not obeyed while a name server says nothing");
    Ok(tally)
}
