//! A real mosquitto for a test, and a session to talk to it with.

use pirn_triggers::mqtt::{
    Address, Inbox, Message, Options, Persistence, Protocol, Publish, Qos, Security, Session,
    State, Subscription,
};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Long enough for a loaded machine; no test waits for it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A directory that is gone with the test.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name =
            format!("pirn-mqtt-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A mosquitto on loopback. Keeps its sessions in a file over [`Mosquitto::restart`].
pub struct Mosquitto {
    child: Option<Child>,
    config: PathBuf,
    pub port: u16,
    pub scratch: Scratch,
}

impl Mosquitto {
    pub fn start() -> Self {
        Self::with(|_| "allow_anonymous true\n".into())
    }

    /// `more` is given the scratch directory and returns further lines of configuration.
    pub fn with(more: impl FnOnce(&Path) -> String) -> Self {
        let scratch = Scratch::new();
        let port = free_port();
        let more = more(&scratch.0);
        let folder = scratch.0.display();
        let config = scratch.write(
            "mosquitto.conf",
            &format!(
                "per_listener_settings false\nlistener {port} 127.0.0.1\npersistence true\n\
                 persistence_location {folder}/\nset_tcp_nodelay true\nuser {}\n{more}",
                std::env::var("USER").unwrap_or_else(|_| "root".into())
            ),
        );
        let mut broker = Self { child: None, config, port, scratch };
        broker.launch();
        broker
    }

    pub fn launch(&mut self) {
        let program = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "mosquitto"]
            .into_iter()
            .find(|path| !path.starts_with('/') || Path::new(path).exists())
            .unwrap();
        let child = Command::new(program)
            .arg("-c")
            .arg(&self.config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let child = child.unwrap_or_else(|error| {
            panic!("these tests need mosquitto ({error}): apt-get install mosquitto")
        });
        self.child = Some(child);
        let until = Instant::now() + PATIENCE;
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it so that it saves its sessions.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        child.wait().unwrap();
    }

    pub fn options(&self, client_id: &str, protocol: Protocol) -> Options {
        let mut options = Options::new(local(self.port), client_id);
        options.protocol = protocol;
        options
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

pub fn local(port: u16) -> Address {
    Address { host: "127.0.0.1".into(), port, security: Security::Plain }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn subscribe(options: &mut Options, filters: &[(&str, Qos)]) {
    options.subscriptions = filters
        .iter()
        .map(|(filter, qos)| Subscription { filter: (*filter).into(), qos: *qos })
        .collect();
}

pub fn clean(mut options: Options) -> Options {
    options.persistence = Persistence::Clean;
    options
}

pub fn publish(topic: &str, payload: &str, qos: Qos) -> Publish {
    Publish { topic: topic.into(), payload: payload.to_owned().into(), qos, retain: false }
}

pub async fn connected(session: &Session) -> State {
    let mut state = session.state();
    let state = state.wait_for(|state| matches!(state, State::Connected { .. }));
    tokio::time::timeout(PATIENCE, state).await.expect("no connection").unwrap().clone()
}

pub async fn next(inbox: &mut Inbox) -> Message {
    tokio::time::timeout(PATIENCE, inbox.next()).await.expect("no message").expect("stopped")
}

/// Takes a message, settles it, gives its topic, payload and QoS.
pub async fn take(inbox: &mut Inbox) -> (String, String, Qos) {
    let Message { topic, payload, qos, delivery, .. } = next(inbox).await;
    delivery.settle();
    (topic, String::from_utf8_lossy(&payload).into_owned(), qos)
}

/// Publishes and waits for the broker's word.
pub async fn say(session: &Session, topic: &str, payload: &str, qos: Qos) {
    let receipt = session.publish(publish(topic, payload, qos)).await.unwrap();
    match tokio::time::timeout(PATIENCE, receipt).await {
        Ok(done) => done.unwrap(),
        Err(_) => panic!("no receipt: {:?}", *session.state().borrow()),
    }
}

/// Runs a test once with each version of MQTT.
pub async fn both<F: Future<Output = ()>>(test: impl Fn(Protocol) -> F) {
    for protocol in [Protocol::V311, Protocol::V5] {
        test(protocol).await;
    }
}

pub async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}
