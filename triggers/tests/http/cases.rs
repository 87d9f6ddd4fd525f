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

mod bodies;

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
    all.extend(strange());
    all.extend(bodies::lengths());
    all.extend(bodies::chunks());
    all.extend(bodies::connections());
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

/// What else is sent to servers, to see what becomes of it.
fn strange() -> Vec<Case> {
    vec![
        case!(
            "a very long method",
            format!("{} / HTTP/1.1\r\nhost: h\r\n\r\n", "A".repeat(20_000)),
            [431],
            []
        ),
        case!(
            "a long method",
            format!("{} / HTTP/1.1\r\nhost: h\r\n\r\n", "A".repeat(50)),
            [200],
            LONG_METHOD
        ),
        case!(
            "a target in another script",
            "GET /\u{e4} HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /\u{e4}"]
        ),
        case!(
            "a target with a backslash",
            "GET /a\\b HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /a\\b"]
        ),
        case!(
            "a target with quotes",
            "GET /\"a\" HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /\"a\""]
        ),
        case!(
            "a target with braces",
            "GET /{a}|b HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /{a}|b"]
        ),
        case!(
            "a query with everything",
            "GET /?a=/?:@!$&'()*+,;=%20 HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /?a=/?:@!$&'()*+,;=%20"]
        ),
        case!("an empty query", "GET /? HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["GET /?"]),
        case!("another scheme", "GET ftp://x/a HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["GET /a"]),
        case!(
            "absolute-form with a port",
            "GET http://x:81/a HTTP/1.1\r\nhost: h\r\n\r\n",
            [200],
            ["GET /a"],
            "<GET x:81 /a >"
        ),
        case!("absolute-form without the field", "GET http://x/a HTTP/1.1\r\n\r\n", [400], []),
        case!("a port that is none", "GET / HTTP/1.1\r\nhost: h:x\r\n\r\n", [400], []),
        case!("a port beyond all", "GET / HTTP/1.1\r\nhost: h:99999\r\n\r\n", [400], []),
        case!("a host with a comma", "GET / HTTP/1.1\r\nhost: a, b\r\n\r\n", [400], []),
        case!("a host in capitals", "GET / HTTP/1.1\r\nHOST: H\r\n\r\n", [200], ["GET /"]),
        case!("PUT with nothing", "PUT /a HTTP/1.1\r\nhost: h\r\n\r\n", [200], ["PUT /a"]),
        case!(
            "DELETE with a body",
            "DELETE /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
            [200],
            ["DELETE /a"],
            "<DELETE h /a x>"
        ),
        case!(
            "HEAD with a body",
            "HEAD /a HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\n\r\nx",
            [200],
            ["HEAD /a"]
        ),
        case!(
            "a cookie of several kilobytes",
            get(&format!("cookie: {}\r\n", "a=b; ".repeat(1_000))),
            [200],
            ["GET /"]
        ),
        case!("connection names a field", get("connection: x-a\r\nx-a: 1\r\n"), [200], ["GET /"]),
        case!(
            "close and keep-alive",
            format!("{}{}", get("connection: close, keep-alive\r\n"), get("")),
            [200],
            ["GET /"]
        ),
        case!("te", get("te: trailers, deflate\r\n"), [200], ["GET /"]),
        case!("a range", get("range: bytes=0-0,-1,5-\r\n"), [200], ["GET /"]),
        case!(
            "an upgrade to HTTP/2",
            get(
                "connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
            ),
            [200],
            ["GET /"]
        ),
        case!(
            "a proxy's protocol",
            "PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\n",
            [400],
            []
        ),
        case!("SSH", "SSH-2.0-OpenSSH_9.9\r\n", [], []),
        case!("SMTP", "EHLO example.com\r\n", [], []),
        case!("MQTT", &b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00"[..], [400], []),
        case!("Redis", "*1\r\n$4\r\nPING\r\n", [], []),
        case!("zeroes", vec![0; 1_000], [400], []),
    ]
}

const LONG_METHOD: [&str; 1] = ["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA /"];
