//! The rooms of the thermostat as a page, for whoever opens the board's address: what each was told last.
//!
//! This component is not fired by messages and publishes none. It reads what the thermostat keeps in the key-value
//! store that the two of them share, `heating/<room>`, and writes nothing.

use anyhow::{Context as _, Result};
use spin_sdk::http::{IntoResponse, Method, Request, Response};
use spin_sdk::http_component;
use spin_sdk::key_value::Store;
use spin_sdk::variables;

/// The page without its rooms.
const PAGE: &str = include_str!("page.html");

/// What the thermostat's keys begin with.
const PREFIX: &str = "heating/";

/// More rooms than a house has. Whoever may publish can make up any number of them.
const ROOMS_MAX: usize = 200;

/// The page runs nothing and loads nothing.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'";

#[http_component]
fn handle(request: Request) -> Result<impl IntoResponse> {
    let (status, kind, body) = match request.method() {
        Method::Get | Method::Head => (200, "text/html", page()?),
        _ => (405, "text/plain", "This page is only read.\n".into()),
    };
    Ok(Response::builder()
        .status(status)
        .header("content-type", format!("{kind}; charset=utf-8"))
        .header("content-security-policy", POLICY)
        .header("cache-control", "no-store")
        .body(body)
        .build())
}

fn page() -> Result<String> {
    let set_point = variables::get("set_point").context("cannot read the variable set_point")?;
    let rooms: String = rooms()?.iter().map(item).collect();
    let nothing = "<li class=\"quiet\">No room has reported a temperature yet.</li>";
    // The rooms last: a name may look like one of the marks.
    Ok(PAGE
        .replace("{set-point}", &html(&set_point))
        .replace("{rooms}", if rooms.is_empty() { nothing } else { &rooms }))
}

/// A room, and whether it is heated.
type Room = (String, bool);

fn rooms() -> Result<Vec<Room>> {
    let store = Store::open_default().context("cannot open the key-value store")?;
    let keys = store.get_keys().context("cannot list the rooms")?;
    let mut names: Vec<_> = keys.iter().filter_map(|key| key.strip_prefix(PREFIX)).collect();
    names.sort_unstable();
    names.truncate(ROOMS_MAX);
    let room = |name: &str| {
        let told = store.get(&format!("{PREFIX}{name}")).context("cannot read a room's state")?;
        Ok((name.to_owned(), told.as_deref() == Some(b"on")))
    };
    names.into_iter().map(room).collect()
}

fn item((name, is_heated): &Room) -> String {
    let (name, state) = (html(name), if *is_heated { "on" } else { "off" });
    format!("<li><span>{name}</span> <b class=\"{state}\">heating {state}</b></li>\n")
}

/// Text for HTML, between tags. Room names come from topics, and topics may hold almost anything.
fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
