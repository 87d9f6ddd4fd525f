//! What plain Rust with its standard library finds out about the world. Each line of the payload is a
//! question, `question argument`; the answers go to `findings`, one a line, as `question: answer`.
//!
//! `read PATH`, `list PATH`, `write PATH`, `remove PATH`, `env NAME`, `env-all`, `args`, `wall` (seconds
//! since the epoch), `monotonic` (`forward` if it never ran backwards), `random` (two words that should
//! differ), `connect HOST:PORT`, `listen ADDRESS`, `udp ADDRESS`, `ask HOST:PORT` (by datagram), `resolve NAME`,
//! `sleep MS`, `print TEXT`, `print-error TEXT`, `stdin` (the bytes there). What goes wrong is answered as `error: …`, with the kind of error.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../runner/wit",
        world: "pirn:worlds/mqtt-app-sync",
        generate_all,
    });
}

use bindings::fermyon::spin::mqtt::{Connection, Qos};
use bindings::fermyon::spin::variables;
use bindings::{Error, Guest, Metadata, Payload};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant, SystemTime};
use std::{env, fs, thread};

struct Component;

bindings::export!(Component with_types_in bindings);

impl Guest for Component {
    fn handle_message(message: Payload, _: Metadata) -> Result<(), Error> {
        let questions = String::from_utf8_lossy(&message);
        let findings: Vec<String> = questions.lines().map(finding).collect();
        publish(&findings.join("\n")).map_err(Error::Other)
    }
}

fn finding(line: &str) -> String {
    let (question, argument) = line.split_once(' ').unwrap_or((line, ""));
    let answer = ask(question, argument)
        .unwrap_or_else(|error| format!("error: {:?}: {error}", error.kind()));
    format!("{question}: {answer}")
}

fn ask(question: &str, argument: &str) -> io::Result<String> {
    match question {
        "read" => fs::read_to_string(argument),
        "list" => list(argument),
        "write" => fs::write(argument, "written by a guest").map(|()| "written".to_owned()),
        "remove" => fs::remove_file(argument).map(|()| "removed".to_owned()),
        "env" => env::var(argument).map_err(io::Error::other),
        "env-all" => Ok(sorted(env::vars().map(|(name, value)| format!("{name}={value}")))),
        "args" => Ok(env::args().collect::<Vec<_>>().join(" ")),
        "wall" => wall(),
        "monotonic" => Ok(monotonic().to_owned()),
        "random" => Ok(format!("{:016x} {:016x}", random(), random())),
        "connect" => connect(argument),
        "listen" => TcpListener::bind(argument).map(|_| "listening".to_owned()),
        "udp" => UdpSocket::bind(argument).map(|_| "bound".to_owned()),
        "ask" => ask_by_datagram(argument),
        "resolve" => resolve(argument),
        "sleep" => sleep(argument),
        "print" => writeln!(io::stdout(), "{argument}").map(|()| "printed".to_owned()),
        "print-error" => writeln!(io::stderr(), "{argument}").map(|()| "printed".to_owned()),
        "stdin" => stdin(),
        _ => Err(io::Error::other("unknown question")),
    }
}

fn list(path: &str) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    Ok(sorted(names.into_iter()))
}

fn sorted(lines: impl Iterator<Item = String>) -> String {
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.join(" ")
}

fn wall() -> io::Result<String> {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map(|since| since.as_secs().to_string())
        .map_err(io::Error::other)
}

fn monotonic() -> &'static str {
    let readings: Vec<Instant> = (0..100).map(|_| Instant::now()).collect();
    if readings.is_sorted() { "forward" } else { "backward" }
}

/// The seeds of a hash map are the randomness that the standard library asks for.
fn random() -> u64 {
    RandomState::new().hash_one(0_u8)
}

/// Says `hello`, and reads the answer's first bytes if the peer closes or sends any.
fn connect(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"hello\n")?;
    let mut answer = [0; 100];
    let bytes = stream.read(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..bytes]).trim().to_owned())
}

/// Says `hello` from any port and waits for the answer.
fn ask_by_datagram(address: &str) -> io::Result<String> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.send_to(b"hello", address)?;
    let mut answer = [0; 100];
    let (bytes, _) = socket.recv_from(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer[..bytes]).into_owned())
}

fn resolve(name: &str) -> io::Result<String> {
    let addresses = (name, 0).to_socket_addrs()?;
    Ok(sorted(addresses.map(|address| address.ip().to_string())))
}

/// `slept` if at least as long as asked for.
fn sleep(ms: &str) -> io::Result<String> {
    let wait = Duration::from_millis(ms.parse().map_err(io::Error::other)?);
    let begun = Instant::now();
    thread::sleep(wait);
    let enough = begun.elapsed() >= wait;
    Ok(if enough { "slept" } else { "woke early" }.to_owned())
}

fn stdin() -> io::Result<String> {
    let mut bytes = Vec::new();
    io::stdin().read_to_end(&mut bytes)?;
    Ok(format!("{} bytes", bytes.len()))
}

fn publish(text: &str) -> Result<(), String> {
    let broker = variables::get("broker").map_err(|error| format!("{error:?}"))?;
    Connection::open(&broker, "", "", 30)
        .and_then(|connection| connection.publish("findings", text.as_bytes(), Qos::AtLeastOnce))
        .map_err(|error| format!("{error:?}"))
}
