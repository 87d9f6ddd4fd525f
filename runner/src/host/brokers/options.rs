//! From the plan's broker to the options of its session: the two crates' words for the same things meet here and
//! nowhere else.

use std::sync::Arc;

use bytes::Bytes;
use pirn_triggers::mqtt::{
    Address, ClientCertificate, Credentials, Options, Persistence, Protocol, Publish, Security,
    Subscription, TlsOptions,
};

use super::on_notice;
use crate::files::manifest::{Hosts, MqttProtocol, Retain};
use crate::plan::{App, BrokerMessage, BrokerPlan, Transport, TriggerPlanKind};
use crate::report::Reporter;

/// The session that the plan asks for: persistent, under a name that stays the same, so that the
/// broker keeps what comes while the board is away.
pub fn options(
    app: &App,
    plan: &BrokerPlan,
    client_id: String,
    reporter: Arc<dyn Reporter>,
) -> Options {
    let security = match plan.address.transport {
        Transport::Plain => Security::Plain,
        Transport::Tls => Security::Tls(tls(app)),
    };
    let address = Address { host: plan.address.host.clone(), port: plan.address.port, security };
    let mut options = Options::new(address, client_id);
    options.credentials = plan.username.clone().map(|username| Credentials {
        username,
        password: plan.password.clone().unwrap_or_default(),
    });
    options.keep_alive = plan.keep_alive;
    if let Some(protocol) = plan.protocol {
        options.protocol = match protocol {
            MqttProtocol::V311 => Protocol::V311,
            MqttProtocol::V5 => Protocol::V5,
        };
    }
    if let Some(expiry) = plan.session_expiry {
        options.persistence = Persistence::Persistent { expiry };
    }
    options.subscriptions = subscriptions(app);
    let said = plan.online.as_ref();
    options.will = plan.will.as_ref().or(said.map(|said| &said.offline)).map(message);
    options.online = said.map(|said| message(&said.online));
    let blocked = app.runtime_config.block_networks.clone();
    let hosts = Hosts::new(Vec::new(), None, blocked);
    options.address_filter = Some(Arc::new(move |ip| hosts.permits_address(ip)));
    options.on_notice = Some(on_notice(plan.address.to_string(), reporter));
    options
}

/// The device's TLS files, for every broker.
pub fn tls(app: &App) -> TlsOptions {
    let own = &app.runtime_config.mqtt;
    let client = own.client_cert_file.clone().zip(own.client_key_file.clone());
    TlsOptions {
        ca_file: own.ca_file.clone(),
        client: client
            .map(|(certificate_file, key_file)| ClientCertificate { certificate_file, key_file }),
    }
}

/// One subscription per filter, at the highest quality of service that a trigger asks for.
fn subscriptions(app: &App) -> Vec<Subscription> {
    let mut subscriptions: Vec<Subscription> = Vec::new();
    for trigger in &app.triggers {
        let TriggerPlanKind::Mqtt { topic, qos } = &trigger.kind else { continue };
        let (filter, qos) = (topic.as_str(), *qos);
        match subscriptions.iter_mut().find(|known| known.filter == filter) {
            Some(known) => known.qos = known.qos.max(qos),
            None => subscriptions.push(Subscription { filter: filter.into(), qos }),
        }
    }
    subscriptions
}

fn message(message: &BrokerMessage) -> Publish {
    Publish {
        topic: message.topic.clone(),
        payload: Bytes::from(message.payload.clone()),
        qos: message.qos,
        retain: message.retain == Retain::Yes,
    }
}

/// Eight characters at random.
pub fn random_name() -> String {
    first_of("/proc/sys/kernel/random/uuid", 8)
}

/// The first so many characters of a file of the system's.
pub fn first_of(file: &str, chars: usize) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.trim().get(..chars).unwrap_or("0").to_owned()
}
