//! Artifacts on the disk: the lock file that lists them, and the check of each against its digest
//! before it is loaded.

use std::fmt::Write as _;
use std::fs::File;
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

/// Opens an artifact once and compares its digest with the lock file's. What is loaded is this very
/// descriptor, so swapping the file's name in between changes nothing.
pub fn open_verified(path: &Path, sha256: &str) -> Result<File, ArtifactError> {
    let named = || path.display().to_string();
    let unreadable = |error| ArtifactError::Unreadable { path: named(), error };
    let mut file = File::open(path).map_err(unreadable)?;
    let found = digest(&mut file).map_err(unreadable)?;
    if found != sha256 {
        let short = |digest: &str| digest.chars().take(12).collect();
        return Err(ArtifactError::Altered {
            path: named(),
            found: short(&found),
            expected: short(sha256),
        });
    }
    Ok(file)
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
