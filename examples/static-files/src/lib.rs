//! Serves files over HTTP: those that the manifest gives it with `files`, and no others.
//!
//! `GET` and `HEAD`. Each answer has the type that the file's ending says, and an `ETag` from its bytes: who sends that
//! back in `If-None-Match` is told 304 and gets no bytes. A folder is its `index.html`. A file of any size passes through
//! in pieces.

mod name;

use futures::SinkExt as _;
use spin_sdk::http::{Fields, IncomingRequest, Method, OutgoingResponse, ResponseOutparam};
use spin_sdk::http_component;
use std::fs::File;
use std::io::{Read as _, Seek as _};

/// As much of a file as is in memory at a time.
const PIECE_BYTES: usize = 16 * 1024;

/// Where the manifest has the files put.
const FOLDER: &str = "/";

/// A file that is to be served, read to its end once.
struct Found {
    file: File,
    bytes: u64,
    kind: &'static str,
    tag: String,
}

#[http_component]
async fn handle(request: IncomingRequest, answer: ResponseOutparam) {
    let is_head = matches!(request.method(), Method::Head);
    if !is_head && !matches!(request.method(), Method::Get) {
        return say(answer, 405, &[("allow", "GET, HEAD")], "Files are only read here.\n").await;
    }
    let path = field(&request, "spin-path-info").unwrap_or_default();
    let Some(found) = name::file_of(&path).and_then(|name| find(&name)) else {
        return say(answer, 404, &[], "There is no such file.\n").await;
    };
    // It may be kept, but has to be asked for each time: the answer is then a short one.
    let told = [("etag", &*found.tag), ("cache-control", "no-cache")];
    if field(&request, "if-none-match").is_some_and(|known| name::is_known(&known, &found.tag)) {
        return answer.set(response(304, &told));
    }
    let length = found.bytes.to_string();
    let more = [
        ("content-type", found.kind),
        ("content-length", &*length),
        ("x-content-type-options", "nosniff"),
    ];
    let response = response(200, &[&told[..], &more].concat());
    if is_head {
        return answer.set(response);
    }
    send(answer, response, found).await;
}

fn find(name: &str) -> Option<Found> {
    let path = format!("{FOLDER}{name}");
    let is_folder = std::fs::metadata(&path).ok()?.is_dir();
    let path = if is_folder { format!("{}/index.html", path.trim_end_matches('/')) } else { path };
    let file =
        File::open(&path).ok().filter(|file| file.metadata().is_ok_and(|it| it.is_file()))?;
    read(file, name::type_of(&path)).ok()
}

fn read(mut file: File, kind: &'static str) -> std::io::Result<Found> {
    let mut piece = vec![0; PIECE_BYTES];
    let (mut bytes, mut hash) = (0, FNV_BEGIN);
    loop {
        let count = file.read(&mut piece)?;
        if count == 0 {
            break;
        }
        bytes += count as u64;
        hash = hashed(hash, &piece[..count]);
    }
    file.rewind()?;
    Ok(Found { file, bytes, kind, tag: format!("\"{bytes:x}-{hash:016x}\"") })
}

/// FNV-1a. A tag tells versions of one file apart; nobody gains by making two alike.
const FNV_BEGIN: u64 = 0xcbf2_9ce4_8422_2325;

fn hashed(begin: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(begin, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

async fn send(answer: ResponseOutparam, response: OutgoingResponse, mut found: Found) {
    let mut body = response.take_body();
    answer.set(response);
    loop {
        let mut piece = vec![0; PIECE_BYTES];
        let count = match found.file.read(&mut piece) {
            Ok(0) => return,
            Ok(count) => count,
            // Too late for another status: the length that was promised tells the client that this is not all.
            Err(error) => return eprintln!("cannot read on: {error}"),
        };
        piece.truncate(count);
        if body.send(piece).await.is_err() {
            return; // The client has left.
        }
    }
}

async fn say(answer: ResponseOutparam, status: u16, more: &[(&str, &str)], text: &str) {
    let kind = [("content-type", "text/plain; charset=utf-8")];
    let response = response(status, &[&kind[..], more].concat());
    // A client that leaves before it has read this does not matter.
    let _ = answer.set_with_body(response, text.into()).await;
}

fn response(status: u16, fields: &[(&str, &str)]) -> OutgoingResponse {
    let all = Fields::new();
    for (name, value) in fields {
        // Names and values are all our own.
        all.append(&(*name).to_owned(), &value.as_bytes().to_vec())
            .expect("a field that may be set");
    }
    let response = OutgoingResponse::new(all);
    response.set_status_code(status).expect("a status that exists");
    response
}

fn field(request: &IncomingRequest, name: &str) -> Option<String> {
    let values = request.headers().get(&name.to_owned());
    let texts: Vec<String> =
        values.into_iter().filter_map(|value| String::from_utf8(value).ok()).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}
