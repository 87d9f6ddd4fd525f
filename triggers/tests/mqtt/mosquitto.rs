//! The MQTT session against a real mosquitto, with both versions of MQTT.

use super::support::{
    Mosquitto, both, clean, connected, local, next, publish, say, subscribe, take,
};
use pirn_triggers::mqtt::{Credentials, Options, Protocol, Qos, Session, State};
use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::time::Duration;

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

#[tokio::test]
async fn a_message_of_each_qos_goes_out_and_comes_back() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("round-trip", protocol);
        subscribe(&mut options, &[("in/+", Qos::ExactlyOnce)]);
        let (session, mut inbox) = Session::start(options).unwrap();
        connected(&session).await;
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
        for qos in [Qos::AtLeastOnce, Qos::ExactlyOnce] {
            let mut options = broker.options("order", protocol);
            subscribe(&mut options, &[("burst", qos)]);
            let (session, mut inbox) = Session::start(options).unwrap();
            connected(&session).await;
            let sender = session.clone();
            let sending = tokio::spawn(async move {
                for number in 0..1000 {
                    let message = publish("burst", &number.to_string(), qos);
                    drop(sender.publish(message).await.unwrap());
                }
            });
            for number in 0..1000 {
                assert_eq!(take(&mut inbox).await.1, number.to_string());
            }
            sending.await.unwrap();
            session.stop(Duration::from_secs(5)).await;
            assert_eq!(session.counters().acknowledged, 1000);
        }
    })
    .await;
}

#[tokio::test]
async fn the_broker_gets_the_qos_that_each_filter_asks_for() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("granted", protocol);
        let filters = [("zero/#", QOS[0]), ("one/+/x", QOS[1]), ("+/two", QOS[2])];
        subscribe(&mut options, &filters);
        let (session, mut inbox) = Session::start(options).unwrap();
        connected(&session).await;
        let rows = [("zero/a/b", QOS[0]), ("one/a/x", QOS[1]), ("any/two", QOS[2])];
        for (topic, qos) in rows {
            say(&session, topic, "x", Qos::ExactlyOnce).await;
            assert_eq!(take(&mut inbox).await, (topic.into(), "x".into(), qos));
        }
        for topic in ["one/a/y", "any/three", "one/a/b/x"] {
            say(&session, topic, "no filter takes this", Qos::ExactlyOnce).await;
        }
        say(&session, "any/two", "the end", Qos::ExactlyOnce).await;
        assert_eq!(take(&mut inbox).await.1, "the end");
        session.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_shared_subscription_gives_each_message_to_one_of_the_group() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let start = |name| {
            let mut options = broker.options(name, protocol);
            subscribe(&mut options, &[("$share/group/job/+", Qos::AtLeastOnce)]);
            Session::start(clean(options)).unwrap()
        };
        let ((one, mut first), (two, mut second)) = (start("worker-1"), start("worker-2"));
        connected(&one).await;
        connected(&two).await;
        for number in 0..20 {
            say(&one, "job/a", &number.to_string(), Qos::AtLeastOnce).await;
        }
        let mut seen = BTreeSet::new();
        for _ in 0..20 {
            let (_, payload, _) = tokio::select! {
                message = take(&mut first) => message,
                message = take(&mut second) => message,
            };
            assert!(seen.insert(payload), "given to both");
        }
        assert!(one.counters().received > 0 && two.counters().received > 0);
    })
    .await;
}

#[tokio::test]
async fn a_retained_message_is_there_for_a_late_subscriber_and_says_so() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let (session, _inbox) = Session::start(clean(broker.options("early", protocol))).unwrap();
        let mut state = publish("state", "21.5", Qos::AtLeastOnce);
        state.retain = true;
        session.publish(state).await.unwrap().await.unwrap();
        let mut options = broker.options("late", protocol);
        subscribe(&mut options, &[("state", Qos::AtLeastOnce)]);
        let (_late, mut inbox) = Session::start(clean(options)).unwrap();
        let message = next(&mut inbox).await;
        assert!(message.retain);
        assert_eq!(message.payload, "21.5");
    })
    .await;
}

