//! Many connections at once, and the end of a server.

use pirn_triggers::http::{Address, Listener, Server, ServerOptions};
use tokio::io::AsyncWriteExt as _;

use super::support::{Bench, read_all, read_until, statuses, whole};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: h\r\n\r\n";

#[tokio::test]
async fn idle_connections_make_room_for_new_ones() {
    let options = ServerOptions { connections_max: 4, ..ServerOptions::default() };
    let bench = Bench::with(options, |request| request.responder.answer(whole(200, "!")));
    let mut streams = Vec::new();
    for _ in 0..20 {
        let mut stream = bench.connect().await;
        stream.write_all(GET).await.unwrap();
        read_until(&mut stream, "!").await;
        streams.push(stream);
        // Long enough for it to be idle and nothing more.
        tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
        if streams.len() > 6 {
            break;
        }
    }
    assert_eq!(read_all(&mut streams[0]).await, "", "the first should have made room");
    assert!(bench.count() >= 6);
}

#[tokio::test]
async fn when_all_are_busy_one_more_is_told_to_come_again() {
    let options = ServerOptions { connections_max: 2, ..ServerOptions::default() };
    let held = std::sync::Mutex::new(Vec::new());
    let bench = Bench::with(options, move |request| held.lock().unwrap().push(request));
    let mut busy = Vec::new();
    for count in 1..=2 {
        let mut stream = bench.connect().await;
        stream.write_all(GET).await.unwrap();
        busy.push(stream);
        while bench.count() < count {
            tokio::task::yield_now().await;
        }
    }
    let mut third = bench.connect().await;
    let answer = read_all(&mut third).await;
    assert_eq!(statuses(&answer), [503], "{answer}");
}

#[tokio::test(start_paused = true)]
async fn slow_ones_leave_when_others_want_their_places() {
    let options = ServerOptions { connections_max: 3, ..ServerOptions::default() };
    let bench = Bench::with(options, |request| {
        tokio::spawn(async move {
            let _ = request.body.gather(99).await;
            request.responder.answer(whole(200, "!"));
        });
    });
    let mut slow = Vec::new();
    for begin in ["GET / HT", "POST / HTTP/1.1\r\nhost: h\r\ncontent-length: 9\r\n\r\nabc"] {
        for _ in 0..3 {
            let mut stream = bench.connect().await;
            stream.write_all(begin.as_bytes()).await.unwrap();
            slow.push(stream);
            tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
        }
    }
    for _ in 0..3 {
        let mut stream = bench.connect().await;
        stream.write_all(GET).await.unwrap();
        read_until(&mut stream, "!").await;
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_what_is_under_way_and_accepts_nobody() {
    let bench = Bench::with(ServerOptions::default(), |request| {
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            request.responder.answer(whole(200, "late"));
        });
    });
    let (mut idle, mut busy) = (bench.connect().await, bench.connect().await);
    busy.write_all(GET).await.unwrap();
    while bench.count() == 0 {
        tokio::task::yield_now().await;
    }
    let Bench { server, port, .. } = bench;
    server.unwrap().stop().await;
    assert!(read_all(&mut busy).await.ends_with("late"));
    assert_eq!(read_all(&mut idle).await, "");
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}

#[tokio::test]
async fn a_server_that_takes_over_loses_nobody_who_connects_meanwhile() {
    let bench = Bench::with(ServerOptions::default(), |request| {
        request.responder.answer(whole(200, "old"));
    });
    let mut before = bench.connect().await;
    before.write_all(GET).await.unwrap();
    read_until(&mut before, "old").await;
    let Bench { server, port, .. } = bench;
    let old = server.unwrap();
    let listener = old.listener().unwrap();
    old.stop().await;
    let mut meanwhile = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    meanwhile.write_all(GET).await.unwrap();
    let handler: pirn_triggers::http::Handler =
        std::sync::Arc::new(|request| request.responder.answer(whole(200, "new")));
    let _new = Server::start(listener, ServerOptions::default(), handler);
    read_until(&mut meanwhile, "new").await;
}

#[tokio::test]
async fn a_unix_socket_is_served_and_leaves_no_file() {
    let path = std::env::temp_dir().join(format!("pirn-http-{}.sock", std::process::id()));
    let address = Address::Unix(path.clone());
    // What a process left that died is in nobody's way.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let listener = Listener::bind(&address).unwrap();
    assert!(Listener::bind(&address).is_err_and(|error| error.is_taken()));
    let handler: pirn_triggers::http::Handler = std::sync::Arc::new(|request| {
        assert_eq!(request.head.client, None);
        request.responder.answer(whole(200, "unix"));
    });
    let server = Server::start(listener, ServerOptions::default(), handler);
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    stream.write_all(GET).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut stream, &mut answer).await.unwrap();
    assert!(answer.ends_with("unix"), "{answer}");
    server.stop().await;
    assert!(!path.exists());
}
