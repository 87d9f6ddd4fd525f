//! rumqttc as a peer: the library whose packets the runner will send.

use std::time::Duration;

use rumqttc::{AsyncClient, Event, EventLoop, MqttOptions, Packet, QoS};
use tokio::time::timeout;

use super::{PATIENCE, Running};

fn client(broker: &Running, id: &str) -> (AsyncClient, EventLoop) {
    let mut options = MqttOptions::new(id, "127.0.0.1", broker.addr.port());
    options.set_clean_session(false).set_keep_alive(Duration::from_secs(5));
    AsyncClient::new(options, 1000)
}

/// Polls until a packet of interest came in.
async fn until<T>(events: &mut EventLoop, mut wanted: impl FnMut(Packet) -> Option<T>) -> T {
    let wait = async {
        loop {
            if let Event::Incoming(packet) = events.poll().await.expect("connected")
                && let Some(found) = wanted(packet)
            {
                return found;
            }
        }
    };
    timeout(PATIENCE, wait).await.expect("in time")
}

async fn connected(events: &mut EventLoop) -> bool {
    until(events, |packet| match packet {
        Packet::ConnAck(ack) => Some(ack.session_present),
        _ => None,
    })
    .await
}

#[tokio::test]
async fn three_hundred_messages_arrive_in_order_at_each_qos() {
    for qos in [QoS::AtMostOnce, QoS::AtLeastOnce, QoS::ExactlyOnce] {
        let broker = Running::start().await;
        let (client, mut events) = client(&broker, "both");
        client.subscribe("loop/#", qos).await.unwrap();
        until(&mut events, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
        for number in 0..300_u32 {
            client.publish("loop/x", qos, false, number.to_be_bytes()).await.unwrap();
        }
        let mut seen = Vec::new();
        until(&mut events, |packet| {
            if let Packet::Publish(publish) = packet {
                seen.push(u32::from_be_bytes(publish.payload[..].try_into().unwrap()));
            }
            (seen.len() == 300).then_some(())
        })
        .await;
        assert_eq!(seen, (0..300).collect::<Vec<_>>(), "{qos:?}");
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_marked_as_a_duplicate() {
    let broker = Running::start().await;
    let (first, mut events) = {
        let mut options = MqttOptions::new("late", "127.0.0.1", broker.addr.port());
        options.set_clean_session(false).set_manual_acks(true);
        AsyncClient::new(options, 10)
    };
    assert!(!connected(&mut events).await);
    first.subscribe("work", QoS::AtLeastOnce).await.unwrap();
    until(&mut events, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    let (publisher, mut publishing) = client(&broker, "boss");
    publisher.publish("work", QoS::AtLeastOnce, false, "task").await.unwrap();
    until(&mut publishing, |packet| matches!(packet, Packet::PubAck(_)).then_some(())).await;
    let received = |packet| match packet {
        Packet::Publish(publish) => Some((publish.dup, publish.payload)),
        _ => None,
    };
    assert_eq!(until(&mut events, received).await, (false, "task".into()));
    drop((first, events));
    broker.told(&["Disconnected", "late", "Lost"]).await;

    let (_again, mut events) = client(&broker, "late");
    assert!(connected(&mut events).await, "the session must be present");
    assert_eq!(until(&mut events, received).await, (true, "task".into()));
}

#[tokio::test]
async fn a_second_client_with_the_same_id_takes_the_session_over() {
    let broker = Running::start().await;
    let (first, mut events) = client(&broker, "twin");
    first.subscribe("t", QoS::AtLeastOnce).await.unwrap();
    until(&mut events, |packet| matches!(packet, Packet::SubAck(_)).then_some(())).await;
    let (second, mut others) = client(&broker, "twin");
    assert!(connected(&mut others).await);
    let broken = timeout(PATIENCE, async { while events.poll().await.is_ok() {} }).await;
    assert!(broken.is_ok(), "the first must be disconnected");
    broker.told(&["Disconnected", "twin", "TakenOver"]).await;
    second.publish("t", QoS::AtLeastOnce, false, "mine").await.unwrap();
    let payload = until(&mut others, |packet| match packet {
        Packet::Publish(publish) => Some(publish.payload),
        _ => None,
    });
    assert_eq!(payload.await, "mine");
}

#[tokio::test]
async fn version_5_of_rumqttc_is_served_too() {
    use rumqttc::v5::mqttbytes::{QoS, v5::Packet};
    use rumqttc::v5::{AsyncClient, Event, MqttOptions};
    let broker = Running::start().await;
    let options = MqttOptions::new("five", "127.0.0.1", broker.addr.port());
    let (client, mut events) = AsyncClient::new(options, 10);
    client.subscribe("v", QoS::ExactlyOnce).await.unwrap();
    client.publish("v", QoS::ExactlyOnce, false, "5").await.unwrap();
    let received = async {
        loop {
            if let Event::Incoming(Packet::Publish(publish)) = events.poll().await.unwrap() {
                return publish.payload;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, received).await.unwrap(), "5");
}
