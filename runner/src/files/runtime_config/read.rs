//! `runtime-config.toml` as written → [`RuntimeConfig`]. Relative paths are taken from the file's folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{
    LlmApi, LlmCompute, MqttOverrides, OutboundSettings, Policy, ProviderConfig, RuntimeConfig,
    StoreConfig,
};
use crate::files::config::{Bytes, Document, Error, Table, Value, unknown};
use crate::files::manifest::{
    BlockedNetworks, HostPattern, Network, PrivateNetworks, label, topics,
};
use crate::files::pins;
use crate::files::url::Url;
use crate::limits::bounds::{LetterBounds, WhenFull};
use crate::limits::store as caps;

pub(super) fn runtime_config(file: &str, text: &str) -> Result<RuntimeConfig, Error> {
    let document = Document::parse(file, text)?;
    let root = document.root().only(&[
        "state_dir",
        "log_dir",
        "variables_provider",
        "key_value_store",
        "sqlite_database",
        "outbound_networking",
        "llm_compute",
        "tool",
    ])?;
    let pirn = pirn(&root)?;
    let pirn_table = |key| pirn.as_ref().map_or(Ok(None), |pirn| pirn.table(key));
    Ok(RuntimeConfig {
        file: file.into(),
        state_dir: path(&root, "state_dir")?,
        log_dir: path(&root, "log_dir")?,
        variables_providers: providers(&root)?,
        key_value_stores: stores(&root, "key_value_store")?,
        sqlite_databases: stores(&root, "sqlite_database")?,
        block_networks: block_networks(&root)?,
        mqtt: pirn_table("mqtt")?.map(mqtt).transpose()?.unwrap_or_default(),
        llm_compute: root.table("llm_compute")?.map(llm_compute).transpose()?,
        outbound: pirn_table("outbound")?.map(outbound).transpose()?.unwrap_or_default(),
        gpio: pins::pins(pirn_table("gpio")?)?,
        policy: pirn_table("policy")?.map(policy).transpose()?.unwrap_or_default(),
        dead_letters: pirn_table("dead_letters")?.map(letters).transpose()?.unwrap_or_default(),
    })
}

/// `[tool.pirn]`; other tools' tables are theirs.
fn pirn<'a>(root: &Table<'a>) -> Result<Option<Table<'a>>, Error> {
    let Some(tools) = root.table("tool")? else {
        return Ok(None);
    };
    tools
        .table("pirn")?
        .map(|pirn| pirn.only(&["mqtt", "gpio", "outbound", "policy", "dead_letters"]))
        .transpose()
}

/// `[tool.pirn.dead_letters]`.
fn letters(table: Table<'_>) -> Result<LetterBounds, Error> {
    let table = table.only(&["letters_max", "bytes_max", "when_full"])?;
    let usual = LetterBounds::default();
    let letters_max = table.number("letters_max", 1, caps::DEAD_LETTERS_GRANTED_MAX)?;
    let bytes_max = table.bytes("bytes_max")?.unwrap_or(usual.bytes_max);
    if bytes_max < caps::DEAD_LETTER_BYTES_MIN {
        let least = Bytes(caps::DEAD_LETTER_BYTES_MIN);
        return Err(
            table.error("bytes_max", format!("at least {least}: one large message must fit"))
        );
    }
    let when_full = match table.string("when_full")? {
        None => usual.when_full,
        Some("drop-oldest") => WhenFull::DropOldest,
        Some("refuse") => WhenFull::Refuse,
        Some(other) => {
            let message = format!("{other:?} is neither \"drop-oldest\" nor \"refuse\"");
            return Err(table.error("when_full", message));
        }
    };
    Ok(LetterBounds { letters_max: letters_max.unwrap_or(usual.letters_max), bytes_max, when_full })
}

fn path(table: &Table<'_>, key: &str) -> Result<Option<PathBuf>, Error> {
    let Some(written) = table.string(key)? else {
        return Ok(None);
    };
    if written.is_empty() || written.contains('\0') {
        return Err(table.error(key, "a path cannot be empty"));
    }
    let folder = Path::new(table.file()).parent().unwrap_or(Path::new(""));
    Ok(Some(folder.join(written)))
}

fn providers(root: &Table<'_>) -> Result<Vec<ProviderConfig>, Error> {
    let Some(list) = root.get("variables_provider") else {
        return Ok(Vec::new());
    };
    list.list()?.iter().map(|element| provider(&element.table()?)).collect()
}

fn provider(table: &Table<'_>) -> Result<ProviderConfig, Error> {
    const OFFERED: &[&str] = &["static", "env"];
    let kind = table.require("type", "the provider's type")?;
    match kind.string()? {
        "static" => {
            let table = table.clone().only(&["type", "values"])?;
            table.require("values", "a table of names and values")?;
            Ok(ProviderConfig::Static(table.string_map("values")?))
        }
        "env" => {
            let table = table.clone().only(&["type", "prefix", "dotenv_path"])?;
            let prefix = table.string("prefix")?.map(str::to_owned);
            Ok(ProviderConfig::Env { prefix, dotenv_path: path(&table, "dotenv_path")? })
        }
        other => Err(not_offered(&kind, "provider", other, OFFERED)),
    }
}

/// A type that Spin may have and this build has not.
fn not_offered(value: &Value<'_>, what: &str, other: &str, offered: &[&str]) -> Error {
    const ELSEWHERE: &[&str] =
        &["vault", "azure_key_vault", "redis", "azure_cosmos", "aws_dynamo", "libsql"];
    let message = match ELSEWHERE.contains(&other) {
        true => format!("type {other:?} is not supported by this build"),
        false => unknown(&format!("{what} type"), other, offered),
    };
    value.error(message).with_help(format!("this build offers: {}", offered.join(", ")))
}

