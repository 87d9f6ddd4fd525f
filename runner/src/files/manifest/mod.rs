//! `spin.toml`, version 2: as written, then checked, once.
//!
//! A [`Manifest`] that exists is a manifest that keeps every rule which can be checked without the device:
//! nothing after this module asks again whether an id is well formed or a key known. What depends on the
//! device (variables' values, stores, limits, policy) is `app`'s business; this module reads no file but
//! the one it is handed, and knows no engine.

use std::path::Path;

mod kind;
mod model;
mod read;

mod application;
mod component;
mod dependency;
mod fires;
mod http;
mod source;
mod tool;
mod trigger;

mod address;
mod hosts;
mod id;
mod template;
mod topic;

pub use self::http::{HttpExecutor, HttpSettings, StaticRoute};
pub use crate::files::config::Error;
pub use address::{AddressError, BrokerAddress, Transport};
pub(crate) use application::parse_keep_alive;
pub(crate) use component::{is_environment, label};
pub use hosts::{BlockedNetworks, HostError, HostPattern, Hosts, Network, PrivateNetworks};
pub(crate) use id::is_variable_name;
pub use kind::{FirstTick, TriggerKind};
pub use model::*;
pub use template::{Template, TemplateError};
pub use tool::ApplicationTool;
pub(crate) use tool::{database_bytes, deadline, memory, topics};
pub use topic::{TopicError, TopicFilter, check_topic};

impl Manifest {
    /// Reads and checks `spin.toml`; `profile` is `--profile`.
    pub fn read_file(path: &Path, profile: Option<&str>) -> Result<Self, Error> {
        Self::parse(&path.display().to_string(), &crate::files::config::read_file(path)?, profile)
    }

    /// Checks the text of a manifest; `file` is its name in errors.
    pub fn parse(file: &str, text: &str, profile: Option<&str>) -> Result<Self, Error> {
        read::manifest(file, text, profile)
    }
}
