//! What a session costs: an echo through [`Session`] beside two others on a mosquitto of its own: the least
//! that a program could do with the same packets over the same socket, and one with rumqttc's own event
//! loop, written as its documentation does. Prints ratios; one run, in turns.
//!
//! `cargo run --release -p pirn-triggers --example mqtt_echo [messages]`
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use bytes::BytesMut;
use pirn_triggers::mqtt::{
    Address, Options, Persistence, Publish, Qos, Security, Session, State, Subscription,
};
use rumqttc::mqttbytes::v4::{Connect, Packet, PubAck, Publish as Wire, Subscribe};
use rumqttc::mqttbytes::{Error, QoS};
use rumqttc::{AsyncClient, Event, MqttOptions, NetworkOptions};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ROUNDS: usize = 5;
const ROUND_TRIPS: usize = 4000;

fn main() {
    let messages = std::env::args().nth(1).map_or(20_000, |text| text.parse().unwrap());
    let broker = Mosquitto::start();
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let all = [Echo::Bare, Echo::EventLoop, Echo::Session];
        let measured = all.map(|echo| measure(broker.port, messages, echo));
        println!("round {round}: bare, event loop, session {measured:?}");
        rounds.push(measured);
    }
    for (other, name) in [(0, "bare"), (1, "event loop")] {
        let ratio = |of: fn(&Measured) -> f64| {
            median(rounds.iter().map(|round| of(&round[2]) / of(&round[other])).collect())
        };
        println!("session / {name}: burst {:.2}", ratio(|measured| measured.rate));
        println!("session / {name}: CPU of it {:.2}", ratio(|one| one.cpu.as_secs_f64()));
        println!("session / {name}: round trip {:.2}", ratio(|one| one.trip.as_secs_f64()));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[derive(Clone, Copy)]
enum Echo {
    Bare,
    EventLoop,
    Session,
}

#[derive(Debug)]
struct Measured {
    /// Replies a second.
    rate: f64,
    /// Of the echo's thread, for the burst.
    cpu: Duration,
    /// Median, one message at a time.
    trip: Duration,
}

/// The echo runs on a thread and a runtime of its own, so that its CPU time is its own.
fn measure(port: u16, messages: usize, echo: Echo) -> Measured {
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let (ask_cpu, cpu_asked) = std::sync::mpsc::channel::<()>();
    let (tell_cpu, cpu_told) = std::sync::mpsc::channel::<Duration>();
    let echoing = std::thread::spawn(move || {
        runtime().block_on(async {
            let work = async {
                match echo {
                    Echo::Bare => bare_echo(port).await,
                    Echo::EventLoop => event_loop_echo(port).await,
                    Echo::Session => session_echo(port).await,
                }
            };
            let watching = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(2)).await;
                    if cpu_asked.try_recv().is_ok() {
                        tell_cpu.send(cpu()).unwrap();
                    }
                }
            };
            tokio::select! {
                () = work => {}
                () = watching => {}
                _ = stopped => {}
            }
        });
    });
    let cpu_now = || {
        ask_cpu.send(()).unwrap();
        cpu_told.recv().unwrap()
    };
    let measured = runtime().block_on(async {
        let mut driver = Wired::connect(port, "driver", "out").await;
        driver.settle_in().await;
        let mut trips = Vec::new();
        for _ in 0..ROUND_TRIPS {
            let begin = Instant::now();
            driver.send(1).await;
            driver.receive(1).await;
            trips.push(begin.elapsed());
        }
        trips.sort();
        let before = cpu_now();
        let begin = Instant::now();
        driver.burst(messages).await;
        let rate = messages as f64 / begin.elapsed().as_secs_f64();
        Measured { rate, cpu: cpu_now() - before, trip: trips[ROUND_TRIPS / 2] }
    });
    stop.send(()).unwrap();
    echoing.join().unwrap();
    measured
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// CPU time of this thread.
fn cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

async fn session_echo(port: u16) {
    let address = Address { host: "127.0.0.1".into(), port, security: Security::Plain };
    let mut options = Options::new(address, "echo");
    options.persistence = Persistence::Clean;
    options.subscriptions = vec![Subscription { filter: "in".into(), qos: Qos::AtLeastOnce }];
    let (session, mut inbox) = Session::start(options).unwrap();
    let mut state = session.state();
    state.wait_for(|state| matches!(state, State::Connected { .. })).await.unwrap();
    while let Some(message) = inbox.next().await {
        let (topic, payload) = ("out".to_owned(), message.payload);
        let publish = Publish { topic, payload, qos: Qos::AtLeastOnce, retain: false };
        drop(session.publish(publish).await.unwrap());
        session.settle(message.delivery);
    }
}

