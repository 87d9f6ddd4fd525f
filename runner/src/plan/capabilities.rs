//! What a component may reach: the manifest's wishes within the operator's policy.
//!
//! Where policy takes something away the app still starts, with a warning: the device's owner has decided,
//! and the component gets the refusal that its interface has for it. What nobody defined (a store without a
//! definition) is a mistake and refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::load::Hands;
use super::{Capabilities, Pins, Purpose, TopicGrant};
use crate::files::config::{Error, unknown};
use crate::files::manifest::{Component, FileEntry, HostPattern, Hosts, Secrecy, Template};
use crate::files::runtime_config::StoreConfig;

pub(super) fn of(
    hands: &Hands<'_>,
    component: &Component,
    pins: &mut Pins,
) -> Result<(Capabilities, Vec<String>), Error> {
    let mut warnings = Vec::new();
    let policy = &hands.operator.policy;
    let stores = Labels {
        hands,
        component,
        key: "key_value_stores",
        table: "key_value_store",
        file: "key-value",
    };
    let databases = Labels {
        hands,
        component,
        key: "sqlite_databases",
        table: "sqlite_database",
        file: "sqlite",
    };
    let mut environment = component.environment.clone();
    environment.extend(hands.files.guest_environment.iter().cloned());
    check_files(hands, component)?;
    let capabilities = Capabilities {
        hosts: hosts(hands, component)?,
        key_value_stores: stores.grant(
            &component.key_value_stores,
            &hands.operator.key_value_stores,
            policy.key_value_stores.as_deref(),
            &mut warnings,
        )?,
        sqlite_databases: databases.grant(
            &component.sqlite_databases,
            &hands.operator.sqlite_databases,
            policy.sqlite_databases.as_deref(),
            &mut warnings,
        )?,
        ai_models: component.ai_models.iter().cloned().collect(),
        environment,
        files: component.files.clone(),
        exclude_files: component.exclude_files.clone(),
        publish_topics: TopicGrant::within(
            [&component.tool.mqtt_topics, &policy.mqtt_publish_topics]
                .into_iter()
                .flatten()
                .cloned(),
        ),
        pins: pins.grants(hands, component, &mut warnings)?,
    };
    if !component.ai_models.is_empty() && hands.operator.llm_compute.is_none() {
        warnings.push(format!(
            "[component.{}] ai_models: this device has no model server; in runtime-config.toml write one, like [llm_compute] type = \"remote_http\", url = \"http://10.0.0.7:8080\", api_type = \"open_ai\" (llama.cpp, Ollama, vLLM)",
            component.id
        ));
    }
    Ok((capabilities, warnings))
}

/// Entries are templates. Providers are fixed when the app loads, so they are filled in now; one that
/// gives nothing is skipped.
fn hosts(hands: &Hands<'_>, component: &Component) -> Result<Hosts, Error> {
    let mut granted = Vec::new();
    for template in &component.allowed_outbound_hosts {
        let text = match (hands.variables.expand(template), hands.files.purpose) {
            (Ok(text), _) => text,
            (Err(_), Purpose::Inspect) => continue,
            (Err(error), Purpose::Run) => {
                return Err(host_error(hands, component, &error.to_string()));
            }
        };
        if !text.trim().is_empty() {
            granted.push(HostPattern::parse(&text).map_err(|error| {
                host_error(hands, component, &shown(hands, template, &error.to_string()))
            })?);
        }
    }
    let policy = hands.operator.policy.allowed_outbound_hosts.clone();
    Ok(Hosts::new(granted, policy, hands.operator.block_networks.clone()))
}

/// The complaint about what a template gives, without the value if that is a secret.
pub(super) fn shown(hands: &Hands<'_>, template: &Template, complaint: &str) -> String {
    match (template.literal(), hands.variables.secrecy(template)) {
        (Some(_), _) => complaint.to_owned(),
        (None, Secrecy::Shown) => format!("what \"{template}\" gives cannot be used: {complaint}"),
        (None, Secrecy::Secret) => format!(
            "what \"{template}\" gives cannot be used (it holds a secret, so it is not shown)"
        ),
    }
}

fn host_error(hands: &Hands<'_>, component: &Component, message: &str) -> Error {
    const KEY: &str = "allowed_outbound_hosts";
    let line = component.lines.get(KEY).copied().unwrap_or(component.line);
    Error::at(&hands.manifest.file, line, &format!("component.{}", component.id), KEY, message)
}

/// What is mounted by name must be there; globs may match nothing.
fn check_files(hands: &Hands<'_>, component: &Component) -> Result<(), Error> {
    for entry in &component.files {
        let path = match entry {
            FileEntry::Glob(glob) if glob.contains(['*', '?', '[', '{']) => continue,
            FileEntry::Glob(path) | FileEntry::Mount { source: path, .. } => path,
        };
        if hands.files.purpose == Purpose::Run && !hands.dir.join(path).exists() {
            let line = component.lines.get("files").copied().unwrap_or(component.line);
            let table = format!("component.{}", component.id);
            let message = format!("{path:?} does not exist in {}", hands.dir.display());
            return Err(Error::at(&hands.manifest.file, line, &table, "files", message));
        }
    }
    Ok(())
}

/// Labels of one kind, and where their files are.
struct Labels<'a> {
    hands: &'a Hands<'a>,
    component: &'a Component,
    key: &'static str,
    table: &'static str,
    file: &'static str,
}

impl Labels<'_> {
    fn grant(
        &self,
        wanted: &[String],
        defined: &BTreeMap<String, StoreConfig>,
        policy: Option<&[String]>,
        warnings: &mut Vec<String>,
    ) -> Result<BTreeMap<String, PathBuf>, Error> {
        let mut granted = BTreeMap::new();
        for label in wanted {
            let path = self.path(label, defined)?;
            match policy.is_none_or(|allowed| allowed.contains(label)) {
                true => drop(granted.insert(label.clone(), path)),
                false => warnings.push(self.refused(label)),
            }
        }
        Ok(granted)
    }

    /// `default` exists everywhere; others are the operator's to define.
    fn path(&self, label: &str, defined: &BTreeMap<String, StoreConfig>) -> Result<PathBuf, Error> {
        let own = || self.hands.state_dir.join(format!("{}-{label}.db", self.file));
        match defined.get(label) {
            Some(store) => Ok(store.path.clone().unwrap_or_else(own)),
            None if label == "default" => Ok(own()),
            // Who builds the app need not know what the device's operator will define.
            None if self.is_for_another() => Ok(own()),
            None => Err(self.undefined(label, defined)),
        }
    }

    fn is_for_another(&self) -> bool {
        let files = self.hands.files;
        files.purpose == Purpose::Inspect && files.runtime_config.is_none() && files.known.is_none()
    }

    fn undefined(&self, label: &str, defined: &BTreeMap<String, StoreConfig>) -> Error {
        let mut known: Vec<&str> = defined.keys().map(String::as_str).collect();
        known.push("default");
        let line = self.component.lines.get(self.key).copied().unwrap_or(self.component.line);
        let table = format!("component.{}", self.component.id);
        let message = unknown("label", label, &known);
        let help = format!(
            "only \"default\" exists by itself; define others in runtime-config.toml: [{}.{label}]",
            self.table
        );
        Error::at(&self.hands.manifest.file, line, &table, self.key, message).with_help(help)
    }

    fn refused(&self, label: &str) -> String {
        let (id, key) = (&self.component.id, self.key);
        format!("[component.{id}] {key}: {label:?} is not granted by this device's policy")
    }
}
