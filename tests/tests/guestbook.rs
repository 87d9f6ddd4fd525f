//! The examples with pages, as browsers and curl use them, on every engine: the guestbook, whose entries are in SQLite;
//! a folder of files; the rooms of the thermostat, beside its messages.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use pirn_tests::apps::ScratchApp;
use pirn_tests::broker::Mosquitto;
use pirn_tests::guests::example;
use pirn_tests::machine;
use pirn_tests::peer::Peer;
use pirn_tests::process::{Running, run};
use pirn_tests::web::{self, Answer};

const ENGINES: [&str; 3] = ["native", "pulley", "interpreted"];

fn app(name: &str, engine: &str) -> ScratchApp {
    ScratchApp::example(name).on(name, machine::engine(engine)).built()
}

fn up(app: &ScratchApp) -> (Running, u16) {
    let running = app.up(&["--listen", "127.0.0.1:0"]);
    let port = web::port(&running);
    (running, port)
}

/// A request with these fields more.
fn ask(port: u16, method: &str, path: &str, fields: &str) -> Answer {
    let head =
        format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{fields}\r\n");
    web::ask(port, head)
}

fn write(port: u16, form: &str) -> Answer {
    web::post(port, "/entries", form)
}

#[test]
fn an_entry_is_on_the_page_as_text_whatever_it_says() {
    for engine in ENGINES {
        let app = app("guestbook", engine);
        let (_running, port) = up(&app);
        let empty = web::get(port, "/");
        assert_eq!(empty.field("content-type"), Some("text/html; charset=utf-8"), "{engine}");
        assert!(empty.text().contains("Nobody has written anything yet."), "{engine}");
        assert_eq!(web::get(port, "/entries").text(), "[]\n", "{engine}");
        let back =
            write(port, "name=%22A%22+%26+B&text=%3Cscript%3Ealert(1)%3C%2Fscript%3E%0D%0A%C3%A4");
        assert_eq!((back.status, back.field("location")), (303, Some("/")), "{engine}");
        assert_eq!(write(port, "name=B&text=second").status, 303, "{engine}");
        let page = web::get(port, "/").text();
        assert!(!page.contains("<script"), "{engine}: {page}");
        let [second, first] = ["second", "&lt;script&gt;alert(1)&lt;/script&gt;\nä"].map(|text| {
            page.find(&format!("<p>{text}</p>")).unwrap_or_else(|| panic!("{engine}: {page}"))
        });
        assert!(second < first, "{engine}: the newest comes first");
        assert!(page.contains("<strong>&quot;A&quot; &amp; B</strong>"), "{engine}: {page}");
        let json = web::get(port, "/entries");
        assert_eq!(json.field("content-type"), Some("application/json"), "{engine}");
        let json: serde_json::Value = serde_json::from_str(&json.text()).unwrap();
        let (name, text) = (&json[1]["name"], &json[1]["text"]);
        assert_eq!(name, "\"A\" & B", "{engine}");
        assert_eq!(text, "<script>alert(1)</script>\nä", "{engine}");
    }
}

#[test]
fn what_is_no_entry_is_refused_with_a_sentence_and_not_kept() {
    for engine in ENGINES {
        let app = app("guestbook", engine);
        let (_running, port) = up(&app);
        let long = format!("name=A&text={}", "x".repeat(501));
        for (form, sentence) in [
            ("", "The form has no field \"name\".\n"),
            ("name=A", "The form has no field \"text\".\n"),
            ("name=+&text=x", "The name is empty.\n"),
            ("name=A&text=%zz", "The field \"text\" has a % without two hexadecimal digits.\n"),
            ("name=%ff&text=x", "The field \"name\" is not UTF-8.\n"),
            (&*long, "The text has 501 characters; 500 fit.\n"),
        ] {
            let refused = write(port, form);
            assert_eq!((refused.status, &*refused.text()), (400, sentence), "{engine}: {form}");
        }
        assert_eq!(write(port, &long.repeat(40)).status, 413, "{engine}");
        assert_eq!(ask(port, "DELETE", "/entries", "").status, 405, "{engine}");
        assert_eq!(web::get(port, "/other").status, 404, "{engine}");
        assert_eq!(web::get(port, "/entries").text(), "[]\n", "{engine}");
    }
}

#[test]
fn entries_outlive_the_runner_and_its_kill() {
    for engine in ENGINES {
        let app = app("guestbook", engine);
        for (count, signal) in [(1, "TERM"), (2, "KILL"), (3, "KILL")] {
            let (mut running, port) = up(&app);
            assert_eq!(write(port, &format!("name=A&text=number+{count}")).status, 303, "{engine}");
            running.signal(signal);
            running.wait();
            let (_running, port) = up(&app);
            let page = web::get(port, "/").text();
            for number in 1..=count {
                assert!(page.contains(&format!("<p>number {number}</p>")), "{engine}: {page}");
            }
        }
    }
}

#[test]
fn the_page_shows_the_newest_fifty_and_a_thousand_are_kept() {
    let app = app("guestbook", "native");
    let (_running, port) = up(&app);
    assert_eq!(write(port, "name=A&text=number+1.").status, 303);
    let sql = |sql: &str| {
        let words = ["sqlite", "default", sql, "-f", app.path().to_str().unwrap()];
        let ended = run(Command::new(pirn_tests::pirn()).args(words));
        assert_eq!(ended.code, Some(0), "{}", ended.err);
        ended.out
    };
    sql("WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n LIMIT 1500) \
         INSERT INTO entries (name, text) SELECT 'A', 'number ' || i || '.' FROM n");
    assert_eq!(sql("SELECT count(*) FROM entries"), "1501\n");
    assert_eq!(write(port, "name=A&text=number+1502.").status, 303);
    assert_eq!(sql("SELECT count(*), min(id), max(id) FROM entries"), "1000|503|1502\n");
    let page = web::get(port, "/").text();
    assert_eq!(page.matches("<article>").count(), 50);
    assert!(page.contains("<p>number 1502.</p>") && page.contains("<p>number 1453.</p>"), "{page}");
    assert!(!page.contains("<p>number 1452.</p>"), "{page}");
}

