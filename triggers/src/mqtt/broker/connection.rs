//! One connection: bytes in, packets to the hub, bytes out.
//!
//! One task does both directions and never waits for one alone, so that a client which writes
//! without reading cannot end in a deadlock: reading pauses while more than
//! [`limits::OUTPUT_BYTES_MAX`] wait to be taken, writing goes on. Dropping the task closes the
//! connection; the session then stays marked as connected, which matters to nobody, since the task
//! is dropped only with the whole broker.

use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::codec::{
    self, AckKind, ConnAck, Connect, Packet, Publish, Subscribe, WireError, reason,
};
use super::event::{BrokerEvent, DropReason, EndReason};
use super::hub::{Attached, Shared};
use super::limits;
use super::session::{Expiry, Incoming, Message};
use super::topics;
use crate::mqtt::{Protocol, Qos};

/// Serves a connection from its CONNECT to its end.
pub(super) async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut input = BytesMut::new();
    let Ok(Some(connect)) =
        timeout(limits::CONNECT_WAIT, read_connect(&mut stream, &mut input)).await
    else {
        return;
    };
    let version = connect.version;
    let keep_alive = keep_alive(&connect);
    let attached = shared.lock().connect(connect, Instant::now());
    match attached {
        Err(refusal) => say_connack(&mut stream, version, refusal.0).await,
        Ok(attached) => {
            let mut connection = Connection {
                version,
                keep_alive,
                attached,
                shared,
                input,
                output: BytesMut::new(),
            };
            let end = connection.converse(&mut stream).await;
            connection.end(&mut stream, end).await;
        }
    }
}

