//! Where a packet begins and ends: the fixed header (section 2.2 of MQTT 3.1.1, 2.1 of MQTT 5), and
//! the few shapes that several packets share.

use crate::mqtt::packet::{AckKind, Fault};

/// A fixed header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) flags: u8,
    /// Bytes of the fixed header itself.
    pub(super) header: usize,
    /// Bytes that follow it.
    pub(super) body: usize,
}

/// What a broker may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    ConnAck,
    Publish,
    Ack(AckKind),
    SubAck,
    UnsubAck,
    PingResp,
    Disconnect,
}

impl Head {
    /// The header at the beginning of these bytes; `None` until it is complete.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<Self>, Fault> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let kind = kind(first)?;
        let Some((body, taken)) = varint(rest)? else { return Ok(None) };
        Ok(Some(Self { kind, flags: first & 0x0f, header: 1 + taken, body }))
    }

    /// The whole packet.
    pub(super) fn total(&self) -> usize {
        self.header + self.body
    }
}

/// The packet's type, whose flags must be the ones that it always has [MQTT-2.2.2-2].
fn kind(first: u8) -> Result<Kind, Fault> {
    let (kind, flags) = match first >> 4 {
        2 => (Kind::ConnAck, 0),
        3 if first & 6 == 6 => return Err(Fault::Malformed("a QoS of 3".into())),
        3 => return Ok(Kind::Publish),
        4 => (Kind::Ack(AckKind::Ack), 0),
        5 => (Kind::Ack(AckKind::Received), 0),
        6 => (Kind::Ack(AckKind::Release), 2),
        7 => (Kind::Ack(AckKind::Complete), 0),
        9 => (Kind::SubAck, 0),
        11 => (Kind::UnsubAck, 0),
        13 => (Kind::PingResp, 0),
        14 => (Kind::Disconnect, 0),
        other => return Err(Fault::Malformed(format!("type {other} is not for clients"))),
    };
    match first & 0x0f == flags {
        true => Ok(kind),
        false => Err(Fault::Malformed(format!("type {} with flags {}", first >> 4, first & 0x0f))),
    }
}

/// A variable byte integer, and the bytes that it takes; `None` until it is complete.
pub(super) fn varint(bytes: &[u8]) -> Result<Option<(usize, usize)>, Fault> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok(Some((value, at + 1)));
        }
    }
    match bytes.len() {
        0..4 => Ok(None),
        _ => Err(Fault::Malformed("a length of more than four bytes".into())),
    }
}

/// PUBACK, PUBREC, PUBREL and PUBCOMP: the identifier, and with MQTT 5 perhaps a reason code, which is
/// given if it refuses.
pub(super) fn ack(body: &[u8], v5: bool) -> Result<(u16, Option<u8>), Fault> {
    match identifier(body)? {
        (_, [_, ..]) if !v5 => Err(Fault::Malformed("more than a packet identifier".into())),
        (id, rest) => Ok((id, rest.first().copied().filter(|code| *code >= 0x80))),
    }
}

/// SUBACK and UNSUBACK: the identifier, MQTT 5's properties, and a code for each filter.
pub(super) fn codes(body: &[u8], has_properties: bool) -> Result<(u16, Vec<u8>), Fault> {
    let (id, rest) = identifier(body)?;
    let codes = if has_properties { after_properties(rest)? } else { rest };
    Ok((id, codes.to_vec()))
}

/// What comes behind MQTT 5's properties.
fn after_properties(bytes: &[u8]) -> Result<&[u8], Fault> {
    let cut = || Fault::Malformed("properties that are cut off".into());
    let (length, taken) = varint(bytes)?.ok_or_else(cut)?;
    bytes.get(taken + length..).ok_or_else(cut)
}

fn identifier(body: &[u8]) -> Result<(u16, &[u8]), Fault> {
    match body.split_first_chunk::<2>() {
        Some((id, rest)) if *id != [0, 0] => Ok((u16::from_be_bytes(*id), rest)),
        Some(_) => Err(Fault::Malformed("packet identifier 0".into())),
        None => Err(Fault::Malformed("a packet without its identifier".into())),
    }
}
