//! The MQTT session against a broker that cuts, delays, forgets and refuses.

use super::hostile::{Hostile, Manner, options};
use super::support::{both, clean, publish};
use pirn_triggers::mqtt::{Protocol, Qos, Session};
use std::collections::BTreeSet;
use std::time::Duration;

const MESSAGES: usize = 300;

fn numbers() -> Vec<String> {
    (0..MESSAGES).map(|number| number.to_string()).collect()
}

/// Publishes [`MESSAGES`] numbers and waits until each is acknowledged.
async fn publish_all(session: &Session, qos: Qos) {
    let mut receipts = Vec::new();
    for number in numbers() {
        receipts.push(session.publish(publish("out", &number, qos)).await.unwrap());
    }
    for receipt in receipts {
        receipt.await.unwrap();
    }
}

/// The first arrival of each.
fn firsts(all: Vec<String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    all.into_iter().filter(|one| seen.insert(one.clone())).collect()
}

#[tokio::test(start_paused = true)]
async fn no_published_message_is_lost_or_overtaken_however_the_broker_cuts_and_forgets() {
    both(async |protocol| {
        let mut connections = 0;
        for seed in 0..20 {
            let manner = Manner { seed, cut: 20, forget: 300, late: 200, ..Manner::default() };
            let broker = Hostile::start(protocol, manner).await;
            let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
            publish_all(&session, Qos::AtLeastOnce).await;
            broker.manner(|m| m.cut = 0);
            session.stop(Duration::from_secs(5)).await;
            assert_eq!(firsts(broker.payloads()), numbers(), "seed {seed}");
            broker.assert_content();
            connections += broker.connects();
        }
        assert!(connections > 200, "the broker was too kind: {connections} connections");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn qos_2_arrives_once_and_in_order_as_long_as_the_broker_keeps_the_session() {
    both(async |protocol| {
        for seed in 100..110 {
            let manner = Manner { seed, cut: 15, late: 100, ..Manner::default() };
            let broker = Hostile::start(protocol, manner).await;
            let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
            publish_all(&session, Qos::ExactlyOnce).await;
            assert_eq!(broker.payloads(), numbers(), "seed {seed}");
            broker.assert_content();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn no_message_is_lost_or_stuck_however_few_the_broker_takes_at_once() {
    for seed in 300..312 {
        // Receive maximum 1 to 12; acknowledgements late and in any order.
        let properties = vec![0x21, 0, (seed - 299) as u8];
        let manner = Manner { seed, cut: 5, late: 500, properties, ..Manner::default() };
        let broker = Hostile::start(Protocol::V5, manner).await;
        let (session, _inbox) = Session::start(options(&broker, Protocol::V5)).unwrap();
        let begin = tokio::time::Instant::now();
        publish_all(&session, Qos::AtLeastOnce).await;
        assert_eq!(firsts(broker.payloads()), numbers(), "seed {seed}");
        broker.assert_content();
        assert!(begin.elapsed() < Duration::from_secs(1000), "{:?}", begin.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn no_inbound_message_is_lost_and_qos_2_comes_once() {
    both(async |protocol| {
        for seed in 200..215 {
            let manner = Manner { seed, cut: 20, ..Manner::default() };
            let broker = Hostile::start(protocol, manner).await;
            for (number, text) in numbers().into_iter().enumerate() {
                broker.send(&format!("in/{}", 1 + number % 2), text, 1 + (number % 2) as u8);
            }
            let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
            let (mut once, mut twice) = (Vec::new(), Vec::new());
            while broker.owed() > 0 {
                let next = tokio::time::timeout(Duration::from_secs(300), inbox.next());
                let Ok(message) = next.await else { continue };
                let message = message.unwrap();
                let text = String::from_utf8(message.payload.to_vec()).unwrap();
                match message.qos {
                    Qos::ExactlyOnce => once.push(text),
                    _ => twice.push(text),
                }
                session.settle(message.delivery);
            }
            let odd = |n: &usize| n % 2 == 1;
            let expected =
                |odds| (0..MESSAGES).filter(move |n| odd(n) == odds).map(|n| n.to_string());
            assert_eq!(once, expected(true).collect::<Vec<_>>(), "seed {seed}");
            assert_eq!(firsts(twice), expected(false).collect::<Vec<_>>(), "seed {seed}");
            broker.assert_content();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_drops_us_after_each_connect_is_not_stormed() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { slam: true, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(clean(options(&broker, protocol))).unwrap();
        tokio::time::sleep(Duration::from_secs(3600)).await;
        let connects = broker.connects();
        assert!((100..400).contains(&connects), "{connects} connections in an hour");
        drop(session);
    })
    .await;
}
