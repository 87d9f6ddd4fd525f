//! Plain Rust with its standard library, as a component: what it finds of files, sockets, clocks and
//! the rest, and what it is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::symlink;

use pirn_tests::apps::ScratchApp;
use pirn_tests::broker::Mosquitto;
use pirn_tests::guests::guest;
use pirn_tests::peer::Peer;
use pirn_tests::process::Running;

struct Scene {
    outside: Peer,
    pirnd: Running,
    app: ScratchApp,
    _broker: Mosquitto,
}

/// An app that is the guest alone, granted its broker, these hosts and some files.
fn scene(hosts: &[String]) -> Scene {
    let broker = Mosquitto::start();
    let address = broker.address();
    let hosts: String = hosts.iter().map(|host| format!(", \"{host}\"")).collect();
    let app = ScratchApp::with_manifest(&format!(
        r#"
        spin_manifest_version = 2
        [application]
        name = "scratch"
        [application.trigger.mqtt]
        address = "{address}"
        [variables]
        broker = {{ default = "{address}" }}
        [[trigger.mqtt]]
        component = "app"
        topic = "ask"
        qos = "1"
        [component.app]
        source = "wasi-std.wasm"
        allowed_outbound_hosts = ["{address}"{hosts}]
        environment = {{ GREETING = "good day", LANGUAGE = "en" }}
        files = ["shown/*.txt", {{ source = "data", destination = "/mounted/here" }}]
        [component.app.variables]
        broker = "{{{{ broker }}}}"
        "#
    ));
    app.copy(&guest("wasi-std"), "wasi-std.wasm");
    for folder in ["shown", "data"] {
        fs::create_dir(app.file(folder)).unwrap();
    }
    for (file, content) in [
        ("shown/a.txt", "content of a"),
        ("shown/b.md", "not granted"),
        ("data/large", &"0123456789".repeat(5_000)),
        ("secret.txt", "not granted either"),
    ] {
        fs::write(app.file(file), content).unwrap();
    }
    symlink("a.txt", app.file("shown/link.txt")).unwrap();
    let app = app.built();
    let outside = Peer::subscribed(broker.port(), "findings");
    let pirnd = app.connected(&[]);
    Scene { outside, pirnd, app, _broker: broker }
}

impl Scene {
    /// Asks all questions in one event; one answer for each.
    fn ask(&self, questions: &[&str]) -> Vec<String> {
        self.outside.publish("ask", questions.join("\n"));
        let (_, findings) = self.outside.next();
        let answers: Vec<String> = findings
            .lines()
            .map(|line| line.split_once(": ").map_or(line, |(_, answer)| answer).to_string())
            .collect();
        assert_eq!(answers.len(), questions.len(), "{findings}\n{}", self.pirnd.printed());
        answers
    }

    /// Each question with its answer, or how the answer begins if that ends with `…`.
    fn check(&self, conversation: &[(&str, &str)]) {
        let questions: Vec<&str> = conversation.iter().map(|(question, _)| *question).collect();
        for ((question, expected), answer) in conversation.iter().zip(self.ask(&questions)) {
            let fits = match expected.strip_suffix('…') {
                Some(beginning) => answer.starts_with(beginning),
                None => answer == *expected,
            };
            assert!(fits, "{question}: {answer}, expected {expected}");
        }
    }
}

#[test]
fn a_guest_reads_the_files_it_is_granted_and_sees_no_others() {
    let scene = scene(&[]);
    scene.check(&[
        ("list /", "mounted/ shown/"),
        ("list /shown", "a.txt link.txt"),
        ("list /mounted", "here/"),
        ("list shown/../mounted/here", "large"),
        ("read /shown/a.txt", "content of a"),
        ("read shown/link.txt", "content of a"),
        ("read /shown/b.md", "error: NotFound…"),
        ("read /secret.txt", "error: NotFound…"),
        ("read /etc/passwd", "error: NotFound…"),
        ("read ../secret.txt", "error: …"),
        ("read /shown", "error: IsADirectory…"),
        ("read /shown/a.txt/x", "error: NotADirectory…"),
        ("list /shown/a.txt", "error: NotADirectory…"),
        ("list /proc", "error: NotFound…"),
    ]);
    let large = scene.ask(&["read /mounted/here/large"]);
    assert_eq!(large[0].len(), 50_000);
}

