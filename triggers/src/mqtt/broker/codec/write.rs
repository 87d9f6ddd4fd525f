//! From what the broker says to bytes.

use bytes::{BufMut, BytesMut};

use super::{AckKind, qos_bits, reason};
use crate::mqtt::broker::limits;
use crate::mqtt::{Protocol, Qos};

/// What a CONNACK says.
pub(crate) struct ConnAck<'a> {
    pub(crate) session_present: bool,
    /// A reason code of MQTT 5; turned into a return code for 3.1.1.
    pub(crate) reason: u8,
    /// The id that was given to a client which came without.
    pub(crate) assigned_client_id: Option<&'a str>,
}

/// CONNACK (section 3.2).
pub(crate) fn write_connack(output: &mut BytesMut, version: Protocol, ack: &ConnAck<'_>) {
    let mut body = BytesMut::new();
    body.put_u8(u8::from(ack.session_present));
    match version {
        Protocol::V311 => body.put_u8(return_code(ack.reason)),
        Protocol::V5 => {
            body.put_u8(ack.reason);
            let mut properties = BytesMut::new();
            if ack.reason == reason::SUCCESS {
                write_offer(&mut properties, ack.assigned_client_id);
            }
            write_varint(&mut body, properties.len());
            body.put(properties);
        }
    }
    write_frame(output, 0x20, &body);
}

/// What this server offers, where it differs from what a client must otherwise assume.
fn write_offer(properties: &mut BytesMut, assigned_client_id: Option<&str>) {
    properties.put_u8(33);
    properties.put_u16(limits::INCOMING_QOS2_MAX as u16);
    properties.put_u8(39);
    properties.put_u32(limits::PACKET_BYTES_MAX as u32);
    // No subscription identifiers.
    properties.put_slice(&[41, 0]);
    if let Some(id) = assigned_client_id {
        properties.put_u8(18);
        write_string(properties, id);
    }
}

/// The return codes of 3.1.1 (table 3.1), for the reasons that a connection is refused here.
fn return_code(reason_code: u8) -> u8 {
    match reason_code {
        reason::SUCCESS => 0,
        0x84 => 1,
        reason::CLIENT_ID_NOT_VALID => 2,
        _ => 3,
    }
}

/// A PUBLISH to a client.
pub(crate) struct PublishOut<'a> {
    pub(crate) topic: &'a str,
    pub(crate) payload: &'a [u8],
    pub(crate) forward: &'a [u8],
    pub(crate) qos: Qos,
    /// 0 for QoS 0.
    pub(crate) id: u16,
    pub(crate) retain: bool,
    pub(crate) duplicate: bool,
}

impl PublishOut<'_> {
    fn body_bytes(&self, version: Protocol) -> usize {
        let id = if self.qos == Qos::AtMostOnce { 0 } else { 2 };
        let properties = match version {
            Protocol::V311 => 0,
            Protocol::V5 => varint_bytes(self.forward.len()) + self.forward.len(),
        };
        2 + self.topic.len() + id + properties + self.payload.len()
    }

    /// The whole packet's size on the wire.
    pub(crate) fn bytes(&self, version: Protocol) -> usize {
        let body = self.body_bytes(version);
        1 + varint_bytes(body) + body
    }
}

/// PUBLISH (section 3.3).
pub(crate) fn write_publish(output: &mut BytesMut, version: Protocol, publish: &PublishOut<'_>) {
    let flags =
        u8::from(publish.duplicate) << 3 | qos_bits(publish.qos) << 1 | u8::from(publish.retain);
    output.put_u8(0x30 | flags);
    write_varint(output, publish.body_bytes(version));
    write_string(output, publish.topic);
    if publish.qos != Qos::AtMostOnce {
        output.put_u16(publish.id);
    }
    if version == Protocol::V5 {
        write_varint(output, publish.forward.len());
        output.put_slice(publish.forward);
    }
    output.put_slice(publish.payload);
}

/// PUBACK, PUBREC, PUBREL or PUBCOMP (sections 3.4 to 3.7). 3.1.1 has no reasons.
pub(crate) fn write_ack(
    output: &mut BytesMut,
    version: Protocol,
    kind: AckKind,
    id: u16,
    reason_code: u8,
) {
    let first = match kind {
        AckKind::Ack => 0x40,
        AckKind::Rec => 0x50,
        AckKind::Rel => 0x62,
        AckKind::Comp => 0x70,
    };
    let [high, low] = id.to_be_bytes();
    if version == Protocol::V311 || reason_code == reason::SUCCESS {
        write_frame(output, first, &[high, low]);
    } else {
        write_frame(output, first, &[high, low, reason_code]);
    }
}

/// SUBACK (section 3.9); `codes` are granted QoS or reasons of MQTT 5.
pub(crate) fn write_suback(output: &mut BytesMut, version: Protocol, id: u16, codes: &[u8]) {
    let mut body = BytesMut::new();
    body.put_u16(id);
    if version == Protocol::V5 {
        body.put_u8(0);
    }
    for &code in codes {
        body.put_u8(if version == Protocol::V311 && code > 2 { 0x80 } else { code });
    }
    write_frame(output, 0x90, &body);
}

/// UNSUBACK (section 3.11).
pub(crate) fn write_unsuback(output: &mut BytesMut, version: Protocol, id: u16, codes: &[u8]) {
    let mut body = BytesMut::new();
    body.put_u16(id);
    if version == Protocol::V5 {
        body.put_u8(0);
        body.put_slice(codes);
    }
    write_frame(output, 0xB0, &body);
}

/// PINGRESP (section 3.13).
pub(crate) fn write_pingresp(output: &mut BytesMut) {
    write_frame(output, 0xD0, &[]);
}

/// DISCONNECT from the server; 3.1.1 knows none, its connection is just closed.
pub(crate) fn write_disconnect(output: &mut BytesMut, version: Protocol, reason_code: u8) {
    if version == Protocol::V5 {
        write_frame(output, 0xE0, &[reason_code]);
    }
}

fn write_frame(output: &mut BytesMut, first: u8, body: &[u8]) {
    output.put_u8(first);
    write_varint(output, body.len());
    output.put_slice(body);
}

fn write_string(output: &mut BytesMut, text: &str) {
    // Every string written here was read from a 16-bit length or is shorter.
    output.put_u16(text.len() as u16);
    output.put_slice(text.as_bytes());
}

fn write_varint(output: &mut BytesMut, mut value: usize) {
    while value > 0x7F {
        output.put_u8((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    output.put_u8(value as u8);
}

fn varint_bytes(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_is_as_long_as_it_was_announced_to_be() {
        for length in [0, 1, 100, 127, 128, 16_383, 16_384, 300_000] {
            let payload = vec![7; length];
            let publish = PublishOut {
                topic: "a/b",
                payload: &payload,
                forward: b"\x01\x01",
                qos: Qos::AtLeastOnce,
                id: 1,
                retain: false,
                duplicate: true,
            };
            for version in [Protocol::V311, Protocol::V5] {
                let mut output = BytesMut::new();
                write_publish(&mut output, version, &publish);
                assert_eq!(output.len(), publish.bytes(version), "{length} {version:?}");
            }
        }
    }

    #[test]
    fn refusals_have_a_return_code_for_version_3_1_1() {
        let mut output = BytesMut::new();
        let refusal = ConnAck {
            session_present: false,
            reason: reason::CLIENT_ID_NOT_VALID,
            assigned_client_id: None,
        };
        write_connack(&mut output, Protocol::V311, &refusal);
        assert_eq!(&output[..], [0x20, 2, 0, 2]);
    }
}
