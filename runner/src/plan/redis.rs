//! Redis triggers with their templates filled in: which server, which channel.

use std::sync::Arc;

use pirn_triggers::redis::Address;

use super::capabilities::shown;
use super::load::Hands;
use super::{Purpose, TriggerPlanKind};
use crate::files::config::Error;
use crate::files::manifest::{Hosts, Template, Trigger};

const TABLE: &str = "[trigger.redis]";

pub(super) fn trigger(
    hands: &Hands<'_>,
    trigger: &Trigger,
    channel: &Template,
    address: Option<&Template>,
) -> Result<TriggerPlanKind, Error> {
    let error = |key, message| Error::at(&hands.manifest.file, trigger.line, TABLE, key, message);
    let address = address.or(hands.manifest.application.redis_address.as_ref());
    // That one of them is there was checked with the manifest.
    let address = address.cloned().unwrap_or_else(|| Template::text(""));
    let server = match (hands.variables.expand(&address), hands.files.purpose) {
        (Ok(text), _) => Address::parse(&text)
            .map_err(|why| error("address", shown(hands, &address, &why.to_string())))?,
        (Err(_), Purpose::Inspect) => unknown(),
        (Err(missing), Purpose::Run) => return Err(error("address", missing.to_string())),
    };
    let channel = match (hands.variables.expand(channel), hands.files.purpose) {
        (Ok(text), _) if text.is_empty() => {
            return Err(error("channel", "a channel's name cannot be empty".into()));
        }
        (Ok(text), _) => text,
        (Err(_), Purpose::Inspect) => channel.to_string(),
        (Err(missing), Purpose::Run) => return Err(error("channel", missing.to_string())),
    };
    permitted(hands, &server).map_err(|why| error("address", why))?;
    Ok(TriggerPlanKind::Redis { server: Box::new(server), channel: Arc::from(channel) })
}

/// Stands for a server whose name nobody knows yet.
fn unknown() -> Address {
    let target = pirn_triggers::net::Target { host: "?".into(), port: 6379, secure: false };
    Address { target, username: String::new(), password: String::new(), database: 0 }
}

/// The device's policy binds an app's servers like any other host.
fn permitted(hands: &Hands<'_>, server: &Address) -> Result<(), String> {
    let operator = &hands.operator;
    let policy = operator.policy.allowed_outbound_hosts.clone();
    let hosts = Hosts::within(policy, operator.block_networks.clone());
    match hosts.permits(server.scheme(), &server.target.host, Some(server.target.port)) {
        true => Ok(()),
        false => Err(format!(
            "{server} is not granted by this device's policy: see allowed_outbound_hosts and block_networks in {}",
            operator.file
        )),
    }
}
