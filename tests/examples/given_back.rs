//! What a burst leaves behind: the memory of `pirnd` with the echo example at rest, at the end of a burst of 20 000
//! messages at QoS 1 and ten seconds later; and that it does not wake at rest. Prints PSS, what of it is memory of its
//! own (the rest is its files, mapped), and the wake-ups of another ten seconds.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && cargo build --workspace --examples
//! target/debug/examples/given_back
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use pirn_tests::apps::ScratchApp;
use pirn_tests::broker::Mosquitto;
use pirn_tests::process::Running;

/// Unless the command line says how many.
const MESSAGES: usize = 20_000;
const PAYLOAD_BYTES: usize = 64;
/// How long memory may take to go back, and how long wake-ups are counted.
const WATCH: Duration = Duration::from_secs(10);

fn main() {
    let broker = Mosquitto::start_with("persistence false\n");
    let app = ScratchApp::example("echo").built();
    let variable = format!("broker={}", broker.address());
    let mut running = Running::start(&mut app.pirnd(&["up", "--variable", &variable]));
    // Only now is somebody there for what comes.
    running.wait_for("connected");
    let mut link = Link::open(broker.port());
    // So that it has done what it does, once.
    link.burst(1);
    thread::sleep(Duration::from_secs(4));
    let process = running.id();
    println!("{:32} {:>8} {:>8}", "KiB", "PSS", "own");
    let print = |what: &str| {
        let (pss, own) = (rollup(process, "Pss:"), rollup(process, "Pss_Anon:"));
        println!("{what:32} {pss:>8} {own:>8}");
    };
    print("at rest");
    let messages = std::env::args().nth(1).map_or(MESSAGES, |count| count.parse().unwrap());
    let begun = Instant::now();
    link.burst(messages);
    let took = begun.elapsed();
    print("at the end of the burst");
    thread::sleep(WATCH);
    print("ten seconds later");
    let before = wake_ups(process);
    thread::sleep(WATCH);
    let woken = wake_ups(process) - before;
    println!("wake-ups in another {WATCH:?}: {woken}");
    let each_second = messages as f64 / took.as_secs_f64();
    println!("the burst took {took:.1?}: {each_second:.0} messages a second");
    running.signal("TERM");
    assert!(running.wait().success(), "{}", running.printed());
}

/// A connection that sends as fast as the broker takes: a client library's own window would be what is measured.
struct Link {
    stream: TcpStream,
}

impl Link {
    fn open(port: u16) -> Self {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let id = b"given-back";
        let mut connect = vec![0x10, 12 + id.len() as u8];
        connect.extend(b"\0\x04MQTT\x04\x02\0\0\0");
        connect.push(id.len() as u8);
        connect.extend(id);
        stream.write_all(&connect).unwrap();
        let filter = b"bench/out";
        let mut subscribe = vec![0x82, 5 + filter.len() as u8, 0, 1, 0, filter.len() as u8];
        subscribe.extend(filter);
        subscribe.push(0);
        stream.write_all(&subscribe).unwrap();
        let mut answers = [0; 4 + 5];
        stream.read_exact(&mut answers).unwrap();
        assert_eq!(answers, [0x20, 2, 0, 0, 0x90, 3, 0, 1, 0], "CONNACK and SUBACK");
        Self { stream }
    }

    /// Publishes so many and waits for as many answers.
    fn burst(&mut self, count: usize) {
        let topic = b"bench/in/1";
        let mut packets = Vec::new();
        for n in 1..=count {
            packets.extend([0x32, (4 + topic.len() + PAYLOAD_BYTES) as u8, 0, topic.len() as u8]);
            packets.extend(topic);
            packets.extend(u16::try_from(n).unwrap().to_be_bytes());
            packets.extend([b'x'; PAYLOAD_BYTES]);
        }
        let mut writer = self.stream.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&packets).unwrap());
        let (mut waiting, mut answers) = (Vec::<u8>::new(), 0);
        let mut read = vec![0; 64 << 10];
        while answers < count {
            let bytes = self.stream.read(&mut read).unwrap();
            assert!(bytes > 0, "the broker closed the connection");
            waiting.extend(&read[..bytes]);
            // Every packet that comes is shorter than 128 bytes: answers, at QoS 0 as was asked for, and PUBACKs.
            let mut rest = waiting.as_slice();
            while let [kind, length, more @ ..] = rest
                && more.len() >= usize::from(*length)
            {
                answers += usize::from(kind >> 4 == 3);
                rest = &more[usize::from(*length)..];
            }
            waiting = rest.to_vec();
        }
        writing.join().unwrap();
    }
}

/// A figure of the process's memory, in KiB.
fn rollup(process: u32, label: &str) -> u64 {
    number(&format!("/proc/{process}/smaps_rollup"), label)
}

/// Voluntary switches of all threads: each is a wake-up that went to sleep again.
fn wake_ups(process: u32) -> u64 {
    let tasks = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let of = |task: std::fs::DirEntry| {
        number(&format!("{}/status", task.path().display()), "voluntary_ctxt")
    };
    tasks.flatten().map(of).sum()
}

fn number(file: &str, label: &str) -> u64 {
    let text = std::fs::read_to_string(file).unwrap();
    let line = text.lines().find(|line| line.starts_with(label)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
