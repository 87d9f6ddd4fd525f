//! Stub.
use super::RuntimeConfig;
use crate::config::Error;
pub(super) fn runtime_config(file: &str, _text: &str) -> Result<RuntimeConfig, Error> {
    Err(Error::about_file(file, "stub"))
}
