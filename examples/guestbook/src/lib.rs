//! A guestbook: a page that everybody may write on.
//!
//! | request | answer |
//! |---|---|
//! | `GET /` | the page: a form, and the newest entries |
//! | `POST /entries` | takes the form and sends the browser back to the page |
//! | `GET /entries` | the same entries as JSON |
//!
//! Entries are in the SQLite database `default`. Nothing is kept between requests but that.

mod form;
mod show;

use anyhow::{Context as _, Result};
use form::Written;
use show::Entry;
use spin_sdk::http::{IntoResponse, Method, Request, Response};
use spin_sdk::http_component;
use spin_sdk::sqlite::{Connection, Row, Value};

/// As many entries as one page shows, which a phone still scrolls through.
const SHOWN_MAX: i64 = 50;

/// As many as are kept: past that the oldest go, so that a board's disk does not fill.
const KEPT_MAX: i64 = 1_000;

/// The page runs nothing and loads nothing, whatever somebody smuggled into it.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; base-uri 'none'";

#[http_component]
fn handle(request: Request) -> Result<impl IntoResponse> {
    match (request.path(), request.method()) {
        ("/", Method::Get | Method::Head) => {
            Ok(answer(200, "text/html; charset=utf-8", show::page(&entries()?)))
        }
        ("/entries", Method::Get | Method::Head) => {
            Ok(answer(200, "application/json", show::json(&entries()?)))
        }
        ("/entries", Method::Post) => added(request.body()),
        ("/" | "/entries", _) => Ok(sentence(405, "This address takes GET, and /entries POST.")),
        _ => Ok(sentence(404, "There is nothing here. The guestbook is at /.")),
    }
}

fn added(body: &[u8]) -> Result<Response> {
    let written = match form::written(body) {
        Ok(written) => written,
        Err(why) => return Ok(sentence(400, &why)),
    };
    keep(&written)?;
    println!("{} wrote {} characters", written.name, written.text.chars().count());
    let mut back = sentence(303, "Thank you.");
    back.set_header("location", "/");
    Ok(back)
}

fn answer(status: u16, kind: &str, body: String) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", kind)
        .header("content-security-policy", POLICY)
        .header("x-content-type-options", "nosniff")
        .header("cache-control", "no-store")
        .body(body)
        .build()
}

fn sentence(status: u16, text: &str) -> Response {
    answer(status, "text/plain; charset=utf-8", format!("{text}\n"))
}

/// The database, with its table, whoever comes first.
fn database() -> Result<Connection> {
    let database = Connection::open_default().context("cannot open the database")?;
    let table = "CREATE TABLE IF NOT EXISTS entries (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        text TEXT NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%d %H:%M', 'now'))
    )";
    database.execute(table, &[]).context("cannot make the table")?;
    Ok(database)
}

fn keep(Written { name, text }: &Written) -> Result<()> {
    let database = database()?;
    let values = [Value::Text(name.clone()), Value::Text(text.clone())];
    database
        .execute("INSERT INTO entries (name, text) VALUES (?, ?)", &values)
        .context("cannot keep the entry")?;
    let oldest = "DELETE FROM entries WHERE id <= (SELECT max(id) FROM entries) - ?";
    database.execute(oldest, &[Value::Integer(KEPT_MAX)]).context("cannot drop old entries")?;
    Ok(())
}

/// The newest entries, the newest first.
fn entries() -> Result<Vec<Entry>> {
    let newest = "SELECT id, name, text, at FROM entries ORDER BY id DESC LIMIT ?";
    let found = database()?
        .execute(newest, &[Value::Integer(SHOWN_MAX)])
        .context("cannot read the entries")?;
    Ok(found.rows().map(|row| entry(&row)).collect())
}

fn entry(row: &Row<'_>) -> Entry {
    let text = |column: &str| row.get::<&str>(column).unwrap_or_default().to_owned();
    Entry {
        id: row.get("id").unwrap_or_default(),
        name: text("name"),
        text: text("text"),
        at: text("at"),
    }
}
