//! Answers requests in the ways that components of `wasi:http` 0.3 do: at once, as a stream, long after the head, not at
//! all. Which way, the path says.

use anyhow::anyhow;
use bytes::Bytes;
use futures::SinkExt as _;
use http_body_util::BodyExt as _;
use spin_sdk::http::body::{IncomingBodyExt as _, stream};
use spin_sdk::http::{IntoResponse, Request};
use spin_sdk::http_service;
use spin_sdk::wasip3;

type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, anyhow::Error>;
type HttpResponse = http::Response<Body>;

#[http_service]
async fn handle(request: Request) -> anyhow::Result<impl IntoResponse> {
    let path = request.uri().path().to_owned();
    Ok(match &*path {
        "/hello" => whole(200, "Hello World!"),
        "/echo" => {
            answer(200, request.into_body().map_err(|code| anyhow!("{code:?}")).boxed_unsync())
        }
        "/pass" => passed_on(request).await?,
        "/upper" => whole(200, request.into_body().bytes().await?.to_ascii_uppercase()),
        "/head" => whole(200, seen(&request)),
        "/count" => counted(10, None),
        "/breaks" => counted(10, Some(3)),
        "/teapot" => {
            let mut response = whole(418, "");
            response.headers_mut().insert("x-brewing", "tea".parse()?);
            response
        }
        "/fails" => return Err(anyhow!("it was asked to fail")),
        "/traps" => panic!("it was asked to trap"),
        _ => whole(404, "nothing here"),
    })
}

fn answer(status: u16, body: Body) -> HttpResponse {
    let mut response = HttpResponse::new(body);
    *response.status_mut() = status.try_into().unwrap();
    response
}

fn whole(status: u16, body: impl Into<Bytes>) -> HttpResponse {
    let body: Bytes = body.into();
    let body = http_body_util::Full::new(body).map_err(|never| match never {});
    let mut response = answer(status, body.boxed_unsync());
    response.headers_mut().insert("content-type", "text/plain".parse().unwrap());
    response
}

/// To where a field says and back, as it comes.
async fn passed_on(request: Request) -> anyhow::Result<HttpResponse> {
    let (head, body) = request.into_parts();
    let to = head.headers.get("x-to").ok_or_else(|| anyhow!("to where?"))?.to_str()?;
    let given = spin_sdk::http::send(http::Request::post(to).body(body)?).await;
    let given = given.map_err(|error| anyhow!("{error:?}"))?;
    let status = given.status().as_u16();
    Ok(answer(status, given.into_body().map_err(|code| anyhow!("{code:?}")).boxed_unsync()))
}

/// What the guest sees of a request, one line each.
fn seen(request: &Request) -> String {
    let mut lines = vec![format!("{} {}", request.method(), request.uri())];
    for (name, value) in request.headers() {
        lines.push(format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())));
    }
    lines.join("\n")
}

/// Numbers, one after the other, some time after the head; at one of them it may break.
fn counted(to: u32, breaks_at: Option<u32>) -> HttpResponse {
    let (mut lines, body) = stream::<String>();
    wasip3::spawn(async move {
        for number in 0..to {
            wasip3::clocks::monotonic_clock::wait_for(5_000_000).await;
            assert!(breaks_at != Some(number), "it was asked to break");
            if lines.send(format!("{number}\n")).await.is_err() {
                return;
            }
        }
    });
    answer(200, body.boxed_unsync())
}
