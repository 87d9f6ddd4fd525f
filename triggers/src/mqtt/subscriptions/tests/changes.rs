//! What is wanted changes while the session runs, and by the thousands.

use super::*;

fn want(all: &mut Subscriptions, filters: &[&str]) {
    for filter in filters {
        all.want(one(filter, Qos::AtLeastOnce)).unwrap();
    }
}

/// A session that holds these.
fn holding(protocol: Protocol, filters: &[&str]) -> Subscriptions {
    let mut all = subscriptions(protocol, &[], filters);
    all.connected(false);
    while step(&mut all, Instant::now(), &[]) != "nothing" {}
    assert!(held(&mut all).is_some() && !all.can_ask() && all.is_settled());
    all
}

#[test]
fn what_comes_is_asked_for_and_what_goes_is_dropped_after_it() {
    let now = Instant::now();
    let mut all = holding(Protocol::V311, &["a", "b"]);
    all.unwant("a");
    want(&mut all, &["c"]);
    assert!(all.can_ask() && !all.is_settled());
    assert_eq!(step(&mut all, now, &[]), "+ c at 1");
    assert_eq!(held(&mut all).unwrap(), ["a", "b", "c"]);
    assert_eq!(step(&mut all, now, &[]), "- a");
    assert_eq!(held(&mut all).unwrap(), ["b", "c"]);
    assert_eq!(step(&mut all, now, &[]), "nothing");
    all.unwant("nobody knows it");
    assert!(!all.can_ask());
}

#[test]
fn before_a_connection_only_what_is_wanted_changes() {
    let mut all = subscriptions(Protocol::V311, &[], &["a"]);
    want(&mut all, &["b", "c"]);
    all.unwant("a");
    all.unwant("c");
    all.connected(false);
    assert_eq!(step(&mut all, Instant::now(), &[]), "+ b at 1");
    assert_eq!(step(&mut all, Instant::now(), &[]), "nothing");
}

#[test]
fn what_is_wanted_again_before_the_unsubscribe_is_not_dropped_and_after_it_is_asked_anew() {
    let now = Instant::now();
    let mut all = holding(Protocol::V311, &["a"]);
    all.unwant("a");
    want(&mut all, &["a"]);
    assert_eq!(step(&mut all, now, &[]), "nothing");
    all.unwant("a");
    assert!(matches!(all.next(now, || 7), Some(Outgoing::Unsubscribe { .. })));
    assert_eq!(held(&mut all).unwrap(), Vec::<String>::new());
    want(&mut all, &["a"]);
    assert!(all.next(now, || 8).is_none(), "one packet under way at a time");
    assert!(all.dropped(7));
    assert_eq!(step(&mut all, now, &[]), "+ a at 1");
    assert_eq!(step(&mut all, now, &[]), "nothing");
}

#[test]
fn what_is_no_longer_wanted_when_it_is_granted_is_dropped() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &["a"]);
    all.connected(false);
    assert!(all.next(now, || 7).is_some());
    all.unwant("a");
    assert!(all.answered(7, &[1], now).unwrap().is_empty());
    assert_eq!(step(&mut all, now, &[]), "- a");
    assert_eq!(all.known.all().count(), 0);
}

#[test]
fn what_was_under_way_and_is_no_longer_wanted_is_dropped_after_a_reconnect() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &["a"]);
    all.connected(false);
    assert!(all.next(now, || 7).is_some());
    all.lost();
    all.unwant("a");
    all.connected(true);
    assert_eq!(step(&mut all, now, &[]), "- a");
    assert_eq!(all.known.all().count(), 0);
}

