//! Says hello to whoever asks: `curl localhost:3000/hello`.

use spin_sdk::http::{IntoResponse, Request, Response};
use spin_sdk::http_component;

#[http_component]
fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let url = request.header("spin-full-url").and_then(|url| url.as_str()).unwrap_or("?");
    println!("handling a request of {url}");
    let name = request.header("spin-path-info").and_then(|rest| rest.as_str());
    let name = name.and_then(|rest| rest.strip_prefix('/')).filter(|name| !name.is_empty());
    Ok(Response::builder()
        .status(200)
        .header("content-type", "text/plain")
        .body(format!("Hello, {}!\n", name.unwrap_or("world")))
        .build())
}
