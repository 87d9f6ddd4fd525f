//! The checked manifest: plain data, in the words of `spin.toml`.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use pirn_triggers::mqtt::Qos;

use super::{ApplicationTool, HttpSettings, StaticRoute, Template, TopicFilter, TriggerKind};
use crate::files::config::Rate;
use crate::files::pins::Direction;

/// A whole application.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Manifest {
    /// The file's name as it is used in errors.
    pub file: Box<str>,
    /// `[application]`.
    pub application: Application,
    /// `[variables]`, by name.
    pub variables: BTreeMap<String, VariableDeclaration>,
    /// `[[trigger.*]]`, in the order of the file, each with its id filled in.
    pub triggers: Vec<Trigger>,
    /// Routes whose answer is always the same.
    pub static_routes: Vec<StaticRoute>,
    /// `[component.*]` and the inline components of triggers, by id.
    pub components: BTreeMap<String, Box<Component>>,
    /// What was accepted but should be changed (deprecated keys), one sentence each.
    pub warnings: Vec<String>,
}

/// `[application]`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Application {
    /// The app's name.
    pub name: String,
    /// Its version, as written; empty if there is none.
    pub version: String,
    /// What it is for; may be empty.
    pub description: String,
    /// Who wrote it.
    pub authors: Vec<String>,
    /// Environments that it says it can run in. pirn keeps but does not judge them.
    pub targets: Vec<String>,
    /// `[application.trigger.mqtt]`.
    pub mqtt: Option<MqttSettings>,
    /// `[application.trigger.redis] address`: the server of triggers that name none.
    pub redis_address: Option<Template>,
    /// `[application.tool.pirn.mqtt]`.
    pub mqtt_session: MqttSessionSettings,
    /// `[application.trigger.http]` and `[application.tool.pirn.http]`.
    pub http: HttpSettings,
    /// `[application.tool.pirn]`.
    pub tool: ApplicationTool,
}

/// `[application.trigger.mqtt]`: the app's broker.
#[derive(Clone, PartialEq)]
pub struct MqttSettings {
    /// `mqtt://host:port`.
    pub address: Template,
    /// The user's name, if the broker asks.
    pub username: Option<Template>,
    /// The user's password, if the broker asks.
    pub password: Option<Template>,
    /// Keep-alive; a template because Spin's is. Whole seconds.
    pub keep_alive_seconds: Option<Template>,
    /// Where the table stands, for errors about values that templates give.
    pub line: u32,
}

impl fmt::Debug for MqttSettings {
    /// Never the password, which may stand there in the clear.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MqttSettings");
        shown
            .field("address", &self.address)
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// `[application.tool.pirn.mqtt]`: what Spin's table has no key for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MqttSessionSettings {
    /// The protocol's version; the trigger's default if absent.
    pub protocol: Option<MqttProtocol>,
    /// A client id that stays the same over restarts.
    pub client_id: Option<Template>,
    /// How long the broker keeps the session of an absent client (MQTT 5).
    pub session_expiry: Option<Duration>,
    /// What the broker says when the connection is lost.
    pub will: Option<MqttMessage>,
    /// What the runner says when it comes and goes.
    pub online: Option<MqttOnline>,
}

/// A protocol version of MQTT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MqttProtocol {
    /// MQTT 3.1.1.
    V311,
    /// MQTT 5.0.
    V5,
}

/// A message known in advance.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttMessage {
    /// Where to.
    pub topic: Template,
    /// What.
    pub payload: Template,
    /// How surely.
    pub qos: Qos,
    /// Whether the broker keeps it for later subscribers.
    pub retain: Retain,
}

/// The runner's own retained status message.
#[derive(Debug, Clone, PartialEq)]
pub struct MqttOnline {
    /// Where to.
    pub topic: Template,
    /// Sent, retained, once subscribed.
    pub payload_online: Template,
    /// Sent, retained, on a clean stop, and registered as the will.
    pub payload_offline: Template,
}

/// Whether a broker keeps a message for later subscribers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retain {
    /// Delivered to present subscribers only.
    No,
    /// Kept.
    Yes,
}

/// `[variables.<name>]`.
#[derive(Clone, PartialEq)]
pub struct VariableDeclaration {
    /// What it is for.
    pub description: String,
    /// The default, or that a value must come from elsewhere.
    pub value: VariableDefault,
    /// Whether its value is kept out of logs, errors and `Debug`.
    pub secrecy: Secrecy,
    /// Where it is declared.
    pub line: u32,
}

/// Exactly one of `required = true` and `default`.
#[derive(Clone, PartialEq)]
pub enum VariableDefault {
    /// Somebody must give a value.
    Required,
    /// Used when nobody gives a value.
    Default(String),
}

/// Whether a variable's value may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrecy {
    /// May be printed.
    Shown,
    /// Never printed.
    Secret,
}

impl fmt::Debug for VariableDeclaration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value: &dyn fmt::Debug = match (&self.value, self.secrecy) {
            (VariableDefault::Required, _) => &"required",
            (VariableDefault::Default(_), Secrecy::Secret) => &"default (secret)",
            (VariableDefault::Default(value), Secrecy::Shown) => value,
        };
        f.debug_struct("VariableDeclaration")
            .field("value", value)
            .field("secrecy", &self.secrecy)
            .finish()
    }
}