#[test]
fn a_wide_filter_that_comes_and_goes_replaces_and_restores_what_it_covers() {
    let now = Instant::now();
    let mut all = holding(Protocol::V311, &["in/a", "in/b", "x"]);
    all.want(one("in/#", Qos::AtMostOnce)).unwrap();
    assert_eq!(step(&mut all, now, &[]), "+ in/# at 1", "at the QoS of what it covers");
    assert_eq!(step(&mut all, now, &[]), "- in/a, in/b");
    want(&mut all, &["in/c"]);
    all.want(one("in/d", Qos::ExactlyOnce)).unwrap();
    assert_eq!(step(&mut all, now, &[]), "+ in/# at 2");
    all.unwant("in/d");
    assert_eq!(step(&mut all, now, &[]), "nothing", "asking again would bring retained messages");
    all.unwant("in/#");
    assert_eq!(step(&mut all, now, &[]), "+ in/a at 1, in/b at 1, in/c at 1");
    assert_eq!(step(&mut all, now, &[]), "- in/#");
}

#[test]
fn another_qos_of_a_filter_is_asked_for() {
    let now = Instant::now();
    let mut all = holding(Protocol::V311, &["a"]);
    for qos in [Qos::ExactlyOnce, Qos::AtMostOnce] {
        all.want(one("a", qos)).unwrap();
        assert_eq!(step(&mut all, now, &[]), format!("+ a at {}", qos as u8));
        all.want(one("a", qos)).unwrap();
        assert_eq!(step(&mut all, now, &[]), "nothing");
    }
}

#[test]
fn asked_once_more_a_filter_brings_its_retained_messages() {
    let now = Instant::now();
    for protocol in [Protocol::V311, Protocol::V5] {
        let mut all = holding(protocol, &["a/#", "a/b", "c"]);
        for nothing in ["a/b", "never wanted"] {
            all.want_again(nothing);
            assert!(!all.can_ask(), "{nothing}");
        }
        all.want_again("c");
        want(&mut all, &["d"]);
        all.want_again("d");
        let mut asked = || match all.next(now, || 5).unwrap() {
            Outgoing::Subscribe { id, filters, retained } => {
                all.answered(id, &[1], now).unwrap();
                (filters, retained)
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(asked(), (vec![one("d", Qos::AtLeastOnce)], Retained::IfNew));
        assert_eq!(asked(), (vec![one("c", Qos::AtLeastOnce)], Retained::Always));
        assert!(!all.can_ask());
        // Lost with its connection, it is asked again; taken away, it is not.
        all.want_again("c");
        assert!(all.next(now, || 6).is_some());
        all.connected(true);
        assert_eq!(step(&mut all, now, &[]), "+ c at 1");
        all.want_again("c");
        all.unwant("c");
        assert_eq!(step(&mut all, now, &[]), "- c");
    }
}

#[test]
fn a_filter_under_way_is_asked_once_more_for_who_came_too_late_for_its_retained_messages() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &["a"]);
    all.connected(false);
    assert!(all.next(now, || 7).is_some());
    all.want_again("a");
    assert!(all.answered(7, &[1], now).is_some());
    assert_eq!(step(&mut all, now, &[]), "+ a at 1");
    assert_eq!(step(&mut all, now, &[]), "nothing");
}

#[test]
fn a_refused_filter_that_is_taken_away_is_not_reported_and_not_asked_again() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &["a"]);
    all.connected(false);
    assert_eq!(step(&mut all, now, &[0x80]), "+ a at 1");
    assert!(all.due().is_some() && all.refused().len() == 1);
    all.unwant("a");
    assert_eq!((all.due(), all.refused().len()), (None, 0));
    assert_eq!(step(&mut all, now + limits::RESUBSCRIBE_MAX, &[]), "nothing");
}