#[test]
fn files_have_their_type_and_a_tag_for_which_no_bytes_come() {
    for engine in ENGINES {
        let app = app("static-files", engine);
        let (_running, port) = up(&app);
        let public = example("static-files").join("public");
        let files = [
            ("/", "index.html", "text/html; charset=utf-8"),
            ("/style.css?v=1", "style.css", "text/css; charset=utf-8"),
            ("/icon%2Esvg", "icon.svg", "image/svg+xml"),
        ];
        let mut tags = Vec::new();
        for (path, file, kind) in files {
            let bytes = std::fs::read(public.join(file)).unwrap();
            let answer = web::get(port, path);
            assert_eq!((answer.status, answer.is_whole), (200, true), "{engine}: {path}");
            assert_eq!(answer.field("content-type"), Some(kind), "{engine}: {path}");
            assert!(answer.body == bytes, "{engine}: {path}");
            let tag = answer.field("etag").unwrap().to_owned();
            let head = ask(port, "HEAD", path, "");
            assert_eq!(head.field("content-length"), Some(&*bytes.len().to_string()), "{engine}");
            assert_eq!((head.field("etag"), head.body.len()), (Some(&*tag), 0), "{engine}");
            let known = format!("if-none-match: \"other\", {tag}\r\n");
            let unchanged = ask(port, "GET", path, &known);
            assert_eq!((unchanged.status, unchanged.body.len()), (304, 0), "{engine}: {path}");
            assert_eq!(unchanged.field("etag"), Some(&*tag), "{engine}: {path}");
            let changed = ask(port, "GET", path, "if-none-match: \"other\"\r\n");
            assert_eq!(changed.status, 200, "{engine}: {path}");
            tags.push(tag);
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), files.len(), "{engine}");
    }
}

#[test]
fn no_path_leads_out_of_the_folder_that_is_served() {
    for engine in ENGINES {
        let app = app("static-files", engine);
        std::fs::write(app.file("public/.secret"), "hidden").unwrap();
        let (_running, port) = up(&app);
        for path in [
            "/../spin.toml",
            "/%2e%2e/spin.toml",
            "/..%2fspin.toml",
            "/public/../../spin.toml",
            "//../spin.toml",
            "/..%5cspin.toml",
            "/.secret",
            "/%00",
            "/index.html%00.css",
            "/%",
            "/%ff",
            "/index.html/x",
            "/etc/passwd",
            "/none.css",
        ] {
            let answer = web::get(port, path);
            assert_eq!(answer.status, 404, "{engine}: {path}");
            assert_eq!(answer.text(), "There is no such file.\n", "{engine}: {path}");
        }
        let refused = web::post(port, "/index.html", "x");
        assert_eq!((refused.status, refused.field("allow")), (405, Some("GET, HEAD")), "{engine}");
    }
}

#[test]
fn a_file_larger_than_the_component_s_memory_comes_whole() {
    for engine in ENGINES {
        let app = ScratchApp::example("static-files").on("static-files", machine::engine(engine));
        let bytes: Vec<u8> =
            (0..5_000_000_u32).flat_map(|n| n.to_le_bytes()).take(5 << 20).collect();
        std::fs::create_dir(app.file("public/more")).unwrap();
        std::fs::write(app.file("public/more/large.bin"), &bytes).unwrap();
        let app = app.built();
        let (running, port) = up(&app);
        let answer = web::get(port, "/more/large.bin");
        let (fields, printed) = (&answer.fields, running.printed());
        let length = answer.body.len();
        assert_eq!(answer.status, 200, "{engine}: {fields:?}\n{printed}");
        assert!(answer.is_whole, "{engine}: {length} bytes, {fields:?}\n{printed}");
        assert!(answer.body == bytes, "{engine}: {length} bytes, other than those of the file");
        assert_eq!(answer.field("content-type"), Some("application/octet-stream"), "{engine}");
        assert_eq!(web::get(port, "/more").status, 404, "{engine}: a folder without an index");
    }
}

#[test]
fn the_rooms_of_the_thermostat_are_a_page_beside_its_messages() {
    for engine in ENGINES {
        let chosen = machine::engine(engine);
        let app =
            ScratchApp::example("thermostat").on("page", chosen).on("thermostat", chosen).built();
        let broker = Mosquitto::start();
        let outside = Peer::subscribed(broker.port(), "home/#");
        let address = format!("broker={}", broker.address());
        let running = app.connected(&["--listen", "127.0.0.1:0", "--variable", &address]);
        let port = web::port(&running);
        assert!(web::get(port, "/").text().contains("No room has reported"), "{engine}");
        for (room, temperature) in [("kitchen", "18.2"), ("a<b>&", "25")] {
            outside.publish(&format!("home/{room}/temperature"), temperature);
            outside.until(|topic, _| topic.ends_with("/thermostat"));
        }
        let page = web::get(port, "/");
        let text = page.text();
        assert_eq!(page.field("content-type"), Some("text/html; charset=utf-8"), "{engine}");
        for part in [
            "Every room at 20.5 °C",
            "<span>kitchen</span> <b class=\"on\">heating on</b>",
            "<span>a&lt;b&gt;&amp;</span> <b class=\"off\">heating off</b>",
        ] {
            assert!(text.contains(part), "{engine}: {part}: {text}");
        }
        assert_eq!(web::post(port, "/", "x").status, 405, "{engine}");
    }
}
