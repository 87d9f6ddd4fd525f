//! Says what it was asked, as the first guests were asked: everything at once. `/trap` traps, `/status/N` answers so.

wit_bindgen::generate!({ path: "wit", world: "whole" });

use exports::fermyon::spin::inbound_http::{Guest, Request, Response};

struct Component;

export!(Component);

impl Guest for Component {
    fn handle_request(request: Request) -> Response {
        let path = request.uri.split('?').next().unwrap_or_default();
        if path == "/trap" {
            panic!("as it was asked to");
        }
        let status = path.strip_prefix("/status/").and_then(|status| status.parse().ok());
        let body = request.body.unwrap_or_default();
        let route = request.headers.iter().find(|(name, _)| name == "spin-matched-route");
        let said = format!(
            "{:?} {} {:?} {:?} {}\n",
            request.method,
            request.uri,
            request.params,
            route.map(|(_, route)| route.as_str()),
            String::from_utf8_lossy(&body)
        );
        let headers = vec![
            ("content-type".to_owned(), "text/plain".to_owned()),
            ("connection".to_owned(), "upgrade".to_owned()),
        ];
        Response { status: status.unwrap_or(200), headers: Some(headers), body: Some(said.into()) }
    }
}
