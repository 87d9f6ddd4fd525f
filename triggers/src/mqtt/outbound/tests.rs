//! The outbound record, step by step.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;

const RESUMED: Accepted = Accepted {
    session_present: true,
    receive_max: 10,
    packet_bytes_max: None,
    qos_max: Qos::ExactlyOnce,
    retain: Retain::Supported,
    keep_alive_secs: None,
};

fn record(messages: usize, qos: Qos) -> Outbound {
    let mut outbound = Outbound::new();
    // A session of this process: nothing of another's is to be released.
    outbound.connected(Accepted { session_present: false, ..RESUMED });
    outbound.connected(RESUMED);
    for number in 0..messages {
        outbound.push(publish(number, qos), None);
    }
    outbound
}

fn publish(number: usize, qos: Qos) -> Publish {
    Publish { topic: "t".into(), payload: number.to_string().into(), qos, retain: false }
}

/// The first identifier of all but QoS 2; shown as 1, the next as 2.
const BELOW: u16 = limits::QOS2_IDENTIFIERS;

fn shown(id: u16, qos: Qos) -> u16 {
    if qos == Qos::ExactlyOnce { id } else { id - BELOW }
}

/// Gives out all that may go, in words.
fn send(outbound: &mut Outbound) -> Vec<String> {
    let mut sent = Vec::new();
    while let Some(packet) = outbound.next(|_| false) {
        sent.push(match packet {
            Outgoing::Publish { id, dup, publish } => {
                let text = String::from_utf8(publish.payload.to_vec()).unwrap();
                let id = shown(id, publish.qos);
                format!("{id}:{text}{}", if dup { " again" } else { "" })
            }
            Outgoing::Ack { kind: AckKind::Release, id } => format!("release {id}"),
            other => panic!("{other:?}"),
        });
    }
    sent
}

fn ack(outbound: &mut Outbound, id: u16) -> Meaning {
    outbound.acked(AckKind::Ack, BELOW + id, None)
}

#[test]
fn the_window_limits_what_is_on_the_wire_and_moves_with_each_acknowledgement_in_any_order() {
    let mut outbound = record(20, Qos::AtLeastOnce);
    let first: Vec<_> = (0..10).map(|n| format!("{}:{n}", n + 1)).collect();
    assert_eq!(send(&mut outbound), first);
    assert_eq!(ack(&mut outbound, 7), Meaning::Later);
    assert_eq!(send(&mut outbound), ["11:10"]);
    assert_eq!(ack(&mut outbound, 1), Meaning::Oldest);
    assert_eq!(ack(&mut outbound, 4), Meaning::Later);
    assert_eq!(send(&mut outbound), ["12:11", "13:12"]);
    assert_eq!(outbound.tally.acknowledged, 3);
}

#[test]
fn an_acknowledgement_of_nothing_is_counted_and_changes_nothing() {
    let mut outbound = record(2, Qos::AtLeastOnce);
    send(&mut outbound);
    for id in [1, 1, 9, 2] {
        ack(&mut outbound, id);
    }
    assert!(outbound.is_empty());
    assert_eq!((outbound.tally.acknowledged, outbound.tally.ignored), (2, 2));
    let mut outbound = record(1, Qos::ExactlyOnce);
    send(&mut outbound);
    assert_eq!(outbound.acked(AckKind::Ack, 1, None), Meaning::None, "PUBACK for QoS 2");
    assert_eq!(outbound.acked(AckKind::Complete, 1, None), Meaning::None, "before PUBREC");
    assert_eq!(outbound.tally.ignored, 2);
}

#[test]
fn identifiers_go_round_through_all_there_are_and_pass_over_those_in_use() {
    let mut outbound = record(0, Qos::AtLeastOnce);
    outbound.push(publish(0, Qos::AtLeastOnce), None);
    assert_eq!(send(&mut outbound), ["1:0"]);
    for number in 1..usize::from(u16::MAX - BELOW) {
        outbound.push(publish(number, Qos::AtLeastOnce), None);
        let id = u16::try_from(number).unwrap() + 1;
        assert_eq!(send(&mut outbound), [format!("{id}:{number}")]);
        ack(&mut outbound, id);
    }
    outbound.push(publish(7, Qos::AtLeastOnce), None);
    let first = BELOW + 1;
    let next = outbound.next(|id| id == first + 1);
    assert!(matches!(next, Some(Outgoing::Publish { id, .. }) if id == first + 2), "{next:?}");
}

#[test]
fn what_an_earlier_process_left_at_qos_2_is_released_before_anything_can_be_taken_for_it() {
    let mut outbound = Outbound::new();
    outbound.connected(RESUMED);
    outbound.push(publish(0, Qos::AtLeastOnce), None);
    outbound.push(publish(1, Qos::ExactlyOnce), None);
    let releases = (1..=limits::QOS2_IDENTIFIERS).map(|id| format!("release {id}"));
    let all: Vec<String> =
        ["1:0".into()].into_iter().chain(releases).chain(["1:1".into()]).collect();
    assert_eq!(send(&mut outbound), all);
    assert_eq!(outbound.acked(AckKind::Complete, 1, None), Meaning::Later);
    // Whether they arrived is not known, so nothing of it counts.
    outbound.lost();
    outbound.connected(RESUMED);
    let renewed = send(&mut outbound);
    assert_eq!(
        (&renewed[0], renewed.len(), &renewed[257]),
        (&"2:0".to_owned(), 258, &"2:1".to_owned())
    );
    // Now it is: what was received came after them.
    assert_eq!(outbound.acked(AckKind::Received, 2, None), Meaning::Later);
    assert_eq!(send(&mut outbound), ["release 2"]);
    outbound.lost();
    outbound.connected(RESUMED);
    assert_eq!(send(&mut outbound), ["2:0 again", "release 2"]);
    assert_eq!(outbound.tally.ignored, 0);
}

