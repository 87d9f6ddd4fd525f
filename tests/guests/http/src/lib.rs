//! Answers requests, well and badly, as the first segment of the path says.
//!
//! `say`: what was asked, a line for each thing. `echo`: the body, as it comes. `count`: how many bytes came, and their sum.
//! `make/N`: N bytes. `status/N`. `slow/MS`: head, then a piece, the time, a piece. `sleep/MS`: the time, then an answer.
//! `fields`: what becomes of fields that may not be written. `length/N/M`: says N bytes and writes M. `trailers`: those that
//! came, and some. `trap`, `trap-late`, `nothing`, `error`, `spin`: how not to answer. `after`: goes on after its answer.

use std::io::Write as _;
use std::time::Duration;

use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingResponse,
    ResponseOutparam, Scheme, http_error_code,
};
use wasip2::io::streams::StreamError;

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let words: Vec<&str> = path.split('/').filter(|word| !word.is_empty()).collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse().ok()).unwrap_or(0_u64);
        match words.first().copied().unwrap_or_default() {
            "say" => text(out, 200, &said(&request)),
            "echo" => echo(&request, out),
            "count" => text(out, 200, &count(&request)),
            "make" => make(out, number(1)),
            "status" => text(out, number(1) as u16, ""),
            "slow" => slow(out, number(1)),
            "sleep" => {
                std::thread::sleep(Duration::from_millis(number(1)));
                text(out, 200, "slept\n");
            }
            "fields" => text(out, 200, &fields(&request)),
            "length" => length(out, number(1), number(2)),
            "trailers" => trailers(&request, out),
            "trap" => panic!("as it was asked to"),
            "trap-late" => {
                let (body, mut stream) = begin(out, 200, Fields::new());
                stream.write_all(b"half").unwrap();
                stream.flush().unwrap();
                std::thread::sleep(Duration::from_millis(20));
                drop((stream, body));
                panic!("as it was asked to");
            }
            "nothing" => {}
            "error" => ResponseOutparam::set(out, Err(ErrorCode::LoopDetected)),
            "spin" => loop {
                std::hint::black_box(());
            },
            "after" => {
                text(out, 200, "answered\n");
                std::thread::sleep(Duration::from_millis(50));
                println!("went on after its answer");
            }
            _ => text(out, 404, "the guest knows no such path\n"),
        }
    }
}

fn begin(
    out: ResponseOutparam,
    status: u16,
    fields: Fields,
) -> (OutgoingBody, wasip2::io::streams::OutputStream) {
    let response = OutgoingResponse::new(fields);
    if response.set_status_code(status).is_err() {
        let again = OutgoingResponse::new(Fields::new());
        again.set_status_code(599).unwrap();
        let body = again.body().unwrap();
        ResponseOutparam::set(out, Ok(again));
        let stream = body.write().unwrap();
        return (body, stream);
    }
    let body = response.body().unwrap();
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().unwrap();
    (body, stream)
}

