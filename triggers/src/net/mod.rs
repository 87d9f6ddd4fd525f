//! Connections to other machines, one way for all who make them: MQTT, HTTP, Redis, model servers.
//!
//! A name is looked up once for each attempt, and what is connected to is one of the addresses that were found and that
//! the filter allows. So no second look-up can lead elsewhere, and a name whose owner points it at
//! another address between the check and the connection does not get past the check.
//!
//! - `lookup`: names become addresses, on threads that nobody waits for.
//! - `dial`: addresses become connections.
//! - `tls`: certificates, handshakes.
//! - `stream`: the connection's bytes.
//! - [`http`]: requests over such connections.

pub(crate) mod backoff;
mod dial;
pub mod http;
mod lookup;
mod stream;
mod tls;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

pub use dial::{Connector, DialError, Target};
pub(crate) use stream::Stream;
pub use tls::{TlsConfigError, TlsFailure};

pub(crate) use dial::{permitted, tcp};
pub(crate) use lookup::{Lookup, look_up};
pub(crate) use tls::{Tls, explain, server_name};

/// Says whether an address may be connected to. Asked once for each address of each attempt.
pub type AddressFilter = Arc<dyn Fn(IpAddr) -> bool + Send + Sync>;

/// Certificates. The files are read when they are needed first, and again after a failed handshake.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsOptions {
    /// PEM file of the authorities to trust; `None` for the system's.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, if the other side asks for one.
    pub client: Option<ClientCertificate>,
}

/// A certificate that tells the other side who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// PEM file: our certificate, then the chain.
    pub certificate_file: PathBuf,
    /// PEM file: the private key.
    pub key_file: PathBuf,
}
