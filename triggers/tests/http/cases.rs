//! Requests as they come over the wire, good and bad, and what becomes of them: RFC 9110 and 9112, with their sections.

/// One exchange. Everything is sent at once, then the sender is at its end.
pub struct Case {
    pub what: &'static str,
    pub sent: Vec<u8>,
    /// The statuses of the answers, in order.
    pub answers: &'static [u16],
    /// What reaches the handler, in a line each.
    pub reached: &'static [&'static str],
    /// Some of what comes back.
    pub holds: &'static str,
}

macro_rules! case {
    ($what:literal, $sent:expr, $answers:expr, $reached:expr) => {
        case!($what, $sent, $answers, $reached, "")
    };
    ($what:literal, $sent:expr, $answers:expr, $reached:expr, $holds:literal) => {
        Case {
            what: $what,
            sent: Vec::<u8>::from($sent),
            answers: &$answers,
            reached: &$reached,
            holds: $holds,
        }
    };
}

/// A GET with these fields, each with its line's end.
fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nhost: h\r\n{fields}\r\n")
}

/// A POST with these fields and what follows.
fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nhost: h\r\n{fields}\r\n{body}")
}

pub fn all() -> Vec<Case> {
    let mut all = targets();
    all.extend(lines());
    all.extend(fields());
    all.extend(lengths());
    all.extend(chunks());
    all.extend(connections());
    all
}

/// Request targets (RFC 9112, 3.2).
fn targets() -> Vec<Case> {
    vec![
        case!(
            "origin-form",
            "GET /a?b=c HTTP/1.1\r\nhost: h:1\r\n\r\n",
            [200],
            ["GET /a?b=c"],
            "<GET h:1 /a?b=c >"
        ),
        case!(
            "origin-form with nothing but a query",
            "GET ?b HTTP/1.1\r\nhost: h\r\n\r\n",
            [400],
            []
        ),
        case!(
            "absolute-form goes before the field",
            "GET http://x/a HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /a"],
            "<GET x /a >"
        ),
        case!(
            "absolute-form without a path",
            "GET http://x HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /"]
        ),
        case!(
            "absolute-form without a path, with a query",
            "GET http://x?q HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /?q"]
        ),
        case!(
            "absolute-form with a user",
            "GET http://u:p@x/ HTTP/1.1\r\nhost: h\r\n\r\n",
            [400],
            []
        ),
        case!(
            "absolute-form without a host",
            "GET http:///a HTTP/1.1\r\nhost: h\r\n\r\n",
            [400],
            []
        ),
        case!("authority-form", "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n", [501], []),
        case!(
            "authority-form for another method",
            "GET x:443 HTTP/1.1\r\nhost: h\r\n\r\n",
            [400],
            []
        ),
        case!("asterisk-form", "OPTIONS * HTTP/1.1\r\nhost: h\r\n\r\n", [204], []),
        case!("asterisk-form for another method", "GET * HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("a path without its slash", "GET a HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("two slashes", "GET //a HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["GET //a"]),
        case!("dots stay", "GET /a/../b HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["GET /a/../b"]),
        case!(
            "escapes stay",
            "GET /%2e%00%zz HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /%2e%00%zz"]
        ),
        case!(
            "a fragment goes no further",
            "GET /a#b HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /a"]
        ),
        case!("a NUL in the target", "GET /a\0b HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("a blank in the target", "GET /a b HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("a tab in the target", "GET /a\tb HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!(
            "a target that is too long",
            format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "a".repeat(20_000)),
            [431],
            []
        ),
        case!(
            "a long target",
            format!("GET /{} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n", "a".repeat(10_000)),
            [200],
            LONG
        ),
    ]
}

const LONG: [&str; 1] = [concat_a()];

/// `GET /` and ten thousand times `a`.
const fn concat_a() -> &'static str {
    const BYTES: [u8; 10_005] = {
        let mut bytes = [b'a'; 10_005];
        let (begin, mut at) = (*b"GET /", 0);
        while at < begin.len() {
            bytes[at] = begin[at];
            at += 1;
        }
        bytes
    };
    match std::str::from_utf8(&BYTES) {
        Ok(text) => text,
        Err(_) => "",
    }
}

