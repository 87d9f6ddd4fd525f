//! Bodies larger than any memory here, and clients that take their time, beside others who do not.
//!
//! `PIRN_LONG=1` sends a gigabyte each way instead of 200 MB.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use pirn_tests::apps::ScratchApp;
use pirn_tests::eventually;
use pirn_tests::footprint::{Footprint, descriptors};
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::process::Running;
use pirn_tests::web;

fn bytes() -> u64 {
    if std::env::var_os("PIRN_LONG").is_some() { 1 << 30 } else { 200 << 20 }
}

/// A guest that may have 2 MiB.
fn app(engine: &str, http: &str, tool: &str) -> ScratchApp {
    let engine = machine::engine(engine);
    let app = ScratchApp::with_manifest(&format!(
        r#"spin_manifest_version = 2
[application]
name = "web"
[application.tool.pirn.http]
{http}
[[trigger.http]]
route = "/..."
component = "web"
[component.web]
source = "http.wasm"
[component.web.tool.pirn]
engine = "{engine}"
memory = "2MiB"
{tool}
"#
    ));
    app.copy(&guest("http"), "http.wasm");
    app.built()
}

fn up(app: &ScratchApp) -> (Running, u16) {
    let running = app.up(&["--listen", "127.0.0.1:0"]);
    let port = web::port(&running);
    (running, port)
}

/// The most that a process has while something goes on. What must not grow is what is in no file: the share that a
/// process has of the program's own pages grows when another runner ends, and with code that runs for the first time.
struct Peak(Arc<AtomicBool>, std::thread::JoinHandle<Footprint>);

impl Peak {
    fn of(process: u32) -> Self {
        let over = Arc::<AtomicBool>::default();
        let told = Arc::clone(&over);
        Self(
            over,
            std::thread::spawn(move || {
                let mut most = Footprint::of(process);
                while !told.load(Relaxed) {
                    let now = Footprint::of(process);
                    most.pss_kib = most.pss_kib.max(now.pss_kib);
                    most.anonymous_kib = most.anonymous_kib.max(now.anonymous_kib);
                    std::thread::sleep(Duration::from_millis(20));
                }
                most
            }),
        )
    }

    /// Prints it beside what there was before, and refuses more than 3 MiB of growth.
    fn stays_near(self, before: Footprint, what: &str) {
        self.0.store(true, Relaxed);
        let most = self.1.join().unwrap();
        let (pss, anonymous) = (most.pss_kib, most.anonymous_kib);
        println!("{what}: PSS {} KiB before, {pss} at most", before.pss_kib);
        println!("of that in no file: {} KiB before, {anonymous} at most", before.anonymous_kib);
        let enough = before.anonymous_kib + 3 * 1024;
        assert!(anonymous < enough, "{what}: from {} KiB to {anonymous}", before.anonymous_kib);
    }
}

fn send(mut stream: TcpStream, bytes: u64) {
    let piece: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
    for _ in 0..bytes / piece.len() as u64 {
        stream.write_all(&piece).unwrap();
    }
}

/// Reads an answer to its end, keeping none of it: its first bytes, how many there are, its last.
fn drain(mut stream: TcpStream) -> (String, u64, Vec<u8>) {
    let (mut first, mut last, mut bytes) = (Vec::new(), Vec::new(), 0);
    let mut room = vec![0; 64 << 10];
    loop {
        let count = stream.read(&mut room).unwrap();
        if count == 0 {
            return (String::from_utf8_lossy(&first).into_owned(), bytes, last);
        }
        bytes += count as u64;
        if first.len() < 200 {
            first.extend_from_slice(&room[..count.min(200)]);
        }
        last = [&last[last.len().saturating_sub(8)..], &room[..count]].concat();
        last.drain(..last.len().saturating_sub(8));
    }
}

#[test]
fn a_body_of_any_size_passes_through_a_small_guest_in_the_same_memory() {
    for engine in ["native", "pulley", "interpreted"] {
        let app = app(engine, "", "");
        let (running, port) = up(&app);
        // Warm.
        assert_eq!(web::post(port, "/echo", "x").text(), "x");
        let before = Footprint::of(running.id());
        let bytes = if engine == "native" { bytes() } else { bytes() / 8 };
        let peak = Peak::of(running.id());
        let stream = web::connect(port);
        let head = format!(
            "POST /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n"
        );
        (&stream).write_all(head.as_bytes()).unwrap();
        let sending = stream.try_clone().unwrap();
        let sender = std::thread::spawn(move || send(sending, bytes));
        let (first, came, last) = drain(stream);
        sender.join().unwrap();
        assert!(first.starts_with("HTTP/1.1 200"), "{first}");
        assert!(came > bytes && last.ends_with(b"0\r\n\r\n"), "{engine}: {came} of {bytes}");
        peak.stays_near(before, &format!("{engine}, {} MiB each way", bytes >> 20));
    }
}

