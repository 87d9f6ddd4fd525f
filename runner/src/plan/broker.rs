//! The broker with its templates filled in.

use pirn_triggers::mqtt::Qos;

use super::capabilities::shown;
use super::load::Hands;
use super::{BrokerMessage, BrokerPlan, OnlineMessages, Purpose};
use crate::files::config::Error;
use crate::files::manifest::{
    BrokerAddress, Hosts, MqttMessage, MqttOnline, MqttSettings, Retain, Template, check_topic,
    parse_keep_alive,
};
use crate::limits::KEEP_ALIVE_DEFAULT;

/// The broker, if the manifest has one and its values are known.
pub(super) fn of(hands: &Hands<'_>) -> Result<Option<BrokerPlan>, Error> {
    let Some(settings) = &hands.manifest.application.mqtt else {
        return Ok(None);
    };
    if hands.files.purpose == Purpose::Inspect && !hands.variables.missing().is_empty() {
        return Ok(None);
    }
    let fill = Fill { hands, line: settings.line };
    Ok(Some(plan(&fill, settings)?))
}

fn plan(fill: &Fill<'_>, settings: &MqttSettings) -> Result<BrokerPlan, Error> {
    const TABLE: &str = "application.trigger.mqtt";
    let operator = &fill.hands.operator.mqtt;
    let session = &fill.hands.manifest.application.mqtt_session;
    let address = fill.parsed(TABLE, "address", &settings.address, |text| {
        let address = BrokerAddress::parse(text).map_err(|e| e.to_string())?;
        permitted(fill.hands, &address).map(|()| address)
    })?;
    let keep_alive = match &settings.keep_alive_seconds {
        Some(template) => fill.parsed(TABLE, "keep_alive_interval", template, parse_keep_alive)?,
        None => KEEP_ALIVE_DEFAULT,
    };
    let own_id = fill.optional(SESSION_TABLE, "client_id", session.client_id.as_ref())?;
    let online = session.online.as_ref().map(|online| fill.online(online)).transpose()?;
    let will = session.will.as_ref().map(|will| fill.message(will)).transpose()?;
    Ok(BrokerPlan {
        username: fill.optional(TABLE, "username", settings.username.as_ref())?,
        password: fill.optional(TABLE, "password", settings.password.as_ref())?,
        keep_alive,
        protocol: session.protocol,
        client_id: operator.client_id.clone().or_else(|| address.client_id.clone()).or(own_id),
        session_expiry: session.session_expiry,
        will: will.or_else(|| online.as_ref().map(|online| online.offline.clone())),
        online,
        ca_file: operator.ca_file.clone(),
        client_identity: operator.client_cert_file.clone().zip(operator.client_key_file.clone()),
        address,
    })
}

/// The device's policy binds the app's own broker like any other host.
fn permitted(hands: &Hands<'_>, address: &BrokerAddress) -> Result<(), String> {
    let operator = &hands.operator;
    let policy = operator.policy.allowed_outbound_hosts.clone();
    let hosts = Hosts::within(policy, operator.block_networks.clone());
    let (scheme, port) = (address.transport.scheme(), Some(address.port));
    match hosts.permits(scheme, &address.host, port) {
        true => Ok(()),
        false => Err(format!(
            "{address} is not granted by this device's policy: see allowed_outbound_hosts and block_networks in {}",
            operator.file
        )),
    }
}

const SESSION_TABLE: &str = "application.tool.pirn.mqtt";

/// Fills templates in and says where they stand when that fails.
struct Fill<'a> {
    hands: &'a Hands<'a>,
    line: u32,
}

impl Fill<'_> {
    fn parsed<T>(
        &self,
        table: &str,
        key: &str,
        template: &Template,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Error> {
        let error =
            |message: String| Error::at(&self.hands.manifest.file, self.line, table, key, message);
        let text = self.hands.variables.expand(template).map_err(|e| error(e.to_string()))?;
        parse(&text).map_err(|complaint| error(shown(self.hands, template, &complaint)))
    }

    /// Empty means absent: a variable's default is how a manifest says "none".
    fn optional(
        &self,
        table: &str,
        key: &str,
        template: Option<&Template>,
    ) -> Result<Option<String>, Error> {
        let Some(template) = template else {
            return Ok(None);
        };
        let text = self.parsed(table, key, template, |text| Ok(text.to_owned()))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    fn topic(&self, table: &str, template: &Template) -> Result<String, Error> {
        let check =
            |text: &str| check_topic(text).map(|()| text.to_owned()).map_err(|e| e.to_string());
        self.parsed(table, "topic", template, check)
    }

    fn payload(&self, table: &str, key: &str, template: &Template) -> Result<Vec<u8>, Error> {
        self.parsed(table, key, template, |text| Ok(text.as_bytes().to_vec()))
    }

    fn message(&self, message: &MqttMessage) -> Result<BrokerMessage, Error> {
        let table = format!("{SESSION_TABLE}.will");
        Ok(BrokerMessage {
            topic: self.topic(&table, &message.topic)?,
            payload: self.payload(&table, "payload", &message.payload)?,
            qos: message.qos,
            retain: message.retain,
        })
    }

    fn online(&self, online: &MqttOnline) -> Result<OnlineMessages, Error> {
        let table = format!("{SESSION_TABLE}.online");
        let topic = self.topic(&table, &online.topic)?;
        let message = |key: &str, template: &Template| {
            let payload = self.payload(&table, key, template)?;
            Ok::<_, Error>(BrokerMessage {
                topic: topic.clone(),
                payload,
                qos: Qos::AtLeastOnce,
                retain: Retain::Yes,
            })
        };
        Ok(OnlineMessages {
            online: message("payload_online", &online.payload_online)?,
            offline: message("payload_offline", &online.payload_offline)?,
        })
    }
}
