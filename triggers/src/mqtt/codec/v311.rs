//! rumqttc's MQTT 3.1.1 packets, translated. Decides nothing.

use crate::mqtt::message::Qos;
use crate::mqtt::options::{Options, Persistence};
use crate::mqtt::packet::{Accepted, Fault, Incoming, Outgoing};
use bytes::BytesMut;
use rumqttc::mqttbytes::{self, QoS, v4};

pub(super) fn write(
    packet: &Outgoing,
    options: &Options,
    out: &mut BytesMut,
) -> Result<(), String> {
    let written = match packet {
        Outgoing::Connect => connect(options).write(out),
        Outgoing::Publish { id, dup, publish } => {
            let (topic, payload) = (publish.topic.clone(), publish.payload.clone());
            let mut packet = v4::Publish::from_bytes(topic, theirs(publish.qos), payload);
            (packet.pkid, packet.dup, packet.retain) = (*id, *dup, publish.retain);
            packet.write(out)
        }
        Outgoing::Subscribe { id, filters, .. } => {
            let filters = filters.iter().map(|one| {
                let qos = theirs(one.qos);
                v4::SubscribeFilter { path: one.filter.clone(), qos }
            });
            let mut packet = v4::Subscribe::new_many(filters);
            packet.pkid = *id;
            packet.write(out)
        }
        Outgoing::Unsubscribe { id, filters } => {
            v4::Unsubscribe { pkid: *id, topics: filters.clone() }.write(out)
        }
        Outgoing::Ping => v4::PingReq.write(out),
        Outgoing::Disconnect => v4::Disconnect.write(out),
        Outgoing::Ack { .. } => return Ok(()),
    };
    written.map(drop).map_err(|error| error.to_string())
}

fn connect(options: &Options) -> v4::Connect {
    let mut connect = v4::Connect::new(&options.client_id);
    connect.keep_alive = u16::try_from(options.keep_alive.as_secs()).unwrap_or(u16::MAX);
    connect.clean_session = matches!(options.persistence, Persistence::Clean);
    if let Some(credentials) = &options.credentials {
        connect.set_login(&credentials.username, &credentials.password);
    }
    connect.last_will = options.will.as_ref().map(|will| {
        let payload = will.payload.to_vec();
        v4::LastWill::new(&will.topic, payload, theirs(will.qos), will.retain)
    });
    connect
}

/// CONNACK. The packet is consumed.
pub(super) fn read_connack(packet: &mut BytesMut) -> Result<Incoming, Fault> {
    let refused = |why: String| Ok(Incoming::Refused(format!("the broker refused us: {why}")));
    match v4::Packet::read(packet, usize::MAX) {
        Ok(v4::Packet::ConnAck(v4::ConnAck { code, session_present })) => match code {
            v4::ConnectReturnCode::Success => {
                Ok(Incoming::Accepted(Accepted::plain(session_present)))
            }
            code => refused(format!("{code:?}")),
        },
        Ok(_) => Err(Fault::Malformed("no CONNACK".into())),
        Err(mqttbytes::Error::InvalidConnectReturnCode(code)) => refused(format!("code {code}")),
        Err(error) => Err(Fault::Malformed(error.to_string())),
    }
}

fn theirs(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}
