//! What stands behind an option, read.

use std::time::Duration;

use pirn_runner::files::config::parse_duration;
use pirn_triggers::gpio::EdgeKind;

use super::{Format, Output};

pub(super) fn duration(text: &str) -> Result<Duration, &'static str> {
    parse_duration(text)
}

pub(super) fn edge(text: &str) -> Result<EdgeKind, String> {
    match text {
        "rising" => Ok(EdgeKind::Rising),
        "falling" => Ok(EdgeKind::Falling),
        _ => Err("expected rising or falling".into()),
    }
}

pub(super) fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.into(), value.into())),
        _ => Err("expected NAME=VALUE".into()),
    }
}

pub(super) fn output(text: &str) -> Result<Output, String> {
    match text {
        "table" => Ok(Output::Table),
        "json" => Ok(Output::Json),
        _ => Err("expected table or json".into()),
    }
}

pub(super) fn log_format(text: &str) -> Result<Format, String> {
    match text {
        "text" => Ok(Format::Text),
        "json" => Ok(Format::Json),
        _ => Err("expected text or json".into()),
    }
}
