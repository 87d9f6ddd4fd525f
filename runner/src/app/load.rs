//! Stub.
use super::{App, AppError, AppFiles};
use crate::config::Error;
pub(super) fn load(files: &AppFiles) -> Result<App, AppError> {
    Err(Error::about_file(files.manifest.display().to_string(), "stub").into())
}
