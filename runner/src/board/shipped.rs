//! The boards that are in the program, by name.
use crate::config::Error;
/// Name and text of every file in `board-configs/`.
pub const SHIPPED: &[(&str, &str)] = &[];
pub(super) fn unknown(name: &str) -> Error {
    Error::about_file("--board", format!("unknown board {name:?}"))
}
