//! `[[trigger.http]]` with components of `wasi:http/handler@0.3`, made with the SDK of Spin 4: on every engine.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};

use pirn_tests::apps::ScratchApp;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::process::Running;
use pirn_tests::web::{self, Answer};
use pirn_tests::webserver::Web;

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

fn up(engine: &str) -> (ScratchApp, Running, u16) {
    let engine = machine::engine(engine);
    let app = ScratchApp::with_manifest(&format!(
        r#"spin_manifest_version = 2

[application]
name = "service"

[[trigger.http]]
route = "/..."
component = "service"

[component.service]
source = "service.wasm"
allowed_outbound_hosts = ["http://self", "http://127.0.0.1:*"]

[component.service.tool.pirn]
engine = "{engine}"
"#
    ));
    app.copy(&guest("http-service"), "service.wasm");
    let app = app.built();
    let running = app.up(&["--listen", "127.0.0.1:0"]);
    let port = web::port(&running);
    (app, running, port)
}

#[test]
fn a_component_of_the_newest_sdk_answers_at_once_and_in_one_piece() {
    for engine in ENGINES {
        let (_app, _running, port) = up(engine);
        let hello = web::get(port, "/hello");
        assert_eq!((hello.status, &*hello.text()), (200, "Hello World!"), "{engine}");
        assert_eq!(hello.field("content-length"), Some("12"), "{engine}: {hello:?}");
        let teapot = web::get(port, "/teapot");
        assert_eq!((teapot.status, teapot.field("x-brewing")), (418, Some("tea")), "{engine}");
        assert_eq!(web::get(port, "/elsewhere").status, 404, "{engine}");
        let head = web::get(port, "/head?q=1").text();
        for line in ["GET http://test/head?q=1", "host: test", "spin-matched-route: /..."] {
            assert!(head.contains(line), "{engine}: no {line:?} in\n{head}");
        }
    }
}

#[test]
fn what_it_writes_after_its_head_comes_as_it_is_written() {
    for engine in ENGINES {
        let (_app, _running, port) = up(engine);
        let count = web::get(port, "/count");
        assert_eq!(count.text(), "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", "{engine}");
        assert!(count.is_whole && count.field("transfer-encoding") == Some("chunked"), "{engine}");
    }
}

#[test]
fn bodies_go_through_it_both_ways() {
    for engine in ENGINES {
        let (_app, _running, port) = up(engine);
        for length in [0, 1, 70_000, 1 << 20] {
            let body = "abcdefghij".repeat(length / 10 + 1);
            let body = &body[..length];
            let echo = web::post(port, "/echo", body);
            assert!(echo.is_whole && echo.text() == body, "{engine}: {length}");
        }
        assert_eq!(web::post(port, "/upper", "abc").text(), "ABC", "{engine}");
    }
}

#[test]
fn it_echoes_what_has_come_before_the_rest_is_sent() {
    for engine in ENGINES {
        let (_app, _running, port) = up(engine);
        let mut stream = web::connect(port);
        let head = "POST /echo HTTP/1.1\r\nhost: h\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let mut came = Vec::new();
        // A guest is called when the first 16 KiB are here.
        let first = "a".repeat(20_000);
        for part in [&first, "two", "three"] {
            let chunk = format!("{:x}\r\n{part}\r\n", part.len());
            stream.write_all(chunk.as_bytes()).unwrap();
            // In whatever chunks.
            while !web::taken_apart(&came).text().ends_with(part) {
                let mut some = [0; 1_000];
                let count = stream.read(&mut some).unwrap();
                assert!(count > 0, "{engine}: it ended before {} bytes", part.len());
                came.extend_from_slice(&some[..count]);
            }
        }
        stream.write_all(b"0\r\n\r\n").unwrap();
        stream.read_to_end(&mut came).unwrap();
        let echo: Answer = web::taken_apart(&came);
        assert!(echo.is_whole && echo.text() == format!("{first}twothree"), "{engine}");
    }
}

#[test]
fn when_it_fails_the_client_sees_that_and_the_next_request_is_answered() {
    for engine in ENGINES {
        let (_app, running, port) = up(engine);
        for (path, why) in [("/fails", "InternalError"), ("/traps", "faulted (trap)")] {
            let answer = web::get(port, path);
            assert_eq!((answer.status, answer.body.len()), (500, 0), "{engine} {path}");
            running.wait_for(why);
        }
        let cut = web::get(port, "/breaks");
        assert_eq!((cut.status, &*cut.text(), cut.is_whole), (200, "0\n1\n2\n", false), "{engine}");
        running.wait_for("GET /breaks");
        assert_eq!(web::get(port, "/hello").status, 200, "{engine}");
    }
}

fn passed(port: u16, to: &str, body: &str) -> Answer {
    let length = body.len();
    let head = format!(
        "POST /pass HTTP/1.1\r\nhost: h\r\nconnection: close\r\nx-to: {to}\r\ncontent-length: {length}\r\n\r\n"
    );
    web::ask(port, head + body)
}

#[test]
fn it_asks_others_and_passes_bodies_on_both_ways_as_they_come() {
    for engine in ENGINES {
        let (_app, running, port) = up(engine);
        for length in [0, 1, 70_000, 3 << 20] {
            let body = "abcdefghij".repeat(length / 10 + 1);
            let body = &body[..length];
            // Through this component, to this component, and back.
            let echo = passed(port, "http://self/echo", body);
            assert!(echo.is_whole && echo.text() == body, "{engine}: {length} {}", echo.status);
        }
        let asked = passed(port, "http://self/teapot", "");
        assert_eq!(asked.status, 418, "{engine}");
        let refused = passed(port, "http://192.0.2.1/", "x");
        assert_eq!(refused.status, 500, "{engine}");
        running.wait_for("HttpRequestDenied");
    }
}

#[test]
fn whom_it_asks_may_answer_before_all_is_sent_or_fail() {
    for engine in ENGINES {
        let server = Web::start(|asked, client| match asked.line.as_str() {
            "POST /cut" => {
                client.say(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf");
                client.cut();
            }
            "POST /none" => client.cut(),
            line => client.answer("200 OK", &format!("{line} [{}]", asked.body.len())),
        });
        let (_app, running, port) = up(engine);
        let at = server.address();
        let whole = passed(port, &format!("{at}/a?b"), &"x".repeat(200_000));
        assert_eq!(whole.text(), "POST /a?b [200000]", "{engine}");
        let cut = passed(port, &format!("{at}/cut"), "x");
        assert_eq!((cut.status, cut.is_whole), (200, false), "{engine}: {cut:?}");
        let none = passed(port, &format!("{at}/none"), "x");
        assert_eq!(none.status, 500, "{engine}: {none:?}");
        running.wait_for("HttpResponseIncomplete");
        assert_eq!(web::get(port, "/hello").status, 200, "{engine}");
    }
}
