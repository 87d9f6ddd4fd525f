//! The examples as their compiler left them, on no artifact at all: from the manifest to what reaches
//! the broker, by the MQTT world.
#![allow(clippy::unwrap_used, missing_docs)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use pirn_runner::app::{App, AppFiles};
use pirn_runner::board::ArtifactKind;
use pirn_runner::engine::outcome::Outcome;
use pirn_runner::flow::event::Event;
use pirn_runner::happening::Happening;
use pirn_runner::report::{Report, Reporter};
use pirn_runner::runner::Runner;
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
    let _connected = runner.connect(&Chips::Kernel).unwrap();
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
