//! rumqttc's MQTT 5 module, translated. Decides nothing.

use super::{
    Accepted, Arrival, Freed, LinkError, NotTaken, REQUESTS_MAX, Resend, Retain, Signal, Via,
};
use super::{at_once, host, is_clean, own};
use crate::limits::mqtt as limits;
use crate::mqtt::message::{Publish, Qos};
use crate::mqtt::options::{Options, Persistence, Subscription};
use bytes::Bytes;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, ConnectProperties, Filter, LastWill, Packet, PubAckReason, PubComp, PubCompReason,
    PubRecReason, PubRel, SubscribeReasonCode,
};
use rumqttc::v5::mqttbytes::{self, QoS};
use rumqttc::v5::{
    AsyncClient, ConnectionError, Event, EventLoop, MqttOptions, Request, StateError,
};
use rumqttc::{NetworkOptions, Outgoing, Transport};

pub(in crate::mqtt) struct Link(EventLoop);

pub(in crate::mqtt) struct Requests(AsyncClient);

pub(super) fn open(options: &Options, via: Via) -> (Link, Requests) {
    let mut mqtt = match via {
        Via::Tcp(address) => MqttOptions::new(&options.client_id, host(address), address.port()),
        Via::Unix(name) => MqttOptions::new(&options.client_id, name, 1),
    };
    if matches!(mqtt.broker_address(), (name, _) if name.starts_with('\0')) {
        mqtt.set_transport(Transport::unix());
    }
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    mqtt.set_keep_alive(options.keep_alive)
        .set_clean_start(is_clean(options))
        .set_connect_properties(properties(options))
        .set_connection_timeout(limits::CONNECT_TIMEOUT.as_secs())
        .set_network_options(network)
        // Unset, the module allocates a place for each of 65 535 identifiers: megabytes.
        .set_outgoing_inflight_upper_limit(limits::PACKET_IDS)
        .set_manual_acks(true);
    if let Some(credentials) = &options.credentials {
        mqtt.set_credentials(&credentials.username, &credentials.password);
    }
    if let Some(will) = &options.will {
        let payload = will.payload.to_vec();
        let will = LastWill::new(&will.topic, payload, theirs(will.qos), will.retain, None);
        mqtt.set_last_will(will);
    }
    let (client, event_loop) = AsyncClient::new(mqtt, REQUESTS_MAX);
    (Link(event_loop), Requests(client))
}

fn properties(options: &Options) -> ConnectProperties {
    let expiry = match options.persistence {
        Persistence::Persistent { expiry } => expiry.as_secs(),
        Persistence::Clean => 0,
    };
    let mut properties = ConnectProperties::new();
    properties.session_expiry_interval = Some(u32::try_from(expiry).unwrap_or(u32::MAX));
    properties.receive_maximum = Some(options.receive_max());
    properties.max_packet_size = u32::try_from(options.packet_bytes_max()).ok();
    properties
}

impl Link {
    pub(super) async fn poll(&mut self) -> Result<Signal, LinkError> {
        match self.0.poll().await {
            Ok(event) => Ok(signal(event)),
            Err(error) => Err(self.explain(error)),
        }
    }

    pub(super) fn rest(&mut self) -> Vec<Signal> {
        self.0.state.events.drain(..).map(signal).collect()
    }

    pub(super) fn resend(&mut self, resend: Resend) {
        self.0.pending.push_back(match resend {
            Resend::Publish(id, publish) => {
                let qos = theirs(publish.qos);
                let mut packet = rumqttc::v5::mqttbytes::v5::Publish::new(
                    publish.topic,
                    qos,
                    publish.payload,
                    None,
                );
                (packet.pkid, packet.dup, packet.retain) = (id, true, publish.retain);
                Request::Publish(packet)
            }
            Resend::Release(id) => Request::PubRel(PubRel::new(id, None)),
        });
    }

    /// Plays a message under each identifier to the state: the only way that it lets itself be told.
    pub(super) fn allow_releases(&mut self, ids: impl Iterator<Item = u16>) {
        let mut packet =
            rumqttc::v5::mqttbytes::v5::Publish::new("", QoS::ExactlyOnce, Bytes::new(), None);
        let waiting = self.0.state.events.len();
        for id in ids {
            packet.pkid = id;
            // With manual acknowledgements this answers nothing and cannot fail.
            let _ = self.0.state.handle_incoming_packet(Packet::Publish(packet.clone()));
            self.0.state.events.truncate(waiting);
        }
    }

