//! From a stream of bytes to packets, with a buffer that is never larger than the largest packet that
//! is accepted, whatever length the other side announces.

use super::frame::{Head, Kind, ack, codes};
use super::publish::PublishHead;
use super::{v5, v311};
use crate::limits::mqtt as limits;
use crate::mqtt::options::{Options, Protocol};
use crate::mqtt::packet::{Arrival, Fault, Incoming};
use bytes::{Buf, BytesMut};

/// What was read and is not a packet yet.
pub(in crate::mqtt) struct Reader {
    buffer: BytesMut,
    protocol: Protocol,
    payload_bytes_max: usize,
    /// A message that is too large, and how much of it has still to come.
    oversize: Option<(Arrival, usize)>,
}

impl Reader {
    pub(in crate::mqtt) fn new(options: &Options) -> Self {
        Self {
            buffer: BytesMut::with_capacity(limits::READ_BYTES),
            protocol: options.protocol,
            payload_bytes_max: options.payload_bytes_max,
            oversize: None,
        }
    }

    /// Where to append what is read. Room for it is made here, so that a packet that is known to be large
    /// is read in few pieces.
    pub(in crate::mqtt) fn room(&mut self) -> &mut BytesMut {
        if self.buffer.is_empty() && self.buffer.capacity() > limits::BUFFER_KEPT_BYTES {
            self.buffer = BytesMut::new();
        }
        if self.buffer.capacity() - self.buffer.len() < limits::READ_BYTES / 4 {
            self.buffer.reserve(limits::READ_BYTES);
        }
        &mut self.buffer
    }

    /// The next packet; `None` until more has been read. After an error the rest means nothing.
    pub(in crate::mqtt) fn next(&mut self) -> Result<Option<Incoming>, Fault> {
        if self.oversize.is_some() {
            return Ok(self.skip());
        }
        let Some(head) = Head::parse(&self.buffer)? else { return Ok(None) };
        if head.kind == Kind::Publish {
            return self.publish(head);
        }
        if head.body > limits::CONTROL_BYTES_MAX {
            return Err(Fault::PacketTooLarge(head.total()));
        }
        if self.buffer.len() < head.total() {
            return Ok(None);
        }
        let packet = self.control(head)?;
        Ok(Some(packet))
    }

    /// What the buffer has room for.
    #[cfg(test)]
    pub(in crate::mqtt) fn capacity(&self) -> usize {
        self.buffer.capacity()
    }

    fn publish(&mut self, head: Head) -> Result<Option<Incoming>, Fault> {
        let end = head.total().min(self.buffer.len());
        let body = &self.buffer[head.header..end];
        let v5 = self.protocol == Protocol::V5;
        let Some(publish) = PublishHead::parse(head, body, v5)? else { return Ok(None) };
        let payload_bytes = head.body - publish.payload_at;
        let properties_fit = publish.payload_at <= limits::PACKET_OVERHEAD_BYTES_MAX;
        if payload_bytes <= self.payload_bytes_max && properties_fit {
            return match body.len() == head.body {
                false => Ok(self.wait_for(head)),
                true => {
                    let arrival = publish.arrival(&body[publish.payload_at..], None);
                    self.buffer.advance(head.total());
                    Ok(Some(Incoming::Publish(arrival)))
                }
            };
        }
        let kept = limits::OVERSIZE_KEPT_BYTES.min(self.payload_bytes_max).min(payload_bytes);
        let wanted = publish.payload_at + kept;
        let (from, to) = match properties_fit {
            true if body.len() < wanted => return Ok(None),
            true => (publish.payload_at, wanted),
            // Nobody writes a message like this: its content is not worth the room to wait for it.
            false => (0, 0),
        };
        let arrival = publish.arrival(&body[from..to], Some(payload_bytes as u64));
        self.buffer.advance(head.header);
        self.oversize = Some((arrival, head.body));
        Ok(self.skip())
    }

    /// Throws away what has come of a message that is too large. It is handed out when it is over: before,
    /// it has not been received.
    fn skip(&mut self) -> Option<Incoming> {
        let (_, left) = self.oversize.as_mut()?;
        let now = (*left).min(self.buffer.len());
        self.buffer.advance(now);
        *left -= now;
        match left {
            0 => self.oversize.take().map(|(arrival, _)| Incoming::Publish(arrival)),
            _ => None,
        }
    }

    fn wait_for(&mut self, head: Head) -> Option<Incoming> {
        self.buffer.reserve(head.total() - self.buffer.len());
        None
    }

    fn control(&mut self, head: Head) -> Result<Incoming, Fault> {
        let v5 = self.protocol == Protocol::V5;
        let mut packet = self.buffer.split_to(head.total());
        let body = &packet[head.header..];
        Ok(match head.kind {
            Kind::Ack(kind) => {
                let (id, refused) = ack(body, v5)?;
                Incoming::Ack { kind, id, refused }
            }
            Kind::SubAck => {
                let (id, codes) = codes(body, v5)?;
                Incoming::Subscribed { id, codes }
            }
            Kind::UnsubAck => Incoming::Unsubscribed { id: codes(body, v5)?.0 },
            Kind::PingResp if body.is_empty() => Incoming::Pong,
            Kind::Disconnect if v5 => Incoming::Disconnect(v5::read_disconnect(body)),
            Kind::ConnAck if v5 => v5::read_connack(&mut packet)?,
            Kind::ConnAck => v311::read_connack(&mut packet)?,
            Kind::PingResp => return Err(Fault::Malformed("a PINGRESP with content".into())),
            Kind::Disconnect | Kind::Publish => {
                return Err(Fault::Protocol("it sent what MQTT 3.1.1 does not know"));
            }
        })
    }
}
