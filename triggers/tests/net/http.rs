//! The client: what it sends, what it makes of answers, which connections it keeps, what it waits for.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pirn_triggers::net::http::header::HeaderMap;
use pirn_triggers::net::http::{
    self, Bytes, Client, HttpError, Method, Outgoing, Phase, Piece, Request, Response, Timeouts,
};
use pirn_triggers::net::{AddressFilter, Connector, DialError, Target, TlsOptions};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::server::{Peer, Server};

fn client() -> Client {
    Client::new(Connector::new(TlsOptions::default()))
}

fn request(port: u16, path: &str) -> Request {
    Request {
        method: Method::GET,
        target: Target { host: "127.0.0.1".into(), port, secure: false },
        path: path.into(),
        headers: HeaderMap::new(),
        body: http::empty(),
        timeouts: Timeouts::default(),
    }
}

fn post(port: u16, body: Outgoing) -> Request {
    Request { method: Method::POST, body, ..request(port, "/") }
}

async fn text(response: Result<Response, HttpError>) -> Result<String, HttpError> {
    let bytes = response?.body.all(1 << 20).await?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Answers each request with its own head, until the other side goes.
async fn echoing_heads(mut peer: Peer) {
    loop {
        let head = peer.head().await;
        if head.is_empty() {
            return;
        }
        peer.say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{head}", head.len())).await;
    }
}

#[tokio::test]
async fn a_request_goes_out_as_it_was_asked_with_the_host_of_its_target() {
    let server = Server::start(|_, peer| echoing_heads(peer)).await;
    let mut asked = request(server.port, "/a%20b?c=d");
    asked.headers.insert("x-own", "1".parse().unwrap());
    let head = text(client().send(asked, None).await).await.unwrap();
    let expected =
        format!("GET /a%20b?c=d HTTP/1.1\r\nx-own: 1\r\nhost: 127.0.0.1:{}\r\n\r\n", server.port);
    assert_eq!(head, expected);
}

#[tokio::test]
async fn a_connection_serves_the_next_request_when_its_answer_was_read() {
    let server = Server::start(|_, peer| echoing_heads(peer)).await;
    let client = client();
    for _ in 0..5 {
        text(client.send(request(server.port, "/"), None).await).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    // An answer that is not read costs its connection.
    drop(client.send(request(server.port, "/"), None).await.unwrap());
    text(client.send(request(server.port, "/"), None).await).await.unwrap();
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced_by_another() {
    let server = Server::start(|_, mut peer: Peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await;
        // The next request is read, and the connection closed without an answer.
        peer.head().await;
    })
    .await;
    let client = client();
    for _ in 0..3 {
        assert_eq!(text(client.send(request(server.port, "/"), None).await).await.unwrap(), "ok");
    }
    assert_eq!(server.connections(), 3);
    // What is not safe to ask twice is not asked twice.
    let failed = text(client.send(post(server.port, http::full("x".into())), None).await).await;
    assert_eq!(failed.unwrap_err(), HttpError::Cut);
}

#[tokio::test]
async fn a_request_cannot_make_the_next_one_part_of_itself() {
    let server = Server::start(|_, peer| echoing_heads(peer)).await;
    let client = client();
    for method in [Method::GET, Method::POST] {
        let mut asked = Request { method, ..request(server.port, "/") };
        asked.headers.insert("content-length", "100".parse().unwrap());
        asked.headers.insert("transfer-encoding", "chunked".parse().unwrap());
        let head = text(client.send(asked, None).await).await.unwrap();
        assert!(!head.contains("100") && !head.contains("chunked"), "{head}");
    }
    // What follows on the same connection is whole.
    let head = text(client.send(request(server.port, "/next"), None).await).await.unwrap();
    assert!(head.starts_with("GET /next HTTP/1.1\r\n"), "{head}");
    let mut asked = post(server.port, http::full("ab".into()));
    asked.headers.append("content-length", "2".parse().unwrap());
    asked.headers.append("content-length", "1".parse().unwrap());
    let failed = client.send(asked, None).await.unwrap_err();
    assert!(matches!(failed, HttpError::Request(_)), "{failed:?}");
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_body_of_another_length_than_was_said_is_not_sent() {
    let server = Server::start(|_, peer| echoing_heads(peer)).await;
    for said in ["1", "3", "x", "-2", "+2", "2, 2"] {
        let mut asked = post(server.port, http::full("ab".into()));
        asked.headers.insert("content-length", said.parse().unwrap());
        let failed = client().send(asked, None).await;
        assert!(matches!(failed, Err(HttpError::Request(_))), "{said}: {failed:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn bodies_stream_both_ways_and_wait_for_each_other() {
    let server = Server::start(|_, mut peer: Peer| async move {
        let head = peer.head().await;
        assert!(head.contains("transfer-encoding: chunked"), "{head}");
        peer.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        // Each piece goes back before the next one comes.
        loop {
            let size = peer.until(b"\r\n").await;
            let count = usize::from_str_radix(size.trim(), 16).unwrap();
            let mut piece = vec![0; count + 2];
            peer.0.read_exact(&mut piece).await.unwrap();
            peer.say(&size).await;
            peer.0.write_all(&piece).await.unwrap();
            if count == 0 {
                return;
            }
        }
    })
    .await;
    let (sender, body) = http::channel(None);
    let mut answer = client().send(post(server.port, body), None).await.unwrap();
    for number in 0..1_000_u32 {
        let piece = Bytes::from(number.to_string());
        assert!(sender.send(piece.clone()).await);
        assert_eq!(answer.body.next().await, Some(Ok(Piece::Data(piece))));
    }
    assert!(sender.finish(None).await);
    assert_eq!(answer.body.next().await, None);
}

#[tokio::test]
async fn who_writes_waits_for_a_peer_that_does_not_read() {
    let server = Server::start(|_, mut peer: Peer| async move {
        peer.head().await;
        peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n").await;
        std::future::pending::<()>().await;
    })
    .await;
    let (sender, body) = http::channel(None);
    let answer = client().send(post(server.port, body), None).await.unwrap();
    let written = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&written);
    tokio::spawn(async move {
        while sender.send(Bytes::from(vec![0; 16 << 10])).await {
            count.fetch_add(16 << 10, Ordering::Relaxed);
        }
    });
    // Until it stands still: what the two kernels take, and one buffer of ours.
    let mut before = usize::MAX;
    while before != written.load(Ordering::Relaxed) {
        before = written.load(Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!((16 << 10..64 << 20).contains(&before), "{before} bytes");
    drop(answer);
}

#[tokio::test]
async fn a_body_that_is_not_finished_is_no_whole_body_for_the_server() {
    let (heard, hearing) = tokio::sync::oneshot::channel();
    let heard = Arc::new(std::sync::Mutex::new(Some(heard)));
    let server = Server::start(move |_, mut peer: Peer| {
        let heard = heard.lock().unwrap().take().unwrap();
        async move {
            peer.head().await;
            let mut rest = Vec::new();
            let _ = peer.0.read_to_end(&mut rest).await;
            heard.send(rest).unwrap();
        }
    })
    .await;
    let (sender, body) = http::channel(None);
    let client = client();
    let asked = tokio::spawn(async move { client.send(post(server.port, body), None).await });
    assert!(sender.send("half".into()).await);
    drop(sender);
    let failed = asked.await.unwrap().unwrap_err();
    assert_eq!(failed, HttpError::Unfinished);
    let rest = String::from_utf8(hearing.await.unwrap()).unwrap();
    assert!(!rest.contains("\r\n0\r\n"), "{rest:?} has the end of a body");
}

#[tokio::test]
async fn what_takes_too_long_is_given_up_by_its_own_name() {
    let server = Server::start(|number, mut peer: Peer| async move {
        peer.head().await;
        match number {
            0 => peer.linger().await,
            _ => {
                peer.say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbegin").await;
                peer.linger().await;
            }
        }
    })
    .await;
    let short = Duration::from_millis(50);
    let long = Duration::from_secs(30);
    let client = client();
    let mut asked = request(server.port, "/");
    asked.timeouts = Timeouts { connect: long, first_byte: short, between_bytes: long };
    let failed = client.send(asked, None).await.unwrap_err();
    assert_eq!(failed, HttpError::Timeout(Phase::FirstByte));
    let mut asked = request(server.port, "/");
    asked.timeouts = Timeouts { connect: long, first_byte: long, between_bytes: short };
    let failed = text(client.send(asked, None).await).await.unwrap_err();
    assert_eq!(failed, HttpError::Timeout(Phase::BetweenBytes));
}

#[tokio::test]
async fn answers_that_are_none_are_errors_of_their_own_kind() {
    let long_header = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(64 << 10));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(101));
    type Fits = fn(&HttpError) -> bool;
    let rows: [(String, Fits); 7] = [
        (String::new(), |e| *e == HttpError::Cut),
        ("HTTP/1.1 200 OK\r\nContent-Le".into(), |e| *e == HttpError::Cut),
        ("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into(), |e| *e == HttpError::Cut),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n".into(), |e| matches!(e, HttpError::Protocol(_))),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n".into(), |e| {
            matches!(e, HttpError::Protocol(_))
        }),
        (long_header, |e| *e == HttpError::HeadTooLarge),
        (many, |e| *e == HttpError::HeadTooLarge),
    ];
    for (answer, fits) in rows {
        let said = answer.clone();
        let server = Server::start(move |_, mut peer: Peer| {
            let answer = answer.clone();
            async move {
                peer.head().await;
                peer.say(&answer).await;
            }
        })
        .await;
        let failed = text(client().send(request(server.port, "/"), None).await).await;
        let failed = failed.expect_err(&said);
        assert!(fits(&failed), "{failed:?} for {:?}", said.get(..40));
    }
}

#[tokio::test]
async fn a_body_larger_than_is_accepted_is_not_gathered() {
    for announced in ["Content-Length: 1000000", "Transfer-Encoding: chunked"] {
        let server = Server::start(move |_, mut peer: Peer| async move {
            peer.head().await;
            peer.say(&format!("HTTP/1.1 200 OK\r\n{announced}\r\n\r\n")).await;
            for _ in 0..1_000 {
                peer.say(&format!("3e8\r\n{}\r\n", "z".repeat(1_000))).await;
            }
        })
        .await;
        let answer = client().send(request(server.port, "/"), None).await.unwrap();
        let failed = answer.body.all(10_000).await.unwrap_err();
        assert_eq!(failed, HttpError::BodyTooLarge(10_000));
    }
}

#[tokio::test]
async fn an_address_that_is_not_permitted_is_not_connected_to_whatever_the_name() {
    let server = Server::start(|_, peer| echoing_heads(peer)).await;
    let filter: AddressFilter = Arc::new(|ip| !ip.is_loopback());
    for host in ["127.0.0.1", "localhost", "::1"] {
        let mut asked = request(server.port, "/");
        asked.target.host = host.into();
        let failed = client().send(asked, Some(&filter)).await.unwrap_err();
        assert!(matches!(failed, HttpError::Dial(DialError::NotPermitted { .. })), "{failed:?}");
    }
    assert_eq!(server.connections(), 0);
}

#[tokio::test]
async fn more_requests_than_may_be_under_way_wait_and_then_give_up() {
    let server = Server::start(|_, mut peer: Peer| async move { peer.linger().await }).await;
    let client = client();
    let port = server.port;
    let mut under_way = Vec::new();
    for _ in 0..16 {
        let client = client.clone();
        under_way.push(tokio::spawn(async move { client.send(request(port, "/"), None).await }));
    }
    while server.connections() < 16 {
        tokio::task::yield_now().await;
    }
    let mut asked = request(port, "/");
    asked.timeouts.connect = Duration::from_millis(50);
    assert_eq!(client.send(asked, None).await.unwrap_err(), HttpError::Busy);
    under_way.iter().for_each(tokio::task::JoinHandle::abort);
}
