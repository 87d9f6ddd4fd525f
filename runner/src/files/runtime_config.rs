//! `runtime-config.toml`, the operator's hand: variables, stores, and what this device grants at most.
//!
//! Checked like the manifest. It can only take away: nothing here gives a component what its manifest
//! does not ask for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::files::config::Error;
use crate::files::manifest::{BlockedNetworks, HostPattern, TopicFilter};
use crate::files::pins::PinSettings;
use crate::files::url::Url;
use crate::limits::bounds::LetterBounds;

mod read;

/// The operator's settings, checked. `Default` is the absence of the file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuntimeConfig {
    /// The file's name as it is used in errors; empty if there is none.
    pub file: Box<str>,
    /// Where state is kept.
    pub state_dir: Option<PathBuf>,
    /// Where logs are kept.
    pub log_dir: Option<PathBuf>,
    /// Where variables' values come from, in the order of the file.
    pub variables_providers: Vec<ProviderConfig>,
    /// `[key_value_store.<label>]`.
    pub key_value_stores: BTreeMap<String, StoreConfig>,
    /// `[sqlite_database.<label>]`.
    pub sqlite_databases: BTreeMap<String, StoreConfig>,
    /// `[outbound_networking] block_networks`.
    pub block_networks: BlockedNetworks,
    /// `[tool.pirn.mqtt]`.
    pub mqtt: MqttOverrides,
    /// `[llm_compute]`.
    pub llm_compute: Option<LlmCompute>,
    /// `[tool.pirn.outbound]`.
    pub outbound: OutboundSettings,
    /// `[tool.pirn.gpio.<NAME>]`: this device's names for lines, and how lines may be driven.
    pub gpio: BTreeMap<String, PinSettings>,
    /// `[tool.pirn.policy]`.
    pub policy: Policy,
    /// `[tool.pirn.dead_letters]`: how many are kept, and what becomes of one too many.
    pub dead_letters: LetterBounds,
}

/// `[[variables_provider]]`.
#[derive(Clone, PartialEq)]
pub enum ProviderConfig {
    /// `type = "static"`.
    Static(BTreeMap<String, String>),
    /// `type = "env"`.
    Env {
        /// In front of the variable's name; `SPIN_VARIABLE` if absent.
        prefix: Option<String>,
        /// A `.env` file; the app's own if absent.
        dotenv_path: Option<PathBuf>,
    },
}

/// A store or database: `type = "spin"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    /// Its file; within the state folder if absent.
    pub path: Option<PathBuf>,
}

/// `[llm_compute]` of `type = "remote_http"`: the server that models run on.
#[derive(Clone, PartialEq, Eq)]
pub struct LlmCompute {
    /// Its address; paths of its API are appended.
    pub url: Url,
    /// Shown to it; empty for none.
    pub auth_token: String,
    /// How it is spoken to.
    pub api: LlmApi,
}

/// How a model server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LlmApi {
    /// In Spin's own way.
    #[default]
    Default,
    /// As llama.cpp's server, Ollama and vLLM are.
    OpenAi,
}

/// `[tool.pirn.mqtt]`: what belongs to the device rather than the app.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MqttOverrides {
    /// Goes before the app's.
    pub client_id: Option<String>,
    /// Certificates to trust instead of the system's (PEM).
    pub ca_file: Option<PathBuf>,
    /// The device's certificate (PEM); given together with the key.
    pub client_cert_file: Option<PathBuf>,
    /// The device's key (PEM).
    pub client_key_file: Option<PathBuf>,
    /// Brokers that are shown the certificate, beside the app's own: a guest may open others.
    pub client_cert_hosts: Vec<HostPattern>,
}

/// `[tool.pirn.outbound]`: how components reach other machines but brokers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OutboundSettings {
    /// Certificates to trust instead of the system's (PEM).
    pub ca_file: Option<PathBuf>,
}

/// `[tool.pirn.policy]`: what this device grants at most. `None` is no opinion, an empty list is nothing.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Policy {
    /// Hosts.
    pub allowed_outbound_hosts: Option<Vec<HostPattern>>,
    /// Topics that may be published to.
    pub mqtt_publish_topics: Option<Vec<TopicFilter>>,
    /// Topics that may be subscribed to.
    pub mqtt_subscribe_topics: Option<Vec<TopicFilter>>,
    /// Labels of key-value stores.
    pub key_value_stores: Option<Vec<String>>,
    /// Labels of databases.
    pub sqlite_databases: Option<Vec<String>>,
    /// GPIO lines, by the names that manifests use.
    pub gpio: Option<Vec<String>>,
}

impl RuntimeConfig {
    /// Reads the file.
    pub fn read_file(path: &Path) -> Result<Self, Error> {
        Self::parse(&path.display().to_string(), &crate::files::config::read_file(path)?)
    }

    /// Checks the text; `file` is its name in errors.
    pub fn parse(file: &str, text: &str) -> Result<Self, Error> {
        read::runtime_config(file, text)
    }
}

impl std::fmt::Debug for LlmCompute {
    /// Never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LlmCompute").field("url", &self.url).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ProviderConfig {
    /// Never the values.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Static(values) => f.debug_tuple("Static").field(&values.keys()).finish(),
            Self::Env { prefix, .. } => f.debug_tuple("Env").field(prefix).finish(),
        }
    }
}