#[test]
fn a_folder_that_is_swapped_for_a_link_while_the_guest_runs_shows_it_nothing_outside() {
    let scene = scene(&[]);
    scene.check(&[("read /shown/a.txt", "content of a")]);
    fs::create_dir(scene.app.file("elsewhere")).unwrap();
    fs::write(scene.app.file("elsewhere/a.txt"), "secret").unwrap();
    fs::rename(scene.app.file("shown"), scene.app.file("moved")).unwrap();
    symlink(scene.app.file("elsewhere"), scene.app.file("shown")).unwrap();
    scene.check(&[
        ("read /shown/a.txt", "error: PermissionDenied…"),
        ("read /shown/link.txt", "error: PermissionDenied…"),
        ("read /mounted/here/large", "0123456789…"),
    ]);
}

#[test]
fn a_guest_changes_no_file() {
    let scene = scene(&[]);
    scene.check(&[
        ("write /shown/a.txt", "error: ReadOnlyFilesystem…"),
        ("write /shown/new.txt", "error: ReadOnlyFilesystem…"),
        ("write /new.txt", "error: ReadOnlyFilesystem…"),
        ("remove /shown/a.txt", "error: ReadOnlyFilesystem…"),
        ("read /shown/a.txt", "content of a"),
    ]);
}

#[test]
fn a_guest_finds_its_environment_clocks_randomness_and_no_input() {
    let scene = scene(&[]);
    scene.check(&[
        ("env GREETING", "good day"),
        ("env HOME", "error: …"),
        ("env-all", "GREETING=good day LANGUAGE=en"),
        ("args", "app"),
        ("monotonic", "forward"),
        ("sleep 30", "slept"),
        ("stdin", "0 bytes"),
        ("print to the log", "printed"),
        ("print-error and to the other", "printed"),
    ]);
    scene.pirnd.wait_for("to the log");
    scene.pirnd.wait_for("and to the other");

    let answers = scene.ask(&["wall", "random", "random"]);
    let guest: u64 = answers[0].parse().unwrap();
    let here = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!(guest.abs_diff(here) < 60, "{guest} there, {here} here");
    let (one, other) = answers[1].split_once(' ').unwrap();
    assert_ne!(one, other);
    assert_ne!(answers[1], answers[2]);
}

#[test]
fn a_guest_reaches_the_sockets_it_is_granted_and_no_others() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let (tcp_at, udp_at) = (tcp.local_addr().unwrap(), udp.local_addr().unwrap());
    let other_at = other.local_addr().unwrap();
    let names = ["http://localhost", "http://no-such-name.invalid"].map(str::to_owned);
    let addresses = [format!("tcp://{tcp_at}"), format!("udp://{udp_at}")];
    let scene = scene(&[&names[..], &addresses].concat());

    let peer = std::thread::spawn(move || {
        let (mut stream, _) = tcp.accept().unwrap();
        let mut heard = [0; 6];
        stream.read_exact(&mut heard).unwrap();
        stream.write_all(b"good day\n").unwrap();
        let mut asked = [0; 10];
        let (bytes, from) = udp.recv_from(&mut asked).unwrap();
        udp.send_to(b"good evening", from).unwrap();
        (heard, asked[..bytes].to_vec())
    });
    scene.check(&[
        (&format!("connect {other_at}"), "error: PermissionDenied…"),
        (&format!("ask {other_at}"), "error: PermissionDenied…"),
        (&format!("connect {tcp_at}"), "good day"),
        (&format!("ask {udp_at}"), "good evening"),
        ("connect 127.0.0.1:1", "error: PermissionDenied…"),
        ("listen 127.0.0.1:0", "error: PermissionDenied…"),
        ("listen 0.0.0.0:0", "error: PermissionDenied…"),
        ("udp 127.0.0.1:5353", "error: PermissionDenied…"),
        ("resolve no-such-name.invalid", "error: …"),
        ("resolve what-a-guest-knows.example.com", "error: PermissionDenied…"),
    ]);
    assert_eq!(peer.join().unwrap(), (*b"hello\n", b"hello".to_vec()));
    assert!(scene.ask(&["resolve localhost"])[0].contains("127.0.0.1"));
}
