//! `[[trigger.http]]`, from a client's socket to the guest and back, on every engine.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::io::{Read as _, Write as _};

use pirn_tests::apps::ScratchApp;
use pirn_tests::guests::guest;
use pirn_tests::machine;
use pirn_tests::process::Running;
use pirn_tests::served::Served;
use pirn_tests::web::{self, Answer};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

/// An app of one guest, with more in its manifest: of the application, of the component, of its tool table.
fn app(engine: &str, application: &str, tool: &str) -> ScratchApp {
    let engine = machine::engine(engine);
    let app = ScratchApp::with_manifest(&format!(
        r#"spin_manifest_version = 2

[application]
name = "web"
version = "1.2.3"
{application}

[[trigger.http]]
route = "/..."
component = "web"

[[trigger.http]]
route = "say/:id/..."
component = "web"

[[trigger.http]]
route = "/say/exact"
component = "web"

[[trigger.http]]
route = "/fixed"
static_response = {{ status_code = 418, body = "short and stout", headers = {{ content-type = "text/tea" }} }}

[[trigger.http]]
route = {{ private = true }}
component = "hidden"

[component.web]
source = "http.wasm"

[component.web.tool.pirn]
engine = "{engine}"
{tool}

[component.hidden]
source = "http.wasm"

[component.hidden.tool.pirn]
engine = "{engine}"
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

/// Requests that are answered in the same way whatever runs the guest.
fn requests() -> Vec<String> {
    let mut all = Vec::new();
    let close = "connection: close\r\n";
    for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "HEAD"] {
        for path in ["/say", "/say/exact", "/say/7/a/b/?q=1&r", "/say/%20x", "/elsewhere", "/"] {
            all.push(format!("{method} {path} HTTP/1.1\r\nhost: h:80\r\n{close}\r\n"));
        }
    }
    for status in [200, 201, 204, 299, 304, 400, 404, 500, 503, 599, 999, 99, 100, 1_000] {
        all.push(format!("GET /status/{status} HTTP/1.1\r\nhost: h\r\n{close}\r\n"));
    }
    for (bytes, path) in
        [(0, "count"), (1, "echo"), (1_000, "echo"), (70_000, "echo"), (70_000, "count")]
    {
        let body = "abcdefghij".repeat(bytes / 10 + 1);
        let body = &body[..bytes];
        all.push(format!(
            "POST /{path} HTTP/1.1\r\nhost: h\r\n{close}content-type: x/y\r\ncontent-length: {bytes}\r\n\r\n{body}"
        ));
        all.push(format!(
            "POST /{path} HTTP/1.1\r\nhost: h\r\n{close}transfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n{}",
            if bytes == 0 { "\r\n" } else { "0\r\n\r\n" }
        ));
    }
    for path in [
        "fields",
        "make/0",
        "make/1",
        "make/100000",
        "slow/10",
        "sleep/10",
        "after",
        "trailers",
        "nothing",
        "trap",
        "error",
    ] {
        all.push(format!("GET /{path} HTTP/1.1\r\nhost: h\r\n{close}te: trailers\r\n\r\n"));
    }
    all.push(format!("POST /trailers HTTP/1.1\r\nhost: h\r\n{close}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-a: 1\r\nx-b: 2\r\n\r\n"));
    for (says, writes) in [(5, 5), (5, 4), (5, 6), (0, 0)] {
        all.push(format!("GET /length/{says}/{writes} HTTP/1.1\r\nhost: h\r\n{close}\r\n"));
    }
    for field in [
        "x-a: 1\r\nx-a: 2",
        "cookie: a=b; c=d",
        "x-bytes: \u{e4}",
        "spin-full-url: lies",
        "spin-path-match-id: lies",
        "x-empty:",
    ] {
        all.push(format!("GET /say HTTP/1.1\r\nhost: h\r\n{close}{field}\r\n\r\n"));
    }
    all
}

/// What does not differ from run to run.
fn lasting(mut answer: Answer) -> Answer {
    answer.fields.retain(|(name, _)| name != "date");
    let text = answer.text();
    if text.contains("spin-client-addr") {
        let lines = text.lines().filter(|line| !line.contains("spin-client-addr"));
        answer.body = lines.collect::<Vec<_>>().join("\n").into_bytes();
    }
    answer
}

#[test]
fn every_engine_gives_the_same_answers() {
    let requests = requests();
    assert!(requests.len() >= 90, "{}", requests.len());
    let answers = ENGINES.map(|engine| {
        let app = app(engine, "", "");
        let (_running, port) = up(&app);
        requests.iter().map(|request| lasting(web::ask(port, request))).collect::<Vec<_>>()
    });
    for (at, request) in requests.iter().enumerate() {
        let of = |engine: usize| &answers[engine][at];
        assert!(of(0).status > 0 || request.contains("/length/5/"), "no answer to {request}");
        for (engine, name) in ENGINES.iter().enumerate() {
            let request = request.chars().take(80).collect::<String>();
            assert_eq!(of(0), of(engine), "native and {name} differ over {request:?}");
        }
    }
}

#[test]
fn a_guest_is_told_how_it_was_found() {
    let app = app("interpreted", "", "");
    let (_running, port) = up(&app);
    let said = web::get(port, "/say/42/x/?q=1").text();
    for line in [
        "method: Method::Get",
        "scheme: http",
        "authority: test",
        "path: /say/42/x/?q=1",
        "field host: test",
        "field spin-path-info: /x/",
        "field spin-full-url: http://test/say/42/x/?q=1",
        "field spin-matched-route: /say/:id/...",
        "field spin-base-path: /",
        "field spin-raw-component-route: /say/:id/...",
        "field spin-component-route: /say/:id",
        "field spin-client-addr: 127.0.0.1:",
        "field spin-path-match-id: 42",
        "body: 0 0",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
    assert!(!said.contains("field connection"), "{said}");
    let exact = web::get(port, "/say/exact").text();
    assert!(exact.contains("spin-path-info: \n") && !exact.contains("path-match"), "{exact}");
    let lies = "GET /say HTTP/1.1\r\nhost: h\r\nspin-full-url: lies\r\nspin-path-match-id: lies\r\nconnection: close\r\n\r\n";
    assert!(!web::ask(port, lies).text().contains("lies"));
}

#[test]
fn what_needs_no_guest_is_answered_without_one() {
    let app = app("interpreted", "", "");
    let (running, port) = up(&app);
    let fixed = web::get(port, "/fixed");
    assert_eq!((fixed.status, fixed.text().as_str()), (418, "short and stout"));
    assert_eq!(fixed.field("content-type"), Some("text/tea"));
    assert_eq!(web::get(port, "/.well-known/spin/health").text(), "OK");
    let info = web::get(port, "/.well-known/spin/info");
    assert_eq!(info.text(), "{\"name\":\"web\",\"version\":\"1.2.3\"}\n");
    let other = web::get(port, "/.well-known/spin/other");
    assert_eq!((other.status, other.body.len()), (404, 0));
    let printed = running.printed();
    for line in [
        "Available Routes:",
        "  web: http://127.0.0.1:",
        "/say/:id (wildcard)",
        "  static response: http://127.0.0.1:",
    ] {
        assert!(printed.contains(line), "no {line:?} in\n{printed}");
    }
    assert!(!printed.contains("hidden: "), "{printed}");
}

#[test]
fn a_guest_that_fails_before_its_answer_gives_500_and_nothing_of_ours() {
    for engine in ENGINES {
        let app = app(engine, "", "deadline = \"300ms\"");
        let (running, port) = up(&app);
        for (path, why) in [
            ("/trap", "faulted"),
            ("/nothing", "ended without an answer"),
            ("/error", "LoopDetected"),
            ("/spin", "deadline"),
        ] {
            let answer = web::get(port, path);
            assert_eq!((answer.status, answer.body.len()), (500, 0), "{engine} {path}");
            let names: Vec<_> = answer.fields.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["connection", "content-length", "date"], "{engine} {path}");
            running.wait_for(why);
        }
        running.wait_for("GET /trap (request 0): faulted");
        assert_eq!(web::get(port, "/say").status, 200, "{engine}");
    }
}

#[test]
fn a_guest_that_fails_after_its_head_leaves_a_connection_that_is_seen_to_be_cut() {
    for engine in ENGINES {
        let app = app(engine, "", "");
        let (running, port) = up(&app);
        let late = web::get(port, "/trap-late");
        assert_eq!((late.status, late.is_whole), (200, false), "{engine}: {late:?}");
        running.wait_for("GET /trap-late (request 0): faulted");
        for (path, said) in [
            ("/length/5/4", "true Err(ErrorCode::HttpResponseBodySize(Some(4)))"),
            ("/length/5/6", "false Err("),
        ] {
            assert!(!web::get(port, path).is_whole, "{engine} {path}");
            running.wait_for(said);
        }
        assert!(web::get(port, "/length/5/5").is_whole, "{engine}");
    }
}

#[test]
fn fields_that_are_the_connections_are_refused() {
    let app = app("interpreted", "", "");
    let (_running, port) = up(&app);
    let said = web::get(port, "/fields").text();
    for name in [
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "host",
        "http2-settings",
        "Host",
    ] {
        assert!(said.contains(&format!("{name}: Err(HeaderError::Forbidden)\n")), "{name}: {said}");
    }
    for line in [
        "a b: Err(HeaderError::InvalidSyntax)",
        "value: Err(HeaderError::InvalidSyntax)",
        "x-fine: Ok(())",
        "theirs: Err(HeaderError::Immutable)",
        "copy: Ok(())",
        "final: Err(HeaderError::Immutable)",
        "status 100: Err(())",
        "status 200: Ok(())",
        "status 1000: Err(())",
        "body: true true",
        "consume: true true",
    ] {
        assert!(said.contains(line), "no {line:?} in\n{said}");
    }
}

#[test]
fn requests_do_not_wait_for_each_other_and_an_answer_begins_before_it_ends() {
    for engine in ENGINES {
        let app = app(engine, "", "");
        let (_running, port) = up(&app);
        let mut slow = web::connect(port);
        slow.write_all(b"GET /slow/1500 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n").unwrap();
        let mut begun = Vec::new();
        while !begun.ends_with(b"first \r\n") {
            let mut byte = [0];
            slow.read_exact(&mut byte).unwrap();
            begun.push(byte[0]);
        }
        // The other answers while this one is under way.
        assert_eq!(web::get(port, "/say").status, 200, "{engine}");
        slow.set_nonblocking(true).unwrap();
        assert!(slow.read(&mut [0; 99]).is_err(), "{engine}: the slow one was over first");
        slow.set_nonblocking(false).unwrap();
        let mut rest = String::new();
        slow.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("last"), "{engine}: {rest}");
    }
}

#[test]
fn when_too_many_wait_one_more_is_told_to_come_again() {
    let app = app("interpreted", "[application.tool.pirn.http]\nwaiting = 1", "instances = 1");
    let (running, port) = up(&app);
    let sleep = b"GET /sleep/1500 HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let mut held: Vec<_> = (0..2).map(|_| web::connect(port)).collect();
    held[0].write_all(sleep).unwrap();
    // Until the first has its instance, the second would be one too many.
    std::thread::sleep(std::time::Duration::from_millis(300));
    held[1].write_all(sleep).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    let away = web::get(port, "/say");
    assert_eq!((away.status, away.field("retry-after")), (503, Some("1")));
    for mut stream in held {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains("slept"), "{answer}");
    }
    assert_eq!(web::get(port, "/say").status, 200);
    drop(running);
}

