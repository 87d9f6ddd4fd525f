//! A component as the SDKs from 2 to 5 make it: requests and answers that are whole.

mod said;

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
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