#[test]
fn a_resumed_session_gets_the_same_again_and_a_lost_one_gets_it_as_new() {
    for session_present in [true, false] {
        let mut outbound = record(4, Qos::ExactlyOnce);
        send(&mut outbound);
        outbound.acked(AckKind::Received, 2, None);
        outbound.acked(AckKind::Received, 4, None);
        assert_eq!(send(&mut outbound), ["release 2", "release 4"]);
        outbound.lost();
        outbound.connected(Accepted { session_present, ..RESUMED });
        assert_eq!(outbound.tally.resent, 4);
        let again = ["1:0 again", "release 2", "3:2 again", "release 4"].map(String::from);
        let new = ["5:0", "6:1", "7:2", "8:3"].map(String::from);
        assert_eq!(send(&mut outbound), if session_present { again } else { new });
    }
}

#[test]
fn what_is_sent_again_keeps_to_what_the_broker_takes_at_once() {
    let mut outbound = record(6, Qos::AtLeastOnce);
    send(&mut outbound);
    outbound.lost();
    outbound.connected(Accepted { receive_max: 2, ..RESUMED });
    assert_eq!(send(&mut outbound), ["1:0 again", "2:1 again"]);
    ack(&mut outbound, 4);
    assert_eq!(send(&mut outbound), Vec::<String>::new());
    ack(&mut outbound, 1);
    assert_eq!(send(&mut outbound), ["3:2 again"]);
    for id in [2, 3] {
        ack(&mut outbound, id);
    }
    assert_eq!(send(&mut outbound), ["5:4 again", "6:5 again"]);
}

#[test]
fn a_reception_that_comes_again_is_released_again() {
    let mut outbound = record(1, Qos::ExactlyOnce);
    send(&mut outbound);
    for _ in 0..2 {
        outbound.acked(AckKind::Received, 1, None);
        assert_eq!(send(&mut outbound), ["release 1"]);
    }
    outbound.acked(AckKind::Received, 77, None);
    assert_eq!(send(&mut outbound), ["release 77"], "the broker holds what we have forgotten");
    outbound.acked(AckKind::Complete, 1, Some(0x92));
    assert!(outbound.is_empty());
}

#[test]
fn qos_0_is_done_when_given_out_and_is_gone_with_the_connection() {
    let mut outbound = record(2, Qos::AtMostOnce);
    assert!(outbound.next(|_| false).is_some());
    outbound.lost();
    outbound.connected(RESUMED);
    assert_eq!(outbound.next(|_| false), None);
    assert!(outbound.is_empty());
    let Tally { acknowledged, failed, dropped, .. } = outbound.tally;
    assert_eq!((acknowledged, failed, dropped), (1, 1, 1));
}

#[test]
fn qos_2_keeps_to_what_brokers_take_without_saying() {
    let mut outbound = record(40, Qos::ExactlyOnce);
    outbound.connected(Accepted::plain(true));
    assert_eq!(send(&mut outbound).len(), limits::WINDOW_QOS2);
    let mut outbound = record(100, Qos::AtLeastOnce);
    outbound.connected(Accepted::plain(true));
    assert_eq!(send(&mut outbound).len(), limits::WINDOW);
}

#[test]
fn the_sessions_own_word_goes_first_and_is_not_repeated_after_a_reconnect() {
    let mut outbound = record(1, Qos::AtLeastOnce);
    let (topic, payload) = ("status".to_owned(), "online".into());
    let status = Publish { topic, payload, qos: Qos::ExactlyOnce, retain: true };
    outbound.set_status(Some(status));
    assert_eq!(send(&mut outbound), ["1:online", "2:0"]);
    outbound.lost();
    outbound.connected(RESUMED);
    assert_eq!(send(&mut outbound), ["2:0 again"]);
}

#[test]
fn one_message_always_has_room_and_room_comes_back() {
    let mut outbound = record(0, Qos::AtLeastOnce);
    let payload = vec![0; limits::OUTBOUND_BYTES_MAX + 1].into();
    let large = Publish { topic: "t".into(), payload, qos: Qos::AtLeastOnce, retain: false };
    assert!(outbound.has_room(&large));
    outbound.push(large.clone(), None);
    assert!(!outbound.has_room(&publish(0, Qos::AtLeastOnce)));
    send(&mut outbound);
    ack(&mut outbound, 1);
    assert!(outbound.has_room(&large));
    assert_eq!((outbound.messages, outbound.bytes), (0, 0));
}

#[test]
fn after_a_burst_a_few_places_are_kept() {
    let mut outbound = record(2_000, Qos::AtMostOnce);
    assert!(outbound.waiting.capacity() >= 2_000);
    while outbound.next(|_| false).is_some() {}
    assert!(outbound.waiting.capacity() <= 2 * limits::OUTBOUND_KEPT);
}
