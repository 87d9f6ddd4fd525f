//! stub
use std::path::PathBuf;
/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsConfigError {
    /// A file that cannot be read, or holds no PEM of the right kind.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// No system certificates.
    #[error("no certificate authorities found on this system; name a PEM file with them")]
    NoAuthorities,
    /// The certificate and the key do not go together, or the host is no name.
    #[error("TLS: {0}")]
    Unusable(String),
}