#[tokio::test]
async fn what_was_published_while_we_were_away_is_delivered_when_we_come_back() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("device", protocol);
        subscribe(&mut options, &[("away", Qos::AtLeastOnce)]);
        let (session, _) = Session::start(options.clone()).unwrap();
        connected(&session).await;
        session.stop(Duration::from_secs(5)).await;
        let (other, _inbox) = Session::start(clean(broker.options("other", protocol))).unwrap();
        say(&other, "away", "kept", Qos::AtLeastOnce).await;
        let (session, mut inbox) = Session::start(options).unwrap();
        assert_eq!(take(&mut inbox).await.1, "kept");
        let State::Connected { session_present, .. } = connected(&session).await else { panic!() };
        assert!(session_present);
        session.stop(Duration::from_secs(5)).await;
    })
    .await;
}

#[tokio::test]
async fn a_clean_session_is_forgotten() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        for _ in 0..2 {
            let (session, _) = Session::start(clean(broker.options("clean", protocol))).unwrap();
            let State::Connected { session_present, .. } = connected(&session).await else {
                panic!()
            };
            assert!(!session_present);
            session.stop(Duration::from_secs(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_session_that_starts_before_its_broker_connects_when_it_comes() {
    let mut broker = Mosquitto::start();
    both(async |protocol| {
        let options = broker.options("first", protocol);
        let (session, _inbox) = Session::start(options.clone()).unwrap();
        connected(&session).await;
        drop(session);
    })
    .await;
    broker.stop();
    let (session, _inbox) = Session::start(Options::new(local(broker.port), "first")).unwrap();
    let mut state = session.state();
    let failed = |state: &State| matches!(state, State::Connecting { last_error: Some(_), .. });
    state.wait_for(failed).await.unwrap();
    let receipt = session.publish(publish("early", "x", Qos::AtLeastOnce)).await.unwrap();
    broker.launch();
    connected(&session).await;
    receipt.await.unwrap();
}

#[tokio::test]
async fn no_qos_1_message_is_lost_when_the_broker_is_stopped_and_started_while_they_flow() {
    both(async |protocol| {
        let mut broker = Mosquitto::start();
        let mut options = broker.options("device", protocol);
        subscribe(&mut options, &[("flow", Qos::AtLeastOnce)]);
        let (session, mut inbox) = Session::start(options).unwrap();
        connected(&session).await;
        let (sender, _theirs) = Session::start(broker.options("sender", protocol)).unwrap();
        connected(&sender).await;
        let publisher = sender.clone();
        let sending = tokio::spawn(async move {
            let mut receipts = Vec::new();
            for number in 0..400 {
                let message = publish("flow", &number.to_string(), Qos::AtLeastOnce);
                receipts.push(publisher.publish(message).await.unwrap());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            for receipt in receipts {
                receipt.await.unwrap();
            }
        });
        let mut seen = BTreeSet::new();
        for restart_at in [100, 200, 400] {
            while seen.len() < restart_at {
                seen.insert(take(&mut inbox).await.1);
            }
            if restart_at < 400 {
                broker.stop();
                broker.launch();
            }
        }
        sending.await.unwrap();
        assert!(session.counters().connects <= 6, "{:?}", session.counters());
    })
    .await;
}

#[tokio::test]
async fn the_will_is_published_when_the_connection_breaks_and_offline_when_it_ends_in_order() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("watcher", protocol);
        subscribe(&mut options, &[("status", Qos::AtLeastOnce)]);
        let (watcher, mut inbox) = Session::start(clean(options)).unwrap();
        connected(&watcher).await;
        let mut options = clean(broker.options("watched", protocol));
        options.online = Some(publish("status", "online", Qos::AtLeastOnce));
        options.will = Some(publish("status", "offline", Qos::AtLeastOnce));
        for cut in [true, false] {
            let (session, _inbox) = Session::start(options.clone()).unwrap();
            assert_eq!(take(&mut inbox).await.1, "online");
            match cut {
                true => drop(session),
                false => session.stop(Duration::from_secs(5)).await,
            }
            assert_eq!(take(&mut inbox).await.1, "offline");
        }
        say(&watcher, "status", "the end", Qos::AtLeastOnce).await;
        assert_eq!(take(&mut inbox).await.1, "the end");
    })
    .await;
}

#[tokio::test]
async fn wrong_credentials_are_reported_and_right_ones_work() {
    let broker = Mosquitto::with(|folder| {
        let path = folder.join("passwords");
        let made = std::process::Command::new("mosquitto_passwd")
            .args(["-b", "-c", path.to_str().unwrap(), "ann", "secret"])
            .status()
            .expect("these tests need mosquitto_passwd: apt-get install mosquitto");
        assert!(made.success());
        format!("allow_anonymous false\npassword_file {}\n", path.display())
    });
    both(async |protocol| {
        let mut options = broker.options("who", protocol);
        for (password, works) in [("wrong", false), ("secret", true)] {
            let (username, password) = ("ann".to_owned(), password.to_owned());
            options.credentials = Some(Credentials { username, password });
            let (session, _inbox) = Session::start(options.clone()).unwrap();
            let mut state = session.state();
            let reached = |state: &State| match state {
                State::Connected { .. } => works,
                state => !works && format!("{state:?}").contains("the broker refused us"),
            };
            let reached = state.wait_for(reached);
            tokio::time::timeout(super::support::PATIENCE, reached).await.unwrap().unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn the_longest_topic_and_the_largest_payload_pass() {
    let broker = Mosquitto::start();
    both(async |protocol| {
        let mut options = broker.options("large", protocol);
        options.payload_bytes_max = 4 * 1024 * 1024;
        subscribe(&mut options, &[("large/#", Qos::ExactlyOnce)]);
        let (session, mut inbox) = Session::start(clean(options)).unwrap();
        connected(&session).await;
        let payload = "x".repeat(4 * 1024 * 1024);
        // mosquitto takes at most 200 levels and 65 535 bytes.
        let topic = format!("large/{}", "t".repeat(60_000));
        for qos in QOS {
            say(&session, &topic, &payload, qos).await;
            let message = take(&mut inbox).await;
            assert!(message == (topic.clone(), payload.clone(), qos));
        }
        assert_eq!(session.counters().connects, 1);
    })
    .await;
}

#[tokio::test]
async fn what_an_earlier_process_left_half_published_at_qos_2_swallows_nothing_that_is_published_now()
 {
    let broker = Mosquitto::start();
    let mut options = broker.options("observer", Protocol::V311);
    subscribe(&mut options, &[("two", Qos::ExactlyOnce)]);
    let (observer, mut inbox) = Session::start(options).unwrap();
    connected(&observer).await;
    // The earlier process died before it released anything.
    let mut earlier = std::net::TcpStream::connect(("127.0.0.1", broker.port)).unwrap();
    earlier.write_all(b"\x10\x12\0\x04MQTT\x04\0\0\x3c\0\x06device").unwrap();
    earlier.read_exact(&mut [0; 4]).unwrap();
    for id in 1..=16 {
        earlier.write_all(&[0x34, 8, 0, 3, b't', b'w', b'o', 0, id, b'o']).unwrap();
        earlier.read_exact(&mut [0; 4]).unwrap();
    }
    drop(earlier);
    let (session, _inbox) = Session::start(broker.options("device", Protocol::V311)).unwrap();
    connected(&session).await;
    // Of the same words, or this broker would see that they are none of those.
    for _ in 0..16 {
        say(&session, "two", "o", Qos::ExactlyOnce).await;
    }
    for _ in 0..32 {
        assert_eq!(take(&mut inbox).await.1, "o");
    }
    assert_eq!(session.counters().acks_ignored, 0);
}