#[test]
fn thousands_go_out_in_packets_and_are_told_of_once() {
    let now = Instant::now();
    let names: Vec<String> = (0..5_000).map(|n| format!("in/{n}")).collect();
    let mut all = subscriptions(Protocol::V311, &[], &[]);
    want(&mut all, &names.iter().map(String::as_str).collect::<Vec<_>>());
    all.connected(false);
    let (mut packets, mut told) = (0, Vec::new());
    while step(&mut all, now, &[]) != "nothing" {
        (packets, told) = (packets + 1, [told, held(&mut all).into_iter().collect()].concat());
    }
    assert_eq!(packets, 5_000_usize.div_ceil(limits::SUBSCRIBE_FILTERS_MAX));
    assert_eq!(told.len(), 1);
    assert_eq!(told[0], names);
    for name in &names {
        all.unwant(name);
    }
    let mut left = 5_000;
    while let Some(Outgoing::Unsubscribe { id, filters }) = all.next(now, || 5) {
        left -= filters.len();
        assert_eq!(held(&mut all).unwrap().len(), left, "told before it is asked");
        assert!(all.dropped(id));
    }
    assert_eq!((left, all.known.all().count(), all.can_ask()), (0, 0, false));
}

#[test]
fn a_round_of_refusals_in_many_packets_makes_the_pause_longer_once() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &[]);
    for n in 0..1_000 {
        want(&mut all, &[&n.to_string()]);
    }
    all.connected(false);
    let refusals = [0x80; limits::SUBSCRIBE_FILTERS_MAX];
    while step(&mut all, now, &refusals) != "nothing" {}
    let later = now + limits::RESUBSCRIBE_FIRST;
    assert_eq!((all.due(), all.refused().len()), (Some(later), 1_000));
    while step(&mut all, later, &refusals) != "nothing" {}
    assert_eq!(all.due(), Some(later + 2 * limits::RESUBSCRIBE_FIRST));
}

#[test]
fn long_filters_make_packets_of_few() {
    let mut all = subscriptions(Protocol::V311, &[], &[]);
    let long = |c: char| c.to_string().repeat(limits::SUBSCRIBE_BYTES_MAX);
    want(&mut all, &[&long('a'), &long('b'), "c"]);
    all.connected(false);
    let asked = || step(&mut all, Instant::now(), &[]).split(", ").count();
    assert_eq!(std::iter::repeat_with(asked).take(2).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(step(&mut all, Instant::now(), &[]), "+ c at 1");
}

#[test]
fn what_is_no_filter_or_too_many_is_refused() {
    let mut all = subscriptions(Protocol::V311, &[], &[]);
    let text = all.want(one("a/#/b", Qos::AtMostOnce)).unwrap_err().to_string();
    assert!(text.starts_with("`a/#/b` is not a topic filter: + must"), "{text}");
    for n in 0..limits::SUBSCRIPTIONS_MAX {
        want(&mut all, &[&n.to_string()]);
    }
    let text = all.want(one("a", Qos::AtMostOnce)).unwrap_err().to_string();
    assert_eq!(text, "a session may not have more than 20000 subscriptions");
    assert_eq!(all.want(one("7", Qos::ExactlyOnce)), Ok(()), "another QoS is not another filter");
    all.unwant("7");
    want(&mut all, &["a"]);
}

#[test]
fn programs_that_come_and_go_faster_than_the_broker_answers_leave_it_no_more_than_twice_the_cap() {
    let now = Instant::now();
    let mut all = subscriptions(Protocol::V311, &[], &[]);
    all.connected(false);
    let mut name = (0..).map(|n: u32| n.to_string());
    let mut most = 0;
    for _ in 0..5 * limits::SUBSCRIPTIONS_MAX / limits::SUBSCRIBE_FILTERS_MAX / 4 {
        // As many as go into a packet, gone before the next, and always one that is not asked for yet.
        let names: Vec<String> = name.by_ref().take(limits::SUBSCRIBE_FILTERS_MAX).collect();
        want(&mut all, &names.iter().map(String::as_str).collect::<Vec<_>>());
        step(&mut all, now, &[]);
        names.iter().for_each(|name| all.unwant(name));
        most = most.max(all.known.all().count());
    }
    let cap = limits::SUBSCRIPTIONS_MAX + 2 * limits::SUBSCRIBE_FILTERS_MAX;
    assert!(most > limits::SUBSCRIPTIONS_MAX && most <= cap, "{most}");
}
