//! A component as the SDK 7 makes it: `async`, with the types of the crate `http`.

mod said;

use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let (head, body) = request.into_parts();
    let body = body.bytes().await?;
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let said = said::said(head.method.as_str(), path, fields, &body);
    let mut answer = http::Response::builder().status(said.status);
    for (name, value) in said.fields {
        answer = answer.header(name, value);
    }
    Ok(answer.body(http_body_util::Full::new(bytes::Bytes::from(said.body)))?)
}
