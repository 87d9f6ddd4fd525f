//! The runner's own files, damaged while it is not there. It must start, keep the damaged file under a name of its own,
//! and say so; messages must flow.

use std::path::Path;
use std::time::Duration;

use pirn_tests::faults::kept;
use pirn_tests::faults::scene::{Piece, Scene};

use super::{Context, Outcome, Unfinished, close};
use crate::table::Tally;
use pirn_tests::dice::Dice;

pub(super) fn database_truncated(context: &Context) -> Outcome {
    with_damage(context, |bytes, _| bytes.truncate(bytes.len() / 2 + 100))
}

pub(super) fn database_zeroed(context: &Context) -> Outcome {
    with_damage(context, |bytes, _| bytes.fill(0))
}

pub(super) fn database_bit_flipped(context: &Context) -> Outcome {
    // Of the pages' heads, of which SQLite makes its structure: what is flipped in a value, nobody can see.
    with_damage(context, |bytes, dice| {
        for page in 0..bytes.len() / 4_096 {
            let place = page * 4_096 + usize::from(page == 0) * 100 + dice.below(8) as usize;
            bytes[place] ^= 1 << dice.below(8);
        }
    })
}

fn with_damage(context: &Context, damage: fn(&mut Vec<u8>, &mut Dice)) -> Outcome {
    let mut dice = Dice::new(context.seed);
    let mut scene = Scene::connected(&[Piece::ledger("a"), Piece::ledger("b")]);
    let mut tally = Tally::default();
    // Ninety-nine damaged ones are kept in a folder; then the operator has to look.
    let rounds = context.times(2, 60);
    let mut damaged = 0;
    for round in 0..rounds {
        scene.publish("a", "keep", round * 40..round * 40 + 20);
        scene.wait_for("a", usize::try_from(round * 40 + 20).unwrap_or(0));
        scene.stop(Duration::from_secs(10));
        let databases = kept::databases(scene.state())?;
        tally.expect(!databases.is_empty(), "there is no database to damage");
        for database in &databases {
            let error = |error| format!("{}: {error}", database.display());
            let mut bytes = std::fs::read(database).map_err(error)?;
            damage(&mut bytes, &mut dice);
            std::fs::write(database, bytes).map_err(error)?;
            remove_log(database);
        }
        damaged += databases.len();
        let said = scene.printed().len();
        scene.publish("a", "keep", round * 40 + 20..(round + 1) * 40);
        scene.start();
        tally.runs += 1;
        let all = usize::try_from((round + 1) * 40).unwrap_or(0);
        tally.expect(scene.wait_for("a", all), "no key-values after the database was damaged");
        let news = scene.printed().get(said..).unwrap_or_default().to_owned();
        tally.expect(
            news.contains("damaged") || news.contains(".db"),
            "nothing is said of the damage",
        );
        let aside = aside(scene.state());
        let sentence = format!("{damaged} databases were damaged, {aside} are kept aside");
        tally.expect(aside >= damaged, sentence);
        if !tally.problems.is_empty() {
            break;
        }
    }
    close(&scene, &mut tally);
    Ok(tally)
}

/// Its log would mend what the test damages.
fn remove_log(database: &Path) {
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", database.display()));
    }
}

/// Files that were set aside: their names say so.
fn aside(state: &Path) -> usize {
    let names = std::fs::read_dir(state).into_iter().flatten().map_while(Result::ok);
    let is_aside =
        |name: &str| name.contains("damaged") && !name.ends_with("-wal") && !name.ends_with("-shm");
    names.filter(|entry| is_aside(&entry.file_name().to_string_lossy())).count()
}

pub(super) fn client_id_emptied(_: &Context) -> Outcome {
    let mut scene = Scene::connected(&[Piece::ledger("a")]);
    let mut tally = Tally::of(1);
    scene.publish("a", "pass", 0..20);
    scene.wait_for("a", 20);
    scene.stop(Duration::from_secs(10));
    scene.publish("a", "pass", 20..60);
    let file = scene.state().join("client-id");
    if !file.is_file() {
        return Err(Unfinished::Broken("the state folder has no client-id file".into()));
    }
    std::fs::write(&file, []).map_err(|error| error.to_string())?;
    scene.start_under(&[]);
    let came = scene.broker.wait(Duration::from_secs(5), |look| look.received_on("out/a") >= 60);
    let said = scene.printed().contains("client-id");
    tally.expect(
        came || said,
        "40 messages wait in a session that nobody will ask for, and nothing is said",
    );
    if came || !said {
        close(&scene, &mut tally);
    } else {
        tally.note("an empty client-id is said");
    }
    Ok(tally)
}
