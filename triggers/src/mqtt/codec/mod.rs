//! Bytes to packets and back, whichever version of MQTT is spoken.
//!
//! rumqttc is the codec for what has a structure: [`v311`] and [`v5`] are the only files that name
//! it, and of it they use packet types, nothing that moves. What is only an identifier and codes is read here,
//! because rumqttc takes a reason code that it does not know for a broken packet, and then a broker that
//! refuses something in a newer word costs the connection each time. PUBLISH is read in [`publish`]:
//! a message may be larger than what we want to hold, and rumqttc reads whole packets only (and its MQTT
//! 5 module counts a byte too many for each subscription identifier).

mod frame;
mod publish;
mod reader;
mod v311;
mod v5;

pub(super) use reader::Reader;

use super::options::{Options, Protocol};
use super::packet::{AckKind, Outgoing};
use bytes::{BufMut, BytesMut};

/// Appends a packet to what is to be written. What cannot be encoded was refused before it came here,
/// so that a failure writes nothing and ends the connection.
pub(super) fn write(
    packet: &Outgoing,
    options: &Options,
    out: &mut BytesMut,
) -> Result<(), String> {
    if let Outgoing::Ack { kind, id } = packet {
        write_ack(*kind, *id, out);
        return Ok(());
    }
    let before = out.len();
    let written = match options.protocol {
        Protocol::V311 => v311::write(packet, options, out),
        Protocol::V5 => v5::write(packet, options, out),
    };
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// The same in both versions: MQTT 5 leaves the reason out when all is well.
fn write_ack(kind: AckKind, id: u16, out: &mut BytesMut) {
    out.put_u8(match kind {
        AckKind::Ack => 0x40,
        AckKind::Received => 0x50,
        AckKind::Release => 0x62,
        AckKind::Complete => 0x70,
    });
    out.put_u8(2);
    out.put_u16(id);
}

#[cfg(test)]
mod tests;
