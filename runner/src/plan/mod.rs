//! Manifest, board and the operator's settings become an [`App`]: the checked plan, in which every limit
//! is a number and every grant is final.
//!
//! Nothing here runs anything or opens a connection, and only the bundle knows an engine. What the plan says is the
//! intersection of three hands: what the manifest asks, what the board can, what the operator allows.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pirn_triggers::mqtt::Qos;

use crate::files::board::{ArtifactKind, Board};
use crate::files::config::{Error, Rate};
use crate::files::manifest::{
    EngineChoice, FileEntry, Hosts, Manifest, MqttProtocol, Retain, Source, TopicFilter,
    check_topic,
};
use crate::files::runtime_config::RuntimeConfig;
use crate::files::variables::Variables;
use crate::limits::engine::{INSTANCE_BYTES, INTERPRETED_BYTES_PER_BYTE};

mod app_files;
mod load;

mod broker;
mod budget;
pub mod bundle;
mod capabilities;
mod exposed;
mod http;
mod limits;
mod pins;
mod redis;
mod triggers;

pub use crate::files::manifest::{AddressError, BrokerAddress, Durable, StaticRoute, Transport};
pub use app_files::{AppFiles, Known, Processor, Purpose, UnknownLines};
pub use budget::{Budget, BudgetRow, OverBudget, RowKind};
pub use http::{HttpPlan, HttpRoute, HttpTarget, PortChoice};
pub use pins::{Pin, Pins, SIMULATED_CHIP};
pub use triggers::{TriggerPlan, TriggerPlanKind};

/// The checked plan.
#[derive(Debug, Clone)]
pub struct App {
    /// The app's name.
    pub name: String,
    /// The folder of the manifest: what paths in it are relative to.
    pub dir: PathBuf,
    /// The manifest, profile applied.
    pub manifest: Arc<Manifest>,
    /// The board.
    pub board: Arc<Board>,
    /// The operator's settings.
    pub runtime_config: Arc<RuntimeConfig>,
    /// The components that triggers name, each once, in order of their ids.
    pub components: Vec<ComponentPlan>,
    /// The triggers, in the order of the manifest.
    pub triggers: Vec<TriggerPlan>,
    /// The GPIO lines that the app uses.
    pub pins: Pins,
    /// The app's broker, if a trigger needs one.
    pub broker: Option<BrokerPlan>,
    /// What all its components may use together.
    pub limits: AppLimits,
    /// The app's listener, if a route leads anywhere.
    pub http: Option<HttpPlan>,
    /// Variables, resolvable.
    pub variables: Variables,
    /// Where state is kept.
    pub state_dir: PathBuf,
    /// Where the components' logs go, if not to the journal.
    pub log_dir: Option<PathBuf>,
    /// What was accepted but should be changed, one sentence each.
    pub warnings: Vec<String>,
}

/// One component, ready to be instantiated.
#[derive(Debug, Clone)]
pub struct ComponentPlan {
    /// Its id.
    pub id: String,
    /// Where its bytes come from.
    pub source: Source,
    /// Which engine it asks for.
    pub engine: EngineChoice,
    /// What that comes to on this board.
    pub artifact: ArtifactKind,
    /// What it may use.
    pub limits: ComponentLimits,
    /// Its instances at the same time for requests, which have no order.
    pub requests_max: u32,
    /// What it may reach.
    pub capabilities: Capabilities,
}

/// What one component may use. Every number is final: asked for by the manifest and within the board's
/// maximum, or the board's default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ComponentLimits {
    /// Linear memory of one instance.
    pub memory_bytes_max: u64,
    /// Stack of one instance.
    pub stack_bytes_max: u64,
    /// Time for one event.
    pub deadline: Duration,
    /// Events in a period.
    pub rate: Rate,
    /// Its instances at the same time; 1 keeps its events in order.
    pub instances_max: u32,
    /// Log lines in a period.
    pub log_rate: Rate,
    /// Attempts at one event before it is put aside.
    pub attempts_max: u32,
    /// Key-value data, over all its stores.
    pub state_bytes_max: u64,
    /// The file of a database, made to grow by it.
    pub database_bytes_max: u64,
}

impl ComponentLimits {
    /// What one instance may take, with its stack and its tables.
    pub fn instance_bytes(&self) -> u64 {
        let Self { memory_bytes_max, stack_bytes_max, .. } = *self;
        memory_bytes_max.saturating_add(stack_bytes_max).saturating_add(INSTANCE_BYTES as u64)
    }
}

/// What all components of an app may use together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AppLimits {
    /// Its instances, with their stacks and tables.
    pub memory_bytes_max: u64,
    /// Its instances at the same time.
    pub instances_max: u32,
    /// Events in a period, if there is a bound.
    pub rate: Option<Rate>,
    /// Key-value data, over all stores of all components.
    pub state_bytes_max: u64,
}

