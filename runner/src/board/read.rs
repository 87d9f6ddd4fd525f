//! Stub.
use super::Board;
use crate::config::Error;
pub(super) fn board(file: &str, _name: &str, _text: &str) -> Result<Board, Error> {
    Err(Error::about_file(file, "stub"))
}