#[test]
fn a_guest_may_go_on_after_its_answer() {
    for engine in ENGINES {
        let app = app(engine, "", "");
        let (running, port) = up(&app);
        assert_eq!(web::get(port, "/after").text(), "answered\n");
        running.wait_for("went on after its answer");
    }
}

#[test]
fn two_apps_of_a_process_do_not_share_an_address_and_one_that_goes_frees_it() {
    let listen = |port: u16| format!("[application.tool.pirn.http]\nlisten = \"127.0.0.1:{port}\"");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (first, second) =
        (app("interpreted", &listen(free), ""), app("interpreted", &listen(free), ""));
    let served = Served::new();
    let add = |app: &ScratchApp, name: &str| {
        [String::from("add"), app.path().display().to_string(), "--name".into(), name.into()]
    };
    let words = add(&first, "first");
    served.said(&words.each_ref().map(String::as_str));
    assert_eq!(web::get(free, "/say").status, 200);
    let words = add(&second, "second");
    let words = words.each_ref().map(String::as_str);
    let refused = served.refused(&words);
    assert!(refused.contains("first and second both listen at 127.0.0.1:"), "{refused}");
    // Who asks while it is replaced waits for the next version.
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut asked = 0;
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                assert_eq!(web::get(free, "/say").status, 200);
                asked += 1;
            }
            asked
        });
        served.said(&["replace", "first", &second.path().display().to_string()]);
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(asked.join().unwrap() > 0);
    });
    assert_eq!(web::get(free, "/say").status, 200);
    served.said(&["remove", "first"]);
    assert!(std::net::TcpStream::connect(("127.0.0.1", free)).is_err());
    served.said(&words);
    assert_eq!(web::get(free, "/say").status, 200);
}

