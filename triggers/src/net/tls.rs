//! TLS: certificates read, hands shaken, and what went wrong in one sentence.
//!
//! rustls over tokio's socket, and nothing of rumqttc's TLS, whose features bind an outdated
//! rustls-webpki with open advisories.

use super::TlsOptions;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Why certificates or keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsConfigError {
    /// A file that cannot be read, or holds nothing of the right kind.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No system certificates.
    #[error("this system has no certificate authorities; name a PEM file with those to trust")]
    NoAuthorities,
    /// The host is neither a name nor an address that a certificate can be for.
    #[error("`{0}` is not a host name that a certificate can be for")]
    Host(String),
    /// Certificate and key do not go together.
    #[error("the client certificate cannot be used: {0}")]
    Client(String),
}

/// Why a handshake failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// The certificate is not accepted.
    #[error("{0}")]
    Certificate(String),
    /// The two sides do not understand each other.
    #[error("{0}")]
    Protocol(String),
    /// The connection broke.
    #[error("{0}")]
    Broken(String),
    /// The other side said nothing.
    #[error("TLS: no answer in time")]
    Timeout,
}

/// What a handshake needs: certificates, read and parsed.
pub(crate) struct Tls {
    config: Arc<ClientConfig>,
}

/// What a certificate must be for.
pub(crate) fn server_name(host: &str) -> Result<ServerName<'static>, TlsConfigError> {
    ServerName::try_from(host.to_owned()).map_err(|_| TlsConfigError::Host(host.to_owned()))
}

impl Tls {
    /// Reads the files. Blocks for as long as that takes: they are small and local.
    pub(crate) fn load(options: &TlsOptions) -> Result<Self, TlsConfigError> {
        let roots = match &options.ca_file {
            Some(path) => file_roots(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsConfigError::Client(error.to_string()))?
            .with_root_certificates(roots);
        let config = match &options.client {
            None => builder.with_no_client_auth(),
            Some(client) => {
                let chain = certificates(&client.certificate_file)?;
                let key = PrivateKeyDer::from_pem_file(&client.key_file)
                    .map_err(|error| file_error(&client.key_file, &error))?;
                let auth = builder.with_client_auth_cert(chain, key);
                auth.map_err(|error| TlsConfigError::Client(error.to_string()))?
            }
        };
        Ok(Self { config: Arc::new(config) })
    }

    /// Shakes hands over a connection. Dropped half-way, the connection is closed.
    pub(crate) async fn handshake(
        &self,
        host: ServerName<'static>,
        tcp: TcpStream,
        within: Duration,
    ) -> Result<TlsStream<TcpStream>, TlsFailure> {
        let handshake = TlsConnector::from(self.config.clone()).connect(host, tcp);
        match timeout(within, handshake).await {
            Ok(result) => result.map_err(|error| failure(&error)),
            Err(_) => Err(TlsFailure::Timeout),
        }
    }
}

fn system_roots() -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs().certs;
    match roots.add_parsable_certificates(found) {
        (0, _) => Err(TlsConfigError::NoAuthorities),
        _ => Ok(roots),
    }
}

fn file_roots(path: &Path) -> Result<RootCertStore, TlsConfigError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| file_error(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsConfigError> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| file_error(path, &error))?;
    let found: Result<Vec<_>, _> = found.collect();
    match found.map_err(|error| file_error(path, &error))? {
        none if none.is_empty() => {
            Err(TlsConfigError::File { path: path.into(), why: "no certificate in it".into() })
        }
        some => Ok(some),
    }
}

fn file_error(path: &Path, error: &impl std::fmt::Display) -> TlsConfigError {
    TlsConfigError::File { path: path.into(), why: error.to_string() }
}

/// One sentence, with the usual cause where there is one.
pub(crate) fn explain(error: &io::Error) -> String {
    failure(error).to_string()
}

fn failure(error: &io::Error) -> TlsFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => {
            TlsFailure::Certificate(explain_certificate(why))
        }
        Some(other) => TlsFailure::Protocol(format!("TLS: {other}")),
        None => TlsFailure::Broken(error.to_string()),
    }
}

fn explain_certificate(why: &CertificateError) -> String {
    match why {
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => format!(
            "TLS: the server's certificate is not valid yet. This device's clock says {}: if that \
             is wrong, the clock is the problem",
            year(SystemTime::now())
        ),
        other => format!("TLS: the server's certificate is not accepted: {other}"),
    }
}

fn year(now: SystemTime) -> u64 {
    let seconds = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    1970 + seconds / 31_556_952
}
