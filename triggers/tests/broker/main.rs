//! The embedded broker against clients that are not ours: mosquitto's command-line tools, rumqttc
//! in both versions, and bare sockets for what no client does on purpose.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod many;
mod mosquitto;
mod raw;
mod rumqttc_clients;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pirn_triggers::mqtt::broker::{Broker, BrokerEvent};
use tokio::task::JoinHandle;

/// How long anything here may take before the test fails; nothing waits for it to pass.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running broker and what it told its observer.
struct Running {
    addr: SocketAddr,
    events: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<std::io::Result<()>>,
}

impl Running {
    async fn start() -> Running {
        let events = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&events);
        let broker = Broker::bind_loopback(0).await.unwrap().observe(move |event| {
            // Writing out what floods carry would take longer than the flood.
            if !matches!(event, BrokerEvent::Published { payload, .. } if payload.len() > 1_024) {
                seen.lock().unwrap().push(format!("{event:?}"));
            }
        });
        let addr = broker.local_addr().unwrap();
        Running { addr, events, task: tokio::spawn(broker.run()) }
    }

    fn port(&self) -> String {
        self.addr.port().to_string()
    }

    /// Waits until the observer was told something that contains all the words.
    async fn told(&self, words: &[&str]) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let found = self
                .events
                .lock()
                .unwrap()
                .iter()
                .any(|event| words.iter().all(|word| event.contains(word)));
            if found {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "never told {words:?}, but {:#?}",
                self.events.lock().unwrap()
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
