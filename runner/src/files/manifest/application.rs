//! `[application]`, with the app's broker in `[application.trigger.mqtt]` and pirn's own settings for the
//! session in `[application.tool.pirn.mqtt]`.

use std::time::Duration;

use pirn_triggers::mqtt::Qos;

use super::read::Reader;
use super::{
    Application, BrokerAddress, MqttMessage, MqttOnline, MqttProtocol, MqttSessionSettings,
    MqttSettings, Retain, Template, Trigger, TriggerKind, check_topic, fires, http, tool, trigger,
};
use crate::files::config::{Error, Table, Value};
use crate::limits::KEEP_ALIVE_SECONDS_MAX;

pub(super) fn application(reader: &Reader<'_>, root: &Table<'_>) -> Result<Application, Error> {
    let table = root.require("application", "the table [application]")?.table()?;
    let table =
        table.only(&["name", "version", "description", "authors", "targets", "trigger", "tool"])?;
    let name = table.require("name", "the app's name")?;
    if name.string()?.trim().is_empty() {
        return Err(name.error("the app's name cannot be empty"));
    }
    let text = |key| table.string(key).map(|text| text.unwrap_or_default().to_owned());
    Ok(Application {
        name: name.string()?.to_owned(),
        version: text("version")?,
        description: text("description")?,
        authors: table.strings("authors")?,
        targets: table.strings("targets")?,
        mqtt: mqtt(reader, &table)?,
        redis_address: redis(reader, &table)?,
        mqtt_session: session(reader, &table)?,
        tool: tool::application_tool(&table)?,
        http: http::settings(&table)?,
    })
}

/// Settings of other triggers are theirs; only MQTT's and Redis's are read.
fn mqtt(reader: &Reader<'_>, application: &Table<'_>) -> Result<Option<MqttSettings>, Error> {
    let Some(triggers) = application.table("trigger")? else {
        return Ok(None);
    };
    let Some(table) = triggers.table("mqtt")? else {
        return Ok(None);
    };
    let table = table.only(&["address", "username", "password", "keep_alive_interval"])?;
    let address = table.require("address", "the broker's address, like mqtt://localhost:1883")?;
    let settings = MqttSettings {
        address: reader.template(&address)?,
        username: reader.optional_template(&table, "username")?,
        password: reader.optional_template(&table, "password")?,
        keep_alive_seconds: table
            .get("keep_alive_interval")
            .map(|value| keep_alive(reader, &value))
            .transpose()?,
        line: table.line(),
    };
    if let Some(literal) = settings.address.literal() {
        BrokerAddress::parse(literal)
            .map_err(|error| address.error(format!("{literal:?}: {error}")))?;
    }
    Ok(Some(settings))
}

fn redis(reader: &Reader<'_>, application: &Table<'_>) -> Result<Option<Template>, Error> {
    let Some(triggers) = application.table("trigger")? else {
        return Ok(None);
    };
    let Some(table) = triggers.table("redis")? else {
        return Ok(None);
    };
    let table = table.only(&["address"])?;
    let address = table.require("address", "the server's address, like redis://localhost:6379")?;
    fires::redis_address(reader, &address).map(Some)
}

fn keep_alive(reader: &Reader<'_>, value: &Value<'_>) -> Result<Template, Error> {
    let template = match value.integer() {
        Some(seconds) => Template::text(&seconds.to_string()),
        None if value.is_string() => reader.template(value)?,
        None => return Err(value.expected("seconds, as a string or a whole number")),
    };
    match template.literal().map(parse_keep_alive) {
        Some(Err(message)) => Err(value.error(message)),
        _ => Ok(template),
    }
}

/// Reads seconds of keep-alive. 0, which switches it off, is refused: a dead connection would go unnoticed.
pub(crate) fn parse_keep_alive(text: &str) -> Result<Duration, String> {
    let seconds =
        text.trim().parse().ok().filter(|seconds| (1..=KEEP_ALIVE_SECONDS_MAX).contains(seconds));
    seconds
        .map(|seconds| Duration::from_secs(u64::from(seconds)))
        .ok_or_else(|| format!("must be whole seconds from 1 to {KEEP_ALIVE_SECONDS_MAX}"))
}

