//! What the components of this folder answer to a request, whatever SDK puts it before them: a status and fields that
//! are as the path says, and a body that tells all that was asked.

use std::collections::BTreeMap;

/// An answer, before an SDK makes it one of its own.
pub struct Said {
    pub status: u16,
    pub fields: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// The answer to a request.
///
/// `/echo`: its body. `/status/N`: that status. `/nothing`: no body. All others: what was asked.
pub fn said<'a>(
    method: &str,
    path_and_query: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
) -> Said {
    let path = path_and_query.split('?').next().unwrap_or_default();
    let status = path.strip_prefix("/status/").and_then(|status| status.parse().ok());
    let body = match path {
        "/echo" => body.to_vec(),
        "/nothing" => Vec::new(),
        _ => asked(method, path_and_query, fields, body).into_bytes(),
    };
    let fields = vec![
        ("content-type", "text/plain; charset=utf-8".to_owned()),
        ("content-length", body.len().to_string()),
        ("x-method", method.to_owned()),
        ("x-path", path.to_owned()),
    ];
    Said { status: status.unwrap_or(200), fields, body }
}

/// A line for each thing. Of several fields of one name the last, because older SDKs show no more; and where a client
/// came from is another each time.
fn asked<'a>(
    method: &str,
    path_and_query: &str,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    body: &[u8],
) -> String {
    let sum: u64 = body.iter().map(|byte| u64::from(*byte)).sum();
    let mut lines = vec![
        format!("method: {method}"),
        format!("path: {path_and_query}"),
        format!("body: {} {sum}", body.len()),
    ];
    let last: BTreeMap<&str, &[u8]> = fields.collect();
    for (name, value) in last {
        if name != "spin-client-addr" {
            lines.push(format!("field {name}: {}", value.escape_ascii()));
        }
    }
    lines.join("\n") + "\n"
}