    pub(super) fn restore_keep_alive(&mut self, options: &Options) {
        if self.0.options.keep_alive().is_zero() {
            self.0.options.set_keep_alive(options.keep_alive);
        }
    }

    fn explain(&self, error: ConnectionError) -> LinkError {
        use mqttbytes::Error;
        match error {
            ConnectionError::MqttState(StateError::Deserialization(
                Error::PayloadSizeLimitExceeded { pkt_size, .. },
            )) => LinkError::PacketTooLarge(pkt_size),
            ConnectionError::MqttState(StateError::Unsolicited(id)) if self.released(id) => {
                LinkError::UnknownRelease
            }
            ConnectionError::MqttState(StateError::AwaitPingResp) => {
                LinkError::Broken("the broker no longer answers".into())
            }
            ConnectionError::MqttState(StateError::ConnectionAborted) => {
                LinkError::Broken("the broker closed the connection".into())
            }
            ConnectionError::MqttState(StateError::Io(error)) | ConnectionError::Io(error) => {
                LinkError::Broken(error.to_string())
            }
            ConnectionError::MqttState(StateError::Deserialization(Error::Io(error))) => {
                LinkError::Broken(error.to_string())
            }
            ConnectionError::MqttState(StateError::ServerDisconnect {
                reason_code,
                reason_string,
            }) => {
                let more = reason_string.map(|text| format!(": {text}")).unwrap_or_default();
                LinkError::Broken(format!("the broker disconnected us: {reason_code:?}{more}"))
            }
            ConnectionError::Timeout(_) => LinkError::Broken(
                "no answer in time (a broker that only speaks MQTT 3.1.1 may look like this)"
                    .into(),
            ),
            ConnectionError::ConnectionRefused(code) => {
                LinkError::Broken(format!("the broker refused us: {code:?}"))
            }
            other => LinkError::Broken(other.to_string()),
        }
    }

    /// Whether the packet that rumqttc choked on is a PUBREL: it notes packets before it judges.
    fn released(&self, id: u16) -> bool {
        let last = self.0.state.events.back();
        matches!(last, Some(Event::Incoming(Packet::PubRel(release))) if release.pkid == id)
    }
}

impl Requests {
    pub(super) fn publish(&self, publish: Publish) -> Result<(), NotTaken> {
        let Publish { topic, payload, qos, retain } = publish;
        at_once(self.0.publish_bytes(topic, theirs(qos), retain, payload))
    }

    pub(super) fn acknowledge(&self, id: u16, qos: Qos) -> Result<(), NotTaken> {
        let mut packet =
            rumqttc::v5::mqttbytes::v5::Publish::new("", theirs(qos), Bytes::new(), None);
        packet.pkid = id;
        self.0.try_ack(&packet).map_err(|_| NotTaken)
    }

    pub(super) fn subscribe(&self, filters: &[&Subscription]) -> Result<(), NotTaken> {
        let filters = filters.iter().map(|s| Filter::new(s.filter.clone(), theirs(s.qos)));
        self.0.try_subscribe_many(filters).map_err(|_| NotTaken)
    }

    pub(super) fn disconnect(&self) -> Result<(), NotTaken> {
        self.0.try_disconnect().map_err(|_| NotTaken)
    }
}

fn signal(event: Event) -> Signal {
    match event {
        Event::Incoming(packet) => incoming(packet),
        Event::Outgoing(Outgoing::Publish(id)) => Signal::Sent(id),
        Event::Outgoing(Outgoing::Subscribe(id)) => Signal::SubscribeSent(id),
        Event::Outgoing(Outgoing::Disconnect) => Signal::Left,
        Event::Outgoing(_) => Signal::Other,
    }
}

