//! Clients that are slow, and who is not held up by them. Time stands still but for whoever waits.

use std::time::Duration;

use pirn_triggers::http::pipe::pipe;
use pirn_triggers::http::{Answer, Outgoing};
use pirn_triggers::limits::http as limits;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::sleep;

use super::support::{Bench, read_all, read_until, statuses, whole};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_head_that_trickles_is_answered_with_408() {
    let bench = Bench::echo();
    let mut slow = bench.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
    let trickle = async {
        for _ in 0..60 {
            sleep(Duration::from_secs(1)).await;
            if slow.write_all(b"a: b\r\n").await.is_err() {
                break;
            }
        }
    };
    trickle.await;
    assert_eq!(statuses(&read_all(&mut slow).await), [408]);
    assert_eq!(bench.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_connects_and_says_nothing_is_let_go_without_a_word() {
    let bench = Bench::echo();
    let mut silent = bench.connect().await;
    assert_eq!(read_all(&mut silent).await, "");
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_a_while_and_goes_on() {
    let bench = Bench::echo();
    let mut stream = bench.connect().await;
    for _ in 0..3 {
        stream.write_all(GET).await.unwrap();
        read_until(&mut stream, ">").await;
        sleep(limits::IDLE_TIME - Duration::from_secs(2)).await;
    }
    assert_eq!(read_all(&mut stream).await, "");
    assert_eq!(bench.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_breaks() {
    let bench = Bench::echo();
    let mut slow = bench.connect().await;
    slow.write_all(b"POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc").await.unwrap();
    assert_eq!(statuses(&read_all(&mut slow).await), [400]);
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_keeps_its_connection_however_long_it_takes_to_make() {
    let bench = Bench::with(Default::default(), |request| {
        let (mut writer, reader) = pipe();
        let mut answer = whole(200, "");
        answer.body = Outgoing::Piped(reader);
        request.responder.answer(answer);
        tokio::spawn(async move {
            for _ in 0..5 {
                sleep(limits::IDLE_TIME * 2).await;
                writer.write("slow ".into()).unwrap();
            }
            writer.finish(None);
        });
    });
    let mut stream = bench.connect().await;
    stream.write_all(GET).await.unwrap();
    let answer = read_until(&mut stream, "0\r\n\r\n").await;
    assert_eq!(answer.matches("slow ").count(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_no_answer_is_cut_off() {
    let (gone, told) = std::sync::mpsc::channel();
    let bench = Bench::with(Default::default(), move |request| {
        let (mut writer, reader) = pipe();
        let mut answer = whole(200, "");
        answer.body = Outgoing::Piped(reader);
        request.responder.answer(answer);
        let gone = gone.clone();
        tokio::spawn(async move {
            while writer.write(vec![b'x'; 64 << 10].into()).is_ok() {
                writer.waits().wait().await;
            }
            gone.send(()).unwrap();
        });
    });
    let mut stream = bench.connect().await;
    stream.write_all(GET).await.unwrap();
    sleep(limits::SLOW_TIME * 3).await;
    assert!(told.try_recv().is_ok(), "it still writes");
    let mut rest = Vec::new();
    // Cut, not ended: there is no last chunk.
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.ends_with(b"0\r\n\r\n"));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_breaks_off_is_seen_to_be_cut() {
    let bench = Bench::with(Default::default(), |request| {
        let (mut writer, reader) = pipe();
        let mut answer = whole(200, "");
        answer.body = Outgoing::Piped(reader);
        request.responder.answer(answer);
        writer.write("half".into()).unwrap();
    });
    let answer = bench.ask(GET).await;
    assert!(answer.contains("half") && !answer.ends_with("0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn a_request_that_nobody_answers_gets_500_and_nothing_else() {
    let bench = Bench::with(Default::default(), drop);
    let answer = bench.ask(GET).await;
    assert_eq!(statuses(&answer), [500]);
    assert!(answer.ends_with("\r\n\r\n") && answer.contains("content-length: 0"), "{answer}");
}

#[tokio::test]
async fn who_is_told_to_come_again_is_told_when() {
    let bench = Bench::with(Default::default(), |request| request.responder.answer(Answer::busy()));
    let answer = bench.ask(GET).await;
    assert!(answer.contains("503") && answer.contains("retry-after: 1\r\n"), "{answer}");
}