#[test]
fn guests_of_spin_1_are_given_requests_whole() {
    for engine in ENGINES {
        let app = app(engine, "", "");
        app.copy(&guest("http-whole"), "http.wasm");
        let app = app.built();
        let (running, port) = up(&app);
        let answer = web::post(port, "/a?x=1&y=a+b%21", "body");
        assert_eq!(
            answer.text(),
            "Method::Post /a?x=1&y=a+b%21 [(\"x\", \"1\"), (\"y\", \"a b!\")] Some(\"/...\") body\n",
            "{engine}"
        );
        assert_eq!((answer.status, answer.field("connection")), (200, Some("close")), "{engine}");
        assert_eq!(web::get(port, "/status/404").status, 404, "{engine}");
        assert_eq!(web::get(port, "/status/99").status, 500, "{engine}");
        assert_eq!(web::get(port, "/trap").status, 500, "{engine}");
        let brew = "BREW / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
        assert_eq!(web::ask(port, brew).status, 405, "{engine}");
        let large = web::post(port, "/", &"x".repeat((1 << 20) + 1));
        assert_eq!(large.status, 413, "{engine}");
        running.wait_for("GET /trap (request ");
    }
}

#[test]
fn the_example_says_hello_on_every_engine() {
    for engine in ENGINES {
        let app = ScratchApp::example("hello-http");
        let manifest = std::fs::read_to_string(app.file("spin.toml")).unwrap();
        let engine = machine::engine(engine);
        let chosen = format!("{manifest}\n[component.hello.tool.pirn]\nengine = \"{engine}\"\n");
        std::fs::write(app.file("spin.toml"), chosen).unwrap();
        let app = app.built();
        let (_running, port) = up(&app);
        assert_eq!(web::get(port, "/hello").text(), "Hello, world!\n", "{engine}");
        assert_eq!(web::get(port, "/hello/you").text(), "Hello, you!\n", "{engine}");
        assert!(web::get(port, "/").text().contains("curl"), "{engine}");
    }
}
