//! The socket as clients use it.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::store::{DeadLetter, Layout};

struct Scratch {
    dir: tempfile::TempDir,
    store: Store,
    serving: tokio::task::JoinHandle<()>,
}

struct Silent;

impl crate::report::Reporter for Silent {
    fn report(&self, _: &crate::report::Report<'_>) {}
}

fn scratch() -> Scratch {
    let dir = tempfile::tempdir().unwrap();
    let folder = StateFolder::claim(dir.path(), &Silent).unwrap();
    let layout = Layout { state_dir: dir.path().to_owned(), ..Layout::default() };
    let store = Store::start(layout).unwrap();
    let control = Control { status: Source::for_tests(), store: store.clone(), lanes: None };
    let socket = ControlSocket::bind(&folder).unwrap();
    Scratch { dir, store, serving: tokio::spawn(socket.serve(Arc::new(control))) }
}

impl Scratch {
    /// Asks as another process would.
    async fn ask(&self, request: Request<'static>) -> (String, End) {
        let path = socket_path(self.dir.path());
        let asking = tokio::task::spawn_blocking(move || {
            let mut text = String::new();
            let end = ask(&path, &request, |line| {
                text += std::str::from_utf8(line).unwrap();
                Ok(())
            });
            (text, end.unwrap())
        });
        asking.await.unwrap()
    }

    async fn bury(&self, number: usize) {
        for n in 0..number {
            let letter =
                DeadLetter::new("c", format!("t/{n}"), vec![0xff; 10], "refused: \"no\"\n");
            self.store.bury(letter).await.unwrap();
        }
    }
}

fn json(verb: Verb) -> Request<'static> {
    Request { format: Format::Json, ..Request::new(verb) }
}

#[tokio::test]
async fn the_socket_is_private_replaces_what_a_killed_runner_left_and_goes_with_its_runner() {
    let dir = tempfile::tempdir().unwrap();
    let folder = StateFolder::claim(dir.path(), &Silent).unwrap();
    std::fs::write(socket_path(dir.path()), "left by a killed runner").unwrap();
    let socket = ControlSocket::bind(&folder).unwrap();
    let mode = std::fs::metadata(socket_path(dir.path())).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(socket);
    assert!(!socket_path(dir.path()).exists());
}

#[tokio::test]
async fn who_only_connects_and_who_asks_for_it_get_the_status() {
    let scratch = scratch();
    let path = socket_path(scratch.dir.path());
    let asked = tokio::task::spawn_blocking(move || {
        let mut old = String::new();
        Blocking::connect(&path).unwrap().read_to_string(&mut old).unwrap();
        (old, ask_status(&path, None).unwrap())
    });
    let (old, new) = asked.await.unwrap();
    assert!(old.starts_with("{\"app\":") && old.ends_with("}\n"), "{old}");
    assert!(new.starts_with("{\"app\":"), "{new}");
    scratch.serving.abort();
}

#[tokio::test]
async fn a_listing_of_many_pages_has_every_letter_once_and_its_end_says_how_many() {
    let scratch = scratch();
    let many = crate::limits::store::LETTERS_PER_PAGE as usize * 2 + 1;
    scratch.bury(many).await;
    let (lines, end) = scratch.ask(json(Verb::List)).await;
    assert_eq!((lines.lines().count(), end.letters), (many, many as u64));
    for (n, line) in lines.lines().enumerate() {
        assert!(line.contains(&format!("\"source\":\"t/{n}\"")), "{line}");
        assert!(line.contains(r#""reason":"refused: \"no\"\n""#), "{line}");
        assert!(!line.contains("payload_base64"), "{line}");
    }
    let (exported, _) = scratch.ask(json(Verb::Export)).await;
    assert_eq!(exported.matches("\"payload_base64\":\"////////////\"").count(), 0);
    assert_eq!(exported.matches("\"payload_base64\":\"/////////////w==\"").count(), many);
    let (table, _) = scratch.ask(Request::new(Verb::List)).await;
    assert_eq!(table.lines().count(), many + 1);
    scratch.serving.abort();
}

#[tokio::test]
async fn letters_are_shown_tried_again_and_dropped_by_their_number() {
    let scratch = scratch();
    scratch.bury(3).await;
    let one = |verb| Request { id: Some(2), ..json(verb) };
    let (shown, _) = scratch.ask(one(Verb::Show)).await;
    assert!(shown.contains("\"source\":\"t/1\""), "{shown}");
    let (retried, end) = scratch.ask(one(Verb::Retry)).await;
    assert_eq!((&*retried, end.letters), ("{\"retried\":1,\"cut\":0}\n", 1));
    assert_eq!(scratch.store.take_retries(9).await.unwrap()[0].letter.source, "t/1");
    let (dropped, _) = scratch.ask(one(Verb::Drop)).await;
    assert_eq!(dropped, "{\"dropped\":1}\n");
    for verb in [Verb::Show, Verb::Retry, Verb::Drop] {
        let (lines, end) = scratch.ask(one(verb)).await;
        assert_eq!((&*lines, &*end.error), ("", "there is no dead letter 2"));
    }
    assert_eq!(scratch.ask(json(Verb::List)).await.1.letters, 2);
    scratch.serving.abort();
}

#[tokio::test]
async fn what_is_no_request_is_answered_with_a_sentence() {
    let scratch = scratch();
    let path = socket_path(scratch.dir.path());
    let long = vec![b'x'; 2 * limits::REQUEST_BYTES_MAX as usize];
    for line in [&b"{\"do\":\"fly\"}\n"[..], b"\xff\n", b"{}\n", &long] {
        let (path, line) = (path.clone(), line.to_vec());
        let answered = tokio::task::spawn_blocking(move || {
            let mut stream = Blocking::connect(path).unwrap();
            // What it does not read it need not take.
            let _ = stream.write_all(&line);
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        let answer = answered.await.unwrap();
        assert!(end(&answer).unwrap().error.contains("not known"), "{answer:?}");
    }
    scratch.serving.abort();
}

#[tokio::test]
async fn clients_that_say_nothing_do_not_keep_others_out() {
    let scratch = scratch();
    let path = socket_path(scratch.dir.path());
    let silent: Vec<_> =
        (0..3 * limits::CLIENTS_MAX).map(|_| Blocking::connect(&path).unwrap()).collect();
    scratch.bury(1).await;
    assert_eq!(scratch.ask(json(Verb::List)).await.1.letters, 1);
    drop(silent);
    scratch.serving.abort();
}

#[test]
fn an_error_with_quotes_and_line_breaks_survives_the_socket() {
    let sentence = "the \"file\"\nis gone: \u{1F4A5} ä";
    assert_eq!(&*end(show::end(7, sentence).as_bytes()).unwrap().error, sentence);
    let long = "\"ä".repeat(limits::ERROR_BYTES_MAX);
    let short = end(show::end(0, &long).as_bytes()).unwrap().error;
    assert!(long.starts_with(&*short) && short.len() > limits::ERROR_BYTES_MAX - 4);
}
