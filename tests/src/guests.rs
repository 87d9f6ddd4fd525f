//! Where the components are that the tests run. Building them is the work of two scripts,
//! `tests/guests/build` and `examples/build`, which `tests/run` calls before any test.

use std::path::{Path, PathBuf};

/// The root of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The folder of an example: its source, its `spin.toml`, its built component.
#[must_use]
pub fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// A built test guest, by the name of its folder in `tests/guests`.
///
/// # Panics
/// If it is not there: a missing guest is a mistake of whoever runs the tests, never a reason to skip.
#[must_use]
pub fn guest(name: &str) -> PathBuf {
    let path = repository().join(format!("tests/guests/target/components/{name}.wasm"));
    assert!(path.is_file(), "there is no {}: run tests/guests/build", path.display());
    path
}