/// One `[[trigger.<type>]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Trigger {
    /// As written, or made from the component's id and the type.
    pub id: String,
    /// The component that takes its events; it exists.
    pub component: String,
    /// What fires it.
    pub kind: TriggerKind,
    /// When what is published for its events has to be on disk.
    pub durable: Durable,
    /// Where it stands.
    pub line: u32,
}

/// When a publish has to be on disk that is made for an event which nobody sends again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durable {
    /// Before the component is told that it is accepted.
    #[default]
    AtOnce,
    /// When the broker is away or slow: a power cut before that loses it.
    Late,
}

/// `[component.<id>]`, with the chosen profile applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Its id.
    pub id: String,
    /// Where it stands.
    pub line: u32,
    /// Where its bytes come from.
    pub source: Source,
    /// What it is for.
    pub description: String,
    /// The variables that it may read: its name for each, and the template that gives the value.
    pub variables: BTreeMap<String, Template>,
    /// Its environment; not templates.
    pub environment: BTreeMap<String, String>,
    /// Files that it sees, read-only.
    pub files: Vec<FileEntry>,
    /// Globs of files that it does not see after all.
    pub exclude_files: Vec<String>,
    /// Hosts that it may reach; literal entries are already known to parse.
    pub allowed_outbound_hosts: Vec<Template>,
    /// Labels of stores that it may open.
    pub key_value_stores: Vec<String>,
    /// Labels of databases that it may open.
    pub sqlite_databases: Vec<String>,
    /// Models that it may ask.
    pub ai_models: Vec<String>,
    /// Environments that it says it can run in.
    pub targets: Vec<String>,
    /// How it is built.
    pub build: Option<Build>,
    /// Components that it is composed with on the workbench, by import name.
    pub dependencies: BTreeMap<String, Dependency>,
    /// Whether all its dependencies get its capabilities.
    pub dependencies_inherit: Inherit,
    /// `[component.<id>.tool.pirn]`.
    pub tool: ComponentTool,
    /// The line of each key of the table, for errors that only the device can find.
    pub lines: BTreeMap<String, u32>,
}

/// Where a component's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A file, relative to the manifest.
    Path(String),
    /// A download with its digest.
    Url {
        /// `https://…`.
        url: String,
        /// 64 hexadecimal digits, without `sha256:`.
        sha256: String,
    },
    /// A package of a registry.
    Registry {
        /// The registry, unless it is the default one.
        registry: Option<String>,
        /// `namespace:name`.
        package: String,
        /// An exact version.
        version: String,
    },
}

/// One entry of `files`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileEntry {
    /// Files keep their path below the manifest's folder.
    Glob(String),
    /// A file or folder that appears elsewhere.
    Mount {
        /// Relative to the manifest.
        source: String,
        /// Absolute in the guest.
        destination: String,
    },
}

/// `[component.<id>.build]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Commands for the shell, run in order.
    pub commands: Vec<String>,
    /// Where, relative to the manifest.
    pub workdir: Option<String>,
    /// Globs of sources.
    pub watch: Vec<String>,
}

/// One entry of `dependencies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dependency {
    /// Where it comes from.
    pub source: DependencySource,
    /// The export to plug in, if not the one of the import's name.
    pub export: Option<String>,
    /// Which of the component's capabilities it gets.
    pub inherit: Option<Inherit>,
    /// Where it stands.
    pub line: u32,
}

/// Where a dependency comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DependencySource {
    /// A package in a range of versions.
    Package {
        /// The range, as written.
        version: String,
        /// The registry, unless it is the default one.
        registry: Option<String>,
        /// The package, unless it is the import's own.
        package: Option<String>,
    },
    /// A file, relative to the manifest.
    Path(String),
    /// A download with its digest.
    Url {
        /// `https://…`.
        url: String,
        /// 64 hexadecimal digits, without `sha256:`.
        sha256: String,
    },
    /// Another component of this manifest; it exists.
    Component(String),
}

/// Which capabilities a dependency gets from its component.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inherit {
    /// None.
    Nothing,
    /// All.
    Everything,
    /// Those named.
    Only(Vec<String>),
}

/// `[component.<id>.tool.pirn]`: what the component asks of the board. Absent means the board's default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ComponentTool {
    /// Linear memory of one instance.
    pub memory_bytes: Option<u64>,
    /// Time for one event.
    pub deadline: Option<Duration>,
    /// Events in a period.
    pub rate: Option<Rate>,
    /// Instances at the same time; above 1 its events are no longer in order.
    pub instances: Option<u32>,
    /// Log lines in a period.
    pub log_rate: Option<Rate>,
    /// Attempts at one event before it is put aside.
    pub attempts_max: Option<u32>,
    /// Bytes of key-value data, over all its stores.
    pub state_bytes: Option<u64>,
    /// Bytes of each of its databases.
    pub database_bytes: Option<u64>,
    /// Which engine.
    pub engine: EngineChoice,
    /// Topics that it may publish to; `None` means any that policy allows.
    pub mqtt_topics: Option<Vec<TopicFilter>>,
    /// GPIO lines that it may open, by name.
    pub gpio: BTreeMap<String, Direction>,
    /// The line of each key that is there, for errors that only the board can find.
    pub lines: BTreeMap<&'static str, u32>,
}

/// Which engine a component asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EngineChoice {
    /// What the board's artifacts are.
    #[default]
    Auto,
    /// Compiled for the board's processor.
    Native,
    /// Bytecode.
    Pulley,
    /// As its compiler left it.
    Interpreted,
}
