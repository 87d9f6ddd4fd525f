//! Outbound MQTT: `fermyon:spin/mqtt@2.0.0` and its async twin. A connection is a grant to use one of
//! the app's sessions (`Brokers`): to the app's own broker it is the trigger's, so that no event
//! pays for a connection.
//!
//! `publish` returns when the broker's outbox has taken the message over; that it is safe (acknowledged, or on disk)
//! shows in its receipt, which the event waits for before it is settled. For an event that nobody sends again it is
//! safe when `publish` returns.

use bytes::Bytes;
use pirn_triggers::mqtt::{Publish, Qos as WireQos};
use wasmtime::component::{ComponentType, Lift, Lower, Resource};

use super::brokers::{Lease, Login, OpenError};
use super::topics::publishable;
use super::{Door, Host, Interface};
use crate::engine::door::{Answer, Twin};
use crate::engine::fault::Fault;
use crate::engine::wire::wire;
use crate::limits::host::PUBLISHES_PER_EVENT_MAX;
use crate::plan::BrokerAddress;
use crate::report::Report;

wire! {
    /// `variant error`, cases in the order of the WIT.
    #[derive(Clone, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(variant)]
    pub enum Error {
        /// The address is none.
        #[component(name = "invalid-address")]
        InvalidAddress,
        /// The app holds as many sessions as it may.
        #[component(name = "too-many-connections")]
        TooManyConnections,
        /// Not permitted, or the broker does not answer.
        #[component(name = "connection-failed")]
        ConnectionFailed(String),
        /// Anything else, in a sentence.
        #[component(name = "other")]
        Other(String),
    }
}

wire! {
    /// `enum qos`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, ComponentType, Lift, Lower)]
    #[component(enum)]
    #[repr(u8)]
    pub enum Qos {
        /// QoS 0.
        #[component(name = "at-most-once")]
        AtMostOnce,
        /// QoS 1.
        #[component(name = "at-least-once")]
        AtLeastOnce,
        /// QoS 2.
        #[component(name = "exactly-once")]
        ExactlyOnce,
    }
}

/// An open connection: its address was granted when it was opened.
pub struct Connection {
    lease: Lease,
}

type Of<T> = Answer<(Result<T, Error>,)>;

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    offer_both(&mut door.interface("fermyon:spin/mqtt@2.0.0")?, Twin::Sync)?;
    offer_both(&mut door.interface("spin:mqtt/mqtt@3.0.0")?, Twin::Async)
}

fn offer_both(interface: &mut Interface<'_>, twin: Twin) -> Answer<()> {
    interface.resource::<Connection>("connection")?;
    interface.waiting(twin, "[static]connection.open", open)?;
    interface.waiting(twin, "[method]connection.publish", publish)
}

async fn open(
    host: Host,
    (address, username, password, _keep_alive_seconds): (String, String, String, u64),
) -> Of<Resource<Connection>> {
    let Ok(parsed) = BrokerAddress::parse(&address) else {
        return Ok((Err(Error::InvalidAddress),));
    };
    let hosts = &host.grants().hosts;
    if !hosts.permits(parsed.transport.scheme(), &parsed.host, Some(parsed.port)) {
        let sentence = format!("address {address} is not permitted");
        return Ok((Err(Error::ConnectionFailed(sentence)),));
    }
    let login = Login::new(parsed, username, password);
    match host.grants().brokers.session(login, hosts).await {
        Ok(lease) => Ok((host.try_push(Connection { lease }).ok_or(Error::TooManyConnections),)),
        Err(OpenError::TooMany) => Ok((Err(Error::TooManyConnections),)),
        Err(OpenError::Failed(sentence)) => Ok((Err(Error::ConnectionFailed(sentence)),)),
    }
}

async fn publish(
    host: Host,
    (connection, topic, payload, qos): (Resource<Connection>, String, Bytes, Qos),
) -> Of<()> {
    let lease = host.with(&connection, |connection| connection.lease.clone())?;
    let grants = host.grants();
    if let Err(sentence) = publishable(&topic) {
        return Ok((Err(Error::Other(sentence.to_string())),));
    }
    if !grants.publish_topics.permits(&topic) {
        let sentence = format!("publishing to topic {topic} is not permitted");
        return Ok((Err(Error::Other(sentence)),));
    }
    if host.count_publish() > PUBLISHES_PER_EVENT_MAX {
        let most = PUBLISHES_PER_EVENT_MAX;
        return Fault::Limit(format!("it published more than {most} messages for one event")).end();
    }
    let qos = qos.on_the_wire();
    let message = Publish { topic, payload, qos, retain: false };
    let (topic, payload) = (message.topic.clone(), message.payload.clone());
    let component = &grants.component;
    match lease.publish(component, message, host.0.urgency).await {
        Ok(receipt) => {
            receipt.into_iter().for_each(|receipt| host.keep_receipt(receipt));
            let report = Report::Published { component, topic: &topic, payload: &payload, qos };
            grants.reporter.report(&report);
            Ok((Ok(()),))
        }
        Err(error) => Ok((Err(Error::Other(error.to_string())),)),
    }
}

impl Qos {
    fn on_the_wire(self) -> WireQos {
        match self {
            Self::AtMostOnce => WireQos::AtMostOnce,
            Self::AtLeastOnce => WireQos::AtLeastOnce,
            Self::ExactlyOnce => WireQos::ExactlyOnce,
        }
    }
}
