//! `wasi:http/outgoing-handler`, as the SDK uses it.

use anyhow::{Context, Result, bail};
use futures::{SinkExt, StreamExt, join};
use spin_sdk::http::{
    Headers, IncomingResponse, Method, OutgoingRequest, Request, Response, Scheme, SendError, run,
    send,
};

/// The same question and answer as `fetch`, through the SDK.
pub(crate) fn fetch(text: &str) -> Result<String> {
    let (head, body) = text.split_once("\n\n").unwrap_or((text, ""));
    let mut lines = head.lines();
    let first = lines.next().and_then(|line| line.split_once(' '));
    let (method, uri) = first.context("METHOD ADDRESS")?;
    let mut request = Request::builder();
    request.method(method_of(method)).uri(uri).body(body.as_bytes().to_vec());
    for line in lines {
        let (name, value) = line.split_once(": ").context("name: value")?;
        request.header(name, value);
    }
    let answer: Response = match run(send(request.build())) {
        Ok(answer) => answer,
        Err(SendError::Http(code)) => bail!("{code:?}"),
        Err(other) => bail!("{other:?}"),
    };
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let line = |(name, value): (&str, &spin_sdk::http::HeaderValue)| {
        format!("{name}: {}\n", text(value.as_bytes()))
    };
    let mut headers: Vec<String> = answer.headers().map(line).collect();
    headers.sort();
    let body = match answer.body().len() {
        0..=1_000 => text(answer.body()),
        many => format!("{many} bytes"),
    };
    Ok(format!("{}\n{}\n{body}", answer.status(), headers.concat()))
}

fn method_of(name: &str) -> Method {
    match name {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "PATCH" => Method::Patch,
        "HEAD" => Method::Head,
        "OPTIONS" => Method::Options,
        other => Method::Other(other.to_owned()),
    }
}

/// `HOST:PORT/PATH BYTES`: posts so many bytes while what comes back is counted.
pub(crate) fn pump(text: &str) -> Result<String> {
    let (address, bytes) = text.split_once(' ').context("an address and a number")?;
    let (authority, path) = address.split_once('/').context("a path")?;
    let bytes: usize = bytes.parse()?;
    let request = OutgoingRequest::new(Headers::new());
    let path = format!("/{path}");
    let fits = request.set_method(&Method::Post).is_ok()
        && request.set_scheme(Some(&Scheme::Http)).is_ok()
        && request.set_authority(Some(authority)).is_ok()
        && request.set_path_with_query(Some(&path)).is_ok();
    if !fits {
        bail!("no address");
    }
    run(async {
        let mut body = request.take_body();
        let writing = async move {
            let mut left = bytes;
            while left > 0 {
                let count = left.min(16 << 10);
                body.send(vec![b'x'; count]).await?;
                left -= count;
            }
            anyhow::Ok(())
        };
        let reading = async {
            let answer: IncomingResponse = send(request).await?;
            let mut pieces = answer.take_body_stream();
            let mut count = 0;
            while let Some(piece) = pieces.next().await {
                count += piece?.len();
            }
            anyhow::Ok(count)
        };
        let (written, read) = join!(writing, reading);
        let written = written.map_or_else(|error| error.to_string(), |()| "all".to_owned());
        Ok(format!("wrote {written}, read {}", read?))
    })
}
