//! The core without a socket: what it says when, and what noise does to it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod doubt;
mod noise;

use super::*;
use crate::mqtt::options::{Address, Protocol, Security};
use tokio::sync::oneshot;

pub(super) fn options(protocol: Protocol) -> Options {
    let address = Address { host: "broker".into(), port: 1883, security: Security::Plain };
    let mut options = Options::new(address, "device");
    options.protocol = protocol;
    options.subscriptions = vec![Subscription { filter: "in/#".into(), qos: Qos::ExactlyOnce }];
    options
}

pub(super) fn message(payload: &str, qos: Qos) -> Publish {
    Publish { topic: "out".into(), payload: payload.to_owned().into(), qos, retain: false }
}

fn arrival(id: u16) -> Incoming {
    Incoming::Publish(Arrival {
        topic: "in/a".into(),
        payload: "x".into(),
        oversize: None,
        qos: Qos::AtLeastOnce,
        retain: false,
        dup: false,
        id,
    })
}

/// All that is to be sent now.
pub(super) fn sent(core: &mut Core, now: Instant) -> Vec<Outgoing> {
    std::iter::from_fn(|| core.next_to_send(now)).collect()
}

/// A core whose connection is open and subscribed.
fn open(now: Instant) -> Core {
    let mut core = Core::new(&options(Protocol::V311));
    core.opened(now);
    assert_eq!(sent(&mut core, now), [Outgoing::Connect]);
    core.on_packet(Incoming::Accepted(Accepted::plain(false)), now).unwrap();
    let [Outgoing::Subscribe { id, .. }] = sent(&mut core, now)[..] else { panic!() };
    assert!(core.news().state.is_none(), "not before the subscription is granted");
    core.on_packet(Incoming::Subscribed { id, codes: vec![2] }, now).unwrap();
    assert!(matches!(core.news().state, Some(State::Connected { .. })));
    core
}

#[test]
fn nothing_is_sent_before_connack_and_nothing_before_the_subscription() {
    let now = Instant::now();
    let mut core = Core::new(&options(Protocol::V311));
    core.publish(message("x", Qos::AtLeastOnce), None, now).unwrap();
    assert_eq!(sent(&mut core, now), [], "no connection");
    core.opened(now);
    assert_eq!(sent(&mut core, now), [Outgoing::Connect]);
    core.on_packet(Incoming::Accepted(Accepted::plain(false)), now).unwrap();
    let said = sent(&mut core, now);
    let [Outgoing::Subscribe { id: first, .. }, Outgoing::Publish { id, .. }] = said[..] else {
        panic!("{said:?}")
    };
    assert_eq!(id, first + 1);
}

#[test]
fn acknowledgements_leave_before_messages_and_what_is_said_of_nothing_is_ignored() {
    let now = Instant::now();
    let mut core = open(now);
    core.publish(message("x", Qos::AtLeastOnce), None, now).unwrap();
    core.on_packet(arrival(9), now).unwrap();
    let key = core.take(now).unwrap().key;
    core.settle(key);
    core.on_packet(Incoming::Ack { kind: AckKind::Release, id: 3, refused: None }, now).unwrap();
    core.on_packet(Incoming::Subscribed { id: 77, codes: vec![0x80] }, now).unwrap();
    core.on_packet(Incoming::Unsubscribed { id: 77 }, now).unwrap();
    let said = sent(&mut core, now);
    assert_eq!(said[0], Outgoing::Ack { kind: AckKind::Complete, id: 3 });
    assert_eq!(said[1], Outgoing::Ack { kind: AckKind::Ack, id: 9 });
    assert!(matches!(said[2], Outgoing::Publish { .. }));
    assert_eq!((said.len(), core.counters().acks_ignored), (3, 2));
    assert!(core.news().state.is_none());
}

#[test]
fn stopping_waits_for_what_is_under_way_then_leaves_and_at_last_leaves_anyway() {
    let now = Instant::now();
    let leave_at = now + Duration::from_secs(3);
    for answered in [true, false] {
        let mut core = open(now);
        let (done, mut receipt) = oneshot::channel();
        core.publish(message("x", Qos::AtLeastOnce), Some(Done::Receipt(done)), now).unwrap();
        let [Outgoing::Publish { id, .. }] = sent(&mut core, now)[..] else { panic!() };
        core.on_packet(arrival(9), now).unwrap();
        let key = core.take(now).unwrap().key;
        core.begin_stop(leave_at);
        assert_eq!(sent(&mut core, now), []);
        assert!(core.publish(message("y", Qos::AtLeastOnce), None, now).is_err());
        core.settle(key);
        let ack = Outgoing::Ack { kind: AckKind::Ack, id: 9 };
        match answered {
            true => {
                let ack_of_ours = Incoming::Ack { kind: AckKind::Ack, id, refused: None };
                core.on_packet(ack_of_ours, now).unwrap();
                assert_eq!(receipt.try_recv(), Ok(Ok(())));
            }
            false => {
                assert_eq!(core.deadline(now), leave_at);
                core.on_time(leave_at).unwrap();
            }
        }
        assert_eq!(sent(&mut core, leave_at), [ack, Outgoing::Disconnect]);
        assert_eq!(sent(&mut core, leave_at), []);
        core.end(&DeliveryError::Stopped);
        if !answered {
            assert_eq!(receipt.try_recv(), Ok(Err(DeliveryError::Stopped)));
        }
    }
}

