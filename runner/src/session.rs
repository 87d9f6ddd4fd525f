//! From the plan's broker to the options of its session: the two crates' words for the same things
//! meet here and nowhere else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use pirn_triggers::mqtt::{
    Address, ClientCertificate, Credentials, Options, Persistence, Protocol, Publish, Qos,
    Security, Subscription, TlsOptions,
};

use crate::app::{App, BrokerMessage, BrokerPlan, Transport, TriggerPlanKind};
use crate::host::brokers::on_notice;
use crate::manifest::{self, Hosts, MqttProtocol, Retain};
use crate::report::Reporter;

/// A longer one in the file was not written by us. Brokers take at least 23 bytes, most 65 535.
const CLIENT_ID_BYTES_MAX: usize = 256;

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
        let (filter, qos) = (topic.as_str(), on_the_wire(*qos));
        match subscriptions.iter_mut().find(|known| known.filter == filter) {
            Some(known) => known.qos = known.qos.max(qos),
            None => subscriptions.push(Subscription { filter: filter.into(), qos }),
        }
    }
    subscriptions
}

fn on_the_wire(qos: manifest::Qos) -> Qos {
    match qos {
        manifest::Qos::AtMostOnce => Qos::AtMostOnce,
        manifest::Qos::AtLeastOnce => Qos::AtLeastOnce,
        manifest::Qos::ExactlyOnce => Qos::ExactlyOnce,
    }
}

fn message(message: &BrokerMessage) -> Publish {
    Publish {
        topic: message.topic.clone(),
        payload: Bytes::from(message.payload.clone()),
        qos: on_the_wire(message.qos),
        retain: message.retain == Retain::Yes,
    }
}

/// A name that is the same after a restart and differs between devices, be they flashed from one
/// image: made once at random and kept with the state. Without a place to keep it, the machine's id.
pub fn client_id(app: &App) -> String {
    if let Some(id) = known_client_id(app) {
        return id;
    }
    let path = client_id_file(app);
    let fresh = format!("{}-{}", app.name, random_name());
    match std::fs::write(&path, &fresh) {
        Ok(()) => fresh,
        Err(_) => {
            let machine = kept(Path::new("/etc/machine-id")).unwrap_or_default();
            format!("{}-{}", app.name, machine.get(..12).unwrap_or("0"))
        }
    }
}

fn client_id_file(app: &App) -> PathBuf {
    app.state_dir.join("client-id")
}

/// The name in a file, if it is one that we may have written.
fn kept(path: &Path) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    let id = text.trim().to_string();
    (!id.is_empty() && id.len() <= CLIENT_ID_BYTES_MAX).then_some(id)
}

/// The client id that the app's session has, or had the last time; makes none.
pub fn known_client_id(app: &App) -> Option<String> {
    let plan = app.broker.as_ref()?;
    plan.client_id.clone().or_else(|| kept(&client_id_file(app)))
}

/// Eight characters at random.
pub fn random_name() -> String {
    let random = kept(Path::new("/proc/sys/kernel/random/uuid")).unwrap_or_default();
    random.get(..8).unwrap_or("0").to_owned()
}