/// Request lines (RFC 9112, 2.2 and 3).
fn lines() -> Vec<Case> {
    vec![
        case!(
            "HTTP/1.0 without a host",
            "GET /a HTTP/1.0\r\n\r\n",
            [200],
            ["GET /a"],
            "HTTP/1.0 200"
        ),
        case!("HTTP/1.0 with a host", "GET /a HTTP/1.0\r\nhost: h\r\n\r\n", [200], ["GET /a"]),
        case!("HTTP/0.9", "GET /\r\n\r\n", [400], []),
        case!("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", [], []),
        case!("HTTP/1.2", "GET / HTTP/1.2\r\nhost: h\r\n\r\n", [400], []),
        case!("HTTP/3.0", "GET / HTTP/3.0\r\nhost: h\r\n\r\n", [400], []),
        case!("a version in small letters", "GET / http/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("no version", "GET / \r\nhost: h\r\n\r\n", [400], []),
        case!("another protocol", "GET / FTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("an empty line before", "\r\nGET /a HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["GET /a"]),
        case!(
            "two empty lines before",
            "\r\n\r\nGET /a HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /a"]
        ),
        case!("a blank before", " GET / HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("two blanks between", "GET  / HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("a tab between", "GET\t/ HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!(
            "lines that end with LF alone (2.2)",
            "GET /a HTTP/1.1\nhost: h\n\n",
            [200],
            ["GET /a"]
        ),
        case!("lines that end with CR alone never end", "GET / HTTP/1.1\rhost: h\r\r", [], []),
        case!("a method of its own", "BREW /pot HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["BREW /pot"]),
        case!(
            "a method in small letters is another",
            "get / HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["get /"]
        ),
        case!("a method that is no token", "G@T / HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("an empty method", " / HTTP/1.1\r\nhost: h\r\n\r\n", [400], []),
        case!("TRACE", "TRACE /a HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["TRACE /a"]),
        case!("OPTIONS of a path", "OPTIONS /a HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["OPTIONS /a"]),
        case!("nothing at all", "", [], []),
        case!("half a line", "GET / HT", [], []),
        case!("a TLS greeting", &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..], [400], []),
        case!("bytes of nothing", &b"\xff\xfe\xfd\xfc\r\n\r\n"[..], [400], []),
    ]
}

/// Fields (RFC 9112, 5; RFC 9110, 5 and 7.2).
fn fields() -> Vec<Case> {
    vec![
        case!("no host (3.2)", "GET / HTTP/1.1\r\n\r\n", [400], []),
        case!("two hosts (3.2)", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", [400], []),
        case!("the same host twice", "GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", [400], []),
        case!("an empty host", "GET / HTTP/1.1\r\nhost:\r\n\r\n", [200], ["GET /"]),
        case!("a host with a path", "GET / HTTP/1.1\r\nhost: h/a\r\n\r\n", [400], []),
        case!("a host with a blank", "GET / HTTP/1.1\r\nhost: h i\r\n\r\n", [400], []),
        case!("a host with a user", "GET / HTTP/1.1\r\nhost: u@h\r\n\r\n", [400], []),
        case!(
            "a host in IPv6",
            "GET / HTTP/1.1\r\nhost: [::1]:80\r\n\r\n",
            [200],
            ["GET /"],
            "<GET [::1]:80 / >"
        ),
        case!("a blank before the colon (5.1)", get("a : b\r\n"), [400], []),
        case!("a blank before the name", "GET / HTTP/1.1\r\n host: h\r\n\r\n", [400], []),
        case!("a value that goes on in the next line (5.2)", get("a: b\r\n c\r\n"), [400], []),
        case!("a field without a colon", get("a\r\n"), [400], []),
        case!("a field without a name", get(": b\r\n"), [400], []),
        case!("a field without a value", get("a:\r\n"), [200], ["GET /"]),
        case!("blanks around a value", get("a: \t b \t\r\n"), [200], ["GET /"]),
        case!("a name that is no token", get("a(b: c\r\n"), [400], []),
        case!("a name in another script", get("ä: c\r\n"), [400], []),
        case!("a value beyond ASCII (5.5)", get("a: ä\r\n"), [200], ["GET /"]),
        case!("a NUL in a value", get("a: b\0c\r\n"), [400], []),
        case!("a CR in a value", get("a: b\rc\r\n"), [400], []),
        case!("a bell in a value", get("a: b\u{7}c\r\n"), [400], []),
        case!(
            "a field that is too long",
            get(&format!("a: {}\r\n", "b".repeat(17_000))),
            [431],
            []
        ),
        case!("a long field", get(&format!("a: {}\r\n", "b".repeat(15_000))), [200], ["GET /"]),
        case!("too many fields", get(&"a: b\r\n".repeat(100)), [431], []),
        case!("many fields", get(&"a: b\r\n".repeat(99)), [200], ["GET /"]),
        case!("an expectation that nobody knows (10.1.1)", get("expect: tea\r\n"), [417], []),
        case!(
            "an upgrade that nobody wants",
            get("connection: upgrade\r\nupgrade: websocket\r\n"),
            [200],
            ["GET /"]
        ),
    ]
}

/// How long a body is (RFC 9112, 6).
fn lengths() -> Vec<Case> {
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
fn chunks() -> Vec<Case> {
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
fn connections() -> Vec<Case> {
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
