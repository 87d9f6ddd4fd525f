//! The MQTT session against a real mosquitto, with both versions of MQTT.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pirn_triggers::mqtt::{Protocol, Qos, Session, State};
use std::time::Duration;
use support::{Mosquitto, both, connected, publish, say, subscribe, take};

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

#[tokio::test]
async fn a_message_of_each_qos_goes_out_and_comes_back() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("round-trip", protocol);
        subscribe(&mut options, &[("in/+", Qos::ExactlyOnce)]);
        let (session, mut inbox) = Session::start(options).unwrap();
        for round in 0..10 {
            for qos in QOS {
                let payload = format!("{round} {qos:?}");
                say(&session, "in/a", &payload, qos).await;
                assert_eq!(take(&mut inbox).await, ("in/a".into(), payload, qos));
            }
        }
        session.stop(Duration::from_secs(5)).await;
        assert_eq!(*session.state().borrow(), State::Stopped);
        assert!(inbox.next().await.is_none());
        assert!(session.publish(publish("a", "", Qos::AtMostOnce)).await.is_err());
        let counters = session.counters();
        assert_eq!((counters.received, counters.settled, counters.acknowledged), (30, 20, 30));
    })
    .await;
}

#[tokio::test]
async fn a_thousand_messages_arrive_in_order() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("order", protocol);
        subscribe(&mut options, &[("burst", Qos::AtLeastOnce)]);
        let (session, mut inbox) = Session::start(options).unwrap();
        connected(&session).await;
        let sender = session.clone();
        let sending = tokio::spawn(async move {
            for number in 0..1000 {
                let message = publish("burst", &number.to_string(), Qos::AtLeastOnce);
                drop(sender.publish(message).await.unwrap());
            }
        });
        for number in 0..1000 {
            assert_eq!(take(&mut inbox).await.1, number.to_string());
        }
        sending.await.unwrap();
        session.stop(Duration::from_secs(5)).await;
        assert_eq!(session.counters().acknowledged, 1000);
    })
    .await;
}
#[allow(dead_code)]
const P: Protocol = Protocol::V5;
