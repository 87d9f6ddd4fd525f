//! Messages larger than what is accepted: handed out with what they were, never held, never lost, and
//! what is behind them goes on.

use super::hostile::{Hostile, Manner, options};
use super::support::{both, local, next, seconds, take};
use super::wire;
use pirn_triggers::limits::mqtt::OVERSIZE_KEPT_BYTES;
use pirn_triggers::mqtt::{Notice, Options, Protocol, Qos, Session};
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

#[tokio::test(start_paused = true)]
async fn a_message_over_the_limit_is_handed_out_as_its_first_bytes_and_acknowledged_when_settled() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let mut options = options(&broker, protocol);
        options.payload_bytes_max = 1000;
        let notices = Arc::new(Mutex::new(Vec::new()));
        let log = notices.clone();
        options.on_notice = Some(Arc::new(move |notice| log.lock().unwrap().push(notice)));
        broker.send("in/fits", vec![b'x'; 1000], 1);
        for (qos, bytes) in
            [(0, 1001), (1, 1001), (2, 1001), (0, 900_000), (1, 900_000), (2, 900_000)]
        {
            broker.send("in/large", vec![b'y'; bytes], qos);
        }
        broker.send("in/a", "after", 1);
        let (session, mut inbox) = Session::start(options).unwrap();
        let fits = next(&mut inbox).await;
        assert_eq!((fits.payload.len(), fits.oversize), (1000, None));
        fits.delivery.settle();
        let mut held = Vec::new();
        for bytes in [1001, 1001, 1001, 900_000, 900_000, 900_000] {
            let message = next(&mut inbox).await;
            assert_eq!((message.topic.as_str(), message.oversize), ("in/large", Some(bytes)));
            assert!(message.payload == vec![b'y'; 1000], "{} bytes", message.payload.len());
            held.push(message.delivery);
        }
        assert_eq!(take(&mut inbox).await.1, "after");
        seconds(5).await;
        assert_eq!(broker.owed(), 4, "nothing is acknowledged before it is kept aside");
        for delivery in held {
            session.settle(delivery);
        }
        broker.until("everything acknowledged", |b| b.owed() == 0).await;
        let counters = session.counters();
        assert_eq!((counters.oversize, counters.received), (6, 8));
        assert_eq!(broker.connects(), 1);
        let told = Notice::Oversize { topic: "in/large".into(), bytes: 900_000 };
        assert!(notices.lock().unwrap().contains(&told));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn messages_of_megabytes_cost_no_connection_and_what_is_behind_them_comes() {
    both(async |protocol| {
        for bytes in [65_537, 1_200_000, 20_000_000] {
            let broker = Hostile::start(protocol, Manner::default()).await;
            broker.send("in/monster", vec![b'x'; bytes], 1);
            for number in 0..30 {
                broker.send("in/a", number.to_string(), 1);
            }
            let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
            let monster = next(&mut inbox).await;
            assert_eq!(monster.oversize, Some(bytes as u64));
            assert_eq!(monster.payload.len(), OVERSIZE_KEPT_BYTES);
            monster.delivery.settle();
            for number in 0..30 {
                assert_eq!(take(&mut inbox).await.1, number.to_string());
            }
            broker.until("everything acknowledged", |b| b.owed() == 0).await;
            assert_eq!((broker.connects(), session.counters().packets_too_large), (1, 0));
        }
    })
    .await;
}

/// Memory of this process, highest so far.
fn peak_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test]
async fn the_longest_message_that_mqtt_knows_is_read_past_without_being_held() {
    both(async |protocol| {
        let v5 = protocol == Protocol::V5;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut options = Options::new(local(listener.local_addr().unwrap().port()), "device");
        options.protocol = protocol;
        let (_session, mut inbox) = Session::start(options).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        wire::read(&mut stream, v5).await.unwrap();
        stream.write_all(&wire::connack(v5, false, &[])).await.unwrap();
        let before = peak_kib();
        let sending = tokio::spawn(async move {
            // A remaining length of 268 435 455, topic `in/a`, identifier 1.
            let mut head = vec![0x32, 0xff, 0xff, 0xff, 0x7f, 0, 4];
            head.extend(b"in/a\0\x01");
            head.extend(if v5 { &[0][..] } else { &[] });
            stream.write_all(&head).await.unwrap();
            let mut left = 268_435_455 - (head.len() - 5);
            let chunk = vec![b'x'; 64 * 1024];
            while left > 0 {
                let now = left.min(chunk.len());
                stream.write_all(&chunk[..now]).await.unwrap();
                left -= now;
            }
            for number in 0..30 {
                let payload = number.to_string().into_bytes();
                let (topic, id) = ("in/a".to_owned(), number + 2);
                let message =
                    wire::Publish { topic, payload, qos: 1, retain: false, dup: false, id };
                stream.write_all(&wire::publish(v5, &message)).await.unwrap();
            }
            let mut acks = Vec::new();
            while acks.len() < 31 {
                acks.push(wire::read(&mut stream, v5).await.unwrap());
            }
            acks
        });
        let monster = next(&mut inbox).await;
        let head = if v5 { 9 } else { 8 };
        assert_eq!(monster.oversize, Some(268_435_455 - head));
        monster.delivery.settle();
        for number in 0..30 {
            let (topic, payload, qos) = take(&mut inbox).await;
            assert_eq!(
                (topic.as_str(), payload, qos),
                ("in/a", number.to_string(), Qos::AtLeastOnce)
            );
        }
        let acks = sending.await.unwrap();
        assert_eq!(acks, (1..=31).map(wire::Packet::PubAck).collect::<Vec<_>>());
        let grown = peak_kib() - before;
        assert!(grown < 4 * 1024, "{grown} KiB more for a message that is not held");
    })
    .await;
}