fn incoming(packet: Packet) -> Signal {
    match packet {
        Packet::ConnAck(ack) => Signal::Accepted(accepted(&ack)),
        Packet::Publish(publish) => Signal::Arrived(arrival(publish)),
        Packet::PubRel(release) => Signal::Released(release.pkid),
        Packet::PubAck(ack) => Signal::Acked(ack.pkid, puback_refusal(ack.reason)),
        Packet::PubRec(ack) => Signal::Received(ack.pkid, pubrec_refusal(ack.reason)),
        Packet::PubComp(PubComp { pkid, reason: PubCompReason::Success, .. }) => {
            Signal::Completed(pkid, Freed::Yes)
        }
        // The message arrived all the same: the broker has finished with it before.
        Packet::PubComp(PubComp { pkid, .. }) => Signal::Completed(pkid, Freed::Never),
        Packet::SubAck(ack) => {
            let codes = ack.return_codes.into_iter().map(subscribe_refusal).collect();
            Signal::Subscribed(ack.pkid, codes)
        }
        _ => Signal::Other,
    }
}

fn accepted(ack: &ConnAck) -> Accepted {
    let said = ack.properties.as_ref();
    let receive_max = said.and_then(|p| p.receive_max).unwrap_or(u16::MAX);
    Accepted {
        session_present: ack.session_present,
        packet_ids: receive_max.clamp(1, limits::PACKET_IDS),
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
    }
}

fn arrival(publish: mqttbytes::v5::Publish) -> Arrival {
    Arrival {
        topic: String::from_utf8(publish.topic.to_vec()).unwrap_or_default(),
        payload: own(&publish.payload),
        qos: ours(publish.qos),
        retain: publish.retain,
        dup: publish.dup,
        id: publish.pkid,
    }
}

fn puback_refusal(reason: PubAckReason) -> Option<u8> {
    match reason {
        PubAckReason::Success | PubAckReason::NoMatchingSubscribers => None,
        PubAckReason::UnspecifiedError => Some(0x80),
        PubAckReason::ImplementationSpecificError => Some(0x83),
        PubAckReason::NotAuthorized => Some(0x87),
        PubAckReason::TopicNameInvalid => Some(0x90),
        PubAckReason::PacketIdentifierInUse => Some(0x91),
        PubAckReason::QuotaExceeded => Some(0x97),
        PubAckReason::PayloadFormatInvalid => Some(0x99),
    }
}

fn pubrec_refusal(reason: PubRecReason) -> Option<u8> {
    match reason {
        PubRecReason::Success | PubRecReason::NoMatchingSubscribers => None,
        PubRecReason::UnspecifiedError => Some(0x80),
        PubRecReason::ImplementationSpecificError => Some(0x83),
        PubRecReason::NotAuthorized => Some(0x87),
        PubRecReason::TopicNameInvalid => Some(0x90),
        PubRecReason::PacketIdentifierInUse => Some(0x91),
        PubRecReason::QuotaExceeded => Some(0x97),
        PubRecReason::PayloadFormatInvalid => Some(0x99),
    }
}

fn subscribe_refusal(code: SubscribeReasonCode) -> Option<u8> {
    match code {
        SubscribeReasonCode::Success(_) => None,
        SubscribeReasonCode::Failure | SubscribeReasonCode::Unspecified => Some(0x80),
        SubscribeReasonCode::ImplementationSpecific => Some(0x83),
        SubscribeReasonCode::NotAuthorized => Some(0x87),
        SubscribeReasonCode::TopicFilterInvalid => Some(0x8f),
        SubscribeReasonCode::PkidInUse => Some(0x91),
        SubscribeReasonCode::QuotaExceeded => Some(0x97),
        SubscribeReasonCode::SharedSubscriptionsNotSupported => Some(0x9e),
        SubscribeReasonCode::SubscriptionIdNotSupported => Some(0xa1),
        SubscribeReasonCode::WildcardSubscriptionsNotSupported => Some(0xa2),
    }
}

fn ours(qos: QoS) -> Qos {
    match qos {
        QoS::AtMostOnce => Qos::AtMostOnce,
        QoS::AtLeastOnce => Qos::AtLeastOnce,
        QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}

fn theirs(qos: Qos) -> QoS {
    match qos {
        Qos::AtMostOnce => QoS::AtMostOnce,
        Qos::AtLeastOnce => QoS::AtLeastOnce,
        Qos::ExactlyOnce => QoS::ExactlyOnce,
    }
}
