//! Subscriptions over reconnects and restarts: nothing is asked that the broker holds, nothing stays that
//! is no longer wanted, and no retained message runs twice.

use super::hostile::{Hostile, Manner, options};
use super::support::{
    Mosquitto, PATIENCE, both, clean, connected, next, publish, say, seconds, subscribe, take,
};
use pirn_triggers::mqtt::{Protocol, Qos, Session, State, Subscription};
use std::time::Duration;

const ONE: Qos = Qos::AtLeastOnce;

fn list(filters: &[&str]) -> Vec<Subscription> {
    filters.iter().map(|f| Subscription { filter: (*f).into(), qos: ONE }).collect()
}

fn names(granted: &[Subscription]) -> Vec<String> {
    granted.iter().map(|one| one.filter.clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_kept_session_is_not_subscribed_again_and_a_forgotten_one_is() {
    both(async |protocol| {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let (session, mut inbox) = Session::start(options(&broker, protocol)).unwrap();
        connected(&session).await;
        for round in 2..5 {
            broker.cut();
            broker.until("a new connection", |b| b.connects() == round).await;
            broker.send("in/a", round.to_string(), 1);
            assert_eq!(take(&mut inbox).await.1, round.to_string());
            broker.until("its acknowledgement", |b| b.owed() == 0).await;
        }
        assert_eq!(broker.log().subscribes, 1);
        broker.manner(|m| m.forget = 1000);
        broker.cut();
        broker.until("a new subscription", |b| b.log().subscribes == 2).await;
        broker.assert_content();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_later_run_asks_for_what_is_new_and_drops_what_is_gone() {
    for (protocol, subscribes) in [(Protocol::V311, 2), (Protocol::V5, 2)] {
        let broker = Hostile::start(protocol, Manner::default()).await;
        let mut options = options(&broker, protocol);
        options.subscriptions = list(&["in/old", "in/same"]);
        let (session, _inbox) = Session::start(options.clone()).unwrap();
        connected(&session).await;
        let kept = session.granted().borrow().clone();
        assert_eq!(names(&kept), ["in/old", "in/same"]);
        session.stop(Duration::from_secs(5)).await;
        (options.kept, options.subscriptions) = (kept.to_vec(), list(&["in/same", "in/new"]));
        let (session, _inbox) = Session::start(options).unwrap();
        assert!(matches!(
            connected(&session).await,
            State::Connected { session_present: true, .. }
        ));
        broker.until("the old one gone", |b| b.log().unsubscribes == ["in/old"]).await;
        let held: Vec<String> = broker.log().subscriptions.keys().cloned().collect();
        assert_eq!(held, ["in/new", "in/same"]);
        assert_eq!(broker.log().subscribes, subscribes);
        let mut granted = names(&session.granted().borrow());
        granted.sort();
        assert_eq!(granted, ["in/new", "in/same"]);
    }
}

#[tokio::test(start_paused = true)]
async fn with_the_same_filters_a_later_run_asks_nothing_of_an_mqtt_3_1_1_broker() {
    let broker = Hostile::start(Protocol::V311, Manner::default()).await;
    let mut options = options(&broker, Protocol::V311);
    let (session, _inbox) = Session::start(options.clone()).unwrap();
    connected(&session).await;
    session.stop(Duration::from_secs(5)).await;
    options.kept = session.granted().borrow().to_vec();
    let (session, _inbox) = Session::start(options).unwrap();
    connected(&session).await;
    assert_eq!(broker.log().subscribes, 1);
}

#[tokio::test(start_paused = true)]
async fn only_the_covering_filter_is_subscribed_and_its_parts_when_that_is_refused() {
    both(async |protocol| {
        let refuse = Some(("in/#".to_owned(), 0x80));
        for refuse in [None, refuse] {
            let refused = refuse.is_some();
            let broker = Hostile::start(protocol, Manner { refuse, ..Manner::default() }).await;
            let mut options = options(&broker, protocol);
            subscribe(&mut options, &[("in/a", Qos::ExactlyOnce), ("in/#", ONE), ("in/+", ONE)]);
            let (session, _inbox) = Session::start(options).unwrap();
            connected(&session).await;
            let held: Vec<(String, u8)> = broker
                .log()
                .subscriptions
                .iter()
                .map(|(filter, options)| (filter.clone(), options & 3))
                .collect();
            let expected = if refused { "in/+" } else { "in/#" };
            assert_eq!(held, [(expected.to_owned(), 2)]);
        }
    })
    .await;
}

#[tokio::test]
async fn a_retained_message_comes_once_however_often_the_session_reconnects_and_restarts() {
    let mut broker = Mosquitto::start();
    for protocol in [Protocol::V311, Protocol::V5] {
        let (other, _theirs) = Session::start(clean(broker.options("other", protocol))).unwrap();
        let mut retained = publish("state/lamp", "on", ONE);
        retained.retain = true;
        other.publish(retained).await.unwrap().await.unwrap();
        let mut options = broker.options(&format!("board-{protocol:?}"), protocol);
        subscribe(&mut options, &[("state/#", ONE), ("state/lamp", ONE)]);
        let (session, mut inbox) = Session::start(options.clone()).unwrap();
        assert_eq!(take(&mut inbox).await.1, "on");
        connected(&session).await;
        other.stop(PATIENCE).await;
        broker.stop();
        broker.launch();
        let mut state = session.state();
        let resumed = |s: &State| matches!(s, State::Connected { session_present: true, .. });
        tokio::time::timeout(PATIENCE, state.wait_for(resumed)).await.unwrap().unwrap();
        say(&session, "state/mark", "after the reconnect", ONE).await;
        assert_eq!(take(&mut inbox).await.1, "after the reconnect");
        options.kept = session.granted().borrow().to_vec();
        session.stop(PATIENCE).await;
        let (session, mut inbox) = Session::start(options).unwrap();
        connected(&session).await;
        say(&session, "state/mark", "after the restart", ONE).await;
        let message = next(&mut inbox).await;
        assert_eq!((&message.payload[..], message.retain), (&b"after the restart"[..], false));
        session.settle(message.delivery);
        session.stop(PATIENCE).await;
    }
}

#[tokio::test(start_paused = true)]
async fn every_subscription_refused_leaves_a_session_that_publishes() {
    both(async |protocol| {
        let refuse = Some(("in/#".to_owned(), 0x80));
        let broker = Hostile::start(protocol, Manner { refuse, ..Manner::default() }).await;
        let (session, _inbox) = Session::start(options(&broker, protocol)).unwrap();
        let State::Connected { refused, .. } = connected(&session).await else { panic!() };
        assert_eq!(refused.len(), 1);
        say(&session, "out", "x", ONE).await;
        seconds(3600).await;
        assert_eq!(broker.connects(), 1);
        assert!(session.granted().borrow().is_empty());
    })
    .await;
}
