//! A component as the SDKs from 2 to 5 make it: requests and answers that are whole.

mod said;

use spin_sdk::http::{IntoResponse, Method, Request, Response, send};
use spin_sdk::http_component;

#[http_component]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    if let Some(to) = request.header("x-to").and_then(|to| to.as_str()) {
        return Ok(passed_on(to, request.body().to_vec()).await);
    }
    let fields = request.headers().map(|(name, value)| (name, value.as_bytes()));
    let path = request.path_and_query().unwrap_or_default();
    let said = said::said(&request.method().to_string(), path, fields, request.body());
    let mut answer = Response::builder();
    answer.status(said.status);
    for (name, value) in said.fields {
        answer.header(name, value);
    }
    Ok(answer.body(said.body).build())
}

/// What another server answers to this body, or why it does not.
async fn passed_on(to: &str, body: Vec<u8>) -> Response {
    let mut request = Request::builder();
    request.method(Method::Post).uri(to).header("x-passed", "on").body(body);
    let answer: Result<Response, _> = send(request.build()).await;
    match answer {
        Ok(answer) => answer,
        Err(error) => Response::new(502, error.to_string()),
    }
}
