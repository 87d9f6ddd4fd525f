//! A session's life: subscribing, keeping alive, noticing the dead, stopping.

use super::hostile::{Hostile, Manner, options};
use super::support::{both, clean, connected, next, publish, say, seconds, subscribe, take};
use super::wire::Packet;
use pirn_triggers::mqtt::{
    DeliveryError, Notice, Protocol, Qos, RefusedSubscription, Session, State,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;

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
async fn an_mqtt_5_broker_is_told_what_fits() {
    let broker = Hostile::start(Protocol::V5, Manner::default()).await;
    let mut options = options(&broker, Protocol::V5);
    options.payload_bytes_max = 256 * 1024;
    let (session, _inbox) = Session::start(options).unwrap();
    connected(&session).await;
    let Packet::Connect { receive_max, packet_max, clean, .. } = broker.log().connects[0].1 else {
        panic!()
    };
    assert_eq!((receive_max, packet_max, clean), (Some(11), Some(1024 * 1024), false));
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
async fn a_broker_that_no_longer_answers_is_noticed_within_one_and_a_half_keep_alives() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner { freeze: true, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        let mut state = session.state();
        let begin = tokio::time::Instant::now();
        state.wait_for(|state| matches!(state, State::Connecting { .. })).await.unwrap();
        assert!(begin.elapsed() <= Duration::from_secs(91), "{:?}", begin.elapsed());
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
        assert!(begin.elapsed() <= Duration::from_secs(91), "{:?}", begin.elapsed());
        sending.abort();
    })
    .await;
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
            assert!(begin.elapsed() <= Duration::from_secs(3), "{:?}", begin.elapsed());
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