/// What one component may reach: the manifest's wishes within the operator's policy.
#[derive(Debug, Clone, Default)]
pub struct Capabilities {
    /// Hosts.
    pub hosts: Hosts,
    /// Key-value stores by label, each with its file.
    pub key_value_stores: BTreeMap<String, PathBuf>,
    /// Databases by label, each with its file.
    pub sqlite_databases: BTreeMap<String, PathBuf>,
    /// Models that it may ask.
    pub ai_models: BTreeSet<String>,
    /// Environment variables.
    pub environment: BTreeMap<String, String>,
    /// Files, as the manifest lists them; relative to [`App::dir`].
    pub files: Vec<FileEntry>,
    /// Globs of files to leave out.
    pub exclude_files: Vec<String>,
    /// Topics that it may publish to.
    pub publish_topics: TopicGrant,
    /// GPIO lines that it may open, by name.
    pub pins: BTreeMap<String, PinGrant>,
}

/// A line that a component may open, one way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinGrant {
    /// To read: index into [`Pins::inputs`].
    Input(usize),
    /// To drive: index into [`Pins::outputs`].
    Output(usize),
}

impl PinGrant {
    /// In a word.
    pub fn way(self) -> &'static str {
        match self {
            Self::Input(_) => "input",
            Self::Output(_) => "output",
        }
    }
}

/// Topics that a component may publish to.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TopicGrant {
    /// Each list must hold a filter that matches; no list means any topic.
    all_of: Vec<Vec<TopicFilter>>,
}

impl TopicGrant {
    /// A grant of what every list grants.
    pub fn within(lists: impl IntoIterator<Item = Vec<TopicFilter>>) -> Self {
        Self { all_of: lists.into_iter().collect() }
    }

    /// Whether a message may be published to `topic`. What is no topic (a wildcard) is never granted.
    pub fn permits(&self, topic: &str) -> bool {
        check_topic(topic).is_ok()
            && self.all_of.iter().all(|list| list.iter().any(|filter| filter.matches(topic)))
    }
}

/// The app's broker and the session with it.
#[derive(Clone, PartialEq)]
pub struct BrokerPlan {
    /// Where it is.
    pub address: BrokerAddress,
    /// The user's name.
    pub username: Option<String>,
    /// The user's password. Never printed.
    pub password: Option<String>,
    /// Keep-alive.
    pub keep_alive: Duration,
    /// The protocol asked for; the trigger's default if `None`.
    pub protocol: Option<MqttProtocol>,
    /// The client id asked for: the operator's, else the address's, else the manifest's. If `None` the runner makes a
    /// stable one.
    pub client_id: Option<String>,
    /// How long the broker keeps the session of an absent client (MQTT 5).
    pub session_expiry: Option<Duration>,
    /// What the broker says when the connection is lost.
    pub will: Option<BrokerMessage>,
    /// What the runner says once connected, and on a clean stop.
    pub online: Option<OnlineMessages>,
    /// Certificates to trust instead of the system's (PEM).
    pub ca_file: Option<PathBuf>,
    /// The device's certificate and key (PEM).
    pub client_identity: Option<(PathBuf, PathBuf)>,
}

/// A message known in advance.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerMessage {
    /// Where to.
    pub topic: String,
    /// What.
    pub payload: Vec<u8>,
    /// How surely.
    pub qos: Qos,
    /// Whether the broker keeps it.
    pub retain: Retain,
}

/// The runner's own status messages; both retained, at QoS 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OnlineMessages {
    /// Once connected and subscribed.
    pub online: BrokerMessage,
    /// On a clean stop; also the will.
    pub offline: BrokerMessage,
}

/// Why an app cannot be run here. Every one is somebody's configuration: exit status 2.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AppError {
    /// A file says something wrong.
    #[error(transparent)]
    Config(#[from] Error),
    /// It does not fit.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
}

impl App {
    /// Reads and checks everything.
    pub fn load(files: &AppFiles) -> Result<Self, AppError> {
        load::load(files)
    }

    /// The budget, with the size of each component's artifact as far as it is known, in the order of the
    /// plan. Never refuses: see [`Budget::check`].
    pub fn budget(&self, code: &[Option<u64>]) -> Budget {
        budget::of(self, code)
    }

    /// What several apps need of a board together, each with what its code takes.
    pub fn budget_of_all<'a>(
        board: &Board,
        apps: impl Iterator<Item = (&'a Self, u64)> + Clone,
    ) -> Budget {
        budget::of_all(board, apps)
    }

    /// The component of this id.
    pub fn component(&self, id: &str) -> Option<&ComponentPlan> {
        self.components.iter().find(|component| component.id == id)
    }

    /// The file of a component whose source is a path.
    pub fn component_file(&self, component: &ComponentPlan) -> Option<PathBuf> {
        match &component.source {
            Source::Path(path) => Some(self.dir.join(path)),
            Source::Url { .. } | Source::Registry { .. } => None,
        }
    }

    /// What a component takes in memory once all of it was interpreted, if its file is here.
    pub fn interpreted_bytes(&self, component: &ComponentPlan) -> Option<u64> {
        let file = std::fs::metadata(self.component_file(component)?).ok()?;
        Some(file.len().saturating_mul(INTERPRETED_BYTES_PER_BYTE))
    }
}

impl fmt::Debug for BrokerPlan {
    /// Never the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerPlan")
            .field("address", &self.address)
            .field("client_id", &self.client_id)
            .field("keep_alive", &self.keep_alive)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for BrokerMessage {
    /// Never the payload, which is a template and may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BrokerMessage")
            .field("topic", &self.topic)
            .field("qos", &self.qos)
            .finish_non_exhaustive()
    }
}
