//! As much of MQTT as a test's broker needs, straight from the standard: deliberately not the codec
//! of the client under test.

use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// A packet from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    Connect {
        clean: bool,
        v5: bool,
        keep_alive: u16,
        receive_max: Option<u16>,
        packet_max: Option<u32>,
    },
    Publish(Publish),
    PubAck(u16),
    PubRec(u16),
    PubRel(u16),
    PubComp(u16),
    Subscribe {
        id: u16,
        /// With their options: the lower two bits are the QoS.
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        id: u16,
        filters: Vec<String>,
    },
    Ping,
    Disconnect,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publish {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: u8,
    pub retain: bool,
    pub dup: bool,
    pub id: u16,
}

/// Reads one packet. An error is the end of the connection.
pub async fn read(stream: &mut (impl AsyncRead + Unpin), v5: bool) -> io::Result<Packet> {
    let head = stream.read_u8().await?;
    let mut length = 0usize;
    for shift in [0, 7, 14, 21] {
        let byte = stream.read_u8().await?;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(parse(head, Body(&body), v5))
}

fn parse(head: u8, mut body: Body<'_>, v5: bool) -> Packet {
    match head >> 4 {
        1 => connect(body),
        3 => {
            let (qos, topic) = ((head >> 1) & 3, body.text());
            let id = if qos > 0 { body.u16() } else { 0 };
            if v5 {
                body.properties();
            }
            let payload = body.0.to_vec();
            Packet::Publish(Publish {
                topic,
                payload,
                qos,
                retain: head & 1 == 1,
                dup: head & 8 != 0,
                id,
            })
        }
        4 => Packet::PubAck(body.u16()),
        5 => Packet::PubRec(body.u16()),
        6 => Packet::PubRel(body.u16()),
        7 => Packet::PubComp(body.u16()),
        8 => {
            let id = body.u16();
            if v5 {
                body.properties();
            }
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push((body.text(), body.u8()));
            }
            Packet::Subscribe { id, filters }
        }
        10 => {
            let id = body.u16();
            if v5 {
                body.properties();
            }
            let mut filters = Vec::new();
            while !body.0.is_empty() {
                filters.push(body.text());
            }
            Packet::Unsubscribe { id, filters }
        }
        12 => Packet::Ping,
        14 => Packet::Disconnect,
        other => panic!("the client sent a packet of type {other}"),
    }
}

fn connect(mut body: Body<'_>) -> Packet {
    assert_eq!(body.text(), "MQTT");
    let (v5, flags, keep_alive) = (body.u8() == 5, body.u8(), body.u16());
    let (mut receive_max, mut packet_max) = (None, None);
    if v5 {
        let mut properties = body.properties();
        while !properties.0.is_empty() {
            match properties.u8() {
                0x11 => drop(properties.take(4)),
                0x21 => receive_max = Some(properties.u16()),
                0x27 => {
                    packet_max = Some(u32::from_be_bytes(properties.take(4).try_into().unwrap()));
                }
                other => panic!("the client sent property {other:#x}"),
            }
        }
    }
    Packet::Connect { clean: flags & 2 != 0, v5, keep_alive, receive_max, packet_max }
}

struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        taken
    }

    fn u8(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn u16(&mut self) -> u16 {
        u16::from_be_bytes(self.take(2).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.u16().into();
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn properties(&mut self) -> Body<'a> {
        let length = self.u8();
        assert!(length < 128, "more properties than expected");
        Body(self.take(length.into()))
    }
}

/// CONNACK that accepts; `properties` are for MQTT 5.
pub fn connack(v5: bool, session_present: bool, properties: &[u8]) -> Vec<u8> {
    let mut body = vec![u8::from(session_present), 0];
    if v5 {
        body.push(properties.len().try_into().unwrap());
        body.extend(properties);
    }
    packet(0x20, &body)
}

pub fn suback(v5: bool, id: u16, codes: &[u8]) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if v5 {
        body.push(0);
    }
    body.extend(codes);
    packet(0x90, &body)
}

pub fn unsuback(v5: bool, id: u16) -> Vec<u8> {
    let mut body = id.to_be_bytes().to_vec();
    if v5 {
        body.extend([0, 0]);
    }
    packet(0xb0, &body)
}

pub fn publish(v5: bool, message: &Publish) -> Vec<u8> {
    let mut body = u16::try_from(message.topic.len()).unwrap().to_be_bytes().to_vec();
    body.extend(message.topic.as_bytes());
    if message.qos > 0 {
        body.extend(message.id.to_be_bytes());
    }
    if v5 {
        body.push(0);
    }
    body.extend(&message.payload);
    let flags = u8::from(message.dup) << 3 | message.qos << 1 | u8::from(message.retain);
    packet(0x30 | flags, &body)
}

pub fn puback(id: u16) -> Vec<u8> {
    packet(0x40, &id.to_be_bytes())
}

pub fn pubrec(id: u16) -> Vec<u8> {
    packet(0x50, &id.to_be_bytes())
}

pub fn pubrel(id: u16) -> Vec<u8> {
    packet(0x62, &id.to_be_bytes())
}

pub fn pubcomp(id: u16) -> Vec<u8> {
    packet(0x70, &id.to_be_bytes())
}

/// PUBACK or PUBREC of MQTT 5 with a reason code.
pub fn refusal(head: u8, id: u16, code: u8) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    packet(head, &[high, low, code])
}

pub const PINGRESP: &[u8] = &[0xd0, 0];

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    let mut length = body.len();
    loop {
        let more = length >= 128;
        packet.push((length % 128) as u8 | u8::from(more) << 7);
        length /= 128;
        if !more {
            break;
        }
    }
    packet.extend(body);
    packet
}
