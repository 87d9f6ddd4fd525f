//! PUBLISH as it comes in: its head, whatever follows it, so that a message that is too large is known
//! for what it is before its content has come.

use super::frame::{Head, varint};
use crate::mqtt::message::Qos;
use crate::mqtt::packet::{Arrival, Fault};
use bytes::Bytes;

/// Topic, packet identifier and properties (section 3.3.2).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublishHead<'a> {
    topic: &'a [u8],
    id: u16,
    qos: Qos,
    retain: bool,
    dup: bool,
    /// Where the payload begins, counted from the end of the fixed header.
    pub(super) payload_at: usize,
}

impl<'a> PublishHead<'a> {
    /// Reads as much of the body as there is; `None` until the head is complete.
    pub(super) fn parse(head: Head, body: &'a [u8], v5: bool) -> Result<Option<Self>, Fault> {
        let complete = body.len() == head.body;
        match Self::read(head, body, v5)? {
            Some(read) if read.payload_at > head.body => Err(cut()),
            None if complete => Err(cut()),
            read => Ok(read),
        }
    }

    fn read(head: Head, body: &'a [u8], v5: bool) -> Result<Option<Self>, Fault> {
        let Some((length, rest)) = body.split_first_chunk::<2>() else { return Ok(None) };
        let length = usize::from(u16::from_be_bytes(*length));
        let Some((topic, rest)) = rest.split_at_checked(length) else { return Ok(None) };
        let qos = qos(head.flags);
        let (id, rest) = match (qos, rest.split_first_chunk::<2>()) {
            (Qos::AtMostOnce, _) => (0, rest),
            (_, None) => return Ok(None),
            (_, Some(([0, 0], _))) => return Err(Fault::Malformed("packet identifier 0".into())),
            (_, Some((id, rest))) => (u16::from_be_bytes(*id), rest),
        };
        let mut payload_at = body.len() - rest.len();
        if v5 {
            let Some((length, taken)) = varint(rest)? else { return Ok(None) };
            payload_at += taken + length;
        }
        let (retain, dup) = (head.flags & 1 != 0, head.flags & 8 != 0);
        Ok(Some(Self { topic, id, qos, retain, dup, payload_at }))
    }

    /// The message, with this much of its payload. Copied, so that a small message does not keep a read
    /// buffer alive while it waits.
    pub(super) fn arrival(&self, payload: &[u8], oversize: Option<u64>) -> Arrival {
        Arrival {
            topic: String::from_utf8(self.topic.to_vec()).unwrap_or_default(),
            payload: Bytes::copy_from_slice(payload),
            oversize,
            qos: self.qos,
            retain: self.retain,
            dup: self.dup,
            id: self.id,
        }
    }
}

/// A QoS of 3 does not come here: `frame` has refused it.
fn qos(flags: u8) -> Qos {
    match (flags >> 1) & 3 {
        0 => Qos::AtMostOnce,
        1 => Qos::AtLeastOnce,
        _ => Qos::ExactlyOnce,
    }
}

fn cut() -> Fault {
    Fault::Malformed("a message that is cut off".into())
}
