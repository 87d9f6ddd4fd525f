//! Bytes and the packets, or errors, that they must become.
#![allow(clippy::unwrap_used)]

use super::*;

fn decode(version: Protocol, bytes: &[u8]) -> Result<Option<Packet>, WireError> {
    next(&mut BytesMut::from(bytes), version)
}

const CONNECT_V311: &[u8] = b"\x10\x10\x00\x04MQTT\x04\x02\x00\x3C\x00\x04me-1";
const CONNECT_V5: &[u8] =
    b"\x10\x19\x00\x04MQTT\x05\x02\x00\x3C\x08\x11\x00\x00\x00\x78\x21\x00\x0A\x00\x04me-1";

#[test]
fn connects_of_both_versions_are_read() {
    let old = next_connect(&mut BytesMut::from(CONNECT_V311)).unwrap().unwrap();
    assert_eq!((old.version, old.clean, old.keep_alive_secs), (Protocol::V311, true, 60));
    let new = next_connect(&mut BytesMut::from(CONNECT_V5)).unwrap().unwrap();
    assert_eq!((new.version, new.client_id.as_str()), (Protocol::V5, "me-1"));
    assert_eq!(new.properties.session_expiry_secs, Some(120));
    assert_eq!(new.properties.receive_max, Some(10));
}

#[test]
fn a_packet_that_is_not_complete_is_waited_for() {
    for whole in [CONNECT_V311, CONNECT_V5] {
        for end in 0..whole.len() {
            let mut input = BytesMut::from(&whole[..end]);
            assert_eq!(next_connect(&mut input), Ok(None), "{end} bytes");
            assert_eq!(input.len(), end, "nothing may be eaten");
        }
    }
}

#[test]
fn every_cut_or_altered_body_is_an_error_or_a_packet_never_a_panic() {
    let samples: [&[u8]; 5] = [
        CONNECT_V5,
        b"\x32\x0B\x00\x03a/b\x00\x0A\x00hey",
        b"\x82\x09\x01\x04\x00\x00\x03a/+\x01",
        b"\xA2\x08\x01\x04\x00\x00\x03a/+",
        b"\x32\x12\x00\x03a/b\x00\x0A\x07\x26\x00\x01k\x00\x01vhey",
    ];
    let mut tried = 0;
    for sample in samples {
        for index in 0..sample.len() {
            for value in [0x00, 0x01, 0x7F, 0x80, 0xFF] {
                let mut bytes = sample.to_vec();
                bytes[index] = value;
                let _ = next_connect(&mut BytesMut::from(&bytes[..]));
                let _ = decode(Protocol::V5, &bytes);
                let _ = decode(Protocol::V311, &bytes);
                tried += 1;
            }
        }
    }
    assert!(tried > 300);
}

#[test]
fn a_version_5_goodbye_may_leave_out_its_reason() {
    let expected = Packet::Disconnect { reason: 0, session_expiry_secs: None };
    assert_eq!(decode(Protocol::V5, b"\xE0\x00"), Ok(Some(expected.clone())));
    assert_eq!(decode(Protocol::V5, b"\xE0\x01\x00"), Ok(Some(expected)));
}

#[test]
fn properties_of_a_message_are_kept_as_they_came() {
    let packet = decode(Protocol::V5, b"\x30\x0F\x00\x03a/b\x07\x26\x00\x01k\x00\x01vhi").unwrap();
    let Some(Packet::Publish(publish)) = packet else { unreachable!("{packet:?}") };
    assert_eq!(&publish.forward[..], b"\x26\x00\x01k\x00\x01v");
    assert_eq!(&publish.payload[..], b"hi");
}

#[test]
fn what_the_protocol_forbids_is_refused() {
    use WireError::{EnhancedAuthentication, Forbidden, Malformed, TooLarge, TopicAlias};
    let cases: [(&[u8], WireError); 10] = [
        (b"\x36\x05\x00\x01a\x00\x01", Malformed("a QoS of 3")),
        (b"\x32\x06\x00\x01a\x00\x00\x00", Forbidden("a packet id of 0")),
        (
            b"\x80\x06\x00\x01\x00\x00\x01a",
            Malformed("a packet type or flags that no client sends"),
        ),
        (b"\x82\x03\x00\x01\x00", Forbidden("a SUBSCRIBE without a filter")),
        (b"\x30\x07\x00\x01a\x03\x23\x00\x01", TopicAlias),
        (b"\xF0\x02\x00\x00", EnhancedAuthentication),
        (b"\x30\xFF\xFF\xFF\x7F", TooLarge(268_435_460)),
        (b"\x30\xFF\xFF\xFF\xFF\x01", Malformed("a length of more than four bytes")),
        (b"\x30\x04\x00\x01\x00\x00", Malformed("a string with a null character")),
        (b"\x30\x04\x00\x01\xFF\x00", Malformed("a string that is not UTF-8")),
    ];
    for (bytes, expected) in cases {
        assert_eq!(decode(Protocol::V5, bytes), Err(expected), "{bytes:02X?}");
    }
}

#[test]
fn a_client_of_another_protocol_level_is_told_apart() {
    let level_3 = b"\x10\x0E\x00\x06MQIsdp\x03\x02\x00\x3C\x00\x00";
    let error = next_connect(&mut BytesMut::from(&level_3[..]));
    assert_eq!(error, Err(WireError::UnsupportedVersion(3)));
}
