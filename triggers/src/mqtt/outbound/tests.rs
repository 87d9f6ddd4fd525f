//! The outbound record, step by step, with the test in rumqttc's place.
#![allow(clippy::unwrap_used)]

use super::*;

const RESUMED: Accepted = Accepted {
    session_present: true,
    packet_ids: 10,
    packet_bytes_max: None,
    qos_max: Qos::ExactlyOnce,
    retain: Retain::Supported,
};

/// The record, and rumqttc's way to number.
struct Bench {
    outbound: Outbound,
    last: u16,
}

impl Bench {
    fn new(messages: usize, qos: Qos) -> Self {
        let mut outbound = Outbound::new();
        outbound.connected(RESUMED);
        for number in 0..messages {
            let (topic, payload) = ("t".to_owned(), number.to_string().into());
            let publish = Publish { topic, payload, qos, retain: false };
            outbound.push(Entry { publish, done: None, _room: None });
        }
        Self { outbound, last: 0 }
    }

    /// Writes all that may go; gives payloads and identifiers.
    fn write(&mut self) -> std::vec::Vec<(String, u16)> {
        let mut written = std::vec::Vec::new();
        while let Some(publish) = self.outbound.next() {
            self.last = self.last % RESUMED.packet_ids + 1;
            let text = String::from_utf8(publish.payload.to_vec()).unwrap();
            written.push((text, self.last));
            self.outbound.sent(self.last);
        }
        written
    }
}

fn pairs(from: usize, ids: impl IntoIterator<Item = u16>) -> std::vec::Vec<(String, u16)> {
    ids.into_iter().enumerate().map(|(at, id)| ((from + at).to_string(), id)).collect()
}

#[test]
fn the_window_limits_what_is_on_the_wire_and_moves_with_each_acknowledgement() {
    let mut bench = Bench::new(20, Qos::AtLeastOnce);
    assert_eq!(bench.write(), pairs(0, 1..=8));
    bench.outbound.acked(1, None);
    bench.outbound.acked(2, None);
    assert_eq!(bench.write(), pairs(8, 9..=10));
    assert_eq!(bench.outbound.tally.acknowledged, 2);
}

#[test]
fn a_message_whose_identifier_would_be_in_use_is_held_back() {
    let mut bench = Bench::new(20, Qos::AtLeastOnce);
    bench.write();
    for id in 2..=8 {
        bench.outbound.acked(id, None);
    }
    assert_eq!(bench.write(), pairs(8, 9..=10), "identifier 1 is still under way");
    bench.outbound.acked(1, None);
    assert_eq!(bench.write(), pairs(10, 1..=6));
}

#[test]
fn a_resumed_session_gets_the_same_again_and_a_lost_one_gets_it_as_new() {
    for session_present in [true, false] {
        let mut bench = Bench::new(3, Qos::ExactlyOnce);
        bench.write();
        bench.outbound.received(2, None);
        bench.outbound.lost();
        let resends = bench.outbound.connected(Accepted { session_present, ..RESUMED });
        bench.last = 0;
        assert_eq!(bench.outbound.tally.resent, 3);
        if session_present {
            let text = |resend: &Resend| match resend {
                Resend::Publish(id, publish) => format!("{id} {:?}", publish.payload),
                Resend::Release(id) => format!("{id} release"),
            };
            let resends: std::vec::Vec<_> = resends.iter().map(text).collect();
            assert_eq!(resends, ["1 b\"0\"", "2 release", "3 b\"2\""]);
            assert_eq!(bench.write(), [], "identifier 1 is in use");
        } else {
            assert_eq!((resends.len(), bench.write()), (0, pairs(0, 1..=3)));
        }
    }
}

#[test]
fn qos_0_is_done_when_written_and_is_not_sent_twice() {
    let mut bench = Bench::new(2, Qos::AtMostOnce);
    assert!(bench.outbound.next().is_some());
    bench.outbound.sent(0);
    assert!(bench.outbound.next().is_some());
    bench.outbound.lost();
    bench.outbound.connected(RESUMED);
    assert_eq!(bench.outbound.next(), None);
    assert!(bench.outbound.is_empty());
    assert_eq!((bench.outbound.tally.acknowledged, bench.outbound.tally.failed), (1, 1));
}

#[test]
fn what_rumqttc_did_not_take_is_next_again() {
    let mut bench = Bench::new(2, Qos::AtLeastOnce);
    let first = bench.outbound.next();
    bench.outbound.not_taken();
    assert_eq!(bench.outbound.next(), first);
}

#[test]
fn the_sessions_own_word_goes_first_and_is_not_repeated_after_a_reconnect() {
    let mut bench = Bench::new(1, Qos::AtLeastOnce);
    let (topic, payload) = ("status".to_owned(), "online".into());
    let status = Publish { topic, payload, qos: Qos::ExactlyOnce, retain: true };
    bench.outbound.set_status(Some(status));
    assert_eq!(bench.write(), [("online".to_owned(), 1), ("0".to_owned(), 2)]);
    bench.outbound.lost();
    assert_eq!(bench.outbound.connected(RESUMED).len(), 1);
}

#[test]
fn places_that_rumqttc_forgets_wear_the_connection_out() {
    let mut bench = Bench::new(9, Qos::ExactlyOnce);
    bench.write();
    assert!(!bench.outbound.is_worn());
    bench.outbound.received(1, Some(0x97));
    assert!(!bench.outbound.is_worn(), "9 of 10 places are left, and the window is 8");
    bench.outbound.received(2, Some(0x97));
    assert!(bench.outbound.is_worn());
    bench.outbound.lost();
    bench.outbound.connected(RESUMED);
    assert!(!bench.outbound.is_worn());
}