/// Reads until there is a CONNECT; `None` if there will be none. A version that is not spoken is
/// told so, anything else is hung up on, as the standard asks.
async fn read_connect(stream: &mut TcpStream, input: &mut BytesMut) -> Option<Connect> {
    loop {
        match codec::next_connect(input) {
            Ok(Some(connect)) => return Some(connect),
            Ok(None) => {}
            Err(error) => {
                refuse(stream, &error).await;
                return None;
            }
        }
        if stream.read_buf(input).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

async fn refuse(stream: &mut TcpStream, error: &WireError) {
    match error {
        WireError::UnsupportedVersion(level) => {
            let version = if *level > 5 { Protocol::V5 } else { Protocol::V311 };
            say_connack(stream, version, error.reason_code()).await;
        }
        WireError::EnhancedAuthentication => {
            say_connack(stream, Protocol::V5, error.reason_code()).await;
        }
        _ => {}
    }
}

async fn say_connack(stream: &mut TcpStream, version: Protocol, reason: u8) {
    let mut output = BytesMut::new();
    let ack = ConnAck { session_present: false, reason, assigned_client_id: None };
    codec::write_connack(&mut output, version, &ack);
    // Whoever does not take the refusal is gone anyway.
    let _ = timeout(limits::FAREWELL_WAIT, stream.write_all(&output)).await;
}

/// Section 3.1.2.10: one and a half times what the client announced.
fn keep_alive(connect: &Connect) -> Option<Duration> {
    let secs = u64::from(connect.keep_alive_secs);
    (secs > 0).then(|| Duration::from_millis(secs * 1500))
}

/// Why a conversation ended: the reason, and what version 5 is told.
struct End(EndReason, Option<u8>);

impl From<WireError> for End {
    fn from(error: WireError) -> End {
        End(EndReason::Misbehaved, Some(error.reason_code()))
    }
}

const LOST: End = End(EndReason::Lost, None);
const TAKEN_OVER: End = End(EndReason::TakenOver, Some(reason::SESSION_TAKEN_OVER));

struct Connection {
    version: Protocol,
    keep_alive: Option<Duration>,
    attached: Attached,
    shared: Arc<Shared>,
    input: BytesMut,
    output: BytesMut,
}

impl Connection {
    /// Runs until the conversation ends; says how.
    async fn converse(&mut self, stream: &mut TcpStream) -> End {
        codec::write_connack(
            &mut self.output,
            self.version,
            &ConnAck {
                session_present: self.attached.session_present,
                reason: reason::SUCCESS,
                assigned_client_id: self.attached.assigned.then_some(&self.attached.client_id),
            },
        );
        let mut heard = Instant::now();
        loop {
            if let Err(end) = self.work() {
                return end;
            }
            match self.wait(stream, heard).await {
                Ok(Woken::Heard) => heard = Instant::now(),
                Ok(Woken::Other) => {}
                Err(end) => return end,
            }
        }
    }

    /// Handles every packet that is there, then takes from the session what may be sent.
    fn work(&mut self) -> Result<(), End> {
        while self.output.len() < limits::OUTPUT_BYTES_MAX {
            let Some(packet) = codec::next(&mut self.input, self.version)? else {
                break;
            };
            self.handle(packet)?;
        }
        self.fill()
    }

    /// Waits for room to write, bytes to read, the hub, or the keep-alive to run out. Each branch
    /// either happened or left no trace, so losing the race loses nothing.
    async fn wait(&mut self, stream: &mut TcpStream, heard: Instant) -> Result<Woken, End> {
        // Read by the page, not by what happens to be left.
        self.input.reserve(4096);
        let (mut reader, mut writer) = stream.split();
        let room = self.output.len() < limits::OUTPUT_BYTES_MAX;
        let silent_until = heard + self.keep_alive.unwrap_or_default();
        tokio::select! {
            written = writer.write_buf(&mut self.output), if !self.output.is_empty() => {
                written.map(|_| Woken::Other).map_err(|_| LOST)
            }
            read = reader.read_buf(&mut self.input), if room => match read {
                Ok(0) | Err(_) => Err(LOST),
                Ok(_) => Ok(Woken::Heard),
            },
            () = self.attached.wake.notified() => Ok(Woken::Other),
            () = sleep_until(silent_until), if self.keep_alive.is_some() => {
                Err(End(EndReason::KeepAlive, Some(reason::KEEP_ALIVE_TIMEOUT)))
            }
        }
    }

    fn fill(&mut self) -> Result<(), End> {
        let Attached { client_id, token, .. } = &self.attached;
        let mut hub = self.shared.lock();
        let session = hub.session(client_id, *token).ok_or(TAKEN_OVER)?;
        for message in session.fill(&mut self.output) {
            let reason = DropReason::TooLargeForClient;
            hub.observer().tell(&BrokerEvent::Dropped { client_id, topic: &message.topic, reason });
        }
        Ok(())
    }

    fn handle(&mut self, packet: Packet) -> Result<(), End> {
        match packet {
            Packet::Publish(publish) => self.publish(publish),
            Packet::Subscribe(subscribe) => self.subscribe(&subscribe),
            Packet::Unsubscribe { id, filters } => self.unsubscribe(id, &filters),
            Packet::PingReq => {
                codec::write_pingresp(&mut self.output);
                Ok(())
            }
            Packet::Disconnect { reason, session_expiry_secs } => {
                Err(self.goodbye(reason, session_expiry_secs))
            }
            Packet::Ack(ack) => {
                let Attached { client_id, token, .. } = &self.attached;
                let mut hub = self.shared.lock();
                let session = hub.session(client_id, *token).ok_or(TAKEN_OVER)?;
                session.acknowledge(ack, &mut self.output);
                Ok(())
            }
        }
    }

    fn publish(&mut self, publish: Publish) -> Result<(), End> {
        if !topics::is_publishable(&publish.topic) {
            return Err(WireError::Malformed("a topic with a wildcard, or none").into());
        }
        let Publish { qos, retain, topic, id, forward, payload } = publish;
        let Attached { client_id, token, .. } = &self.attached;
        let mut hub = self.shared.lock();
        let session = hub.session(client_id, *token).ok_or(TAKEN_OVER)?;
        let incoming = match qos {
            Qos::ExactlyOnce => session.receive_qos2(id),
            Qos::AtMostOnce | Qos::AtLeastOnce => Incoming::New,
        };
        match incoming {
            Incoming::New => {
                hub.publish(client_id, Message { topic, payload, forward, qos, retain });
            }
            Incoming::Repeated => {}
            Incoming::TooMany => {
                return Err(End(EndReason::Misbehaved, Some(reason::RECEIVE_MAXIMUM_EXCEEDED)));
            }
        }
        let kind = match qos {
            Qos::AtMostOnce => return Ok(()),
            Qos::AtLeastOnce => AckKind::Ack,
            Qos::ExactlyOnce => AckKind::Rec,
        };
        codec::write_ack(&mut self.output, self.version, kind, id, reason::SUCCESS);
        Ok(())
    }

    fn subscribe(&mut self, subscribe: &Subscribe) -> Result<(), End> {
        let Attached { client_id, token, .. } = &self.attached;
        let codes = self.shared.lock().subscribe(client_id, *token, &subscribe.filters);
        codec::write_suback(&mut self.output, self.version, subscribe.id, &codes);
        Ok(())
    }

    fn unsubscribe(&mut self, id: u16, filters: &[String]) -> Result<(), End> {
        let Attached { client_id, token, .. } = &self.attached;
        let codes = self.shared.lock().unsubscribe(client_id, *token, filters);
        codec::write_unsuback(&mut self.output, self.version, id, &codes);
        Ok(())
    }

    /// Section 3.14 of version 5: the client may ask for its will, and change its mind about how
    /// long its session lasts.
    fn goodbye(&mut self, reason_code: u8, session_expiry_secs: Option<u32>) -> End {
        let Attached { client_id, token, .. } = &self.attached;
        if let Some(secs) = session_expiry_secs
            && let Some(session) = self.shared.lock().session(client_id, *token)
            && session.terms.expiry != Expiry::WithConnection
        {
            session.terms.expiry = Expiry::from_secs(secs);
        }
        match reason_code {
            reason::SUCCESS => End(EndReason::Goodbye, None),
            reason::DISCONNECT_WITH_WILL => End(EndReason::GoodbyeWithWill, None),
            _ => End(EndReason::Lost, None),
        }
    }

    /// Gives the session back, and says goodbye where the version has words for it.
    async fn end(mut self, stream: &mut TcpStream, end: End) {
        let End(reason, code) = end;
        let Attached { client_id, token, .. } = &self.attached;
        self.shared.lock().disconnect(client_id, *token, reason, Instant::now());
        if let Some(code) = code {
            codec::write_disconnect(&mut self.output, self.version, code);
            let _ = timeout(limits::FAREWELL_WAIT, stream.write_all(&self.output)).await;
        }
    }
}

/// What ended a wait.
enum Woken {
    Heard,
    Other,
}
