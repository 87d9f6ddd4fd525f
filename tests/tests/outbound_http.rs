//! Components ask web servers: what they may, what they get, and what becomes of answers that are none.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};

use pirn_tests::machine;
use pirn_tests::outward::Setting;
use pirn_tests::webserver::{Asked, Client, Web};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

/// A server of many manners, by path.
fn web() -> Web {
    Web::start(|asked: &Asked, client: &mut Client| {
        let path = asked.line.split(' ').nth(1).unwrap();
        match path.split('?').next().unwrap() {
            "/echo" => client.answer("200 OK", &format!("{} [{}]", asked.line, asked.body)),
            "/moved" => client.say(b"HTTP/1.1 302 Found\r\nLocation: /echo\r\nContent-Length: 0\r\n\r\n"),
            "/chunks" => client.say(
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            ),
            "/large" => client.answer("200 OK", &"x".repeat(1 << 20)),
            "/too-large" => client.answer("200 OK", &"x".repeat((1 << 20) + 1)),
            "/cut" => {
                client.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                client.cut();
            }
            "/none-of-it" => client.cut(),
            "/nonsense" => {
                client.say(b"what?\r\n\r\n");
                client.cut();
            }
            "/bytes" => client.say(b"HTTP/1.1 200 OK\r\nX-Odd: caf\xe9\r\nContent-Length: 2\r\n\r\nok"),
            _ => client.answer("404 Not Found", "nothing here"),
        }
    })
}

#[test]
fn a_component_of_spin_1_asks_a_server_on_every_engine() {
    for engine in ENGINES {
        let web = web();
        let (at, port) = (web.address(), web.port());
        let app = Setting { engine, hosts: &[&at], ..Setting::default() }.start();
        let fetch = |what: &str| app.ask("fetch", &what.replace("AT", &at));
        let answer =
            fetch("POST AT/echo?a=b\nx-own: 1\nhost: elsewhere\ncontent-length: 999\n\nbody");
        assert_eq!(answer, "200\ncontent-length: 25\n\nPOST /echo?a=b [body]".replace("25", "21"));
        let asked = &web.asked()[0];
        assert_eq!(asked.header("x-own"), Some("1"));
        let own = format!("127.0.0.1:{port}");
        assert_eq!(asked.header("host"), Some(own.as_str()), "the target's, not the guest's word");
        assert_eq!(asked.header("content-length"), Some("4"));
        assert_eq!(fetch("GET AT/moved"), "302\ncontent-length: 0\nlocation: /echo\n\n");
        assert_eq!(fetch("GET AT/chunks"), "200\ntransfer-encoding: chunked\n\nabcde");
        assert_eq!(fetch("DELETE AT/none"), "404\ncontent-length: 12\n\nnothing here");
        assert!(fetch("GET AT/large").ends_with("\n1048576 bytes"));
        assert_eq!(web.connections(), 1, "a connection serves one request after the other");
        assert_eq!(fetch("GET AT/too-large"), "error: runtime-error");
        app.pirnd.wait_for("/too-large: the body of the answer has more than 1048576 bytes");
        assert_eq!(fetch("GET AT/cut"), "error: runtime-error");
        assert_eq!(fetch("GET AT/nonsense"), "error: runtime-error");
        assert!(fetch("GET AT/bytes").starts_with("200\ncontent-length: 2\nx-odd: caf"));
    }
}

/// The SDK's own way: what a guest asks, what it gets, and the error codes of its interface.
#[test]
fn a_component_sends_requests_through_wasi_http_on_every_engine() {
    for engine in ENGINES {
        let web = web();
        let at = web.address();
        let gone = Web::closed();
        let hosts = [at.as_str(), gone.as_str(), "http://*.invalid"];
        let app = Setting { engine, hosts: &hosts, ..Setting::default() }.start();
        let send = |what: &str| app.ask("send", &what.replace("AT", &at));
        let answer = send("POST AT/echo?a=b\nx-own: 1\n\nbody");
        assert_eq!(answer, "200\ncontent-length: 21\n\nPOST /echo?a=b [body]", "{engine}");
        assert_eq!(web.asked()[0].header("x-own"), Some("1"));
        assert_eq!(send("GET AT/moved"), "302\ncontent-length: 0\nlocation: /echo\n\n");
        assert_eq!(send("GET AT/chunks"), "200\ntransfer-encoding: chunked\n\nabcde");
        assert_eq!(send("REPORT AT/echo"), "200\ncontent-length: 15\n\nREPORT /echo []");
        assert!(send("GET AT/too-large").ends_with("\n1048577 bytes"), "it streams: no cap");
        for (what, code) in [
            ("GET http://127.0.0.1:1/", "HttpRequestDenied"),
            ("POST http://127.0.0.1:1/\n\nwith a body", "HttpRequestDenied"),
            ("GET http://name.invalid/", "DnsError"),
            ("GET AT/nonsense", "HttpProtocolError"),
            ("GET AT/none-of-it", "HttpResponseIncomplete"),
        ] {
            let said = send(what);
            assert!(said.contains(code), "{what} on {engine}: {said}");
        }
        let said = app.ask("send", &format!("GET {gone}/"));
        assert!(said.contains("ConnectionRefused"), "{said}");
        let said = app.ask("send", &format!("POST {gone}/\n\n{}", "x".repeat(40_000)));
        assert!(
            said.contains("ConnectionRefused"),
            "the reason, not that the body was not read: {said}"
        );
        // The end of a body that is cut is no end.
        assert!(send("GET AT/cut").starts_with("error: "));
    }
}