/// Publishing waits when the broker is slow to acknowledge, and the event loop must keep turning: hence a
/// queue and a second task.
async fn event_loop_echo(port: u16) {
    let options = MqttOptions::new("echo", "127.0.0.1", port);
    let (client, mut events) = AsyncClient::new(options, 64);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    events.set_network_options(network);
    client.subscribe("in", QoS::AtLeastOnce).await.unwrap();
    let (work, mut queue) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(payload) = queue.recv().await {
            client.publish_bytes("out", QoS::AtLeastOnce, false, payload).await.unwrap();
        }
    });
    loop {
        if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
            work.send(publish.payload).unwrap();
        }
    }
}

/// Reads, answers all that it has read in one write; keeps no record, promises nothing.
async fn bare_echo(port: u16) {
    let mut wired = Wired::connect(port, "echo", "in").await;
    let mut id = 0u16;
    loop {
        for (theirs, payload) in wired.messages().await {
            PubAck::new(theirs).write(&mut wired.out).unwrap();
            id = id % u16::MAX + 1;
            let mut publish = Wire::from_bytes("out", QoS::AtLeastOnce, payload);
            publish.pkid = id;
            publish.write(&mut wired.out).unwrap();
        }
        wired.flush().await;
    }
}

/// A socket and the codec.
struct Wired {
    stream: TcpStream,
    buffer: BytesMut,
    out: BytesMut,
    id: u16,
}

impl Wired {
    async fn connect(port: u16, id: &str, filter: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (buffer, out) = (BytesMut::with_capacity(1 << 16), BytesMut::new());
        let mut wired = Self { stream, buffer, out, id: 0 };
        Connect::new(id).write(&mut wired.out).unwrap();
        let mut subscribe = Subscribe::new(filter, QoS::AtLeastOnce);
        subscribe.pkid = 1;
        subscribe.write(&mut wired.out).unwrap();
        wired.flush().await;
        wired
    }

    async fn flush(&mut self) {
        self.stream.write_all(&self.out).await.unwrap();
        self.out.clear();
    }

    /// The messages of one read.
    async fn messages(&mut self) -> Vec<(u16, bytes::Bytes)> {
        assert!(self.stream.read_buf(&mut self.buffer).await.unwrap() > 0, "mosquitto has gone");
        let mut messages = Vec::new();
        loop {
            match Packet::read(&mut self.buffer, 1 << 20) {
                Ok(Packet::Publish(publish)) => messages.push((publish.pkid, publish.payload)),
                Ok(_) => {}
                Err(Error::InsufficientBytes(_)) => return messages,
                Err(error) => panic!("{error}"),
            }
        }
    }

    async fn send(&mut self, count: usize) {
        for _ in 0..count {
            self.id = self.id % u16::MAX + 1;
            let mut publish = Wire::new("in", QoS::AtLeastOnce, b"a message of a board".to_vec());
            publish.pkid = self.id;
            publish.write(&mut self.out).unwrap();
        }
        self.flush().await;
    }

    async fn receive(&mut self, count: usize) -> usize {
        let mut received = 0;
        while received < count {
            for (id, _) in self.messages().await {
                PubAck::new(id).write(&mut self.out).unwrap();
                received += 1;
            }
            self.flush().await;
        }
        received
    }

    /// Until the echo answers, and everything that waited is through.
    async fn settle_in(&mut self) {
        loop {
            self.send(1).await;
            let answer = tokio::time::timeout(Duration::from_millis(300), self.receive(1)).await;
            if answer.is_ok() {
                break;
            }
        }
        while tokio::time::timeout(Duration::from_millis(300), self.receive(1)).await.is_ok() {}
    }

    /// Sends as fast as it can be read back, never more than so many ahead.
    async fn burst(&mut self, messages: usize) {
        let (mut sent, mut received) = (0, 0);
        while received < messages {
            let now = (messages - sent).min(2000usize.saturating_sub(sent - received)).min(200);
            self.send(now).await;
            sent += now;
            received += self.receive(usize::from(sent > received)).await;
        }
    }
}

struct Mosquitto {
    child: Child,
    port: u16,
    config: std::path::PathBuf,
}

impl Mosquitto {
    fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let config = std::env::temp_dir().join(format!("mqtt-echo-{port}.conf"));
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n\
             max_queued_messages 0\n"
        );
        std::fs::write(&config, text).unwrap();
        let child = Command::new("mosquitto")
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this needs mosquitto: apt-get install mosquitto");
        let until = Instant::now() + Duration::from_secs(10);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < until, "mosquitto does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        Self { child, port, config }
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.config);
    }
}
