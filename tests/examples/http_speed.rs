//! Requests over HTTP, beside others that answer the same: a native server of the same library on one thread
//! (`triggers/examples/hello.rs`) and `wasmtime serve` with the same component, compiled before, on all threads. Each of
//! `pirnd`'s engines makes a fresh instance for every request. The load comes from wrk, on one thread.
//!
//! ```sh
//! cross/targets/pirnd x86_64-unknown-linux-musl && cargo build --workspace --all-targets
//! cargo build --release -p pirn-triggers --example hello
//! cargo install wasmtime-cli        # or not: then it is left out
//! target/debug/examples/http_speed  # needs wrk: apt-get install wrk
//! ```
#![allow(clippy::unwrap_used)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pirn_tests::apps::ScratchApp;
use pirn_tests::footprint::Footprint;
use pirn_tests::wrk::Load;

const CONNECTIONS: [u32; 3] = [1, 8, 64];
const STARTS: usize = 5;
const SECONDS: u32 = 5;
const START_MAX: Duration = Duration::from_secs(20);

/// Somebody who answers `/hello`.
struct Server {
    name: &'static str,
    /// Makes the command that listens on a port.
    command: Box<dyn Fn(u16) -> Command>,
}

/// What was measured of one.
struct Figures {
    start: Duration,
    idle: Footprint,
    loads: Vec<Busy>,
}

fn main() {
    let apps: Vec<(&str, ScratchApp)> = vec![
        ("pirnd, native", ScratchApp::example("hello-http").built()),
        ("pirnd, interpreted", chosen("interpreted")),
        ("pirnd, bytecode", chosen("pulley")),
    ];
    let mut servers = vec![native()];
    for (name, app) in &apps {
        let path = app.path().to_owned();
        let command = move |port| {
            let mut command = Command::new(pirn_tests::pirnd());
            command.arg("up").arg(&path).args(["--listen", &format!("127.0.0.1:{port}")]);
            command
        };
        servers.push(Server { name, command: Box::new(command) });
    }
    servers.extend(wasmtime(apps[0].1.path()));
    let measured: Vec<(&str, Figures)> =
        servers.iter().map(|server| (server.name, figures(server))).collect();
    print(&measured);
}

fn chosen(engine: &str) -> ScratchApp {
    let app = ScratchApp::example("hello-http");
    let file = app.file("spin.toml");
    let mut manifest = std::fs::read_to_string(&file).unwrap();
    manifest.push_str(&format!("\n[component.hello.tool.pirn]\nengine = \"{engine}\"\n"));
    std::fs::write(file, manifest).unwrap();
    app.built()
}

fn native() -> Server {
    let program = pirn_tests::guests::repository().join("target/release/examples/hello");
    assert!(program.exists(), "cargo build --release -p pirn-triggers --example hello comes first");
    let command = move |port| {
        let mut command = Command::new(&program);
        command.arg(format!("127.0.0.1:{port}"));
        command
    };
    Server { name: "native", command: Box::new(command) }
}

/// If there is one: `WASMTIME` says where, or it is on the path.
fn wasmtime(folder: &Path) -> Option<Server> {
    let program = std::env::var("WASMTIME").unwrap_or_else(|_| "wasmtime".into());
    let compiled = folder.join("hello.cwasm");
    let mut compile = Command::new(&program);
    compile.args(["compile", "-O", "pooling-allocator=y", "-o"]).arg(&compiled);
    let done = compile.arg(folder.join("hello-http.wasm")).status();
    if !done.is_ok_and(|status| status.success()) {
        eprintln!("no wasmtime: it is left out");
        return None;
    }
    let command = move |port| {
        let mut command = Command::new(&program);
        command.args(["serve", "-O", "pooling-allocator=y", "-S", "cli", "--allow-precompiled"]);
        command.args(["--addr", &format!("127.0.0.1:{port}")]).arg(&compiled);
        command
    };
    Some(Server { name: "wasmtime serve", command: Box::new(command) })
}

/// A process that ends with what holds it.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn figures(server: &Server) -> Figures {
    let mut starts: Vec<Duration> = (0..STARTS).map(|_| started(server).2).collect();
    starts.sort_unstable();
    let (process, port, _) = started(server);
    thread::sleep(Duration::from_secs(4));
    let idle = Footprint::of(process.0.id());
    let loads = CONNECTIONS.map(|connections| busy(&process, port, connections)).into();
    Figures { start: starts[STARTS / 2], idle, loads }
}

/// Starts it and asks until it has answered; how long that took.
fn started(server: &Server) -> (Process, u16, Duration) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = (server.command)(port);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let begin = Instant::now();
    let process = Process(command.spawn().unwrap());
    while !is_answered(port) {
        assert!(begin.elapsed() < START_MAX, "{} does not answer", server.name);
        thread::sleep(Duration::from_micros(200));
    }
    (process, port, begin.elapsed())
}

fn is_answered(port: u16) -> bool {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return false };
    let asked =
        stream.write_all(b"GET /hello HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    let mut answer = String::new();
    asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains("Hello, world!")
}

/// What it takes while it is under load, and how it answers then.
struct Busy {
    load: Load,
    pss_kib: u64,
}

fn busy(process: &Process, port: u16, connections: u32) -> Busy {
    let load = Load::begin(port, "/hello", connections, SECONDS);
    thread::sleep(Duration::from_secs(u64::from(SECONDS)) - Duration::from_millis(500));
    let pss_kib = Footprint::of(process.0.id()).pss_kib;
    Busy { load: load.end(), pss_kib }
}

fn print(measured: &[(&str, Figures)]) {
    let row = |what: &str, cell: &dyn Fn(&Figures) -> String| {
        let cells: Vec<String> = measured.iter().map(|(_, figures)| cell(figures)).collect();
        println!("| {what} | {} |", cells.join(" | "));
    };
    let names: Vec<&str> = measured.iter().map(|(name, _)| *name).collect();
    println!("| | {} |", names.join(" | "));
    println!("|---|{}", "---:|".repeat(names.len()));
    row("cold start to the first answer, ms", &|it| format!("{:.1}", it.start.as_secs_f64() * 1e3));
    row("idle memory (PSS), MiB", &|it| format!("{:.1}", it.idle.pss_kib as f64 / 1024.0));
    let native = &measured[0].1;
    for (at, connections) in CONNECTIONS.iter().enumerate() {
        let beside = |it: &Figures, of: fn(&Load) -> f64| {
            of(&it.loads[at].load) / of(&native.loads[at].load)
        };
        row(&format!("{connections} connections: requests a second"), &|it| {
            let mark = if it.loads[at].load.failed { ", some failed" } else { "" };
            let share = beside(it, |load| load.per_second);
            format!("{:.0} ({share:.2} ×){mark}", it.loads[at].load.per_second)
        });
        row("… p50 / p99, µs", &|it| {
            let Load { p50, p99, .. } = it.loads[at].load;
            format!("{p50:.0} / {p99:.0} ({:.2} ×)", beside(it, |load| load.p50))
        });
        row("… memory (PSS), MiB", &|it| format!("{:.1}", it.loads[at].pss_kib as f64 / 1024.0));
    }
}