#[test]
fn what_is_larger_than_a_guest_passes_through_it_both_ways() {
    for (engine, bytes) in [("native", 64 << 20), ("interpreted", 8 << 20)] {
        let web = Web::raw(|mut stream| {
            // The head, then whatever comes goes back as it came: a chunked body is its own answer.
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                if stream.write_all(&buffer[..count]).is_err() {
                    return;
                }
            }
        });
        let at = web.address();
        let app = Setting { engine, hosts: &[&at], ..Setting::default() }.start();
        let port = web.port();
        let said = app.ask("pump", &format!("127.0.0.1:{port}/echo {bytes}"));
        assert_eq!(said, format!("wrote all, read {bytes}"), "{engine}");
    }
}

#[test]
fn what_the_manifest_does_not_grant_is_not_asked() {
    let (granted, other) = (web(), web());
    let at = granted.address();
    let app = Setting { hosts: &[&at], ..Setting::default() }.start();
    let fetch = |address: &str| app.ask("fetch", &format!("GET {address}/echo"));
    assert!(fetch(&at).starts_with("200"));
    let port = granted.port();
    for refused in [
        other.address(),
        format!("http://localhost:{port}"),
        format!("https://127.0.0.1:{port}"),
        format!("http://[::ffff:127.0.0.1]:{}", other.port()),
        "http://127.0.0.1".to_owned(),
        "http://self".to_owned(),
        "http://other.spin.internal".to_owned(),
        String::new(),
    ] {
        assert_eq!(fetch(&refused), "error: destination-not-allowed", "{refused:?}");
    }
    for bad in ["127.0.0.1", "http://user:pass@127.0.0.1", "http://", "http://127.0.0.1:0"] {
        assert_eq!(fetch(bad), "error: invalid-url", "{bad}");
    }
    assert_eq!(fetch("ftp://127.0.0.1"), "error: invalid-url");
    assert_eq!(other.connections(), 0);
}

#[test]
fn an_address_that_the_operator_blocks_is_not_reached_by_any_name() {
    let web = web();
    // All of 127.0.0.0/8 is this machine; the broker's address has to stay.
    let config = "[outbound_networking]\nblock_networks = [\"127.0.0.2/32\", \"::1/128\"]\n";
    let app = Setting { hosts: &["http://*:*"], config, ..Setting::default() }.start();
    let port = web.port();
    let fetch = |host: &str| app.ask("fetch", &format!("GET http://{host}:{port}/echo"));
    assert!(fetch("127.0.0.1").starts_with("200"));
    assert!(fetch("localhost").starts_with("200"), "of its addresses one is left");
    for blocked in ["127.0.0.2", "[::1]", "[::ffff:127.0.0.2]", "2130706434", "0x7f000002"] {
        let answer = fetch(blocked);
        assert_eq!(answer, "error: destination-not-allowed", "{blocked}");
    }
    assert_eq!(web.connections(), 2, "one for each name that is allowed");
}

#[test]
fn nobody_answers_within_an_app_that_has_no_routes() {
    let app = Setting { hosts: &["http://self", "http://*.spin.internal"], ..Setting::default() };
    let app = app.start();
    for own in ["/own", "http://self/own", "http://other.spin.internal/"] {
        let answer = app.ask("fetch", &format!("GET {own}"));
        assert_eq!(answer, "error: runtime-error", "{own}");
    }
    app.pirnd.wait_for("nothing in this app answers requests");
}

/// Two components that answer requests, one of them only to others of the app.
const ANSWERING: &str = "
[[trigger.http]]
route = \"/...\"
component = \"web\"
[[trigger.http]]
route = { private = true }
component = \"hidden\"
[component.web]
source = \"http.wasm\"
[component.hidden]
source = \"http.wasm\"
";

#[test]
fn a_component_asks_its_own_app_and_others_of_it() {
    for engine in ENGINES {
        let answering: String = ["web", "hidden"]
            .map(|id| {
                format!("[component.{id}.tool.pirn]\nengine = \"{}\"\n", machine::engine(engine))
            })
            .concat();
        let more = format!("{ANSWERING}{answering}");
        let setting = Setting { engine, more: &more, beside: &["http"], ..Setting::default() };
        let hosts = ["http://self", "http://*.spin.internal"];
        let app = Setting { hosts: &hosts, ..setting }.start();
        for own in ["/say?a=b", "http://self/say?a=b"] {
            let answer = app.ask("fetch", &format!("GET {own}\nx-own: 1"));
            for said in ["200\n", "spin-path-info: /say", "spin-matched-route: /...", "x-own: 1"] {
                assert!(answer.contains(said), "{said:?} on {engine}: {answer}");
            }
        }
        let answer =
            app.ask("fetch", "POST http://web.spin.internal/echo\n\nfrom one to the other");
        assert!(answer.ends_with("\nfrom one to the other"), "{engine}: {answer}");
        let answer = app.ask("send", "GET http://hidden.spin.internal/say");
        assert!(answer.contains("spin-path-info: /say"), "{engine}: {answer}");
        let answer = app.ask("send", "GET http://hidden.spin.internal/trap");
        assert!(answer.starts_with("500\n"), "{engine}: {answer}");
        let answer = app.ask("send", "GET http://none.spin.internal/");
        assert!(answer.contains("DestinationNotFound"), "{engine}: {answer}");
        let said = app.ask("pump", &format!("web.spin.internal/echo {}", 4 << 20));
        assert_eq!(said, format!("wrote all, read {}", 4 << 20), "{engine}");
    }
}
