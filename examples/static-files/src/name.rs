//! From the path in a request to the name of a file, and to the type of what is in it.

/// The file that a path names, relative to the folder that is served; `None` if it names nothing that could be there.
///
/// Decided by the words of the path alone: each is a plain name, so none of them leads up and out.
pub fn file_of(path: &str) -> Option<String> {
    let decoded = decoded(path)?;
    let names: Vec<&str> = decoded.split('/').filter(|name| !name.is_empty()).collect();
    let is_plain = |name: &&str| {
        !name.starts_with('.') && !name.contains(|c: char| c == '\\' || c.is_control())
    };
    names.iter().all(is_plain).then(|| names.join("/"))
}

/// Without its escapes, once.
fn decoded(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            (digit(rest.next()?)? << 4) | digit(rest.next()?)?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// What a file of this name holds, as browsers want to be told.
pub fn type_of(file: &str) -> &'static str {
    let ending = file.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    match &*ending {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "txt" => "text/plain; charset=utf-8",
        "json" => "application/json",
        "wasm" => "application/wasm",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "ico" => "image/x-icon",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}

/// Whether an `If-None-Match` names what is there. Weak and strong are the same here, as for every GET.
pub fn is_known(if_none_match: &str, tag: &str) -> bool {
    let named = |it: &str| {
        let it = it.trim();
        it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag
    };
    if_none_match.split(',').any(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_file_below_the_folder_or_nothing() {
        for (path, file) in [
            ("/", Some("")),
            ("/a/b.css", Some("a/b.css")),
            ("//a//", Some("a")),
            ("/a%20b", Some("a b")),
            ("/%C3%BC", Some("ü")),
            ("/a/../b", None),
            ("/%2e%2e/b", None),
            ("/..%2fb", None),
            ("/%252e", Some("%2e")),
            ("/..\\b", None),
            ("/.git/config", None),
            ("/%00", None),
            ("/%f", None),
            ("/%ff", None),
        ] {
            assert_eq!(file_of(path).as_deref(), file, "{path}");
        }
    }

    #[test]
    fn the_ending_says_the_type() {
        assert_eq!(type_of("a/b.min.JS"), "text/javascript; charset=utf-8");
        assert_eq!(type_of("README"), "application/octet-stream");
    }

    #[test]
    fn a_tag_may_be_one_of_several() {
        assert!(is_known("\"a\", W/\"b\"", "\"b\"") && is_known("*", "\"b\""));
        assert!(!is_known("\"a\"", "\"b\"") && !is_known("", "\"b\""));
    }
}
