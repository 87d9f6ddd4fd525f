//! Acknowledgements as clusters, bridges and broken brokers really send them: in any order, twice, for
//! nothing, or never. Nothing may be lost or stuck by it.

use super::hostile::{Acks, Hostile, Manner, options};
use super::support::{both, publish};
use pirn_triggers::mqtt::{Protocol, Qos, Session};
use std::time::Duration;

const MESSAGES: usize = 200;

/// Publishes [`MESSAGES`] messages at QoS 1 and waits until each is acknowledged.
async fn publish_all(session: &Session) {
    let mut receipts = Vec::new();
    for number in 0..MESSAGES {
        let message = publish("out", &number.to_string(), Qos::AtLeastOnce);
        receipts.push(session.publish(message).await.unwrap());
    }
    for (number, receipt) in receipts.into_iter().enumerate() {
        let done = tokio::time::timeout(Duration::from_secs(300), receipt).await;
        assert_eq!(done, Ok(Ok(())), "message {number}");
    }
}

fn expected() -> Vec<String> {
    (0..MESSAGES).map(|number| number.to_string()).collect()
}

async fn check(protocol: Protocol, acks: Acks, ignored: u64) {
    let broker = Hostile::start(protocol, Manner { acks, ..Manner::default() }).await;
    let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
    publish_all(&session).await;
    assert_eq!(broker.payloads(), expected(), "{acks:?}");
    assert_eq!(broker.connects(), 1, "{acks:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let counters = session.counters();
    assert_eq!((counters.acknowledged, counters.acks_ignored), (200, ignored), "{acks:?}");
    broker.assert_content();
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_in_another_order_than_the_messages_stop_nothing() {
    both(async |protocol| {
        for acks in [Acks::Backwards, Acks::NewestFirst] {
            check(protocol, acks, 0).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_that_come_twice_stop_nothing() {
    both(async |protocol| check(protocol, Acks::Twice, 200).await).await;
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_of_what_was_never_sent_stop_nothing() {
    both(async |protocol| check(protocol, Acks::WithStrays, 400).await).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_acknowledged_at_all_arrives_after_one_reconnect() {
    both(async |protocol| {
        let manner = Manner { acks: Acks::Never, ..Manner::default() };
        let broker = Hostile::start(protocol, manner).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let publishing = publish_all(&session);
        let cutting = async {
            broker.until("something received", |b| b.payloads().len() > 10).await;
            broker.manner(|m| m.acks = Acks::Prompt);
            broker.cut();
        };
        tokio::join!(publishing, cutting);
        let mut arrived = broker.payloads();
        arrived.sort_by_key(|text| text.parse::<u32>().unwrap());
        arrived.dedup();
        assert_eq!(arrived, expected());
        assert_eq!(broker.connects(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn one_message_that_is_never_acknowledged_is_sent_again_although_others_are() {
    both(async |protocol| {
        let manner = Manner { acks: Acks::Never, ..Manner::default() };
        let broker = Hostile::start(protocol, manner).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let stuck = session.publish(publish("out", "stuck", Qos::AtLeastOnce)).await.unwrap();
        broker.until("its arrival", |b| b.payloads().len() == 1).await;
        broker.manner(|m| m.acks = Acks::Prompt);
        let others = async {
            loop {
                drop(session.publish(publish("out", "x", Qos::AtLeastOnce)).await.unwrap());
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        let waited = tokio::time::timeout(Duration::from_secs(300), async {
            tokio::select! {
                done = stuck => done,
                () = others => unreachable!(),
            }
        });
        assert_eq!(waited.await, Ok(Ok(())));
        assert_eq!(broker.connects(), 2);
    })
    .await;
}
