//! MQTT 5 properties (section 2.2.2): read once, sorted into what the broker acts upon and what it
//! passes on as it came.

use bytes::{BufMut, Bytes, BytesMut};

use super::WireError;
use super::read::Reader;

/// What the broker acts upon, from any packet. What a packet may not carry at all is an error.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Properties {
    pub(crate) session_expiry_secs: Option<u32>,
    pub(crate) receive_max: Option<u16>,
    pub(crate) packet_bytes_max: Option<u32>,
    /// Properties of a message that its receivers get, encoded, in the order they came.
    pub(super) forward: Bytes,
}

/// The shape of a property's value.
enum Shape {
    Byte,
    Two,
    Four,
    Varint,
    Binary,
    Pair,
}

fn shape(id: u8) -> Result<Shape, WireError> {
    Ok(match id {
        1 | 23 | 25 | 36 | 37 | 40 | 41 | 42 => Shape::Byte,
        19 | 33 | 34 | 35 => Shape::Two,
        2 | 17 | 24 | 39 => Shape::Four,
        11 => Shape::Varint,
        3 | 8 | 9 | 18 | 21 | 22 | 26 | 28 | 31 => Shape::Binary,
        38 => Shape::Pair,
        _ => return Err(WireError::Malformed("an unknown property")),
    })
}

/// Reads a property block, length first.
pub(super) fn read(reader: &mut Reader) -> Result<Properties, WireError> {
    let length = reader.varint()?;
    let mut block = Reader::new(reader.take(length)?);
    let mut properties = Properties::default();
    let mut forward = BytesMut::new();
    while !block.is_empty() {
        read_one(&mut block, &mut properties, &mut forward)?;
    }
    properties.forward = forward.freeze();
    Ok(properties)
}

fn read_one(
    block: &mut Reader,
    properties: &mut Properties,
    forward: &mut BytesMut,
) -> Result<(), WireError> {
    let before = block.rest();
    let id = block.u8()?;
    match id {
        17 => properties.session_expiry_secs = Some(block.u32()?),
        33 => properties.receive_max = Some(nonzero(block.u16()?)?),
        39 => properties.packet_bytes_max = Some(nonzero(block.u32()?)?),
        35 => return Err(WireError::TopicAlias),
        21 => return Err(WireError::EnhancedAuthentication),
        11 => {
            return Err(WireError::Forbidden("subscription identifiers are not offered here"));
        }
        _ => skip(block, shape(id)?)?,
    }
    // Payload format, expiry, content type, response topic, correlation data, user property.
    if matches!(id, 1 | 2 | 3 | 8 | 9 | 38) {
        forward.put(before.slice(..before.len() - block.len()));
    }
    Ok(())
}

fn skip(block: &mut Reader, shape: Shape) -> Result<(), WireError> {
    match shape {
        Shape::Byte => block.u8().map(drop),
        Shape::Two => block.u16().map(drop),
        Shape::Four => block.u32().map(drop),
        Shape::Varint => block.varint().map(drop),
        Shape::Binary => block.binary().map(drop),
        Shape::Pair => {
            block.string()?;
            block.string().map(drop)
        }
    }
}

fn nonzero<N: Default + PartialEq>(value: N) -> Result<N, WireError> {
    if value == N::default() {
        return Err(WireError::Forbidden("a maximum of 0"));
    }
    Ok(value)
}
