//! rumqttc's MQTT 5 packets, translated. Decides nothing.

use crate::mqtt::message::Qos;
use crate::mqtt::options::{Options, Persistence};
use crate::mqtt::packet::{Accepted, Fault, Incoming, Outgoing, Retain, Retained};
use bytes::{Bytes, BytesMut};
use rumqttc::v5::mqttbytes::v5;
use rumqttc::v5::mqttbytes::{self, QoS};

pub(super) fn write(
    packet: &Outgoing,
    options: &Options,
    out: &mut BytesMut,
) -> Result<(), String> {
    let written = match packet {
        Outgoing::Connect => {
            let login = options.credentials.as_ref();
            let login = login.map(|login| v5::Login::new(&login.username, &login.password));
            connect(options).write(&will(options), &login, out)
        }
        Outgoing::Publish { id, dup, publish } => {
            let packet = v5::Publish {
                topic: Bytes::copy_from_slice(publish.topic.as_bytes()),
                payload: publish.payload.clone(),
                qos: theirs(publish.qos),
                retain: publish.retain,
                pkid: *id,
                dup: *dup,
                properties: None,
            };
            packet.write(out)
        }
        Outgoing::Subscribe { id, filters, retained } => {
            let rule = match retained {
                Retained::IfNew => v5::RetainForwardRule::OnNewSubscribe,
                Retained::Always => v5::RetainForwardRule::OnEverySubscribe,
            };
            let filters = filters.iter().map(|one| {
                let mut filter = v5::Filter::new(&one.filter, theirs(one.qos));
                filter.retain_forward_rule = rule.clone();
                filter
            });
            let mut packet = v5::Subscribe::new_many(filters, None);
            packet.pkid = *id;
            packet.write(out)
        }
        Outgoing::Unsubscribe { id, filters } => {
            let filters = filters.clone();
            v5::Unsubscribe { pkid: *id, filters, properties: None }.write(out)
        }
        Outgoing::Ping => v5::PingReq::write(out),
        Outgoing::Disconnect => {
            v5::Disconnect::new(v5::DisconnectReasonCode::NormalDisconnection).write(out)
        }
        Outgoing::Ack { .. } => return Ok(()),
    };
    written.map(drop).map_err(|error| error.to_string())
}

fn connect(options: &Options) -> v5::Connect {
    let expiry = match options.persistence {
        Persistence::Persistent { expiry } => expiry.as_secs(),
        Persistence::Clean => 0,
    };
    let mut properties = v5::ConnectProperties::new();
    properties.session_expiry_interval = Some(u32::try_from(expiry).unwrap_or(u32::MAX));
    properties.receive_maximum = Some(options.receive_max());
    properties.max_packet_size = u32::try_from(options.packet_bytes_max()).ok();
    v5::Connect {
        keep_alive: u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX),
        client_id: options.client_id.clone(),
        clean_start: matches!(options.persistence, Persistence::Clean),
        properties: Some(properties),
    }
}

fn will(options: &Options) -> Option<v5::LastWill> {
    options.will.as_ref().map(|will| {
        let payload = will.payload.to_vec();
        v5::LastWill::new(&will.topic, payload, theirs(will.qos), will.retain, None)
    })
}

/// CONNACK. The packet is consumed.
pub(super) fn read_connack(packet: &mut BytesMut) -> Result<Incoming, Fault> {
    // A broker of 3.1.1 answers in two bytes: without the length of properties, which are never absent.
    if packet.len() == 4 {
        let why = "the broker answered in MQTT 3.1.1: it does not speak MQTT 5";
        return Ok(Incoming::Refused(why.into()));
    }
    match v5::Packet::read(packet, None) {
        Ok(v5::Packet::ConnAck(v5::ConnAck {
            code: v5::ConnectReturnCode::Success,
            session_present,
            properties,
        })) => Ok(Incoming::Accepted(accepted(session_present, properties.as_ref()))),
        Ok(v5::Packet::ConnAck(v5::ConnAck { code, properties, .. })) => {
            let more = properties.and_then(|properties| properties.reason_string);
            let more = more.map(|text| format!(": {text}")).unwrap_or_default();
            Ok(Incoming::Refused(format!("the broker refused us: {code:?}{more}")))
        }
        Ok(_) => Err(Fault::Malformed("no CONNACK".into())),
        Err(mqttbytes::Error::InvalidConnectReturnCode(code)) => {
            Ok(Incoming::Refused(format!("the broker refused us: code {code:#04x}")))
        }
        Err(error) => Err(Fault::Malformed(error.to_string())),
    }
}

fn accepted(session_present: bool, said: Option<&v5::ConnAckProperties>) -> Accepted {
    Accepted {
        session_present,
        // Nought is forbidden; taken at its word it would stop everything.
        receive_max: said.and_then(|p| p.receive_max).unwrap_or(u16::MAX).max(1),
        packet_bytes_max: said.and_then(|p| p.max_packet_size),
        qos_max: match said.and_then(|p| p.max_qos) {
            Some(0) => Qos::AtMostOnce,
            Some(1) => Qos::AtLeastOnce,
            _ => Qos::ExactlyOnce,
        },
        retain: match said.and_then(|p| p.retain_available) {
            Some(0) => Retain::Unsupported,
            _ => Retain::Supported,
        },
        keep_alive_secs: said.and_then(|p| p.server_keep_alive),
    }
}

/// DISCONNECT in words. The connection ends however it is put, so the reason code is enough.
pub(super) fn read_disconnect(body: &[u8]) -> String {
    let code = body.first().copied().unwrap_or(0);
    match v5::DisconnectReasonCode::try_from(code) {
        Ok(reason) => format!("the broker disconnected us: {reason:?}"),
        Err(_) => format!("the broker disconnected us: code {code:#04x}"),
    }
}

fn theirs(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}
