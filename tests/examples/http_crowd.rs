//! Clients of `pirnd` that do nothing, and slow ones: what thousands of idle connections cost, and what they and slow senders
//! do to the requests of others. The load beside them comes from wrk, over eight connections.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && cargo build --workspace --all-targets
//! target/debug/examples/http_crowd [CONNECTIONS]   # 9 000; needs wrk, and twice as many descriptors (ulimit -n)
//! ```
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use pirn_tests::apps::ScratchApp;
use pirn_tests::footprint::Footprint;
use pirn_tests::process::Running;
use pirn_tests::web;
use pirn_tests::wrk::Load;

const CROWD: usize = 9_000;
/// Connections of those that are served beside it.
const OTHERS: u32 = 8;
const SECONDS: u32 = 10;
/// How long slow senders go on.
const SLOW: Duration = Duration::from_secs(60);

fn main() {
    let crowd = std::env::args().nth(1).map_or(CROWD, |count| count.parse().unwrap());
    let app = ScratchApp::example("hello-http").built();
    let running = up(&app, crowd + 64);
    let port = web::port(&running);
    let process = running.id();
    assert_eq!(web::get(port, "/hello").status, 200);
    let alone = Load::begin(port, "/hello", OTHERS, SECONDS).end();
    thread::sleep(Duration::from_secs(12));
    let before = Footprint::of(process);

    let mut idle: Vec<TcpStream> = (0..crowd).map(|_| asked_once(port)).collect();
    // So long that each has let go of its buffers.
    thread::sleep(Duration::from_secs(3));
    let full = Footprint::of(process);
    let beside = Load::begin(port, "/hello", OTHERS, SECONDS).end();
    let begin = Instant::now();
    let alive = idle.iter_mut().filter_map(|stream| ask(stream).ok()).count();
    println!(
        "{crowd} idle connections: {} KiB more, {:.1} KiB each; {alive} of them answer again within {:.1?}",
        full.pss_kib - before.pss_kib,
        (full.pss_kib - before.pss_kib) as f64 / crowd as f64,
        begin.elapsed()
    );
    drop(idle);

    let slow: Vec<TcpStream> = (0..crowd).map(|_| web::connect(port)).collect();
    let sending = thread::spawn(move || dribble(slow));
    thread::sleep(Duration::from_secs(1));
    let besides = Load::begin(port, "/hello", OTHERS, SLOW.as_secs() as u32).end();
    let cut = sending.join().unwrap();

    println!("| | requests a second | p50, µs | p99, µs | by the p99 alone |");
    println!("|---|---:|---:|---:|---:|");
    for (what, load) in
        [("alone", alone), ("beside idle connections", beside), ("beside slow senders", besides)]
    {
        let Load { per_second, p50, p99, failed } = load;
        let mark = if failed { ", some failed" } else { "" };
        let times = p99 / alone.p99;
        println!("| {what} | {per_second:.0}{mark} | {p50:.0} | {p99:.0} | {times:.2} |");
    }
    println!("{cut} of {crowd} slow senders were told to go");
}

/// The app on a board that has memory for so many connections.
fn up(app: &ScratchApp, connections: usize) -> Running {
    let file = app.file("spin.toml");
    let manifest = std::fs::read_to_string(&file).unwrap();
    let settings = format!("\n[application.tool.pirn.http]\nconnections = {connections}\n");
    std::fs::write(&file, manifest + &settings).unwrap();
    let board = pirn_tests::guests::repository().join("board-configs/generic-x86_64.toml");
    let board = std::fs::read_to_string(board).unwrap().replace("256MiB", "2GiB");
    let large = app.file("generic-x86_64.toml");
    std::fs::write(&large, board).unwrap();
    let mut command = Command::new(pirn_tests::pirnd());
    command.arg("up").arg(app.path()).args(["--listen", "127.0.0.1:0", "--board"]).arg(large);
    Running::start(&mut command)
}

fn asked_once(port: u16) -> TcpStream {
    let mut stream = web::connect(port);
    ask(&mut stream).unwrap();
    stream
}

/// One request on a connection that stays.
fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"GET /hello HTTP/1.1\r\nhost: bench\r\n\r\n")?;
    let (mut answer, mut bytes) = (Vec::new(), [0; 1024]);
    while !answer.ends_with(b"world!\n") && !answer.ends_with(b"0\r\n\r\n") {
        match stream.read(&mut bytes)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => answer.extend_from_slice(&bytes[..read]),
        }
    }
    Ok(())
}

/// Sends a head byte by byte, one each second, on all of them. Says how many the server would not wait for.
fn dribble(mut slow: Vec<TcpStream>) -> usize {
    let (all, begin) = (slow.len(), Instant::now());
    let head =
        b"GET /hello HTTP/1.1\r\nhost: bench\r\nx-slow: ".iter().chain(std::iter::repeat(&b'x'));
    for byte in head.take(SLOW.as_secs() as usize) {
        let round = Instant::now();
        slow.retain_mut(|stream| stream.write_all(&[*byte]).is_ok());
        thread::sleep(Duration::from_secs(1).saturating_sub(round.elapsed()));
        if begin.elapsed() > SLOW {
            break;
        }
    }
    all - slow.len()
}