fn stores(root: &Table<'_>, key: &str) -> Result<BTreeMap<String, StoreConfig>, Error> {
    root.map(key, |entry| Ok((label(entry, &entry.key)?, store(&entry.table()?)?)))
}

fn store(table: &Table<'_>) -> Result<StoreConfig, Error> {
    let kind = table.require("type", "the store's type")?;
    match kind.string()? {
        "spin" => Ok(StoreConfig { path: path(&table.clone().only(&["type", "path"])?, "path")? }),
        other => Err(not_offered(&kind, "store", other, &["spin"])),
    }
}

fn block_networks(root: &Table<'_>) -> Result<BlockedNetworks, Error> {
    let mut blocked = BlockedNetworks::default();
    let Some(table) = root.table("outbound_networking")? else {
        return Ok(blocked);
    };
    let table = table.only(&["block_networks"])?;
    let Some(list) = table.get("block_networks") else {
        return Ok(blocked);
    };
    for value in list.list()? {
        match (value.string()?, Network::parse(value.string()?)) {
            ("private", _) => blocked.private = PrivateNetworks::Blocked,
            (_, Some(network)) => blocked.networks.push(network),
            (other, None) => {
                let error = value.error(format!("{other:?} is no network"));
                return Err(error.with_help(
                    r#"allowed: "private", or a CIDR like "10.0.0.0/8" or "fd00::/8""#,
                ));
            }
        }
    }
    Ok(blocked)
}

fn mqtt(table: Table<'_>) -> Result<MqttOverrides, Error> {
    let table = table.only(&[
        "client_id",
        "ca_file",
        "client_cert_file",
        "client_key_file",
        "client_cert_hosts",
    ])?;
    for (one, other) in
        [("client_cert_file", "client_key_file"), ("client_key_file", "client_cert_file")]
    {
        if table.has(one) && !table.has(other) {
            return Err(table.error(one, format!("needs {other} too")));
        }
    }
    if table.has("client_cert_hosts") && !table.has("client_cert_file") {
        return Err(table.error("client_cert_hosts", "needs client_cert_file too"));
    }
    Ok(MqttOverrides {
        client_id: table.string("client_id")?.map(str::to_owned),
        ca_file: path(&table, "ca_file")?,
        client_cert_file: path(&table, "client_cert_file")?,
        client_key_file: path(&table, "client_key_file")?,
        client_cert_hosts: table
            .get("client_cert_hosts")
            .map(|value| hosts(&value))
            .transpose()?
            .unwrap_or_default(),
    })
}

fn llm_compute(table: Table<'_>) -> Result<LlmCompute, Error> {
    let kind = table.require("type", "where models run")?;
    match kind.string()? {
        "remote_http" => {}
        "spin" => {
            let message = "type \"spin\" would run models in this process, which is not supported";
            return Err(kind.error(message).with_help("this build offers: remote_http"));
        }
        other => {
            let message = unknown("type", other, &["remote_http"]);
            return Err(kind.error(message).with_help("this build offers: remote_http"));
        }
    }
    let table = table.only(&["type", "url", "auth_token", "api_type"])?;
    let url = table.require("url", "the model server's address, like \"http://10.0.0.7:8080\"")?;
    let parsed = Url::parse(url.string()?).map_err(|error| url.error(error.to_string()))?;
    if parsed.host.is_empty() || !matches!(parsed.scheme.as_str(), "http" | "https") {
        return Err(url.error("expected an address that begins with http:// or https://"));
    }
    if parsed.path.contains('?') {
        return Err(url.error("paths are appended to it, so it can have no query"));
    }
    let api = match table.string("api_type")? {
        None | Some("default") => LlmApi::Default,
        Some("open_ai") => LlmApi::OpenAi,
        Some(other) => {
            let message = unknown("API type", other, &["default", "open_ai"]);
            return Err(table.error("api_type", message));
        }
    };
    let auth_token = table.string("auth_token")?.unwrap_or_default().to_owned();
    if auth_token.contains(|c: char| !c.is_ascii_graphic()) {
        return Err(table.error("auth_token", "has characters that no header can carry"));
    }
    Ok(LlmCompute { url: parsed, auth_token, api })
}

fn outbound(table: Table<'_>) -> Result<OutboundSettings, Error> {
    Ok(OutboundSettings { ca_file: path(&table.only(&["ca_file"])?, "ca_file")? })
}

fn policy(table: Table<'_>) -> Result<Policy, Error> {
    let table = table.only(&[
        "allowed_outbound_hosts",
        "mqtt_publish_topics",
        "mqtt_subscribe_topics",
        "key_value_stores",
        "sqlite_databases",
        "gpio",
    ])?;
    let filters = |key| table.get(key).map(|value| topics(&value)).transpose();
    let labels = |key| table.get(key).map(|value| labels(&value)).transpose();
    Ok(Policy {
        allowed_outbound_hosts: table
            .get("allowed_outbound_hosts")
            .map(|value| hosts(&value))
            .transpose()?,
        mqtt_publish_topics: filters("mqtt_publish_topics")?,
        mqtt_subscribe_topics: filters("mqtt_subscribe_topics")?,
        key_value_stores: labels("key_value_stores")?,
        sqlite_databases: labels("sqlite_databases")?,
        gpio: table.get("gpio").map(|value| value.strings()).transpose()?,
    })
}

fn hosts(value: &Value<'_>) -> Result<Vec<HostPattern>, Error> {
    let host = |value: &Value<'_>| {
        HostPattern::parse(value.string()?).map_err(|error| value.error(error.to_string()))
    };
    value.list()?.iter().map(host).collect()
}

fn labels(value: &Value<'_>) -> Result<Vec<String>, Error> {
    value.list()?.iter().map(|value| label(value, value.string()?)).collect()
}
