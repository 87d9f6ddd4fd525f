//! rumqttc's MQTT 3.1.1 module, translated. Decides nothing.

use super::{
    Accepted, Arrival, Freed, LinkError, NotTaken, REQUESTS_MAX, Resend, Retain, Signal, Via,
};
use super::{at_once, host, is_clean, own};
use crate::limits::mqtt as limits;
use crate::mqtt::message::{Publish, Qos};
use crate::mqtt::options::{Options, Subscription};
use bytes::Bytes;
use rumqttc::{
    AsyncClient, ConnAck, ConnectionError, Event, EventLoop, Incoming, LastWill, MqttOptions,
    NetworkOptions, Outgoing, PubRel, Request, StateError, SubscribeFilter, SubscribeReasonCode,
    Transport,
};

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
    mqtt.set_keep_alive(options.keep_alive)
        .set_clean_session(is_clean(options))
        .set_max_packet_size(options.packet_bytes_max(), usize::MAX)
        .set_inflight(limits::PACKET_IDS)
        .set_manual_acks(true);
    if let Some(credentials) = &options.credentials {
        mqtt.set_credentials(&credentials.username, &credentials.password);
    }
    if let Some(will) = &options.will {
        let payload = will.payload.to_vec();
        mqtt.set_last_will(LastWill::new(&will.topic, payload, theirs(will.qos), will.retain));
    }
    let (client, mut event_loop) = AsyncClient::new(mqtt, REQUESTS_MAX);
    let mut network = NetworkOptions::new();
    network.set_tcp_nodelay(true);
    network.set_connection_timeout(limits::CONNECT_TIMEOUT.as_secs());
    event_loop.set_network_options(network);
    (Link(event_loop), Requests(client))
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
                let mut packet = rumqttc::Publish::from_bytes(
                    publish.topic,
                    theirs(publish.qos),
                    publish.payload,
                );
                (packet.pkid, packet.dup, packet.retain) = (id, true, publish.retain);
                Request::Publish(packet)
            }
            Resend::Release(id) => Request::PubRel(PubRel::new(id)),
        });
    }

    /// Plays a message under each identifier to the state: the only way that it lets itself be told.
    pub(super) fn allow_releases(&mut self, ids: impl Iterator<Item = u16>) {
        let mut packet = rumqttc::Publish::from_bytes("", rumqttc::QoS::ExactlyOnce, Bytes::new());
        let waiting = self.0.state.events.len();
        for id in ids {
            packet.pkid = id;
            // With manual acknowledgements this answers nothing and cannot fail.
            let _ = self.0.state.handle_incoming_packet(Incoming::Publish(packet.clone()));
            self.0.state.events.truncate(waiting);
        }
    }

    fn explain(&self, error: ConnectionError) -> LinkError {
        use rumqttc::mqttbytes::Error;
        match error {
            ConnectionError::MqttState(StateError::Deserialization(
                Error::PayloadSizeLimitExceeded(bytes),
            )) => LinkError::PacketTooLarge(bytes),
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
            ConnectionError::NetworkTimeout => LinkError::Broken("no answer in time".into()),
            ConnectionError::ConnectionRefused(code) => {
                LinkError::Broken(format!("the broker refused us: {code:?}"))
            }
            other => LinkError::Broken(other.to_string()),
        }
    }

    /// Whether the packet that rumqttc choked on is a PUBREL: it notes packets before it judges.
    fn released(&self, id: u16) -> bool {
        let release = Event::Incoming(Incoming::PubRel(PubRel::new(id)));
        self.0.state.events.back() == Some(&release)
    }
}

impl Requests {
    pub(super) fn publish(&self, publish: Publish) -> Result<(), NotTaken> {
        let Publish { topic, payload, qos, retain } = publish;
        at_once(self.0.publish_bytes(topic, theirs(qos), retain, payload))
    }

    pub(super) fn acknowledge(&self, id: u16, qos: Qos) -> Result<(), NotTaken> {
        let mut packet = rumqttc::Publish::from_bytes("", theirs(qos), Bytes::new());
        packet.pkid = id;
        self.0.try_ack(&packet).map_err(|_| NotTaken)
    }

    pub(super) fn subscribe(&self, filters: &[&Subscription]) -> Result<(), NotTaken> {
        let filters = filters.iter().map(|s| SubscribeFilter::new(s.filter.clone(), theirs(s.qos)));
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

fn incoming(packet: Incoming) -> Signal {
    match packet {
        Incoming::ConnAck(ack) => Signal::Accepted(accepted(&ack)),
        Incoming::Publish(publish) => Signal::Arrived(arrival(publish)),
        Incoming::PubRel(release) => Signal::Released(release.pkid),
        Incoming::PubAck(ack) => Signal::Acked(ack.pkid, None),
        Incoming::PubRec(ack) => Signal::Received(ack.pkid, None),
        Incoming::PubComp(ack) => Signal::Completed(ack.pkid, Freed::Yes),
        Incoming::SubAck(ack) => {
            let refusal = |code: &SubscribeReasonCode| match code {
                SubscribeReasonCode::Success(_) => None,
                SubscribeReasonCode::Failure => Some(0x80),
            };
            Signal::Subscribed(ack.pkid, ack.return_codes.iter().map(refusal).collect())
        }
        _ => Signal::Other,
    }
}

fn accepted(ack: &ConnAck) -> Accepted {
    Accepted {
        session_present: ack.session_present,
        packet_ids: limits::PACKET_IDS,
        packet_bytes_max: None,
        qos_max: Qos::ExactlyOnce,
        retain: Retain::Supported,
    }
}

fn arrival(publish: rumqttc::Publish) -> Arrival {
    Arrival {
        payload: own(&publish.payload),
        topic: publish.topic,
        qos: ours(publish.qos),
        retain: publish.retain,
        dup: publish.dup,
        id: publish.pkid,
    }
}

fn ours(qos: rumqttc::QoS) -> Qos {
    match qos {
        rumqttc::QoS::AtMostOnce => Qos::AtMostOnce,
        rumqttc::QoS::AtLeastOnce => Qos::AtLeastOnce,
        rumqttc::QoS::ExactlyOnce => Qos::ExactlyOnce,
    }
}

fn theirs(qos: Qos) -> rumqttc::QoS {
    match qos {
        Qos::AtMostOnce => rumqttc::QoS::AtMostOnce,
        Qos::AtLeastOnce => rumqttc::QoS::AtLeastOnce,
        Qos::ExactlyOnce => rumqttc::QoS::ExactlyOnce,
    }
}
