//! Programs that answer requests (wagi): on every engine the same, from the environment to what they print.
#![allow(clippy::unwrap_used, clippy::panic)]

use pirn_tests::apps::ScratchApp;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::process::Running;
use pirn_tests::web;

fn up(engine: &str) -> (ScratchApp, Running, u16) {
    let engine = machine::engine(engine);
    let app = ScratchApp::with_manifest(&format!(
        r#"spin_manifest_version = 2
[application]
name = "web"
[[trigger.http]]
route = "/run/..."
component = "program"
executor = {{ type = "wagi" }}
[component.program]
source = "http-program.wasm"
[component.program.tool.pirn]
engine = "{engine}"
memory = "4MiB"
"#
    ));
    app.copy(&guest("http-program"), "http-program.wasm");
    let app = app.built();
    let running = app.up(&["--listen", "127.0.0.1:0"]);
    let port = web::port(&running);
    (app, running, port)
}

#[test]
fn a_program_finds_what_it_is_asked_and_answers_with_what_it_prints() {
    for engine in ["native", "pulley", "interpreted"] {
        let (_app, running, port) = up(engine);
        let asked = "POST /run/say?a=1&b+c HTTP/1.1\r\nhost: h:81\r\nconnection: close\r\ncontent-type: x/y\r\nx-a: yes\r\nproxy: evil\r\ncontent-length: 4\r\n\r\nbody";
        let answer = web::ask(port, asked);
        assert_eq!((answer.status, answer.field("x-program")), (200, Some("yes")), "{engine}");
        let said = answer.text();
        for line in [
            "REQUEST_METHOD=POST",
            "SCRIPT_NAME=/run",
            "PATH_INFO=/say",
            "QUERY_STRING=a=1&b+c",
            "CONTENT_LENGTH=4",
            "CONTENT_TYPE=x/y",
            "SERVER_NAME=h",
            "SERVER_PORT=81",
            "SERVER_PROTOCOL=HTTP/1.1",
            "GATEWAY_INTERFACE=CGI/1.1",
            "REMOTE_ADDR=127.0.0.1",
            "X_FULL_URL=http://h:81/run/say?a=1&b+c",
            "HTTP_X_A=yes",
            "HTTP_PROXY=",
            "arguments: /run,a=1,b c",
            "body: body",
        ] {
            assert!(said.lines().any(|it| it == line), "{engine}: no {line:?} in\n{said}");
        }
        running.wait_for("this is for the log");
        let missing = web::get(port, "/run/status");
        assert_eq!((missing.status, missing.text().as_str()), (404, "nothing here\n"), "{engine}");
        let moved = web::get(port, "/run/moved");
        assert_eq!((moved.status, moved.field("location")), (302, Some("/elsewhere")), "{engine}");
        let large = web::get(port, "/run/make/1000000");
        assert_eq!((large.body.len(), large.is_whole), (1_000_000, true), "{engine}");
    }
}

#[test]
fn a_program_that_prints_no_answer_gives_500_and_one_that_fails_late_is_cut() {
    for engine in ["native", "interpreted"] {
        let (_app, running, port) = up(engine);
        for path in ["/run/bare", "/run/silent", "/run/fail"] {
            let answer = web::get(port, path);
            assert_eq!((answer.status, answer.body.len()), (500, 0), "{engine} {path}");
        }
        running.wait_for("what it printed is no answer");
        let late = web::get(port, "/run/late");
        assert_eq!((late.status, late.is_whole), (200, false), "{engine}: {late:?}");
    }
}