#[test]
fn a_broker_that_asks_without_end_and_takes_no_answers_is_not_read() {
    let now = Instant::now();
    let mut core = open(now);
    let mut asked = 0;
    while core.reading() {
        let kind = [AckKind::Release, AckKind::Received][asked % 2];
        core.on_packet(Incoming::Ack { kind, id: 500, refused: None }, now).unwrap();
        asked += 1;
    }
    assert_eq!(asked, limits::REPLIES_MAX);
    assert!(core.next_to_send(now).is_some());
    assert!(core.reading());
}

#[test]
fn a_message_without_room_stops_reading_for_a_while_then_stays_with_the_broker() {
    let now = Instant::now();
    let mut core = open(now);
    let large = |id| {
        let Incoming::Publish(arrival) = arrival(id) else { panic!() };
        let payload = vec![0; limits::INBOX_BYTES_MAX].into();
        Incoming::Publish(Arrival { payload, ..arrival })
    };
    core.on_packet(large(1), now).unwrap();
    core.on_packet(large(2), now).unwrap();
    assert!(!core.reading());
    assert!(core.take(now).is_some(), "that makes room");
    assert!(core.reading());
    core.on_packet(large(3), now).unwrap();
    let later = core.deadline(now);
    assert_eq!(later, now + limits::ROOM_TIMEOUT);
    core.on_time(later).unwrap();
    assert!(core.reading());
    assert_eq!((core.counters().overflows, core.counters().received), (1, 2));
    core.on_packet(arrival(4), later).unwrap();
    assert_eq!(core.counters().received, 2, "it must not overtake the third");
    assert!(core.take(later).is_some());
    assert_eq!(sent(&mut core, later), [Outgoing::Disconnect], "so that they come again");
}

#[test]
fn a_deadline_that_is_met_is_never_due_at_the_same_time_again() {
    let start = Instant::now();
    let mut core = open(start);
    core.publish(message("x", Qos::AtLeastOnce), None, start).unwrap();
    let mut now = start;
    for _ in 0..100 {
        sent(&mut core, now);
        let next = core.deadline(now);
        assert!(next > now, "a busy loop");
        now = next;
        if core.on_time(now).is_err() {
            assert!(now - start <= Duration::from_secs(121));
            return;
        }
    }
    panic!("a broker that answers nothing is never given up");
}

#[test]
fn subscriptions_that_change_are_asked_for_at_once_and_shown_without_a_new_connection() {
    let now = Instant::now();
    let mut core = open(now);
    assert!(!core.has_to_send());
    core.want(Subscription { filter: "new".into(), qos: Qos::AtLeastOnce }).unwrap();
    assert!(core.has_to_send());
    let [Outgoing::Subscribe { id, .. }] = sent(&mut core, now)[..] else { panic!() };
    assert!(!core.has_to_send());
    core.on_packet(Incoming::Subscribed { id, codes: vec![0x87] }, now).unwrap();
    let refused = |core: &mut Core| match core.news().state {
        Some(State::Connected { refused, .. }) => refused.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&mut core), 1);
    core.unwant("new");
    assert_eq!(refused(&mut core), 0);
    assert!(!core.has_to_send(), "a refused one is nothing to unsubscribe");
}

#[test]
fn what_is_withdrawn_before_it_was_asked_for_does_not_keep_a_session_from_being_connected() {
    let now = Instant::now();
    let mut core = Core::new(&Options { subscriptions: Vec::new(), ..options(Protocol::V311) });
    core.want(Subscription { filter: "new".into(), qos: Qos::AtLeastOnce }).unwrap();
    core.opened(now);
    assert_eq!(core.next_to_send(now), Some(Outgoing::Connect));
    core.on_packet(Incoming::Accepted(Accepted::plain(false)), now).unwrap();
    assert!(core.news().state.is_none());
    core.unwant("new");
    assert!(matches!(core.news().state, Some(State::Connected { .. })));
    assert_eq!(sent(&mut core, now), []);
}

#[test]
fn a_broker_that_does_not_answer_an_unsubscribe_is_given_up() {
    let now = Instant::now();
    let mut core = open(now);
    core.unwant("in/#");
    let [Outgoing::Unsubscribe { .. }] = sent(&mut core, now)[..] else { panic!() };
    let late = now + limits::SUBACK_TIMEOUT;
    assert!(core.deadline(now) <= late);
    core.heard(late);
    assert_eq!(core.on_time(late), Err(Fault::Silent));
}
