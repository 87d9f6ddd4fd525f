//! A component as the SDKs 6 and 7 make it: `async`, with the types of the crate `http`.

mod said;

use bytes::Bytes;
use http_body_util::Full;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{IntoResponse, Request, send};
use spin_sdk::http_service;

type Response = http::Response<Full<Bytes>>;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    answer(request).await
}

async fn answer(request: Request) -> anyhow::Result<Response> {
    let (head, body) = request.into_parts();
    let body = body.bytes().await?;
    if let Some(to) = head.headers.get("x-to").and_then(|to| to.to_str().ok()) {
        return passed_on(to, body).await;
    }
    let fields = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    let path = head.uri.path_and_query().map_or("", |path| path.as_str());
    let said = said::said(head.method.as_str(), path, fields, &body);
    let mut answer = http::Response::builder().status(said.status);
    for (name, value) in said.fields {
        answer = answer.header(name, value);
    }
    Ok(answer.body(Full::new(said.body.into()))?)
}

/// What another server answers to this body, or why it does not.
async fn passed_on(to: &str, body: Bytes) -> anyhow::Result<Response> {
    let request = http::Request::post(to).header("x-passed", "on").body(Full::new(body))?;
    let answer = http::Response::builder();
    Ok(match send(request).await {
        Ok(given) => {
            answer.status(given.status()).body(Full::new(given.into_body().bytes().await?))?
        }
        Err(error) => answer.status(502).body(Full::new(format!("{error:?}").into()))?,
    })
}
