//! One test for each thing that goes wrong when rumqttc is used as it comes, or a peer is unkind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use pirn_triggers::mqtt::{
    DeliveryError, Notice, Options, Protocol, PublishError, Qos, RefusedSubscription, Session,
    State,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use support::hostile::{Hostile, Manner};
use support::wire::Packet;
use support::{both, clean, connected, local, next, publish, say, subscribe, take};

const PROTOCOLS: [Protocol; 2] = [Protocol::V311, Protocol::V5];

fn options(broker: &Hostile, protocol: Protocol) -> Options {
    let mut options = Options::new(local(broker.port), "device");
    options.protocol = protocol;
    subscribe(&mut options, &[("in/#", Qos::ExactlyOnce)]);
    options
}

async fn seconds(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

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
            broker.until("a second connection", |b| b.log().subscribes == 2).await;
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
async fn a_refused_subscription_is_an_alarm_and_is_tried_again_without_reconnecting() {
    for (protocol, code) in [(Protocol::V311, 0x80), (Protocol::V5, 0x87)] {
        let refuse = Some(("secret/#".to_owned(), code));
        let broker = Hostile::start(protocol, Manner { refuse, ..Manner::default() }).await;
        let mut options = options(&broker, protocol);
        subscribe(&mut options, &[("in/#", Qos::AtLeastOnce), ("secret/#", Qos::AtLeastOnce)]);
        let notices = Arc::new(Mutex::new(Vec::new()));
        let log = notices.clone();
        options.on_notice = Some(Arc::new(move |notice| log.lock().unwrap().push(notice)));
        let (session, mut inbox) = Session::start(options).unwrap();
        let State::Connected { refused, .. } = connected(&session).await else { panic!() };
        assert_eq!(*refused, [RefusedSubscription { filter: "secret/#".into(), code }]);
        let alarm = Notice::SubscriptionRefused { filter: "secret/#".into(), code };
        assert!(notices.lock().unwrap().contains(&alarm));
        broker.send("in/a", "the others work", 1);
        assert_eq!(take(&mut inbox).await.1, "the others work");
        seconds(3600).await;
        let subscribes = broker.log().subscribes;
        assert!((3..10).contains(&subscribes), "{subscribes} attempts in an hour");
        assert_eq!(broker.connects(), 1);
        assert_eq!(session.counters().subscriptions_refused, subscribes as u64);
        broker.manner(|m| m.refuse = None);
        let mut state = session.state();
        let granted =
            |s: &State| matches!(s, State::Connected { refused, .. } if refused.is_empty());
        state.wait_for(granted).await.unwrap();
        let relief = Notice::SubscriptionGranted { filter: "secret/#".into() };
        assert!(notices.lock().unwrap().contains(&relief));
        say(&session, "out", "still publishing", Qos::ExactlyOnce).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_oversize_message_costs_that_message_only() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let mut options = options(&broker, protocol);
        options.payload_bytes_max = 1000;
        broker.send("in/a", vec![b'x'; 1000], 1);
        for qos in [0, 1, 2] {
            broker.send("in/large", vec![b'x'; 1001], qos);
            broker.send("in/huge", vec![b'x'; 900_000], qos);
        }
        broker.send("in/a", "after", 1);
        let (session, mut inbox) = Session::start(options).unwrap();
        assert_eq!(take(&mut inbox).await.1.len(), 1000);
        assert_eq!(take(&mut inbox).await.1, "after");
        broker.until("everything acknowledged", |b| b.owed() == 0).await;
        let counters = session.counters();
        assert_eq!((counters.dropped_oversize, counters.received), (6, 2));
        assert_eq!(broker.connects(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_packet_too_large_to_read_is_counted_and_not_stormed() {
    let broker = Hostile::start(Protocol::V311, Manner::default()).await;
    broker.send("in/monster", vec![b'x'; 3_000_000], 1);
    let (session, _inbox) = Session::start(options(&broker, Protocol::V311)).unwrap();
    seconds(3600).await;
    let connects = broker.connects();
    assert!((20..150).contains(&connects), "{connects} connections in an hour");
    assert!(session.counters().packets_too_large >= 20);
    let why = session.state().borrow().clone();
    assert!(format!("{why:?}").contains("a packet of 3000"), "{why:?}");
}

#[tokio::test(start_paused = true)]
async fn an_mqtt_5_broker_is_told_what_fits() {
    let broker = Hostile::start(Protocol::V5, Manner::default()).await;
    let mut options = options(&broker, Protocol::V5);
    options.payload_bytes_max = 256 * 1024;
    let (session, _inbox) = Session::start(options).unwrap();
    connected(&session).await;
    let Packet::Connect { receive_max, packet_max, clean, .. } = broker.log().connects[0].1 else {
        panic!()
    };
    assert_eq!((receive_max, packet_max, clean), (Some(3), Some(1024 * 1024), false));
}

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
async fn refused_qos_2_publishes_do_not_use_up_rumqttcs_places() {
    let manner = Manner { refuse_publish: Some(0x87), ..Manner::default() };
    let broker = Hostile::start(Protocol::V5, manner).await;
    let (session, _inbox) = Session::start(options(&broker, Protocol::V5)).unwrap();
    for _ in 0..200 {
        let receipt = session.publish(publish("out", "x", Qos::ExactlyOnce)).await.unwrap();
        assert_eq!(receipt.await, Err(DeliveryError::Refused(0x87)));
    }
    broker.manner(|m| m.refuse_publish = None);
    say(&session, "out", "x", Qos::ExactlyOnce).await;
    let connects = broker.connects();
    assert!(connects <= 5, "{connects} connections");
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_asks_for_no_keep_alive_is_not_pinged_without_pause() {
    let manner = Manner { properties: vec![0x13, 0, 0], ..Manner::default() };
    let broker = Hostile::start(Protocol::V5, manner).await;
    let (session, _inbox) = Session::start(options(&broker, Protocol::V5)).unwrap();
    connected(&session).await;
    seconds(600).await;
    let pings = broker.log().pings;
    assert!((5..15).contains(&pings), "{pings} pings in ten minutes");
    assert_eq!(broker.connects(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_session_is_kept_alive_and_does_not_reconnect() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        seconds(3600).await;
        let pings = broker.log().pings;
        assert!((55..65).contains(&pings), "{pings} pings in an hour");
        assert_eq!(broker.connects(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_no_longer_answers_is_noticed_within_two_keep_alives() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { freeze: true, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        let mut state = session.state();
        let begin = tokio::time::Instant::now();
        state.wait_for(|state| matches!(state, State::Connecting { .. })).await.unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(121), "{:?}", begin.elapsed());
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_broker_that_no_longer_reads_is_noticed_although_a_write_hangs() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { freeze: true, ..Manner::default() }).await;
        let mut options = options(&broker, protocol);
        options.payload_bytes_max = 4 * 1024 * 1024;
        let (session, _inbox) = Session::start(options).unwrap();
        connected(&session).await;
        let sender = session.clone();
        let sending = tokio::spawn(async move {
            // More than the sockets' buffers hold.
            let payload = "x".repeat(4 * 1024 * 1024);
            let receipts =
                (0..8).map(|_| sender.publish(publish("out", &payload, Qos::AtLeastOnce)));
            for receipt in receipts {
                drop(receipt.await);
            }
        });
        let mut state = session.state();
        let begin = tokio::time::Instant::now();
        state.wait_for(|state| matches!(state, State::Connecting { .. })).await.unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(121), "{:?}", begin.elapsed());
        sending.abort();
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
        assert!(broker.connects() <= 3, "{} connections", broker.connects());
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
    // MQTT 3.1.1 has no receive maximum: this broker sends a thousand ahead.
    let broker = Hostile::start(Protocol::V311, Manner { window: 1000, ..Manner::default() }).await;
    for number in 0..1000 {
        broker.send("in/a", number.to_string(), 1);
    }
    let (session, mut inbox) = Session::start(options(&broker, Protocol::V311)).unwrap();
    connected(&session).await;
    seconds(10).await;
    let mut seen = Vec::new();
    while broker.owed() > 0 {
        let next = tokio::time::timeout(Duration::from_secs(300), inbox.next());
        let Ok(Some(message)) = next.await else {
            continue;
        };
        let text = String::from_utf8(message.payload.to_vec()).unwrap();
        say(&session, "out", &text, Qos::AtLeastOnce).await;
        seen.push(text);
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

#[tokio::test(start_paused = true)]
async fn publishing_waits_for_room_while_the_broker_is_away_and_goes_on_when_it_comes() {
    for protocol in PROTOCOLS {
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
        assert_eq!(accepted, 64);
        broker.manner(|m| m.slam = false);
        say(&session, "out", "64", Qos::AtLeastOnce).await;
        let expected: Vec<_> = (0..=64).map(|number| number.to_string()).collect();
        assert_eq!(broker.payloads(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_sends_what_is_settled_says_offline_and_disconnects() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { late: 1000, ..Manner::default() }).await;
        let mut options = options(&broker, protocol);
        let status = |text| publish("status/device", text, Qos::AtLeastOnce);
        (options.online, options.will) = (Some(status("online")), Some(status("offline")));
        for number in 0..20 {
            broker.send("in/a", number.to_string(), 1);
        }
        let (session, mut inbox) = Session::start(options).unwrap();
        let mut receipts = Vec::new();
        for number in 0..20 {
            let text = take(&mut inbox).await.1;
            assert_eq!(text, number.to_string());
            receipts.push(session.publish(publish("out", &text, Qos::AtLeastOnce)).await.unwrap());
        }
        session.stop(Duration::from_secs(20)).await;
        for receipt in receipts {
            assert_eq!(receipt.await, Ok(()));
        }
        broker.until("DISCONNECT", |b| b.log().disconnects == 1).await;
        assert_eq!(broker.owed(), 0);
        let said = broker.payloads();
        assert_eq!((said[0].as_str(), said[21].as_str(), said.len()), ("online", "offline", 22));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn stopping_is_quick_when_the_broker_is_away_or_no_longer_answers() {
    both(async |protocol| {
        for manner in [
            Manner { slam: true, ..Manner::default() },
            Manner { freeze: true, ..Manner::default() },
        ] {
            let broker = Hostile::start(protocol, manner).await;
            let (session, mut inbox) = Session::start(clean(options(&broker, protocol))).unwrap();
            seconds(30).await;
            let receipt = session.publish(publish("out", "x", Qos::AtLeastOnce)).await.unwrap();
            let begin = tokio::time::Instant::now();
            session.stop(Duration::from_secs(3)).await;
            assert!(begin.elapsed() <= Duration::from_secs(4), "{:?}", begin.elapsed());
            assert_eq!(receipt.await, Err(DeliveryError::Stopped));
            assert_eq!(*session.state().borrow(), State::Stopped);
            assert!(inbox.next().await.is_none());
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_session_ends_the_connection_and_the_inbox() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        broker.send("in/a", "x", 1);
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        let clone = session.clone();
        drop(session);
        let message = next(&mut inbox).await;
        drop(clone);
        message.delivery.settle();
        assert!(inbox.next().await.is_none());
        assert_eq!(broker.log().disconnects, 0);
        assert_eq!(broker.owed(), 1);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_not_permitted_is_not_connected_to() {
    let broker = Hostile::start(Protocol::V311, Manner::default()).await;
    let mut options = options(&broker, Protocol::V311);
    options.address_filter = Some(Arc::new(|address| !address.is_loopback()));
    let (session, _inbox) = Session::start(options).unwrap();
    let mut state = session.state();
    let refused =
        |state: &State| format!("{state:?}").contains("127.0.0.1 of `127.0.0.1` is not permitted");
    state.wait_for(refused).await.unwrap();
    seconds(600).await;
    assert!(broker.log().connects.is_empty());
}
