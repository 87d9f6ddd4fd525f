//! The queue and the ledger, step by step.
#![allow(clippy::unwrap_used)]

use super::*;
use bytes::Bytes;

fn arrival(id: u16, qos: Qos, dup: bool, bytes: usize) -> Arrival {
    let payload = Bytes::from(vec![b'x'; bytes]);
    Arrival { topic: "t".into(), payload, oversize: None, qos, retain: false, dup, id }
}

fn one(id: u16) -> Arrival {
    arrival(id, Qos::AtLeastOnce, false, 1)
}

fn again(id: u16) -> Arrival {
    arrival(id, Qos::AtLeastOnce, true, 1)
}

fn connected() -> Inbound {
    let mut inbound = Inbound::new();
    inbound.connected(false);
    inbound
}

/// Settles; gives the acknowledgement that went out.
fn settle(inbound: &mut Inbound, key: u64) -> Option<u16> {
    inbound.settle(key);
    inbound.next_ack().map(|ack| ack.id)
}

#[test]
fn a_copy_is_adopted_only_if_it_is_one() {
    let row = |copy: Arrival, session_present, expected: bool| {
        let mut inbound = connected();
        inbound.offer(one(7));
        inbound.connected(session_present);
        let known = inbound.offer(copy.clone()) == Offer::Known;
        assert_eq!(known, expected, "{copy:?}, session kept: {session_present}");
    };
    row(again(7), true, true);
    row(again(7), false, false);
    row(again(8), true, false);
    row(one(7), true, false);
    row(arrival(7, Qos::AtLeastOnce, true, 2), true, false);
    row(arrival(7, Qos::ExactlyOnce, true, 1), true, false);
}

#[test]
fn a_message_settled_between_connections_is_acknowledged_once_its_copy_comes() {
    let mut inbound = connected();
    inbound.offer(one(7));
    let key = inbound.take().unwrap().key;
    inbound.lost();
    assert_eq!(settle(&mut inbound, key), None);
    inbound.connected(true);
    let ack = Ack { id: 7, qos: Qos::AtLeastOnce };
    assert_eq!((inbound.offer(again(7)), inbound.next_ack()), (Offer::Known, Some(ack)));
    assert_eq!(inbound.offer(again(7)), Offer::Queued, "acknowledged: the next one is another");
}

#[test]
fn an_acknowledgement_that_had_not_left_when_the_connection_broke_goes_to_the_copy() {
    let mut inbound = connected();
    inbound.offer(one(7));
    let key = inbound.take().unwrap().key;
    assert!(inbound.settle(key));
    inbound.lost();
    assert_eq!(inbound.next_ack(), None);
    inbound.connected(true);
    assert_eq!(inbound.offer(again(7)), Offer::Known, "it is not handed out again");
    assert_eq!(inbound.next_ack().map(|ack| ack.id), Some(7));
}

#[test]
fn a_message_that_was_acknowledged_is_handed_out_again_if_it_comes_again() {
    // The broker may have got the acknowledgement and given the identifier to a message like it.
    let mut inbound = connected();
    inbound.offer(one(7));
    let key = inbound.take().unwrap().key;
    assert_eq!(settle(&mut inbound, key), Some(7));
    inbound.connected(true);
    assert_eq!(inbound.offer(again(7)), Offer::Queued);
}

#[test]
fn a_message_of_the_connection_before_is_not_acknowledged_on_this_one() {
    let mut inbound = connected();
    inbound.offer(one(7));
    let key = inbound.take().unwrap().key;
    inbound.connected(true);
    assert_eq!(settle(&mut inbound, key), None);
}

#[test]
fn qos_2_is_known_from_its_reception_to_its_release() {
    let two = |dup| arrival(7, Qos::ExactlyOnce, dup, 1);
    let mut inbound = connected();
    inbound.offer(two(false));
    let key = inbound.take().unwrap().key;
    assert_eq!(settle(&mut inbound, key), Some(7));
    assert!(inbound.awaits_release());
    inbound.connected(true);
    let ack = Ack { id: 7, qos: Qos::ExactlyOnce };
    assert_eq!((inbound.offer(two(true)), inbound.next_ack()), (Offer::Known, Some(ack)));
    inbound.released(7);
    assert!(!inbound.awaits_release());
    assert_eq!(inbound.offer(two(false)), Offer::Queued);
}

#[test]
fn the_inbox_holds_so_many_bytes_and_always_one_message() {
    let mut inbound = connected();
    let huge = arrival(1, Qos::AtLeastOnce, false, 2 * limits::INBOX_BYTES_MAX);
    assert_eq!(inbound.offer(huge), Offer::Queued);
    assert_eq!(inbound.offer(one(2)), Offer::Full(one(2)));
    let flood = arrival(0, Qos::AtMostOnce, false, limits::INBOX_QOS0_BYTES_MAX);
    assert_eq!(inbound.offer(flood.clone()), Offer::Queued);
    assert_eq!(inbound.offer(flood), Offer::Dropped);
    inbound.take();
    inbound.take();
    assert_eq!(inbound.offer(one(2)), Offer::Queued);
}

#[test]
fn a_full_ledger_forgets_what_it_only_keeps_for_convenience() {
    let mut inbound = connected();
    let full = u16::try_from(limits::UNSETTLED_MAX).unwrap();
    for id in 1..=full {
        assert_eq!(inbound.offer(one(id)), Offer::Queued);
        let key = inbound.take().unwrap().key;
        if id <= 10 {
            inbound.settle(key);
        }
    }
    assert_eq!(inbound.offer(one(full + 1)), Offer::Full(one(full + 1)));
    inbound.connected(true);
    for id in full + 1..=full + 10 {
        assert_eq!(inbound.offer(one(id)), Offer::Queued);
    }
    assert_eq!(inbound.offer(one(full + 11)), Offer::Full(one(full + 11)));
}
