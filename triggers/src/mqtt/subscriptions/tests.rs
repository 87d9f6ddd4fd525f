//! What is asked of the broker, step by step.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::mqtt::message::Qos;
use crate::mqtt::options::{Address, Security};

fn one(filter: &str, qos: Qos) -> Subscription {
    Subscription { filter: filter.into(), qos }
}

fn subscriptions(protocol: Protocol, kept: &[&str], wanted: &[&str]) -> Subscriptions {
    let address = Address { host: "broker".into(), port: 1883, security: Security::Plain };
    let list = |filters: &[&str]| filters.iter().map(|f| one(f, Qos::AtLeastOnce)).collect();
    let mut options = Options::new(address, "device");
    (options.protocol, options.kept) = (protocol, list(kept));
    options.subscriptions = list(wanted);
    Subscriptions::new(&options)
}

/// What is asked next, in words, answered with these codes.
fn step(subscriptions: &mut Subscriptions, now: Instant, codes: &[u8]) -> String {
    let names = |filters: &[Subscription]| {
        let name = |one: &Subscription| format!("{} at {}", one.filter, one.qos as u8);
        filters.iter().map(name).collect::<Vec<_>>().join(", ")
    };
    match subscriptions.next(now, || 5) {
        None => "nothing".into(),
        Some(Outgoing::Subscribe { id, filters, .. }) => {
            assert!(subscriptions.answered(id + 1, codes, now).is_none(), "not its answer");
            let granted = vec![1; filters.len()];
            let codes = if codes.is_empty() { &granted } else { codes };
            subscriptions.answered(id, codes, now).unwrap();
            format!("+ {}", names(&filters))
        }
        Some(Outgoing::Unsubscribe { id, filters }) => {
            assert!(subscriptions.dropped(id));
            format!("- {}", filters.join(", "))
        }
        Some(other) => panic!("{other:?}"),
    }
}

fn held(subscriptions: &mut Subscriptions) -> Option<Vec<String>> {
    let news = subscriptions.news()?;
    Some(news.iter().map(|one| one.filter.clone()).collect())
}

#[test]
fn a_kept_session_is_asked_for_what_is_new_then_told_what_is_gone() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &["old", "same"], &["same", "new"]);
    all.connected(true);
    assert!(!all.is_settled());
    assert_eq!(step(&mut all, now, &[]), "+ new at 1");
    assert!(all.is_settled());
    assert_eq!(held(&mut all).unwrap(), ["old", "same", "new"]);
    let asked = all.next(now, || 6).unwrap();
    assert_eq!(asked, Outgoing::Unsubscribe { id: 6, filters: vec!["old".into()] });
    assert_eq!(held(&mut all).unwrap(), ["same", "new"], "before the broker has answered");
    assert!(all.dropped(6));
    assert_eq!(step(&mut all, now, &[]), "nothing");
    all.connected(true);
    assert_eq!(step(&mut all, now, &[]), "nothing", "nor after a reconnect");
    assert_eq!(held(&mut all), None);
}

#[test]
fn a_broker_that_has_forgotten_the_session_is_asked_for_everything() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &["old", "same"], &["same", "new"]);
    all.connected(false);
    assert_eq!(held(&mut all).unwrap(), Vec::<String>::new(), "nothing may be relied upon");
    assert_eq!(step(&mut all, now, &[]), "+ same at 1, new at 1");
    assert_eq!(step(&mut all, now, &[]), "nothing");
    all.connected(false);
    assert_eq!(step(&mut all, now, &[]), "+ same at 1, new at 1");
}

#[test]
fn mqtt_5_asks_once_for_all_since_that_brings_no_retained_messages() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V5, &["old", "same"], &["same"]);
    all.connected(true);
    assert_eq!(step(&mut all, now, &[]), "+ same at 1");
    assert_eq!(step(&mut all, now, &[]), "- old");
    all.connected(true);
    assert_eq!(step(&mut all, now, &[]), "nothing", "now we know");
}

#[test]
fn what_was_under_way_when_the_connection_broke_is_asked_again() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &["old"], &["new"]);
    all.connected(true);
    assert!(all.next(now, || 5).is_some());
    all.connected(true);
    assert_eq!(step(&mut all, now, &[]), "+ new at 1");
    assert!(all.next(now, || 5).is_some());
    all.connected(true);
    assert_eq!(step(&mut all, now, &[]), "- old");
}

#[test]
fn a_covered_filter_is_left_out_and_the_other_gets_the_higher_qos() {
    let rows: [(&[(&str, Qos)], &str); 5] = [
        (&[("a/b", Qos::ExactlyOnce), ("a/#", Qos::AtMostOnce)], "a/# at 2"),
        (&[("a/#", Qos::AtLeastOnce), ("a/b", Qos::AtMostOnce)], "a/# at 1"),
        (&[("a/+", Qos::AtMostOnce), ("+/b", Qos::AtLeastOnce)], "a/+ at 0, +/b at 1"),
        (&[("a", Qos::AtMostOnce), ("a", Qos::ExactlyOnce)], "a at 2"),
        (
            &[("a/b/c", QOS[1]), ("a/b/#", QOS[0]), ("a/#", QOS[0]), ("x", QOS[0])],
            "a/# at 1, x at 0",
        ),
    ];
    for (wanted, expected) in rows {
        let mut all = subscriptions(Protocol::V311, &[], &[]);
        for (filter, qos) in wanted {
            let qos = all.find(filter).and_then(|known| known.1.wish).max(Some(*qos));
            all.want(one(filter, qos.unwrap())).unwrap();
        }
        all.connected(false);
        assert_eq!(step(&mut all, Instant::now(), &[]), format!("+ {expected}"));
    }
}

const QOS: [Qos; 3] = [Qos::AtMostOnce, Qos::AtLeastOnce, Qos::ExactlyOnce];

#[test]
fn what_a_refused_filter_covers_is_asked_for_by_itself_until_that_is_granted() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &["a/#", "a/b", "c"]);
    all.connected(false);
    assert_eq!(step(&mut all, now, &[0x80, 1]), "+ a/# at 1, c at 1");
    assert!(!all.is_settled());
    assert_eq!(step(&mut all, now, &[]), "+ a/b at 1");
    assert!(all.is_settled());
    assert_eq!(all.refused().len(), 1);
    assert_eq!(step(&mut all, now, &[]), "nothing");
    let later = now + limits::RESUBSCRIBE_FIRST;
    assert_eq!(all.due(), Some(later));
    assert_eq!(step(&mut all, later, &[0x80]), "+ a/# at 1");
    let later = later + 2 * limits::RESUBSCRIBE_FIRST;
    assert_eq!(all.due(), Some(later));
    assert_eq!(step(&mut all, later, &[]), "+ a/# at 1");
    assert_eq!(step(&mut all, later, &[]), "- a/b");
    assert_eq!((all.refused().len(), all.due()), (0, None));
}

#[test]
fn nothing_is_told_to_be_held_while_a_connect_is_not_answered() {
    let mut subscriptions = subscriptions(Protocol::V311, &["a"], &["a"]);
    assert!(subscriptions.news().is_none());
    subscriptions.set_unanswered(true);
    assert!(subscriptions.news().unwrap().is_empty());
    subscriptions.set_unanswered(false);
    subscriptions.connected(true);
    assert_eq!(subscriptions.news().unwrap().len(), 1);
}

mod chance;
mod changes;