fn text(out: ResponseOutparam, status: u16, text: &str) {
    let fields = Fields::from_list(&[("content-type".to_owned(), b"text/plain".to_vec())]);
    let (body, mut stream) = begin(out, status, fields.unwrap());
    let _ = stream.write_all(text.as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn said(request: &IncomingRequest) -> String {
    let method = match request.method() {
        Method::Other(other) => format!("other {other}"),
        known => format!("{known:?}"),
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http",
        Some(Scheme::Https) => "https",
        _ => "?",
    };
    let mut lines = vec![
        format!("method: {method}"),
        format!("scheme: {scheme}"),
        format!("authority: {}", request.authority().unwrap_or_default()),
        format!("path: {}", request.path_with_query().unwrap_or_default()),
    ];
    let mut fields: Vec<String> = request
        .headers()
        .entries()
        .iter()
        .map(|(name, value)| format!("field {name}: {}", value.escape_ascii()))
        .collect();
    fields.sort();
    lines.extend(fields);
    lines.push(format!("body: {}", count(request)));
    lines.join("\n") + "\n"
}

/// How many bytes came, and their sum.
fn count(request: &IncomingRequest) -> String {
    let body = request.consume().unwrap();
    let stream = body.stream().unwrap();
    let (mut bytes, mut sum) = (0_u64, 0_u64);
    loop {
        match stream.blocking_read(32 << 10) {
            Err(StreamError::Closed) => return format!("{bytes} {sum}"),
            Ok(piece) => {
                bytes += piece.len() as u64;
                sum += piece.iter().map(|byte| u64::from(*byte)).sum::<u64>();
            }
            Err(StreamError::LastOperationFailed(error)) => {
                let code = http_error_code(&error);
                return format!("broken after {bytes}: {code:?}");
            }
        }
    }
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let kind = request.headers().get("content-type");
    let fields = Fields::new();
    if !kind.is_empty() {
        fields.set("content-type", &kind).unwrap();
    }
    let incoming = request.consume().unwrap();
    let input = incoming.stream().unwrap();
    let (body, output) = begin(out, 200, fields);
    loop {
        match output.blocking_splice(&input, 64 << 10) {
            Ok(_) => {}
            Err(StreamError::Closed) => break,
            Err(error) => panic!("{error:?}"),
        }
    }
    drop((input, output));
    OutgoingBody::finish(body, None).unwrap();
}

fn make(out: ResponseOutparam, bytes: u64) {
    let (body, mut stream) = begin(out, 200, Fields::new());
    let piece = vec![b'x'; 16 << 10];
    let mut left = bytes;
    while left > 0 {
        let now = left.min(piece.len() as u64);
        stream.write_all(&piece[..now as usize]).unwrap();
        left -= now;
    }
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn slow(out: ResponseOutparam, ms: u64) {
    let (body, mut stream) = begin(out, 200, Fields::new());
    stream.write_all(b"first ").unwrap();
    stream.flush().unwrap();
    std::thread::sleep(Duration::from_millis(ms));
    stream.write_all(b"last\n").unwrap();
    drop(stream);
    OutgoingBody::finish(body, None).unwrap();
}

fn fields(request: &IncomingRequest) -> String {
    let mut lines = Vec::new();
    for name in [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "host",
        "http2-settings",
        "Host",
        "a b",
        "x-fine",
    ] {
        let fields = Fields::new();
        let appended = fields.append(name, b"1");
        lines.push(format!("{name}: {appended:?}"));
    }
    let fields = Fields::new();
    lines.push(format!("value: {:?}", fields.append("x", b"a\r\nb: c")));
    lines.push(format!("theirs: {:?}", request.headers().set("x", &[b"y".to_vec()])));
    let copy = request.headers().clone();
    lines.push(format!("copy: {:?}", copy.set("x", &[b"y".to_vec(), b"z".to_vec()])));
    lines.push(format!("read: {:?} {}", copy.get("X"), copy.has("x")));
    let response = OutgoingResponse::new(copy);
    lines.push(format!("final: {:?}", response.headers().delete("x")));
    for status in [99, 100, 199, 200, 599, 1_000] {
        lines.push(format!("status {status}: {:?}", response.set_status_code(status)));
    }
    lines.push(format!("body: {} {}", response.body().is_ok(), response.body().is_err()));
    let body = request.consume();
    lines.push(format!("consume: {} {}", body.is_ok(), request.consume().is_err()));
    lines.join("\n") + "\n"
}

/// What becomes of it is printed: its answer has begun by then.
fn length(out: ResponseOutparam, says: u64, writes: u64) {
    let fields = Fields::from_list(&[("content-length".to_owned(), says.to_string().into())]);
    let (body, mut stream) = begin(out, 200, fields.unwrap());
    let written = stream.write_all(&vec![b'x'; writes as usize]);
    drop(stream);
    let finished = OutgoingBody::finish(body, None);
    println!("length: {} {finished:?}", written.is_ok());
}

fn trailers(request: &IncomingRequest, out: ResponseOutparam) {
    let body = request.consume().unwrap();
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    let came = future.get();
    let came = match &came {
        Some(Ok(Ok(Some(fields)))) => format!("{:?}", fields.entries().len()),
        Some(Ok(Ok(None))) => "none".to_owned(),
        other => format!("{other:?}"),
    };
    let again = matches!(future.get(), Some(Err(())));
    let fields = Fields::from_list(&[("trailer".to_owned(), b"x-sum".to_vec())]).unwrap();
    let (body, mut stream) = begin(out, 200, fields);
    stream.write_all(format!("{came} {again}").as_bytes()).unwrap();
    drop(stream);
    let ours = Fields::from_list(&[("x-sum".to_owned(), b"7".to_vec())]).unwrap();
    OutgoingBody::finish(body, Some(ours)).unwrap();
}
