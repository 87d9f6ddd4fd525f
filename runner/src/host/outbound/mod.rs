//! The way from an app's components to other machines: what they share of it, and who may go where.
//!
//! The manifest's grant is asked first, for the name as the guest wrote it; then the operator's
//! `block_networks`, for each address that the name turns out to have, and only such an address is connected to.
//!
//! - `asking`: a request from a guest to whoever it is for: another machine, the app itself, another component.
//! - `http`: `fermyon:spin/http`, for components made for Spin 1.
//! - `redis`: commands to Redis servers.
//! - `llm`: language models, on the server that the operator names; `models` is how that is spoken to.

mod asking;
mod http;
#[cfg(feature = "llm")]
mod json;
#[cfg(feature = "llm")]
mod llm;
#[cfg(not(feature = "llm"))]
#[path = "../left_out/llm.rs"]
mod llm;
#[cfg(feature = "llm")]
mod models;
#[cfg(feature = "redis")]
mod redis;
#[cfg(not(feature = "redis"))]
#[path = "../left_out/redis.rs"]
mod redis;

use std::sync::{Arc, Mutex};

use pirn_triggers::net::http::Client;
use pirn_triggers::net::http::header::{self, HeaderName};
use pirn_triggers::net::{AddressFilter, Connector, TlsOptions};
use pirn_triggers::redis::Pool;

pub use self::asking::{Answering, Ask, AskError, Inside, Inward};
use self::llm::Models;
use super::{Door, Grants, locked};
use crate::engine::door::Answer;
use crate::files::manifest::Hosts;
use crate::files::runtime_config::LlmCompute;
pub use crate::files::url::{Url, UrlError};
use crate::plan::App;

/// What an app's components share of the way out.
pub struct Outbound {
    connector: Connector,
    http: Client,
    #[allow(dead_code, reason = "asked where Redis is, which may have been left out")]
    redis: Pool,
    #[allow(dead_code, reason = "asked where models are, which may have been left out")]
    models: Option<Models>,
    /// The way back into the app, if anything serves requests within it.
    inward: Mutex<Option<Arc<dyn Inward>>>,
}

impl Outbound {
    /// Connects to nothing yet. `tls` names the authorities to trust, `models` the server that models run on.
    pub fn new(tls: TlsOptions, models: Option<LlmCompute>) -> Self {
        let connector = Connector::new(tls);
        let http = Client::new(connector.clone());
        let models = models.map(|server| Models::new(server, http.clone()));
        let redis = Pool::new(connector.clone());
        Self { connector, http, redis, models, inward: Mutex::default() }
    }

    /// The same, as the operator has it for an app.
    pub fn for_app(app: &App) -> Self {
        let ca_file = app.runtime_config.outbound.ca_file.clone();
        Self::new(TlsOptions { ca_file, client: None }, app.runtime_config.llm_compute.clone())
    }

    /// What the app's other connections are made with.
    pub fn connector(&self) -> &Connector {
        &self.connector
    }

    /// From here on requests to the app itself go this way; whoever serves its requests says so. What is given here must
    /// not keep the app's components, which keep this.
    pub fn open_inward(&self, inward: Arc<dyn Inward>) {
        *locked(&self.inward) = Some(inward);
    }
}

impl Grants {
    /// Which addresses a name may turn out to have.
    fn address_filter(&self) -> AddressFilter {
        filter(&self.hosts)
    }
}

fn filter(hosts: &Hosts) -> AddressFilter {
    let hosts = hosts.clone();
    Arc::new(move |ip| hosts.permits_address(ip))
}

pub(super) fn offer(door: &mut Door) -> Answer<()> {
    http::offer(door)?;
    redis::offer(door)?;
    llm::offer(door)
}

/// Headers that are about a connection and not about a request: they are ours to write.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    const NAMES: [HeaderName; 8] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::HOST,
        header::PROXY_AUTHORIZATION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    NAMES.contains(name) || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}
