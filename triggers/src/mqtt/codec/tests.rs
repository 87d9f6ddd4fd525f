//! Frames, lengths and what is read of each kind of packet.
#![allow(clippy::unwrap_used, clippy::panic)]

use super::frame::{Head, varint};
use super::*;
use crate::mqtt::message::{Publish, Qos};
use crate::mqtt::options::{Address, Security, Subscription};
use crate::mqtt::packet::{Accepted, Fault, Incoming, Retained};

fn options(protocol: Protocol) -> Options {
    let address = Address { host: "broker".into(), port: 1883, security: Security::Plain };
    let mut options = Options::new(address, "d");
    options.protocol = protocol;
    options
}

/// The packets in these bytes, brought one byte at a time, which is the same as all at once.
fn read(protocol: Protocol, bytes: &[u8]) -> Result<Vec<Incoming>, Fault> {
    let (mut slow, mut fast) = (Reader::new(&options(protocol)), Reader::new(&options(protocol)));
    fast.room().extend_from_slice(bytes);
    let mut packets = Vec::new();
    for byte in bytes {
        slow.room().extend_from_slice(&[*byte]);
        while let Some(packet) = slow.next()? {
            assert_eq!(fast.next()?.as_ref(), Some(&packet));
            packets.push(packet);
        }
    }
    Ok(packets)
}

#[test]
fn lengths_have_up_to_four_bytes() {
    let rows = [
        (&[][..], None),
        (&[0], Some((0, 1))),
        (&[0x80], None),
        (&[0x80, 1, 9], Some((128, 2))),
        (&[0xff, 0xff, 0xff], None),
        (&[0xff, 0xff, 0xff, 0x7f], Some((268_435_455, 4))),
    ];
    for (bytes, expected) in rows {
        assert_eq!(varint(bytes), Ok(expected), "{bytes:?}");
    }
    assert!(varint(&[0x80, 0x80, 0x80, 0x80]).is_err());
    assert!(Head::parse(&[0x41, 2]).is_err(), "flags are checked before the rest has come");
}

#[test]
fn answers_are_read_whatever_code_they_bear() {
    let ack = |kind, refused| Ok(vec![Incoming::Ack { kind, id: 258, refused }]);
    let rows: [(Protocol, &[u8], _); 7] = [
        (Protocol::V311, &[0x40, 2, 1, 2], ack(AckKind::Ack, None)),
        (Protocol::V311, &[0x62, 2, 1, 2], ack(AckKind::Release, None)),
        (Protocol::V5, &[0x50, 3, 1, 2, 0x10], ack(AckKind::Received, None)),
        (Protocol::V5, &[0x40, 4, 1, 2, 0xee, 0], ack(AckKind::Ack, Some(0xee))),
        (Protocol::V5, &[0x70, 2, 1, 2], ack(AckKind::Complete, None)),
        (
            Protocol::V5,
            &[0x90, 7, 1, 2, 3, 0x1f, 0, 0, 0x97],
            Ok(vec![Incoming::Subscribed { id: 258, codes: vec![0x97] }]),
        ),
        (Protocol::V311, &[0xb0, 2, 1, 2, 0xd0, 0], {
            Ok(vec![Incoming::Unsubscribed { id: 258 }, Incoming::Pong])
        }),
    ];
    for (protocol, bytes, expected) in rows {
        assert_eq!(read(protocol, bytes), expected, "{bytes:02x?}");
    }
    assert!(read(Protocol::V311, &[0x40, 3, 1, 2, 0]).is_err());
}

#[test]
fn a_message_is_its_topic_and_payload_whatever_properties_it_has() {
    // Two subscription identifiers and a user property.
    let properties = [0x0b, 1, 0x0b, 2, 0x26, 0, 1, b'k', 0, 1, b'v'];
    let mut body = vec![0, 1, b'a', 0, 7, properties.len() as u8];
    body.extend(properties);
    body.extend(b"payload");
    let mut bytes = vec![0x3b, body.len() as u8];
    bytes.extend(body);
    let [Incoming::Publish(arrival)] = &read(Protocol::V5, &bytes).unwrap()[..] else { panic!() };
    assert_eq!((arrival.topic.as_str(), &arrival.payload[..]), ("a", &b"payload"[..]));
    assert_eq!(
        (arrival.id, arrival.qos, arrival.retain, arrival.dup),
        (7, Qos::AtLeastOnce, true, true)
    );
}

#[test]
fn connack_tells_what_an_mqtt_5_broker_takes() {
    let bytes = [0x20, 15, 1, 0, 12, 0x21, 0, 9, 0x24, 1, 0x25, 0, 0x27, 0, 1, 0, 0];
    let accepted = Accepted {
        receive_max: 9,
        packet_bytes_max: Some(65_536),
        qos_max: Qos::AtLeastOnce,
        retain: crate::mqtt::packet::Retain::Unsupported,
        ..Accepted::plain(true)
    };
    assert_eq!(read(Protocol::V5, &bytes), Ok(vec![Incoming::Accepted(accepted)]));
    let plain = Ok(vec![Incoming::Accepted(Accepted::plain(true))]);
    assert_eq!(read(Protocol::V311, &[0x20, 2, 1, 0]), plain);
}

#[test]
fn what_we_say_is_what_the_standard_says() {
    let publish =
        Publish { topic: "t".into(), payload: "p".into(), qos: Qos::AtLeastOnce, retain: true };
    let filter = Subscription { filter: "f".into(), qos: Qos::ExactlyOnce };
    let rows: [(Outgoing, &[u8], &[u8]); 6] = [
        (
            Outgoing::Publish { id: 3, dup: true, publish },
            &[0x3b, 6, 0, 1, b't', 0, 3, b'p'],
            &[0x3b, 7, 0, 1, b't', 0, 3, 0, b'p'],
        ),
        (Outgoing::Ack { kind: AckKind::Release, id: 3 }, &[0x62, 2, 0, 3], &[0x62, 2, 0, 3]),
        (
            Outgoing::Subscribe { id: 3, filters: vec![filter], retained: Retained::IfNew },
            &[0x82, 6, 0, 3, 0, 1, b'f', 2],
            // Retain handling 1: no retained messages for a subscription that was there.
            &[0x82, 7, 0, 3, 0, 0, 1, b'f', 0x12],
        ),
        (
            Outgoing::Unsubscribe { id: 3, filters: vec!["f".into()] },
            &[0xa2, 5, 0, 3, 0, 1, b'f'],
            &[0xa2, 6, 0, 3, 0, 0, 1, b'f'],
        ),
        (Outgoing::Ping, &[0xc0, 0], &[0xc0, 0]),
        (Outgoing::Disconnect, &[0xe0, 0], &[0xe0, 0]),
    ];
    for (packet, v311, v5) in rows {
        for (protocol, expected) in [(Protocol::V311, v311), (Protocol::V5, v5)] {
            let mut out = BytesMut::new();
            write(&packet, &options(protocol), &mut out).unwrap();
            assert_eq!(&out[..], expected, "{packet:?}");
        }
    }
}
