//! Outbound messages that cannot be sent, and those that must wait.

use super::hostile::{Hostile, Manner, options};
use super::support::{both, publish, say};
use pirn_triggers::limits::mqtt::OUTBOUND_MESSAGES_MAX;
use pirn_triggers::mqtt::{DeliveryError, Protocol, PublishError, Qos, Session};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn a_publish_that_cannot_be_sent_is_refused_before_it_costs_the_connection() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let large = "x".repeat(64 * 1024);
        let too_large =
            session.publish(publish("out", &(large.clone() + "x"), Qos::AtLeastOnce)).await;
        assert_eq!(too_large.unwrap_err(), PublishError::TooLarge { bytes: 65537, max: 65536 });
        for topic in ["", "a/+", "a/#", "a\0"] {
            let refused = session.publish(publish(topic, "", Qos::AtLeastOnce)).await;
            assert!(matches!(refused.unwrap_err(), PublishError::Topic { .. }), "{topic}");
        }
        say(&session, &"t".repeat(65_535), &large, Qos::AtLeastOnce).await;
        assert_eq!(broker.connects(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_an_mqtt_5_broker_does_not_take_fails_with_its_reason() {
    // Receive maximum 1, maximum QoS 1, no retained messages, packets of at most 64 bytes.
    let properties = vec![0x21, 0, 1, 0x24, 1, 0x25, 0, 0x27, 0, 0, 0, 64];
    let broker = Hostile::start(Protocol::V5, Manner { properties, ..Manner::default() }).await;
    let (session, _inbox) = Session::start(options(&broker, Protocol::V5)).unwrap();
    let fails = async |message| session.publish(message).await.unwrap().await.unwrap_err();
    let large = publish("out", &"x".repeat(64), Qos::AtLeastOnce);
    assert_eq!(fails(large).await, DeliveryError::TooLargeForBroker(64));
    let mut retained = publish("out", "x", Qos::AtLeastOnce);
    retained.retain = true;
    assert_eq!(fails(retained).await, DeliveryError::RetainNotSupported);
    for number in 0..100 {
        say(&session, "out", &number.to_string(), Qos::ExactlyOnce).await;
    }
    assert!(broker.log().received.iter().all(|message| message.qos == 1));
    broker.manner(|m| m.refuse_publish = Some(0x97));
    assert_eq!(fails(publish("out", "x", Qos::AtLeastOnce)).await, DeliveryError::Refused(0x97));
    assert_eq!(broker.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn refused_qos_2_publishes_give_their_places_back() {
    let manner = Manner { refuse_publish: Some(0x87), ..Manner::default() };
    let broker = Hostile::start(Protocol::V5, manner).await;
    let (session, _inbox) = Session::start(options(&broker, Protocol::V5)).unwrap();
    for _ in 0..200 {
        let receipt = session.publish(publish("out", "x", Qos::ExactlyOnce)).await.unwrap();
        assert_eq!(receipt.await, Err(DeliveryError::Refused(0x87)));
    }
    broker.manner(|m| m.refuse_publish = None);
    say(&session, "out", "x", Qos::ExactlyOnce).await;
    assert_eq!(broker.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn publishing_waits_for_room_while_the_broker_is_away_and_goes_on_when_it_comes() {
    for protocol in [Protocol::V311, Protocol::V5] {
        let broker = Hostile::start(protocol, Manner { slam: true, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let mut accepted = 0;
        loop {
            let accepting =
                session.publish(publish("out", &accepted.to_string(), Qos::AtLeastOnce));
            match tokio::time::timeout(Duration::from_secs(60), accepting).await {
                Ok(receipt) => drop(receipt.unwrap()),
                Err(_) => break,
            }
            accepted += 1;
        }
        assert_eq!(accepted, OUTBOUND_MESSAGES_MAX);
        broker.manner(|m| m.slam = false);
        say(&session, "out", &accepted.to_string(), Qos::AtLeastOnce).await;
        let expected: Vec<_> = (0..=accepted).map(|number| number.to_string()).collect();
        assert_eq!(broker.payloads(), expected);
    }
}
