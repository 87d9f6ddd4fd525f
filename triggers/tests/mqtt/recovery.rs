//! Brokers that refuse, babble, fight over us or hold still: how soon the session is back, and that it
//! storms nobody meanwhile.

use super::hostile::{Hostile, Manner, options};
use super::support::{both, connected, local, publish, say, seconds};
use super::wire::{self, Packet};
use pirn_triggers::mqtt::{
    DeliveryError, Options, Persistence, Protocol, PublishError, Qos, Session, State,
    TryPublishError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The greetings of a broker that will not have us: not authorised, and noise.
fn bad_greetings(protocol: Protocol) -> [Vec<u8>; 3] {
    match protocol {
        Protocol::V311 => [vec![0x20, 2, 0, 5], b"HTTP/1.1 400 Bad".to_vec(), vec![0; 64]],
        Protocol::V5 => [vec![0x20, 3, 0, 0x87, 0], b"HTTP/1.1 400 Bad".to_vec(), vec![0xff; 64]],
    }
}

#[tokio::test(start_paused = true)]
async fn the_link_is_back_within_35_seconds_of_a_broker_that_refused_us_or_babbled() {
    both(async |protocol| {
        for greeting in bad_greetings(protocol) {
            let manner = Manner { greeting: Some(greeting), ..Manner::default() };
            let broker = Hostile::start(protocol, manner).await;
            let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
            seconds(600).await;
            let connects = broker.connects();
            assert!((15..120).contains(&connects), "{connects} connections in ten minutes");
            assert!(session.counters().connect_failures >= 15);
            broker.manner(|m| m.greeting = None);
            let mut state = session.state();
            let back = state.wait_for(|state| matches!(state, State::Connected { .. }));
            assert!(tokio::time::timeout(Duration::from_secs(35), back).await.is_ok());
            say(&session, "out", "x", Qos::AtLeastOnce).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_shown_with_its_reason() {
    let rows = [
        (Protocol::V311, vec![0x20, 2, 0, 5], "the broker refused us: NotAuthorized"),
        (Protocol::V311, vec![0x20, 2, 0, 77], "the broker refused us: code 77"),
        (Protocol::V5, vec![0x20, 3, 0, 0x87, 0], "the broker refused us: NotAuthorized"),
        (Protocol::V5, vec![0x20, 3, 0, 0xee, 0], "the broker refused us: code 0xee"),
        (Protocol::V5, vec![0x20, 2, 0, 1], "it does not speak MQTT 5"),
        (Protocol::V311, vec![0x20, 2, 0], "the broker closed the connection"),
        (Protocol::V311, vec![0x30, 2, 0, 0], "its first packet was no CONNACK"),
        (Protocol::V311, vec![0xf0, 0], "type 15 is not for clients"),
        (Protocol::V5, vec![0xe0, 1, 0x8b], "the broker disconnected us: ServerShuttingDown"),
    ];
    for (protocol, greeting, expected) in rows {
        let manner = Manner { greeting: Some(greeting), ..Manner::default() };
        let broker = Hostile::start(protocol, manner).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let mut state = session.state();
        let says = |state: &State| format!("{state:?}").contains(expected);
        let said = tokio::time::timeout(Duration::from_secs(60), state.wait_for(says)).await;
        assert!(said.is_ok(), "not `{expected}`, but {:?}", *session.state().borrow());
    }
}

/// A broker for which the last to come is the client, whoever had that id before.
async fn takeover(v5: bool, connects: Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let mut present: Option<tokio::task::JoinHandle<()>> = None;
        while let Ok((stream, _)) = listener.accept().await {
            connects.fetch_add(1, Ordering::Relaxed);
            if let Some(old) = present.take() {
                old.abort();
            }
            present = Some(tokio::spawn(serve(stream, v5)));
        }
    });
    port
}

/// Says yes to everything.
async fn serve(mut stream: TcpStream, v5: bool) {
    while let Ok(packet) = wire::read(&mut stream, v5).await {
        let answer = match packet {
            Packet::Connect { .. } => wire::connack(v5, false, &[]),
            Packet::Publish(message) if message.qos == 1 => wire::puback(message.id),
            Packet::Ping => wire::PINGRESP.to_vec(),
            _ => continue,
        };
        if stream.write_all(&answer).await.is_err() {
            return;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn two_sessions_with_one_client_id_fight_ever_more_slowly() {
    both(async |protocol| {
        let connects = Arc::new(AtomicUsize::new(0));
        let port = takeover(protocol == Protocol::V5, connects.clone()).await;
        let start = || {
            let mut options = Options::new(local(port), "twin");
            options.protocol = protocol;
            options.persistence = Persistence::Clean;
            Session::start(options).unwrap()
        };
        let (one, two) = (start(), start());
        seconds(3600).await;
        let fought = connects.load(Ordering::Relaxed);
        assert!((60..600).contains(&fought), "{fought} connections in an hour");
        drop(two);
        // Nobody takes it away any more, and what was promised goes out.
        let receipt = one.0.publish(publish("out", "x", Qos::AtLeastOnce)).await.unwrap();
        let done = tokio::time::timeout(Duration::from_secs(35), receipt).await;
        assert_eq!(done, Ok(Ok(())));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_sends_but_takes_nothing_is_given_up_after_one_and_a_half_keep_alives() {
    both(async |protocol| {
        let v5 = protocol == Protocol::V5;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(local(listener.local_addr().unwrap().port()), "device");
        (options.protocol, options.payload_bytes_max) = (protocol, 8 << 20);
        let (session, mut inbox) = Session::start(options).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        wire::read(&mut stream, v5).await.unwrap();
        stream.write_all(&wire::connack(v5, false, &[])).await.unwrap();
        connected(&session).await;
        let large = publish("out", &"x".repeat(8 << 20), Qos::AtLeastOnce);
        let receipt = session.publish(large).await.unwrap();
        let babbling = tokio::spawn(async move {
            let (topic, payload) = ("in/a".to_owned(), b"x".to_vec());
            let message =
                wire::Publish { topic, payload, qos: 0, retain: false, dup: false, id: 0 };
            while stream.write_all(&wire::publish(v5, &message)).await.is_ok() {
                seconds(1).await;
            }
        });
        let taking = tokio::spawn(async move { while inbox.next().await.is_some() {} });
        let mut state = session.state();
        let begin = tokio::time::Instant::now();
        state.wait_for(|state| matches!(state, State::Connecting { .. })).await.unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(91), "{:?}", begin.elapsed());
        babbling.abort();
        // The next connection gets it.
        let (mut stream, _) = listener.accept().await.unwrap();
        wire::read(&mut stream, v5).await.unwrap();
        stream.write_all(&wire::connack(v5, true, &[])).await.unwrap();
        let Packet::Publish(sent) = wire::read(&mut stream, v5).await.unwrap() else { panic!() };
        assert_eq!((sent.dup, sent.payload.len()), (true, 8 << 20));
        stream.write_all(&wire::puback(sent.id)).await.unwrap();
        assert_eq!(receipt.await, Ok(()));
        drop(session);
        taking.await.unwrap();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn qos_0_without_a_connection_is_dropped_counted_and_said_at_once() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { slam: true, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        for _ in 0..10_000 {
            let receipt = session.publish(publish("out", "x", Qos::AtMostOnce)).await.unwrap();
            assert_eq!(receipt.await, Err(DeliveryError::NotConnected));
        }
        let counters = session.counters();
        assert_eq!((counters.published, counters.failed), (10_000, 10_000));
        assert_eq!(counters.qos0_dropped, 10_000);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_loop_of_qos_0_on_a_good_connection_loses_nothing() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        for number in 0..6000 {
            let message = publish("out", &number.to_string(), Qos::AtMostOnce);
            drop(session.publish(message).await.unwrap());
        }
        say(&session, "out", "the end", Qos::AtLeastOnce).await;
        assert_eq!((broker.payloads().len(), session.counters().qos0_dropped), (6001, 0));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn try_publish_never_waits_and_gives_the_message_back() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { slam: true, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let message = publish("out", &"x".repeat(60_000), Qos::AtLeastOnce);
        let mut receipts = Vec::new();
        let full = loop {
            match session.try_publish(message.clone()) {
                Ok(receipt) => receipts.push(receipt),
                Err(error) => break error,
            }
        };
        assert_eq!(full, TryPublishError::Full(message));
        assert_eq!(receipts.len(), 8);
        let refused = session.try_publish(publish("a/#", "x", Qos::AtLeastOnce)).unwrap_err();
        let topic = matches!(refused, TryPublishError::Refused(PublishError::Topic { .. }));
        assert!(topic, "{refused:?}");
        broker.manner(|m| m.slam = false);
        for receipt in receipts {
            assert_eq!(receipt.await, Ok(()));
        }
        let (small, stopped) = (publish("out", "x", Qos::AtLeastOnce), PublishError::Stopped);
        session.try_publish(small.clone()).unwrap().await.unwrap();
        session.stop(Duration::from_secs(5)).await;
        assert_eq!(session.try_publish(small).unwrap_err(), TryPublishError::Refused(stopped));
    })
    .await;
}

#[test]
fn a_session_that_breaks_down_is_not_taken_for_one_that_was_stopped() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let own = runtime();
    let publishing = async {
        let (session, inbox) = Session::start(Options::new(local(9), "device")).unwrap();
        let receipt = session.publish(publish("out", "x", Qos::AtLeastOnce)).await.unwrap();
        (session, inbox, receipt)
    };
    let (session, mut inbox, receipt) = own.block_on(publishing);
    // Its task goes with the runtime; nobody has asked the session to stop.
    drop(own);
    runtime().block_on(async {
        assert_eq!(receipt.await, Err(DeliveryError::Ended));
        assert!(inbox.next().await.is_none());
        assert!(session.publish(publish("out", "x", Qos::AtLeastOnce)).await.is_err());
    });
}

#[tokio::test(start_paused = true)]
async fn stopping_acknowledges_what_is_settled_although_a_publish_is_never_answered() {
    both(async |protocol| {
        let manner = Manner { acks: super::hostile::Acks::Never, ..Manner::default() };
        let broker = Hostile::start(protocol, manner).await;
        for number in 0..20 {
            broker.send("in/a", number.to_string(), 1);
        }
        let mut options = options(&broker, protocol);
        options.online = Some(publish("status", "online", Qos::AtMostOnce));
        options.will = Some(publish("status", "offline", Qos::AtLeastOnce));
        let (session, mut inbox) = Session::start(options).unwrap();
        let receipt = session.publish(publish("out", "x", Qos::AtLeastOnce)).await.unwrap();
        for _ in 0..20 {
            let message = super::support::next(&mut inbox).await;
            session.settle(message.delivery);
        }
        let begin = tokio::time::Instant::now();
        session.stop(Duration::from_secs(4)).await;
        assert!(begin.elapsed() <= Duration::from_secs(4), "{:?}", begin.elapsed());
        assert_eq!(receipt.await, Err(DeliveryError::Stopped));
        broker.until("DISCONNECT", |b| b.log().disconnects == 1).await;
        assert_eq!(broker.owed(), 0);
        assert_eq!(broker.payloads().last().unwrap(), "offline");
    })
    .await;
}

#[tokio::test]
async fn stopping_ends_in_time_although_the_broker_takes_nothing() {
    both(async |protocol| {
        let v5 = protocol == Protocol::V5;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(local(listener.local_addr().unwrap().port()), "device");
        (options.protocol, options.payload_bytes_max) = (protocol, 8 << 20);
        let (session, _inbox) = Session::start(options).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut sink = [0; 256];
        let _ = stream.read(&mut sink).await.unwrap();
        stream.write_all(&wire::connack(v5, false, &[])).await.unwrap();
        connected(&session).await;
        let large = publish("out", &"x".repeat(8 << 20), Qos::AtLeastOnce);
        let receipt = session.publish(large).await.unwrap();
        let begin = std::time::Instant::now();
        session.stop(Duration::from_secs(1)).await;
        assert!(begin.elapsed() < Duration::from_secs(5), "it waited for the broker");
        assert_eq!(receipt.await, Err(DeliveryError::Stopped));
        assert_eq!(*session.state().borrow(), State::Stopped);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stopping_is_quick_while_the_broker_has_not_answered_yet() {
    both(async |protocol| {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(local(listener.local_addr().unwrap().port()), "device");
        options.protocol = protocol;
        let (session, _inbox) = Session::start(options).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        wire::read(&mut stream, protocol == Protocol::V5).await.unwrap();
        let begin = tokio::time::Instant::now();
        session.stop(Duration::from_secs(5)).await;
        assert!(begin.elapsed() < Duration::from_secs(1), "{:?}", begin.elapsed());
    })
    .await;
}
