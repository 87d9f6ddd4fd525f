//! MQTT 3.1.1 on the wire, as much of it as a broker needs to read and to say. Ours, so that no client library is
//! both the accused and the judge. Numbers in brackets are sections of the standard.

use std::io::{self, Read};
use std::sync::Arc;

/// What a client may say at most: what it publishes here is short.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// A packet that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// CONNECT (3.1): its protocol level, its name, whether it wants a clean session.
    Connect { level: u8, client: String, clean: bool },
    /// PUBLISH (3.3); `id` is 0 at QoS 0.
    Publish { dup: bool, qos: u8, retain: bool, id: u16, topic: String, payload: Vec<u8> },
    /// PUBACK (3.4).
    PubAck(u16),
    /// PUBREC (3.5).
    PubRec(u16),
    /// PUBREL (3.6).
    PubRel(u16),
    /// PUBCOMP (3.7).
    PubComp(u16),
    /// SUBSCRIBE (3.8).
    Subscribe(u16, Vec<(String, u8)>),
    /// UNSUBSCRIBE (3.10).
    Unsubscribe(u16, Vec<String>),
    /// PINGREQ (3.12).
    Ping,
    /// DISCONNECT (3.14).
    Disconnect,
}

/// Reads one packet. Blocks until it is there whole.
pub fn read(from: &mut impl Read) -> io::Result<Packet> {
    let mut first = [0];
    from.read_exact(&mut first)?;
    let length = read_length(from)?;
    if length > PACKET_BYTES_MAX {
        return Err(broken("a packet that is too long"));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    parse(first[0], &body).ok_or_else(|| broken("a packet that is none"))
}

fn broken(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}

/// The remaining length (2.2.3).
fn read_length(from: &mut impl Read) -> io::Result<usize> {
    let mut length = 0;
    for place in 0..4 {
        let mut byte = [0];
        from.read_exact(&mut byte)?;
        length |= usize::from(byte[0] & 0x7f) << (7 * place);
        if byte[0] & 0x80 == 0 {
            return Ok(length);
        }
    }
    Err(broken("a length of more than four bytes"))
}

/// The rest of a packet's body.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        Some(self.take(1)?[0])
    }

    fn number(&mut self) -> Option<u16> {
        let bytes = self.take(2)?;
        Some(u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn text(&mut self) -> Option<String> {
        let length = self.number()?;
        Some(String::from_utf8_lossy(self.take(length.into())?).into_owned())
    }
}

fn parse(first: u8, body: &[u8]) -> Option<Packet> {
    let mut body = Body(body);
    Some(match first >> 4 {
        1 => {
            body.text()?;
            let (level, flags) = (body.byte()?, body.byte()?);
            body.number()?;
            Packet::Connect { level, clean: flags & 2 != 0, client: body.text()? }
        }
        3 => publish(first, body)?,
        4 => Packet::PubAck(body.number()?),
        5 => Packet::PubRec(body.number()?),
        6 => Packet::PubRel(body.number()?),
        7 => Packet::PubComp(body.number()?),
        8 => {
            let (id, mut filters) = (body.number()?, Vec::new());
            while !body.0.is_empty() {
                filters.push((body.text()?, body.byte()?));
            }
            Packet::Subscribe(id, filters)
        }
        10 => {
            let (id, mut filters) = (body.number()?, Vec::new());
            while !body.0.is_empty() {
                filters.push(body.text()?);
            }
            Packet::Unsubscribe(id, filters)
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        _ => return None,
    })
}

fn publish(first: u8, mut body: Body<'_>) -> Option<Packet> {
    let qos = first >> 1 & 3;
    let topic = body.text()?;
    let id = if qos == 0 { 0 } else { body.number()? };
    let (dup, retain) = (first & 8 != 0, first & 1 != 0);
    Some(Packet::Publish { dup, qos, retain, id, topic, payload: body.0.to_vec() })
}

/// What goes out, in pieces: the zeros of a long payload are one piece many times.
pub type Pieces = Vec<Arc<[u8]>>;

/// A payload: what it begins with, and so many zeros behind it.
#[derive(Clone, Debug)]
pub struct Payload {
    /// What it begins with.
    pub head: Arc<[u8]>,
    /// The bytes behind that.
    pub zeros: usize,
}

impl Payload {
    /// Its length.
    #[must_use]
    pub fn len(&self) -> usize {
        self.head.len() + self.zeros
    }

    /// Whether there is nothing of it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A packet of two bytes behind its length: an acknowledgement, by its type (2.2.1).
#[must_use]
pub fn short(kind: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    // The flags of PUBREL are reserved and 2 (3.6.1).
    let flags = if kind == 6 { 2 } else { 0 };
    vec![kind << 4 | flags, 2, high, low]
}

/// CONNACK (3.2).
#[must_use]
pub fn connack(session_present: bool, code: u8) -> Vec<u8> {
    vec![0x20, 2, u8::from(session_present), code]
}

/// SUBACK (3.9).
#[must_use]
pub fn suback(id: u16, codes: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x90];
    length(2 + codes.len(), &mut packet);
    packet.extend(id.to_be_bytes());
    packet.extend(codes);
    packet
}

/// The head of a PUBLISH and its payload.
#[must_use]
pub fn publication(topic: &str, payload: &Payload, qos: u8, id: u16, flags: u8) -> Pieces {
    const PIECE: usize = 1 << 20;
    let mut head = vec![0x30 | flags | qos << 1];
    let own = 2 + topic.len() + if qos == 0 { 0 } else { 2 };
    length(own + payload.len(), &mut head);
    head.extend(u16::try_from(topic.len()).unwrap_or(0).to_be_bytes());
    head.extend(topic.as_bytes());
    if qos > 0 {
        head.extend(id.to_be_bytes());
    }
    head.extend(&*payload.head);
    let mut pieces: Pieces = vec![head.into()];
    if payload.zeros > 0 {
        let piece: Arc<[u8]> = vec![0; payload.zeros.min(PIECE)].into();
        pieces.extend(std::iter::repeat_n(Arc::clone(&piece), payload.zeros / piece.len()));
        pieces.push(piece[..payload.zeros % piece.len()].into());
    }
    pieces
}

/// The remaining length (2.2.3), at most four bytes.
pub fn length(mut length: usize, into: &mut Vec<u8>) {
    loop {
        let more = if length > 0x7f { 0x80 } else { 0 };
        into.push((length & 0x7f) as u8 | more);
        length >>= 7;
        if length == 0 {
            return;
        }
    }
}

/// CONNECT of somebody who asks for a session under this name, without a keep-alive.
#[must_use]
pub fn connect(client: &str) -> Vec<u8> {
    let mut body = b"\0\x04MQTT\x04\0\0\0".to_vec();
    body.extend(u16::try_from(client.len()).unwrap_or(0).to_be_bytes());
    body.extend(client.as_bytes());
    let mut packet = vec![0x10];
    length(body.len(), &mut packet);
    packet.extend(body);
    packet
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_published_is_read_as_it_was_written() {
        let payload = Payload { head: Arc::from(&b"7 "[..]), zeros: 300 };
        let bytes = publication("in/a/pass", &payload, 1, 513, 8).concat();
        let Packet::Publish { dup, qos, retain, id, topic, payload } =
            read(&mut &bytes[..]).expect("it is whole")
        else {
            panic!("{bytes:?}");
        };
        assert_eq!((dup, qos, retain, id, &*topic), (true, 1, false, 513, "in/a/pass"));
        assert_eq!((payload.len(), &payload[..2]), (302, &b"7 "[..]));
    }

    #[test]
    fn lengths_are_written_as_the_standard_s_table_has_them() {
        for (number, bytes) in
            [(127, &[0x7f][..]), (128, &[0x80, 1]), (268_435_455, &[255, 255, 255, 127])]
        {
            let mut written = Vec::new();
            length(number, &mut written);
            assert_eq!(written, bytes);
        }
    }
}
