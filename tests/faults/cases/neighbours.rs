//! What one component's trouble does to others, and what a message does that nothing survives.

use std::time::Duration;

use pirn_tests::faults::kept;
use pirn_tests::faults::scene::{Piece, STUCK, Scene};

use super::{Context, Outcome, close};
use crate::table::Tally;

pub(super) fn failing_beside_healthy(context: &Context) -> Outcome {
    let bad = Piece::ledger("bad").limits("deadline = \"1s\"\nattempts_max = 3");
    let mut scene = Scene::connected(&[bad, Piece::ledger("good")]);
    let mut tally = Tally::of(1);
    let count = context.times(2_000, 20_000);
    for number in 0..count {
        scene.publish("bad", "refuse", [number]);
        if number % 10 == 0 {
            scene.publish("good", "pass", [number]);
        }
    }
    let healthy = usize::try_from(count / 10).unwrap_or(0);
    let came = scene.wait_for("good", healthy);
    let through = scene.broker.look().received_on("out/good");
    tally.expect(came, format!("of the healthy one's {healthy} messages {through} came out"));
    // The failing one's wait as long as they must. What was taken over of them is on the disk, power or no power.
    scene.kill();
    if let Some(books) = tally.must(scene.books_into(&scene.broker)) {
        tally.add(&books);
        let lost = books.lost.len();
        tally.expect(lost == 0, format!("{lost} messages were acknowledged and are gone"));
        tally.note(format!(
            "{} of the failing one's wait on the runner's disk",
            books.waiting.len()
        ));
    }
    Ok(tally)
}

pub(super) fn poison_message(context: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    let mut tally = Tally::default();
    // It waits long enough to be killed while it runs.
    scene.broker.publish("in/a/late", "7 2000", 1);
    scene.publish("a", "pass", 8..10);
    for round in 1..=context.times(6, 25) {
        let came = scene.broker.wait(Duration::from_secs(6), |look| {
            look.received_on("begun/a") as u64 >= round || look.received_on("out/a") >= 2
        });
        if !came || scene.broker.look().received_on("out/a") >= 2 {
            break;
        }
        scene.kill();
        tally.runs += 1;
        scene.publish("b", "pass", [round]);
        scene.start();
    }
    close(&scene, &mut tally);
    let letters = tally.must(scene.dead_letters()).unwrap_or_default();
    let kept = letters.iter().any(|letter| letter.text.starts_with("7 "));
    let runs = tally.runs;
    tally.expect(kept, format!("a message that ended the process {runs} times is no dead letter"));
    Ok(tally)
}

pub(super) fn ticks_while_broker_away(context: &Context) -> Outcome {
    let piece = Piece::ledger("timed").every("100ms");
    let mut scene = Scene::connected(&[piece]);
    let mut tally = Tally::default();
    for _ in 0..context.times(3, 50) {
        scene.broker.wait(Duration::from_secs(2), |look| look.received_on("out/tick") >= 3);
        scene.broker.kill();
        std::thread::sleep(Duration::from_millis(1_200));
        scene.kill();
        scene.broker.restart();
        scene.start();
        tally.runs += 1;
    }
    let told = |scene: &Scene| -> Result<u64, String> {
        let values = kept::values(scene.state())?;
        let told = values.iter().find(|(key, _)| key == "told");
        Ok(told.map_or(0, |(_, number)| *number))
    };
    scene.kill();
    let promised = tally.must(told(&scene)).unwrap_or(0);
    tally.expect(promised > 0, "the timer's component was never told that anything is accepted");
    scene.start();
    let came = |number: u64| move |text: &str| text == number.to_string();
    let last = scene.broker.wait(STUCK, |look| {
        look.record().iter().any(|one| one.topic == "out/tick" && came(promised + 1)(&one.text))
    });
    tally.expect(last, "no tick came after the last restart");
    let look = scene.broker.look();
    let ticks: Vec<u64> = look
        .record()
        .iter()
        .filter(|one| one.topic == "out/tick")
        .filter_map(|one| one.text.parse().ok())
        .filter(|number| *number <= promised)
        .collect();
    let distinct: std::collections::BTreeSet<u64> = ticks.iter().copied().collect();
    let missing: Vec<u64> = (1..=promised).filter(|number| !distinct.contains(number)).collect();
    tally.expect(
        missing.is_empty(),
        format!(
            "accepted from a timer and gone: {} of {promised}: {:?}",
            missing.len(),
            &missing[..missing.len().min(5)]
        ),
    );
    tally.count(promised as usize, distinct.len(), ticks.len() - distinct.len());
    Ok(tally)
}

pub(super) fn artifact_rewritten(context: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::misbehaving("b")]);
    let mut tally = Tally::default();
    scene.publish("a", "pass", 0..20);
    scene.wait_for("a", 20);
    let mut next = 20;
    for _ in 0..context.times(3, 100) {
        for file in artifacts(&scene.app.file(".pirn")) {
            // As scp does: the same file is emptied and filled again.
            let bytes = std::fs::read(&file).map_err(|error| error.to_string())?;
            std::fs::write(&file, []).map_err(|error| error.to_string())?;
            scene.publish("a", "pass", next..next + 10);
            std::thread::sleep(Duration::from_millis(100));
            std::fs::write(&file, bytes).map_err(|error| error.to_string())?;
            scene.publish("a", "pass", next + 10..next + 20);
            next += 20;
        }
        tally.runs += 1;
        scene.wait_for("a", usize::try_from(next).unwrap_or(0));
        if !scene.is_running() {
            let ended = scene.running().wait();
            tally.expect(false, format!("the runner ended: {ended}"));
            scene.start();
        }
    }
    close(&scene, &mut tally);
    Ok(tally)
}

fn artifacts(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(artifacts(&path)),
            false if path.extension().is_some_and(|end| end == "cwasm") => found.push(path),
            false => {}
        }
    }
    found
}
