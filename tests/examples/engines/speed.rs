//! Kernels on every engine and natively. The rounds are interleaved, so that what else the machine does hits
//! them alike; each figure is the median over the rounds of the ratio to native within a round.

use std::process::Command;
use std::time::Duration;

use pirn_tests::apps::{Part, ScratchApp};
use pirn_tests::broker::Mosquitto;
use pirn_tests::machine;
use pirn_tests::peer::Peer;

use super::median;

const ROUNDS: usize = 7;

/// A kernel, and how often it does its work: some milliseconds natively, seconds on an emulated interpreter.
const WORK: [(&str, u32); 4] = [("sieve", 4), ("sha256", 2), ("json", 50), ("fib", 27)];

/// Beyond this the guest's deadline has ended it.
const ANSWER_WITHIN: Duration = Duration::from_secs(90);

/// What a kernel answers.
struct Answer {
    checksum: u32,
    nanoseconds: f64,
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (checksum, nanoseconds) = text.trim().split_once(' ').unwrap();
        Self { checksum: checksum.parse().unwrap(), nanoseconds: nanoseconds.parse().unwrap() }
    }
}

/// A running `pirnd` with the kernels once for each engine.
struct Guests {
    peer: Peer,
    _running: pirn_tests::process::Running,
    _app: ScratchApp,
    _broker: Mosquitto,
}

impl Guests {
    fn start(engines: &[&str]) -> Self {
        let broker = Mosquitto::start();
        let more: Vec<String> = engines.iter().map(|engine| settings(engine)).collect();
        let topics: Vec<String> = engines.iter().map(|engine| format!("run/{engine}")).collect();
        let parts = engines.iter().zip(&topics).zip(&more);
        let parts: Vec<Part<'_>> = parts
            .map(|((engine, topic), more)| Part::new(engine, "kernels", topic).with(more))
            .collect();
        let app = ScratchApp::of(&broker.address(), &parts).built();
        let running = app.connected(&[]);
        let peer = Peer::subscribed(broker.port(), "kernels");
        Self { peer, _running: running, _app: app, _broker: broker }
    }

    fn run(&self, engine: &str, request: &str) -> Answer {
        self.peer.publish(&format!("run/{engine}"), request);
        let answer = self.peer.next_within(ANSWER_WITHIN);
        let (_, answer) = answer.unwrap_or_else(|| panic!("no answer: {engine}: {request}"));
        Answer::parse(&answer)
    }
}

fn settings(engine: &str) -> String {
    format!(
        "[component.{engine}.tool.pirn]\nengine = \"{engine}\"\ndeadline = \"60s\"\n\
         memory = \"4 MiB\""
    )
}

fn native(request: &str) -> Answer {
    let mut command: Command = machine::program("kernels");
    let output = command.args(request.split(' ')).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Answer::parse(&String::from_utf8_lossy(&output.stdout))
}

/// Prints the table.
pub(crate) fn print(engines: &[&str]) {
    let guests = Guests::start(engines);
    // What is translated when it is first called is translated now.
    for engine in engines {
        for (kernel, _) in WORK {
            guests.run(engine, &format!("{kernel} 1"));
        }
        let empty = guests.run(engine, "empty 42");
        assert_eq!(empty.checksum, 42, "{engine}");
    }
    println!("Time of kernels, times that of native Rust (medians of {ROUNDS} rounds)");
    println!("{:12}{}", "", engines.iter().map(|e| format!("{e:>14}")).collect::<String>());
    let mut logarithms = vec![0.0; engines.len()];
    for (kernel, n) in WORK {
        let ratios = ratios(&guests, engines, &format!("{kernel} {n}"));
        let cells = ratios.iter().map(|ratio| format!("{ratio:>14.2}")).collect::<String>();
        println!("{kernel:12}{cells}");
        ratios.iter().zip(&mut logarithms).for_each(|(ratio, sum)| *sum += ratio.ln());
    }
    let means = logarithms.iter().map(|sum| (sum / WORK.len() as f64).exp());
    let cells = means.map(|mean| format!("{mean:>14.2}")).collect::<String>();
    println!("{:12}{cells}", "mean (geom.)");
}

/// One median for each engine.
fn ratios(guests: &Guests, engines: &[&str], request: &str) -> Vec<f64> {
    let mut rounds = vec![Vec::new(); engines.len()];
    for _ in 0..ROUNDS {
        let native = native(request);
        for (engine, of_engine) in engines.iter().zip(&mut rounds) {
            let answer = guests.run(engine, request);
            assert_eq!(answer.checksum, native.checksum, "{engine}: {request}");
            of_engine.push(answer.nanoseconds / native.nanoseconds);
        }
    }
    rounds.into_iter().map(median).collect()
}
