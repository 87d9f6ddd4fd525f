//! One event on a fresh instance: the echo component, from the event to its outcome, publishing
//! included, on each engine. Compiled code needs artifacts: `pirn build --compile-only -f examples/echo` makes the
//! native one, the same with `--board runner/benches/bytecode.toml` bytecode.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use pirn_runner::engine::outcome::Outcome;
use pirn_runner::engine::turns::Loop;
use pirn_runner::files::board::ArtifactKind;
use pirn_runner::flow::event::Event;
use pirn_runner::happening::Happening;
use pirn_runner::plan::{App, AppFiles};
use pirn_runner::report::Nobody;
use pirn_runner::serve::runner::Runner;
use pirn_triggers::gpio::Chips;
use pirn_triggers::mqtt::Qos;
use pirn_triggers::mqtt::broker::Broker;

/// A broker on a thread of its own; its port.
fn broker() -> u16 {
    let (port, known) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let broker = Broker::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
            port.send(broker.local_addr().unwrap().port()).unwrap();
            let _ = broker.run().await;
        });
    });
    known.recv().unwrap()
}

/// A board whose components are bytecode.
const PULLEY_BOARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bytecode.toml");

/// The echo example, connected, with components as a board's default or as they are.
fn runner(
    state: &Path,
    broker: u16,
    board: Option<&str>,
    artifact: Option<ArtifactKind>,
) -> Result<Runner, String> {
    let mut files = AppFiles::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/echo"));
    files.variables.push(("broker".into(), format!("mqtt://127.0.0.1:{broker}")));
    files.board = board.map(str::to_owned);
    files.state_dir = Some(state.to_owned());
    let mut app = App::load(&files).expect("the echo example is fine");
    for component in &mut app.components {
        component.artifact = artifact.unwrap_or(component.artifact);
    }
    Runner::load(app, Arc::new(Nobody)).map_err(|error| error.to_string())
}

fn one_event(c: &mut Criterion) {
    let port = broker();
    let engines = [
        ("interpreted", None, Some(ArtifactKind::Wasm)),
        ("native", None, None),
        ("pulley", Some(PULLEY_BOARD), None),
    ];
    for (name, board, artifact) in engines {
        let state = std::env::temp_dir().join(format!("pirn-bench-{}-{name}", std::process::id()));
        let runner = match runner(&state, port, board, artifact) {
            Ok(runner) => runner,
            Err(error) => {
                println!("{name}: left out: {error}");
                continue;
            }
        };
        let runtime = Loop::build().unwrap();
        let _connected = runtime.block_on(async { runner.connect(&Chips::Kernel, None) }).unwrap();
        let payload = b"the quick brown fox jumps over the lazy dog, and so does the cat";
        let what = Happening::Message { payload: payload[..].into(), qos: Qos::AtMostOnce };
        let event = Event::local("bench/in/0".into(), what, 1, Arc::default());
        c.bench_function(&format!("echo, one event on a fresh instance, {name}"), |b| {
            b.iter(|| {
                let outcome = runtime.block_on(runner.invoke("echo", &event));
                assert_eq!(outcome, Some(Outcome::Done));
            });
        });
        std::fs::remove_dir_all(state).unwrap();
    }
}

criterion_group!(benches, one_event);
criterion_main!(benches);
