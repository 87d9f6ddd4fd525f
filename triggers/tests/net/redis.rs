//! Redis servers that do not do what they should. What a real one does is tested from end to end.

use std::sync::{Arc, Mutex};

use pirn_triggers::net::{Connector, TlsOptions};
use pirn_triggers::redis::{Address, Message, Notice, Pool, RedisError, Reply, Subscriber};

use crate::server::{Peer, Server};

fn pool() -> Pool {
    Pool::new(Connector::new(TlsOptions::default()))
}

fn address(server: &Server, credentials: &str) -> Address {
    Address::parse(&format!("redis://{credentials}127.0.0.1:{}", server.port)).unwrap()
}

/// Answers each command with this, as long as there are commands.
async fn answering(mut peer: Peer, answer: &str) {
    loop {
        // `PING`, in the form of all commands.
        if peer.until(b"PING\r\n").await.is_empty() {
            return;
        }
        peer.say(answer).await;
    }
}

#[tokio::test]
async fn a_connection_that_broke_is_nobody_else_s() {
    let nonsense = [
        "HTTP/1.1 200 OK\r\n\r\n",
        "$99999999\r\n",
        "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
    ];
    for answer in nonsense {
        let server = Server::start(move |_, peer| answering(peer, answer)).await;
        let pool = pool();
        for _ in 0..2 {
            let mut lease = pool.lease(address(&server, ""), None).await.unwrap();
            let failed = lease.command(&[b"PING"]).await.unwrap_err();
            assert!(matches!(failed, RedisError::Broken(_)), "{answer:?}: {failed:?}");
            // And it stays so.
            let failed = lease.command(&[b"PING"]).await.unwrap_err();
            assert!(matches!(failed, RedisError::Broken(_)), "{answer:?}: {failed:?}");
        }
        assert_eq!(server.connections(), 2);
    }
}

#[tokio::test]
async fn a_connection_on_which_more_came_than_was_asked_for_is_nobody_else_s() {
    let server = Server::start(|_, peer| answering(peer, "+PONG\r\n+AND MORE\r\n")).await;
    let pool = pool();
    for _ in 0..2 {
        let mut lease = pool.lease(address(&server, ""), None).await.unwrap();
        assert_eq!(lease.command(&[b"PING"]).await, Ok(Reply::Status("PONG".into())));
    }
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn a_command_that_nobody_waited_for_has_its_connection_closed() {
    let server = Server::start(|number, peer| async move {
        match number {
            0 => answering(peer, "").await,
            _ => answering(peer, "+PONG\r\n").await,
        }
    })
    .await;
    let pool = pool();
    let mut lease = pool.lease(address(&server, ""), None).await.unwrap();
    let asked =
        tokio::time::timeout(std::time::Duration::from_millis(50), lease.command(&[b"PING"]));
    assert!(asked.await.is_err());
    drop(lease);
    let mut lease = pool.lease(address(&server, ""), None).await.unwrap();
    assert_eq!(lease.command(&[b"PING"]).await, Ok(Reply::Status("PONG".into())));
    assert_eq!(server.connections(), 2);
}

#[tokio::test]
async fn an_app_has_so_many_connections_and_no_more() {
    let server = Server::start(|_, peer| answering(peer, "+PONG\r\n")).await;
    let pool = pool();
    let mut leases = Vec::new();
    for _ in 0..8 {
        leases.push(pool.lease(address(&server, ""), None).await.unwrap());
    }
    let failed = pool.lease(address(&server, ""), None).await.err().unwrap();
    assert_eq!(failed, RedisError::TooMany);
    leases.pop();
    assert!(pool.lease(address(&server, ""), None).await.is_ok());
    // Those that only wait make room for another server's.
    drop(leases);
    let other = Server::start(|_, peer| answering(peer, "+PONG\r\n")).await;
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(pool.lease(address(&other, ""), None).await.unwrap());
    }
    assert_eq!(other.connections(), 8);
}

#[tokio::test]
async fn a_subscription_outlives_servers_that_speak_nonsense() {
    let server = Server::start(|number, mut peer: Peer| async move {
        peer.until(b"in\r\n").await;
        match number {
            0 => peer.say("what?\r\n").await,
            1 => peer.say("-ERR no\r\n").await,
            _ => {
                peer.say("*3\r\n$9\r\nsubscribe\r\n$2\r\nin\r\n:1\r\n").await;
                // One of a channel that nobody asked for, and one that counts.
                peer.say("*3\r\n$7\r\nmessage\r\n$5\r\nother\r\n$1\r\nx\r\n").await;
                peer.say("*3\r\n$7\r\nmessage\r\n$2\r\nin\r\n$5\r\nhello\r\n").await;
                peer.linger().await;
            }
        }
    })
    .await;
    let notices = Arc::<Mutex<Vec<Notice>>>::default();
    let told = Arc::clone(&notices);
    let subscriber = Subscriber {
        connector: Connector::new(TlsOptions::default()),
        address: address(&server, ""),
        channels: vec!["in".into()],
        address_filter: None,
        on_notice: Box::new(move |notice| told.lock().unwrap().push(notice)),
    };
    let mut messages = subscriber.start();
    let (channel, payload) = ("in".into(), "hello".into());
    assert_eq!(messages.next().await, Some(Message { channel, payload }));
    let notices = notices.lock().unwrap();
    let lost = |notice: &&Notice| matches!(notice, Notice::Lost { .. });
    assert_eq!(notices.iter().filter(lost).count(), 2, "{notices:?}");
    assert_eq!(notices.last(), Some(&Notice::Subscribed));
}
