//! From bytes to packets. Whatever the bytes, the answer is a packet, "not yet", or a
//! [`WireError`]; nothing is allocated for a length that was only announced.

use bytes::{Buf, Bytes, BytesMut};

use super::properties::{self, Properties};
use super::{
    Ack, AckKind, Connect, Options, Packet, Publish, Request, RetainHandling, Subscribe, Will,
    WireError, qos_from_bits, reason,
};
use crate::mqtt::broker::limits::PACKET_BYTES_MAX;
use crate::mqtt::{Protocol, Qos};

/// The next packet of a connected client; `None` until all its bytes are there.
pub(crate) fn next(input: &mut BytesMut, version: Protocol) -> Result<Option<Packet>, WireError> {
    let Some((first, body)) = take_frame(input)? else {
        return Ok(None);
    };
    let mut reader = Reader::new(body);
    let packet = packet(first, &mut reader, version)?;
    reader.finish()?;
    Ok(Some(packet))
}

/// The first packet of a connection, which must be a CONNECT; anything else shows at its first
/// byte, so that a lost browser need not be waited for.
pub(crate) fn next_connect(input: &mut BytesMut) -> Result<Option<Connect>, WireError> {
    if input.first().is_some_and(|first| *first != 0x10) {
        return Err(WireError::Forbidden("the first packet is not CONNECT"));
    }
    let Some((_, body)) = take_frame(input)? else {
        return Ok(None);
    };
    let mut reader = Reader::new(body);
    let connect = connect(&mut reader)?;
    reader.finish()?;
    Ok(Some(connect))
}

/// Takes one whole frame off the input: its first byte and its body.
fn take_frame(input: &mut BytesMut) -> Result<Option<(u8, Bytes)>, WireError> {
    let Some(&first) = input.first() else {
        return Ok(None);
    };
    let mut length = 0_usize;
    for index in 0..4 {
        let Some(&byte) = input.get(1 + index) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            return take_body(input, first, 2 + index, length);
        }
    }
    Err(WireError::Malformed("a length of more than four bytes"))
}

fn take_body(
    input: &mut BytesMut,
    first: u8,
    header: usize,
    length: usize,
) -> Result<Option<(u8, Bytes)>, WireError> {
    if header + length > PACKET_BYTES_MAX {
        return Err(WireError::TooLarge(header + length));
    }
    if input.len() < header + length {
        return Ok(None);
    }
    input.advance(header);
    Ok(Some((first, input.split_to(length).freeze())))
}

fn packet(first: u8, reader: &mut Reader, version: Protocol) -> Result<Packet, WireError> {
    match (first >> 4, first & 0x0F) {
        (3, flags) => publish(flags, reader, version).map(Packet::Publish),
        (4, 0) => ack(AckKind::Ack, reader, version),
        (5, 0) => ack(AckKind::Rec, reader, version),
        (6, 2) => ack(AckKind::Rel, reader, version),
        (7, 0) => ack(AckKind::Comp, reader, version),
        (8, 2) => subscribe(reader, version).map(Packet::Subscribe),
        (10, 2) => unsubscribe(reader, version),
        (12, 0) => Ok(Packet::PingReq),
        (14, 0) => disconnect(reader, version),
        (1, _) => Err(WireError::Forbidden("a second CONNECT")),
        (15, _) => Err(WireError::EnhancedAuthentication),
        _ => Err(WireError::Malformed("a packet type or flags that no client sends")),
    }
}

fn connect(reader: &mut Reader) -> Result<Connect, WireError> {
    let protocol = reader.string()?;
    let level = reader.u8()?;
    let version = match (protocol.as_str(), level) {
        ("MQTT", 4) => Protocol::V311,
        ("MQTT", 5) => Protocol::V5,
        ("MQTT" | "MQIsdp", other) => return Err(WireError::UnsupportedVersion(other)),
        _ => return Err(WireError::Malformed("not MQTT")),
    };
    let flags = reader.u8()?;
    if flags & 0x01 != 0 {
        return Err(WireError::Malformed("the reserved CONNECT flag"));
    }
    let keep_alive_secs = reader.u16()?;
    let properties = block(reader, version)?;
    let client_id = reader.string()?;
    let will = will(flags, reader, version)?;
    // Whoever it is may come in, but what is announced must be there.
    if flags & 0x80 != 0 {
        reader.string()?;
    }
    if flags & 0x40 != 0 {
        reader.binary()?;
    }
    Ok(Connect { version, clean: flags & 0x02 != 0, keep_alive_secs, client_id, will, properties })
}

fn will(flags: u8, reader: &mut Reader, version: Protocol) -> Result<Option<Will>, WireError> {
    if flags & 0x04 == 0 {
        if flags & 0x38 != 0 {
            return Err(WireError::Malformed("will flags without a will"));
        }
        return Ok(None);
    }
    let qos = qos_from_bits((flags >> 3) & 0x03)?;
    let forward = block(reader, version)?.forward;
    let topic = reader.string()?;
    let payload = reader.binary()?;
    Ok(Some(Will { topic, payload, qos, retain: flags & 0x20 != 0, forward }))
}

