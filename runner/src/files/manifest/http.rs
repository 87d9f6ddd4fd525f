//! `[[trigger.http]]`, `[application.trigger.http]` and pirn's own settings for the listener in
//! `[application.tool.pirn.http]`.

use std::collections::BTreeMap;

use http::header::{HeaderName, HeaderValue};
use pirn_triggers::http::Address;
use pirn_triggers::http::routes::Route;
use pirn_triggers::limits::http as limits;

use super::TriggerKind;
use super::application::pirn_table;
use crate::files::config::{Error, Table, Value, unknown};
use crate::limits::http::{REQUESTS_WAITING_MAX, STATIC_BODY_BYTES_MAX};

/// How a component that answers requests is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HttpExecutor {
    /// By the export that it has for requests.
    #[default]
    Http,
    /// As a program (wagi): its `main`, whose output is the answer.
    Wagi,
}

/// A `[[trigger.http]]` without a component.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticRoute {
    /// What it answers.
    pub route: Route,
    /// How.
    pub status: u16,
    /// With which fields.
    pub headers: BTreeMap<String, String>,
    /// And what.
    pub body: String,
    /// Where it stands.
    pub line: u32,
}

/// What an application says of its listener.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct HttpSettings {
    /// What goes before every route; empty for nothing.
    pub base: String,
    /// Where to listen.
    pub listen: Option<Address>,
    /// Connections at the same time.
    pub connections_max: Option<u32>,
    /// Requests that wait for one component.
    pub waiting_max: Option<u32>,
    /// A request's body.
    pub body_bytes_max: Option<u64>,
}

pub(super) const KEYS: &[&str] = &["id", "component", "route", "executor", "static_response"];

/// A trigger that has a component.
pub(super) fn trigger(table: &Table<'_>) -> Result<TriggerKind, Error> {
    if table.has("static_response") {
        let both = "given beside component; a route has one of the two";
        return Err(table.error("static_response", both));
    }
    let executor = table.get("executor").map(|value| executor(&value)).transpose()?;
    Ok(TriggerKind::Http { route: route(table)?, executor: executor.unwrap_or_default() })
}

/// A trigger that has none, but an answer that is always the same.
pub(super) fn static_route(table: &Table<'_>) -> Result<Option<StaticRoute>, Error> {
    match (table.has("component"), table.has("static_response")) {
        (true, _) => return Ok(None),
        (false, true) => {}
        (false, false) => {
            let message = "missing: the component that answers, or a static_response in its place";
            return Err(table.error("component", message));
        }
    }
    let Some(route) = route(table)? else {
        let message = "a private route cannot have a static response: nobody would see it";
        return Err(table.error("route", message));
    };
    if table.has("executor") {
        return Err(table.error("executor", "a static response is not executed; remove the key"));
    }
    let Some(answer) = table.table("static_response")? else { return Ok(None) };
    let answer = answer.only(&["status_code", "headers", "body"])?;
    let status = answer.number("status_code", 200, 599)?.unwrap_or(200);
    let body = answer.string("body")?.unwrap_or_default();
    if body.len() > STATIC_BODY_BYTES_MAX {
        let message = format!(
            "has more than {STATIC_BODY_BYTES_MAX} bytes; a component can serve it from files"
        );
        return Err(answer.error("body", message));
    }
    Ok(Some(StaticRoute {
        route,
        status: u16::try_from(status).unwrap_or(200),
        headers: headers(&answer)?,
        body: body.to_owned(),
        line: table.line(),
    }))
}

fn headers(answer: &Table<'_>) -> Result<BTreeMap<String, String>, Error> {
    let headers = answer.string_map("headers")?;
    for (name, value) in &headers {
        let is_ours = matches!(
            &*name.to_ascii_lowercase(),
            "connection" | "content-length" | "transfer-encoding" | "upgrade" | "keep-alive"
        );
        if is_ours {
            return Err(answer.error("headers", format!("{name:?} is for the server to write")));
        }
        if HeaderName::from_bytes(name.as_bytes()).is_err() || HeaderValue::from_str(value).is_err()
        {
            return Err(answer.error("headers", format!("{name:?} cannot go over the wire")));
        }
    }
    Ok(headers)
}

/// A route, or `None` for `{ private = true }`.
fn route(table: &Table<'_>) -> Result<Option<Route>, Error> {
    const WHAT: &str = "the path that it answers, like /hello or /..., or { private = true }";
    let value = table.require("route", WHAT)?;
    if value.is_table() {
        let table = value.table()?.only(&["private"])?;
        return match table.flag("private")? {
            Some(true) => Ok(None),
            _ => Err(table.error("private", "can only be true; for a public route write its path")),
        };
    }
    if !value.is_string() {
        return Err(value.expected("a path, or { private = true }"));
    }
    let text = value.string()?;
    Route::parse(text).map(Some).map_err(|error| value.error(format!("{text:?}: {error}")))
}

fn executor(value: &Value<'_>) -> Result<HttpExecutor, Error> {
    const KINDS: &[&str] = &["http", "spin", "wagi"];
    let table = value.table()?;
    let kind = table.require("type", "how it is called")?;
    match kind.string()? {
        "http" | "spin" => {
            table.only(&["type"])?;
            Ok(HttpExecutor::Http)
        }
        "wagi" => {
            let table = table.clone().only(&["type", "argv", "entrypoint"])?;
            only_default(&table, "argv", "${SCRIPT_NAME} ${ARGS}")?;
            only_default(&table, "entrypoint", "_start")?;
            Ok(HttpExecutor::Wagi)
        }
        other => Err(kind
            .error(unknown("executor", other, KINDS))
            .with_help("allowed: \"http\", \"wagi\"")),
    }
}

/// A key of wagi's that can only say what is so without it.
fn only_default(table: &Table<'_>, key: &str, default: &str) -> Result<(), Error> {
    match table.string(key)? {
        Some(other) if other != default => {
            let message = format!("{other:?} is not supported by this build");
            Err(table
                .error(key, message)
                .with_help(format!("allowed: {default:?}, which is the default")))
        }
        _ => Ok(()),
    }
}

/// What the application says of its listener, to Spin and to pirn.
pub(super) fn settings(application: &Table<'_>) -> Result<HttpSettings, Error> {
    let mut settings = HttpSettings::default();
    let triggers = application.table("trigger")?;
    if let Some(table) = triggers.map(|triggers| triggers.table("http")).transpose()?.flatten() {
        let table = table.only(&["base"])?;
        if let Some(value) = table.get("base") {
            settings.base = base(&value)?;
        }
    }
    let pirn = pirn_table(application)?;
    let Some(table) = pirn.map(|pirn| pirn.table("http")).transpose()?.flatten() else {
        return Ok(settings);
    };
    let table = table.only(&["listen", "connections", "waiting", "body"])?;
    settings.listen = table
        .get("listen")
        .map(|value| {
            let text = value.string()?;
            text.parse().map_err(|error| value.error(format!("{text:?}: {error}")))
        })
        .transpose()?;
    settings.connections_max = table.number("connections", 1, limits::CONNECTIONS_MAX)?;
    settings.waiting_max = table.number("waiting", 1, REQUESTS_WAITING_MAX)?;
    settings.body_bytes_max = table.bytes("body")?;
    Ok(settings)
}

/// What goes before every route.
fn base(value: &Value<'_>) -> Result<String, Error> {
    let text = value.string()?;
    let route = Route::parse(text).map_err(|error| value.error(format!("{text:?}: {error}")))?;
    match route.is_plain() {
        true => Ok(route.base()),
        false => Err(value.error(format!("{text:?}: a base has neither captures nor wildcards"))),
    }
}
