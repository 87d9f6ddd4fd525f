//! The same requests to components that were made with different SDKs, and to one in C, on every engine: the same answers.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::ScratchApp;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::process::Running;
use pirn_tests::web::{self, Answer};
use pirn_tests::webserver::Web;

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];
const GUESTS: [&str; 6] = ["sdk-2", "sdk-3", "sdk-5", "sdk-6", "sdk-7", "c-http"];

fn app(name: &str, engine: &str) -> ScratchApp {
    let engine = machine::engine(engine);
    let app = ScratchApp::with_manifest(&format!(
        r#"spin_manifest_version = 2

[application]
name = "guest"

[[trigger.http]]
route = "/..."
component = "guest"

[[trigger.http]]
route = "/rooms/:room/..."
component = "guest"

[component.guest]
source = "guest.wasm"
allowed_outbound_hosts = ["http://127.0.0.1:*"]

[component.guest.tool.pirn]
engine = "{engine}"
"#
    ));
    app.copy(&guest(name), "guest.wasm");
    app.built()
}

fn up(name: &str, engine: &str) -> (ScratchApp, Running, u16) {
    let app = app(name, engine);
    let running = app.up(&["--listen", "127.0.0.1:0"]);
    let port = web::port(&running);
    (app, running, port)
}

/// A request, and what it asks for in words.
struct Case {
    name: String,
    bytes: Vec<u8>,
}

impl Case {
    fn new(method: &str, path: &str, fields: &[u8], body: &[u8]) -> Self {
        let name = format!(
            "{method} {path} with {:?} and {} bytes",
            fields.escape_ascii().to_string(),
            body.len()
        );
        let mut bytes =
            format!("{method} {path} HTTP/1.1\r\nhost: h:80\r\nconnection: close\r\n").into_bytes();
        bytes.extend_from_slice(fields);
        if !body.is_empty() {
            let length = body.len();
            bytes.extend_from_slice(format!("content-length: {length}\r\n").as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        Self { name, bytes }
    }
}

fn cases() -> Vec<Case> {
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies: [&[u8]; 3] = [b"", b"a body", &every_byte.repeat(100)];
    let mut cases = Vec::new();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"] {
        for path in [
            "/",
            "/a/b%20c/d?x=1&y=%26&z",
            "/rooms/kitchen/heating?q",
            "/echo",
            "/nothing",
            "/status/404",
        ] {
            for body in bodies {
                cases.push(Case::new(method, path, b"", body));
            }
        }
    }
    for fields in [
        "accept: text/html\r\nACCEPT-LANGUAGE: de, en;q=0.5\r\n".as_bytes(),
        b"x-twice: 1\r\nx-twice: 2\r\n",
        b"x-empty:\r\n",
        b"x-bytes: \xe4\xff\r\n",
        b"cookie: a=b; c=d\r\nauthorization: Basic eDp5\r\n",
        b"spin-full-url: lies\r\nspin-path-match-room: lies\r\nspin-client-addr: lies\r\n",
        format!("x-long: {}\r\n", "0123456789".repeat(300)).as_bytes(),
    ] {
        for path in ["/", "/rooms/42"] {
            cases.push(Case::new("GET", path, fields, b""));
            cases.push(Case::new("POST", path, fields, b"a body"));
        }
    }
    for status in [200, 201, 202, 206, 299, 301, 400, 401, 410, 418, 422, 500, 502, 503, 599] {
        cases.push(Case::new("GET", &format!("/status/{status}"), b"", b""));
    }
    cases
}

/// What does not differ from one moment to the next, fields in the order of their names.
fn lasting(mut answer: Answer) -> Answer {
    answer.fields.retain(|(name, _)| name != "date");
    answer.fields.sort();
    answer
}

#[test]
fn components_of_every_origin_give_the_same_answers_on_every_engine() {
    let cases = cases();
    assert!(cases.len() >= 200, "{}", cases.len());
    let mut first: Option<Vec<Answer>> = None;
    for name in GUESTS {
        for engine in ENGINES {
            let (_app, _running, port) = up(name, engine);
            let ask = |case: &Case| lasting(web::ask(port, &case.bytes));
            let answers: Vec<Answer> = cases.iter().map(ask).collect();
            let first = first.get_or_insert_with(|| answers.clone());
            for ((case, first), answer) in cases.iter().zip(first).zip(&answers) {
                assert!(answer.status > 0, "{name}, {engine}: no answer to {}", case.name);
                assert_eq!(first, answer, "{name}, {engine}: {}", case.name);
            }
        }
    }
}

#[test]
fn those_answers_are_about_what_was_asked() {
    let (_app, _running, port) = up("sdk-3", "interpreted");
    let asked = Case::new("PUT", "/rooms/kitchen/heating?q", b"x-bytes: \xe4\r\n", b"abc");
    let answer = web::ask(port, &asked.bytes);
    assert_eq!((answer.status, answer.field("x-method")), (200, Some("PUT")));
    let said = answer.text();
    for line in [
        "method: PUT\npath: /rooms/kitchen/heating?q\nbody: 3 294\n",
        "\nfield content-length: 3\n",
        "\nfield host: h:80\n",
        "\nfield spin-path-match-room: kitchen\n",
        "\nfield x-bytes: \\xe4\n",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    let brewed = Case::new("BREW", "/status/418", b"", b"");
    assert_eq!(web::ask(port, &brewed.bytes).status, 418);
}

/// The SDKs 6 and 7 through `wasi:http/client`, the others through `outgoing-handler`.
#[test]
fn components_of_every_sdk_ask_other_servers_on_every_engine() {
    for name in &GUESTS[..5] {
        for engine in ENGINES {
            let server = Web::start(|asked, client| {
                client.answer("203 Not Mine", &format!("{} [{}]", asked.line, asked.body));
            });
            let (_app, _running, port) = up(name, engine);
            let pass = |to: &str| {
                let field = format!("x-to: {to}\r\n");
                web::ask(port, &Case::new("POST", "/", field.as_bytes(), b"a body").bytes)
            };
            let answer = pass(&format!("{}/there?a=b", server.address()));
            let expected = (203, "POST /there?a=b [a body]".to_owned());
            assert_eq!((answer.status, answer.text()), expected, "{name}, {engine}");
            assert_eq!(server.asked()[0].header("x-passed"), Some("on"), "{name}, {engine}");
            let refused = pass("http://192.0.2.1/");
            assert_eq!(refused.status, 502, "{name}, {engine}: {refused:?}");
            assert!(refused.text().contains("HttpRequestDenied"), "{name}, {engine}: {refused:?}");
        }
    }
}
