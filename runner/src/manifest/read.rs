//! Stub.
use super::{Error, Manifest};
pub(super) fn manifest(file: &str, _text: &str, _profile: Option<&str>) -> Result<Manifest, Error> {
    Err(Error::about_file(file, "stub"))
}
