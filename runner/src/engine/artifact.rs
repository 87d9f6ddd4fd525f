//! An artifact's digest, and why an artifact is not even tried. How one is loaded so that it stays what its digest
//! says is in `private`.

use std::fmt::Write as _;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Why an artifact is not even tried.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is not there, or not readable.
    #[error("{path}: {error}; build it with `pirn build`")]
    Unreadable {
        /// The file.
        path: String,
        /// The system's reason.
        error: io::Error,
    },
    /// Its bytes are not those that were built.
    #[error(
        "{path}: the file was altered or cut short since it was built (digest {found}…, the lock file says {expected}…); copy it again or run `pirn build`"
    )]
    Altered {
        /// The file.
        path: String,
        /// The first digits of its digest.
        found: String,
        /// The first digits of the lock file's.
        expected: String,
    },
}

/// What is said of a file whose digest is not the lock file's.
pub(super) fn altered(path: &Path, found: &str, expected: &str) -> ArtifactError {
    let short = |digest: &str| digest.chars().take(12).collect();
    ArtifactError::Altered {
        path: path.display().to_string(),
        found: short(found),
        expected: short(expected),
    }
}

/// The SHA-256 of a file from its beginning, in lower-case hexadecimal.
pub fn digest(file: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut chunk = [0; 16 << 10];
    loop {
        match file.read(&mut chunk)? {
            0 => break,
            read => hash.update(&chunk[..read]),
        }
    }
    let mut text = String::with_capacity(64);
    for byte in hash.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}
