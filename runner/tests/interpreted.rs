//! The examples as their compiler left them, on no artifact at all: from the manifest to what reaches
//! the broker, by the MQTT world; and what becomes of them without grants, or with bytes changed.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_runner::engine::Allowance;
use pirn_runner::engine::canonical::Value;
use pirn_runner::engine::interpreted::Engine;
use pirn_runner::engine::outcome::Outcome;
use pirn_runner::files::board::ArtifactKind;
use pirn_runner::flow::event::Event;
use pirn_runner::happening::Happening;
use pirn_runner::host::{self, Grants, Host};
use pirn_runner::plan::{App, AppFiles};
use pirn_runner::report::{Report, Reporter};
use pirn_runner::serve::runner::Runner;
use pirn_triggers::gpio::Chips;
use pirn_triggers::mqtt::Qos;
use pirn_triggers::mqtt::broker::Broker;

/// Remembers what was published.
#[derive(Default)]
struct Published(Mutex<Vec<(String, Vec<u8>)>>);

impl Reporter for Published {
    fn report(&self, report: &Report<'_>) {
        if let Report::Published { topic, payload, .. } = report {
            self.0.lock().unwrap().push((topic.to_string(), payload.to_vec()));
        }
    }
}

/// Runs one event of an example that has no artifacts, with a broker that answers.
async fn invoke(example: &str, topic: &str, payload: &str) -> (Outcome, Vec<(String, Vec<u8>)>) {
    let broker = Broker::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = broker.local_addr().unwrap();
    let serving = tokio::spawn(async move { broker.run().await });
    let state = tempfile::tempdir().unwrap();
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut files = AppFiles::new(examples.join(example));
    files.variables.push(("broker".into(), format!("mqtt://{address}")));
    files.state_dir = Some(state.path().into());
    let mut app = App::load(&files).unwrap();
    app.components.iter_mut().for_each(|component| component.artifact = ArtifactKind::Wasm);
    let published = Arc::new(Published::default());
    let reporter: Arc<dyn Reporter> = published.clone();
    let runner = Runner::load(app, reporter).unwrap();
    assert!(runner.described().contains("(interpreted, "), "{}", runner.described());
    let _connected = runner.connect(&Chips::Kernel, None).unwrap();
    let what = Happening::Message { payload: payload.to_owned().into(), qos: Qos::AtLeastOnce };
    let event = Event::local(topic.into(), what, 1, Arc::default());
    let outcome = runner.invoke(example, &event).await.unwrap();
    runner.close().await;
    serving.abort();
    let published = std::mem::take(&mut *published.0.lock().unwrap());
    (outcome, published)
}

#[tokio::test]
async fn echo_answers_in_capitals() {
    let (outcome, published) = invoke("echo", "bench/in/1", "hello").await;
    assert_eq!(outcome, Outcome::Done);
    assert_eq!(published, [("bench/out".to_string(), b"HELLO".to_vec())]);
}

#[tokio::test]
async fn thermostat_answers_and_refuses_with_its_own_words() {
    let (outcome, published) = invoke("thermostat", "home/attic/temperature", "12.5").await;
    assert_eq!(outcome, Outcome::Done);
    assert!(!published.is_empty());
    let (outcome, published) = invoke("thermostat", "home/attic/temperature", "warm").await;
    assert!(matches!(outcome, Outcome::Refused(_)), "{outcome}");
    assert!(published.is_empty());
}

const ALLOWANCE: Allowance =
    Allowance { memory_bytes_max: 4 << 20, deadline: Duration::from_secs(20) };

/// The engine with everything that a build offers.
fn engine() -> Engine<Host> {
    Engine::start(host::offer).unwrap()
}

/// A host to which nothing is granted.
fn stranger() -> Host {
    Host::new(Arc::new(Grants::none("test").unwrap()))
}

fn example(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name);
    std::fs::read(folder.join(format!("{name}.wasm"))).unwrap()
}

#[tokio::test]
async fn the_examples_run_as_their_compiler_left_them() {
    for (name, refusal) in [
        ("echo", "variable \"broker\" is not defined"),
        ("thermostat", "topic \"a/in/b\" is not home/<room>/temperature"),
    ] {
        let loaded = engine().load(&example(name)).unwrap();
        assert_eq!(loaded.export_names(), ["handle-message"]);
        assert!(loaded.missing_imports().is_empty(), "{:?}", loaded.missing_imports());
        let (ty, index) = loaded.exported_function("handle-message").unwrap();
        assert_eq!(
            ty.to_string(),
            "func(list<u8>, record { topic: string }) -> result<_, variant { other(string) }>"
        );
        for _ in 0..2 {
            let metadata = Value::Fields(vec![Value::Text("a/in/b".into())]);
            let params = vec![Value::Bytes("21.5".into()), metadata];
            let result = loaded.call(index, stranger(), ALLOWANCE, params).await.unwrap();
            let error = Value::with(0, Value::Text(refusal.into()));
            assert_eq!(result, Some(Value::with(1, error)));
        }
    }
}

/// Changes bytes here and there. What still loads is run, for a moment.
#[tokio::test]
async fn a_corrupted_component_is_refused_or_faults_and_never_panics() {
    let allowance = Allowance { memory_bytes_max: 1 << 20, deadline: Duration::from_millis(20) };
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let whole = example("echo");
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..1 + next() % 4 {
            let at = match next() % 2 {
                // The component's own sections are around its modules: most of them at the end.
                0 => whole.len() - 1 - next() % (whole.len() / 8),
                _ => next() % whole.len(),
            };
            bytes[at] = next() as u8;
        }
        let Ok(component) = engine().load(&bytes) else {
            refused += 1;
            continue;
        };
        loaded += 1;
        if let Some((_, index)) = component.exported_function("handle-message") {
            let metadata = Value::Fields(vec![Value::Text("t".into())]);
            let params = vec![Value::Bytes("x".into()), metadata];
            let _ = component.call(index, stranger(), allowance, params).await;
        }
    }
    assert!(loaded > 20 && refused > 20, "{loaded} loaded, {refused} refused");
}