fn session(reader: &Reader<'_>, application: &Table<'_>) -> Result<MqttSessionSettings, Error> {
    let Some(pirn) = pirn_table(application)? else {
        return Ok(MqttSessionSettings::default());
    };
    let pirn = pirn.only(tool::APPLICATION_KEYS)?;
    let Some(table) = pirn.table("mqtt")? else {
        return Ok(MqttSessionSettings::default());
    };
    let table = table.only(&["protocol", "client_id", "session_expiry", "will", "online"])?;
    let settings = MqttSessionSettings {
        protocol: table.get("protocol").map(|value| protocol(&value)).transpose()?,
        client_id: reader.optional_template(&table, "client_id")?,
        session_expiry: table.duration("session_expiry")?,
        will: table.table("will")?.map(|table| message(reader, table)).transpose()?,
        online: table.table("online")?.map(|table| online(reader, table)).transpose()?,
    };
    if settings.protocol == Some(MqttProtocol::V311) && settings.session_expiry.is_some() {
        return Err(
            table.error("session_expiry", r#"needs protocol = "5"; in 3.1.1 the broker decides"#)
        );
    }
    if settings.will.is_some() && settings.online.is_some() {
        let message = "a session has one will, and [online] makes its own; remove one of the two";
        return Err(table.error("will", message));
    }
    Ok(settings)
}

/// `tool.pirn` of an application or a component. Tables of other tools are theirs.
pub(super) fn pirn_table<'a>(table: &Table<'a>) -> Result<Option<Table<'a>>, Error> {
    let Some(tools) = table.table("tool")? else {
        return Ok(None);
    };
    for tool in tools.entries() {
        tool.table()?;
    }
    tools.table("pirn")
}

fn protocol(value: &Value<'_>) -> Result<MqttProtocol, Error> {
    match value.string()? {
        "3.1.1" => Ok(MqttProtocol::V311),
        "5" | "5.0" => Ok(MqttProtocol::V5),
        other => Err(value
            .error(format!("unknown protocol {other:?}"))
            .with_help(r#"allowed: "3.1.1", "5""#)),
    }
}

fn message(reader: &Reader<'_>, table: Table<'_>) -> Result<MqttMessage, Error> {
    let table = table.only(&["topic", "payload", "qos", "retain"])?;
    Ok(MqttMessage {
        topic: topic(reader, &table)?,
        payload: reader.optional_template(&table, "payload")?.unwrap_or_default(),
        qos: table
            .get("qos")
            .map(|value| trigger::qos(&value))
            .transpose()?
            .unwrap_or(Qos::AtLeastOnce),
        retain: match table.flag("retain")? {
            Some(true) => Retain::Yes,
            _ => Retain::No,
        },
    })
}

fn online(reader: &Reader<'_>, table: Table<'_>) -> Result<MqttOnline, Error> {
    let table = table.only(&["topic", "payload_online", "payload_offline"])?;
    let payload = |key, default| {
        let written = reader.optional_template(&table, key)?;
        Ok::<_, Error>(written.unwrap_or_else(|| Template::text(default)))
    };
    Ok(MqttOnline {
        topic: topic(reader, &table)?,
        payload_online: payload("payload_online", "online")?,
        payload_offline: payload("payload_offline", "offline")?,
    })
}

fn topic(reader: &Reader<'_>, table: &Table<'_>) -> Result<Template, Error> {
    let value = table.require("topic", "a topic to publish to")?;
    let template = reader.template(&value)?;
    if let Some(literal) = template.literal() {
        check_topic(literal).map_err(|error| value.error(error.to_string()))?;
    }
    Ok(template)
}

/// An app with MQTT triggers has a broker.
pub(super) fn check_broker(
    root: &Table<'_>,
    application: &Application,
    triggers: &[Trigger],
) -> Result<(), Error> {
    let needed = triggers.iter().find(|trigger| matches!(trigger.kind, TriggerKind::Mqtt { .. }));
    match (needed, &application.mqtt) {
        (Some(trigger), None) => {
            let message = format!(
                "missing [application.trigger.mqtt]; trigger {:?} needs a broker",
                trigger.id
            );
            let help = r#"write: [application.trigger.mqtt] and below it: address = "mqtt://localhost:1883""#;
            Err(root.error("application", message).with_help(help))
        }
        _ => check_redis(root, application, triggers),
    }
}

/// A Redis trigger has a server, its own or the application's.
fn check_redis(
    root: &Table<'_>,
    application: &Application,
    triggers: &[Trigger],
) -> Result<(), Error> {
    let lacks =
        |trigger: &&Trigger| matches!(trigger.kind, TriggerKind::Redis { address: None, .. });
    match (triggers.iter().find(lacks), &application.redis_address) {
        (Some(trigger), None) => {
            let message = format!(
                "missing [application.trigger.redis]; trigger {:?} names no server of its own",
                trigger.id
            );
            let help = r#"write: [application.trigger.redis] and below it: address = "redis://localhost:6379""#;
            Err(root.error("application", message).with_help(help))
        }
        _ => Ok(()),
    }
}
