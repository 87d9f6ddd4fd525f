//! Buttons pressed while the broker is away, then the power goes. Lines are simulated, so the app runs on the
//! workbench, whose runner is the same code.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::faults::broker::{Broker, Look};
use pirn_tests::faults::scene::{LINK_BACK, STUCK};
use pirn_tests::process::Running;
use pirn_tests::{pins, pirn};

use super::{Context, Outcome};
use crate::table::Tally;

/// In each round: while the broker is there, and while it is not.
const PRESSES: (usize, usize) = (3, 20);

fn up(app: &ScratchApp, broker: &Broker) -> Result<Running, String> {
    let mut command = Command::new(pirn());
    command.args(["up", "--board", "qemu-virt-aarch64", "-f"]).arg(app.path());
    command.arg("--runtime-config-file").arg(app.file("operator.toml"));
    command.args(["--variable", &format!("broker={}", broker.address())]);
    let running = Running::start(&mut command);
    match broker.wait(LINK_BACK, |look| look.is_subscribed()) {
        true => Ok(running),
        false => Err(format!("pirn up did not connect; it printed:\n{}", running.printed())),
    }
}

/// Presses the button once: the line rises and falls.
fn press(socket: &Path) -> Result<(), String> {
    for level in ["high", "low"] {
        let said = || -> std::io::Result<String> {
            let mut stream = UnixStream::connect(socket)?;
            writeln!(stream, "set {level} BUTTON")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            Ok(line)
        };
        let said = said().map_err(|error| format!("{}: {error}", socket.display()))?;
        if said.trim() != "ok" {
            return Err(format!("the simulated line said {said:?}"));
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    Ok(())
}

pub(super) fn edges_while_broker_away(context: &Context) -> Outcome {
    let (app, broker) = (pins::app(), Broker::start());
    let mut tally = Tally::default();
    let mut running = up(&app, &broker)?;
    let socket = app.file(".pirn-state/pins.sock");
    let rounds = usize::try_from(context.times(2, 50)).unwrap_or(0);
    for _ in 0..rounds {
        (0..PRESSES.0).try_for_each(|_| press(&socket))?;
        broker.kill();
        (0..PRESSES.1).try_for_each(|_| press(&socket))?;
        // Time for a component of a few microseconds to take the last of them.
        std::thread::sleep(Duration::from_millis(500));
        // Dropped, it is killed.
        drop(running);
        broker.restart();
        running = up(&app, &broker)?;
        tally.runs += 1;
    }
    let pressed = rounds * (PRESSES.0 + PRESSES.1);
    broker.wait(STUCK, |look| came(look, rounds).0 >= pressed);
    let (known, again) = came(&broker.look(), rounds);
    let gone = pressed.saturating_sub(known);
    tally.count(pressed, known, again);
    tally.expect(
        gone == 0,
        format!("of {pressed} presses {gone} were neither delivered nor counted"),
    );
    Ok(tally)
}

/// How many presses are known of, delivered or counted as missed, and how many came once more. Each run of the
/// app counts its edges from one, so each number comes once for each run.
fn came(look: &Look<'_>, rounds: usize) -> (usize, usize) {
    let (mut times, mut missed) = (BTreeMap::<&str, usize>::new(), 0);
    for one in look.record() {
        // What the guest says: LINE rising SEQUENCE MISSED.
        let words: Vec<&str> = one.text.split(' ').collect();
        if let ["BUTTON", "rising", sequence, before] = words[..] {
            *times.entry(sequence).or_default() += 1;
            missed += before.parse::<usize>().unwrap_or(0);
        }
    }
    let known: usize = times.values().map(|count| (*count).min(rounds)).sum();
    let again = times.values().map(|count| count.saturating_sub(rounds)).sum();
    (known + missed, again)
}