#[test]
fn uploads_and_downloads_of_any_size_alone_do_too() {
    let app = app("native", "", "");
    let (running, port) = up(&app);
    assert_eq!(web::post(port, "/count", "ab").text(), "2 195");
    let (before, peak, bytes) = (Footprint::of(running.id()), Peak::of(running.id()), bytes());
    let stream = web::connect(port);
    let head = format!(
        "POST /count HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {bytes}\r\n\r\n"
    );
    (&stream).write_all(head.as_bytes()).unwrap();
    send(stream.try_clone().unwrap(), bytes);
    let (answer, ..) = drain(stream);
    assert!(answer.contains(&format!("{bytes} ")), "{answer}");
    let stream = web::connect(port);
    (&stream)
        .write_all(
            format!("GET /make/{bytes} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
                .as_bytes(),
        )
        .unwrap();
    let (_, came, last) = drain(stream);
    assert!(came > bytes && last.ends_with(b"0\r\n\r\n"), "{came} of {bytes}");
    peak.stays_near(before, "native");
}

#[test]
fn slow_clients_hold_their_connections_and_nobody_elses_instance() {
    let app = app("native", "connections = 300", "");
    let (_running, port) = up(&app);
    let over = Arc::<AtomicBool>::default();
    let head = "POST /count HTTP/1.1\r\nhost: h\r\ncontent-length: 9000\r\n\r\n";
    let mut slow = Vec::new();
    for number in 0..200 {
        let mut stream = web::connect(port);
        // Half of them never end their head, half never their body.
        let begin = if number % 2 == 0 { &head[..40] } else { head };
        stream.write_all(begin.as_bytes()).unwrap();
        slow.push(stream);
    }
    let told = Arc::clone(&over);
    let trickle = std::thread::spawn(move || {
        while !told.load(Relaxed) {
            for stream in &mut slow {
                let _ = stream.write_all(b"x");
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    for _ in 0..100 {
        let answer = web::post(port, "/count", "healthy");
        assert_eq!((answer.status, answer.text().as_str()), (200, "7 751"));
    }
    over.store(true, Relaxed);
    trickle.join().unwrap();
}

#[test]
fn readers_who_do_not_read_hold_no_instance_for_an_answer_that_is_small() {
    let app = app("native", "", "");
    let (_running, port) = up(&app);
    let mut deaf = Vec::new();
    for _ in 0..40 {
        let mut stream = web::connect(port);
        // More than the kernel's buffers would be needed for these to be felt.
        stream.write_all(b"GET /make/30000 HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
        deaf.push(stream);
    }
    for _ in 0..50 {
        assert_eq!(web::get(port, "/say").status, 200);
    }
}

#[test]
fn readers_who_do_not_read_give_up_their_instances_when_others_want_them() {
    for engine in ["native", "interpreted"] {
        let app = app(engine, "", "instances = 2");
        let (running, port) = up(&app);
        let mut deaf = Vec::new();
        for _ in 0..2 {
            let mut stream = web::connect(port);
            stream.write_all(b"GET /make/900000000 HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
            // It has begun, and more than that is not read.
            assert!(stream.read(&mut [0; 100]).unwrap() > 0);
            deaf.push(stream);
        }
        let mut half = web::connect(port);
        half.write_all(b"POST /count HTTP/1.1\r\nhost: h\r\ncontent-length: 99999\r\n\r\n")
            .unwrap();
        half.write_all(&[b'x'; 20_000]).unwrap();
        assert_eq!(web::get(port, "/say").status, 200, "{engine}");
        running.wait_for("its client was slow, and others waited for its place");
    }
}

#[test]
fn many_idle_connections_cost_little_and_others_are_answered_beside_them() {
    let app = app("native", "connections = 1000", "");
    let (running, port) = up(&app);
    assert_eq!(web::get(port, "/say").status, 200);
    let before = Footprint::of(running.id()).anonymous_kib;
    let (count, opened) = (700_u64, AtomicU64::new(0));
    let mut idle = Vec::new();
    for _ in 0..count {
        let mut stream = web::connect(port);
        stream.write_all(b"GET /status/204 HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
        let mut room = [0; 512];
        assert!(stream.read(&mut room).unwrap() > 0);
        opened.fetch_add(1, Relaxed);
        idle.push(stream);
    }
    assert!(descriptors(running.id()) as u64 > count, "they are open");
    // When they are quiet, and what they needed is given back.
    let after = eventually("little memory", || {
        let after = Footprint::of(running.id()).anonymous_kib;
        (after.saturating_sub(before) < 12 * count).then_some(after)
    });
    println!("{count} idle connections: memory in no file from {before} to {after} KiB");
    for _ in 0..50 {
        assert_eq!(web::get(port, "/say").status, 200);
    }
    // And they are still good for something.
    let mut last = idle.pop().unwrap();
    last.write_all(b"GET /say HTTP/1.1\r\nhost: h\r\n\r\n").unwrap();
    assert!(last.read(&mut [0; 512]).unwrap() > 0);
}
