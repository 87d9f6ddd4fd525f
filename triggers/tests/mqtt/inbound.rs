//! Inbound messages: acknowledged when settled, adopted when they come again, bounded whatever comes.

use super::hostile::{Hostile, Manner, options};
use super::support::{both, connected, next, say, seconds, take};
use pirn_triggers::limits::mqtt::INBOX_BYTES_MAX;
use pirn_triggers::mqtt::{Protocol, Qos, Session, State};
use std::time::Duration;

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_before_the_program_has_settled_it() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        for number in 0..10 {
            broker.send("in/a", number.to_string(), 1);
        }
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        let mut held = Vec::new();
        for _ in 0..10 {
            held.push(next(&mut inbox).await);
        }
        seconds(10).await;
        assert!(broker.log().acks.is_empty());
        session.settle(held.remove(3).delivery);
        session.settle(held.remove(0).delivery);
        broker.until("two acknowledgements", |b| b.log().acks.len() == 2).await;
        let order = broker.log().acks.clone();
        assert!(order[0] > order[1], "acknowledgements leave as messages are settled: {order:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_being_handled_is_not_handed_out_again_when_the_broker_sends_it_again() {
    both(async |protocol| {
        for qos in [1, 2] {
            let broker = Hostile::start(protocol, Manner::default()).await;
            broker.send("in/a", "queued and taken", qos);
            broker.send("in/a", "only queued", qos);
            let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
            let handling = next(&mut inbox).await;
            broker.cut();
            broker.until("a second connection", |b| b.connects() == 2).await;
            broker.send("in/a", "new", qos);
            assert_eq!(take(&mut inbox).await.1, "only queued");
            assert_eq!(take(&mut inbox).await.1, "new");
            broker.until("two acknowledgements", |b| b.owed() == 1).await;
            session.settle(handling.delivery);
            broker.until("everything acknowledged", |b| b.owed() == 0).await;
            let counters = session.counters();
            assert_eq!((counters.received, counters.redelivered), (3, 2));
            broker.assert_content();
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_settled_without_a_connection_is_acknowledged_when_it_comes_again() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        broker.send("in/a", "x", 1);
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        let message = next(&mut inbox).await;
        broker.cut();
        let mut state = session.state();
        state.wait_for(|state| matches!(state, State::Connecting { .. })).await.unwrap();
        session.settle(message.delivery);
        broker.until("the acknowledgement", |b| b.owed() == 0).await;
        assert_eq!(session.counters().received, 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_message_of_a_forgotten_session_is_settled_without_a_word_to_the_broker() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        broker.send("in/a", "x", 1);
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        let message = next(&mut inbox).await;
        broker.manner(|m| m.forget = 1000);
        broker.cut();
        // This broker has it published once more, so it comes as a new message.
        let again = next(&mut inbox).await;
        assert!(!again.dup);
        session.settle(message.delivery);
        session.settle(again.delivery);
        broker.until("the acknowledgement", |b| b.owed() == 0).await;
        assert_eq!(broker.log().acks.len(), 1);
        broker.assert_content();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_delivery_that_is_dropped_comes_again_after_the_next_connect() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        broker.send("in/a", "x", 1);
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        drop(next(&mut inbox).await);
        seconds(10).await;
        assert_eq!(broker.owed(), 1);
        broker.cut();
        let again = next(&mut inbox).await;
        assert!(again.dup);
        session.settle(again.delivery);
        broker.until("the acknowledgement", |b| b.owed() == 0).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_release_from_before_this_process_is_completed() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        for number in 0..30 {
            broker.send("in/a", number.to_string(), 2);
        }
        broker.manner(|m| m.hold_releases = true);
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        for _ in 0..15 {
            take(&mut inbox).await;
        }
        broker.until("15 receptions", |b| b.log().acks.len() == 15).await;
        drop((session, inbox));
        broker.manner(|m| m.hold_releases = false);
        let (_session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        for number in 15..30 {
            assert_eq!(take(&mut inbox).await.1, number.to_string());
        }
        broker.until("everything completed", |b| b.owed() == 0).await;
        assert_eq!(broker.connects(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_release_that_comes_after_a_reconnect_costs_no_further_one() {
    both(async |protocol| {
        let manner = Manner { hold_releases: true, ..Manner::default() };
        let broker = Hostile::start(protocol, manner).await;
        broker.send("in/a", "x", 2);
        let (_session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        take(&mut inbox).await;
        broker.until("the reception", |b| b.log().acks.len() == 1).await;
        broker.cut();
        broker.until("the completion", |b| b.owed() == 0).await;
        assert_eq!(broker.connects(), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_qos_0_is_dropped_and_counted_and_does_not_stop_qos_1() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        for number in 0..1000 {
            broker.send("in/telemetry", number.to_string(), 0);
        }
        broker.send("in/order", "promised", 1);
        broker.until("all sent", |b| b.owed() == 1).await;
        seconds(5).await;
        let counters = session.counters();
        assert_eq!(counters.received + counters.dropped_queue_full, 1001);
        assert_eq!(counters.received, 129);
        for number in 0..128 {
            assert_eq!(take(&mut inbox).await.1, number.to_string());
        }
        assert_eq!(take(&mut inbox).await.1, "promised");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_overflow_of_promised_messages_loses_none_although_each_handler_waits_for_the_broker() {
    // MQTT 3.1.1 has no receive maximum: this broker sends more ahead than the inbox takes.
    let large = "x".repeat(INBOX_BYTES_MAX / 400);
    let broker = Hostile::start(Protocol::V311, Manner { window: 1000, ..Manner::default() }).await;
    for number in 0..1000 {
        broker.send("in/a", format!("{number} {large}"), 1);
    }
    let (session, mut inbox) = Session::start(options(&broker, Protocol::V311)).unwrap();
    connected(&session).await;
    seconds(10).await;
    let mut seen = Vec::new();
    while broker.owed() > 0 {
        let next = tokio::time::timeout(Duration::from_secs(300), inbox.next());
        let Ok(Some(message)) = next.await else { continue };
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        let number = text.split(' ').next().unwrap();
        say(&session, "out", number, Qos::AtLeastOnce).await;
        seen.push(number.to_owned());
        session.settle(message.delivery);
    }
    let expected: Vec<_> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(seen, expected);
    assert!(session.counters().overflows >= 1);
    assert!(broker.connects() < 20, "{} connections", broker.connects());
}

#[tokio::test(start_paused = true)]
async fn with_mqtt_5_the_inbox_never_overflows() {
    let broker = Hostile::start(Protocol::V5, Manner { window: 32, ..Manner::default() }).await;
    for number in 0..500 {
        broker.send("in/a", number.to_string(), 1);
    }
    let (session, mut inbox) = Session::start(options(&broker, Protocol::V5)).unwrap();
    seconds(600).await;
    for number in 0..500 {
        assert_eq!(take(&mut inbox).await.1, number.to_string());
    }
    assert_eq!((session.counters().overflows, broker.connects()), (0, 1));
}
