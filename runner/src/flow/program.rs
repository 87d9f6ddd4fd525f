//! Requests for programs (wagi): what is asked, as RFC 3875 has a program find it.

use http::header::{self, HeaderMap};
use pirn_triggers::http::{Head, Request};

use super::whole;
use crate::host::wasi::ProgramRequest;

/// A request as a program is asked. As arguments it has where it is, and what the query says.
pub(super) fn request(request: Request) -> ProgramRequest {
    let Request { head, body, responder } = request;
    let length = body.length().map(|bytes| bytes.to_string());
    let environment = environment(&head, length.unwrap_or_default());
    let mut arguments = vec![text(&head.fields, "spin-component-route")];
    let pairs = query(&head).split('&').filter(|pair| !pair.is_empty());
    arguments.extend(pairs.map(whole::decoded));
    ProgramRequest { environment, arguments, body, responder }
}

fn query(head: &Head) -> &str {
    head.path_and_query.split_once('?').map_or("", |(_, query)| query)
}

fn text(fields: &HeaderMap, name: &str) -> String {
    let value = fields.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
    value.unwrap_or_default().to_owned()
}

/// The meta-variables (RFC 3875, 4.1), those of wagi, and each field as `HTTP_NAME`.
fn environment(head: &Head, length: String) -> Vec<(String, String)> {
    let field = |name: &str| text(&head.fields, name);
    let client = head.client.map_or_else(|| "127.0.0.1".to_owned(), |it| it.ip().to_string());
    let port = head.authority.port_u16().unwrap_or(if head.scheme == http::uri::Scheme::HTTPS {
        443
    } else {
        80
    });
    let known = [
        ("AUTH_TYPE", String::new()),
        ("CONTENT_LENGTH", length),
        ("CONTENT_TYPE", field(header::CONTENT_TYPE.as_str())),
        ("GATEWAY_INTERFACE", "CGI/1.1".to_owned()),
        ("PATH_INFO", field("spin-path-info")),
        ("PATH_TRANSLATED", whole::decoded(&field("spin-path-info"))),
        ("QUERY_STRING", query(head).to_owned()),
        ("REMOTE_ADDR", client.clone()),
        ("REMOTE_HOST", client),
        ("REMOTE_USER", String::new()),
        ("REQUEST_METHOD", head.method.as_str().to_owned()),
        ("SCRIPT_NAME", field("spin-component-route")),
        ("SERVER_NAME", head.authority.host().to_owned()),
        ("SERVER_PORT", port.to_string()),
        ("SERVER_PROTOCOL", "HTTP/1.1".to_owned()),
        ("SERVER_SOFTWARE", "WAGI/1".to_owned()),
        ("X_FULL_URL", field("spin-full-url")),
        ("X_MATCHED_ROUTE", field("spin-matched-route")),
        ("X_RAW_PATH_INFO", field("spin-path-info")),
    ];
    let named = |name: &http::HeaderName| {
        let upper = name.as_str().to_ascii_uppercase().replace('-', "_");
        // What came from the client must not be taken for a proxy's setting (CVE-2016-5385).
        (upper != "PROXY").then(|| (format!("HTTP_{upper}"), field(name.as_str())))
    };
    let known = known.into_iter().map(|(name, value)| (name.to_owned(), value));
    known.chain(head.fields.keys().filter_map(named)).collect()
}