fn publish(flags: u8, reader: &mut Reader, version: Protocol) -> Result<Publish, WireError> {
    let qos = qos_from_bits((flags >> 1) & 0x03)?;
    let topic = reader.string()?;
    let id = match qos {
        Qos::AtMostOnce => 0,
        Qos::AtLeastOnce | Qos::ExactlyOnce => reader.packet_id()?,
    };
    let forward = block(reader, version)?.forward;
    let payload = reader.take(reader.len())?;
    Ok(Publish { qos, retain: flags & 0x01 != 0, topic, id, forward, payload })
}

fn ack(kind: AckKind, reader: &mut Reader, version: Protocol) -> Result<Packet, WireError> {
    let id = reader.packet_id()?;
    let reason = reason_and_properties(reader, version)?.0;
    Ok(Packet::Ack(Ack { kind, id, reason }))
}

fn disconnect(reader: &mut Reader, version: Protocol) -> Result<Packet, WireError> {
    let (reason, properties) = reason_and_properties(reader, version)?;
    Ok(Packet::Disconnect { reason, session_expiry_secs: properties.session_expiry_secs })
}

/// The optional end of an acknowledgement or a DISCONNECT of version 5.
fn reason_and_properties(
    reader: &mut Reader,
    version: Protocol,
) -> Result<(u8, Properties), WireError> {
    if version == Protocol::V311 || reader.is_empty() {
        return Ok((reason::SUCCESS, Properties::default()));
    }
    let reason = reader.u8()?;
    if reader.is_empty() {
        return Ok((reason, Properties::default()));
    }
    Ok((reason, properties::read(reader)?))
}

fn subscribe(reader: &mut Reader, version: Protocol) -> Result<Subscribe, WireError> {
    let id = reader.packet_id()?;
    block(reader, version)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = reader.string()?;
        let options = options(reader.u8()?, version)?;
        filters.push(Request { filter, options });
    }
    if filters.is_empty() {
        return Err(WireError::Forbidden("a SUBSCRIBE without a filter"));
    }
    Ok(Subscribe { id, filters })
}

fn options(byte: u8, version: Protocol) -> Result<Options, WireError> {
    let reserved = match version {
        Protocol::V311 => 0xFC,
        Protocol::V5 => 0xC0,
    };
    if byte & reserved != 0 {
        return Err(WireError::Malformed("reserved subscription options"));
    }
    let retained = match (byte >> 4) & 0x03 {
        0 => RetainHandling::Always,
        1 => RetainHandling::IfNew,
        2 => RetainHandling::Never,
        _ => return Err(WireError::Forbidden("a retain handling of 3")),
    };
    Ok(Options {
        qos: qos_from_bits(byte & 0x03)?,
        no_local: byte & 0x04 != 0,
        retain_as_published: byte & 0x08 != 0,
        retained,
    })
}

fn unsubscribe(reader: &mut Reader, version: Protocol) -> Result<Packet, WireError> {
    let id = reader.packet_id()?;
    block(reader, version)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.string()?);
    }
    if filters.is_empty() {
        return Err(WireError::Forbidden("an UNSUBSCRIBE without a filter"));
    }
    Ok(Packet::Unsubscribe { id, filters })
}

fn block(reader: &mut Reader, version: Protocol) -> Result<Properties, WireError> {
    match version {
        Protocol::V311 => Ok(Properties::default()),
        Protocol::V5 => properties::read(reader),
    }
}

/// Takes values off the front of a packet's body; running out is an error, never a panic.
pub(super) struct Reader(Bytes);

impl Reader {
    pub(super) fn new(bytes: Bytes) -> Reader {
        Reader(bytes)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What has not been read yet; shares the memory.
    pub(super) fn rest(&self) -> Bytes {
        self.0.clone()
    }

    pub(super) fn take(&mut self, length: usize) -> Result<Bytes, WireError> {
        if length > self.0.len() {
            return Err(WireError::Malformed("shorter than it says"));
        }
        Ok(self.0.split_to(length))
    }

    pub(super) fn u8(&mut self) -> Result<u8, WireError> {
        Ok(self.take(1)?.get_u8())
    }

    pub(super) fn u16(&mut self) -> Result<u16, WireError> {
        Ok(self.take(2)?.get_u16())
    }

    pub(super) fn u32(&mut self) -> Result<u32, WireError> {
        Ok(self.take(4)?.get_u32())
    }

    pub(super) fn packet_id(&mut self) -> Result<u16, WireError> {
        match self.u16()? {
            0 => Err(WireError::Forbidden("a packet id of 0")),
            id => Ok(id),
        }
    }

    pub(super) fn varint(&mut self) -> Result<usize, WireError> {
        let mut value = 0;
        for index in 0..4 {
            let byte = self.u8()?;
            value |= usize::from(byte & 0x7F) << (7 * index);
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed("a length of more than four bytes"))
    }

    pub(super) fn binary(&mut self) -> Result<Bytes, WireError> {
        let length = self.u16()?;
        self.take(usize::from(length))
    }

    pub(super) fn string(&mut self) -> Result<String, WireError> {
        let bytes = self.binary()?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| WireError::Malformed("a string that is not UTF-8"))?;
        if text.contains('\0') {
            return Err(WireError::Malformed("a string with a null character"));
        }
        Ok(text.to_owned())
    }

    fn finish(&self) -> Result<(), WireError> {
        if self.is_empty() { Ok(()) } else { Err(WireError::Malformed("longer than it should be")) }
    }
}

#[cfg(test)]
mod tests;
