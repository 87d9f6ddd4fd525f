//! Bodies and what follows them: lengths, chunks, several requests on one connection.

use super::{Case, post};

/// How long a body is (RFC 9112, 6).
pub(super) fn lengths() -> Vec<Case> {
    vec![
        case!(
            "a length",
            post("content-length: 3\r\n", "abc"),
            [200],
            ["POST /"],
            "<POST h / abc>"
        ),
        case!("no length is no body", post("", ""), [200], ["POST /"], "<POST h / >"),
        case!("a length of nothing", post("content-length: 0\r\n", ""), [200], ["POST /"]),
        case!(
            "the same length twice",
            post("content-length: 3\r\ncontent-length: 3\r\n", "abc"),
            [200],
            ["POST /"],
            "<POST h / abc>"
        ),
        case!("two lengths", post("content-length: 3\r\ncontent-length: 4\r\n", "abcd"), [400], []),
        case!("two lengths in one field", post("content-length: 3, 4\r\n", "abcd"), [400], []),
        case!("a length with a sign", post("content-length: +3\r\n", "abc"), [400], []),
        case!("a length below nothing", post("content-length: -3\r\n", "abc"), [400], []),
        case!("a length in words", post("content-length: three\r\n", "abc"), [400], []),
        case!("a length in hexadecimal", post("content-length: 0x3\r\n", "abc"), [400], []),
        case!("an empty length", post("content-length:\r\n", ""), [400], []),
        case!(
            "a length that no number holds",
            post("content-length: 99999999999999999999\r\n", "abc"),
            [400],
            []
        ),
        case!(
            "a length that is too large",
            post("content-length: 9999999999\r\n", "abc"),
            [413],
            []
        ),
        case!(
            "a length and chunks (6.3)",
            post("content-length: 3\r\ntransfer-encoding: chunked\r\n", "1\r\na\r\n0\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / a>"
        ),
        case!(
            "chunks and a length",
            post("transfer-encoding: chunked\r\ncontent-length: 3\r\n", "1\r\na\r\n0\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / a>"
        ),
        case!(
            "nothing follows a length and chunks",
            post(
                "content-length: 3\r\ntransfer-encoding: chunked\r\n",
                "0\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: h\r\n\r\n"
            ),
            [200],
            ["POST /"]
        ),
        case!(
            "an encoding that is not chunked",
            post("transfer-encoding: gzip\r\n", "abc"),
            [400],
            []
        ),
        case!(
            "an encoding after chunked",
            post("transfer-encoding: chunked, gzip\r\n", "0\r\n\r\n"),
            [400],
            []
        ),
        case!("identity", post("transfer-encoding: identity\r\n", "abc"), [400], []),
        case!(
            "chunked with something around",
            post("transfer-encoding: xchunked\r\n", "0\r\n\r\n"),
            [400],
            []
        ),
        case!(
            "chunked in capitals",
            post("transfer-encoding: CHUNKED\r\n", "1\r\na\r\n0\r\n\r\n"),
            [200],
            ["POST /"]
        ),
        case!(
            "HTTP/1.0 has no chunks",
            "POST / HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            [400],
            []
        ),
        case!("a body that ends early", post("content-length: 9\r\n", "abc"), [400], ["POST /"]),
        case!(
            "GET with a body",
            "GET / HTTP/1.1\r\nhost: h\r\ncontent-length: 3\r\n\r\nabc",
            [200],
            ["GET /"],
            "<GET h / abc>"
        ),
    ]
}

/// Chunks (RFC 9112, 7.1).
pub(super) fn chunks() -> Vec<Case> {
    let chunked = |body: &str| post("transfer-encoding: chunked\r\n", body);
    vec![
        case!(
            "chunks",
            chunked("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / abcde>"
        ),
        case!(
            "chunks with zeroes before",
            chunked("003\r\nabc\r\n000\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / abc>"
        ),
        case!(
            "chunks in hexadecimal",
            chunked("A\r\n0123456789\r\n0\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / 0123456789>"
        ),
        case!(
            "an extension (7.1.1)",
            chunked("3;a=b\r\nabc\r\n0;c\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / abc>"
        ),
        case!(
            "trailers (7.1.2)",
            chunked("3\r\nabc\r\n0\r\na: b\r\n\r\n"),
            [200],
            ["POST /"],
            "<POST h / abc>"
        ),
        case!("a size that is none", chunked("x\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("a size with a sign", chunked("+3\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("a size below nothing", chunked("-3\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("a size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("no size", chunked("\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!(
            "a size that no number holds",
            chunked("fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
            [400],
            ["POST /"]
        ),
        case!("a chunk that is too short", chunked("5\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("a chunk that is too long", chunked("2\r\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("a size that ends with LF alone", chunked("3\nabc\r\n0\r\n\r\n"), [400], ["POST /"]),
        case!("a chunk that ends with LF alone", chunked("3\r\nabc\n0\r\n\r\n"), [400], ["POST /"]),
        case!("chunks without the last", chunked("3\r\nabc\r\n"), [400], ["POST /"]),
        case!(
            "an extension without end",
            chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(20_000))),
            [400],
            ["POST /"]
        ),
        case!(
            "trailers without end",
            chunked(&format!("0\r\na: {}\r\n\r\n", "a".repeat(20_000))),
            [400],
            ["POST /"]
        ),
        case!("a trailer that is none", chunked("0\r\na b\r\n\r\n"), [400], ["POST /"]),
    ]
}

/// What follows on one connection (RFC 9112, 9).
pub(super) fn connections() -> Vec<Case> {
    let close = "GET /b HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";
    let keep = "GET /a HTTP/1.1\r\nhost: h\r\n\r\n";
    vec![
        case!("one after the other", format!("{keep}{close}"), [200, 200], ["GET /a", "GET /b"]),
        case!("many at once (9.3.2)", keep.repeat(20), [200; 20], ["GET /a"; 20]),
        case!("nothing after the last (9.6)", format!("{close}{keep}"), [200], ["GET /b"]),
        case!(
            "a body and then another",
            format!("{}{keep}", post("content-length: 3\r\n", "abc")),
            [200, 200],
            ["POST /", "GET /a"]
        ),
        case!(
            "an empty line between",
            format!("{keep}\r\n{keep}"),
            [200, 200],
            ["GET /a", "GET /a"]
        ),
        case!("rubbish after a good one", format!("{keep}rubbish\r\n\r\n"), [200, 400], ["GET /a"]),
        case!("a good one after rubbish", format!("rubbish\r\n\r\n{keep}"), [400], []),
        case!(
            "a good one after one without host",
            format!("GET / HTTP/1.1\r\n\r\n{keep}"),
            [400, 200],
            ["GET /a"]
        ),
        case!(
            "a length that is shorter than its body",
            format!("{}{keep}", post("content-length: 1\r\n", "abc")),
            [200, 200],
            ["POST /", "bcGET /a"]
        ),
        case!(
            "HTTP/1.0 that wants to stay",
            "GET /a HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            [200, 200],
            ["GET /a", "GET /b"]
        ),
        case!(
            "HTTP/1.0 that does not",
            "GET /a HTTP/1.0\r\n\r\nGET /b HTTP/1.0\r\n\r\n",
            [200],
            ["GET /a"]
        ),
        case!(
            "HEAD has no body (9.3.2)",
            format!("HEAD /a HTTP/1.1\r\nhost: h\r\n\r\n{keep}"),
            [200, 200],
            ["HEAD /a", "GET /a"],
            "content-length: 12\r\n"
        ),
        case!(
            "an expectation that is met (10.1.1)",
            post("expect: 100-continue\r\ncontent-length: 3\r\n", "abc"),
            [100, 200],
            ["POST /"],
            "<POST h / abc>"
        ),
        case!(
            "an expectation in vain",
            post("expect: 100-continue\r\ncontent-length: 9999999999\r\n", ""),
            [413],
            []
        ),
    ]
}
