//! Reading configuration files: one reader for the developer's `spin.toml`, the hardware's board file and
//! the operator's `runtime-config.toml`.
//!
//! This module knows TOML and how to complain; it knows no key of any file. Each file's own module walks
//! its tables with `Table`, names the keys that it allows, and gets errors that point at a line, a table
//! and a key. It is written by hand over spanned values, not derived: a derived reader knows neither
//! which keys are near a typo nor which line a missing key belongs to.

mod error;
mod read;
mod suggest;

pub use crate::limits::units::{Bytes, Rate, Seconds, parse_duration};
pub(crate) use crate::limits::units::{parse_bytes, parse_rate};
pub use error::Error;
pub(crate) use read::{Document, Table, Value, read_file};
pub(crate) use suggest::{nearest, unknown};
