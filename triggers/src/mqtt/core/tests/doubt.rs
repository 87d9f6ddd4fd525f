//! A CONNECT whose answer never came: the broker may have made a new session for it, and says "present" of that one
//! next time.

use super::*;

/// Connects, and is cut before the answer.
fn unanswered(core: &mut Core, now: Instant) {
    core.opened(now);
    assert_eq!(sent(core, now), [Outgoing::Connect]);
    core.lost();
}

/// Connects to a broker that says that it has a session.
fn present(core: &mut Core, now: Instant) -> Vec<Outgoing> {
    core.opened(now);
    assert_eq!(sent(core, now), [Outgoing::Connect]);
    core.on_packet(Incoming::Accepted(Accepted::plain(true)), now).unwrap();
    sent(core, now)
}

fn subscribes(packets: &[Outgoing]) -> bool {
    packets.iter().any(|packet| matches!(packet, Outgoing::Subscribe { .. }))
}

#[test]
fn a_session_that_may_be_new_is_subscribed_again() {
    let now = Instant::now();
    let mut core = open(now);
    core.lost();
    unanswered(&mut core, now);
    assert!(subscribes(&present(&mut core, now)));
}

#[test]
fn a_session_that_can_only_be_the_old_one_is_not() {
    let now = Instant::now();
    let mut core = open(now);
    core.lost();
    assert!(!subscribes(&present(&mut core, now)));
    // A refusal is an answer: it makes no session.
    core.lost();
    core.opened(now);
    sent(&mut core, now);
    core.on_packet(Incoming::Refused("not now".into()), now).unwrap_err();
    core.lost();
    assert!(!subscribes(&present(&mut core, now)));
}

#[test]
fn a_message_of_qos_2_is_sent_whole_to_a_session_that_may_be_new() {
    let now = Instant::now();
    let mut core = open(now);
    core.publish(message("x", Qos::ExactlyOnce), None, now).unwrap();
    let [Outgoing::Publish { id, .. }] = sent(&mut core, now)[..] else { panic!() };
    core.on_packet(Incoming::Ack { kind: AckKind::Received, id, refused: None }, now).unwrap();
    assert_eq!(sent(&mut core, now), [Outgoing::Ack { kind: AckKind::Release, id }]);
    core.lost();
    unanswered(&mut core, now);
    let whole = |packet: &Outgoing| matches!(packet, Outgoing::Publish { id: of, dup: true, .. } if *of == id);
    let mut packets = present(&mut core, now);
    let [Outgoing::Subscribe { id: asked, .. }] = packets[..1] else { panic!("{packets:?}") };
    core.on_packet(Incoming::Subscribed { id: asked, codes: vec![2] }, now).unwrap();
    packets.extend(sent(&mut core, now));
    assert!(packets.iter().any(whole), "{packets:?}");
}

#[test]
fn a_message_that_only_looks_like_a_settled_one_is_handed_out_in_a_session_that_may_be_new() {
    let now = Instant::now();
    let mut core = open(now);
    core.on_packet(arrival(1), now).unwrap();
    let key = core.take(now).unwrap().key;
    core.lost();
    core.settle(key);
    unanswered(&mut core, now);
    present(&mut core, now);
    // Sent before on the connection of which we never saw the answer.
    let Incoming::Publish(mut copy) = arrival(1) else { panic!() };
    copy.dup = true;
    core.on_packet(Incoming::Publish(copy), now).unwrap();
    assert!(core.take(now).is_some(), "the same words are not the same message");
}
